"""Directories that a change makes above a key go when it fails, and when its process dies."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backends.api import (
    BackendConfig,
    BucketRecord,
    Caller,
    NoSuchObject,
    StorageFull,
)
from backends.faultpoints import VARIABLE
from backends.posix import PosixBackend
from backends.posix.layout import Layout
from backends.testkit.harness import Box

CALLER = Caller(account_id="test")
LONG = "L" * 252
FORK = multiprocessing.get_context("fork")


def _open(root: Path) -> Box:
    backend = PosixBackend(BackendConfig(directory=str(root), durable=False))
    backend.open()
    return Box(backend, CALLER, "bucket")


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = _open(tmp_path / "data")
    box.backend.create_bucket(CALLER, BucketRecord(name="bucket", created=1))
    yield box
    box.backend.close()


@pytest.fixture(autouse=True)
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir()
    return path


@pytest.fixture
def arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Arms the point behind the making of directories."""
    points = tmp_path / "points"
    points.mkdir()
    monkeypatch.setenv(VARIABLE, str(points))
    return lambda action: (points / "posix.parents.made").write_text(action) and None


def directories(data: Path) -> list[str]:
    return sorted(str(path.relative_to(data / "bucket")) for path in (data / "bucket").rglob("*") if path.is_dir())


def notes(data: Path) -> list[str]:
    return os.listdir(data / ".shardgate/making")


def dies(work: Callable[[], object]) -> None:
    process = FORK.Process(target=work, daemon=True)
    process.start()
    process.join(30)
    assert process.exitcode == -9


def test_directories_of_a_killed_put_go_by_the_sweep(box: Box, data: Path, arm: Callable[[str], None]) -> None:
    box.put("kept/object", b"x")
    for key in ("kept/a/b/key", "new/a/key", "new/b/key"):
        arm("kill")
        dies(lambda key=key: box.put(key, b"x"))  # type: ignore[misc]
    left = ["kept", "kept/a", "kept/a/b", "new", "new/a", "new/b"]
    assert directories(data) == left
    # Young ones may be those of the living.
    assert box.backend.sweep(3600.0) == 0
    assert (directories(data), len(notes(data))) == (left, 3)
    assert box.backend.sweep(-1) == 5
    assert (directories(data), notes(data)) == (["kept"], [])
    assert box.keys() == ["kept/object"]
    assert box.backend.sweep(-1) == 0


def test_the_sweep_leaves_directories_in_use_alone(box: Box, data: Path, arm: Callable[[str], None]) -> None:
    arm("kill")
    dies(lambda: box.put("a/b/c/dead", b"x"))
    box.put("a/b/living", b"x")
    assert box.backend.sweep(-1) == 1
    assert (directories(data), notes(data)) == (["a", "a/b"], [])
    assert box.data("a/b/living") == b"x"


def test_an_object_that_a_killed_put_displaced_is_still_found(box: Box, data: Path, arm: Callable[[str], None]) -> None:
    for key in ("a", LONG):
        box.put(key, key.encode())
        arm("kill")
        dies(lambda key=key: box.put(f"{key}/b/c", b"x"))  # type: ignore[misc]
        assert box.data(key) == key.encode()
    box.backend.sweep(-1)
    assert {"a", "a/b", LONG} & set(directories(data)) == set()
    assert notes(data) == []
    assert box.keys() == [LONG, "a"]
    assert box.data("a") == b"a"
    assert box.data(LONG) == LONG.encode()


def test_a_rename_that_is_killed_leaves_nothing_either(box: Box, data: Path, arm: Callable[[str], None]) -> None:
    box.put("source", b"x")
    arm("kill")
    dies(lambda: box.backend.rename_object(CALLER, "bucket", "source", "d/e/target"))
    assert box.backend.sweep(-1) == 2
    assert (directories(data), box.keys()) == ([], ["source"])


def test_a_change_that_fails_takes_its_directories_with_it(box: Box, data: Path, arm: Callable[[str], None]) -> None:
    box.put("source", b"x")
    arm("full")
    with pytest.raises(StorageFull):
        box.put("a/b/c", b"x")
    arm("full")
    with pytest.raises(StorageFull):
        box.backend.rename_object(CALLER, "bucket", "source", "d/e/target")
    assert (directories(data), notes(data)) == ([], [])
    box.put("a/b/c", b"x")
    assert (directories(data), notes(data)) == (["a", "a/b"], [])


def test_a_put_into_a_directory_that_is_there_writes_no_note(
    box: Box, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.put("a/b", b"x")
    box.put("a/c/d", b"x")

    def unexpected(_: Layout) -> str:
        raise AssertionError("a note")

    monkeypatch.setattr(Layout, "note", unexpected)
    for key in ("top", "a/new", "a/b", "a/c"):
        for _ in range(2):
            box.put(key, b"y")
            assert box.data(key) == b"y"
    with pytest.raises(AssertionError, match="a note"):
        box.put("other/key", b"y")


def _puts_and_deletes(root: Path, number: int, until: float) -> int:
    box = _open(root)
    done = 0
    while time.monotonic() < until:
        key = f"d/{done % 3}/e/{number}"
        box.put(key, b"x")
        assert box.data(key) == b"x"
        assert box.delete(key) is not None
        done += 1
    assert done > 10
    return done


def test_puts_make_a_directory_again_that_the_sweep_took(box: Box, data: Path) -> None:
    """Two processes put and delete in directories that a third one removes whenever they are empty."""
    until = time.monotonic() + 1.0
    writers = [FORK.Process(target=_puts_and_deletes, args=(data, number, until), daemon=True) for number in range(2)]
    for writer in writers:
        writer.start()
    note = data / ".shardgate/making/old"
    while any(writer.is_alive() for writer in writers):
        for number in range(3):
            note.write_text(f"bucket/d/{number}/e")
            # All notes are older than in a second: those of the living, too.
            box.backend._sweeper._directories(time.time() + 1)  # type: ignore[attr-defined]
    for writer in writers:
        writer.join(30)
        assert writer.exitcode == 0
    assert (directories(data), notes(data)) == ([], [])


@pytest.mark.parametrize("text", ["", "bucket", "other/a/b", "bucket/object/a", "bucket/link/a"])
def test_notes_that_tell_of_no_directory_go(box: Box, data: Path, tmp_path: Path, text: str) -> None:
    box.put("object", b"x")
    (tmp_path / "outside/a").mkdir(parents=True)
    (data / "bucket/link").symlink_to(tmp_path / "outside")
    (data / ".shardgate/making/old").write_text(text)
    assert box.backend.sweep(-1) == 0
    assert notes(data) == []
    assert (tmp_path / "outside/a").is_dir()
    assert box.data("object") == b"x"
    with pytest.raises(NoSuchObject):
        box.head("link/a")
