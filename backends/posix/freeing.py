"""Calls that free a file's blocks: in place while that is quick, in the background where it waits for the device.

Unlinking a small file takes 10 us on most file systems. Some wait for the device before the call returns: ext4 without
a journal, mounted with `discard`, sends the blocks back at once (measured: 4 ms, and 570 deletions a second by two
workers whose cores idled). The blocks of a file that is open are freed when it is closed, and that needs nobody's
attention: so where freeing has been slow lately, the file is opened before it loses its name, and closed by a thread.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Final

import gevent

from backends.offload import in_worker, offload
from backends.posix.system import READ_FLAGS, close

LARGE: Final = 64 << 20
"""Bytes of a file from which freeing its blocks takes long on any file system."""

SMALL: Final = 1 << 20
"""Bytes of a file whose space may come back a moment after it was deleted. For larger ones the caller waits."""

SLOW: Final = 0.000_3
"""Mean seconds from which freeing waits for a device; handing it to a thread costs about 50 us."""

BATCH: Final = 8
CLOSERS: Final = 8
"""Threads that close, of `backends.offload.THREADS`, and the files that each takes at a time."""

MOST_HELD: Final = 128
"""Files that wait to be closed. When there are more, callers close theirs themselves, and wait."""

_WEIGHT: Final = 1 / 8


class Freeing:
    """Runs such calls of one worker and remembers how long freeing takes."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._mean = 0.0
        self._held: list[int] = []
        self._closers = 0

    def unlink(self, path: str, old: os.stat_result) -> None:
        """Remove a file of that status. Raises `OSError`."""
        self._call(old, path, None, os.unlink, path)

    def rename(self, source: str, name: str, directory: int, old: os.stat_result | None) -> None:
        """Move a file over the one of that name and status in an open directory. Raises `OSError`."""
        self._call(old, name, directory, os.rename, source, name, dst_dir_fd=directory)

    def _call(
        self,
        old: os.stat_result | None,
        path: str,
        directory: int | None,
        function: Callable[..., None],
        *args: Any,
        **kwargs: Any,
    ) -> None:
        if old is None:
            function(*args, **kwargs)
        elif old.st_size >= LARGE:
            # Not timed: it tells nothing about the others.
            offload(function, *args, **kwargs)
        elif self._mean <= SLOW or not in_worker():
            self._timed(function, *args, **kwargs)
        elif old.st_size > SMALL or (descriptor := _opened(path, directory)) is None:
            offload(self._timed, function, *args, **kwargs)
        else:
            try:
                function(*args, **kwargs)
            finally:
                self._give_back(descriptor)

    def _timed(self, function: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        began = self._clock()
        try:
            function(*args, **kwargs)
        finally:
            # Threads may outrun each other here, which loses a sample and nothing else.
            self._mean += (self._clock() - began - self._mean) * _WEIGHT

    def _give_back(self, descriptor: int) -> None:
        held = self._held
        if len(held) >= MOST_HELD:
            offload(self._timed, close, descriptor)
            return
        held.append(descriptor)
        if self._closers < CLOSERS and self._closers * BATCH < len(held):
            self._closers += 1
            gevent.spawn(self._close_held)

    def _close_held(self) -> None:
        try:
            while self._held:
                batch = self._held[:BATCH]
                del self._held[:BATCH]
                offload(self._close_all, batch)
        finally:
            self._closers -= 1

    def _close_all(self, descriptors: list[int]) -> None:
        for descriptor in descriptors:
            self._timed(close, descriptor)


def _opened(path: str, directory: int | None) -> int | None:
    """A descriptor that keeps the file's blocks; None where it cannot be had."""
    try:
        return os.open(path, READ_FLAGS, dir_fd=directory)
    except OSError:
        return None
