"""SIGKILL in the middle of writes: what was acknowledged is whole, what was not is whole or absent, nothing stays."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from backends.faultpoints import VARIABLE
from tests.support.fast_client import Client
from tests.support.gateway import Gateway, wait_until

pytestmark = pytest.mark.faults

PUTS = 200
KILLS = 12
WRITERS = 4
SIZES = (0, 1, 1000, 100_000, 400_000, 2_000_000)
SWEPT = {"SHARDGATE_JANITOR_INTERVAL": "1", "SHARDGATE_JANITOR_AGE": "1"}
BUCKET = "survivors"


def body_of(number: int) -> bytes:
    size = SIZES[number % len(SIZES)]
    return (hashlib.sha256(b"%d" % number).digest() * (size // 32 + 1))[:size]


def key_of(number: int) -> str:
    return f"{number % 7}/{number}" if number % 3 else f"{number}"


class Ledger:
    """What writers tried, and what was acknowledged to them."""

    def __init__(self) -> None:
        self.acknowledged: set[int] = set()
        self.broken: set[int] = set()

    def write(self, gateway: Gateway, numbers: list[int], *, gone: threading.Event | None = None) -> None:
        """Put each number's object once; a connection that breaks is noted and made anew."""
        client = Client(gateway, timeout=20)
        for number in numbers:
            if gone is not None and gone.is_set():
                break
            try:
                reply = client.put(BUCKET, key_of(number), body_of(number))
            except OSError:
                self.broken.add(number)
                continue
            assert reply.status == 200, reply
            self.acknowledged.add(number)
        client.close()

    def run(self, gateway: Gateway, *, gone: threading.Event | None = None) -> list[threading.Thread]:
        """The writers' threads, started."""
        numbers = list(range(PUTS))
        random.Random(1).shuffle(numbers)
        threads = [
            threading.Thread(target=self.write, args=(gateway, numbers[start::WRITERS]), kwargs={"gone": gone})
            for start in range(WRITERS)
        ]
        for thread in threads:
            thread.start()
        return threads

    def check(self, gateway: Gateway) -> None:
        """Each acknowledged object is there and whole; what else is there is whole; there are no other keys."""
        tried = {key_of(number): number for number in self.acknowledged | self.broken}
        with Client(gateway) as client:
            listed = set(client.list_keys(BUCKET))
            assert {key_of(number) for number in self.acknowledged} <= listed
            assert listed <= set(tried)
            for key in listed:
                reply = client.get(BUCKET, key)
                assert reply.status == 200, (key, reply)
                assert reply.body == body_of(tried[key]), key
                assert reply.etag == hashlib.md5(reply.body).hexdigest()


def leftovers(directory: Path) -> list[str]:
    """The files below the directory that are neither objects nor the gateway's own, and empty directories."""
    staging = [str(path) for path in (directory / ".shardgate" / "staging").iterdir()]
    records = directory / ".shardgate" / "records"
    if records.is_dir():
        staging += [str(path) for path in records.rglob("*") if path.is_file()]
    staging += [str(path) for path in (directory / ".shardgate" / "making").iterdir()]
    for root, below, names in os.walk(directory / BUCKET):
        if not below and not names and root != str(directory / BUCKET):
            staging.append(root)
        staging += [f"{root}/{name}" for name in names if not name.removesuffix("%object").isdigit()]
    return staging


def test_acknowledged_puts_survive_killed_workers(start_gateway: Callable[..., Gateway]) -> None:
    gateway = start_gateway(workers=4, environ=SWEPT)
    with Client(gateway) as client:
        client.create_bucket(BUCKET)
    ledger = Ledger()
    threads = ledger.run(gateway)
    killed: set[int] = set()
    while any(thread.is_alive() for thread in threads) and len(killed) < KILLS:
        pids = [pid for pid in gateway.worker_pids() if pid not in killed]
        if pids:
            pid = random.choice(pids)
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            killed.add(pid)
        time.sleep(0.2)
    for thread in threads:
        thread.join()
    assert len(killed) > 3
    assert ledger.acknowledged, gateway.log_tail()
    wait_until(lambda: len(gateway.worker_pids()) == 4, what="four workers")
    ledger.check(gateway)
    wait_until(lambda: leftovers(gateway.directory) == [], what=f"the sweep of {leftovers(gateway.directory)}")
    ledger.check(gateway)
    assert "Traceback" not in gateway.log.read_text()


