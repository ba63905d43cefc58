"""Users, groups, roles and policies, and who attaches which."""

import threading
from typing import Any

import pytest

from tests.unit.iam.registry.support import ALLOW, KEY, TRUST, Clock, Crash, Mortal, registry_over
from workers.iam.records import (
    MAX_ATTACHED,
    MAX_GROUPS,
    MAX_VERSIONS,
    AlreadyExists,
    DeleteConflict,
    IamError,
    InvalidInput,
    LimitExceeded,
    NotFound,
)
from workers.iam.registry import Registry
from workers.iam.sealing import Sealer
from workers.iam.stores.api import DocumentStore
from workers.iam.stores.memory import MemoryDocuments
from workers.protocol.errors import S3Error


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
