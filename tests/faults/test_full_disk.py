"""A disk without space or inodes: a clear refusal, nothing half visible, and all is well again once there is space."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.fast_client import Client, Reply, path_of, spread
from tests.support.gateway import Gateway

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system"),
]

MIB = 1 << 20
FULL = (507, "InsufficientStorage")


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a tmpfs with these options on a new directory."""
    mounted: list[Path] = []

    def make(options: str) -> Path:
        directory = tmp_path / f"disk{len(mounted)}"
        directory.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)], check=True)
        mounted.append(directory)
        return directory

    yield make
    for directory in mounted:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


@pytest.fixture
def serve(mount: Callable[[str], Path]) -> Iterator[Callable[..., Gateway]]:
    """Starts gateways on small file systems, and stops them before those are unmounted."""
    started: list[Gateway] = []

    def start(options: str, **settings: object) -> Gateway:
        gateway = Gateway(mount(options), **settings)  # type: ignore[arg-type]
        started.append(gateway)
        with Client(gateway) as client:
            client.create_bucket("bucket")
        return gateway

    yield start
    for gateway in started:
        gateway.stop()


def outcome(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.code


def fill(client: Client, size: int = MIB) -> list[str]:
    """Put objects until one is refused for want of space; the keys of the others."""
    stored = []
    for number in range(10_000):
        key = f"fill/{number}"
        reply = client.put("bucket", key, bytes([number % 256]) * size)
        if reply.status != 200:
            assert outcome(reply) == FULL, reply
            return stored
        stored.append(key)
    raise AssertionError("the disk does not become full")


def check_whole(client: Client, stored: list[str], size: int = MIB) -> None:
    assert sorted(client.list_keys("bucket", prefix="fill/")) == sorted(stored)
    for key in stored:
        assert client.get("bucket", key).body == bytes([int(key[5:]) % 256]) * size


def staged(gateway: Gateway) -> list[Path]:
    hidden = gateway.directory / ".shardgate"
    return [*(hidden / "staging").iterdir(), *(hidden / "making").iterdir()]


def directories(gateway: Gateway) -> int:
    return sum(len(folders) for _, folders, _ in os.walk(gateway.directory / "bucket"))


@pytest.mark.parametrize("durability", ["commit", "relaxed"])
def test_a_full_disk_refuses_clearly_and_recovers(serve: Callable[..., Gateway], durability: str) -> None:
    gateway = serve("size=8m", environ={"SHARDGATE_DURABILITY": durability})
    with Client(gateway) as client:
        stored = fill(client)
        assert len(stored) >= 5
        check_whole(client, stored)

        # An overwrite that does not fit leaves what was there; so do a copy and a body of unknown length.
        assert outcome(client.put("bucket", stored[0], b"x" * 2 * MIB)) == FULL
        copied = client.request("PUT", path_of("bucket", "copy"), headers={"x-amz-copy-source": f"/bucket/{stored[0]}"})
        assert outcome(copied) == FULL
        # More than the disk and all buffers hold: the answer comes although the client is still sending.
        assert outcome(client.put("bucket", "huge", b"x" * 20 * MIB)) == FULL
        check_whole(client, stored)
        assert set(client.list_keys("bucket")) == set(stored)
        assert staged(gateway) == []

        # Reading and deleting go on, the gateway stays ready, and the freed space is there at once.
        assert gateway.get_status("/-/ready") == 200
        assert client.delete("bucket", stored.pop()).status == 204
        assert client.delete("bucket", stored.pop()).status == 204
        assert client.put("bucket", "after", b"y" * MIB).status == 200
        assert client.get("bucket", "after").body == b"y" * MIB
        check_whole(client, stored)
    assert "Traceback" not in gateway.log.read_text()


def test_uploads_that_fill_the_disk_together_are_whole_or_refused(serve: Callable[..., Gateway]) -> None:
    gateway = serve("size=16m", workers=4)

    def put(client: Client, number: int) -> tuple[int, str]:
        return outcome(client.put("bucket", f"fill/{number}", bytes([number]) * 3 * MIB))

    answers = spread(gateway, 8, put, range(24))
    assert set(answers) == {(200, ""), FULL}
    with Client(gateway) as client:
        check_whole(client, [f"fill/{number}" for number in range(24) if answers[number][0] == 200], 3 * MIB)
        assert staged(gateway) == []
        # What was refused holds no space: as much as then fits now.
        for key in client.list_keys("bucket"):
            assert client.delete("bucket", key).status == 204
        assert client.put("bucket", "whole", b"z" * 12 * MIB).status == 200


def test_a_disk_without_inodes_refuses_clearly_and_recovers(serve: Callable[..., Gateway]) -> None:
    gateway = serve("size=8m,nr_inodes=400")
    with Client(gateway) as client:
        stored = fill(client, size=10)
        assert len(stored) > 50
        check_whole(client, stored, 10)
        before = directories(gateway)

        # tmpfs counts a record as a third of an inode: this frees five or six.
        for _ in range(4):
            assert client.delete("bucket", stored.pop()).status == 204
        # Of the directories of this key only the first ones can be made. They must not stay and use up inodes.
        assert outcome(client.put("bucket", "a/b/c/d/e/f", b"deep")) == FULL
        assert directories(gateway) == before
        for number in range(3):
            assert client.put("bucket", f"shallow{number}", b"x").status == 200
        # Two are left at most, and a bucket takes three.
        assert outcome(client.request("PUT", "/another-bucket")) == FULL
        assert client.request("HEAD", "/another-bucket").status == 404
        assert directories(gateway) == before
        assert staged(gateway) == []
        check_whole(client, stored, 10)

        for key in stored[:20]:
            assert client.delete("bucket", key).status == 204
        assert client.put("bucket", "a/b/c/d/e/f", b"deep").status == 200
        assert client.get("bucket", "a/b/c/d/e/f").body == b"deep"
        client.create_bucket("another-bucket")
    assert "Traceback" not in gateway.log.read_text()


def test_metadata_that_does_not_fit_is_refused_whole(serve: Callable[..., Gateway]) -> None:
    """Tags are kept with the object's record: where that cannot be written, the old ones stay."""
    gateway = serve("size=4m")
    tags = b"<Tagging><TagSet><Tag><Key>k</Key><Value>%s</Value></Tag></TagSet></Tagging>"
    with Client(gateway) as client:
        assert client.put("bucket", "tagged", b"x").status == 200
        assert client.request("PUT", "/bucket/tagged", {"tagging": ""}, body=tags % b"first").status == 200
        stored = fill(client, 64 * 1024)
        reply = client.request("PUT", "/bucket/tagged", {"tagging": ""}, body=tags % (b"v" * 200))
        assert outcome(reply) in ((200, ""), FULL)
        expected = b"v" * 200 if reply.status == 200 else b"first"
        assert expected in client.request("GET", "/bucket/tagged", {"tagging": ""}).body
        assert client.get("bucket", "tagged").body == b"x"
        check_whole(client, stored, 64 * 1024)
