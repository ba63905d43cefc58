"""Buckets: a bucket exists while its directory does.

Its record is written before the directory is made, and removed after the directory has gone: both steps are one call of
mkdir or rmdir for everybody else. A directory that was made without the gateway is a bucket that nobody owns.
"""

from __future__ import annotations

import errno
import os
import shutil

from msgspec.structs import replace

from backends.api import BucketExists, BucketNotEmpty, BucketRecord, NoSuchBucket, StorageUnavailable
from backends.offload import offload
from backends.posix.attributes import sync_directory
from backends.posix.documents import bucket_lock, write_file
from backends.posix.failures import translated
from backends.posix.layout import Layout, is_bucket_name
from backends.posix.listing import holds_objects
from backends.posix.locks import Locks
from backends.posix.staging import is_directory
from backends.posix.system import Opener
from backends.records import RecordError, decode_bucket, encode


class Buckets:
    """The buckets below one DIR."""

    def __init__(self, layout: Layout, opener: Opener, locks: Locks, *, durable: bool, mode: int) -> None:
        self._layout = layout
        self._opener = opener
        self._locks = locks
        self._durable = durable
        self._mode = mode

    def create(self, record: BucketRecord) -> None:
        """Make a bucket. Raises `BucketExists`; `ValueError` for a name that no bucket can have."""
        if not is_bucket_name(record.name):
            raise ValueError(f"{record.name!r} is no name of a bucket")
        with self._locks.hold(bucket_lock(record.name)):
            self._create(record)

    @translated
    def _create(self, record: BucketRecord) -> None:
        directory = self._layout.bucket(record.name)
        if os.path.lexists(directory):
            raise BucketExists(record.name)
        self._forget(record.name)
        about = self._layout.about(record.name)
        os.mkdir(about, 0o700)
        try:
            write_file(self._layout, f"{about}/record", encode(record), durable=self._durable)
            if self._durable:
                sync_directory(about)
                sync_directory(self._layout.buckets)
            os.mkdir(directory, self._mode)
        except FileExistsError:
            raise BucketExists(record.name) from None
        except OSError:
            # A full disk: what was made for nothing must not use it up.
            self._forget(record.name)
            raise
        if self._durable:
            offload(sync_directory, self._layout.root)

    def _forget(self, bucket: str) -> None:
        # Out of sight in one step: what is left of a removed bucket is nothing that a later one may inherit.
        about = self._layout.about(bucket)
        staged = self._layout.staged()
        try:
            os.rename(about, staged)
        except FileNotFoundError:
            return
        shutil.rmtree(staged)

    @translated
    def get(self, bucket: str) -> BucketRecord:
        """A bucket's record. Raises `NoSuchBucket`."""
        self.must_exist(bucket)
        return self._record(bucket)

    @translated
    def must_exist(self, bucket: str) -> None:
        """Raises `NoSuchBucket`."""
        if not is_bucket_name(bucket) or not self._is_bucket(bucket):
            raise NoSuchBucket(bucket)

    def _is_bucket(self, bucket: str) -> bool:
        path = self._layout.bucket(bucket)
        return os.path.isdir(path) if self._opener.follow else is_directory(path)

    def _record(self, bucket: str) -> BucketRecord:
        try:
            with open(f"{self._layout.about(bucket)}/record", "rb", buffering=0) as file:
                return decode_bucket(file.readall())
        except FileNotFoundError:
            pass
        except RecordError as error:
            raise StorageUnavailable(f"bucket {bucket}: {error}") from None
        try:
            status = os.stat(self._layout.bucket(bucket))
        except FileNotFoundError:
            raise NoSuchBucket(bucket) from None
        # The time of its making is not to be had from stat(2); no later than its first known change will do.
        return BucketRecord(name=bucket, created=min(status.st_mtime_ns, status.st_ctime_ns))

    def all(self) -> list[BucketRecord]:
        """All buckets by name."""
        return offload(self._all)

    @translated
    def _all(self) -> list[BucketRecord]:
        found: list[BucketRecord] = []
        with os.scandir(self._layout.root) as entries:
            names = sorted(
                entry.name
                for entry in entries
                if is_bucket_name(entry.name) and entry.is_dir(follow_symlinks=self._opener.follow)
            )
        for name in names:
            try:
                found.append(self._record(name))
            except NoSuchBucket:
                continue
        return found

    @translated
    def change_owner(self, bucket: str, owner: str) -> None:
        """Write a bucket's record anew. Raises `NoSuchBucket`."""
        if not is_bucket_name(bucket):
            raise NoSuchBucket(bucket)
        with self._locks.hold(bucket_lock(bucket)):
            self.must_exist(bucket)
            about = self._layout.about(bucket)
            record = replace(self._record(bucket), owner=owner)
            write_file(self._layout, f"{about}/record", encode(record), durable=self._durable)
            if self._durable:
                offload(sync_directory, about)

    def delete(self, bucket: str) -> None:
        """Remove an empty bucket and its documents. Raises `NoSuchBucket`, `BucketNotEmpty`."""
        if not is_bucket_name(bucket):
            raise NoSuchBucket(bucket)
        with self._locks.hold(bucket_lock(bucket)):
            offload(self._delete, bucket)

    @translated
    def _delete(self, bucket: str) -> None:
        path = self._layout.bucket(bucket)
        if not is_directory(path):
            raise NoSuchBucket(bucket)
        if holds_objects(self._opener, path):
            raise BucketNotEmpty(bucket)
        _remove_empty(path)
        if self._durable:
            sync_directory(self._layout.root)
        self._forget(bucket)


def _remove_empty(root: str) -> None:
    """Remove a tree of empty directories. Raises `BucketNotEmpty` when anything else is in it or comes into it."""
    waiting = [root]
    while waiting:
        path = waiting[-1]
        try:
            os.rmdir(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            # Then this one once more; it is gone at the latest when nobody writes into it any more.
            waiting += _only_directories(path)
            continue
        waiting.pop()


def _only_directories(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            found = list(entries)
    except FileNotFoundError:
        return []
    if not all(entry.is_dir(follow_symlinks=False) for entry in found):
        raise BucketNotEmpty
    return [entry.path for entry in found]
