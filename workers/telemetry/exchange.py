"""What is remembered of one request for metrics and log."""

from __future__ import annotations

import msgspec


class Exchange(msgspec.Struct, gc=False):
    """One request and its answer, when the last byte was sent or the connection broke.

    Times are seconds: `time` since the epoch, `total` from the complete head to the end, `first_byte` to the answer's
    head. `status` is what was sent; `aborted` says that the client did not get all of it. Nothing here is secret: no
    query, no Authorization, no signature.
    """

    time: float
    request_id: str
    operation: str
    method: str
    path: str
    bucket: str
    key: str
    version_id: str
    status: int
    error: str
    access_key: str
    account: str
    remote: str
    host: str
    user_agent: str
    referer: str
    bytes_received: int
    bytes_sent: int
    first_byte: float
    total: float
    aborted: bool
