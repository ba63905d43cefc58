"""Locks between all workers of all hosts that share the directory.

A lock is one byte of one file, locked by fcntl(2) for the open file description (F_OFD_SETLK), so there are as many as
there are hash values, and none needs an inode of its own that a full disk could refuse. Each holder opens the file
anew: so greenlets, threads and processes exclude each other alike, and the kernel frees what a dying process held.
Taking and freeing one costs 4 to 8 us, so every change of an object takes it, always exclusively.

Nobody waits in the kernel: a thread of the pool that sleeps there would be missing to the holder, who may need one.
A waiter sleeps and tries again, first soon, then every 2 ms at most and at random times, so that no one is favoured.
A lock is held for a few system calls (some 20 to 100 us), never while a body is read or a file is synchronized.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import struct
import time
from typing import Final

from backends.api import StorageUnavailable
from backends.posix.system import close

FIRST_DELAY: Final = 0.000_1
LONGEST_DELAY: Final = 0.002
PATIENCE: Final = 30.0
"""Seconds after which a lock counts as stuck: its holder hangs in the storage."""

_F_OFD_SETLK: Final = 37  # include/uapi/asm-generic/fcntl.h
_FLOCK: Final = struct.Struct("hhqqi0q")


class ReadOnly(StorageUnavailable):
    """The file system is read-only: no lock can be taken, and nothing be changed."""


class Locks:
    """The locks in one file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def hold(self, *numbers: int) -> _Held:
        """A context that holds the locks with these numbers. Raises `StorageUnavailable` when one stays taken."""
        return _Held(self, numbers)

    def take(self, number: int) -> int:
        """Take a lock; the descriptor that holds it until it is closed.

        None is kept for later: the file system could not be made read-only or unmounted under an idle gateway.
        """
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            kind = ReadOnly if error.errno == errno.EROFS else StorageUnavailable
            raise kind(f"the lock file cannot be used: {error.strerror}") from error
        try:
            self._wait(descriptor, number)
        except BaseException:
            close(descriptor)
            raise
        return descriptor

    def _wait(self, descriptor: int, number: int) -> None:
        wanted = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, number, 1, 0)
        delay = FIRST_DELAY
        deadline = 0.0
        while True:
            try:
                fcntl.fcntl(descriptor, _F_OFD_SETLK, wanted)
                return
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EINTR):
                    raise StorageUnavailable(f"the lock file cannot be used: {error.strerror}") from error
            now = time.monotonic()
            deadline = deadline or now + PATIENCE
            if now > deadline:
                raise StorageUnavailable("another process holds an object's lock for too long")
            # gevent's sleep in a worker, where time.sleep is patched.
            time.sleep(delay * (0.5 + random.random()))  # noqa: S311 -- only spreads the waiters
            delay = min(delay * 1.5, LONGEST_DELAY)


class _Held:
    """The context of `Locks.hold`; a class, because contextlib's generators take 1 us more."""

    __slots__ = ("_descriptors", "_locks", "_numbers")

    def __init__(self, locks: Locks, numbers: tuple[int, ...]) -> None:
        self._locks = locks
        # In ascending order, so that two who need the same two locks cannot wait for each other.
        self._numbers = numbers if len(numbers) == 1 else sorted(set(numbers))
        self._descriptors: list[int] = []

    def __enter__(self) -> None:
        try:
            for number in self._numbers:
                self._descriptors.append(self._locks.take(number))
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *raised: object) -> None:
        for descriptor in self._descriptors:
            close(descriptor)
