"""What an account has: users, groups, roles and managed policies, one document each.

Each change of one entity is one compare-and-swap. Names are unique whatever their case, because they name the document.
"""

from __future__ import annotations

import base64
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from msgspec.structs import replace

from workers.iam.accounts import account_number
from workers.iam.builtin_policies import BUILTIN
from workers.iam.policy.compiler import compile_policy
from workers.iam.policy.model import Kind
from workers.iam.policy.pinning import pin_principals
from workers.iam.policy.principals import PARTITION, PrincipalKey
from workers.iam.records import (
    MAX_ATTACHED,
    MAX_GROUPS,
    MAX_MANAGED_POLICY,
    MAX_TRUST_POLICY,
    MAX_VERSIONS,
    SESSION_SECONDS,
    Busy,
    DeleteConflict,
    GroupRecord,
    InvalidInput,
    LimitExceeded,
    NotFound,
    PolicyRecord,
    PolicyVersion,
    ProviderRecord,
    RoleRecord,
    UserRecord,
    check_description,
    check_inline,
    check_name,
    check_numbers,
    check_path,
    check_tags,
    policy_size,
)
from workers.iam.stores.api import part
from workers.iam.stores.sealed import SealedRecords

Random = Callable[[int], bytes]
Clock = Callable[[], int]
NO_TAGS: Final[Mapping[str, str]] = {}

EntityT = TypeVar("EntityT", UserRecord, GroupRecord, RoleRecord, PolicyRecord, ProviderRecord)
HolderT = TypeVar("HolderT", UserRecord, GroupRecord, RoleRecord)

_POLICY_ARN: Final = re.compile(rf"arn:{PARTITION}:iam::(\d{{12}}):policy/(?:[^*?]*/)?([^/*?]+)", re.ASCII)


def unique_id(prefix: str, random: Random) -> str:
    """An id as AWS makes them: four letters that tell the kind, and seventeen characters."""
    return prefix + base64.b32encode(random(15)).decode()[:17]


@dataclass(frozen=True, slots=True)
class Tools:
    """What all collections work with; `clock` in nanoseconds since the epoch."""

    records: SealedRecords
    clock: Clock = time.time_ns
    random: Random = os.urandom


class Collection(Generic[EntityT]):
    """The entities of one kind, of all accounts."""

    kind: type[EntityT]
    folder: str
    label: str
    longest: int

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._records = tools.records

    def document(self, account_id: str, name: str) -> str:
        """The name of an entity's document."""
        return f"iam/{self.folder}/{account_id}/{part(name)}"

    def find(self, account_id: str, name: str) -> EntityT | None:
        """An entity by its name in any case, None when there is none."""
        found = self._records.get(self.document(account_id, name), self.kind)
        return None if found is None else found[0]

    def get(self, account_id: str, name: str) -> EntityT:
        """An entity. Raises `NotFound`."""
        found = self.find(account_id, name)
        if found is None:
            raise NotFound(f"{self._what(name)} cannot be found.")
        return found

    def all(self, account_id: str, path_prefix: str = "/") -> list[EntityT]:
        """The entities of an account below a path, ordered by name."""
        found = self._records.all(f"iam/{self.folder}/{account_id}/", self.kind)
        return sorted((one for one in found if one.path.startswith(path_prefix)), key=lambda one: one.name)

    def update(self, account_id: str, name: str, change: Callable[[EntityT], EntityT]) -> EntityT:
        """Replace an entity by `change(entity)`, losing no concurrent change.

        Raises `NotFound`, `Busy`, `InvalidInput`, `LimitExceeded`, and what `change` raises, which may run repeatedly.
        """

        def checked(record: EntityT) -> EntityT:
            changed = change(record)
            if (changed.id, changed.account, changed.name) != (record.id, record.account, record.name):
                raise InvalidInput(f"The name and the ids of {self._what(name)} cannot be changed")
            return self._checked(changed)

        return self._records.update(self.document(account_id, name), self.kind, checked, self._what(name))

    def _create(self, record: EntityT) -> EntityT:
        self._check_name(record.name)
        self._records.create(
            self.document(record.account, record.name), self._checked(record), f"{self._what(record.name)}"
        )
        return record

    def _check_name(self, name: str) -> None:
        check_name(name, self.longest, f"{self.label.capitalize()} name")

    def _delete(self, account_id: str, name: str, check: Callable[[EntityT], None]) -> EntityT:
        return self._records.delete(self.document(account_id, name), self.kind, check, self._what(name))

    def _checked(self, record: EntityT) -> EntityT:
        check_path(record.path)
        if not isinstance(record, GroupRecord):
            check_tags(record.tags)
        if isinstance(record, UserRecord | RoleRecord):
            check_numbers(record.uid, record.gid, record.groups)
        return record

    def _what(self, name: str) -> str:
        return f"The {self.label} with name {name[:128]}"

    def _new(self, prefix: str) -> str:
        return unique_id(prefix, self._tools.random)


