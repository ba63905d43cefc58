"""The worker's table of identities: warm look-ups, unknown keys, invalidation, grace."""

import itertools

import pytest

from backends.errors import StorageUnavailable
from workers.iam.auth_cache import AuthCache, root_identity
from workers.iam.identities import Identities
from workers.iam.registry import Registry, key_document
from workers.iam.sealing import Sealer
from workers.iam.stores.memory import MemoryDocuments
from workers.iam.stores.shared import Announced
from workers.protocol.errors import S3Error
from workers.state.announcements import Changes

NOW = 1_700_000_000.0


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Counting(MemoryDocuments):
    """Counts reads, and can be out of reach."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []
        self.away = False

    def get(self, name):
        if self.away:
            raise StorageUnavailable("away")
        self.reads.append(name)
        return super().get(name)


class World:
    def __init__(self, **options) -> None:
        self.clock = Clock()
        self.store = Counting()
        self.changes = Changes(None)
        sealer = Sealer(["m" * 32])
        self.registry = Registry(Announced(self.store, self.changes), sealer)
        self.auth = AuthCache(
            root_identity("ROOT", "rootrootroot"),
            Identities(Registry(self.store, sealer)),
            clock=self.clock,
            **options,
        )
        self.changes.heard.append(self.auth.forget)
        self.changes.doubted.append(self.auth.doubt)
        self.account = self.registry.create_account("alice")
        self.key = self.registry.create_key(self.account.id).record.access_key
        self.store.reads.clear()

    def find(self, key=None, token=None):
        return self.auth.find(key or self.key, token, NOW)


def test_a_known_key_is_read_once():
    world = World()
    assert world.find().account.name == "alice"
    world.store.reads.clear()
    assert world.find() is world.find()
    assert world.store.reads == []


def test_root_needs_no_store():
    world = World()
    world.store.away = True
    assert world.find("ROOT").principal.root


def test_a_disabled_key_is_refused_at_once_and_comes_back_at_once():
    world = World()
    assert world.find() is not None
    world.registry.update_key(world.key, enabled=False)
    assert world.find() is None
    world.registry.update_key(world.key, enabled=True)
    assert world.find() is not None


def test_a_key_expires_without_anybody_saying_so():
    world = World()
    assert world.find() is not None
    world.registry.update_key(world.key, expires=int((NOW + 10) * 1e9))
    world.auth.forget(key_document(world.key))
    world.auth._identities._clock = lambda: int(NOW * 1e9)
    assert world.auth.find(world.key, None, NOW + 9) is not None
    assert world.auth.find(world.key, None, NOW + 11) is None


def test_a_change_that_nobody_told_of_is_seen_when_the_entry_is_old():
    world = World(lifetime=30)
    assert world.find() is not None
    world.changes.heard.clear()
    world.registry.update_key(world.key, enabled=False)
    assert world.find() is not None
    world.clock.seconds += 31
    assert world.find() is None


def test_after_a_gap_everything_is_read_anew():
    world = World()
    assert world.find() is not None
    world.changes.heard.clear()
    world.registry.update_key(world.key, enabled=False)
    world.changes.doubt()
    assert world.find() is None


def test_grace_when_the_store_is_away_and_then_an_error():
    world = World(lifetime=30, grace=100)
    assert world.find() is not None
    world.store.away = True
    world.clock.seconds += 31
    assert world.find() is not None
    world.clock.seconds += 98
    assert world.find() is not None
    world.clock.seconds += 2
    with pytest.raises(StorageUnavailable):
        world.find()


def test_no_grace_for_what_is_known_to_have_changed():
    world = World(grace=100)
    assert world.find() is not None
    world.registry.update_key(world.key, enabled=False)
    world.store.away = True
    with pytest.raises(StorageUnavailable):
        world.find()


def test_an_unknown_key_is_read_once():
    world = World()
    for _ in range(5):
        assert world.find("AKIANOBODY") is None
    assert len(world.store.reads) == 1


def test_a_key_that_is_made_after_it_was_asked_for_is_found():
    world = World()
    assert world.find("MYOWNKEY") is None
    world.registry.create_key(world.account.id, access_key="MYOWNKEY")
    assert world.find("MYOWNKEY") is not None


def test_twenty_thousand_unknown_keys_cost_the_store_what_the_budget_allows():
    world = World(unknown_rate=50)
    codes = []
    for number in range(20_000):
        world.clock.seconds += 0.0005  # 2,000 a second
        try:
            assert world.find(f"AKIA{number:016d}") is None
        except S3Error as error:
            codes.append(error.code)
    assert len(world.store.reads) <= 50 + 10 * 50
    assert codes == ["SlowDown"] * (20_000 - len(world.store.reads))
    world.clock.seconds += 1
    assert world.find() is not None


def test_a_key_that_is_too_long_for_anybody_is_neither_looked_for_nor_remembered():
    world = World()
    assert world.find("A" * 129) is None
    assert world.store.reads == []
    assert not world.auth._unknown
    longest = world.registry.create_key(world.account.id, access_key="A" * 128).record.access_key
    assert world.find(longest) is not None


def test_known_keys_do_not_suffer_from_unknown_ones():
    world = World(unknown_rate=1, lifetime=30)
    assert world.find() is not None
    for number in range(10):
        try:
            world.find(f"AKIA{number:016d}")
        except S3Error:
            pass
    world.clock.seconds += 31  # old: has to be read again, out of nobody's budget
    assert world.find() is not None
    world.find("AKIAONEMORE")
    with pytest.raises(S3Error):
        world.find("AKIAONETOOMANY")
    world.auth.forget(key_document(world.key))
    assert world.find() is not None


def test_what_changes_while_it_is_read_is_read_again():
    world = World()
    get = MemoryDocuments.get
    changed = itertools.count()

    def slow(name):
        found = get(world.store, name)
        if name == key_document(world.key) and next(changed) == 0:
            world.registry.update_key(world.key, enabled=False)
        return found

    world.store.get = slow
    assert world.find() is None


def test_uses_are_collected():
    world = World()
    world.auth.note_use(world.find())
    world.auth.note_use(world.find("ROOT"))
    assert list(world.auth.take_used()) == [world.key]
    assert list(world.auth.take_used()) == []


class Tokens:
    def __init__(self, identity) -> None:
        self.identity = identity
        self.opened = 0

    def open(self, access_key, token):
        self.opened += 1
        if token != "good":
            raise S3Error("InvalidToken")
        return self.identity


def test_session_tokens_are_opened_once_and_end():
    import dataclasses

    world = World()
    identity = dataclasses.replace(
        world.find(), access_key="ASIA", expires=int((NOW + 60) * 1e9), sources=frozenset({"iam/roles/x"})
    )
    world.auth.sessions = tokens = Tokens(identity)
    assert world.find("ASIA", "good") is identity
    assert world.find("ASIA", "good") is identity
    assert tokens.opened == 1
    world.auth.forget("iam/roles/x")
    assert world.find("ASIA", "good") is identity
    assert tokens.opened == 2
    with pytest.raises(S3Error) as caught:
        world.find("ASIA", "bad")
    assert caught.value.code == "InvalidToken"
    with pytest.raises(S3Error) as caught:
        world.auth.find("ASIA", "good", NOW + 61)
    assert caught.value.code == "ExpiredToken"


def test_a_token_beside_a_key_that_needs_none_is_refused():
    world = World()
    with pytest.raises(S3Error) as caught:
        world.find(token="anything")
    assert caught.value.code == "InvalidToken"
