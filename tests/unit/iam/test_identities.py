"""An access key becomes an identity with all policies of its holder; what cannot be read closes."""

from typing import Any

import pytest
from msgspec.structs import replace

from backends.errors import StorageUnavailable
from workers.iam.decision import BucketAccess, Reason, decide, object_arn
from workers.iam.identities import Identities, Identity, Refusal
from workers.iam.policy.context import RequestContext
from workers.iam.policy.outcome import Decision
from workers.iam.policy.principals import PrincipalKind
from workers.iam.records import NotFound
from workers.iam.registry import Registry
from workers.iam.sealing import Sealer
from workers.iam.stores.memory import MemoryDocuments

KEY = "k" * 32
NOON = 1_782_043_200 * 10**9


def policy(effect: str, action: str, resource: str = "*") -> str:
    return f'{{"Version":"2012-10-17","Statement":{{"Effect":"{effect}","Action":"{action}","Resource":"{resource}"}}}}'


READ, WRITE = policy("Allow", "s3:GetObject"), policy("Allow", "s3:PutObject")
DENY_WRITE = policy("Deny", "s3:PutObject")
BROKEN = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:NoLonger","Resource":"*"}}'


class World:
    """A store with one account and one user of it."""

    def __init__(self) -> None:
        self.now = NOON
        self.store = MemoryDocuments()
        self.registry = Registry(self.store, Sealer([KEY]), clock=lambda: self.now)
        self.identities = Identities(self.registry, clock=lambda: self.now)
        self.account = self.registry.create_account("acme", uid=10, gid=20, groups=(30,)).id
        self.registry.users.create(self.account, "Bob", path="/x/", tags={"Team": "t"})
        self.key, self.secret = self.registry.create_key(self.account, "bob", access_key="BOBKEY")

    def bob(self) -> Identity:
        found = self.identities.examine("BOBKEY")
        assert isinstance(found, Identity)
        return found

    def decide(self, action: str) -> Decision:
        identity = self.bob()
        context = RequestContext(identity.principal, now=NOON // 10**9)
        return decide(action, object_arn("b", "k"), identity.principal, context, BucketAccess(owner=self.account))

    def update_bob(self, **changes: Any) -> None:
        self.registry.users.update(self.account, "bob", lambda record: replace(record, **changes))


@pytest.fixture
def world() -> World:
    return World()


def test_a_user(world: World) -> None:
    bob = world.bob()
    assert bob.secret_key == world.secret
    assert world.secret not in repr(bob)
    assert bob.user is not None
    principal = bob.principal
    assert (principal.kind, principal.name, principal.user_id) == (PrincipalKind.USER, "Bob", bob.user.id)
    assert (principal.arn, dict(principal.tags)) == (bob.user.arn, {"team": "t"})
    assert (bob.caller.account_id, bob.caller.user_name, bob.caller.access_key) == (world.account, "Bob", "BOBKEY")
    assert (bob.caller.uid, bob.caller.gid, bob.caller.groups) == (10, 20, (30,))
    assert bob.account == bob.record.account


def test_an_account(world: World) -> None:
    world.registry.create_key(world.account, access_key="OWNKEY")
    own = world.identities.load("OWNKEY")
    assert own is not None
    assert own.user is None
    assert (own.principal.kind, own.principal.root) == (PrincipalKind.ACCOUNT, False)
    assert (own.caller.user_name, own.caller.uid) == ("acme", 10)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (10, 20, (30,))),
        ({"uid": 1}, (1, None, ())),
        ({"uid": 1, "gid": 2, "groups": (3,)}, (1, 2, (3,))),
        ({"gid": 2}, (10, 2, (30,))),
        ({"groups": ()}, (10, 20, ())),
        ({"uid": 0, "gid": 0}, (0, 0, ())),
    ],
)
def test_a_numeric_identity_is_the_users_or_the_accounts(
    world: World, changes: dict[str, Any], expected: tuple[object, ...]
) -> None:
    world.update_bob(**changes)
    caller = world.bob().caller
    assert (caller.uid, caller.gid, caller.groups) == expected


# -- refusals


def test_refusals(world: World) -> None:
    registry, identities = world.registry, world.identities
    assert identities.examine("NOKEY") is Refusal.UNKNOWN
    assert identities.examine("bobkey") is Refusal.UNKNOWN
    registry.update_key("BOBKEY", expires=world.now + 1)
    assert world.bob().expires == world.now + 1
    world.now += 1
    assert identities.examine("BOBKEY") is Refusal.KEY_EXPIRED
    registry.update_key("BOBKEY", enabled=False)
    assert identities.examine("BOBKEY") is Refusal.KEY_DISABLED
    registry.update_account(world.account, lambda record: replace(record, enabled=False))
    assert identities.examine("BOBKEY") is Refusal.ACCOUNT_DISABLED
    assert identities.load("BOBKEY") is None


def test_a_deleted_user_and_a_deleted_account_are_unknown(world: World) -> None:
    world.registry.create_key(world.account, access_key="OWNKEY")
    world.registry.delete_user(world.account, "bob", cascade=True)
    assert world.identities.examine("BOBKEY") is Refusal.UNKNOWN
    world.registry.delete_account(world.account, cascade=True)
    assert world.identities.examine("OWNKEY") is Refusal.UNKNOWN


