"""Accounts and keys: unique names, secrets told once; crashes, races and a change of the master key."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from backends.api import BackendConfig
from backends.errors import StorageUnavailable
from backends.loader import create
from workers.iam.account_registry import GRACE, claims_of
from workers.iam.accounts import ROOT_ACCOUNT_ID
from workers.iam.records import (
    MAX_ATTACHED,
    MAX_GROUPS,
    MAX_KEYS,
    MAX_VERSIONS,
    AccountLimits,
    AlreadyExists,
    Busy,
    DeleteConflict,
    IamError,
    InvalidInput,
    LimitExceeded,
    NotFound,
)
from workers.iam.registry import TOUCH, Registry
from workers.iam.sealing import Sealer
from workers.iam.stores.api import DocumentStore, Stored
from workers.iam.stores.backend import BackendDocuments
from workers.iam.stores.file import FileDocuments
from workers.iam.stores.memory import MemoryDocuments
from workers.protocol.errors import S3Error

KEY, NEW_KEY = "k" * 32, "n" * 32
ALLOW = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}}'
TRUST = '{"Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}}'
HOUR = 3600 * 10**9


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1_782_043_200 * 10**9

    def __call__(self) -> int:
        return self.now


class Crash(BaseException):
    """The process dies."""


class Mortal:
    """A store whose user dies before the given change, which 0 is the first of."""

    def __init__(self, inner: DocumentStore, changes: int) -> None:
        self.inner = inner
        self.left = changes

    def get(self, name: str) -> Stored | None:
        return self.inner.get(name)

    def names(self, prefix: str) -> Any:
        return self.inner.names(prefix)

    def put(self, name: str, data: bytes, expected: str | None) -> str:
        self._live()
        return self.inner.put(name, data, expected)

    def delete(self, name: str, expected: str) -> None:
        self._live()
        self.inner.delete(name, expected)

    def _live(self) -> None:
        if self.left == 0:
            raise Crash
        self.left -= 1


def registry_over(store: DocumentStore, clock: Callable[[], int] | None = None, **options: Any) -> Registry:
    return Registry(store, Sealer([KEY]), clock=clock or Clock(), sleep=lambda seconds: None, **options)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> MemoryDocuments:
    return MemoryDocuments()


@pytest.fixture
def registry(store: MemoryDocuments, clock: Clock) -> Registry:
    return registry_over(store, clock)


@pytest.fixture(params=["memory backend", "posix backend", "file"])
def real_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DocumentStore]:
    if request.param == "file":
        yield FileDocuments(tmp_path / "f", Sealer([KEY]), durable=False)
        return
    backend = create(request.param.split()[0], BackendConfig(directory=str(tmp_path), durable=False))
    backend.open()
    yield BackendDocuments(backend)
    backend.close()


# -- accounts


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


# -- keys


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


# -- users, groups, roles, policies


def test_entities(registry: Registry) -> None:
    account = registry.create_account("a").id
    other = registry.create_account("b").id
    registry.users.create(account, "Bob", path="/x/", tags={"k": "v"}, uid=1)
    registry.users.create(other, "bob")
    for collection in (registry.users, registry.groups):
        with pytest.raises(NotFound):
            collection.get(account, "none")
    with pytest.raises(AlreadyExists, match="user with name BOB already exists"):
        registry.users.create(account, "BOB")
    assert registry.users.get(account, "bob").arn.endswith(":user/x/Bob")
    assert [user.name for user in registry.users.all(account, "/x/")] == ["Bob"]
    assert registry.users.all(account, "/y/") == []
    registry.groups.create(account, "G")
    registry.users.join(account, "bob", "g")
    assert [user.name for user in registry.users.members(registry.groups.get(account, "G"))] == ["Bob"]
    with pytest.raises(DeleteConflict):
        registry.delete_group(account, "g")
    with pytest.raises(DeleteConflict):
        registry.delete_user(account, "bob")
    registry.users.leave(account, "bob", "g")
    with pytest.raises(NotFound):
        registry.users.leave(account, "bob", "g")
    registry.delete_group(account, "g")
    registry.delete_user(account, "bob")
    assert registry.users.all(account) == []
    assert len(registry.users.all(other)) == 1


def test_policies_of_a_holder(registry: Registry) -> None:
    account = registry.create_account("a").id
    registry.groups.create(account, "g")
    registry.groups.put_inline(account, "g", "p", ALLOW)
    with pytest.raises(S3Error, match="Statement"):
        registry.groups.put_inline(account, "g", "q", "{}")
    with pytest.raises(LimitExceeded):
        registry.groups.put_inline(account, "g", "q", ALLOW.replace("*", "arn:aws:s3:::" + "x" * 5200))
    with pytest.raises(DeleteConflict):
        registry.delete_group(account, "g")
    with pytest.raises(NotFound):
        registry.groups.delete_inline(account, "g", "q")
    registry.groups.delete_inline(account, "g", "p")
    with pytest.raises(InvalidInput):
        registry.groups.set_boundary(account, "g", "arn")
    registry.delete_group(account, "g")


def test_managed_policies(registry: Registry) -> None:
    account = registry.create_account("a").id
    policy = registry.policies.create(account, "P", ALLOW, path="/x/")
    assert registry.policies.by_arn(account, policy.arn) == policy
    assert registry.policies.by_arn(account, policy.arn.replace("/x/", "/")) is None
    assert registry.policies.by_arn("b" * 64, policy.arn) is None
    assert registry.policies.by_arn(account, "nonsense") is None
    assert registry.policies.add_version(account, "p", ALLOW, default=True) == "v2"
    with pytest.raises(DeleteConflict):
        registry.policies.delete_version(account, "p", "v2")
    registry.policies.delete_version(account, "p", "v1")
    for number in range(MAX_VERSIONS - 1):
        assert registry.policies.add_version(account, "p", ALLOW) == f"v{number + 3}"
    with pytest.raises(LimitExceeded):
        registry.policies.add_version(account, "p", ALLOW)
    with pytest.raises(NotFound):
        registry.policies.set_default(account, "p", "v1")
    registry.policies.set_default(account, "p", "v3")
    with pytest.raises(DeleteConflict):
        registry.delete_policy(account, "p")
    assert not registry.policies.get(account, "p").condemned


def test_an_attached_policy_is_not_deleted(registry: Registry) -> None:
    account = registry.create_account("a").id
    arn = registry.policies.create(account, "p", ALLOW).arn
    registry.users.create(account, "u")
    registry.roles.create(account, "r", TRUST)
    with pytest.raises(NotFound):
        registry.users.attach(account, "u", arn + "x")
    registry.users.attach(account, "u", arn)
    registry.users.attach(account, "u", arn)
    registry.roles.set_boundary(account, "r", arn)
    assert len(registry.attached_to(account, arn)) == 2
    with pytest.raises(DeleteConflict):
        registry.delete_policy(account, "p")
    registry.users.detach(account, "u", arn)
    with pytest.raises(NotFound):
        registry.users.detach(account, "u", arn)
    with pytest.raises(DeleteConflict):
        registry.delete_policy(account, "p")
    registry.roles.set_boundary(account, "r", "")
    registry.delete_policy(account, "p")
    assert registry.policies.all(account) == []


def test_a_policy_that_is_deleted_while_it_is_attached(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    account = registry.create_account("a").id
    arn = registry.policies.create(account, "p", ALLOW).arn
    registry.users.create(account, "u")
    update = registry.users.update

    def late(*args: Any) -> Any:
        monkeypatch.undo()
        registry.delete_policy(account, "p")
        return update(*args)

    monkeypatch.setattr(registry.users, "update", late)
    with pytest.raises(NotFound):
        registry.users.attach(account, "u", arn)
    assert registry.users.get(account, "u").attached == ()


def test_a_policy_whose_deletion_was_given_up_holds_and_is_not_attached_anew(store: MemoryDocuments) -> None:
    registry = registry_over(store)
    account = registry.create_account("a").id
    arn = registry.policies.create(account, "p", ALLOW).arn
    registry.users.create(account, "u")
    registry.users.create(account, "v")
    registry.users.attach(account, "u", arn)
    with pytest.raises(Crash):
        registry_over(Mortal(store, 1)).delete_policy(account, "p")
    assert registry.policies.by_arn(account, arn) is not None
    for refer in (registry.users.attach, registry.users.set_boundary):
        with pytest.raises(NotFound, match="not attachable"):
            refer(account, "v", arn)
    with pytest.raises(DeleteConflict):
        registry.delete_policy(account, "p")
    registry.users.attach(account, "v", arn)


def test_concurrent_changes_of_a_user_are_all_kept(real_store: DocumentStore) -> None:
    registry = Registry(real_store, Sealer([KEY]))
    account = registry.create_account("a").id
    registry.users.create(account, "u")
    errors: list[IamError] = []

    def run(number: int) -> None:
        try:
            registry.create_key(account, "u", access_key=f"KEY{number % 4}")
        except AlreadyExists as error:
            errors.append(error)
        registry.users.put_inline(account, "u", f"p{number}", ALLOW)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    user = registry.users.get(account, "u")
    assert sorted(user.access_keys) == ["KEY0", "KEY1", "KEY2", "KEY3"]
    assert len(errors) == 4
    assert sorted(user.inline) == [f"p{number}" for number in range(8)]
    assert len(registry.keys(account, "u")) == 4


def test_counts_are_limited(registry: Registry) -> None:
    account = registry.create_account("a").id
    registry.users.create(account, "u")
    for number in range(max(MAX_ATTACHED, MAX_GROUPS) + 1):
        registry.policies.create(account, f"p{number}", ALLOW)
        registry.groups.create(account, f"g{number}")
    arns = [policy.arn for policy in registry.policies.all(account)]
    groups = [group.name for group in registry.groups.all(account)]
    for arn in arns[:MAX_ATTACHED]:
        registry.users.attach(account, "u", arn)
    with pytest.raises(LimitExceeded):
        registry.users.attach(account, "u", arns[MAX_ATTACHED])
    for group in groups[:MAX_GROUPS]:
        registry.users.join(account, "u", group)
    with pytest.raises(LimitExceeded):
        registry.users.join(account, "u", groups[MAX_GROUPS])
    user = registry.users.get(account, "u")
    assert (len(user.attached), len(user.member_of)) == (MAX_ATTACHED, MAX_GROUPS)


def test_roles(registry: Registry, clock: Clock) -> None:
    account = registry.create_account("a").id
    with pytest.raises(S3Error):
        registry.roles.create(account, "r", ALLOW)
    with pytest.raises(InvalidInput):
        registry.roles.create(account, "r", TRUST, max_session=60)
    registry.roles.create(account, "r", TRUST)
    assert registry.roles.revoke_sessions(account, "r").revoked_before == clock.now
    registry.roles.remove(account, "r")


# -- concurrency


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


# -- crashes


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


# -- what is stored


def _fill(registry: Registry) -> list[str]:
    account = registry.create_account("alice", email="alice@x.example").id
    registry.users.create(account, "user1")
    registry.users.put_inline(account, "user1", "inline", ALLOW)
    secrets = [registry.create_key(account).secret, registry.create_key(account, "user1").secret]
    registry.create_key(account, access_key="IMPORTED", secret="imported-secret")
    return [*secrets, "imported-secret", "alice@x.example", "s3:GetObject"]


def test_no_stored_byte_tells_a_secret(tmp_path: Path) -> None:
    backend = create("posix", BackendConfig(directory=str(tmp_path), durable=False))
    backend.open()
    secrets = _fill(Registry(BackendDocuments(backend), Sealer([KEY])))
    backend.close()
    secrets += _fill(Registry(FileDocuments(tmp_path / "f", Sealer([KEY]), durable=False), Sealer([KEY])))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 8
    for path in files:
        data = path.read_bytes() + str(path).encode()
        assert not [secret for secret in secrets if secret.encode() in data]


def test_a_new_master_key_takes_over(real_store: DocumentStore) -> None:
    old = Registry(real_store, Sealer([KEY]))
    account = old.create_account("alice").id
    old.users.create(account, "u")
    key, secret = old.create_key(account, "u")
    if isinstance(real_store, FileDocuments):
        real_store._sealer = Sealer([NEW_KEY, KEY])
    assert Registry(real_store, Sealer([NEW_KEY, KEY])).reseal() == len(list(real_store.names("")))
    assert Registry(real_store, Sealer([NEW_KEY, KEY])).reseal() == 0
    new = Registry(real_store, Sealer([NEW_KEY]))
    found = new.find_key(key.access_key)
    assert found is not None
    assert new.secret_of(found.record) == secret
    with pytest.raises(StorageUnavailable, match="master key"):
        old.find_key(key.access_key)


def test_resealing_that_is_broken_off_goes_on_later(store: MemoryDocuments) -> None:
    secrets = _fill(registry_over(store))
    both = Sealer([NEW_KEY, KEY])
    steps = 0
    while True:
        try:
            Registry(Mortal(store, 2), both).reseal()
        except Crash:
            steps += 1
            continue
        break
    assert steps > 2
    new = Registry(store, Sealer([NEW_KEY]))
    account = new.find_account("alice")
    assert account is not None
    assert new.secret_of(new.keys(account.id)[0]) == secrets[0]
