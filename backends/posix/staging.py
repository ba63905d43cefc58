"""A new object's file before anybody can see it."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from backends.api import NoSuchBucket, ObjectRecord
from backends.offload import offload
from backends.posix.attributes import Records
from backends.posix.failures import translated
from backends.posix.layout import Layout
from backends.posix.regions import copy_bytes
from backends.posix.system import clone, close

INLINE: Final = 128 * 1024
"""Bytes that are written where they come; the copy of more takes longer than a thread's start (30 to 50 us)."""

_NAMELESS: Final = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
_NAMED: Final = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
_ATTEMPTS: Final = 10


def supports_nameless(layout: Layout) -> bool:
    """Whether files can be made without a name and get one later: not so on NFS and some FUSE file systems."""
    try:
        descriptor = os.open(layout.staging, _NAMELESS, 0o600)
    except OSError:
        return False
    name = layout.staged()
    try:
        os.link(f"/proc/self/fd/{descriptor}", name, src_dir_fd=descriptor, follow_symlinks=True)
    except OSError:
        return False
    finally:
        close(descriptor)
    os.unlink(name)
    return True


class Staged:
    """A file that is being written: nameless in the bucket's directory, else under a name in the staging area.

    A named one is locked (flock) as long as it is open, so that the sweep knows the files of the living.
    """

    __slots__ = ("_descriptor", "_forget", "_path", "_size")

    def __init__(self, descriptor: int, path: str | None) -> None:
        self._descriptor = descriptor
        self._path = path
        self._size = 0
        self._forget: Callable[[], None] | None = None

    @classmethod
    @translated
    def make(cls, layout: Layout, bucket: str, mode: int, *, nameless: bool) -> Staged:
        """A new file for an object of the bucket in that directory. Raises `NoSuchBucket`."""
        if nameless:
            return cls(_nameless(bucket, mode), None)
        if not is_directory(bucket):
            raise NoSuchBucket
        path = layout.staged()
        descriptor = os.open(path, _NAMED, mode)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return cls(descriptor, path)

    @classmethod
    def existing(cls, descriptor: int, path: str, size: int) -> Staged:
        """A file of a multipart upload that has all its bytes and a name already; the caller ends it with `leave`."""
        staged = cls(descriptor, path)
        staged._size = size
        return staged

    @property
    def named(self) -> bool:
        """Whether it has a name."""
        return self._path is not None

    # -- contents

    def write(self, block: bytes) -> None:
        """Append a block."""
        self._size += len(block)
        if len(block) > INLINE:
            offload(_write, self._descriptor, block)
        else:
            _write(self._descriptor, block)

    def copy(self, source: int, length: int) -> None:
        """Append the first `length` bytes of another file, without moving them where the file system can share them."""
        self._size += length
        offload(_copy, source, self._descriptor, length)

    def finish(self, record: ObjectRecord, records: Records, *, durable: bool) -> ObjectRecord:
        """Give the file its time and its record, and make it durable; returns the record as it is stored.

        A record without a modification time gets the present one. Raises `ValueError` when the record does not fit.
        """
        if record.stored_size != self._size:
            raise ValueError(f"the record tells of {record.stored_size} bytes and {self._size} came")
        return self._finish(record, records, durable=durable)

    @translated
    def _finish(self, record: ObjectRecord, records: Records, *, durable: bool) -> ObjectRecord:
        modified = record.modified or time.time_ns()
        os.utime(self._descriptor, ns=(modified, modified))
        status = os.fstat(self._descriptor)
        if status.st_mtime_ns != record.modified:
            # The file system may know coarser times; what it says is what later tells that nobody changed the file.
            record = record.replace(modified=status.st_mtime_ns)
        self._forget = partial(records.forget, status)
        records.write(self._descriptor, record, status, durable=durable, new=True)
        if durable:
            offload(os.fsync, self._descriptor)
        return record

    # -- names

    def link(self, name: str, directory: int) -> None:
        """Give the nameless file a name in an opened directory. Raises `FileExistsError`, `FileNotFoundError`."""
        # CPython only lets the kernel follow the link in /proc when src_dir_fd is given.
        os.link(
            f"/proc/self/fd/{self._descriptor}", name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=True
        )

    def name_it(self, layout: Layout) -> str:
        """Its name in the staging area, given now if it has none."""
        if self._path is None:
            path = layout.staged()
            os.link(f"/proc/self/fd/{self._descriptor}", path, src_dir_fd=self._descriptor, follow_symlinks=True)
            self._path = path
        return self._path

    def gone(self) -> None:
        """Its name in the staging area is used up."""
        self._path = None

    def published(self) -> None:
        """It has become an object; only its descriptor is left to be closed."""
        self._forget = None

    def leave(self) -> None:
        """Let go of a file that somebody else removes if it was not published."""
        close(self._descriptor)

    def close(self) -> None:
        """Let go; what was not published vanishes."""
        close(self._descriptor)
        if self._forget is not None:
            self._forget()
        if self._path is not None:
            try:
                os.unlink(self._path)
            except OSError:
                # The sweep will find it.
                pass


def _nameless(directory: str, mode: int) -> int:
    for attempt in range(_ATTEMPTS):
        try:
            return os.open(directory, _NAMELESS, mode)
        except (FileNotFoundError, NotADirectoryError):
            raise NoSuchBucket from None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise NoSuchBucket from None
            # ext4 says EPERM for a directory that is being removed at this moment: still there, but without links. The
            # next look may find the bucket made again.
            if error.errno != errno.EPERM or attempt == _ATTEMPTS - 1:
                raise
            if not _has_links(directory):
                raise NoSuchBucket from None
    raise AssertionError("unreachable")


def _has_links(path: str) -> bool:
    try:
        return os.lstat(path).st_nlink > 0
    except FileNotFoundError:
        return False


def is_directory(path: str) -> bool:
    """Whether a directory, not a link to one, is there. Raises `OSError` when that cannot be told."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


@translated
def _write(descriptor: int, block: bytes) -> None:
    written = os.write(descriptor, block)
    if written < len(block):
        view = memoryview(block)[written:]
        while view:
            view = view[os.write(descriptor, view) :]


@translated
def _copy(source: int, target: int, length: int) -> None:
    if length and os.fstat(source).st_size == length and clone(source, target):
        return
    copy_bytes(source, 0, target, 0, length)
