"""Accounts, their access keys, and everything else that is kept of identities, over one store of documents.

    iam/accounts/<id>                       an account
    iam/names/… iam/emails/… iam/numbers/…  claims: keep a name, an e-mail or a number for one account
    iam/keys/<access key>                   an access key
    iam/users/<id>/… iam/groups/… iam/roles/… iam/policies/… iam/providers/…

What takes several documents has one of them whose change is the step that counts; a process that dies before it has
done nothing that anybody sees, one that dies behind it has left only what nobody reads, and `repair` removes either.

How accounts come and go is told in `workers.iam.account_registry`. An access key counts while its user, or its account,
lists it. It is written first and listed last, and goes in the opposite order, so that a user's or account's keys end
with his record.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from msgspec.structs import replace

from backends.errors import DocumentChanged
from workers.iam.account_registry import GRACE, WHAT, Accounts, account_document
from workers.iam.accounts import ROOT_ACCOUNT_ID
from workers.iam.entities import Clock, Groups, Policies, Random, Roles, Tools, Users, unique_id
from workers.iam.providers import Providers
from workers.iam.records import (
    MAX_KEYS,
    AccessKeyRecord,
    AccountRecord,
    AlreadyExists,
    Busy,
    DeleteConflict,
    InvalidInput,
    LimitExceeded,
    NotFound,
    RecordError,
    UserRecord,
    check_access_key,
    check_expiry,
    check_secret,
    decode,
    encode,
)
from workers.iam.sealing import Sealer, SealError
from workers.iam.stores.api import DocumentStore, exact_part
from workers.iam.stores.sealed import SealedRecords

TOUCH: Final = 300_000_000_000
"""Nanoseconds between two notes of a key's last use."""

_OWNED: Final = ("users", "groups", "roles", "policies", "providers")


class NewKey(NamedTuple):
    """An access key that was just made, with its secret, which is told this one time."""

    record: AccessKeyRecord
    secret: str


class FoundKey(NamedTuple):
    """An access key that counts, and whose it is; `user` is None for the account's own."""

    record: AccessKeyRecord
    account: AccountRecord
    user: UserRecord | None


