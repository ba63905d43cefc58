"""From an access key to everything that a request needs to know of its sender: one read path over the registry."""

from __future__ import annotations

import enum
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from backends.api import Caller
from backends.errors import StorageUnavailable
from workers.iam.accounts import Account
from workers.iam.entities import Clock
from workers.iam.policy.compiler import CompiledPolicy, compile_policy
from workers.iam.policy.model import Kind
from workers.iam.policy.principals import Principal, account_principal, user_principal
from workers.iam.records import AccessKeyRecord, AccountRecord, GroupRecord, RoleRecord, UserRecord
from workers.iam.registry import FoundKey, Registry
from workers.iam.sealing import SealError
from workers.protocol.errors import S3Error

COMPILED: Final = 4096
"""Policies that are kept compiled: users share those of their groups and the managed ones."""

_CLOSED: Final = '{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}'


class Refusal(enum.Enum):
    """Why an access key is of no use."""

    UNKNOWN = "there is no such access key"
    KEY_DISABLED = "the access key is disabled"
    KEY_EXPIRED = "the access key has expired"
    ACCOUNT_DISABLED = "the account is disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """All that is known of the holder of an access key, at the time of reading.

    Attributes:
        expires: when the key stops working, nanoseconds since the epoch, 0 for never; to be looked at in each request.
        record: the account's record, with its limits.
        user: None for a key of the account itself.
        closed: names of policies that cannot be read or are missing, each of which denies everything.
        sources: names of the documents that this was made of, missing ones too: a change of one makes it stale.
    """

    access_key: str
    secret_key: str = field(repr=False)
    expires: int
    account: Account
    record: AccountRecord
    user: UserRecord | None
    principal: Principal
    caller: Caller
    closed: tuple[str, ...] = ()
    sources: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies of a user or role: identity policies, boundary, and the names of those that close."""

    identity: tuple[CompiledPolicy, ...]
    boundary: CompiledPolicy | None
    closed: tuple[str, ...]
    sources: frozenset[str]


class Identities:
    """Makes identities; it keeps none, only compiled policies.

    `clock` in nanoseconds since the epoch.
    """

    def __init__(self, registry: Registry, clock: Clock = time.time_ns) -> None:
        self._registry = self.registry = registry
        self._clock = clock
        self._compile = lru_cache(maxsize=COMPILED)(_compile)

    def load(self, access_key: str) -> Identity | None:
        """The identity behind an access key, None where `examine` gives a refusal. Raises `StorageUnavailable`."""
        found = self.examine(access_key)
        return found if isinstance(found, Identity) else None

    def examine(self, access_key: str) -> Identity | Refusal:
        """The identity behind an access key, or why there is none.

        Raises `StorageUnavailable` when the store cannot answer, or when what it holds cannot be opened.
        """
        found = self._registry.find_key(access_key)
        if found is None:
            return Refusal.UNKNOWN
        key, account, _ = found
        if not account.enabled:
            return Refusal.ACCOUNT_DISABLED
        if not key.enabled:
            return Refusal.KEY_DISABLED
        if key.expires and key.expires <= self._clock():
            return Refusal.KEY_EXPIRED
        return self._identity(found, self._secret(key))

    def policies_of(self, holder: UserRecord | RoleRecord, groups: Iterable[GroupRecord] = ()) -> Policies:
        """The policies of a user with his groups, or of a role, ready for evaluation."""
        gathering = _Gathering(self, self._registry, holder.account)
        for one in (holder, *groups):
            gathering.add_inline(one.arn, one.inline)
            for arn in one.attached:
                gathering.add_managed(arn)
        boundary = gathering.managed(holder.boundary) if holder.boundary else None
        return Policies(
            tuple(gathering.found.values()), boundary, tuple(gathering.closed), frozenset(gathering.sources)
        )

    def session_policies(self, account_id: str, text: str, arns: Iterable[str]) -> Policies:
        """What limits a session: a policy of its own, "" for none, and managed ones of its account."""
        gathering = _Gathering(self, self._registry, account_id)
        if text:
            gathering.add_inline("session", {"policy": text})
        for arn in arns:
            gathering.add_managed(arn)
        return Policies(tuple(gathering.found.values()), None, tuple(gathering.closed), frozenset(gathering.sources))

    def compiled(self, text: str, name: str) -> CompiledPolicy | None:
        """An identity policy ready for evaluation; None for one that cannot be read."""
        return self._compile(text, name)

    def groups_of(self, user: UserRecord) -> list[GroupRecord]:
        """The groups that a user is in. One that was deleted counts no more, nor one that took its name since."""
        found = (self._registry.groups.find(user.account, name) for name in user.member_of)
        return [group for group in found if group is not None and group.id == user.member_of.get(group.name)]

    def _secret(self, key: AccessKeyRecord) -> str:
        try:
            return self._registry.secret_of(key)
        except SealError as error:
            raise StorageUnavailable(f"the secret of {key.access_key}: {error}") from None

    def _identity(self, found: FoundKey, secret: str) -> Identity:
        key, account, user = found
        sources = set(self._registry.documents_of(found))
        policies = None
        if user is None:
            principal = account_principal(account.id, name=account.name, root=account.admin)
        else:
            policies = self.policies_of(user, self.groups_of(user))
            sources |= policies.sources
            sources.update(self._registry.groups.document(account.id, name) for name in user.member_of)
            principal = user_principal(
                account.id,
                user.name,
                path=user.path,
                user_id=user.id,
                tags=user.tags,
                policies=policies.identity,
                boundary=policies.boundary,
            )
        return Identity(
            access_key=key.access_key,
            secret_key=secret,
            expires=key.expires,
            account=account.account,
            record=account,
            user=user,
            principal=principal,
            caller=caller_of(account, user, key.access_key),
            closed=policies.closed if policies is not None else (),
            sources=frozenset(sources),
        )


