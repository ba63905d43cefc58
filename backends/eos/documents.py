"""Named documents: attributes of files that have no data, changed under a lock.

The attribute's value is `REVISION DOCUMENT` in base64, or `REVISION @FILE` for one that is too large; that file lies in
the state's data directory, is written before the attribute and removed after the next one. Setting an attribute is one
step in EOS, so that readers see whole documents. A revision is random, new with each write.
"""

from __future__ import annotations

import base64
import binascii
import os
import time
from typing import Final

from backends.api import ANY_REVISION, Document, DocumentChanged, NoSuchBucket, NoSuchObject, StorageUnavailable
from backends.eos.failures import Missing
from backends.eos.interfaces import CloseFailed, DataClient, Entry, MissingParent, Role, Unanswered
from backends.eos.layout import Layout, bucket_lock, document_name, is_bucket_name
from backends.eos.locks import Locks
from backends.eos.namespace import Namespace
from backends.eos.settling import Settler

ATTRIBUTE: Final = "user.shardgate.document"
OWNER: Final = "user.shardgate.document-of"
_LONGEST: Final = 24 << 10
"""Bytes of a document in an attribute: a value should stay below 64 KiB."""

_TRIES: Final = 10
_WRITES: Final = 4
_PAUSE: Final = 0.05


