"""What Redis keeps of identities: whoever can write to it can neither make anything up nor turn time back."""

import time

import pytest
import redis

from workers.iam.sealing import Sealer
from workers.iam.stores.memory import MemoryDocuments
from workers.iam.stores.shared import SKEW_SECONDS, Announced, Cached
from workers.state.announcements import Changes, document_key

NAME = "iam/keys/akia"
LIFETIME = 30.0


class World:
    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.store = MemoryDocuments()
        self.later = 0.0
        self.sealer = Sealer(["m" * 32])
        self.cached = self.open(self.sealer)
        self.announced = Announced(self.store, Changes(client))

    def open(self, sealer: Sealer) -> Cached:
        return Cached(self.store, self.client, sealer, LIFETIME, now=lambda: time.time() + self.later)

    def kept(self, name: str = NAME) -> bytes:
        found = self.client.get(document_key(name))
        assert isinstance(found, bytes)
        return found

    def plant(self, data: bytes, name: str = NAME) -> None:
        self.client.set(document_key(name), data)


@pytest.fixture
def world(redis_client: redis.Redis) -> World:
    return World(redis_client)


def test_a_document_is_kept_and_a_missing_one_too(world: World) -> None:
    world.announced.put(NAME, b"one", None)
    assert world.cached.get(NAME).data == b"one"  # type: ignore[union-attr]
    assert world.cached.get("iam/keys/nobody") is None
    world.store.documents.clear()
    assert world.cached.get(NAME).data == b"one"  # type: ignore[union-attr]
    assert (world.cached.known(NAME), world.cached.known("iam/keys/nobody")) == (True, False)
    assert world.cached.known("iam/keys/other") is None
    assert b"one" not in world.kept()


def test_a_former_document_that_is_put_back_does_not_last(world: World) -> None:
    revision = world.announced.put(NAME, b"enabled", None)
    world.cached.get(NAME)
    former = world.kept()
    world.announced.put(NAME, b"disabled", revision)
    assert world.cached.get(NAME).data == b"disabled"  # type: ignore[union-attr]
    world.later = LIFETIME + SKEW_SECONDS + 1
    world.plant(former)
    assert world.cached.get(NAME).data == b"disabled"  # type: ignore[union-attr]


@pytest.mark.parametrize("forged", [b"", b"-", b"x" * 200, b"\x01" * 200])
def test_what_is_made_up_is_not_taken(world: World, forged: bytes) -> None:
    world.announced.put(NAME, b"one", None)
    world.plant(forged)
    assert world.cached.known(NAME) is None
    assert world.cached.get(NAME).data == b"one"  # type: ignore[union-attr]


def test_a_document_under_another_name_is_not_taken(world: World) -> None:
    world.announced.put("iam/keys/mine", b"mine", None)
    world.announced.put(NAME, b"one", None)
    world.cached.get("iam/keys/mine")
    world.cached.get("iam/keys/nobody")
    for other in ("iam/keys/mine", "iam/keys/nobody"):
        world.plant(world.kept(other))
        assert world.cached.get(NAME).data == b"one"  # type: ignore[union-attr]


def test_what_is_kept_under_a_key_that_was_dropped_is_read_anew(world: World) -> None:
    world.announced.put(NAME, b"one", None)
    world.cached.get(NAME)
    other = world.open(Sealer(["n" * 32]))
    assert other.get(NAME).data == b"one"  # type: ignore[union-attr]


def test_a_reader_that_was_overtaken_keeps_nothing(world: World) -> None:
    revision = world.announced.put(NAME, b"one", None)
    get = world.store.get

    def slow(name: str) -> object:
        found = get(name)
        world.announced.put(NAME, b"two", revision)
        return found

    world.store.get = slow  # type: ignore[assignment, method-assign]
    assert world.cached.get(NAME).data == b"one"  # type: ignore[union-attr]
    world.store.get = get  # type: ignore[method-assign]
    assert world.client.get(document_key(NAME)) is None
    assert world.cached.get(NAME).data == b"two"  # type: ignore[union-attr]
