"""Continuation tokens: a position in a list, in a form that clients cannot take for a key."""

from __future__ import annotations

import base64
import binascii

from workers.protocol.errors import S3Error

_MARK = b"1"


def seal_token(position: str) -> str:
    """The token that continues behind `position`."""
    return base64.urlsafe_b64encode(_MARK + position.encode()).decode()


def open_token(token: str | None) -> str:
    """The position of a token, "" without one. Raises `S3Error` InvalidArgument."""
    if token is None:
        return ""
    try:
        data = base64.b64decode(token, altchars=b"-_", validate=True)
        if data.startswith(_MARK):
            return data[len(_MARK) :].decode()
    except (binascii.Error, ValueError):
        pass
    raise S3Error(
        "InvalidArgument",
        "The continuation token provided is incorrect",
        ArgumentName="continuation-token",
        ArgumentValue=token[:1024],
    )
