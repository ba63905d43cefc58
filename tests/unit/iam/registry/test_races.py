"""Concurrent creations, and crashes at any step."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.iam.registry.support import ALLOW, HOUR, KEY, Clock, Crash, Mortal, registry_over
from workers.iam.account_registry import GRACE, claims_of
from workers.iam.records import (
    AlreadyExists,
    Busy,
    IamError,
    NotFound,
)
from workers.iam.registry import Registry
from workers.iam.sealing import Sealer
from workers.iam.stores.api import DocumentStore
from workers.iam.stores.memory import MemoryDocuments


def test_of_concurrent_creations_one_wins(real_store: DocumentStore) -> None:
    results: list[object] = []
    gate = threading.Barrier(6)

    def run() -> None:
        registry = Registry(real_store, Sealer([KEY]))
        gate.wait()
        try:
            results.append(registry.create_account("alice", email="a@x").id)
        except IamError as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    registry = Registry(real_store, Sealer([KEY]))
    winners = [result for result in results if isinstance(result, str)]
    assert len(results) == 6
    assert all(isinstance(result, str | AlreadyExists) for result in results)
    assert len(winners) <= 1  # all may lose when each holds what another one waits for
    assert [account.id for account in registry.accounts()] == winners
    found = registry.find_account("alice") or registry.create_account("alice", email="a@x")
    assert registry.account_by_email("a@x") == found


def _rename(registry: Registry) -> None:
    account = registry.find_account("a") or registry.find_account("b")
    assert account is not None
    registry.update_account(account.id, lambda record: replace(record, name="b", email="b@x"))


def _rotate(registry: Registry) -> None:
    registry.rotate_key("KEYA", HOUR)


CHANGES: dict[str, Callable[[Registry], object]] = {
    "create account": lambda registry: registry.create_account("b", email="b@x"),
    "rename": _rename,
    "create key": lambda registry: registry.create_key("a" * 64, "u", access_key="KEYB"),
    "rotate key": _rotate,
    "delete key": lambda registry: registry.delete_key("KEYA"),
    "delete user": lambda registry: registry.delete_user("a" * 64, "u", cascade=True),
    "delete policy": lambda registry: registry.delete_policy("a" * 64, "p"),
    "delete account": lambda registry: registry.delete_account("a" * 64, cascade=True),
}


def _world() -> MemoryDocuments:
    store = MemoryDocuments()
    registry = registry_over(store)
    account = registry.create_account("a", email="a@x", account_id="a" * 64).id
    registry.users.create(account, "u")
    registry.create_key(account, "u", access_key="KEYA")
    registry.policies.create(account, "p", ALLOW)
    return store


@pytest.mark.parametrize("name", CHANGES)
def test_a_crash_at_any_step_leaves_what_a_reader_understands(name: str) -> None:
    steps = 0
    while True:
        store, clock = _world(), Clock()
        try:
            CHANGES[name](registry_over(Mortal(store, steps), clock))
        except Crash:
            pass
        else:
            break
        steps += 1
        registry = registry_over(store, clock)
        _check_readable(registry)
        clock.now += GRACE
        registry.repair()
        assert registry.repair() == 0
        _check_readable(registry)
        _check_nothing_left(registry, store)
        # What was begun can be done, whatever state it was left in.
        try:
            CHANGES[name](registry)
        except (NotFound, AlreadyExists):
            assert steps > 1
        _check_nothing_left(registry, store)
    assert steps >= 1


def _check_readable(registry: Registry) -> None:
    names: set[str] = set()
    for account in registry.accounts():
        assert registry.find_account(account.name) == account
        assert registry.account_by_email(account.email) == account
        assert registry.account_by_number(account.number) == account
        assert account.name not in names
        names.add(account.name)
        for user in registry.users.all(account.id):
            for key in registry.keys(account.id, user.name):
                found = registry.find_key(key.access_key)
                assert found is not None
                assert found.user == user
    for access_key in ("KEYA", "KEYB"):
        found = registry.find_key(access_key)
        assert found is None or registry.account(found.account.id) is not None
    assert len(names) <= 2


def _check_nothing_left(registry: Registry, store: MemoryDocuments) -> None:
    """Every document belongs to an account that is there."""
    expected: set[str] = set()
    for account in registry.accounts():
        expected |= set(account.claims)
        assert set(account.claims) == set(claims_of(account))
        expected |= {name for name in store.documents if account.id in name}
        for owner in ("", *(user.name for user in registry.users.all(account.id))):
            expected |= {f"iam/keys/{key.access_key.lower()}" for key in registry.keys(account.id, owner)}
    assert set(store.documents) == expected


def test_a_name_of_a_crashed_creation_is_free_after_a_while(store: MemoryDocuments, clock: Clock) -> None:
    with pytest.raises(Crash):
        registry_over(Mortal(store, 3), clock).create_account("b", email="b@x")
    registry = registry_over(store, clock)
    assert registry.accounts() == []
    with pytest.raises(AlreadyExists):
        registry.create_account("b")
    clock.now += GRACE
    assert registry.find_account("b") is None
    made = registry.create_account("b", email="b@x")
    assert registry.accounts() == [made]


def test_a_slow_creation_that_was_given_up_fails(store: MemoryDocuments, clock: Clock) -> None:
    class Slow(MemoryDocuments):
        def put(self, name: str, data: bytes, expected: str | None) -> str:
            if name.startswith("iam/accounts/") and expected is not None:
                clock.now += GRACE
                winners.append(registry_over(store, clock).create_account("b"))
            return store.put(name, data, expected)

    winners: list[Any] = []
    slow = Slow()
    slow.get, slow.delete, slow.names = store.get, store.delete, store.names  # type: ignore[method-assign]
    with pytest.raises(Busy):
        registry_over(slow, clock).create_account("b")
    assert registry_over(store, clock).accounts() == winners
    assert registry_over(store, clock).find_account("b") == winners[0]


def test_a_name_that_an_account_takes_back_at_once_stays_its_own(store: MemoryDocuments, clock: Clock) -> None:
    """Whoever gave the name up is about to remove its claim when the other has claimed it again."""
    other = registry_over(store, clock)
    account = other.create_account("x").id
    written = 0

    class Between(Mortal):
        def put(self, name: str, data: bytes, expected: str | None) -> str:
            nonlocal written
            revision = super().put(name, data, expected)
            written += name.startswith("iam/accounts/")
            if written == 2:
                written += 1
                other.update_account(account, lambda record: replace(record, name="x"))
            return revision

    registry_over(Between(store, -1), clock).update_account(account, lambda record: replace(record, name="y"))
    assert written == 3
    found = other.find_account("x")
    assert found is not None
    assert found.id == account
    with pytest.raises(AlreadyExists):
        other.create_account("x")
    assert other.find_account("y") is None
    assert other.create_account("y").name == "y"
