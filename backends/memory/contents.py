"""What the memory plugin keeps: buckets and the objects in them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator

from backends.api import BLOCK_SIZE, BucketRecord, Document, ObjectRecord, OpenObject


class StoredObject(OpenObject):
    """An object: immutable, so that whoever opened it keeps it, whatever becomes of its key."""

    __slots__ = ("data",)

    def __init__(self, record: ObjectRecord, data: bytes) -> None:
        self.record = record
        self.data = data

    def read(self, offset: int, length: int) -> Iterator[bytes]:
        """The bytes, in blocks."""
        for start in range(offset, offset + length, BLOCK_SIZE):
            yield self.data[start : min(start + BLOCK_SIZE, offset + length)]


class Bucket:
    """A bucket with its objects, their keys in order, and its documents."""

    def __init__(self, record: BucketRecord) -> None:
        self.record = record
        self.objects: dict[str, StoredObject] = {}
        self.keys: list[str] = []
        self.documents: dict[str, Document] = {}

    def current(self, key: str) -> ObjectRecord | None:
        """The record under that key."""
        stored = self.objects.get(key)
        return stored.record if stored else None

    def store(self, key: str, stored: StoredObject) -> int:
        """Put an object under that key; returns by how many bytes the bucket grew."""
        replaced = self.objects.get(key)
        if replaced is None:
            insort(self.keys, key)
        self.objects[key] = stored
        return len(stored.data) - (len(replaced.data) if replaced else 0)

    def remove(self, key: str) -> StoredObject | None:
        """Take an object out."""
        stored = self.objects.pop(key, None)
        if stored is not None:
            del self.keys[bisect_left(self.keys, key)]
        return stored
