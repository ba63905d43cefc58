"""The posix plugin with several processes on one directory, some of which are killed."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backends.api import (
    BackendConfig,
    BucketExists,
    BucketNotEmpty,
    BucketRecord,
    Caller,
    NoSuchBucket,
    NoSuchObject,
    Precondition,
    PreconditionFailed,
)
from backends.posix import PosixBackend
from backends.testkit.harness import Box
from backends.testkit.sources import content

CALLER = Caller(account_id="test")
SECONDS = 1.5
PROCESSES = 4
LONG = "L" * 252
SHARED = ["a", "a/b", "a/b/c", "a/b/c/d", "a//x", "a/", "b", LONG, LONG + "/z", LONG + "yyyy", LONG + "yyyy/z"]


def _open(root: Path, *, durable: bool = False) -> Box:
    backend = PosixBackend(BackendConfig(directory=str(root), durable=durable))
    backend.open()
    return Box(backend, CALLER, "bucket")


@pytest.fixture
def box(tmp_path: Path) -> Box:
    box = _open(tmp_path)
    box.backend.create_bucket(CALLER, BucketRecord(name="bucket", created=1))
    return box


class Children:
    """Processes that run functions; what one raises or returns comes back."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("fork")
        self._results = self._context.Queue()
        self.running: list[Any] = []

    def start(self, function: Callable[..., Any], *arguments: Any) -> None:
        def run() -> None:
            try:
                self._results.put((None, function(*arguments)))
            except BaseException as error:
                self._results.put((f"{type(error).__name__}: {error}", None))
                raise

        process = self._context.Process(target=run, daemon=True)
        process.start()
        self.running.append(process)

    def results(self) -> list[Any]:
        """What the functions gave, once all have ended. None of them may have raised."""
        answers = [self._results.get(timeout=60) for _ in self.running]
        for process in self.running:
            process.join(10)
        assert [error for error, _ in answers if error] == []
        return [answer for _, answer in answers]


def _read(box: Box, key: str) -> None:
    """An object is always whole: its data and its record are of one and the same put."""
    try:
        record, data = box.get(key)
    except NoSuchObject:
        return
    assert record.size == len(data)
    assert record.etag == hashlib.md5(data).hexdigest(), key
    assert record.metadata == {"key": key, "length": str(len(data))}


def _write(box: Box, key: str, rng: random.Random) -> bytes:
    data = content(rng.choice([0, 10, 5000, 200_000]), rng.randrange(1000))
    box.put(key, data, metadata={"key": key, "length": str(len(data))})
    return data


def _storm(root: Path, number: int) -> dict[str, str]:
    """Random changes of shared keys, and of keys of one's own beside them, which must be as one left them."""
    box = _open(root)
    rng = random.Random(number)
    # Their directories come and go with the shared keys, and they displace shared keys too.
    own = [f"a/{number}", f"a/b/{number}/x", f"a/b/c/d/{number}", f"{LONG}/{number}", f"a/b/{number}", f"b/{number}"]
    # And here the others displace one's own object all the time, by theirs below it.
    own += [f"o{number}", *(f"o{other}/{number}" for other in range(PROCESSES))]
    own += own[6:]
    state: dict[str, str] = {}
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        key = rng.choice(SHARED)
        match rng.randrange(8):
            case 0:
                _write(box, key, rng)
            case 1:
                box.delete(key)
            case 2:
                _read(box, key)
            case 3:
                keys = box.keys()
                assert keys == sorted(set(keys))
                assert set(state) <= set(keys), set(state) - set(keys)
                mine = {each for each in own if each not in state}
                assert not mine & set(keys), mine & set(keys)
            case 4 | 5:
                mine_key = rng.choice(own)
                state[mine_key] = hashlib.md5(_write(box, mine_key, rng)).hexdigest()
            case 6:
                mine_key = rng.choice(own)
                removed = box.delete(mine_key)
                assert (removed.etag if removed else None) == state.pop(mine_key, None)
            case 7:
                source, target = rng.sample(own, 2)
                if source in state and source != target:
                    box.update(source, lambda r, t=target: r.replace(metadata={**r.metadata, "key": t}))  # type: ignore[misc]
                    box.backend.rename_object(CALLER, "bucket", source, target)
                    state[target] = state.pop(source)
        mine_key = rng.choice(own)
        if mine_key in state:
            assert box.head(mine_key).etag == state[mine_key], mine_key
            _read(box, mine_key)
        else:
            assert not box.exists(mine_key), mine_key
    box.backend.close()
    return state


def test_a_storm_of_puts_and_deletes_among_each_others_directories(box: Box, tmp_path: Path) -> None:
    children = Children()
    for number in range(PROCESSES):
        children.start(_storm, tmp_path, number)
    states = children.results()
    keys = box.keys()
    for state in states:
        for key, etag in state.items():
            assert box.head(key).etag == etag
        assert set(state) <= set(keys)
    for key in keys:
        _read(box, key)
        assert box.delete(key) is not None
    assert list((tmp_path / "bucket").iterdir()) == []
    assert os.listdir(tmp_path / ".shardgate/staging") == []
    box.backend.delete_bucket(CALLER, "bucket")


def _moves_an_object_about(root: Path, number: int) -> None:
    """Displaces an object by one below it, removes that, and writes the object again, under its natural name."""
    box = _open(root)
    rng = random.Random(number)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        box.put(f"d/k/{number}")
        box.delete(f"d/k/{number}")
        _write(box, "d/k", rng)


