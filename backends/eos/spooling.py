"""Parts that are held here before any of them goes to an FST.

A range PUT that breaks off may take the whole file with it (section 4.5 of the protocol notes), and a client may go at
any time; so a part is complete before its first byte is sent, and can be sent again.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator
from typing import IO, Final

from backends.api import BLOCK_SIZE, PartSource, StorageUnavailable
from backends.offload import offload


class Spooled:
    """The body of a part, read to its end: in memory up to `limit` bytes, else in an unnamed file in `directory`.

    Raises `ValueError` for another length than was announced, and what the source raises.
    """

    def __init__(self, source: PartSource, limit: int, directory: str) -> None:
        self.size = 0
        self.adler32 = 1
        self._blocks: list[bytes] = []
        self._file: IO[bytes] | None = None
        self._limit: Final = limit
        self._directory: Final = directory
        try:
            while block := source.read(BLOCK_SIZE):
                self._add(block)
            if source.length is not None and source.length != self.size:
                raise ValueError(f"{source.length} bytes were announced and {self.size} came")
        except BaseException:
            self.close()
            raise

    def _add(self, block: bytes) -> None:
        self.size += len(block)
        self.adler32 = zlib.adler32(block, self.adler32)
        try:
            if self._file is not None:
                offload(self._file.write, block)
            elif self.size <= self._limit:
                self._blocks.append(block)
            else:
                self._file = tempfile.TemporaryFile(dir=self._directory or None, buffering=0)  # noqa: SIM115 -- `close`
                blocks, self._blocks = [*self._blocks, block], []
                for held in blocks:
                    offload(self._file.write, held)
        except OSError as error:
            raise StorageUnavailable(f"a part cannot be spooled: {error}") from None

    def blocks(self) -> Iterator[bytes]:
        """The bytes, as often as they are asked for."""
        if self._file is None:
            yield from self._blocks
            return
        self._file.seek(0)
        while block := offload(self._file.read, BLOCK_SIZE):
            yield block

    def close(self) -> None:
        """Release memory and file."""
        self._blocks = []
        if self._file is not None:
            self._file.close()
            self._file = None
