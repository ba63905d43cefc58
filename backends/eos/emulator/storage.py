"""The data on the FSTs' filesystems: one file for each replica."""

import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

BLOCK: Final = 1 << 20
_PERIOD: Final = 251
_PATTERN: Final = bytes(range(_PERIOD)) * (BLOCK // _PERIOD + 2)


def pattern(offset: int, size: int) -> bytes:
    """What every replica reads like in the mode without data: byte i has the value i modulo 251."""
    start = offset % _PERIOD
    if size > BLOCK:
        return (_PATTERN[:_PERIOD] * (size // _PERIOD + 2))[start : start + size]
    return _PATTERN[start : start + size]


class Replica:
    """An open replica. Reads and writes name their offset, so that several may be under way in one file."""

    def __init__(self, path: Path, *, write: bool, data: bool, durable: bool) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT if write else os.O_RDONLY, 0o600)
        self._data = data
        self._durable = durable and write

    def write(self, data: bytes | memoryview, offset: int) -> None:
        """Write all of `data` at `offset`."""
        view = memoryview(data)
        if not self._data:
            if offset + len(view) > self.size():
                os.ftruncate(self._descriptor, offset + len(view))
            return
        while view:
            written = os.pwrite(self._descriptor, view, offset)
            offset += written
            view = view[written:]

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes at `offset`, less only at the end."""
        if not self._data:
            return pattern(offset, max(0, min(size, self.size() - offset)))
        return os.pread(self._descriptor, size, offset)

    def blocks(self) -> Iterator[bytes]:
        """The whole content."""
        offset = 0
        while block := self.read(offset, BLOCK):
            yield block
            offset += len(block)

    def size(self) -> int:
        """Bytes in the file, holes counted."""
        return os.fstat(self._descriptor).st_size

    def modified(self) -> int:
        """Time of the last write, in nanoseconds."""
        return os.fstat(self._descriptor).st_mtime_ns

    def descriptor(self) -> int | None:
        """For sendfile; None in the mode without data."""
        return self._descriptor if self._data else None

    def sync(self) -> None:
        """Bring the content to disk, if the storage is durable."""
        if self._durable:
            os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class Storage:
    """The filesystems below one directory: `fs<id>/<two digits of the file id>/<file id>`."""

    def __init__(self, directory: Path, fsids: Iterable[int], *, data: bool, durable: bool) -> None:
        self._directory = directory
        self._fsids = list(fsids)
        self._data = data
        self._durable = durable
        self._doomed: deque[tuple[float, int]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._remover = threading.Thread(target=self._remove_doomed, daemon=True, name="remover")
        self._remover.start()
        for fsid in self._fsids:
            for shelf in range(256):
                (directory / f"fs{fsid}" / f"{shelf:02x}").mkdir(parents=True, exist_ok=True)

    def path(self, fsid: int, fid: int) -> Path:
        """Where a replica is."""
        return self._directory / f"fs{fsid}" / f"{fid & 0xFF:02x}" / f"{fid:016x}"

    def open(self, fsid: int, fid: int, *, write: bool = False) -> Replica:
        """Open a replica; for writing it is made if need be. Raises `OSError`."""
        return Replica(self.path(fsid, fid), write=write, data=self._data, durable=self._durable)

    def remove(self, fid: int, fsid: int | None = None) -> None:
        """Delete a file's replica on one filesystem, or all of them."""
        for number in self._fsids if fsid is None else [fsid]:
            self.path(number, fid).unlink(missing_ok=True)

    def remove_later(self, fid: int, delay: float) -> None:
        """Delete all replicas of a file after `delay` seconds: FSTs are told of deletions now and then."""
        if delay <= 0:
            self.remove(fid)
            return
        with self._changed:
            self._doomed.append((time.monotonic() + delay, fid))
            self._changed.notify()

    def close(self) -> None:
        """Delete at once what is still to be deleted."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._remover.join()

    def _remove_doomed(self) -> None:
        while True:
            with self._changed:
                while not self._doomed or (not self._closed and self._doomed[0][0] > time.monotonic()):
                    if self._closed:
                        return
                    self._changed.wait(self._doomed[0][0] - time.monotonic() if self._doomed else None)
                _, fid = self._doomed.popleft()
            self.remove(fid)
