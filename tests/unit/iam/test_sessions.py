"""Session tokens: what they carry, what ends them, what is refused."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec.structs import replace

from workers.iam.auth_cache import root_identity
from workers.iam.identities import Identities, Identity
from workers.iam.policy.principals import PrincipalKind
from workers.iam.records import AccountRecord
from workers.iam.registry import Registry
from workers.iam.sealing import Sealer
from workers.iam.sessions import NANOSECONDS, SessionRecord, Sessions
from workers.iam.stores.memory import MemoryDocuments
from workers.protocol.errors import S3Error

TRUST = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}}'
ALLOW = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}'


@dataclass
class World:
    """Identities in memory, and a clock."""

    now: int = 1_800_000_000 * NANOSECONDS
    store: MemoryDocuments = field(default_factory=MemoryDocuments)

    def __post_init__(self) -> None:
        self.sealer = Sealer(["k" * 32])
        self.registry = Registry(self.store, self.sealer, clock=lambda: self.now)
        self.account = self.registry.create_account("alice", uid=7, gid=8)
        self.sessions = self.make(self.sealer)

    def make(self, sealer: Sealer) -> Sessions:
        registry = Registry(self.store, self.sealer, clock=lambda: self.now)
        identities = Identities(registry, clock=lambda: self.now)
        return Sessions(sealer, registry, identities, root_identity("root", "secret"), clock=lambda: self.now)

    def role_session(self, **changed: Any) -> SessionRecord:
        role = self.registry.roles.find(self.account.id, "reader") or self.registry.roles.create(
            self.account.id, "reader", TRUST, tags={"Team": "atlas", "a": "role"}
        )
        record = self.sessions.begin(900, self.account.id)
        return replace(record, role="reader", role_id=role.id, name="work", **changed)

    def opened(self, record: SessionRecord) -> Identity:
        return self.sessions.open(record.access_key, self.sessions.seal(record))

    def refused(self, record: SessionRecord) -> str:
        with pytest.raises(S3Error) as caught:
            self.opened(record)
        return caught.value.code


@pytest.fixture
def world() -> World:
    return World()


def test_session_of_a_role_carries_all_that_a_worker_needs(world: World) -> None:
    record = world.role_session(tags={"A": "session"}, provider="idp.example.org")
    found = world.opened(record)
    assert (found.secret_key, found.expires) == (record.secret, record.expires)
    principal = found.principal
    assert principal.kind is PrincipalKind.ROLE
    assert principal.name == "reader/work"
    assert principal.provider == "idp.example.org"
    assert dict(principal.tags) == {"team": "atlas", "a": "session"}
    assert principal.token_issued == world.now // NANOSECONDS
    assert principal.session is None
    assert (found.caller.uid, found.caller.gid) == (7, 8)
    assert any(name.startswith("iam/roles/") for name in found.sources)


def test_session_policies_are_there_and_managed_ones_are_looked_up(world: World) -> None:
    arn = world.registry.policies.create(world.account.id, "limit", ALLOW).arn
    record = world.role_session(policy=ALLOW, policy_arns=(arn,))
    found = world.opened(record)
    assert [policy.name for policy in found.principal.session or ()] == ["session: policy", arn]
    world.registry.delete_policy(world.account.id, "limit")
    closed = world.opened(record)
    assert closed.closed == (arn,)
    assert len(closed.principal.session or ()) == 2


def test_token_tells_nothing_and_is_made_anew_each_time(world: World) -> None:
    record = world.role_session()
    one, other = world.sessions.seal(record), world.sessions.seal(record)
    assert one != other
    assert record.secret.encode() not in base64.urlsafe_b64decode(one)
    assert record.access_key.startswith("ASIA")
    assert record.secret not in repr(record)


def test_session_ends_at_its_time(world: World) -> None:
    record = world.role_session()
    world.now += 900 * NANOSECONDS - 1
    world.opened(record)
    world.now += 1
    assert world.refused(record) == "ExpiredToken"


def test_sessions_that_began_before_the_cut_off_time_are_over(world: World) -> None:
    record = world.role_session()
    world.now += 1
    world.registry.roles.revoke_sessions(world.account.id, "reader")
    assert world.refused(record) == "ExpiredToken"
    world.opened(world.role_session())


def test_session_of_a_role_that_was_made_anew_is_none(world: World) -> None:
    record = world.role_session()
    world.registry.roles.remove(world.account.id, "reader")
    assert world.refused(record) == "InvalidToken"
    world.role_session()
    assert world.refused(record) == "InvalidToken"


def test_session_of_a_disabled_account_is_none(world: World) -> None:
    record = world.role_session()

    def disabled(account: AccountRecord) -> AccountRecord:
        return replace(account, enabled=False)

    world.registry.update_account(world.account.id, disabled)
    assert world.refused(record) == "InvalidToken"


def test_session_of_a_user_ends_with_the_key_that_it_came_from(world: World) -> None:
    world.registry.users.create(world.account.id, "bob")
    key = world.registry.create_key(world.account.id, "bob").record.access_key
    record = replace(world.sessions.begin(900, world.account.id), base=key)
    found = world.opened(record)
    assert (found.principal.name, found.secret_key) == ("bob", record.secret)
    assert found.principal.token_issued == world.now // NANOSECONDS
    world.registry.update_key(key, enabled=False)
    assert world.refused(record) == "InvalidToken"
    world.registry.update_key(key, enabled=True)
    world.opened(record)
    world.registry.delete_user(world.account.id, "bob", cascade=True)
    assert world.refused(record) == "InvalidToken"


def test_session_of_root(world: World) -> None:
    root = root_identity("root", "secret")
    record = replace(world.sessions.begin(900, root.account.id), base="root")
    found = world.opened(record)
    assert found.principal.root
    assert found.principal.token_issued is not None
    assert world.refused(replace(record, account=world.account.id)) == "InvalidToken"


def test_token_opens_for_its_own_access_key_alone(world: World) -> None:
    token = world.sessions.seal(world.role_session())
    with pytest.raises(S3Error, match="InvalidToken"):
        world.sessions.open("ASIAOTHER", token)


@pytest.mark.parametrize("token", ["", "x", "ü", "A" * 100, "A" * 100_000, "%%%"])
def test_what_is_no_token_is_refused(world: World, token: str) -> None:
    with pytest.raises(S3Error, match="InvalidToken"):
        world.sessions.open("ASIA", token)


def test_every_changed_byte_is_noticed(world: World) -> None:
    record = world.role_session()
    sealed = bytearray(base64.urlsafe_b64decode(world.sessions.seal(record)))
    for position in range(0, len(sealed), 7):
        changed = bytes(sealed[:position]) + bytes([sealed[position] ^ 1]) + bytes(sealed[position + 1 :])
        with pytest.raises(S3Error, match="InvalidToken"):
            world.sessions.open(record.access_key, base64.urlsafe_b64encode(changed).decode())


def test_token_outlives_a_new_master_key_as_long_as_the_former_one_is_known(world: World) -> None:
    record = world.role_session()
    token = world.sessions.seal(record)
    assert world.make(Sealer(["n" * 32, "k" * 32])).open(record.access_key, token).secret_key == record.secret
    with pytest.raises(S3Error, match="InvalidToken"):
        world.make(Sealer(["n" * 32])).open(record.access_key, token)
