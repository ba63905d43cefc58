"""Redis behind sentinels, as a cluster, by TLS: commands, epochs and subscriptions, with real servers."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis

from backends.api import BucketRecord
from dispatcher.registry import Dispatcher, Face, Pulse, Registry
from tests.support.gateway import RedisServer, wait_until
from tests.support.redis_forms import RedisCluster, SecureRedis, SentinelGroup
from tests.unit.state.conftest import BUCKET, CALLER, CountingBackend, Fleet
from workers.fairness.client import PREFIX
from workers.fairness.client import Client as Budgets
from workers.state.epoch import Epoch
from workers.state.locks import lock
from workers.state.redis import connect, informations, ping, unfit
from workers.state.subscriber import Message, Subscriber
from workers.state.uploads import State


@pytest.fixture(scope="module")
def sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelGroup]:
    with SentinelGroup(tmp_path_factory.mktemp("sentinels")) as group:
        yield group


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with RedisCluster(tmp_path_factory.mktemp("cluster"), replicas=True) as group:
        yield group


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureRedis]:
    with SecureRedis(tmp_path_factory.mktemp("secure")) as server:
        yield server


@pytest.fixture(params=["sentinels", "cluster", "secure"])
def form(request: pytest.FixtureRequest) -> Any:
    """One of the three; they share nothing but these tests."""
    return request.getfixturevalue(request.param)


def fleet_of(form: Any) -> Fleet:
    backend = CountingBackend()
    backend.create_bucket(CALLER, BucketRecord(name=BUCKET, created=1))
    return Fleet(form, backend)


def retried(call: Any) -> Any:
    """What a client's retries would get."""

    def attempt() -> Any:
        try:
            return (call(),)
        except redis.RedisError:
            return None

    return wait_until(attempt, timeout=40)[0]


def test_uploads_live_and_die_in_every_form(form):
    fleet = fleet_of(form)
    one, other = fleet.worker(), fleet.worker()
    # Enough of them to touch every node of a cluster.
    uploads = [fleet.begin(one, key=f"key-{number}") for number in range(12)]
    for upload in uploads:
        assert other.get(CALLER, BUCKET, upload.key, upload.id) == upload
        fleet.put(other, upload, 1)
        part = fleet.put(one, upload, 1, b"newer")
        assert other.parts(CALLER, BUCKET, upload.id, 0, 10).parts == [part]
    assert one.states([upload.id for upload in uploads]) == [State.OPEN] * 12
    page = other.index.page(CALLER, BUCKET, prefix="", delimiter="", key_marker="", id_marker="", limit=5)
    assert [entry.key for entry in page.uploads] == sorted(upload.key for upload in uploads)[:5]
    for upload in uploads[:6]:
        token, parts = one.begin_completion(CALLER, BUCKET, upload.id)
        assert one.renew(upload.id, token)
        one.finish(CALLER, BUCKET, upload, fleet.publish(upload, list(parts.values())))
    for upload in uploads[6:]:
        other.abort(CALLER, BUCKET, upload)
    assert other.index.prune(CALLER, BUCKET) == []
    one.index.forget(BUCKET)
    # Each hash was whole all the time: nothing had to be asked of the storage.
    assert fleet.backend.loads == 0
    for client in fleet.clients:
        client.close()


def test_the_fleets_registry_works_in_every_form(form):
    client = connect(form.url)
    registry = Registry(client)
    face = Face(address="192.0.2.1:9000", host="host", weight=100, connections=100)
    assert registry.heartbeat("alpha", face, Pulse(version="1")).number > 0
    assert registry.wish("alpha", "drain")
    registry.report(Dispatcher("front", 0.0, 1))
    fleet = registry.look()
    assert [(shard.id, shard.wish, shard.face) for shard in fleet.shards] == [("alpha", "drain", face)]
    assert 0 <= fleet.shards[0].silence < 30
    registry.retire("front")
    assert registry.fulfil("alpha", "drain")
    assert registry.forget("alpha", silent_for=0.0)
    assert registry.look().shards == registry.look().dispatchers == ()
    with lock(client, "shardgate:v1:test-lock", lifetime=5, wait=1):
        assert client.exists("shardgate:v1:test-lock")
    assert unfit(client) == ""
    assert all(found["redis_version"] for found in informations(client).values())
    client.close()


def test_budgets_are_shared_in_every_form(form):
    one, other = (Budgets(connect(form.url), time.monotonic) for _ in range(2))
    key = f"{PREFIX}{{account:{uuid4().hex}}}:"
    assert one.take(key + "requests", 10, 10, 0, 1, 8) == (8, 0)
    granted, wait = other.take(key + "requests", 0.001, 10, 5, 1, 8)
    assert granted == 0
    assert wait > 0
    assert one.lease(key + "slots", 5, 0, 4, 10.0) == 4
    assert other.lease(key + "slots", 5, 0, 4, 10.0) == 1


def test_subscriptions_hear_in_every_form(form):
    with Listening(form.url) as heard:
        publisher = connect(form.url)
        publisher.publish("shardgate:test", b"one")
        publisher.publish("shardgate:other", b"unheard")
        publisher.publish("shardgate:test", b"two")
        wait_until(lambda: len(heard.found) >= 3, what="messages")
        assert heard.found == [None, Message("shardgate:test", b"one"), Message("shardgate:test", b"two")]
        publisher.close()


class Listening:
    """A subscriber in a thread."""

    def __init__(self, url: str) -> None:
        self.found: list[Message | None] = []
        self.subscriber = Subscriber(url, ["shardgate:test"])
        self._thread = threading.Thread(target=self._listen)

    def _listen(self) -> None:
        for message in self.subscriber.listen():
            self.found.append(message)

    def __enter__(self) -> Listening:
        self._thread.start()
        wait_until(lambda: self.found == [None], what="a subscription")
        assert self.subscriber.hearing
        return self

    def __exit__(self, *_: object) -> None:
        self.subscriber.close()
        self._thread.join(20)
        assert not self._thread.is_alive()


