"""The fleet in Redis: registration, wishes, and what a Redis that forgot everything does to it."""

import dataclasses

import pytest

from dispatcher.registry import (
    DRAIN,
    HIGHEST_NUMBER,
    LEFT,
    REMOVE,
    UP,
    Dispatcher,
    Face,
    Pulse,
    Registry,
    number_of,
)

FACE = Face(address="10.0.0.1:9000", host="a/1", weight=100, connections=3000, state=UP)
PULSE = Pulse(version="1.0", workers=2, started=5.0, load=0.25, health={"backend": "ok", "redis": "ok"})


@pytest.fixture
def registry(redis_client):
    return Registry(redis_client)


def test_a_heartbeat_registers_and_tells_everything(registry):
    answer = registry.heartbeat("one", FACE, PULSE)
    assert (answer.number, answer.wish, answer.revision) == (number_of("one"), "", 1)
    fleet = registry.look()
    (shard,) = fleet.shards
    assert (shard.id, shard.number, shard.face, shard.pulse) == ("one", answer.number, FACE, PULSE)
    assert 0 <= shard.silence < 5
    assert fleet.revision == 1


def test_only_what_concerns_traffic_counts_as_a_change(registry):
    registry.heartbeat("one", FACE, PULSE)
    assert registry.heartbeat("one", FACE, dataclasses.replace(PULSE, load=0.9)).revision == 1
    assert registry.heartbeat("one", dataclasses.replace(FACE, state=LEFT), PULSE).revision == 2


def test_numbers_are_the_same_everywhere_and_never_shared(registry, monkeypatch):
    assert number_of("shard-1") == 370477
    assert 1 <= number_of("") <= HIGHEST_NUMBER
    monkeypatch.setattr("dispatcher.registry.number_of", lambda name: HIGHEST_NUMBER)
    numbers = [registry.heartbeat(name, FACE, PULSE).number for name in ("a", "b", "c")]
    assert numbers == [HIGHEST_NUMBER, 1, 2]
    assert [registry.heartbeat(name, FACE, PULSE).number for name in ("c", "b", "a")] == numbers[::-1]


def test_a_redis_that_lost_everything_knows_the_fleet_after_one_heartbeat(registry, redis_client):
    registry.heartbeat("other", FACE, PULSE)
    redis_client.flushall()
    assert registry.look().shards == ()
    # The number that it had before is proposed, and kept.
    assert registry.heartbeat("one", FACE, PULSE, number=77).number == 77
    assert registry.look().shards[0].number == 77


def test_a_redis_that_restarted_lost_its_scripts_too(registry, redis_client):
    registry.heartbeat("one", FACE, PULSE)
    redis_client.script_flush()
    assert registry.heartbeat("one", FACE, PULSE).revision == 1
    redis_client.script_flush()
    assert registry.wish("one", DRAIN)


def test_wishes_reach_the_shard_and_are_taken_back(registry):
    registry.heartbeat("one", FACE, PULSE)
    assert registry.wish("one", DRAIN)
    assert registry.heartbeat("one", FACE, PULSE).wish == DRAIN
    assert registry.look().shards[0].wish == DRAIN
    assert registry.look().revision == 2
    assert registry.wish("one", "")
    assert registry.heartbeat("one", FACE, PULSE).wish == ""
    assert not registry.wish("nobody", DRAIN)


def test_a_wish_that_was_carried_out_does_not_take_a_newer_one_away(registry):
    registry.heartbeat("one", FACE, PULSE)
    registry.wish("one", "restart 1")
    registry.wish("one", REMOVE)
    assert not registry.fulfil("one", "restart 1")
    assert registry.look().shards[0].wish == REMOVE
    assert registry.fulfil("one", REMOVE)
    assert registry.look().shards[0].wish == ""


def test_only_silent_shards_are_forgotten(registry, redis_client):
    registry.heartbeat("one", FACE, PULSE)
    assert not registry.forget("one", silent_for=60)
    redis_client.hset("shardgate:v1:{fleet}:beats", "one", "1000")
    assert registry.forget("one", silent_for=60)
    assert registry.look().shards == ()
    assert not registry.forget("one", silent_for=60)
    left = set(redis_client.keys("*"))
    assert left == {b"shardgate:v1:{fleet}:revision"}


def test_dispatchers_report_and_retire(registry):
    report = Dispatcher("d", 0.0, 5, "http://a:1", "2.6.12", 3, {"one": {"status": "UP", "requests": 2}})
    registry.report(report)
    (found,) = registry.look().dispatchers
    assert dataclasses.replace(found, silence=0.0) == report
    registry.retire("d")
    assert registry.look().dispatchers == ()


def test_fields_of_a_later_version_are_ignored(registry, redis_client):
    registry.heartbeat("one", FACE, PULSE)
    text = redis_client.hget("shardgate:v1:{fleet}:faces", "one").decode()
    redis_client.hset("shardgate:v1:{fleet}:faces", "one", text.replace("{", '{"colour": "blue", ', 1))
    assert registry.look().shards[0].face == FACE


def test_all_keys_are_of_one_slot(registry, redis_client):
    registry.heartbeat("one", FACE, PULSE)
    registry.report(Dispatcher("d", 0.0, 5))
    assert all(key.startswith(b"shardgate:v1:{fleet}:") for key in redis_client.keys("*"))
