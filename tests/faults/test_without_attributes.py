"""A file system without extended attributes: records have files of their own, and those, too, survive and vanish."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.posix.attributes import Records
from backends.posix.layout import Layout
from backends.posix.locks import Locks
from backends.posix.sweeping import Sweeper
from backends.posix.system import Opener
from tests.support.fast_client import Client, path_of
from tests.support.gateway import Gateway, wait_until

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system"),
]

SWEPT = {"SHARDGATE_JANITOR_INTERVAL": "1", "SHARDGATE_JANITOR_AGE": "1"}
KEYS = 6


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """Two workers on a ramfs, which has no user attributes."""
    directory = tmp_path / "disk"
    directory.mkdir()
    subprocess.run(["mount", "-t", "ramfs", "ramfs", str(directory)], check=True)
    try:
        with pytest.raises(OSError, match="not supported"):
            os.setxattr(directory, "user.any", b"")
        with Gateway(directory, workers=2, environ=SWEPT) as running:
            yield running
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def records(gateway: Gateway) -> list[Path]:
    return [path for path in (gateway.directory / ".shardgate" / "records").rglob("*") if path.is_file()]


def test_objects_keep_what_is_known_of_them(gateway: Gateway) -> None:
    known = {"x-amz-meta-colour": "green", "content-type": "text/x-test", "cache-control": "no-cache"}
    with Client(gateway) as client:
        client.create_bucket("bucket")
        etag = client.put("bucket", "a", b"first", known).etag
        assert etag == hashlib.md5(b"first").hexdigest()
        copied = client.request("PUT", path_of("bucket", "copy"), headers={"x-amz-copy-source": "/bucket/a"})
        assert copied.status == 200
        renamed = client.request(
            "PUT", path_of("bucket", "moved"), {"renameObject": ""}, {"x-amz-rename-source": "/bucket/a"}
        )
        assert renamed.status == 200
        for key in ("copy", "moved"):
            found = client.get("bucket", key)
            assert (found.body, found.etag) == (b"first", etag)
            assert known.items() <= found.headers.items()
        assert client.list_page("bucket").body.count(etag.encode()) == 2
        assert client.put("bucket", "moved", b"second").status == 200
        assert "x-amz-meta-colour" not in client.get("bucket", "moved").headers
        for key in ("copy", "moved"):
            assert client.delete("bucket", key).status == 204
    assert records(gateway) == []


def test_a_sweep_keeps_the_record_of_an_object_that_moves_meanwhile(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It walks through all objects; one that moves from where it has not been to where it was is never met."""
    with Client(gateway) as client:
        client.create_bucket("bucket")
        for key in ("z/moves", "up"):
            assert client.put("bucket", key, b"data", {"x-amz-meta-kept": "yes"}).status == 200
        time.sleep(0.05)
        layout = Layout(str(gateway.directory))
        sweeper = Sweeper(layout, Opener(follow=False), Locks(layout.locks), Records(layout))

        def meet_nothing(root: str, old: dict[str, str]) -> None:
            assert len(old) == 2
            moved = client.request(
                "PUT", path_of("bucket", "a/moved"), {"renameObject": ""}, {"x-amz-rename-source": "/bucket/z/moves"}
            )
            assert moved.status == 200
            # This one moves to its other name on disk, because a directory gets the one that it had.
            assert client.put("bucket", "up/down", b"").status == 200

        monkeypatch.setattr(sweeper, "_leave_out_the_used", meet_nothing)
        assert sweeper.sweep(0.02) == 0
        for key in ("a/moved", "up"):
            assert client.get("bucket", key).headers["x-amz-meta-kept"] == "yes"


def test_killed_workers_leave_whole_objects_and_no_records(gateway: Gateway) -> None:
    with Client(gateway) as client:
        client.create_bucket("bucket")
    stop = threading.Event()
    wrong: list[object] = []

    def overwrite(number: int) -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            key, body = f"{number}", b"%d-%d " % (number, turn) * 500
            try:
                with Client(gateway, timeout=10) as client:
                    reply = client.put("bucket", key, body, {"x-amz-meta-turn": str(turn)})
                    if turn % 7 == 0:
                        client.delete("bucket", key)
            except OSError:
                continue
            if reply.status != 200:
                wrong.append(reply)

    def read() -> None:
        while not stop.is_set():
            try:
                with Client(gateway, timeout=10) as client:
                    for number in range(KEYS):
                        check(client, f"{number}")
            except AssertionError as error:
                wrong.append(error)
            except OSError:
                continue

    threads = [threading.Thread(target=overwrite, args=(number,)) for number in range(KEYS)]
    threads.append(threading.Thread(target=read))
    for thread in threads:
        thread.start()
    for _ in range(6):
        time.sleep(0.4)
        workers = gateway.worker_pids()
        if workers:
            os.kill(workers[0], signal.SIGKILL)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    wait_until(lambda: len(gateway.worker_pids()) == 2, what="two workers")
    with Client(gateway) as client:
        present = client.list_keys("bucket")
        for number in range(KEYS):
            check(client, f"{number}")
        # What the dead left is swept: only the records of present objects stay.
        wait_until(lambda: len(records(gateway)) == len(present), what="the sweep")
        for key in present:
            check(client, key)
    assert list((gateway.directory / ".shardgate" / "staging").iterdir()) == []


def check(client: Client, key: str) -> None:
    """The object is absent, or whole with the ETag and metadata of its very bytes."""
    reply = client.get("bucket", key)
    if reply.status == 404:
        return
    assert reply.status == 200, reply
    assert reply.etag == hashlib.md5(reply.body).hexdigest()
    turn = int(reply.headers["x-amz-meta-turn"])
    assert reply.body == b"%s-%d " % (key.encode(), turn) * 500
