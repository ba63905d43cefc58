"""Conditional writes over four workers: one winner, and no lost update."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.support.fast_client import Client, path_of, spread
from tests.support.gateway import Gateway

WRITERS = 64
CLIENTS = 8
INCREMENTS = 1_000


@pytest.fixture(scope="module")
def four_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway of four workers."""
    with Gateway(tmp_path_factory.mktemp("conditions") / "data", workers=4) as running:
        yield running


@pytest.fixture
def name(four_workers: Gateway, request: pytest.FixtureRequest) -> str:
    """A bucket."""
    bucket = "c" + "".join(letter for letter in request.node.name if letter.isalnum())[-50:].lower()
    with Client(four_workers) as client:
        client.create_bucket(bucket)
    return bucket


def race(gateway: Gateway, key: str, bucket: str, headers: dict[str, str]) -> list[tuple[int, int, str]]:
    """(writer, status, ETag) of 64 puts that are sent at the same moment, each on a connection of its own."""
    start = threading.Barrier(WRITERS)

    def put(client: Client, writer: int) -> tuple[int, int, str]:
        client.connection()
        start.wait(30)
        reply = client.put(bucket, key, b"%d" % writer * (writer + 1), headers)
        return writer, reply.status, reply.etag

    return spread(gateway, WRITERS, put, range(WRITERS))


@pytest.mark.parametrize("key", ["plain", "new/directory/key", "a" * 600, "/", "beside/"])
def test_put_if_none_match_star_has_one_winner(four_workers: Gateway, name: str, key: str) -> None:
    with Client(four_workers) as client:
        client.put(name, "beside/below", b"makes a directory of a name")
        answers = race(four_workers, key, name, {"if-none-match": "*"})
        won = [(writer, etag) for writer, status, etag in answers if status == 200]
        assert len(won) == 1
        # AWS answers 409 to one that loses against a put in flight, 412 to one that comes later.
        assert {status for _, status, _ in answers} <= {200, 409, 412}
        writer, etag = won[0]
        found = client.get(name, key)
        assert (found.body, found.etag) == (b"%d" % writer * (writer + 1), etag)


def test_put_if_match_has_one_winner(four_workers: Gateway, name: str) -> None:
    with Client(four_workers) as client:
        for turn in range(5):
            before = client.put(name, "key", b"before %d" % turn).etag
            answers = race(four_workers, "key", name, {"if-match": f'"{before}"'})
            won = [writer for writer, status, _ in answers if status == 200]
            assert len(won) == 1
            assert client.get(name, "key").body == b"%d" % won[0] * (won[0] + 1)


def test_copy_and_rename_if_none_match_star_have_one_winner(four_workers: Gateway, name: str) -> None:
    start = threading.Barrier(24)

    def copy_or_rename(client: Client, number: int) -> tuple[int, int]:
        source = f"source/{number}"
        assert client.put(name, source, b"of %d" % number).status == 200
        start.wait(30)
        if number % 2:
            return number, client.request(
                "PUT", path_of(name, "target"), headers={"x-amz-copy-source": f"/{name}/{source}", "if-none-match": "*"}
            ).status
        return number, client.request(
            "PUT",
            path_of(name, "target"),
            query={"renameObject": ""},
            headers={"x-amz-rename-source": f"/{name}/{source}", "if-none-match": "*"},
        ).status

    answers = spread(four_workers, 24, copy_or_rename, range(24))
    won = [number for number, status in answers if status == 200]
    assert len(won) == 1, answers
    with Client(four_workers) as client:
        assert client.get(name, "target").body == b"of %d" % won[0]
        # Whoever lost still has its source; a renamed one is gone.
        kept = {f"source/{number}" for number in range(24)} - ({f"source/{won[0]}"} if won[0] % 2 == 0 else set())
        assert set(client.list_keys(name, prefix="source/")) == kept


def test_compare_and_swap_loses_no_update(four_workers: Gateway, name: str) -> None:
    with Client(four_workers) as client:
        assert client.put(name, "counter", b"0").status == 200
    left = threading.Semaphore(INCREMENTS)
    refused = [0] * CLIENTS

    def count(client: Client, number: int) -> int:
        done = 0
        while left.acquire(blocking=False):
            while True:
                seen = client.get(name, "counter")
                assert seen.status == 200
                reply = client.put(name, "counter", b"%d" % (int(seen.body) + 1), {"if-match": f'"{seen.etag}"'})
                if reply.status == 200:
                    break
                assert reply.status in (409, 412), reply
                refused[number] += 1
            done += 1
        return done

    done = spread(four_workers, CLIENTS, count, range(CLIENTS))
    assert sum(done) == INCREMENTS
    with Client(four_workers) as client:
        assert client.get(name, "counter").body == b"%d" % INCREMENTS
    assert sum(refused) > 0, "the clients never met"


def test_a_conditional_delete_and_a_put_never_both_see_the_same_object(four_workers: Gateway, name: str) -> None:
    """Of a delete and a put that both name the present ETag exactly one succeeds."""
    start = threading.Barrier(2)
    with Client(four_workers) as judge:
        for turn in range(60):
            key = f"key-{turn}"
            etag = judge.put(name, key, b"first").etag
            condition = {"if-match": f'"{etag}"'}

            def change(
                client: Client, method: str, key: str = key, condition: dict[str, str] = condition
            ) -> tuple[str, int]:
                client.connection()
                start.wait(30)
                if method == "put":
                    return method, client.put(name, key, b"second", condition).status
                return method, client.delete(name, key, condition).status

            answers = dict(spread(four_workers, 2, change, ("put", "delete")))
            found = judge.get(name, key)
            if answers["put"] == 200:
                assert answers["delete"] in (409, 412)
                assert found.body == b"second"
            else:
                assert answers["delete"] == 204
                # AWS: If-Match on what is not there is 404.
                assert answers["put"] in (404, 409, 412)
                assert found.status == 404
