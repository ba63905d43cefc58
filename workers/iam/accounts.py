"""Accounts, their credentials, and where they come from."""

from __future__ import annotations

import hashlib
from typing import Final, Protocol

import msgspec

from backends.api import Caller


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An identity that owns buckets and objects.

    `id` is the canonical user id, 64 hexadecimal digits, apart from any access key and never changing.
    """

    id: str
    name: str
    root: bool = False
    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] = ()

    @property
    def number(self) -> str:
        """The twelve-digit account id that ARNs and x-amz-expected-bucket-owner use."""
        return account_number(self.id)


def account_number(account_id: str) -> str:
    """The twelve-digit number that belongs to a canonical user id."""
    return f"{int.from_bytes(hashlib.sha256(account_id.encode()).digest()[:8]) % 10**12:012d}"


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """An access key: its secret, the account it acts for, and how storage is asked on its behalf."""

    access_key: str
    secret_key: str
    account: Account
    caller: Caller


class CredentialStore(Protocol):
    """Finds credentials by access key."""

    def find(self, access_key: str) -> Credential | None:
        """The credential of an access key, None when there is none."""


ROOT_ACCOUNT_ID: Final = hashlib.sha256(b"shardgate:root").hexdigest()
"""One for all installations: root is a role of the gateway, and what it owns must outlive a change of its keys."""

ROOT_ACCOUNT: Final = Account(id=ROOT_ACCOUNT_ID, name="root", root=True, uid=0, gid=0)


class RootCredentials:
    """The store that knows only the root account's key."""

    def __init__(self, access_key: str, secret_key: str) -> None:
        self._credential = Credential(
            access_key=access_key,
            secret_key=secret_key,
            account=ROOT_ACCOUNT,
            caller=Caller(account_id=ROOT_ACCOUNT_ID, user_name="root", access_key=access_key, uid=0, gid=0),
        )

    def find(self, access_key: str) -> Credential | None:
        """Root's credential, or None."""
        return self._credential if access_key == self._credential.access_key else None
