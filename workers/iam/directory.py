"""What requests ask about accounts that are not their own: whether there is one, whose e-mail, which name to show."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from workers.iam.account_registry import account_document
from workers.iam.accounts import ROOT_ACCOUNT
from workers.iam.acl import Directory
from workers.iam.records import AccountRecord
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

    def knows_principal(self, name: str) -> bool:
        """Whether there is the principal that a policy names, in the form of `principal_name`.

        Sessions come and go, and providers and services are none of ours: those are taken as they are.
        """
        kind, _, rest = name.partition(":")
        if kind == "canonical":
            return self.exists(rest)
        if kind == "account":
            return self._has_number(rest)
        if kind == "arn":
            return self._has_arn(name)
        return True

    def _has_number(self, number: str) -> bool:
        if number == ROOT_ACCOUNT.number:
            return True
        return self._registry is not None and self._registry.account_by_number(number) is not None

    def _has_arn(self, arn: str) -> bool:
        _, _, service, _, number, resource = arn.split(":", 5)
        if service != "iam":
            return self._has_number(number)
        account = None if self._registry is None else self._registry.account_by_number(number)
        if account is None or self._registry is None:
            return False
        kind, _, path = resource.partition("/")
        name = path.rpartition("/")[2]
        holders = self._registry.users if kind == "user" else self._registry.roles
        found = holders.find(account.id, name)
        return found is not None and found.arn == arn

    def _find(self, account_id: str) -> AccountRecord | None:
        # An id that stands in an object's record may be anything: what is no id is not looked for.
        if self._registry is None or len(account_id) != 64:
            return None
        return self._accounts.get(account_id)

    def _load(self, account_id: str) -> tuple[AccountRecord | None, Collection[str]]:
        assert self._registry is not None  # noqa: S101 -- asked before
        return self._registry.account(account_id), (account_document(account_id),)