class Policies(Collection[PolicyRecord]):
    """Managed policies."""

    kind, folder, label, longest = PolicyRecord, "policies", "policy", 128

    def create(
        self,
        account_id: str,
        name: str,
        text: str,
        *,
        path: str = "/",
        description: str = "",
        tags: Mapping[str, str] = NO_TAGS,
    ) -> PolicyRecord:
        """Make a policy, version v1. Raises `AlreadyExists`, `InvalidInput`, and `S3Error` MalformedPolicy."""
        now = self._tools.clock()
        return self._create(
            PolicyRecord(
                id=self._new("ANPA"),
                account=account_id,
                name=name,
                path=path,
                created=now,
                versions={"v1": PolicyVersion(text=_managed(text), created=now)},
                description=check_description(description),
                tags=tags,
            )
        )

    def by_arn(self, account_id: str, arn: str) -> PolicyRecord | None:
        """The policy of an account, or of all accounts, that has this ARN; None when there is none."""
        if arn in BUILTIN:
            return BUILTIN[arn]
        match = _POLICY_ARN.fullmatch(arn)
        if match is None or match[1] != account_number(account_id):
            return None
        found = self.find(account_id, match[2])
        return found if found is not None and found.arn == arn else None

    def document_of(self, account_id: str, arn: str) -> str:
        """The name of the document that says, or would say, what an ARN means."""
        return self.document(account_id, arn.rpartition("/")[2])

    def add_version(self, account_id: str, name: str, text: str, *, default: bool = False) -> str:
        """Add a version; returns its name. Raises `LimitExceeded` and what `create` raises."""
        version = PolicyVersion(text=_managed(text), created=self._tools.clock())

        def change(record: PolicyRecord) -> PolicyRecord:
            if len(record.versions) >= MAX_VERSIONS:
                raise LimitExceeded(f"A policy has {MAX_VERSIONS} versions at most; delete one first")
            new = f"v{record.last + 1}"
            return replace(
                record,
                versions={**record.versions, new: version},
                last=record.last + 1,
                default=new if default else record.default,
            )

        return f"v{self.update(account_id, name, change).last}"

    def set_default(self, account_id: str, name: str, version: str) -> None:
        """Put a version in force. Raises `NotFound`."""
        self.update(account_id, name, lambda record: replace(record, default=_version(record, version)))

    def delete_version(self, account_id: str, name: str, version: str) -> None:
        """Delete a version that is not in force. Raises `DeleteConflict`, `NotFound`."""

        def change(record: PolicyRecord) -> PolicyRecord:
            if _version(record, version) == record.default:
                raise DeleteConflict("The default version of a policy cannot be deleted")
            return replace(record, versions={v: text for v, text in record.versions.items() if v != version})

        self.update(account_id, name, change)

    def condemn(self, account_id: str, name: str, condemned: bool) -> PolicyRecord:
        """Forbid that a policy is attached, or allow it again."""
        return self.update(account_id, name, lambda record: replace(record, condemned=condemned))

    def remove(self, account_id: str, name: str) -> None:
        """Delete a condemned policy. Raises `Busy` when it is condemned no more."""

        def check(record: PolicyRecord) -> None:
            if not record.condemned:
                raise Busy(f"{self._what(name)} is being changed by others.")

        self._delete(account_id, name, check)


