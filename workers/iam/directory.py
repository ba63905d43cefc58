"""What requests ask about accounts that are not their own: whether there is one, whose e-mail, which name to show."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from workers.iam.account_registry import account_document
from workers.iam.accounts import ROOT_ACCOUNT
from workers.iam.acl import Directory
from workers.iam.policy.pinning import show_principals
from workers.iam.policy.principals import PARTITION
from workers.iam.records import SESSION_NAME, AccountRecord, RoleRecord, UserRecord
from workers.iam.registry import Registry
from workers.state.table import Table


class AccountDirectory:
    """Answers from a worker's table of accounts.

    Args:
        registry: where they are read; None where there is only root.
        lifetime, grace: seconds, see `Table`.
    """

    def __init__(self, registry: Registry | None, *, lifetime: float = 30.0, grace: float = 300.0) -> None:
        self._registry = registry
        self._accounts: Table[AccountRecord | None] = Table(self._load, lifetime=lifetime, grace=grace)
        self.for_acls = Directory(self.exists, self.by_email, self.display_name)

    def forget(self, document: str) -> None:
        """A document of the store has changed."""
        self._accounts.forget(document)

    def doubt(self) -> None:
        """Changes may have been missed."""
        self._accounts.doubt()

    def exists(self, account_id: str) -> bool:
        """Whether there is an account of a canonical user id."""
        return account_id == ROOT_ACCOUNT.id or self._find(account_id) is not None

    def by_email(self, email: str) -> Sequence[str]:
        """The canonical user ids of the accounts with an e-mail address: one at most."""
        found = None if self._registry is None else self._registry.account_by_email(email)
        return () if found is None else (found.id,)

    def display_name(self, account_id: str) -> str:
        """The name that is shown for a canonical user id, "" for none."""
        if account_id == ROOT_ACCOUNT.id:
            return ROOT_ACCOUNT.name
        found = self._find(account_id)
        return "" if found is None else found.name

    def principal_key(self, name: str) -> str | None:
        """The unique id of a user or role that a policy names, "" for another principal, None where there is none.

        Sessions come and go: it is their role that has to be there, and their name one that a session can have.
        Providers and services are none of ours, and are taken as they are.

        Args:
            name: in the form of `principal_name`.
        """
        kind, _, rest = name.partition(":")
        known = True
        if kind == "canonical":
            known = self.exists(rest)
        elif kind == "account":
            known = self._has_number(rest)
        elif kind == "arn":
            _, _, service, _, number, resource = name.split(":", 5)
            if service == "iam":
                found = self._holder(name)
                return found.id if found is not None and found.arn == name else None
            known = self._may_be_session(number, resource)
        elif kind == "id":
            known = False
        return "" if known else None

    def current_arn(self, arn: str, unique_id: str) -> str | None:
        """The ARN that the user or role of a former ARN and an id has now; None when he is gone."""
        found = self._holder(arn)
        return found.arn if found is not None and found.id == unique_id else None

    def _has_number(self, number: str) -> bool:
        if number == ROOT_ACCOUNT.number:
            return True
        return self._registry is not None and self._registry.account_by_number(number) is not None

    def _may_be_session(self, number: str, resource: str) -> bool:
        kind, _, rest = resource.partition("/")
        if kind != "assumed-role":
            return self._has_number(number)
        role, _, session = rest.partition("/")
        found = self._holder(f"arn:{PARTITION}:iam::{number}:role/{role}")
        return found is not None and found.name == role and SESSION_NAME.fullmatch(session) is not None

    def _holder(self, arn: str) -> UserRecord | RoleRecord | None:
        """The user or role of an ARN's account and name, whatever its path."""
        if self._registry is None:
            return None
        _, _, _, _, number, resource = arn.split(":", 5)
        account = self._registry.account_by_number(number)
        if account is None:
            return None
        kind, _, path = resource.partition("/")
        name = path.rpartition("/")[2]
        holders = self._registry.users if kind == "user" else self._registry.roles
        return holders.find(account.id, name)

    def _find(self, account_id: str) -> AccountRecord | None:
        # An id that stands in an object's record may be anything: what is no id is not looked for.
        if self._registry is None or len(account_id) != 64:
            return None
        return self._accounts.get(account_id)

    def _load(self, account_id: str) -> tuple[AccountRecord | None, Collection[str]]:
        assert self._registry is not None  # noqa: S101 -- asked before
        return self._registry.account(account_id), (account_document(account_id),)


def trust_policy(registry: Registry, role: RoleRecord) -> str:
    """A role's trust policy as readers see it."""
    return show_principals(role.trust, AccountDirectory(registry).current_arn)
