"""The fleet's memory of identities: the store's documents, kept in Redis for a while, sealed as the store has them.

Two views of one store. Administration reads and writes the store itself, and announces what it writes (`Announced`).
Requests read through Redis (`Cached`), a document that is missing included, and never write.

What Redis keeps is sealed once more together with the time of its reading: whoever can write to Redis can neither make
a document up, nor put back a former one, or say that one is missing, for longer than the time to live.

A reader puts into Redis what it found in the store only if no change was announced since before it looked: the counter
of changes, which each announcement moves, is compared in the same step. So what Redis holds is never older than its
time to live, and after an announcement it is not old at all.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
import redis

from backends.errors import StorageUnavailable
from workers.iam.sealing import Sealer, SealError
from workers.iam.stores.api import DocumentStore, Stored
from workers.state.announcements import COUNTER, Changes, document_key
from workers.state.redis import as_bytes

logger = logging.getLogger("shardgate.iam")

AWAY_SECONDS: Final = 1.0
"""For so long Redis is not asked again when it did not answer."""

SKEW_SECONDS: Final = 5.0
"""By how much the clocks of hosts may differ."""

_FILL: Final = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 1
"""


class Announced:
    """A store whose changes are announced; see `DocumentStore`."""

    def __init__(self, store: DocumentStore, changes: Changes) -> None:
        self._store = store
        self._changes = changes

    def get(self, name: str) -> Stored | None:
        """A document, None when there is none."""
        return self._store.get(name)

    def put(self, name: str, data: bytes, expected: str | None) -> str:
        """Write a document. Raises `DocumentChanged`."""
        revision = self._store.put(name, data, expected)
        self._changes.announce(name)
        return revision

    def delete(self, name: str, expected: str) -> None:
        """Delete a document. Raises `DocumentChanged`."""
        self._store.delete(name, expected)
        self._changes.announce(name)

    def names(self, prefix: str) -> Iterable[str]:
        """Names of the documents that begin with `prefix`, ordered."""
        return self._store.names(prefix)


class Cached:
    """A store that is read through Redis; see `DocumentStore`.

    Args:
        sealer: seals what Redis keeps.
        lifetime: seconds that Redis keeps a document.
        clock: seconds that never go back.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        store: DocumentStore,
        client: redis.Redis | None,
        sealer: Sealer,
        lifetime: float,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._client = client
        self._sealer = sealer
        self._lifetime = lifetime
        self._now = now
        self._milliseconds = max(1, int(lifetime * 1000))
        self._clock = clock
        self._away_until = 0.0

    def get(self, name: str) -> Stored | None:
        """A document, None when there is none. Raises `StorageUnavailable`."""
        counter, kept = self._ask(name)
        if kept is not None:
            return kept.document
        started = self._now()
        stored = self._store.get(name)
        if counter is not None:
            self._fill(name, counter, _Kept(started, stored))
        return stored

    def known(self, name: str) -> bool | None:
        """Whether Redis knows that there is such a document, or that there is none; None where it knows nothing."""
        _, kept = self._ask(name)
        return None if kept is None else kept.document is not None

    def put(self, name: str, data: bytes, expected: str | None) -> str:
        """What reads for requests writes nothing."""
        raise StorageUnavailable("identities are read-only here")

    def delete(self, name: str, expected: str) -> None:
        """What reads for requests writes nothing."""
        raise StorageUnavailable("identities are read-only here")

    def names(self, prefix: str) -> Iterable[str]:
        """Names of the documents that begin with `prefix`, ordered."""
        return self._store.names(prefix)

    def _ask(self, name: str) -> tuple[bytes | None, _Kept | None]:
        """The counter of changes, None while Redis is away, and what is kept of a document."""
        if self._client is None or self._clock() < self._away_until:
            return None, None
        try:
            counter, kept = self._client.mget(COUNTER, document_key(name))
        except redis.RedisError as error:
            self._went_away(error)
            return None, None
        return (b"" if counter is None else as_bytes(counter)), (None if kept is None else self._opened(name, kept))

    def _opened(self, name: str, kept: bytes | str) -> _Kept | None:
        """What was kept; None for what nobody of ours wrote for this name within the time to live."""
        try:
            found = _decoder.decode(self._sealer.open(as_bytes(kept), _purpose(name)))
        except (SealError, msgspec.DecodeError):
            return None
        age = self._now() - found.read
        return found if -SKEW_SECONDS <= age <= self._lifetime + SKEW_SECONDS else None

    def _fill(self, name: str, counter: bytes, kept: _Kept) -> None:
        assert self._client is not None  # noqa: S101 -- it gave the counter
        data = self._sealer.seal(_encoder.encode(kept), _purpose(name))
        try:
            self._client.eval(_FILL, 2, COUNTER, document_key(name), counter, data, self._milliseconds)
        except redis.RedisError as error:
            self._went_away(error)

    def _went_away(self, error: redis.RedisError) -> None:
        self._away_until = self._clock() + AWAY_SECONDS
        logger.warning("redis: identities are read from their store: %s: %s", type(error).__name__, error)


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """A document as it was read from the store at a time, None when there was none."""

    read: float
    document: Stored | None


_decoder = msgspec.msgpack.Decoder(_Kept)
_encoder = msgspec.msgpack.Encoder()


def _purpose(name: str) -> str:
    return f"kept {name}"