def caller_of(account: AccountRecord, holder: UserRecord | RoleRecord | None, access_key: str) -> Caller:
    """How storage is asked on behalf of an account, or of a user or role of it with a numeric identity of his own.

    Whoever has a uid of his own has none of the account's gid or groups, which are those of another uid.
    """
    source: AccountRecord | UserRecord | RoleRecord = account
    if holder is not None and holder.uid is not None:
        source = holder
    groups = holder.groups if holder is not None and holder.groups is not None else source.groups
    gid = holder.gid if holder is not None and holder.gid is not None else source.gid
    return Caller(
        account_id=account.id,
        user_name=account.name if holder is None else holder.name,
        access_key=access_key,
        uid=source.uid,
        gid=gid,
        groups=groups or (),
    )


class _Gathering:
    """Collects policies, each once."""

    def __init__(self, identities: Identities, registry: Registry, account_id: str) -> None:
        self._identities = identities
        self._registry = registry
        self._account_id = account_id
        self.found: dict[str, CompiledPolicy] = {}
        self.closed: list[str] = []
        self.sources: set[str] = set()

    def add_inline(self, owner: str, inline: Mapping[str, str]) -> None:
        for name, text in inline.items():
            # No ARN has a colon and a blank: the name is none of a managed policy's.
            label = f"{owner}: {name}"
            self.found[label] = self._ready(text, label)

    def add_managed(self, arn: str) -> None:
        if arn not in self.found:
            self.found[arn] = self.managed(arn)

    def managed(self, arn: str) -> CompiledPolicy:
        """A managed policy in force; one that is not there may have denied anything."""
        self.sources.add(self._registry.policies.document_of(self._account_id, arn))
        policy = self._registry.policies.by_arn(self._account_id, arn)
        return self._ready(None if policy is None else policy.text, arn)

    def _ready(self, text: str | None, name: str) -> CompiledPolicy:
        compiled = None if text is None else self._identities.compiled(text, name)
        if compiled is None:
            self.closed.append(name)
            return compile_policy(_CLOSED, Kind.IDENTITY, name)
        return compiled


def _compile(text: str, name: str) -> CompiledPolicy | None:
    try:
        return compile_policy(text, Kind.IDENTITY, name)
    except S3Error:
        return None