class Holders(Collection[HolderT]):
    """Entities that policies are attached to."""

    def __init__(self, tools: Tools, policies: Policies) -> None:
        super().__init__(tools)
        self._policies = policies

    def put_inline(self, account_id: str, name: str, policy: str, text: str) -> None:
        """Write an inline policy. Raises `LimitExceeded`, `InvalidInput`, and `S3Error` MalformedPolicy."""
        check_name(policy, 128, "Policy name")
        compile_policy(text, Kind.IDENTITY, policy)

        def change(record: HolderT) -> HolderT:
            inline = {**record.inline, policy: text}
            check_inline(inline, self.kind)
            return replace(record, inline=inline)

        self.update(account_id, name, change)

    def delete_inline(self, account_id: str, name: str, policy: str) -> None:
        """Remove an inline policy. Raises `NotFound`."""

        def change(record: HolderT) -> HolderT:
            if policy not in record.inline:
                raise NotFound(f"The {self.label} policy with name {policy[:128]} cannot be found.")
            return replace(record, inline={n: text for n, text in record.inline.items() if n != policy})

        self.update(account_id, name, change)

    def attach(self, account_id: str, name: str, arn: str) -> None:
        """Attach a managed policy of the account; again is no error. Raises `NotFound`, `LimitExceeded`."""

        def change(record: HolderT) -> HolderT:
            if arn in record.attached:
                return record
            if len(record.attached) >= MAX_ATTACHED:
                raise LimitExceeded(f"A {self.label} has {MAX_ATTACHED} attached policies at most")
            return replace(record, attached=(*record.attached, arn))

        self._refer(account_id, name, arn, change, lambda record: _detached(record, arn))

    def detach(self, account_id: str, name: str, arn: str) -> None:
        """Detach a managed policy. Raises `NotFound`."""

        def change(record: HolderT) -> HolderT:
            if arn not in record.attached:
                raise NotFound(f"Policy {arn[:600]} is not attached to {self._what(name)}.")
            return _detached(record, arn)

        self.update(account_id, name, change)

    def set_boundary(self, account_id: str, name: str, arn: str) -> None:
        """Set the permissions boundary of a user or role, or remove it with "". Raises `NotFound`."""
        if self.kind is GroupRecord:
            raise InvalidInput("A group has no permissions boundary")

        def change(record: Any) -> Any:
            return replace(record, boundary=arn)

        if arn:
            before: str = getattr(self.get(account_id, name), "boundary")  # noqa: B009 -- groups have none
            self._refer(account_id, name, arn, change, lambda record: _with_boundary(record, arn, before))
        else:
            self.update(account_id, name, change)

    def _refer(
        self,
        account_id: str,
        name: str,
        arn: str,
        change: Callable[[HolderT], HolderT],
        undo: Callable[[HolderT], HolderT],
    ) -> None:
        """Make an entity refer to a policy, which must be there before and after.

        The deletion of a policy condemns it before it looks for references: one of the two always sees the other.
        """
        before = self._attachable(account_id, arn)
        self.update(account_id, name, change)
        try:
            if self._attachable(account_id, arn).id != before.id:
                raise NotFound(f"Policy {arn[:600]} was replaced by another one.")
        except NotFound:
            self.update(account_id, name, undo)
            raise

    def _attachable(self, account_id: str, arn: str) -> PolicyRecord:
        policy = self._policies.by_arn(account_id, arn)
        if policy is None or policy.condemned:
            raise NotFound(f"Policy {arn[:600]} does not exist or is not attachable.")
        return policy


def _detached(record: HolderT, arn: str) -> HolderT:
    return replace(record, attached=tuple(one for one in record.attached if one != arn))


def _with_boundary(record: Any, arn: str, boundary: str) -> Any:
    return replace(record, boundary=boundary) if record.boundary == arn else record


class Groups(Holders[GroupRecord]):
    """Groups; their members are written in `Users`."""

    kind, folder, label, longest = GroupRecord, "groups", "group", 128

    def create(self, account_id: str, name: str, *, path: str = "/") -> GroupRecord:
        """Make a group. Raises `AlreadyExists`, `InvalidInput`."""
        return self._create(
            GroupRecord(id=self._new("AGPA"), account=account_id, name=name, path=path, created=self._tools.clock())
        )

    def remove(self, account_id: str, name: str) -> GroupRecord:
        """Delete a group that has no policies. Raises `DeleteConflict`, `NotFound`."""
        return self._delete(account_id, name, _without_policies)


