"""A storage plugin without a storage, to measure the gateway alone.

It is not conformant and not meant to be: bodies are read and dropped, every object of every bucket exists and is made
of zeros, a listing is empty, preconditions are not looked at. Documents are kept in the worker's memory, because the
gateway needs its own to work.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Annotated, Final

import msgspec

from backends.api import (
    ALWAYS,
    ANY_REVISION,
    BLOCK_SIZE,
    Backend,
    BackendConfig,
    BucketRecord,
    Caller,
    Capabilities,
    DeleteOutcome,
    Document,
    ObjectEntry,
    ObjectRecord,
    OpenObject,
    Precondition,
    Source,
    check_revision,
)

ZEROS: Final = bytes(BLOCK_SIZE)
CREATED: Final = 1_700_000_000_000_000_000


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The plugin's options. `size` is that of every object, in bytes."""

    size: Annotated[int, msgspec.Meta(ge=0)] = 1024


class Zeros(OpenObject):
    """An object made of zeros."""

    __slots__ = ()

    def __init__(self, record: ObjectRecord) -> None:
        self.record = record

    def read(self, offset: int, length: int) -> Iterator[bytes]:
        """Zeros."""
        while length > 0:
            yield ZEROS if length >= BLOCK_SIZE else ZEROS[:length]
            length -= BLOCK_SIZE


class NoopBackend(Backend):
    """Drops what it is given and answers zeros."""

    name = "noop"
    capabilities = Capabilities(atomic_preconditions=True, server_side_copy=True, atomic_rename=True, persistent=False)

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        size = config.parsed(Options).size
        self._record: Final = ObjectRecord(size=size, etag="0" * 32, modified=CREATED)
        self._zeros: Final = Zeros(self._record)
        self._documents: dict[tuple[str | None, str], Document] = {}
        self._revisions = itertools.count(1)

    def create_bucket(self, caller: Caller, record: BucketRecord) -> None:
        """Do nothing."""

    def get_bucket(self, caller: Caller, bucket: str) -> BucketRecord:
        """Every bucket exists, and is the caller's."""
        return BucketRecord(name=bucket, created=CREATED, owner=caller.account_id)

    def list_buckets(self, caller: Caller) -> list[BucketRecord]:
        """None is listed."""
        return []

    def delete_bucket(self, caller: Caller, bucket: str) -> None:
        """Do nothing."""

    def put_object(
        self, caller: Caller, bucket: str, key: str, source: Source, precondition: Precondition = ALWAYS
    ) -> ObjectRecord:
        """Read the body to its end and drop it."""
        while source.read(BLOCK_SIZE):
            pass
        return source.record()

    def get_object(self, caller: Caller, bucket: str, key: str) -> OpenObject:
        """Zeros."""
        return self._zeros

    def head_object(self, caller: Caller, bucket: str, key: str) -> ObjectRecord:
        """The one record there is."""
        return self._record

    def delete_object(
        self, caller: Caller, bucket: str, key: str, precondition: Precondition = ALWAYS
    ) -> DeleteOutcome:
        """Do nothing."""
        return DeleteOutcome(removed=self._record)

    def scan(self, caller: Caller, bucket: str, prefix: str, after: str) -> Iterator[ObjectEntry]:
        """No entries."""
        return iter(())

    def copy_object(
        self,
        caller: Caller,
        source: OpenObject,
        bucket: str,
        key: str,
        record: ObjectRecord,
        precondition: Precondition = ALWAYS,
    ) -> ObjectRecord:
        """Do nothing."""
        return record

    def rename_object(
        self,
        caller: Caller,
        bucket: str,
        source: str,
        target: str,
        source_precondition: Precondition = ALWAYS,
        target_precondition: Precondition = ALWAYS,
    ) -> ObjectRecord:
        """Do nothing."""
        return self._record

    def get_document(self, bucket: str | None, name: str) -> Document | None:
        """A document that this worker was given."""
        return self._documents.get((bucket, name))

    def put_document(self, bucket: str | None, name: str, data: bytes, expected: str | None = ANY_REVISION) -> str:
        """Keep a document in memory."""
        self._expect(bucket, name, expected)
        revision = str(next(self._revisions))
        self._documents[bucket, name] = Document(data, revision)
        return revision

    def delete_document(self, bucket: str | None, name: str, expected: str | None = ANY_REVISION) -> None:
        """Forget a document."""
        self._expect(bucket, name, expected)
        self._documents.pop((bucket, name), None)

    def list_documents(self, bucket: str | None, prefix: str = "") -> list[str]:
        """Names of the documents in memory."""
        return sorted(name for place, name in self._documents if place == bucket and name.startswith(prefix))

    def _expect(self, bucket: str | None, name: str, expected: str | None) -> None:
        document = self._documents.get((bucket, name))
        check_revision(document.revision if document else None, expected)
