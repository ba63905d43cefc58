"""Identities in Redis: what is kept, when it is dropped, and that changes are heard of by every worker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis

from backends.errors import StorageUnavailable
from tests.support.gateway import RedisServer, wait_until
from workers.iam.registry import Registry, key_document
from workers.iam.sealing import Sealer
from workers.iam.stores.memory import MemoryDocuments
from workers.iam.stores.shared import Announced, Cached
from workers.state.announcements import CHANNEL, COUNTER, Changes, Listener, document_key
from workers.state.redis import connect
from workers.state.subscriber import Subscriber

SEALER = Sealer(["m" * 32])


class Counting(MemoryDocuments):
    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []
        self.during_read: Callable[[], Any] = lambda: None

    def get(self, name: str) -> Any:
        self.reads.append(name)
        found = super().get(name)
        self.during_read()
        return found


@pytest.fixture
def store() -> Counting:
    return Counting()


def test_a_document_is_read_from_the_store_once_for_all_workers(redis_client: redis.Redis, store: Counting) -> None:
    store.put("iam/x", b"sealed", None)
    one, other = Cached(store, redis_client, SEALER, 30), Cached(store, redis_client, SEALER, 30)
    assert one.get("iam/x") == other.get("iam/x") == store.documents["iam/x"]
    assert store.reads == ["iam/x"]
    assert 0 < redis_client.pttl(document_key("iam/x")) <= 30_000


def test_that_there_is_none_is_kept_too(redis_client: redis.Redis, store: Counting) -> None:
    cached = Cached(store, redis_client, SEALER, 30)
    assert cached.known("iam/x") is None
    assert cached.get("iam/x") is None
    assert cached.get("iam/x") is None
    assert cached.known("iam/x") is False
    assert store.reads == ["iam/x"]
    Announced(store, Changes(redis_client)).put("iam/x", b"new", None)
    assert cached.get("iam/x").data == b"new"
    assert cached.known("iam/x") is True


def test_a_change_is_never_overwritten_by_an_older_reading(redis_client: redis.Redis, store: Counting) -> None:
    revision = store.put("iam/x", b"old", None)
    announced = Announced(store, Changes(redis_client))

    def change() -> None:
        store.during_read = lambda: None
        announced.put("iam/x", b"new", revision)

    store.during_read = change
    cached = Cached(store, redis_client, SEALER, 30)
    assert cached.get("iam/x").data == b"old"  # what was true when it was asked for
    assert redis_client.get(document_key("iam/x")) is None
    assert cached.get("iam/x").data == b"new"


def test_what_nobody_wrote_is_not_believed(redis_client: redis.Redis, store: Counting) -> None:
    store.put("iam/x", b"sealed", None)
    for damaged in (b"", b"\x93", b"{}", b"garbage"):
        redis_client.set(document_key("iam/x"), damaged)
        assert Cached(store, redis_client, SEALER, 30).get("iam/x").data == b"sealed"


def test_without_redis_the_store_is_read(store: Counting, redis_server: RedisServer) -> None:
    store.put("iam/x", b"sealed", None)
    assert Cached(store, None, SEALER, 30).get("iam/x").data == b"sealed"
    away = connect("unix:///nowhere/redis.sock")
    cached = Cached(store, away, SEALER, 30)
    for _ in range(2):
        assert cached.get("iam/x").data == b"sealed"
    assert cached.known("iam/x") is None
    with pytest.raises(StorageUnavailable):
        cached.put("iam/x", b"", None)


def test_a_change_that_could_not_be_announced_is_announced_later(
    redis_client: redis.Redis, redis_server: RedisServer, store: Counting
) -> None:
    now = [0.0]
    client = connect(redis_server.url)
    changes = Changes(client, lambda: now[0])
    redis_server.kill()
    try:
        assert not changes.announce("iam/x")
        assert not changes.announce("iam/y")
    finally:
        redis_server.start()
    now[0] += 60
    changes.announce_unsent()
    assert int(redis_client.get(COUNTER)) == 2
    assert changes.announce("iam/z")
    client.close()


@dataclass
class Ear:
    """A worker that listens, in a thread."""

    url: str
    heard: list[str] = field(default_factory=list)
    doubts: int = 0

    def __post_init__(self) -> None:
        self.subscriber = Subscriber(self.url, [CHANNEL])
        changes = Changes(None)
        changes.heard.append(self.heard.append)
        changes.doubted.append(self.doubt)
        self.listener = Listener(self.subscriber, changes)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        wait_until(lambda: self.subscriber.hearing and self.doubts, what="the subscription")

    def run(self) -> None:
        self.listener.listen()

    def doubt(self) -> None:
        self.doubts += 1

    def close(self) -> None:
        self.subscriber.close()
        self.thread.join(timeout=30)


@pytest.fixture
def ears(redis_server: RedisServer) -> Iterator[Callable[[], Ear]]:
    made: list[Ear] = []

    def listen() -> Ear:
        made.append(Ear(redis_server.url))
        return made[-1]

    yield listen
    for ear in made:
        ear.subscriber.close()
    for ear in made:
        ear.close()


def test_every_worker_hears_of_a_change(redis_client: redis.Redis, ears: Callable[[], Ear], store: Counting) -> None:
    listening = [ears() for _ in range(3)]
    registry = Registry(Announced(store, Changes(redis_client)), SEALER)
    account = registry.create_account("alice")
    key = registry.create_key(account.id).record.access_key
    for ear in listening:
        wait_until(lambda ear=ear: key_document(key) in ear.heard, what="the news")
        assert ear.doubts == 1
    for name in redis_client.scan_iter("*"):
        assert b"alice" not in (redis_client.get(name) or b"")


def test_what_is_no_name_deafens_nobody(redis_client: redis.Redis, ears: Callable[[], Ear]) -> None:
    ear = ears()
    for message in (b"\xff\xfe", b"", b"bucket/", b"x" * 100_000, b"iam/real"):
        redis_client.publish(CHANNEL, message)
    wait_until(lambda: "iam/real" in ear.heard, what="the news")


def test_a_new_connection_means_that_changes_may_have_been_missed(
    redis_client: redis.Redis, redis_server: RedisServer, ears: Callable[[], Ear]
) -> None:
    ear = ears()
    redis_client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    wait_until(lambda: ear.doubts == 2, what="doubt")
    redis_server.kill()
    redis_server.start()
    wait_until(lambda: ear.doubts >= 3, what="doubt after a restart")
    client = connect(redis_server.url)
    wait_until(lambda: client.publish(CHANNEL, "iam/y") >= 1, what="an ear")
    wait_until(lambda: "iam/y" in ear.heard, what="the news")
    client.close()
