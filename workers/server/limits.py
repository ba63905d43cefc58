"""What a client may take of a worker: sizes in bytes, times in seconds."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one connection.

    `head_timeout` is the total time for a request's head from its first byte, and a new connection's time until that
    byte; `body_timeout` bounds each wait for progress of a body, in either direction; `keepalive` bounds the wait for
    the next request's first byte, and 0 closes after every answer. `linger_*` bound how long and how much is still
    read and thrown away after an answer to a request whose body was not read, so that the client can receive the
    answer. `drain_bytes` is the most that is read away in order to keep such a connection.
    """

    head_timeout: float = 30.0
    body_timeout: float = 60.0
    keepalive: float = 75.0
    request_line_bytes: int = 16384
    header_bytes: int = 65536
    header_count: int = 100
    drain_bytes: int = 65536
    drain_timeout: float = 5.0
    linger_bytes: int = 64 << 20
    linger_timeout: float = 10.0

    @property
    def shortest_timeout(self) -> float:
        """The smallest time limit in seconds, which tells how often deadlines have to be looked at."""
        times = (self.head_timeout, self.body_timeout, self.keepalive, self.drain_timeout, self.linger_timeout)
        return min((seconds for seconds in times if seconds > 0), default=1.0)


def limits_from(environ: Mapping[str, str]) -> Limits:
    """Return the limits that the SHARDGATE_* variables of `environ` name, defaults for the rest.

    Raises ValueError with one line naming the variable.
    """
    defaults = Limits()
    return Limits(
        head_timeout=_number(environ, "SHARDGATE_HEAD_TIMEOUT", defaults.head_timeout, float, least=0.001),
        body_timeout=_number(environ, "SHARDGATE_BODY_TIMEOUT", defaults.body_timeout, float, least=0.001),
        keepalive=_number(environ, "SHARDGATE_KEEPALIVE", defaults.keepalive, float, least=0),
        header_bytes=_number(environ, "SHARDGATE_MAX_HEADER_BYTES", defaults.header_bytes, int, least=1024),
    )


def _number(
    environ: Mapping[str, str], name: str, default: _Number, convert: Callable[[str], _Number], *, least: float
) -> _Number:
    text = environ.get(name, "").strip()
    if not text:
        return default
    try:
        value = convert(text)
    except ValueError:
        raise ValueError(f"{name}: {text!r} is not a number") from None
    if not math.isfinite(value) or value < least:
        raise ValueError(f"{name}: {text!r} is out of range, at least {least} is needed")
    return value