def test_what_cannot_be_opened_is_no_unknown_key(world: World) -> None:
    document = "iam/keys/bobkey"
    for broken in (f"iam/users/{world.account}/bob", document):
        stored = world.store.documents[broken]
        world.store.put(broken, b"damaged", stored.revision)
        with pytest.raises(StorageUnavailable):
            world.identities.examine("BOBKEY")


def test_a_secret_that_cannot_be_opened(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Sealer(["o" * 32]).seal(b"secret", "secret of BOBKEY")
    found = world.registry.find_key("BOBKEY")
    assert found is not None
    broken = found._replace(record=replace(found.record, sealed_secret=other))
    monkeypatch.setattr(world.registry, "find_key", lambda access_key: broken)
    with pytest.raises(StorageUnavailable, match="BOBKEY"):
        world.identities.examine("BOBKEY")


# -- policies


def test_policies_come_from_the_user_his_groups_and_what_is_attached(world: World) -> None:
    registry, account = world.registry, world.account
    assert world.decide("s3:GetObject").reason is Reason.NOT_ALLOWED
    registry.users.put_inline(account, "bob", "read", READ)
    assert world.decide("s3:GetObject").document.endswith("user/x/Bob: read")
    registry.groups.create(account, "g")
    registry.users.join(account, "bob", "g")
    registry.groups.attach(account, "g", registry.policies.create(account, "write", WRITE).arn)
    decision = world.decide("s3:PutObject")
    assert decision.allowed
    assert decision.document.endswith(":policy/write")
    registry.groups.put_inline(account, "g", "no", DENY_WRITE)
    assert world.decide("s3:PutObject").reason is Reason.EXPLICIT_DENY
    assert world.decide("s3:GetObject").allowed


def test_the_version_in_force_counts(world: World) -> None:
    registry, account = world.registry, world.account
    registry.users.attach(account, "bob", registry.policies.create(account, "p", READ).arn)
    registry.policies.add_version(account, "p", WRITE)
    assert world.decide("s3:GetObject").allowed
    registry.policies.set_default(account, "p", "v2")
    assert not world.decide("s3:GetObject").allowed
    assert world.decide("s3:PutObject").allowed


def test_a_boundary_limits(world: World) -> None:
    registry, account = world.registry, world.account
    registry.users.put_inline(account, "bob", "all", policy("Allow", "*"))
    registry.users.set_boundary(account, "bob", registry.policies.create(account, "p", READ).arn)
    assert world.decide("s3:GetObject").allowed
    assert world.decide("s3:PutObject").reason is Reason.BOUNDARY


def test_a_group_that_was_deleted_and_made_again_has_no_members(world: World) -> None:
    registry, account = world.registry, world.account
    old = registry.groups.create(account, "g")
    registry.users.join(account, "bob", "g")
    world.update_bob(member_of={"g": old.id})
    registry.groups.remove(account, "g")
    assert world.bob().closed == ()
    registry.groups.create(account, "g")
    registry.groups.put_inline(account, "g", "read", READ)
    assert not world.decide("s3:GetObject").allowed


@pytest.mark.parametrize("place", ["inline", "group", "managed", "missing", "boundary"])
def test_a_policy_that_cannot_be_read_denies_everything(world: World, place: str) -> None:
    registry, account = world.registry, world.account
    registry.users.put_inline(account, "bob", "all", policy("Allow", "*"))
    assert world.decide("s3:GetObject").allowed
    arn = registry.policies.create(account, "p", READ).arn
    if place == "inline":
        world.update_bob(inline={"all": policy("Allow", "*"), "old": BROKEN})
    elif place == "group":
        registry.groups.create(account, "g")
        registry.users.join(account, "bob", "g")
        registry.groups.update(account, "g", lambda record: replace(record, inline={"old": BROKEN}))
    elif place == "missing":
        world.update_bob(attached=(f"{arn}-gone",))
    else:
        attach = registry.users.attach if place == "managed" else registry.users.set_boundary
        attach(account, "bob", arn)
        registry.policies.update(
            account,
            "p",
            lambda record: replace(record, versions={"v1": replace(record.versions["v1"], text=BROKEN)}),
        )
    for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"):
        assert world.decide(action).reason is Reason.EXPLICIT_DENY
    assert len(world.bob().closed) == 1


def test_compiled_policies_are_shared(world: World) -> None:
    registry, account = world.registry, world.account
    arn = registry.policies.create(account, "p", READ).arn
    registry.users.attach(account, "bob", arn)
    registry.users.create(account, "eve")
    registry.users.attach(account, "eve", arn)
    registry.create_key(account, "eve", access_key="EVEKEY")
    eve = world.identities.load("EVEKEY")
    assert eve is not None
    assert eve.principal.policies[0] is world.bob().principal.policies[0]


def test_an_identity_names_every_document_that_it_was_made_of(world: World) -> None:
    registry, account = world.registry, world.account
    registry.groups.create(account, "g")
    registry.users.join(account, "bob", "g")
    registry.groups.attach(account, "g", registry.policies.create(account, "p", READ).arn)
    registry.users.set_boundary(account, "bob", registry.policies.create(account, "q", READ).arn)
    kinds = ("accounts", "users", "groups", "policies", "keys")
    about = {name for name in world.store.documents if name.split("/")[1] in kinds}
    assert world.bob().sources == about
    read: set[str] = set()
    get = world.store.get
    world.store.get = lambda name: (read.add(name), get(name))[1]  # type: ignore[method-assign,func-returns-value]
    world.identities.load("BOBKEY")
    assert read == about
    with pytest.raises(NotFound):
        registry.policies.get(account, "r")