class Registry(Accounts):
    """All identities but root, which comes from the configuration.

    Every call raises `StorageUnavailable` when the store cannot answer, and `Busy` when others were faster all along.

    Args:
        reserved: access keys that belong to the configuration.
        clock: nanoseconds since the epoch.
        random: gives so many random bytes.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        store: DocumentStore,
        sealer: Sealer,
        *,
        reserved: Collection[str] = (),
        clock: Clock = time.time_ns,
        random: Random = os.urandom,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        tools = Tools(SealedRecords(store, sealer, sleep), clock, random)
        super().__init__(tools)
        self._sealer = sealer
        self._reserved = frozenset(reserved)
        self.policies = Policies(tools)
        self.groups = Groups(tools, self.policies)
        self.roles = Roles(tools, self.policies)
        self.users = Users(tools, self.policies, self.groups)
        self.providers = Providers(tools)

    # -- accounts

    def delete_account(self, account_id: str, *, cascade: bool = False) -> AccountRecord:
        """Delete an account; with `cascade` all that it has, too. Its keys end in the first step.

        Whether it owns buckets is for the caller to ask. Raises `NotFound`, `DeleteConflict`.
        """
        owned = [name for folder in _OWNED for name in self._records.names(f"iam/{folder}/{account_id}/")]

        def check(record: AccountRecord) -> None:
            self._real(record)
            if not cascade and (owned or record.access_keys):
                raise DeleteConflict("Cannot delete entity, must remove users, groups, roles, policies and keys first.")

        users = self.users.all(account_id)
        gone = self._records.delete(account_document(account_id), AccountRecord, check, WHAT)
        for access_key in (*gone.access_keys, *(key for user in users for key in user.access_keys)):
            self._drop_key(access_key, lambda record: record.account == account_id)
        self._remove_owned(account_id)
        self._release(gone.claims)
        return gone

    # -- access keys

    def create_key(
        self, account_id: str, user: str = "", *, access_key: str = "", secret: str = "", expires: int = 0
    ) -> NewKey:
        """Make an access key of a user, or of the account itself.

        Args:
            access_key, secret: of a key that moves here; "" for new ones.
            expires: nanoseconds since the epoch, 0 for never.

        Raises `NotFound`, `AlreadyExists`, `LimitExceeded`, `InvalidInput`.
        """
        access_key = check_access_key(access_key) if access_key else unique_id("AKIA", self._random)[:20]
        secret = check_secret(secret) if secret else base64.b64encode(self._random(30)).decode()
        if access_key in self._reserved:
            raise AlreadyExists("The access key belongs to the configuration.")
        if not user and account_id == ROOT_ACCOUNT_ID:
            raise InvalidInput("The access key of root comes from the configuration; there are no others.")
        owner = self.users.get(account_id, user) if user else None
        self.existing(account_id)
        record = AccessKeyRecord(
            access_key=access_key,
            sealed_secret=self._sealer.seal(secret.encode(), _purpose(access_key)),
            account=account_id,
            user=owner.name if owner else "",
            user_id=owner.id if owner else "",
            created=self._clock(),
            expires=check_expiry(expires),
        )
        document = key_document(access_key)
        self._clear_key(access_key)
        revision = self._records.create(document, record, "The access key")
        try:
            self._list_key(record)
        except (NotFound, LimitExceeded, Busy):
            self._records.drop(document, revision)
            raise
        return NewKey(record, secret)

    def find_key(self, access_key: str) -> FoundKey | None:
        """An access key and its owner, whether they are enabled or not; None when it does not count."""
        found = self._records.get(key_document(access_key), AccessKeyRecord)
        if found is None:
            return None
        record = found[0]
        account = self.account(record.account)
        user = self.users.find(record.account, record.user) if record.user else None
        if account is None or not _lists(record, account, user):
            return None
        return FoundKey(record, account, user)

    def documents_of(self, found: FoundKey) -> list[str]:
        """The names of the documents that a key and its owner are written in."""
        names = [key_document(found.record.access_key), account_document(found.account.id)]
        return names if found.user is None else [*names, self.users.document(found.account.id, found.user.name)]

    def keys(self, account_id: str, user: str = "") -> list[AccessKeyRecord]:
        """The keys of a user, or of the account itself, oldest first. Raises `NotFound`."""
        account = self.existing(account_id)
        owner = self.users.get(account_id, user) if user else account
        found = [self.find_key(access_key) for access_key in owner.access_keys]
        return [key.record for key in found if key is not None and key.record.user.lower() == user.lower()]

    def update_key(
        self, access_key: str, *, enabled: bool | None = None, expires: int | None = None, secret: str = ""
    ) -> AccessKeyRecord:
        """Enable or disable a key, let it expire at a time (nanoseconds, 0 for never), or give it another secret.

        Raises `NotFound`, `InvalidInput`.
        """
        sealed = self._sealer.seal(check_secret(secret).encode(), _purpose(access_key)) if secret else b""

        def change(record: AccessKeyRecord) -> AccessKeyRecord:
            return replace(
                record,
                enabled=record.enabled if enabled is None else enabled,
                expires=record.expires if expires is None else check_expiry(expires),
                sealed_secret=sealed or record.sealed_secret,
            )

        return self._records.update(key_document(access_key), AccessKeyRecord, change, _KEY)

    def rotate_key(self, access_key: str, overlap: int) -> NewKey:
        """A new key for the owner of a key, which goes on working for `overlap` nanoseconds. Raises `NotFound`."""
        found = self.find_key(access_key)
        if found is None:
            raise NotFound(f"{_KEY} cannot be found.")
        old = found.record
        new = self.create_key(old.account, old.user, expires=0)
        end = self._clock() + overlap
        self.update_key(access_key, expires=min(end, old.expires) if old.expires else end)
        return new

    def touch_key(self, access_key: str) -> bool:
        """Note that a key was used; at most every five minutes. Whether it was noted."""
        now = self._clock()
        found = self._records.get(key_document(access_key), AccessKeyRecord)
        if found is None or now - found[0].last_used < TOUCH:
            return False
        try:
            self._records.put(key_document(access_key), replace(found[0], last_used=now), found[1])
        except DocumentChanged:
            return False  # the next use is noted
        return True

    def delete_key(self, access_key: str) -> AccessKeyRecord:
        """Delete a key; it ends in the first step. Raises `NotFound`."""
        found = self._records.get(key_document(access_key), AccessKeyRecord)
        if found is None:
            raise NotFound(f"{_KEY} cannot be found.")
        record = found[0]
        try:
            self._unlist_key(record)
        except NotFound:
            pass  # with its owner gone, it counted no more
        self._drop_key(access_key, lambda current: current.created == record.created)
        return record

    def secret_of(self, record: AccessKeyRecord) -> str:
        """The secret of a key, for checking signatures and nothing else. Raises `SealError`."""
        return self._sealer.open(record.sealed_secret, _purpose(record.access_key)).decode()

    # -- users and policies, with what hangs on them

    def delete_user(self, account_id: str, name: str, *, cascade: bool = False) -> UserRecord:
        """Delete a user; his keys end in the first step. Raises `NotFound`, and `DeleteConflict` without `cascade`."""
        gone = self.users.remove(account_id, name, cascade=cascade)
        for access_key in gone.access_keys:
            self._drop_key(access_key, lambda record: record.user_id == gone.id)
        return gone

    def delete_group(self, account_id: str, name: str) -> None:
        """Delete an empty group. Raises `NotFound`, `DeleteConflict`."""
        if self.users.members(self.groups.get(account_id, name)):
            raise DeleteConflict("Cannot delete entity, must remove users from group first.")
        self.groups.remove(account_id, name)

    def delete_policy(self, account_id: str, name: str) -> None:
        """Delete a managed policy that is attached nowhere. Raises `NotFound`, `DeleteConflict`.

        It is condemned before references are looked for, so that none comes behind the look. Given up half-way, it
        stays in force where it is attached, and the next attempt decides.
        """
        policy = self.policies.condemn(account_id, name, True)
        if self.attached_to(account_id, policy.arn) or len(policy.versions) > 1:
            self.policies.condemn(account_id, name, False)
            raise DeleteConflict("Cannot delete a policy that is attached to entities or has several versions.")
        self.policies.remove(account_id, name)

    def attached_to(self, account_id: str, arn: str) -> list[str]:
        """ARNs of the users, groups and roles that a policy is attached to, or bounds."""
        users = [one.arn for one in self.users.all(account_id) if arn in (*one.attached, one.boundary)]
        roles = [one.arn for one in self.roles.all(account_id) if arn in (*one.attached, one.boundary)]
        return users + roles + [one.arn for one in self.groups.all(account_id) if arn in one.attached]

    # -- upkeep

    def reseal(self) -> int:
        """Seal everything under the present master key that is not; returns how many records were.

        Afterwards the former keys are needed no more, once no process uses one as its present key.
        """
        count = 0
        for name in list(self._records.names("iam/")):
            count += self._records.reseal(name, self._reseal_secret if name.startswith("iam/keys/") else None)
        return count

    def _reseal_secret(self, text: bytes) -> bytes:
        try:
            record = decode(text, AccessKeyRecord)
        except RecordError as error:
            raise SealError(str(error)) from None
        if self._sealer.is_current(record.sealed_secret):
            return text
        purpose = _purpose(record.access_key)
        secret = self._sealer.open(record.sealed_secret, purpose)
        return encode(replace(record, sealed_secret=self._sealer.seal(secret, purpose)))

    def repair(self) -> int:
        """Remove what given-up changes left behind; returns how much. Safe beside everything else."""
        count = 0
        for account in self._records.all("iam/accounts/", AccountRecord):
            count += self._give_up(account.id, "")
        for folder in ("names", "emails", "numbers"):
            count += sum(self._clear_claim(claim) for claim in list(self._records.names(f"iam/{folder}/")))
        for key in self._records.all("iam/keys/", AccessKeyRecord):
            count += self._clear_key(key.access_key)
        for folder in _OWNED:
            owners = {name.split("/")[2] for name in self._records.names(f"iam/{folder}/")}
            count += sum(
                self._remove_owned(one)
                for one in owners
                if one != ROOT_ACCOUNT_ID and self._records.get(account_document(one), AccountRecord) is None
            )
        return count

    # -- steps

    def _list_key(self, key: AccessKeyRecord) -> None:
        def listed(keys: tuple[str, ...]) -> tuple[str, ...]:
            if len(keys) >= MAX_KEYS:
                raise LimitExceeded(f"There are {MAX_KEYS} access keys at most")
            return (*keys, key.access_key)

        def of_user(record: UserRecord) -> UserRecord:
            if record.id != key.user_id:
                raise NotFound(f"The user with name {key.user} cannot be found.")
            return replace(record, access_keys=listed(record.access_keys))

        def of_account(record: AccountRecord) -> AccountRecord:
            self._real(record)
            return replace(record, access_keys=listed(record.access_keys))

        if key.user:
            self.users.update(key.account, key.user, of_user)
        else:
            self._change_account(key.account, of_account)

    def _unlist_key(self, key: AccessKeyRecord) -> None:
        def without(keys: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(one for one in keys if one != key.access_key)

        if key.user:
            self.users.update(
                key.account, key.user, lambda record: replace(record, access_keys=without(record.access_keys))
            )
        else:
            self._change_account(key.account, lambda record: replace(record, access_keys=without(record.access_keys)))

    def _drop_key(self, access_key: str, fit: Callable[[AccessKeyRecord], bool]) -> None:
        found = self._records.get(key_document(access_key), AccessKeyRecord)
        while found is not None and fit(found[0]) and not self._records.drop(key_document(access_key), found[1]):
            found = self._records.get(key_document(access_key), AccessKeyRecord)

    def _clear_key(self, access_key: str) -> bool:
        """Remove a key that nobody lists and that nobody is about to list; whether there was one."""
        found = self._records.get(key_document(access_key), AccessKeyRecord)
        if found is None or self.find_key(access_key) is not None:
            return False
        record, revision = found
        return self._clock() - record.created >= GRACE and self._records.drop(key_document(access_key), revision)

    def _remove_owned(self, account_id: str) -> int:
        """Remove what an account had that is no more."""
        names = [name for folder in _OWNED for name in self._records.names(f"iam/{folder}/{account_id}/")]
        return sum(self._records.remove(name) for name in names)


_KEY: Final = "The access key"


def key_document(access_key: str) -> str:
    """The name of an access key's document."""
    return f"iam/keys/{exact_part(access_key)}"


def _purpose(access_key: str) -> str:
    return f"secret of {access_key}"


def _lists(key: AccessKeyRecord, account: AccountRecord, user: UserRecord | None) -> bool:
    """Whether a key's owner says that it is his."""
    if not key.user:
        return key.access_key in account.access_keys
    return user is not None and user.id == key.user_id and key.access_key in user.access_keys