def test_a_fail_over_by_sentinels_is_followed_and_uploads_are_restored(sentinels):
    fleet = fleet_of(sentinels)
    uploads = fleet.worker(timeout=1.0)
    upload = fleet.begin(uploads)
    part = fleet.put(uploads, upload, 1)
    assert uploads.parts(CALLER, BUCKET, upload.id, 0, 10).parts == [part]
    with Listening(sentinels.url) as heard:
        lost = sentinels.fail_over(hang=True)  # worse than killed: nothing refuses connections
        assert retried(lambda: uploads.parts(CALLER, BUCKET, upload.id, 0, 10)).parts == [part]
        # The replica may have lacked the last write: the storage was asked, once.
        assert fleet.backend.loads == 1
        publisher = connect(sentinels.url)
        wait_until(lambda: len(heard.found) > 1 and heard.subscriber.hearing, timeout=40, what="a new subscription")
        assert set(heard.found) == {None}
        assert retried(lambda: publisher.publish("shardgate:test", b"after")) == 1
        wait_until(lambda: heard.found[-1] == Message("shardgate:test", b"after"), what="the message")
        publisher.close()
    # Awake again it believes to be the master for a while; who left it does not come back.
    lost.send(signal.SIGCONT)
    assert retried(lambda: fleet.put(uploads, upload, 2)).number == 2
    assert sorted(uploads.begin_completion(CALLER, BUCKET, upload.id)[1]) == [1, 2]
    for client in fleet.clients:
        client.close()


def test_a_lost_primary_of_a_cluster_is_replaced_and_its_uploads_are_restored(cluster):
    fleet = fleet_of(cluster)
    uploads = fleet.worker()
    begun = [fleet.begin(uploads, key=f"key-{number}") for number in range(12)]
    for upload in begun:
        fleet.put(uploads, upload, 1)
    with Listening(cluster.url) as heard:
        lost = cluster.fail_over()
        for upload in begun:
            assert len(retried(lambda: uploads.parts(CALLER, BUCKET, upload.id, 0, 10)).parts) == 1  # noqa: B023
        # Only what the lost node had was asked for in the storage.
        assert 0 < fleet.backend.loads < len(begun)
        publisher = connect(cluster.url)
        wait_until(lambda: heard.subscriber.hearing, timeout=40, what="a subscription")
        count = len(heard.found)
        retried(lambda: publisher.publish("shardgate:test", b"after"))
        wait_until(lambda: len(heard.found) > count, what="the message")
        assert heard.found[-1] == Message("shardgate:test", b"after")
        publisher.close()
    lost.start()
    wait_until(cluster.whole, timeout=40, what="the whole cluster")
    for client in fleet.clients:
        client.close()


def test_a_cluster_that_is_away_is_an_error_like_others(tmp_path: Path):
    client = connect("redis+cluster://127.0.0.1:1,127.0.0.1:2", epoch=Epoch())
    assert not ping(client)
    for call in (lambda: client.get("a"), lambda: client.pipeline(transaction=False), lambda: client.pubsub()):
        with pytest.raises(redis.ConnectionError):
            call()
    client.close()


def test_sentinels_that_are_away_or_do_not_know_the_name_are_an_error_like_others(sentinels):
    away = connect("redis+sentinel://127.0.0.1:1,127.0.0.1:2/shardgate")
    with pytest.raises(redis.ConnectionError, match="No master"):
        away.get("a")
    unknown = connect(sentinels.url.replace("/shardgate/", "/other/"))
    with pytest.raises(redis.ConnectionError, match="No master"):
        unknown.get("a")


def test_the_first_of_several_sentinels_may_be_dead(sentinels):
    client = connect(sentinels.url.replace("@", "@127.0.0.1:1,"))
    assert ping(client)
    client.close()


def test_a_client_without_certificate_or_with_a_wrong_login_is_refused(secure):
    with pytest.raises(redis.ConnectionError):
        connect(secure.url_of(certificate=False)).ping()
    with pytest.raises(redis.AuthenticationError):
        connect(secure.url_of(password="wrong-password")).ping()
    with pytest.raises(redis.ConnectionError):
        connect(f"rediss://gateway:user-password@127.0.0.1:{secure.port}").ping()


def test_other_keys_than_ours_are_out_of_the_users_reach(secure):
    client = connect(secure.url)
    with pytest.raises(redis.exceptions.NoPermissionError):
        client.set("others", "1")
    client.close()


def test_a_server_that_evicts_is_unfit(redis_server: RedisServer, redis_client: redis.Redis):
    redis_client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert unfit(redis_client) == (
            "the server may evict keys: set its maxmemory-policy to noeviction (it is allkeys-lru)"
        )
    finally:
        redis_client.config_set("maxmemory-policy", "noeviction")
    assert unfit(redis_client) == ""


def test_a_script_that_met_a_new_server_on_its_way_is_repeated_on_the_restored_upload(fleet: Fleet, monkeypatch):
    uploads = fleet.worker()
    upload = fleet.begin(uploads)
    fleet.put(uploads, upload, 1)
    # The hash came through a restart with its epoch, but without its last write.
    content = fleet.client.hgetall(f"shardgate:v1:upload:{{{upload.id}}}")
    fleet.put(uploads, upload, 2)
    fleet.lose_redis()
    fleet.client.hset(f"shardgate:v1:upload:{{{upload.id}}}", mapping=content)
    _, parts = uploads.begin_completion(CALLER, BUCKET, upload.id)
    assert sorted(parts) == [1, 2]