class Roles(Holders[RoleRecord]):
    """Roles."""

    kind, folder, label, longest = RoleRecord, "roles", "role", 64

    def create(
        self,
        account_id: str,
        name: str,
        trust: str,
        *,
        path: str = "/",
        description: str = "",
        max_session: int = 3600,
        tags: Mapping[str, str] = NO_TAGS,
        principal_key: PrincipalKey | None = None,
    ) -> RoleRecord:
        """Make a role. Raises `AlreadyExists`, `InvalidInput`, `LimitExceeded`, and `S3Error` MalformedPolicy."""
        return self._create(
            RoleRecord(
                id=self._new("AROA"),
                account=account_id,
                name=name,
                path=path,
                created=self._tools.clock(),
                trust=_trust(trust, principal_key),
                description=check_description(description),
                max_session=max_session,
                tags=tags,
            )
        )

    def set_trust(self, account_id: str, name: str, trust: str, principal_key: PrincipalKey | None = None) -> None:
        """Replace the trust policy. Raises like `create`."""
        text = _trust(trust, principal_key)
        self.update(account_id, name, lambda record: replace(record, trust=text))

    def revoke_sessions(self, account_id: str, name: str) -> RoleRecord:
        """Make all sessions worthless that were issued up to now."""
        now = self._tools.clock()
        return self.update(
            account_id, name, lambda record: replace(record, revoked_before=max(now, record.revoked_before))
        )

    def remove(self, account_id: str, name: str) -> RoleRecord:
        """Delete a role that has no policies. Raises `DeleteConflict`, `NotFound`."""
        return self._delete(account_id, name, _without_policies)

    def _checked(self, record: RoleRecord) -> RoleRecord:
        if record.max_session not in SESSION_SECONDS:
            raise InvalidInput("MaxSessionDuration lies between 3600 and 43200 seconds")
        return super()._checked(record)


class Users(Holders[UserRecord]):
    """Users."""

    kind, folder, label, longest = UserRecord, "users", "user", 64

    def __init__(self, tools: Tools, policies: Policies, groups: Groups) -> None:
        super().__init__(tools, policies)
        self._groups = groups

    def create(
        self,
        account_id: str,
        name: str,
        *,
        path: str = "/",
        tags: Mapping[str, str] = NO_TAGS,
        uid: int | None = None,
        gid: int | None = None,
        groups: tuple[int, ...] | None = None,
    ) -> UserRecord:
        """Make a user. Raises `AlreadyExists`, `InvalidInput`."""
        return self._create(
            UserRecord(
                id=self._new("AIDA"),
                account=account_id,
                name=name,
                path=path,
                created=self._tools.clock(),
                tags=tags,
                uid=uid,
                gid=gid,
                groups=groups,
            )
        )

    def join(self, account_id: str, name: str, group: str) -> None:
        """Make a user a member of a group; again is no error. Raises `NotFound`, `LimitExceeded`."""
        found = self._groups.get(account_id, group)

        def change(record: UserRecord) -> UserRecord:
            members = {**record.member_of, found.name: found.id}
            if len(members) > MAX_GROUPS:
                raise LimitExceeded(f"A user is in {MAX_GROUPS} groups at most")
            return replace(record, member_of=members)

        self.update(account_id, name, change)

    def leave(self, account_id: str, name: str, group: str) -> None:
        """End a membership. Raises `NotFound`."""

        def change(record: UserRecord) -> UserRecord:
            rest = {n: id for n, id in record.member_of.items() if n.lower() != group.lower()}
            if len(rest) == len(record.member_of):
                raise NotFound(f"{self._what(name)} is not in group {group[:128]}.")
            return replace(record, member_of=rest)

        self.update(account_id, name, change)

    def members(self, group: GroupRecord) -> list[UserRecord]:
        """The users in a group."""
        return [user for user in self.all(group.account) if group.id in user.member_of.values()]

    def remove(self, account_id: str, name: str, *, cascade: bool) -> UserRecord:
        """Delete a user, who has nothing left unless `cascade`. His keys end with him. Raises `DeleteConflict`."""

        def check(record: UserRecord) -> None:
            if cascade:
                return
            _without_policies(record)
            if record.access_keys or record.member_of:
                raise DeleteConflict("Cannot delete entity, must remove access keys and groups first.")

        return self._delete(account_id, name, check)


def _without_policies(record: UserRecord | GroupRecord | RoleRecord) -> None:
    if record.attached or record.inline:
        raise DeleteConflict("Cannot delete entity, must detach and delete all policies first.")


def _managed(text: str) -> str:
    if policy_size(text) > MAX_MANAGED_POLICY:
        raise LimitExceeded(f"A managed policy has {MAX_MANAGED_POLICY} characters at most, white space not counted")
    compile_policy(text, Kind.IDENTITY, "")
    return text


def _trust(text: str, principal_key: PrincipalKey | None) -> str:
    if policy_size(text) > MAX_TRUST_POLICY:
        raise LimitExceeded(f"A trust policy has {MAX_TRUST_POLICY} characters at most, white space not counted")
    compile_policy(text, Kind.TRUST, "", principal_key=principal_key)
    return text if principal_key is None else pin_principals(text, principal_key)


def _version(record: PolicyRecord, version: str) -> str:
    if version not in record.versions:
        raise NotFound(f"Policy {record.arn} version {version[:16]} does not exist.")
    return version
