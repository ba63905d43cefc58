"""Named documents: one small file each, replaced as a whole under a lock.

A file begins with a line that holds a format number and 16 random hexadecimal digits, new with each write. The revision
is a hash of the whole file, so that it also changes when somebody edits the file by hand. The "/" of names is written
as "%", which no name contains.
"""

from __future__ import annotations

import os
import re
from hashlib import blake2b
from typing import Final

from backends.api import ANY_REVISION, Document, NoSuchBucket, StorageUnavailable, check_revision
from backends.offload import offload
from backends.posix.attributes import sync_directory
from backends.posix.failures import translated
from backends.posix.layout import Layout, is_bucket_name, lock_of
from backends.posix.locks import Locks
from backends.posix.staging import is_directory
from backends.posix.system import close

_NAME: Final = re.compile(r"[a-z][a-z0-9_./-]{0,199}")
_MARK: Final = b"1 "
_HEAD_SIZE: Final = len(_MARK) + 17


class Documents:
    """The documents of the gateway and of the buckets below one DIR."""

    def __init__(self, layout: Layout, locks: Locks, *, durable: bool) -> None:
        self._layout = layout
        self._locks = locks
        self._durable = durable

    @translated
    def get(self, bucket: str | None, name: str) -> Document | None:
        """A document, None when there is none. Raises `NoSuchBucket`."""
        document = self._read(self._path(bucket, name))
        if document is None:
            self._must_exist(bucket)
        return document

    def put(self, bucket: str | None, name: str, data: bytes, expected: str | None) -> str:
        """Write a document; returns its revision. Raises `DocumentChanged`, `NoSuchBucket`."""
        path = self._path(bucket, name)
        with self._locks.hold(self._lock(bucket, name)):
            revision = self._put(bucket, path, data, expected)
        self._sync(path)
        return revision

    @translated
    def _put(self, bucket: str | None, path: str, data: bytes, expected: str | None) -> str:
        self._must_exist(bucket)
        self._compare(path, expected)
        content = _MARK + os.urandom(8).hex().encode() + b"\n" + data
        write_file(self._layout, path, content, durable=self._durable)
        return _revision(content)

    def delete(self, bucket: str | None, name: str, expected: str | None) -> None:
        """Delete a document. Raises `DocumentChanged`, `NoSuchBucket`."""
        path = self._path(bucket, name)
        with self._locks.hold(self._lock(bucket, name)):
            self._delete(bucket, path, expected)
        self._sync(path)

    @translated
    def _delete(self, bucket: str | None, path: str, expected: str | None) -> None:
        self._must_exist(bucket)
        self._compare(path, expected)
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass

    @translated
    def names(self, bucket: str | None, prefix: str) -> list[str]:
        """The names that begin with `prefix`, in order."""
        directory = self._directory(bucket)
        try:
            names = [name.replace("%", "/") for name in os.listdir(directory)]
        except FileNotFoundError:
            names = []
        self._must_exist(bucket)
        return sorted(name for name in names if name.startswith(prefix) and _NAME.fullmatch(name))

    def _read(self, path: str) -> Document | None:
        try:
            with open(path, "rb", buffering=0) as file:
                content = file.readall()
        except FileNotFoundError:
            return None
        if not content.startswith(_MARK) or content[_HEAD_SIZE - 1 : _HEAD_SIZE] != b"\n":
            raise StorageUnavailable(f"damaged document {os.path.basename(path)}")
        return Document(content[_HEAD_SIZE:], _revision(content))

    def _compare(self, path: str, expected: str | None) -> None:
        if expected == ANY_REVISION:
            return
        document = self._read(path)
        check_revision(document.revision if document else None, expected)

    def _sync(self, path: str) -> None:
        if self._durable:
            offload(translated(sync_directory), os.path.dirname(path))

    def _must_exist(self, bucket: str | None) -> None:
        if bucket is not None and not (is_bucket_name(bucket) and is_directory(self._layout.bucket(bucket))):
            raise NoSuchBucket(bucket)

    def _lock(self, bucket: str | None, name: str) -> int:
        # A bucket's documents share the lock of the bucket, so that none is written while the bucket goes.
        return bucket_lock(bucket) if bucket is not None else lock_of("document", name)

    def _directory(self, bucket: str | None) -> str:
        if bucket is None:
            return self._layout.documents
        if not is_bucket_name(bucket):
            raise NoSuchBucket(bucket)
        return f"{self._layout.about(bucket)}/documents"

    def _path(self, bucket: str | None, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a document")
        return f"{self._directory(bucket)}/{name.replace('/', '%')}"


def bucket_lock(bucket: str) -> int:
    """What is locked to make, change or remove a bucket."""
    return lock_of("bucket", bucket)


def write_file(layout: Layout, path: str, content: bytes, *, durable: bool) -> None:
    """Replace a file of the gateway's own by a new one in one step. The caller synchronizes its directory."""
    staged = layout.staged()
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
            if durable:
                offload(os.fsync, descriptor)
        finally:
            close(descriptor)
        try:
            os.rename(staged, path)
        except FileNotFoundError:
            directory = os.path.dirname(path)
            os.makedirs(directory, mode=0o700, exist_ok=True)
            if durable:
                sync_directory(os.path.dirname(directory))
                sync_directory(os.path.dirname(os.path.dirname(directory)))
            os.rename(staged, path)
    except BaseException:
        try:
            os.unlink(staged)
        except FileNotFoundError:
            pass
        raise


def _revision(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()
