"""Byte ranges of files, and whole ones: locked, tested for holes, written, copied, freed."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from backends.posix.system import close

_FLOCK: Final = "hhqqi"
"""struct flock of 64-bit Linux: type, whence, start, length, pid; the compiler pads behind the first two as here."""

_PUNCH_HOLE: Final = 0x02
_KEEP_SIZE: Final = 0x01
COPY_STEP: Final = 64 << 20
"""Bytes that one copy_file_range(2) moves, so that a pool thread is never gone for long."""

_CANNOT_COPY: Final = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)
_PAUSE: Final = 0.01

_libc = ctypes.CDLL(None, use_errno=True)
_fallocate = _libc.fallocate
_fallocate.restype = ctypes.c_int
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


class Region(NamedTuple):
    """A locked range of an open file; closing the descriptor frees it."""

    descriptor: int
    path: str
    offset: int
    length: int


def lock_region(descriptor: int, offset: int, length: int, *, patience: float = 0.0) -> bool:
    """Lock a range for this open file alone; `length` 0 is all behind `offset`. False after `patience` seconds.

    The lock belongs to the open file description, not to the process, so that greenlets exclude each other too.
    """
    wanted = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, offset, length, 0)
    return _patiently(lambda: fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted), patience)


def lock_file(descriptor: int, *, patience: float) -> bool:
    """Lock a whole file (flock(2)) for this open file alone. False after `patience` seconds."""
    return _patiently(lambda: fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB), patience)


def _patiently(take: Callable[[], object], patience: float) -> bool:
    deadline = time.monotonic() + patience
    while True:
        try:
            take()
            return True
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EINTR):
                raise
        if time.monotonic() >= deadline:
            return False
        # gevent's sleep in a worker, where time.sleep is patched.
        time.sleep(_PAUSE)


def is_hole(descriptor: int, offset: int, length: int) -> bool:
    """Whether nothing was ever written to a range. A file system without holes says so only behind the file's end."""
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA) >= offset + length
    except OSError as error:
        if error.errno == errno.ENXIO:
            return True
        raise


def punch_hole(descriptor: int, offset: int, length: int) -> bool:
    """Make a range a hole again; False where the file system cannot."""
    return bool(_fallocate(descriptor, _PUNCH_HOLE | _KEEP_SIZE, offset, length) == 0)


def write_at(descriptor: int, block: bytes, offset: int) -> None:
    """Write a whole block. Raises `OSError`."""
    view = memoryview(block)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view = view[written:]
        offset += written


def copy_range(path: str, offset: int, target: int, target_offset: int, length: int) -> None:
    """Copy bytes of the file at `path` into an open one, in the kernel where it can. Raises `OSError`."""
    source = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        copy_bytes(source, offset, target, target_offset, length)
    finally:
        close(source)


def copy_bytes(source: int, offset: int, target: int, target_offset: int, length: int) -> None:
    """Copy bytes between open files, in the kernel where it can. Raises `OSError`."""
    in_kernel = True
    while length:
        step = min(length, COPY_STEP)
        if in_kernel:
            try:
                moved = os.copy_file_range(source, target, step, offset, target_offset)
            except OSError as error:
                if error.errno not in _CANNOT_COPY:
                    raise
                in_kernel = False
                continue
        else:
            moved = os.pwrite(target, os.pread(source, min(step, 1 << 20), offset), target_offset)
        if not moved:
            raise OSError(errno.EIO, "the source became shorter while it was copied")
        offset += moved
        target_offset += moved
        length -= moved


def unlink(path: str) -> None:
    """Remove a file that nobody needs any more, if it is there; what cannot be removed now goes with its directory."""
    try:
        os.unlink(path)
    except OSError:
        pass
