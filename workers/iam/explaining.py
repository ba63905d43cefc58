"""What a decision would be, and which statements speak of it: a dry run for people who write policies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from workers.iam.accounts import ROOT_ACCOUNT
from workers.iam.decision import BucketAccess, Decision, Lookup, decide
from workers.iam.identities import Identities
from workers.iam.policy.compiler import CompiledPolicy
from workers.iam.policy.context import RequestContext
from workers.iam.policy.model import Effect
from workers.iam.policy.principals import (
    ANONYMOUS,
    Principal,
    account_principal,
    role_principal,
    user_principal,
)
from workers.iam.records import NotFound
from workers.iam.registry import Registry


class Speaking(NamedTuple):
    """A statement that applies to a request.

    Attributes:
        document: the name of its policy.
        kind: of the policy: "identity policy", "permissions boundary", "session policy" or "bucket policy".
        statement: its Sid or its place.
        effect: Allow or Deny.
    """

    document: str
    kind: str
    statement: str
    effect: str


class Explanation(NamedTuple):
    """A decision with all that speaks for or against it."""

    decision: Decision
    statements: tuple[Speaking, ...]


def explain(
    action: str,
    resource: str,
    principal: Principal,
    context: RequestContext,
    bucket: BucketAccess | None = None,
    lookup: Lookup | None = None,
) -> Explanation:
    """Decide as `decide` does, and gather the statements that apply. The arguments are those of `decide`."""
    context.principal = principal
    found = tuple(
        Speaking(policy.name, kind, statement.label, "Deny" if statement.effect is Effect.DENY else "Allow")
        for kind, policy in _documents(principal, bucket)
        for statement, _ in policy.applying(action, resource, principal, context)
    )
    return Explanation(decide(action, resource, principal, context, bucket, lookup), found)


def _documents(principal: Principal, bucket: BucketAccess | None) -> Iterator[tuple[str, CompiledPolicy]]:
    for policy in principal.policies:
        yield "identity policy", policy
    if principal.boundary is not None:
        yield "permissions boundary", principal.boundary
    for policy in principal.session or ():
        yield "session policy", policy
    if bucket is not None and bucket.policy is not None:
        yield "bucket policy", bucket.policy


class Impersonator:
    """Makes the principals that requests of others would have."""

    def __init__(self, registry: Registry, identities: Identities) -> None:
        self._registry = registry
        self._identities = identities

    def principal(self, name: str) -> Principal:
        """A caller by a name.

        Args:
            name: `anonymous`, `root`, an account (name, canonical user id, number or ARN), `ACCOUNT/USER`, the ARN of a
                user or of a role, which stands for a session without session policies, or an access key.

        Raises `NotFound`.
        """
        if name == "anonymous":
            return ANONYMOUS
        if name.startswith("arn:"):
            return self._by_arn(name)
        identity = self._identities.load(name)
        if identity is not None:
            return identity.principal
        account, slash, user = name.partition("/")
        return self._user(self._account(account), user) if slash else self._own(self._account(account))

    def _by_arn(self, arn: str) -> Principal:
        sections = arn.split(":", 5)
        if len(sections) != 6 or sections[2] != "iam":
            raise NotFound(f"{arn[:256]} is no ARN of an account, user or role.")
        account = self._account(sections[4])
        kind, _, path = sections[5].partition("/")
        name = path.rpartition("/")[2]
        if kind == "user":
            return self._user(account, name)
        if kind == "role":
            return self._role(account, name)
        return self._own(account)

    def _account(self, name: str) -> str:
        """The canonical user id of an account."""
        registry = self._registry
        found = registry.find_account(name) or registry.account_by_number(name)
        if found is None and len(name) == 64:
            found = registry.account(name)
        if found is not None:
            return found.id
        if name in (ROOT_ACCOUNT.name, ROOT_ACCOUNT.number, ROOT_ACCOUNT.id):
            return ROOT_ACCOUNT.id
        raise NotFound(f"There is no account {name[:128]}.")

    @staticmethod
    def _own(account: str) -> Principal:
        return account_principal(account, root=account == ROOT_ACCOUNT.id)

    def _user(self, account: str, name: str) -> Principal:
        user = self._registry.users.get(account, name)
        policies = self._identities.policies_of(user, self._identities.groups_of(user))
        return user_principal(
            account,
            user.name,
            path=user.path,
            user_id=user.id,
            tags=user.tags,
            policies=policies.identity,
            boundary=policies.boundary,
        )

    def _role(self, account: str, name: str) -> Principal:
        role = self._registry.roles.get(account, name)
        policies = self._identities.policies_of(role)
        return role_principal(
            account,
            role.name,
            "explained",
            path=role.path,
            role_id=role.id,
            tags=role.tags,
            policies=policies.identity,
            boundary=policies.boundary,
        )