def _always_finds_it(root: Path) -> int:
    box = _open(root)
    found = 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for _ in range(20):
            assert box.exists("d/k")
        assert "d/k" in box.keys("d/")
        assert "d/k" in [entry.key for entry in box.page(prefix="d/", delimiter="/").objects]
        found += 1
    return found


def test_an_object_that_is_never_deleted_is_always_found(box: Box, tmp_path: Path) -> None:
    _write(box, "d/k", random.Random(0))
    children = Children()
    children.start(_moves_an_object_about, tmp_path, 0)
    children.start(_moves_an_object_about, tmp_path, 1)
    children.start(_always_finds_it, tmp_path)
    children.start(_always_finds_it, tmp_path)
    children.results()


def _creates_and_deletes_buckets(root: Path, number: int) -> int:
    box = _open(root)
    deleted = 0
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            box.backend.create_bucket(CALLER, BucketRecord(name="bucket", created=number + 1))
        except BucketExists:
            pass
        try:
            box.backend.delete_bucket(CALLER, "bucket")
        except (BucketNotEmpty, NoSuchBucket):
            continue
        deleted += 1
    return deleted


def _puts_into_the_bucket(root: Path, number: int) -> int:
    """Whatever was acknowledged is there, and the bucket with it, until this process deletes it."""
    box = _open(root)
    stored = 0
    end = time.monotonic() + SECONDS
    key = f"d/{number}/e"
    while time.monotonic() < end:
        try:
            box.put(key, b"data")
            box.backend.put_document("bucket", f"d{number}", b"x")
        except NoSuchBucket:
            continue
        stored += 1
        assert box.data(key) == b"data"
        assert key in box.keys(f"d/{number}/")
        assert box.backend.get_document("bucket", f"d{number}") is not None
        assert box.delete(key) is not None
    return stored


def test_a_bucket_never_goes_with_an_acknowledged_object(box: Box, tmp_path: Path) -> None:
    children = Children()
    children.start(_creates_and_deletes_buckets, tmp_path, 0)
    children.start(_creates_and_deletes_buckets, tmp_path, 1)
    children.start(_puts_into_the_bucket, tmp_path, 2)
    children.start(_puts_into_the_bucket, tmp_path, 3)
    counts = children.results()
    assert sum(counts[:]) > 0


def _count(root: Path, rounds: int) -> float:
    box = _open(root)
    started = time.monotonic()
    for _ in range(rounds):
        while True:
            record, data = box.get("d/count")
            try:
                box.put("d/count", b"%d" % (int(data) + 1), Precondition(if_match=(record.etag,)))
                break
            except PreconditionFailed:
                continue
    return time.monotonic() - started


def test_counting_in_many_processes_is_exact_and_starves_nobody(box: Box, tmp_path: Path) -> None:
    box.put("d/count", b"0")
    children = Children()
    for _ in range(PROCESSES):
        children.start(_count, tmp_path, 100)
    took = children.results()
    assert box.data("d/count") == b"%d" % (PROCESSES * 100)
    assert max(took) < 30


def _creates(root: Path, number: int) -> list[str]:
    box = _open(root)
    won = []
    for turn in range(64):
        try:
            box.put(f"new/{turn // 8}/{turn}", b"%d" % number, Precondition(if_none_match=("*",)))
        except PreconditionFailed:
            continue
        won.append(f"new/{turn // 8}/{turn}")
    return won


def test_each_of_many_names_has_one_creator(box: Box, tmp_path: Path) -> None:
    children = Children()
    for number in range(PROCESSES):
        children.start(_creates, tmp_path, number)
    won = sorted(key for keys in children.results() for key in keys)
    assert won == sorted(box.keys("new/"))
    assert len(won) == 64


def _writes_for_ever(root: Path, number: int, nameless: bool) -> None:
    box = _open(root, durable=True)
    box.backend._nameless = nameless  # type: ignore[attr-defined]
    rng = random.Random(number)
    while True:
        _write(box, rng.choice(SHARED), rng)
        box.delete(rng.choice(SHARED))
        box.put("large/" + str(number), b"x", extra={"test.x": "y" * 30_000})


@pytest.mark.faults
def test_killed_writers_leave_whole_objects_and_nothing_that_a_sweep_does_not_find(box: Box, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for turn in range(6):
        writers = [
            context.Process(target=_writes_for_ever, args=(tmp_path, turn * 10 + number, bool(number % 2)), daemon=True)
            for number in range(3)
        ]
        for writer in writers:
            writer.start()
        time.sleep(0.15 + 0.03 * turn)
        for writer in writers:
            assert writer.pid is not None
            os.kill(writer.pid, signal.SIGKILL)
            writer.join(10)
        for key in [entry.key for entry in box.scan()]:
            if not key.startswith("large/"):
                _read(box, key)
        # The dead hold no locks.
        for key in SHARED:
            box.put(key, b"after", Precondition(), metadata={"key": key, "length": "5"})
    box.backend.sweep(-1)
    assert os.listdir(tmp_path / ".shardgate/staging") == []
    for key in [entry.key for entry in box.scan()]:
        box.delete(key)
    assert list((tmp_path / "bucket").iterdir()) == []
    records = tmp_path / ".shardgate/records"
    box.backend.sweep(-1)
    assert [path for path in records.rglob("*") if path.is_file()] == []