def test_acknowledged_puts_survive_the_death_of_everything(start_gateway: Callable[..., Gateway]) -> None:
    gateway = start_gateway(workers=2, environ=SWEPT)
    with Client(gateway) as client:
        client.create_bucket(BUCKET)
    ledger = Ledger()
    gone = threading.Event()
    threads = ledger.run(gateway, gone=gone)
    wait_until(lambda: len(ledger.acknowledged) > 20, what="some puts")
    processes = [psutil.Process(gateway.pid), *gateway.children()]
    for process in processes:
        process.send_signal(signal.SIGSTOP)  # so that they really die at one moment
    for process in processes:
        process.kill()
    gone.set()
    for thread in threads:
        thread.join()
    gateway.wait()
    wait_until(lambda: not any(process.is_running() for process in processes[1:]), what="the end of all processes")
    assert ledger.broken

    gateway.start()
    ledger.check(gateway)
    wait_until(lambda: leftovers(gateway.directory) == [], what="the sweep")
    # What was not acknowledged can be written now.
    ledger.write(gateway, sorted(ledger.broken))
    ledger.check(gateway)
    assert ledger.broken <= ledger.acknowledged


def test_overwrites_by_dying_workers_leave_the_old_or_the_new_object(start_gateway: Callable[..., Gateway]) -> None:
    """A put that replaces an object passes through a second name on disk; a kill at any point leaves one version."""
    gateway = start_gateway(workers=2, environ={**SWEPT, "SHARDGATE_DURABILITY": "relaxed"})
    with Client(gateway) as client:
        client.create_bucket(BUCKET)
    stop = threading.Event()
    newest: dict[int, tuple[int, set[int]]] = {}

    def overwrite(key: int) -> None:
        client = Client(gateway, timeout=20)
        acknowledged, since = -1, set()
        for turn in range(100_000):
            if stop.is_set():
                break
            try:
                assert client.put(BUCKET, str(key), b"%d " % turn * 2000).status == 200
                acknowledged, since = turn, set()
            except OSError:
                since.add(turn)
        newest[key] = acknowledged, since
        client.close()

    threads = [threading.Thread(target=overwrite, args=(key,)) for key in range(WRITERS)]
    for thread in threads:
        thread.start()
    for _ in range(8):
        time.sleep(0.3)
        gateway.kill_worker()
    stop.set()
    for thread in threads:
        thread.join()
    with Client(gateway) as client:
        for key, (acknowledged, since) in newest.items():
            assert acknowledged >= 0
            reply = client.get(BUCKET, str(key))
            turn = int(reply.body.split()[0])
            assert reply.body == b"%d " % turn * 2000
            assert reply.etag == hashlib.md5(reply.body).hexdigest()
            assert turn == acknowledged or turn in since
        assert client.list_keys(BUCKET) == [str(key) for key in range(WRITERS)]
    wait_until(lambda: leftovers(gateway.directory) == [], what=f"the sweep of {leftovers(gateway.directory)}")


def test_a_sweep_leaves_running_uploads_alone(start_gateway: Callable[..., Gateway]) -> None:
    """An upload that takes longer than the janitor's age is finished all the same: its file is in use."""
    gateway = start_gateway(workers=2, environ=SWEPT)
    with Client(gateway) as client:
        client.create_bucket(BUCKET)
        old = client.put(BUCKET, "0", b"old").etag
        body = body_of(5)

        def slowly() -> object:
            for start in range(0, len(body), 500_000):
                yield body[start : start + 500_000]
                time.sleep(1.2)

        reply = client.request("PUT", f"/{BUCKET}/0", headers={"if-match": f'"{old}"'}, body=slowly(), length=len(body))
        assert reply.status == 200, reply
        assert client.get(BUCKET, "0").body == body


def test_directories_go_whose_put_died_before_it_put_anything_into_them(
    start_gateway: Callable[..., Gateway], tmp_path: Path
) -> None:
    point = tmp_path / "points" / "posix.parents.made"
    point.parent.mkdir()
    gateway = start_gateway(workers=2, environ={**SWEPT, VARIABLE: str(point.parent)})
    with Client(gateway) as client:
        client.create_bucket(BUCKET)
    point.write_text("kill")
    with Client(gateway) as client, pytest.raises(OSError):
        client.put(BUCKET, "a/b/1", body_of(1))
    assert not point.exists()
    wait_until(lambda: leftovers(gateway.directory) == [], what=f"the sweep of {leftovers(gateway.directory)}")
    assert not (gateway.directory / BUCKET / "a").exists()
    with Client(gateway) as client:
        assert client.put(BUCKET, "a/b/1", body_of(1)).status == 200
        assert client.get(BUCKET, "a/b/1").body == body_of(1)
    assert leftovers(gateway.directory) == []
