"""A range of an open object as the source of a part, its digests computed on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from backends.api import OpenObject, PartRecord
from backends.offload import offload
from workers.protocol.bodies import OFFLOAD_FROM
from workers.protocol.checksums import Algorithm, ExpectedDigests


class RangeSource:
    """`length` bytes of an object from `offset` on."""

    __slots__ = ("_blocks", "_clock", "_digests", "_number", "_rest", "length")

    def __init__(
        self,
        opened: OpenObject,
        offset: int,
        length: int,
        number: int,
        algorithm: Algorithm,
        clock: Callable[[], int],
    ) -> None:
        self.length: int | None = length
        self._blocks: Iterator[bytes] = opened.read(offset, length) if length else iter(())
        self._digests = ExpectedDigests(algorithm)
        self._number = number
        self._clock = clock
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        """The next bytes."""
        block = self._rest or self._next()
        self._rest = block[size:]
        return block[:size]

    def record(self) -> PartRecord:
        """The part's record, after the end."""
        return PartRecord(
            number=self._number,
            size=self.length or 0,
            etag=self._digests.etag,
            modified=self._clock(),
            checksums=self._digests.checksums,
        )

    def _next(self) -> bytes:
        block = next(self._blocks, b"")
        if not block:
            if not self._digests.verified:
                self._digests.verify()
        elif len(block) >= OFFLOAD_FROM:
            offload(self._digests.update, block)
        else:
            self._digests.update(block)
        return block
