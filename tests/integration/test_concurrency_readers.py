"""Readers beside writers: each answer is one whole version, with the ETag, length and metadata of that very version."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.support.fast_client import Client, Reply, path_of, spread
from tests.support.gateway import Gateway

SIZES = (1, 17, 1000, 4096, 65_536, 131_073, 262_145, 1 << 20, 3 << 20)
READERS = 3


@pytest.fixture(scope="module")
def four_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of four workers."""
    home = tmp_path_factory.mktemp("readers")
    with Gateway(home / "data", workers=4, environ={"SHARDGATE_DURABILITY": "relaxed"}) as running:
        yield running


def version(number: int) -> tuple[bytes, dict[str, str]]:
    """Body and metadata of a version: the body repeats its number, so that a mix of two shows."""
    size = SIZES[number % len(SIZES)]
    word = b"%08d" % number
    body = (word * (size // 8 + 1))[:size]
    return body, {"x-amz-meta-version": str(number), "x-amz-meta-md5": hashlib.md5(body).hexdigest()}


def check_whole(reply: Reply, last: list[int]) -> None:
    """The answer is one version in all that it says."""
    assert reply.status == 200, reply
    number = int(reply.headers["x-amz-meta-version"])
    body, metadata = version(number)
    assert len(reply.body) == len(body) == int(reply.headers["content-length"])
    assert reply.body == body, f"version {number} came with other bytes"
    assert reply.etag == metadata["x-amz-meta-md5"] == reply.headers["x-amz-meta-md5"]
    last.append(number)


def check_part(reply: Reply) -> None:
    """A range is of the version that its headers describe."""
    body, metadata = version(int(reply.headers["x-amz-meta-version"]))
    assert reply.status == 206
    assert reply.headers["content-range"] == f"bytes 0-{len(reply.body) - 1}/{len(body)}"
    assert reply.body == body[: len(reply.body)]
    assert reply.etag == metadata["x-amz-meta-md5"]


def read_until(gateway: Gateway, bucket: str, key: str, done: threading.Event) -> list[list[int]]:
    """Read in several threads until `done`, at least ten times each; the versions that each saw."""

    def read(client: Client, reader: int) -> list[int]:
        seen: list[int] = []
        chooser = random.Random(reader)
        while len(seen) < 10 or not done.is_set():
            way = chooser.randrange(4)
            if way < 2:
                check_whole(client.get(bucket, key), seen)
            elif way == 2:
                check_part(client.get(bucket, key, {"range": "bytes=0-99999"}))
            else:
                head = client.request("HEAD", path_of(bucket, key))
                body, metadata = version(int(head.headers["x-amz-meta-version"]))
                assert head.headers["content-length"] == str(len(body))
                assert head.etag == metadata["x-amz-meta-md5"]
        return seen

    return spread(gateway, READERS, read, range(READERS))


def overwrite(
    gateway: Gateway, bucket: str, count: int, write: Callable[[Client, str, int], Reply], writers: int = 2
) -> list[list[int]]:
    """Write versions 1 to `count` while readers look; what they saw."""
    done = threading.Event()

    def work(client: Client, writer: int) -> None:
        for number in range(1 + writer, count + 1, writers):
            reply = write(client, "key", number)
            assert reply.status == 200, reply

    with Client(gateway) as client:
        client.create_bucket(bucket)
        assert client.put(bucket, "key", *version(0)).status == 200
    failed: list[BaseException] = []

    def write_all() -> None:
        try:
            spread(gateway, writers, work, range(writers))
        except BaseException as error:
            failed.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=write_all)
    thread.start()
    try:
        seen = read_until(gateway, bucket, "key", done)
    finally:
        thread.join()
    assert failed == []
    return seen


def test_readers_never_see_a_mix_of_puts(four_workers: Gateway) -> None:
    def put(client: Client, key: str, number: int) -> Reply:
        return client.put("puts", key, *version(number))

    seen = overwrite(four_workers, "puts", 500, put)
    assert len({number for numbers in seen for number in numbers}) > 10
    with Client(four_workers) as client:
        last: list[int] = []
        check_whole(client.get("puts", "key"), last)
        assert last[0] in (499, 500)


def test_readers_never_see_a_mix_of_copies(four_workers: Gateway) -> None:
    def copy(client: Client, key: str, number: int) -> Reply:
        reply = client.put("copies", f"source-{number % 10}", *version(number))
        assert reply.status == 200
        headers = {"x-amz-copy-source": f"/copies/source-{number % 10}", "x-amz-copy-source-if-match": reply.etag}
        return client.request("PUT", path_of("copies", key), headers=headers)

    overwrite(four_workers, "copies", 100, copy)


def test_readers_never_see_a_mix_of_renames(four_workers: Gateway) -> None:
    def rename(client: Client, key: str, number: int) -> Reply:
        source = f"source-{number}"
        assert client.put("renames", source, *version(number)).status == 200
        return client.request(
            "PUT",
            path_of("renames", key),
            query={"renameObject": ""},
            headers={"x-amz-rename-source": f"/renames/{source}"},
        )

    overwrite(four_workers, "renames", 200, rename)
    with Client(four_workers) as client:
        assert client.list_keys("renames") == ["key"]


def test_one_writers_reader_never_goes_back_in_time(four_workers: Gateway) -> None:
    """With one writer, what a reader sees never gets older, whichever workers answer."""

    def put(client: Client, key: str, number: int) -> Reply:
        return client.put("forward", key, *version(number))

    for numbers in overwrite(four_workers, "forward", 150, put, writers=1):
        assert numbers == sorted(numbers)


def test_a_key_that_becomes_a_directory_and_back_is_never_missing(four_workers: Gateway) -> None:
    """`a` stays readable and listed while `a/b` is written and deleted: on disk it moves out of the way."""
    done = threading.Event()
    with Client(four_workers) as client:
        client.create_bucket("moves")
        assert client.put("moves", "a", *version(3)).status == 200

    def disturb() -> None:
        with Client(four_workers) as client:
            for number in range(200):
                assert client.put("moves", "a/b", b"x").status == 200
                assert client.delete("moves", "a/b").status == 204
                if number % 5 == 0:
                    assert client.put("moves", "a", *version(number)).status == 200
        done.set()

    def watch(client: Client, reader: int) -> int:
        looks = 0
        while not done.is_set() or not looks:
            check_whole(client.get("moves", "a"), [])
            assert client.list_keys("moves")[0] == "a"
            looks += 1
        return looks

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        assert min(spread(four_workers, READERS, watch, range(READERS))) > 0
    finally:
        thread.join()
    assert done.is_set()
