"""What the gateway cannot do yet and a client must be told, instead of ignoring the header that asks for it."""

from __future__ import annotations

from typing import Final

from workers.protocol.errors import S3Error
from workers.request import Request, environ_key

_ENCRYPTION: Final = (
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-server-side-encryption-customer-key",
    "x-amz-server-side-encryption-customer-key-md5",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-context",
    "x-amz-server-side-encryption-bucket-key-enabled",
)

_CUSTOMER_KEYS: Final = {
    prefix: tuple(f"{prefix}server-side-encryption-customer-{name}" for name in ("algorithm", "key", "key-md5"))
    for prefix in ("x-amz-", "x-amz-copy-source-")
}

_LOCKS: Final = (
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-object-lock-legal-hold",
)

_LOOKED_AT: Final = frozenset(environ_key(name) for name in (*_LOCKS, *_ENCRYPTION))
"""PERF: ten headers that hardly any write has, looked for at once."""


def refuse_selectors(request: Request, *names: str) -> None:
    """Raise `S3Error` NotImplemented when the request has one of these headers."""
    for name in names:
        if request.header(name) is not None:
            raise S3Error("NotImplemented", Header=name)


def check_object_write(request: Request) -> None:
    """Raise `S3Error` for what a write asks for and cannot have: locks, encryption."""
    if not request.has_any(_LOOKED_AT):
        return
    for name in _LOCKS:
        if request.header(name) is not None:
            raise S3Error("InvalidRequest", "Bucket is missing Object Lock Configuration")
    refuse_selectors(request, *_ENCRYPTION)


def check_object_read(request: Request, prefix: str = "x-amz-") -> None:
    """Raise `S3Error` when a read brings a key for an object that is not encrypted; `prefix` is its headers'."""
    for name in _CUSTOMER_KEYS[prefix]:
        if request.header(name) is not None:
            raise S3Error("InvalidRequest", "The encryption parameters are not applicable to this object.")
