"""Keeps an account for each person of a site's directory who has an access key there.

The directory is asked now and then, never by a request: what it says becomes accounts and keys like all others, which
go on when it is away. An account that came from it has its name, e-mail address, numbers, role and key from there;
limits, users, groups, roles and policies are the account's own. Who leaves the directory keeps his account, since it
owns buckets, but it is disabled and its key is gone; who comes back finds it again, by an id that follows from his
name.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, ParamSpec

from msgspec.structs import replace

from workers.iam.people import ADMIN, USER, Person
from workers.iam.records import AccountRecord, IamError
from workers.iam.registry import Registry
from workers.iam.sealing import SealError

logger = logging.getLogger("shardgate.accounts")

HERE: Final = "ldap"
GONE: Final = "ldap, gone"

P = ParamSpec("P")
Read = Callable[[], tuple[list[Person], list[str]]]


@dataclass(slots=True)
class Report:
    """What a run has changed, by the names of accounts, and what it could not."""

    created: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    disabled: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


class AccountSync:
    """Brings accounts in step with people.

    Args:
        read: gives the people, and lines about entries that cannot be some.
        place: of the directory: of two directories, people of one name are two.
    """

    def __init__(self, registry: Registry, read: Read, place: str) -> None:
        self._registry = registry
        self._read = read
        self._place = place.lower()

    def run(self) -> Report:
        """One run. Raises `StorageUnavailable` when the directory or the store does not answer."""
        people, complaints = self._read()
        report = Report(complaints=complaints)
        known = {account.id: account for account in self._registry.accounts()}
        present = {self.account_id(person.name): person for person in people}
        former = [account for account in known.values() if account.origin == HERE and account.id not in present]
        if former and not present:
            # Rather a filter or a right that has changed than a site that all people have left.
            report.complaints.append(f"the directory names nobody any more: {len(former)} accounts stay as they are")
            return report
        for account in former:
            self._try(report, account.name, self._disable, account, report)
        for account_id, person in present.items():
            self._try(report, person.name, self._keep, person, account_id, known.get(account_id), report)
        return report

    def account_id(self, name: str) -> str:
        """The canonical user id of a person's account."""
        return hashlib.sha256(f"shardgate:ldap:{self._place}:{name.lower()}".encode()).hexdigest()

    @staticmethod
    def _try(report: Report, name: str, step: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            step(*args, **kwargs)
        except (IamError, SealError) as error:
            report.complaints.append(f"{name}: {error}")

    def _disable(self, account: AccountRecord, report: Report) -> None:
        self._registry.update_account(account.id, lambda record: replace(record, enabled=False, origin=GONE))
        self._drop_keys(account.access_keys)
        report.disabled.append(account.name)

    def _keep(self, person: Person, account_id: str, account: AccountRecord | None, report: Report) -> None:
        new = account is None
        if account is None:
            account = self._registry.create_account(
                person.name,
                email=person.email,
                uid=person.uid,
                gid=person.gid,
                account_id=account_id,
            )
        changed = account
        if _as_in_directory(account, person) != account:
            changed = self._registry.update_account(account_id, lambda record: _as_in_directory(record, person))
        moved = self._keep_key(changed, person)
        if new:
            report.created.append(person.name)
        elif moved or changed != account:
            report.changed.append(person.name)

    def _keep_key(self, account: AccountRecord, person: Person) -> bool:
        """Have the account's one key be the person's; whether it was another one."""
        found = {key.access_key: key for key in self._registry.keys(account.id)}
        key = found.get(person.access_key)
        secret = "" if key is None else self._registry.secret_of(key)
        right = key is not None and hmac.compare_digest(secret.encode(), person.secret.encode())
        self._drop_keys(access_key for access_key in found if access_key != person.access_key or not right)
        if not right:
            self._registry.create_key(account.id, access_key=person.access_key, secret=person.secret)
        return not right or len(found) > 1

    def _drop_keys(self, access_keys: Iterable[str]) -> None:
        for access_key in access_keys:
            self._registry.delete_key(access_key)


def _as_in_directory(account: AccountRecord, person: Person) -> AccountRecord:
    return replace(
        account,
        name=person.name,
        email=person.email,
        uid=person.uid,
        gid=person.gid,
        may_create_buckets=account.may_create_buckets if person.role is None else person.role != USER,
        admin=account.admin if person.role is None else person.role == ADMIN,
        # Whoever was disabled by hand stays so.
        enabled=account.enabled or account.origin == GONE,
        origin=HERE,
    )
