"""A complete storage plugin on dictionaries.

What is stored belongs to one process and ends with it, so a gateway over this plugin has one worker
(`shardgate serve --backend memory --workers 1`); with more, every worker would have buckets of its own.
"""

from __future__ import annotations

import itertools
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from typing import Annotated, Final

import msgspec
from msgspec.structs import replace

from backends.api import (
    ALWAYS,
    ANY_REVISION,
    Backend,
    BackendConfig,
    BucketExists,
    BucketNotEmpty,
    BucketRecord,
    Caller,
    Capabilities,
    DeleteOutcome,
    Document,
    NoSuchBucket,
    NoSuchObject,
    ObjectEntry,
    ObjectRecord,
    OpenBytes,
    OpenObject,
    Precondition,
    Source,
    StorageFull,
    blocks,
    check_revision,
)
from backends.memory.contents import Bucket


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The plugin's options. `max_bytes` bounds the objects' data together; 0 sets no bound."""

    max_bytes: Annotated[int, msgspec.Meta(ge=0)] = 0


class MemoryBackend(Backend):
    """Buckets, objects and documents in dictionaries, changed under one lock that no body is read under."""

    name = "memory"
    capabilities = Capabilities(atomic_preconditions=True, server_side_copy=True, atomic_rename=True, persistent=False)

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._max_bytes: Final = config.parsed(Options).max_bytes
        self._lock = threading.Lock()
        self._buckets: dict[str, Bucket] = {}
        self._documents: dict[str, Document] = {}
        self._revisions = itertools.count(1)
        self._used = 0

    # -- buckets

    def create_bucket(self, caller: Caller, record: BucketRecord) -> None:
        with self._lock:
            if record.name in self._buckets:
                raise BucketExists(record.name)
            self._buckets[record.name] = Bucket(record)

    def get_bucket(self, caller: Caller, bucket: str) -> BucketRecord:
        return self._bucket(bucket).record

    def list_buckets(self, caller: Caller) -> list[BucketRecord]:
        with self._lock:
            return [self._buckets[name].record for name in sorted(self._buckets)]

    def change_bucket_owner(self, caller: Caller, bucket: str, owner: str) -> None:
        with self._lock:
            found = self._bucket(bucket)
            found.record = replace(found.record, owner=owner)

    def delete_bucket(self, caller: Caller, bucket: str) -> None:
        with self._lock:
            if self._bucket(bucket).objects:
                raise BucketNotEmpty(bucket)
            del self._buckets[bucket]

    # -- objects

    def put_object(
        self, caller: Caller, bucket: str, key: str, source: Source, precondition: Precondition = ALWAYS
    ) -> ObjectRecord:
        self._bucket(bucket)
        received = bytearray()
        try:
            for block in blocks(source):
                self._reserve(len(block))
                received += block
            return self._publish(bucket, key, OpenBytes(source.record(), bytes(received)), precondition)
        finally:
            self._reserve(-len(received))

    def _reserve(self, size: int) -> None:
        """Count bytes that are on their way in."""
        with self._lock:
            if self._max_bytes and size > 0 and self._used + size > self._max_bytes:
                raise StorageFull(f"memory: max_bytes = {self._max_bytes} is reached")
            self._used += size

    def _publish(self, bucket: str, key: str, stored: OpenBytes, precondition: Precondition) -> ObjectRecord:
        with self._lock:
            target = self._bucket(bucket)
            precondition.check(target.current(key))
            self._used += target.store(key, stored)
        return stored.record

    def get_object(self, caller: Caller, bucket: str, key: str) -> OpenBytes:
        stored = self._bucket(bucket).objects.get(key)
        if stored is None:
            raise NoSuchObject(key)
        return stored

    def head_object(self, caller: Caller, bucket: str, key: str) -> ObjectRecord:
        return self.get_object(caller, bucket, key).record

    def delete_object(
        self, caller: Caller, bucket: str, key: str, precondition: Precondition = ALWAYS
    ) -> DeleteOutcome:
        with self._lock:
            target = self._bucket(bucket)
            precondition.check(target.current(key))
            removed = target.remove(key)
            if removed is None:
                return DeleteOutcome()
            self._used -= len(removed.data)
        return DeleteOutcome(removed=removed.record)

    def scan(self, caller: Caller, bucket: str, prefix: str, after: str) -> Iterator[ObjectEntry]:
        # Each step finds its place anew, so that objects may come and go between two of them.
        find, position = (bisect_right, after) if after >= prefix else (bisect_left, prefix)
        while True:
            with self._lock:
                target = self._bucket(bucket)
                index = find(target.keys, position)
                if index == len(target.keys) or not target.keys[index].startswith(prefix):
                    return
                find, position = bisect_right, target.keys[index]
                entry = ObjectEntry(position, target.objects[position].record)
            yield entry

    def update_object(
        self, caller: Caller, bucket: str, key: str, change: Callable[[ObjectRecord], ObjectRecord]
    ) -> ObjectRecord:
        with self._lock:
            stored = self.get_object(caller, bucket, key)
            changed = OpenBytes(change(stored.record), stored.data)
            self._bucket(bucket).store(key, changed)
        return changed.record

    def copy_object(
        self,
        caller: Caller,
        source: OpenObject,
        bucket: str,
        key: str,
        record: ObjectRecord,
        precondition: Precondition = ALWAYS,
    ) -> ObjectRecord:
        if not isinstance(source, OpenBytes):
            raise TypeError("the source was not opened by this plugin")
        self._bucket(bucket)
        size = len(source.data)
        self._reserve(size)
        try:
            return self._publish(bucket, key, OpenBytes(record, source.data), precondition)
        finally:
            self._reserve(-size)

    def rename_object(
        self,
        caller: Caller,
        bucket: str,
        source: str,
        target: str,
        source_precondition: Precondition = ALWAYS,
        target_precondition: Precondition = ALWAYS,
    ) -> ObjectRecord:
        with self._lock:
            inside = self._bucket(bucket)
            stored = self.get_object(caller, bucket, source)
            source_precondition.check(stored.record)
            target_precondition.check(inside.current(target))
            inside.remove(source)
            self._used += inside.store(target, stored) - len(stored.data)
        return stored.record

    # -- documents

    def get_document(self, bucket: str | None, name: str) -> Document | None:
        return self._documents_of(bucket).get(name)

    def put_document(self, bucket: str | None, name: str, data: bytes, expected: str | None = ANY_REVISION) -> str:
        with self._lock:
            documents = self._documents_of(bucket)
            _expect(documents.get(name), expected)
            revision = str(next(self._revisions))
            documents[name] = Document(data, revision)
        return revision

    def delete_document(self, bucket: str | None, name: str, expected: str | None = ANY_REVISION) -> None:
        with self._lock:
            documents = self._documents_of(bucket)
            _expect(documents.get(name), expected)
            documents.pop(name, None)

    def list_documents(self, bucket: str | None, prefix: str = "") -> list[str]:
        with self._lock:
            return sorted(name for name in self._documents_of(bucket) if name.startswith(prefix))

    def _bucket(self, name: str) -> Bucket:
        try:
            return self._buckets[name]
        except KeyError:
            raise NoSuchBucket(name) from None

    def _documents_of(self, bucket: str | None) -> dict[str, Document]:
        return self._documents if bucket is None else self._bucket(bucket).documents


def _expect(document: Document | None, expected: str | None) -> None:
    check_revision(document.revision if document else None, expected)
