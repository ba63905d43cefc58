"""What the memory plugin keeps: buckets and the objects in them. An object is immutable: who opened it keeps it."""

from __future__ import annotations

from bisect import bisect_left, insort

from backends.api import BucketRecord, Document, ObjectRecord, OpenBytes


class Bucket:
    """A bucket with its objects, their keys in order, and its documents."""

    def __init__(self, record: BucketRecord) -> None:
        self.record = record
        self.objects: dict[str, OpenBytes] = {}
        self.keys: list[str] = []
        self.documents: dict[str, Document] = {}

    def current(self, key: str) -> ObjectRecord | None:
        """The record under that key."""
        stored = self.objects.get(key)
        return stored.record if stored else None

    def store(self, key: str, stored: OpenBytes) -> int:
        """Put an object under that key; returns by how many bytes the bucket grew."""
        replaced = self.objects.get(key)
        if replaced is None:
            insort(self.keys, key)
        self.objects[key] = stored
        return len(stored.data) - (len(replaced.data) if replaced else 0)

    def remove(self, key: str) -> OpenBytes | None:
        """Take an object out."""
        stored = self.objects.pop(key, None)
        if stored is not None:
            del self.keys[bisect_left(self.keys, key)]
        return stored
