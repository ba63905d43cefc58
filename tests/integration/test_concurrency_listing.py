"""What was acknowledged is in the next list, whichever worker made it and whichever is asked."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.support.fast_client import Client, spread
from tests.support.gateway import Gateway


@pytest.fixture(scope="module")
def four_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of four workers."""
    home = tmp_path_factory.mktemp("listing")
    with Gateway(home / "data", workers=4, environ={"SHARDGATE_DURABILITY": "relaxed"}) as running:
        yield running


def fill(gateway: Gateway, bucket: str, count: int) -> None:
    with Client(gateway) as client:
        client.create_bucket(bucket)
    keys = [f"old/{number:05d}" for number in range(count)]
    assert set(spread(gateway, 4, lambda client, key: client.put(bucket, key, b"").status, keys)) <= {200}


@pytest.mark.parametrize("present", [0, 600], ids=["small directory", "watched directory"])
def test_a_list_has_what_was_written_and_not_what_was_deleted(four_workers: Gateway, present: int) -> None:
    """Each client changes its own names; each change is looked for over another connection, so mostly another worker.

    600 names make the directory large enough for a worker to remember it and to be told of changes by the kernel.
    """
    bucket = f"changes-{present}"
    fill(four_workers, bucket, present)

    def change(client: Client, number: int) -> int:
        chooser = random.Random(number)
        mine: set[str] = set()
        wrong = 0
        for turn in range(60):
            if mine and chooser.random() < 0.4:
                key = chooser.choice(sorted(mine))
                assert client.delete(bucket, key).status == 204
                mine.discard(key)
            else:
                key = f"old/n{number}-{chooser.randrange(20)}"
                assert client.put(bucket, key, b"%d" % turn).status == 200
                mine.add(key)
            with Client(four_workers) as other:
                wrong += set(other.list_keys(bucket, prefix=f"old/n{number}-")) != mine
        return wrong

    assert spread(four_workers, 6, change, range(6)) == [0] * 6


def test_a_list_tells_the_size_and_etag_of_the_last_overwrite(four_workers: Gateway) -> None:
    fill(four_workers, "overwrites", 600)

    def overwrite(client: Client, number: int) -> int:
        key = f"old/{number:05d}"
        wrong = 0
        for turn in range(40):
            etag = client.put("overwrites", key, b"x" * turn).etag
            with Client(four_workers) as other:
                page = other.list_page("overwrites", prefix=key).body
            wrong += f"<Size>{turn}</Size>".encode() not in page or etag.encode() not in page
        return wrong

    assert spread(four_workers, 6, overwrite, range(6)) == [0] * 6


def test_common_prefixes_come_and_go_with_their_last_key(four_workers: Gateway) -> None:
    with Client(four_workers) as client:
        client.create_bucket("prefixes")

    def change(client: Client, number: int) -> int:
        wrong = 0
        for _ in range(40):
            folder = f"f{number}/"
            for wanted in (True, False):
                if wanted:
                    assert client.put("prefixes", folder + "deep/key", b"").status == 200
                else:
                    assert client.delete("prefixes", folder + "deep/key").status == 204
                with Client(four_workers) as other:
                    page = other.list_page("prefixes", delimiter="/").body
                wrong += (f"<Prefix>{folder}</Prefix>".encode() in page) is not wanted
        return wrong

    assert spread(four_workers, 6, change, range(6)) == [0] * 6


def test_pages_hold_every_key_that_was_there_all_the_time(four_workers: Gateway) -> None:
    """While others come and go, a walk through the pages finds each lasting key once and in order."""
    fill(four_workers, "walks", 1000)
    lasting = [f"old/{number:05d}" for number in range(1000)]

    def disturb_or_walk(client: Client, number: int) -> bool:
        if number < 3:
            for turn in range(150):
                key = f"old/{(turn * 37 + number) % 1000:05d}+{number}"
                assert client.put("walks", key, b"").status == 200
                assert client.delete("walks", key).status == 204
            return True
        for _ in range(4):
            found = client.list_keys("walks", page=50)
            if [key for key in found if "+" not in key] != lasting or found != sorted(set(found)):
                return False
        return True

    assert all(spread(four_workers, 6, disturb_or_walk, range(6)))
