"""Object data on their way to the client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from backends.api import OpenObject


class ResponseStream(Protocol):
    """A response body that is made while it is sent; `file_segments` as `workers.server` takes them, or None."""

    file_segments: list[tuple[bytes, int, int, int]] | None

    def __iter__(self) -> Iterator[bytes]:
        """The blocks of the body."""

    def close(self) -> None:
        """Release what is held; called whatever happens."""


class Segment(NamedTuple):
    """`prefix`, then `length` bytes of the object from `offset` on."""

    prefix: bytes
    offset: int
    length: int


class ObjectStream:
    """Parts of one open object as a WSGI response body; closing it closes the object.

    Where the object is a plain file, the server finds `file_segments` and sends them with the kernel's help.
    """

    __slots__ = ("_opened", "_segments", "file_segments")

    def __init__(self, opened: OpenObject, segments: Sequence[Segment]) -> None:
        self._opened = opened
        self._segments = segments
        descriptor = opened.fileno()
        self.file_segments: list[tuple[bytes, int, int, int]] | None = None
        if descriptor is not None:
            self.file_segments = [(prefix, descriptor, offset, length) for prefix, offset, length in segments]

    @property
    def length(self) -> int:
        """Bytes in all."""
        return sum(len(prefix) + length for prefix, _, length in self._segments)

    def __iter__(self) -> Iterator[bytes]:
        for prefix, offset, length in self._segments:
            if prefix:
                yield prefix
            if length:
                yield from self._opened.read(offset, length)

    def close(self) -> None:
        """Release the object."""
        self._opened.close()
