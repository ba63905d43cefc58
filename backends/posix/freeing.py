"""Calls that free a file's blocks: in place while that is quick, in the background where it takes long.

Unlinking a small file takes 10 us on most file systems. Some wait for the device before the call returns: ext4 without
a journal, mounted with `discard`, sends the blocks back at once (measured: 4 ms, and 570 deletions a second by two
workers whose cores idled). And the page cache of a large file takes long everywhere: 40 MiB of it 3 ms, in which a
worker would serve nobody. The blocks of a file that is open are freed when it is closed, and that needs nobody's
attention: so a large file, and any where freeing has been slow lately, is opened before it loses its name, and closed
by a thread. Who replaces an object does not wait for that; who deletes a large one finds its space free afterwards.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import gevent

from backends.offload import in_worker, offload
from backends.posix.system import READ_FLAGS, close

SMALL: Final = 1 << 20
"""Bytes of a file that is quickly freed unless the device is slow, and whose space may come back a moment after it was
deleted. For larger ones the caller of a deletion waits."""

SLOW: Final = 0.000_3
"""Mean seconds from which freeing waits for a device; handing it to a thread costs about 50 us."""

BATCH: Final = 8
CLOSERS: Final = 8
"""Threads that close, of `backends.offload.THREADS`, and the files that each takes at a time."""

MOST_HELD: Final = 128
MOST_HELD_BYTES: Final = 256 << 20
"""Files, and their bytes, that wait to be closed. When there are more, callers close theirs themselves, and wait: a
file system that is nearly full gets its space back as fast as it is used."""

_WEIGHT: Final = 1 / 8


class _Held(NamedTuple):
    """A file that has lost its name and waits to be closed."""

    descriptor: int
    size: int


class Freeing:
    """Runs such calls of one worker and remembers how long freeing takes."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._mean = 0.0
        self._held: list[_Held] = []
        self._held_bytes = 0
        self._closers = 0

    def unlink(self, path: str, old: os.stat_result) -> None:
        """Remove a file of that status, and have its space back unless it is small. Raises `OSError`."""
        self._call(old, path, None, old.st_size > SMALL, os.unlink, path)

    def unlink_replaced(self, path: str, old: os.stat_result) -> None:
        """Remove a file of that status whose space nobody waits for. Raises `OSError`."""
        self._call(old, path, None, False, os.unlink, path)

    def rename(self, source: str, name: str, directory: int, old: os.stat_result | None) -> None:
        """Move a file over the one of that name and status in an open directory. Raises `OSError`."""
        self._call(old, name, directory, False, os.rename, source, name, dst_dir_fd=directory)

    def _call(
        self,
        old: os.stat_result | None,
        path: str,
        directory: int | None,
        wait: bool,
        function: Callable[..., None],
        *args: Any,
        **kwargs: Any,
    ) -> None:
        if old is None:
            function(*args, **kwargs)
        elif not in_worker() or (old.st_size <= SMALL and self._mean <= SLOW):
            self._timed(old.st_size, function, *args, **kwargs)
        elif (descriptor := _opened(path, directory)) is None:
            offload(self._timed, old.st_size, function, *args, **kwargs)
        else:
            try:
                function(*args, **kwargs)
            finally:
                self._give_back(_Held(descriptor, old.st_size), wait)

    def _timed(self, size: int, function: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        began = self._clock()
        try:
            function(*args, **kwargs)
        finally:
            # A large file tells nothing about the others. Threads may outrun each other here, which loses a sample
            # and nothing else.
            if size <= SMALL:
                self._mean += (self._clock() - began - self._mean) * _WEIGHT

    def _give_back(self, file: _Held, wait: bool) -> None:
        held = self._held
        if wait or len(held) >= MOST_HELD or self._held_bytes + file.size > MOST_HELD_BYTES:
            offload(self._timed, file.size, close, file.descriptor)
            return
        held.append(file)
        self._held_bytes += file.size
        if self._closers < CLOSERS and self._closers * BATCH < len(held):
            self._closers += 1
            gevent.spawn(self._close_held)

    def _close_held(self) -> None:
        try:
            while self._held:
                batch = self._held[:BATCH]
                del self._held[:BATCH]
                offload(self._close_all, batch)
                self._held_bytes -= sum(file.size for file in batch)
        finally:
            self._closers -= 1

    def _close_all(self, files: list[_Held]) -> None:
        for file in files:
            self._timed(file.size, close, file.descriptor)


def _opened(path: str, directory: int | None) -> int | None:
    """A descriptor that keeps the file's blocks; None where it cannot be had."""
    try:
        return os.open(path, READ_FLAGS, dir_fd=directory)
    except OSError:
        return None
