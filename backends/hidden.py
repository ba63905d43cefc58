"""Hidden buckets, in which the contract's defaults keep what is no client's object.

Their names begin with a dot, so they are no legal names for a client's bucket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from backends.errors import BucketExists, NoSuchBucket
from backends.preconditions import ALWAYS, Precondition
from backends.records import BucketRecord, ObjectRecord
from backends.values import Caller

if TYPE_CHECKING:
    from backends.api import Backend

UPLOADS: Final = ".shardgate-uploads"
DOCUMENTS: Final = ".shardgate-documents"


class HeldBody:
    """Data in memory as the source of a put, under a record that is known already."""

    __slots__ = ("_data", "_position", "_record", "length")

    def __init__(self, record: ObjectRecord, data: bytes = b"") -> None:
        self.length: int | None = len(data)
        self._data = data
        self._record = record
        self._position = 0

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes."""
        block = self._data[self._position : self._position + size]
        self._position += len(block)
        return block

    def record(self) -> ObjectRecord:
        """The record that was given."""
        return self._record


def put(
    backend: Backend,
    caller: Caller,
    bucket: str,
    key: str,
    record: ObjectRecord,
    data: bytes = b"",
    precondition: Precondition = ALWAYS,
) -> None:
    """Put an object into a hidden bucket, which is made when it is needed first."""
    try:
        backend.put_object(caller, bucket, key, HeldBody(record, data), precondition)
    except NoSuchBucket:
        try:
            backend.create_bucket(caller, BucketRecord(name=bucket, created=record.modified))
        except BucketExists:
            pass
        backend.put_object(caller, bucket, key, HeldBody(record, data), precondition)
