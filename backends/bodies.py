"""Bodies on their way to the storage and out of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Final, Protocol

from backends.records import ObjectRecord, PartRecord

BLOCK_SIZE: Final = 1 << 20
"""Bytes that a copy loop moves at a time."""


class Source(Protocol):
    """The body of an object on its way to the storage."""

    @property
    def length(self) -> int | None:
        """Bytes that `read` will give, or None when the client did not announce them."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; b"" at the end, and only after the body was verified.

        Whatever it raises ends the put: let it pass, and leave nothing visible. A body comes from a socket of the
        calling greenlet's loop, so `read` and `record` are called there and never through `backends.offload`; and no
        lock is held meanwhile, because a body may take hours.
        """

    def record(self) -> ObjectRecord:
        """The object's record. Only known, and only to be asked for, after `read` has given b""."""


class PartSource(Protocol):
    """The body of one part of a multipart upload, like `Source`."""

    @property
    def length(self) -> int | None:
        """Bytes that `read` will give, or None when the client did not announce them."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; b"" at the end, and only after the body was verified."""

    def record(self) -> PartRecord:
        """The part's record but for its `place`; only after `read` has given b""."""


class OpenObject(ABC):
    """One version of an object, opened: record and data belong together whatever happens to the key meanwhile."""

    __slots__ = ("record",)

    record: ObjectRecord

    @abstractmethod
    def read(self, offset: int, length: int) -> Iterator[bytes]:
        """The bytes from `offset` on, in blocks. Ends after exactly `length` bytes or raises `StorageUnavailable`.

        `offset` and `length` lie within the stored size. May be called several times, one after another.
        """

    def fileno(self) -> int | None:
        """A descriptor of a regular file whose byte n is the object's byte n, good until `close`; None without one."""
        return None

    def close(self) -> None:  # noqa: B027 -- optional
        """Release what is held. Called exactly once, also when the client has gone."""


class OpenBytes(OpenObject):
    """An open object whose data are in memory."""

    __slots__ = ("data",)

    def __init__(self, record: ObjectRecord, data: bytes) -> None:
        self.record = record
        self.data = data

    def read(self, offset: int, length: int) -> Iterator[bytes]:
        """The bytes, in blocks."""
        for start in range(offset, offset + length, BLOCK_SIZE):
            yield self.data[start : min(start + BLOCK_SIZE, offset + length)]


def blocks(source: Source | PartSource) -> Iterator[bytes]:
    """A body block by block, to its end. Raises `ValueError` when it has not the length that was announced."""
    received = 0
    while block := source.read(BLOCK_SIZE):
        received += len(block)
        yield block
    if source.length is not None and source.length != received:
        raise ValueError(f"{source.length} bytes were announced and {received} came")
