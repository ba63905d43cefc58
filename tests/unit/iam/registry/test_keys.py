"""Access keys: secrets told once, owners, limits, ends."""

import pytest
from msgspec.structs import replace

from tests.unit.iam.registry.support import HOUR, Clock, registry_over
from workers.iam.records import (
    MAX_KEYS,
    AlreadyExists,
    InvalidInput,
    LimitExceeded,
    NotFound,
)
from workers.iam.registry import TOUCH, Registry
from workers.iam.stores.memory import MemoryDocuments


def test_a_secret_is_told_once(registry: Registry) -> None:
    account = registry.create_account("a")
    record, secret = registry.create_key(account.id)
    assert (len(record.access_key), record.access_key[:4], len(secret)) == (20, "AKIA", 40)
    assert registry.secret_of(record) == secret
    found = registry.find_key(record.access_key)
    assert found is not None
    assert secret not in repr(found)
    assert registry.keys(account.id) == [record]


def test_keys_of_users(registry: Registry) -> None:
    account = registry.create_account("a")
    user = registry.users.create(account.id, "Bob")
    key = registry.create_key(account.id, "bob", access_key="Key1", secret="password").record
    assert (key.user, key.user_id) == ("Bob", user.id)
    assert registry.keys(account.id, "bob") == [key]
    assert registry.keys(account.id) == []
    assert registry.find_key("KEY1") is None
    registry.create_key(account.id, access_key="KEY1", secret="password")
    for taken in ("Key1", "KEY1"):
        with pytest.raises(AlreadyExists):
            registry.create_key(account.id, access_key=taken)
    with pytest.raises(NotFound):
        registry.create_key(account.id, "nobody")
    with pytest.raises(NotFound):
        registry.create_key("b" * 64)


def test_a_key_of_the_configuration_is_not_given_away(store: MemoryDocuments) -> None:
    registry = registry_over(store, reserved=["ROOTKEY"])
    account = registry.create_account("a")
    with pytest.raises(AlreadyExists):
        registry.create_key(account.id, access_key="ROOTKEY")


def test_there_are_so_many_keys_at_most(registry: Registry, store: MemoryDocuments) -> None:
    account = registry.create_account("a")
    for _ in range(MAX_KEYS):
        registry.create_key(account.id)
    before = set(store.documents)
    with pytest.raises(LimitExceeded):
        registry.create_key(account.id)
    assert set(store.documents) == before


def test_a_key_expires_at_a_time(registry: Registry, store: MemoryDocuments) -> None:
    account = registry.create_account("a")
    before = set(store.documents)
    with pytest.raises(InvalidInput):
        registry.create_key(account.id, expires=-1)
    assert set(store.documents) == before
    key = registry.create_key(account.id, expires=5).record
    assert key.expires == 5
    with pytest.raises(InvalidInput):
        registry.update_key(key.access_key, expires=2**63)
    assert registry.keys(account.id) == [key]


def test_keys_are_changed_rotated_touched_and_deleted(registry: Registry, clock: Clock) -> None:
    account = registry.create_account("a")
    old = registry.create_key(account.id).record.access_key
    assert not registry.update_key(old, enabled=False).enabled
    assert registry.update_key(old, enabled=True, expires=clock.now + HOUR).enabled
    new = registry.rotate_key(old, 2 * HOUR).record.access_key
    rotated = registry.find_key(old)
    assert rotated is not None
    assert rotated.record.expires == clock.now + HOUR
    assert registry.touch_key(new)
    assert not registry.touch_key(new)
    clock.now += TOUCH
    assert registry.touch_key(new)
    assert not registry.touch_key("nokey")
    registry.delete_key(old)
    assert [key.access_key for key in registry.keys(account.id)] == [new]
    for call in (registry.delete_key, registry.update_key, lambda key: registry.rotate_key(key, 0)):
        with pytest.raises(NotFound):
            call(old)


def test_a_later_user_of_the_same_name_has_no_key_of_the_former(registry: Registry, store: MemoryDocuments) -> None:
    account = registry.create_account("a")
    registry.users.create(account.id, "u")
    key = registry.create_key(account.id, "u").record.access_key
    document = f"iam/keys/{key.lower()}"
    stored = store.documents[document]
    registry.delete_user(account.id, "u", cascade=True)
    later = registry.users.create(account.id, "u")
    store.put(document, stored.data, None)  # as if its removal had been lost
    assert registry.find_key(key) is None
    registry.users.update(account.id, "u", lambda record: replace(record, access_keys=(key,)))
    assert registry.find_key(key) is None
    assert later.access_keys == ()
