"""System calls that Python's os module does not have, or has too dear for the hot path."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
from posix import close
from typing import Final

# The system's own close: gevent's, which workers find as os.close, asks two things of each descriptor first (5 us), for
# the sake of those that its hub watches. The files here are never watched.
__all__ = ["DIRECTORY_FLAGS", "READ_FLAGS", "Opener", "clone", "close", "exchange", "get_attribute"]

_libc = ctypes.CDLL(None, use_errno=True)

_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)

_renameat2 = _libc.renameat2
_renameat2.restype = ctypes.c_int
_renameat2.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)

_fgetxattr = _libc.fgetxattr
_fgetxattr.restype = ctypes.c_ssize_t
_fgetxattr.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)

_lgetxattr = _libc.lgetxattr
_lgetxattr.restype = ctypes.c_ssize_t
_lgetxattr.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)

# include/uapi/linux/openat2.h; the number is the same on every architecture.
_SYS_OPENAT2: Final = 437
_RESOLVE_NO_SYMLINKS: Final = 0x04
_HOW_SIZE: Final = 24
_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2
_FICLONE: Final = 0x40049409

_FIRST_BUFFER: Final = 1024
_Buffer: Final = ctypes.c_char * _FIRST_BUFFER  # PERF: create_string_buffer takes 0.3 us to arrive at this

READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""For a file that may turn out to be anything: a FIFO without writers must not hang the worker."""

DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Opener:
    """Opens paths for reading without following a symbolic link in any component, unless `follow` is set.

    openat2(2) does that in one call (0.9 us more than open). Where the kernel or a seccomp filter lacks it, each parent
    is looked at first, which somebody with write access to the directories could outrun.
    """

    def __init__(self, *, follow: bool) -> None:
        self.follow = follow
        self._how: dict[int, ctypes.Array[ctypes.c_uint64]] = {}
        self._openat2 = not follow and _has_openat2()

    def open(self, path: str, flags: int = READ_FLAGS) -> int:
        """A descriptor. Raises `OSError`: ELOOP for a symbolic link."""
        if not self._openat2:
            if not self.follow:
                _refuse_links(path)
            return os.open(path, flags & ~os.O_NOFOLLOW if self.follow else flags)
        how = self._how.get(flags)
        if how is None:
            how = self._how.setdefault(flags, (ctypes.c_uint64 * 3)(flags, 0, _RESOLVE_NO_SYMLINKS))
        while True:
            descriptor: int = _syscall(_SYS_OPENAT2, _AT_FDCWD, os.fsencode(path), ctypes.addressof(how), _HOW_SIZE)
            if descriptor >= 0:
                return descriptor
            number = ctypes.get_errno()
            if number not in (errno.EINTR, errno.EAGAIN):
                raise OSError(number, os.strerror(number), path)


def _has_openat2() -> bool:
    how = (ctypes.c_uint64 * 3)(DIRECTORY_FLAGS, 0, _RESOLVE_NO_SYMLINKS)
    descriptor = _syscall(_SYS_OPENAT2, _AT_FDCWD, b"/", ctypes.addressof(how), _HOW_SIZE)
    if descriptor < 0:
        return False
    close(descriptor)
    return True


def _refuse_links(path: str) -> None:
    position = path.find("/", 1)
    while position > 0:
        if stat.S_ISLNK(os.lstat(path[:position]).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        position = path.find("/", position + 1)


def get_attribute(file: int | str, name: bytes) -> bytes:
    """An extended attribute of an open file, or of what is at a path, no link followed. Raises `OSError`.

    Unlike with os.getxattr, one system call suffices for more than 128 bytes (1.1 us saved).
    """
    size = _FIRST_BUFFER
    buffer: ctypes.Array[ctypes.c_char] = _Buffer()
    while True:
        length: int
        if isinstance(file, int):
            length = _fgetxattr(file, name, buffer, size)
        else:
            length = _lgetxattr(os.fsencode(file), name, buffer, size)
        if length >= 0:
            return ctypes.string_at(buffer, length)
        number = ctypes.get_errno()
        if number != errno.ERANGE or size > _FIRST_BUFFER:
            raise OSError(number, os.strerror(number))
        size = 1 << 16  # XATTR_SIZE_MAX
        buffer = ctypes.create_string_buffer(size)


def exchange(path: str, name: str, directory: int) -> None:
    """Let the file at `path` and the one of that name in an open directory change places. Raises `OSError`."""
    if _renameat2(_AT_FDCWD, os.fsencode(path), directory, os.fsencode(name), _RENAME_EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path, None, name)


def clone(source: int, target: int) -> bool:
    """Let `target` share all blocks of `source`; False where the file system cannot."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.EPERM, errno.ENOSYS):
            return False
        raise
    return True
