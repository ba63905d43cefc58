"""Opened objects, and how one is found."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Final

from backends.api import BLOCK_SIZE, ObjectRecord, OpenObject, StorageUnavailable
from backends.offload import offload
from backends.posix.attributes import RecordMoved, Records
from backends.posix.failures import MISSING
from backends.posix.layout import Place
from backends.posix.locks import Locks, ReadOnly
from backends.posix.system import Opener, close

INLINE: Final = 256 * 1024
"""Bytes that are read where they are asked for when the page cache has them; a thread costs more than this copy."""

_ATTEMPTS: Final = 100


class PosixObject(OpenObject):
    """A file and its record. Both stay what they are when the key gets another object or none."""

    __slots__ = ("_descriptor", "path", "status")

    def __init__(self, descriptor: int, record: ObjectRecord, status: os.stat_result, path: str) -> None:
        self.record = record
        self.status = status
        self.path = path
        self._descriptor = descriptor

    def read(self, offset: int, length: int) -> Iterator[bytes]:
        """The bytes from `offset` on, in blocks of at most `BLOCK_SIZE`."""
        while length > 0:
            block = self._block(offset, min(length, BLOCK_SIZE))
            if not block:
                raise StorageUnavailable("a file became shorter while it was read")
            offset += len(block)
            length -= len(block)
            yield block

    def _block(self, offset: int, length: int) -> bytes:
        try:
            if length <= INLINE:
                buffer = bytearray(length)
                try:
                    if size := os.preadv(self._descriptor, [buffer], offset, os.RWF_NOWAIT):
                        return bytes(buffer) if size == length else bytes(memoryview(buffer)[:size])
                except OSError:
                    # Not in the page cache (EAGAIN), or a file system that cannot tell (EOPNOTSUPP).
                    pass
            return offload(os.pread, self._descriptor, length, offset)
        except OSError as error:
            raise StorageUnavailable(f"reading failed: {error.strerror}") from error

    def fileno(self) -> int:
        """The file's descriptor."""
        return self._descriptor

    def close(self) -> None:
        """Close the file."""
        close(self._descriptor)


class Finder:
    """Finds the objects of keys.

    An object moves to its displaced path when a key below it is written, and leaves that by being written again once
    the directory has gone. Who looks at one path and then at the other may miss it. So before an object is said not to
    exist, a second look is taken while its key is locked: nothing of that key moves meanwhile.
    """

    def __init__(self, opener: Opener, records: Records, locks: Locks) -> None:
        self._opener = opener
        self._records = records
        self._locks = locks

    def find(self, place: Place) -> PosixObject | None:
        """Open the object at `place`; None when there is none. Raises `OSError`, `StorageUnavailable`."""
        found = self.find_locked(place)
        if found is not None:
            return found
        try:
            with self._locks.hold(place.lock):
                return self.find_locked(place)
        except ReadOnly:
            # Nothing moves here; on other hosts it may, and one more look is all that can be done.
            return self.find_locked(place)

    def find_locked(self, place: Place) -> PosixObject | None:
        """The same for who holds the key's lock."""
        for _ in range(_ATTEMPTS):
            found = _opened(self._opener, place.natural) or _opened(self._opener, place.displaced)
            if found is None:
                return None
            descriptor, status, path = found
            try:
                return PosixObject(descriptor, self._records.read(descriptor, status), status, path)
            except RecordMoved:
                close(descriptor)
            except BaseException:
                close(descriptor)
                raise
        raise StorageUnavailable("an object's record is missing")


def _opened(opener: Opener, path: str) -> tuple[int, os.stat_result, str] | None:
    try:
        descriptor = opener.open(path)
    except OSError as error:
        if error.errno in MISSING:
            return None
        raise
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode):
        return descriptor, status, path
    close(descriptor)
    return None