class Documents:
    """The documents of the gateway and of all buckets."""

    def __init__(
        self,
        namespace: Namespace,
        data: DataClient,
        settler: Settler,
        layout: Layout,
        locks: Locks,
        service: Role,
    ) -> None:
        self._namespace: Final = namespace
        self._data: Final = data
        self._settler: Final = settler
        self._layout: Final = layout
        self._locks: Final = locks
        self._service: Final = service

    def get(self, bucket: str | None, name: str) -> Document | None:
        """A document, None when there is none. Raises `NoSuchBucket`."""
        path = self._path(bucket, name)
        for _ in range(_TRIES):
            entry = self._namespace.stat(self._service, path)
            value = entry.attributes.get(ATTRIBUTE) if entry is not None else None
            if value is None:
                self._must_exist(bucket)
                return None
            try:
                return self._decoded(path, value)
            except NoSuchObject:
                # Replaced, and its data removed, between the two looks.
                continue
        raise StorageUnavailable(f"document {name} changes faster than it can be read")

    def put(self, bucket: str | None, name: str, data: bytes, expected: str | None) -> str:
        """Write a document; its revision. Raises `DocumentChanged`, `NoSuchBucket`."""
        path = self._path(bucket, name)
        revision = os.urandom(12).hex()
        large = self._write_data(path, data) if len(data) > _LONGEST else None
        content = f"@{large}".encode() if large else base64.b64encode(data)
        try:
            with self._locks.hold(self._lock(bucket, path)):
                self._must_exist(bucket)
                before = self._compare(path, expected)
                if before is None:
                    self._namespace.touch(self._service, path)
                self._namespace.set_attributes(self._service, path, {ATTRIBUTE: revision.encode() + b" " + content})
        except (DocumentChanged, NoSuchBucket):
            if large:
                self._namespace.unlink(self._service, f"{self._layout.data}/{large}")
            raise
        self._discard(before)
        return revision

    def delete(self, bucket: str | None, name: str, expected: str | None) -> None:
        """Delete a document. Raises `DocumentChanged`, `NoSuchBucket`."""
        path = self._path(bucket, name)
        with self._locks.hold(self._lock(bucket, path)):
            self._must_exist(bucket)
            before = self._compare(path, expected)
            self._namespace.unlink(self._service, path)
        self._discard(before)

    def names(self, bucket: str | None, prefix: str) -> list[str]:
        """The names that begin with `prefix`, in order."""
        if bucket is not None and not is_bucket_name(bucket):
            raise NoSuchBucket(bucket)
        try:
            entries = self._namespace.find(self._service, self._layout.documents_of(bucket))
        except Missing:
            entries = []
        self._must_exist(bucket)
        names = [document_name(entry.path) for entry in entries if ATTRIBUTE in entry.attributes]
        return sorted(name for name in names if name is not None and name.startswith(prefix))

    # -- for the registry of buckets, under the bucket's lock

    def prepare(self, bucket: str) -> None:
        """Make room for a new bucket's documents; there are none afterwards."""
        self.drop(bucket)
        self._namespace.make_directory(self._service, self._layout.documents_of(bucket))

    def drop(self, bucket: str) -> None:
        """Remove all documents of a bucket."""
        directory = self._layout.documents_of(bucket)
        try:
            entries = self._namespace.find(self._service, directory)
        except Missing:
            return
        for entry in entries:
            self._namespace.unlink(self._service, entry.path)
            self._discard(entry.attributes.get(ATTRIBUTE))
        self._namespace.remove_directory(self._service, directory)

    def sweep(self, older_than: float) -> int:
        """Remove data that no document names any more."""
        before = time.time_ns() - int(older_than * 1e9)
        removed = 0
        for entry in self._namespace.find(self._service, self._layout.data):
            if not entry.directory and entry.mtime < before and not self._is_used(entry):
                removed += self._namespace.unlink(self._service, entry.path)
        return removed

    def _is_used(self, entry: Entry) -> bool:
        path = entry.attributes.get(OWNER, b"").decode("utf-8", "replace")
        owner = self._namespace.stat(self._service, _unquoted(path)) if path else None
        value = owner.attributes.get(ATTRIBUTE, b"") if owner is not None else b""
        return value.endswith(b"@" + entry.path.rpartition("/")[2].encode())

    # -- parts of the above

    def _compare(self, path: str, expected: str | None) -> bytes | None:
        """The present value, after the check of its revision."""
        entry = self._namespace.stat(self._service, path)
        value = entry.attributes.get(ATTRIBUTE) if entry is not None else None
        revision = value.partition(b" ")[0].decode("ascii", "replace") if value is not None else None
        if expected not in (ANY_REVISION, revision):
            raise DocumentChanged
        return value

    def _decoded(self, path: str, value: bytes) -> Document:
        revision, _, content = value.partition(b" ")
        if content.startswith(b"@"):
            return Document(self._read_data(content[1:].decode("ascii", "replace")), revision.decode())
        try:
            return Document(base64.b64decode(content, validate=True), revision.decode())
        except (binascii.Error, UnicodeDecodeError):
            raise StorageUnavailable(f"damaged document {path}") from None

    def _write_data(self, path: str, data: bytes) -> str:
        """Store what is too large for an attribute: the name of its file, a new one with each try."""
        for attempt in range(_WRITES):
            name = os.urandom(12).hex()
            try:
                self._write_file(path, f"{self._layout.data}/{name}", data)
                return name
            except MissingParent:
                raise StorageUnavailable("the state directory has been removed") from None
            except (CloseFailed, Unanswered, Missing, StorageUnavailable) as error:
                # What may be there is left to the sweep: no document names it.
                reason = str(error)
            time.sleep(_PAUSE * 2**attempt)
        raise StorageUnavailable(f"document {path} cannot be stored: {reason}")

    def _write_file(self, path: str, file: str, data: bytes) -> None:
        owner = base64.urlsafe_b64encode(path.encode()).decode().rstrip("=")
        writing = self._data.begin_write(self._service, file, length=len(data), attributes={OWNER: owner})
        try:
            writing.write(data)
            written = writing.finish()
        finally:
            writing.abort()
        self._settler.settle_file(self._service, file, written, data[-1:])

    def _read_data(self, name: str) -> bytes:
        entry = self._namespace.stat(self._service, f"{self._layout.data}/{name}")
        if entry is None:
            raise NoSuchObject(name)
        opened = self._data.open_read(self._service, entry)
        try:
            return b"".join(opened.read(0, entry.size))
        finally:
            opened.close()

    def _discard(self, value: bytes | None) -> None:
        if value is not None:
            content = value.partition(b" ")[2]
            if content.startswith(b"@"):
                self._namespace.unlink(self._service, f"{self._layout.data}/{content[1:].decode('ascii', 'replace')}")

    def _must_exist(self, bucket: str | None) -> None:
        if bucket is None:
            return
        entry = self._namespace.stat(self._service, self._layout.bucket(bucket)) if is_bucket_name(bucket) else None
        if entry is None or "user.shardgate.bucket" not in entry.attributes:
            raise NoSuchBucket(bucket)

    def _path(self, bucket: str | None, name: str) -> str:
        if bucket is not None and not is_bucket_name(bucket):
            raise NoSuchBucket(bucket)
        return self._layout.document(bucket, name)

    def _lock(self, bucket: str | None, path: str) -> str:
        # A bucket's documents share the lock of the bucket, so that none is written while the bucket goes.
        return bucket_lock(bucket) if bucket is not None else f"document {path}"


def _unquoted(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
