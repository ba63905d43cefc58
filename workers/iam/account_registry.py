"""Accounts, and the claims that keep a name, an e-mail address and a number for one account alone.

A claim holds while the account is there and lists it. An account is written first, as pending and with its claims
listed; then the claims are; then it is made a real one, which is the step that counts. A new name or e-mail address is
listed before it is claimed, too, and becomes the account's behind that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from msgspec.structs import replace

from backends.errors import DocumentChanged
from workers.iam.accounts import ROOT_ACCOUNT
from workers.iam.entities import Tools
from workers.iam.records import (
    AccountLimits,
    AccountRecord,
    AlreadyExists,
    Busy,
    ClaimRecord,
    InvalidInput,
    NotFound,
    check_account_id,
    check_email,
    check_limits,
    check_name,
    check_numbers,
)
from workers.iam.stores.api import part

GRACE: Final = 60_000_000_000
"""Nanoseconds after which a change that was begun and not finished counts as given up. Too short a time makes the
slow one fail; nothing else depends on it."""

WHAT: Final = "The account"
_CLAIMED: Final = {"names": "The account name", "emails": "The e-mail address", "numbers": "The account number"}


ROOT_RECORD: Final = AccountRecord(id=ROOT_ACCOUNT.id, name=ROOT_ACCOUNT.name)
"""Root as the holder of users, groups, roles and policies. It has no numeric identity: a user of root's is root in the
storage only where he was given that number himself."""


class _NumberTaken(AlreadyExists):
    """Another account has the same number."""


class Accounts:
    """The accounts of a store. Root is not stored: it is always there, and cannot be changed."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._records = tools.records
        self._clock = tools.clock
        self._random = tools.random

    def create_account(
        self,
        name: str,
        *,
        email: str = "",
        uid: int | None = None,
        gid: int | None = None,
        groups: tuple[int, ...] = (),
        limits: AccountLimits | None = None,
        may_create_buckets: bool = True,
        admin: bool = False,
        account_id: str = "",
    ) -> AccountRecord:
        """Make an account. Raises `AlreadyExists`, `InvalidInput`.

        Args:
            account_id: canonical user id of an account that moves here, "" for a new one.
        """
        check_numbers(uid, gid, groups)
        record = AccountRecord(
            id=check_account_id(account_id) if account_id else "",
            name=check_name(name, 64, "Account name"),
            email=check_email(email),
            uid=uid,
            gid=gid,
            groups=groups,
            limits=check_limits(limits or AccountLimits()),
            may_create_buckets=may_create_buckets,
            admin=admin,
            created=self._clock(),
        )
        if part(name) == part(ROOT_ACCOUNT.name):
            raise AlreadyExists("The account name root belongs to the gateway.")
        if account_id:
            return self._make_account(record)
        while True:
            try:
                return self._make_account(replace(record, id=self._random(32).hex()))
            except _NumberTaken:
                continue  # one in 10**12 for each account that there is

    def _make_account(self, record: AccountRecord) -> AccountRecord:
        if record.number == ROOT_ACCOUNT.number:
            raise _NumberTaken("The account number belongs to the gateway.")
        claims = claims_of(record)
        draft = replace(record, pending=True, claims=claims, changed=self._clock())
        document = account_document(record.id)
        try:
            revision = self._records.create(document, draft, "The account id")
        except AlreadyExists:
            if not self._give_up(record.id, claims[0]):
                raise
            revision = self._records.create(document, draft, "The account id")
        taken: list[str] = []
        try:
            for claim in claims:
                self._claim(claim, record.id)
                taken.append(claim)
        except AlreadyExists:
            self._records.drop(document, revision)
            self._release(taken)
            raise
        made = replace(draft, pending=False)
        try:
            self._records.put(document, made, revision)
        except DocumentChanged:
            raise Busy("Making the account took too long, and was undone.") from None
        return made

    def find_account(self, name: str) -> AccountRecord | None:
        """An account by its name in any case."""
        if part(name) == part(ROOT_RECORD.name):
            return ROOT_RECORD
        found = self._claimed(f"iam/names/{part(name)}")
        return found if found is not None and part(found.name) == part(name) else None

    def account_by_email(self, email: str) -> AccountRecord | None:
        """An account by its e-mail address in any case."""
        found = self._claimed(f"iam/emails/{part(email)}") if email else None
        return found if found is not None and part(found.email) == part(email) else None

    def account_by_number(self, number: str) -> AccountRecord | None:
        """An account by its twelve-digit number."""
        if number == ROOT_RECORD.number:
            return ROOT_RECORD
        found = self._claimed(f"iam/numbers/{part(number)}")
        return found if found is not None and found.number == number else None

    def account(self, account_id: str) -> AccountRecord | None:
        """An account by its canonical user id, None when there is none."""
        if account_id == ROOT_RECORD.id:
            return ROOT_RECORD
        found = self._records.get(account_document(account_id), AccountRecord)
        return None if found is None or found[0].pending else found[0]

    def accounts(self) -> list[AccountRecord]:
        """All accounts but root, ordered by name."""
        found = self._records.all("iam/accounts/", AccountRecord)
        return sorted((account for account in found if not account.pending), key=lambda account: account.name)

    def update_account(self, account_id: str, change: Callable[[AccountRecord], AccountRecord]) -> AccountRecord:
        """Replace an account by `change(account)`: anything but its id, claims and keys.

        A new name or e-mail is free for nobody else from the moment on that it is visible. Raises `NotFound`,
        `AlreadyExists`, `InvalidInput`; `change` may be called repeatedly.
        """

        def checked(record: AccountRecord) -> AccountRecord:
            self._real(record)
            changed = change(record)
            check_name(changed.name, 64, "Account name")
            check_email(changed.email)
            check_limits(changed.limits)
            check_numbers(changed.uid, changed.gid, changed.groups)
            if part(changed.name) == part(ROOT_ACCOUNT.name):
                raise AlreadyExists("The account name root belongs to the gateway.")
            kept = ("id", "created", "pending", "claims", "changed", "access_keys")
            if any(getattr(changed, field) != getattr(record, field) for field in kept):
                raise InvalidInput("The id, the claims and the keys of an account are not changed like this")
            return changed

        def announce(record: AccountRecord) -> AccountRecord:
            added = tuple(claim for claim in claims_of(checked(record)) if claim not in record.claims)
            return replace(record, claims=record.claims + added, changed=self._clock()) if added else record

        def commit(record: AccountRecord) -> AccountRecord:
            changed = checked(record)
            claims = claims_of(changed)
            if not set(claims) <= set(record.claims):
                raise Busy("The account is being changed by others.")
            dropped.append(tuple(claim for claim in record.claims if claim not in claims))
            return replace(changed, claims=claims)

        dropped: list[tuple[str, ...]] = []
        announced = self._change_account(account_id, announce)
        try:
            for claim in announced.claims:
                if claim not in claims_of(announced):
                    self._claim(claim, account_id)
        except AlreadyExists:
            self._change_account(account_id, lambda record: replace(record, claims=claims_of(record)))
            self._release(set(announced.claims) - set(claims_of(announced)))
            raise
        changed = self._change_account(account_id, commit)
        self._release(dropped[-1])
        return changed

    # -- claims

    def _claim(self, claim: str, account_id: str) -> None:
        """Take a claim that the account already lists. Raises `AlreadyExists`."""
        for _ in range(3):
            found = self._records.get(claim, ClaimRecord)
            if found is not None and found[0].account != account_id:
                if not self._clear_claim(claim):
                    break
                found = None
            try:
                # One's own claim is written anew, so that who finds it abandoned just now cannot remove it any more.
                self._records.put(claim, ClaimRecord(account=account_id), None if found is None else found[1])
            except DocumentChanged:
                continue
            return
        kind = claim.split("/")[1]
        raise (_NumberTaken if kind == "numbers" else AlreadyExists)(f"{_CLAIMED[kind]} already exists.")

    def _clear_claim(self, claim: str) -> bool:
        """Remove a claim that holds no more; whether it was."""
        found = self._records.get(claim, ClaimRecord)
        if found is None:
            return False
        holder, revision = found
        if not self._give_up(holder.account, claim):
            account = self._records.get(account_document(holder.account), AccountRecord)
            if account is not None and claim in account[0].claims:
                return False
        return self._records.drop(claim, revision)

    def _give_up(self, account_id: str, claim: str) -> bool:
        """End what an account began long ago: its making, or the change of its name. Whether there was such a thing."""
        found = self._records.get(account_document(account_id), AccountRecord)
        if found is None or self._clock() - found[0].changed < GRACE:
            return False
        account, revision = found
        if account.pending:
            return self._records.drop(account_document(account_id), revision)
        own = claims_of(account)
        if set(own) == set(account.claims) or claim in own:
            return False
        try:
            self._records.put(account_document(account_id), replace(account, claims=own), revision)
        except DocumentChanged:
            return False
        return True

    def _release(self, claims: Collection[str]) -> None:
        """Remove claims that an account lists no more, unless it, or another one, has taken them up again since."""
        for claim in claims:
            self._clear_claim(claim)

    def _claimed(self, claim: str) -> AccountRecord | None:
        found = self._records.get(claim, ClaimRecord)
        return None if found is None else self.account(found[0].account)

    # -- steps

    def existing(self, account_id: str) -> AccountRecord:
        """An account by its canonical user id. Raises `NotFound`."""
        found = self.account(account_id)
        if found is None:
            raise NotFound(f"{WHAT} cannot be found.")
        return found

    def _real(self, record: AccountRecord) -> None:
        if record.pending:
            raise NotFound(f"{WHAT} cannot be found.")

    def _change_account(self, account_id: str, change: Callable[[AccountRecord], AccountRecord]) -> AccountRecord:
        return self._records.update(account_document(account_id), AccountRecord, change, WHAT)


def account_document(account_id: str) -> str:
    """The name of an account's document."""
    return f"iam/accounts/{part(account_id)}"


def claims_of(record: AccountRecord) -> tuple[str, ...]:
    """The claims that an account needs for what it is called."""
    emails = (f"iam/emails/{part(record.email)}",) if record.email else ()
    return (f"iam/names/{part(record.name)}", *emails, f"iam/numbers/{record.number}")
