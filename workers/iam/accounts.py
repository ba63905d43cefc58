"""Accounts: who owns buckets and objects."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec


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


ROOT_ACCOUNT_ID: Final = hashlib.sha256(b"shardgate:root").hexdigest()
"""One for all installations: root is a role of the gateway, and what it owns must outlive a change of its keys."""

ROOT_ACCOUNT: Final = Account(id=ROOT_ACCOUNT_ID, name="root", root=True, uid=0, gid=0)
