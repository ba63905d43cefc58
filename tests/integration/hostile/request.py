"""One request that nobody should send."""

from __future__ import annotations

from dataclasses import dataclass, field

BUCKET = "/hostile"
SEED = f"{BUCKET}/seed"


@dataclass(frozen=True)
class Hostile:
    """One request. `raw` is sent as it is; otherwise it is made of the rest, and signed unless `sign` is false.

    Attributes:
        tail: header lines that are added behind the signed ones.
        split: a signed header whose comma-separated values are sent as lines of their own.
        cut: bytes that are left off at the end, before the sending side is closed.
        statuses: what the answer may be; by default anything below 500, and 501.
    """

    name: str
    method: str = "GET"
    target: str = SEED
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    sign: bool = True
    payload: str | None = None
    length: bool = True
    tail: bytes = b""
    split: str = ""
    cut: int = 0
    raw: bytes | None = None
    statuses: tuple[int, ...] = (*range(200, 500), 501)

    def __str__(self) -> str:
        return self.name


REFUSED = (*range(400, 500), 501)
