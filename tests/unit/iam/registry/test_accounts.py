"""Accounts: unique names, what their deletion takes along."""

from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.iam.registry.support import registry_over
from workers.iam.accounts import ROOT_ACCOUNT_ID
from workers.iam.records import (
    AccountLimits,
    AlreadyExists,
    DeleteConflict,
    InvalidInput,
    NotFound,
)
from workers.iam.registry import Registry
from workers.iam.stores.memory import MemoryDocuments


def test_an_account_is_found_by_all_its_names(registry: Registry) -> None:
    made = registry.create_account("Alice", email="Alice@x.example", uid=5, gid=6, groups=(7,))
    assert len(made.id) == 64
    for found in (
        registry.account(made.id),
        registry.find_account("aLiCe"),
        registry.account_by_email("alice@X.example"),
        registry.account_by_number(made.number),
    ):
        assert found == made
    assert registry.accounts() == [made]
    assert registry.find_account("bob") is None
    assert registry.account_by_email("") is None


@pytest.mark.parametrize("wanted", [{"name": "ALICE"}, {"name": "bob", "email": "A@X"}, {"name": "Root"}])
def test_names_and_emails_are_unique_whatever_their_case(registry: Registry, wanted: dict[str, Any]) -> None:
    registry.create_account("alice", email="a@x")
    with pytest.raises(AlreadyExists):
        registry.create_account(**wanted)
    assert len(registry.accounts()) == 1
    assert registry.find_account("bob") is None
    assert registry.create_account("bob").name == "bob"


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a b"},
        {"name": "a", "email": "x"},
        {"name": "a", "uid": -1},
        {"name": "a", "account_id": "x"},
        {"name": "a", "limits": AccountLimits(requests=-1)},
    ],
)
def test_wrong_input_leaves_nothing(registry: Registry, store: MemoryDocuments, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        registry.create_account(**wrong)
    assert store.documents == {}


def test_an_account_number_that_is_taken_gives_another_id(
    store: MemoryDocuments, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = iter([b"a" * 32, b"b" * 32, b"c" * 32])
    numbers = {(b"a" * 32).hex(): "111111111111", (b"b" * 32).hex(): "111111111111"}
    for module in ("workers.iam.records",):
        monkeypatch.setattr(f"{module}.account_number", lambda id: numbers.get(id, "2" * 12))
    registry = registry_over(store, random=lambda size: next(given))
    first = registry.create_account("a")
    second = registry.create_account("b")
    assert (first.id, second.id) == ((b"a" * 32).hex(), (b"c" * 32).hex())
    assert registry.account_by_number("1" * 12) == first
    assert len(registry.accounts()) == 2
    with pytest.raises(AlreadyExists, match="number"):
        registry.create_account("c", account_id=(b"b" * 32).hex())


def test_no_account_has_the_id_of_another_or_of_root(registry: Registry) -> None:
    registry.create_account("a", account_id="a" * 64)
    for taken in ("a" * 64, ROOT_ACCOUNT_ID):
        with pytest.raises(AlreadyExists):
            registry.create_account("b", account_id=taken)
    found = registry.account("a" * 64)
    assert found is not None
    assert found.name == "a"


def test_a_new_name_frees_the_old_one(registry: Registry) -> None:
    account = registry.create_account("old", email="o@x")
    changed = registry.update_account(account.id, lambda r: replace(r, name="new", email="n@x", enabled=False))
    assert registry.find_account("new") == changed
    assert registry.find_account("old") is None
    assert registry.account_by_email("o@x") is None
    assert not changed.enabled
    registry.create_account("old", email="o@x")
    with pytest.raises(AlreadyExists):
        registry.update_account(account.id, lambda r: replace(r, name="old"))
    assert registry.account(account.id) == replace(changed, changed=registry.account(account.id).changed)  # type: ignore[union-attr]
    with pytest.raises(InvalidInput):
        registry.update_account(account.id, lambda r: replace(r, id="b" * 64))
    with pytest.raises(NotFound):
        registry.update_account("b" * 64, lambda r: r)


def test_an_account_with_something_left_is_deleted_on_demand_only(registry: Registry, store: MemoryDocuments) -> None:
    account = registry.create_account("a")
    registry.users.create(account.id, "u")
    key = registry.create_key(account.id, "u").record.access_key
    own = registry.create_key(account.id).record.access_key
    with pytest.raises(DeleteConflict):
        registry.delete_account(account.id)
    registry.delete_account(account.id, cascade=True)
    assert store.documents == {}
    assert registry.find_key(key) is registry.find_key(own) is None
    with pytest.raises(NotFound):
        registry.delete_account(account.id)
