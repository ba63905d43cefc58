"""Readers of request bodies, stacked on each other: length check, digests, small whole bodies.

A reader has one method, `read(size)` with `size > 0`: it returns at most `size` bytes, perhaps fewer, and `b""` only
at the end. A reader that checks something raises instead of returning that `b""`: whoever stores a body has to read up
to it before the object becomes visible.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Protocol

from workers.protocol.checksums import ExpectedDigests
from workers.protocol.errors import S3Error

OFFLOAD_FROM: Final = 64 * 1024
"""Blocks of at least this size are hashed through `offload`: MD5 alone takes 75 us for them, a hand-over about 30."""

Offload = Callable[[Callable[[bytes], None], bytes], object]
"""Runs `function(block)` elsewhere and returns when it has finished."""

_NO_TRAILERS: Final[Mapping[str, str]] = MappingProxyType({})


class Reader(Protocol):
    """The body of a request, or a reader upon one."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; `b""` at the end."""


def call_directly(function: Callable[[bytes], None], block: bytes) -> None:
    """Hash in the caller's own thread: the `offload` of those who have no thread pool."""
    function(block)


class ByteReader:
    """A body that is already in memory."""

    __slots__ = ("_data", "_position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def read(self, size: int, /) -> bytes:
        """Return the next bytes."""
        block = self._data[self._position : self._position + size]
        self._position += len(block)
        return block


class LengthReader:
    """A body of exactly `length` bytes: no more are read from the source; IncompleteBody when it ends early."""

    __slots__ = ("_source", "remaining")

    def __init__(self, source: Reader, length: int) -> None:
        self._source = source
        self.remaining = length

    def read(self, size: int, /) -> bytes:
        """Return the next bytes. Raises S3Error IncompleteBody."""
        if not self.remaining:
            return b""
        block = self._source.read(min(size, self.remaining))
        if not block:
            raise S3Error("IncompleteBody")
        self.remaining -= len(block)
        return block


class LimitReader:
    """A body of unknown length that may have `limit` bytes at most; EntityTooLarge beyond."""

    __slots__ = ("_limit", "_source", "count")

    def __init__(self, source: Reader, limit: int) -> None:
        self._source = source
        self._limit = limit
        self.count = 0

    def read(self, size: int, /) -> bytes:
        """Return the next bytes. Raises S3Error EntityTooLarge."""
        block = self._source.read(size)
        self.count += len(block)
        if self.count > self._limit:
            raise S3Error("EntityTooLarge", ProposedSize=str(self.count), MaxSizeAllowed=str(self._limit))
        return block


class DigestReader:
    """Computes the digests of a body that passes through, and verifies them before it reports the end.

    `trailers` is asked for the trailers once the source has ended. All digests of a block are computed in one
    `offload` call, so that the event loop serves others meanwhile.
    """

    __slots__ = ("_digests", "_offload", "_source", "_trailers", "count")

    def __init__(
        self,
        source: Reader,
        digests: ExpectedDigests,
        *,
        trailers: Callable[[], Mapping[str, str]] = lambda: _NO_TRAILERS,
        offload: Offload = call_directly,
    ) -> None:
        self._source = source
        self._digests = digests
        self._trailers = trailers
        self._offload = offload
        self.count = 0

    def read(self, size: int, /) -> bytes:
        """Return the next bytes. At the end raises what `ExpectedDigests.verify` raises."""
        block = self._source.read(size)
        if not block:
            if not self._digests.verified:
                self._digests.verify(self._trailers())
            return block
        self.count += len(block)
        if len(block) >= OFFLOAD_FROM:
            self._offload(self._digests.update, block)
        else:
            self._digests.update(block)
        return block


def read_all(reader: Reader, limit: int) -> bytes:
    """Return a whole small body, such as an XML document. Raises S3Error MaxMessageLengthExceeded beyond `limit`."""
    blocks: list[bytes] = []
    room = limit + 1
    while room:
        block = reader.read(room)
        if not block:
            return b"".join(blocks)
        blocks.append(block)
        room -= len(block)
    raise S3Error("MaxMessageLengthExceeded", MaxMessageLengthBytes=str(limit))
