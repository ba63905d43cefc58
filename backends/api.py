"""The contract between the gateway and a storage system.

A plugin is a class derived from `Backend`. The gateway does protocol, authentication, authorization, conditions,
checksums, tags, locks, errors, logs and metrics; a plugin stores buckets, objects and named documents, and nothing
else. It never sees a request, a header or XML, and it raises only the errors below (anything else is a bug, answered
as an internal error).

Conventions, everywhere in this module: keys are `str` of 1 to 1024 bytes of UTF-8, never empty; `str` comparison is the
listing order of S3 (code points order like UTF-8 bytes); times are `int` nanoseconds since the epoch; sizes and
offsets are bytes; ETags carry no quotes. A plugin is opened once in every worker process, after the fork, and called
from many greenlets at a time: calls which may block for long go through `backends.offload`. Tools and tests, which do
not patch the standard library with gevent, call it from threads instead.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import ClassVar, Final

from backends import copying, documents, listing, uploads
from backends.bodies import BLOCK_SIZE, OpenBytes, OpenObject, PartSource, Source, blocks
from backends.errors import (
    BackendError,
    BucketExists,
    BucketNotEmpty,
    ConfigurationError,
    DocumentChanged,
    KeyNotStorable,
    NoSuchBucket,
    NoSuchObject,
    NoSuchUpload,
    NoSuchVersion,
    NotSupported,
    PermissionDenied,
    PreconditionFailed,
    QuotaExceeded,
    StorageFull,
    StorageUnavailable,
)
from backends.offload import offload
from backends.preconditions import ALWAYS, Precondition
from backends.records import (
    NULL_VERSION,
    UPLOAD_MARK,
    BucketRecord,
    Encryption,
    ObjectRecord,
    PartRecord,
    PartTable,
    Retention,
    StoredUpload,
    UploadRecord,
    Versioning,
    decode_bucket,
    decode_object,
    encode,
)
from backends.values import (
    ANY_REVISION,
    BackendConfig,
    BucketMapping,
    Caller,
    Capabilities,
    DeleteOutcome,
    Document,
    ListPage,
    ListQuery,
    ObjectEntry,
    check_revision,
)

__all__ = [
    "ALWAYS",
    "ANY_REVISION",
    "BLOCK_SIZE",
    "CONTRACT_VERSION",
    "NULL_VERSION",
    "UPLOAD_MARK",
    "Backend",
    "BackendConfig",
    "BackendError",
    "BucketExists",
    "BucketMapping",
    "BucketNotEmpty",
    "BucketRecord",
    "Caller",
    "Capabilities",
    "ConfigurationError",
    "DeleteOutcome",
    "Document",
    "DocumentChanged",
    "Encryption",
    "KeyNotStorable",
    "ListPage",
    "ListQuery",
    "NoSuchBucket",
    "NoSuchObject",
    "NoSuchUpload",
    "NoSuchVersion",
    "NotSupported",
    "ObjectEntry",
    "ObjectRecord",
    "OpenBytes",
    "OpenObject",
    "PartRecord",
    "PartSource",
    "PartTable",
    "PermissionDenied",
    "Precondition",
    "PreconditionFailed",
    "QuotaExceeded",
    "Retention",
    "Source",
    "StorageFull",
    "StorageUnavailable",
    "StoredUpload",
    "UploadRecord",
    "VersionedBackend",
    "Versioning",
    "blocks",
    "check_revision",
    "decode_bucket",
    "decode_object",
    "encode",
    "offload",
]

CONTRACT_VERSION: Final = (1, 0)
"""(major, minor). A plugin built for another major version is refused when it is loaded; a minor version only adds."""


class Backend(ABC):
    """A storage system behind the gateway.

    The abstract methods are required. Everything else has a default made of those, to be overridden by what the
    storage does better. The constructor only checks its configuration, raising `ConfigurationError` for an option that
    is unknown or wrong; connections belong into `open`.
    """

    name: ClassVar[str] = ""
    contract: ClassVar[tuple[int, int]] = CONTRACT_VERSION
    capabilities: Capabilities = Capabilities()

    def __init__(self, config: BackendConfig) -> None:
        self.config = config

    def open(self) -> None:  # noqa: B027 -- optional
        """Connect, after the fork. Raises `ConfigurationError` or `StorageUnavailable`."""

    def close(self) -> None:  # noqa: B027 -- optional
        """Release everything; no call follows."""

    def check(self) -> None:  # noqa: B027 -- optional
        """Ask the storage whether it can serve now; raises `StorageUnavailable`. Called by the readiness probe."""

    def sweep(self, older_than: float) -> int:
        """Remove what dead processes left behind `older_than` seconds ago or earlier.

        Safe in several processes at once. Returns the number of things removed. The default is for the default of
        documents.
        """
        return documents.sweep_documents(self, older_than)

    # -- buckets

    @abstractmethod
    def create_bucket(self, caller: Caller, record: BucketRecord) -> None:
        """Make a bucket, durably and in one visible step. Raises `BucketExists`."""

    @abstractmethod
    def get_bucket(self, caller: Caller, bucket: str) -> BucketRecord:
        """Raises `NoSuchBucket`."""

    @abstractmethod
    def list_buckets(self, caller: Caller) -> list[BucketRecord]:
        """All buckets, ordered by name."""

    @abstractmethod
    def delete_bucket(self, caller: Caller, bucket: str) -> None:
        """Remove an empty bucket, with the documents that the plugin keeps. Raises `NoSuchBucket`, `BucketNotEmpty`."""

    def change_bucket_owner(self, caller: Caller, bucket: str, owner: str) -> None:
        """Give a bucket another owner, a canonical user id: the record's `owner` changes and nothing else.

        Raises `NoSuchBucket`; `NotSupported` where records are written once, which is the default.
        """
        raise NotSupported("buckets keep their owners")

    # -- buckets over trees that exist already: an operator's, never a client's

    def map_bucket(self, record: BucketRecord, path: str) -> None:
        """Show an existing tree of the storage as a bucket. Raises `BucketExists`, `ConfigurationError`."""
        raise NotSupported(f"{self.name}: buckets over existing trees")

    def unmap_bucket(self, bucket: str) -> None:
        """Show it no more; the tree stays. Raises `NoSuchBucket`, and `PermissionDenied` for a bucket of a client's."""
        raise NotSupported(f"{self.name}: buckets over existing trees")

    def list_mappings(self) -> list[BucketMapping]:
        """All buckets with where they lie, ordered by name."""
        raise NotSupported(f"{self.name}: buckets over existing trees")

    # -- objects

    @abstractmethod
    def put_object(
        self, caller: Caller, bucket: str, key: str, source: Source, precondition: Precondition = ALWAYS
    ) -> ObjectRecord:
        """Store an object: read `source` to its end, ask it for the record, then publish data and record as one.

        Readers see the old object or the new one, never a mix. When this returns, the object is durable. The
        precondition is checked at publication; failing, nothing has changed. A source that gives fewer or more bytes
        than its announced length is refused with `ValueError` (`blocks` does so), and nothing has changed. Returns the
        record as stored: a storage may set `modified`.

        Raises `NoSuchBucket`, also when the bucket goes away meanwhile, and what the precondition raises.
        """

    @abstractmethod
    def get_object(self, caller: Caller, bucket: str, key: str) -> OpenObject:
        """Open an object. Raises `NoSuchBucket`, `NoSuchObject`."""

    @abstractmethod
    def head_object(self, caller: Caller, bucket: str, key: str) -> ObjectRecord:
        """The record alone. Raises like `get_object`."""

    @abstractmethod
    def delete_object(
        self, caller: Caller, bucket: str, key: str, precondition: Precondition = ALWAYS
    ) -> DeleteOutcome:
        """Remove an object, durably. A missing one is no error, unless the precondition makes it one.

        Raises `NoSuchBucket` and what the precondition raises.
        """

    @abstractmethod
    def scan(self, caller: Caller, bucket: str, prefix: str, after: str) -> Iterator[ObjectEntry]:
        """All objects whose key begins with `prefix` and is greater than `after`, in order of their keys, lazily.

        Raises `NoSuchBucket` at the first step.
        """

    def list_objects(self, caller: Caller, bucket: str, query: ListQuery) -> ListPage:
        """One page of a listing. The default steps through `scan`, starting it anew behind each common prefix."""
        return listing.page_of_scan(lambda after: self.scan(caller, bucket, query.prefix, after), query)

    def update_object(
        self, caller: Caller, bucket: str, key: str, change: Callable[[ObjectRecord], ObjectRecord]
    ) -> ObjectRecord:
        """Replace an object's record by `change(record)`, its data staying as they are (tags, ACL, locks, metadata).

        No concurrent change of the record is lost; `change` only computes, and may be called from any thread and more
        than once. The default writes the object anew under the condition that it is still the same one.

        Raises like `get_object`, and what `change` raises.
        """
        return copying.rewrite_record(self, caller, bucket, key, change)

    def copy_object(
        self,
        caller: Caller,
        source: OpenObject,
        bucket: str,
        key: str,
        record: ObjectRecord,
        precondition: Precondition = ALWAYS,
    ) -> ObjectRecord:
        """Store the data of `source`, an object that this backend opened, under another key with the given record.

        The caller closes `source`. The default streams.
        """
        return self.put_object(caller, bucket, key, copying.CopySource(source, record), precondition)

    def rename_object(
        self,
        caller: Caller,
        bucket: str,
        source: str,
        target: str,
        source_precondition: Precondition = ALWAYS,
        target_precondition: Precondition = ALWAYS,
    ) -> ObjectRecord:
        """Give an object another key in its bucket. The default copies, then deletes: both keys exist for a moment.

        Raises `NoSuchObject` when there is no source.
        """
        return copying.rename_by_copy(self, caller, bucket, source, target, source_precondition, target_precondition)

    # -- multipart uploads

    def create_upload(self, caller: Caller, bucket: str, upload: UploadRecord) -> None:
        """Begin an upload, durably: from now on `load_upload` finds it. Raises `NoSuchBucket`.

        The defaults of this and the following keep an upload in a hidden bucket of the storage, parts as objects; a
        completion copies them. A storage that can write at an offset, or join files, overrides all eight.
        """
        return uploads.create_upload(self, caller, bucket, upload)

    def load_upload(self, caller: Caller, bucket: str, upload_id: str) -> StoredUpload:
        """Everything that the storage knows of an upload, parts included. Raises `NoSuchUpload`."""
        return uploads.load_upload(self, caller, bucket, upload_id)

    def list_uploads(self, caller: Caller, bucket: str) -> Iterable[UploadRecord]:
        """All uploads of a bucket, in any order. Used to rebuild what a faster memory has lost, and to clean up."""
        return uploads.list_uploads(self, caller, bucket)

    def put_part(
        self, caller: Caller, bucket: str, upload: UploadRecord, number: int, source: PartSource
    ) -> PartRecord:
        """Store a part, durably, beside all others that were sent under its number. Returns it with its `place`.

        A part that fails leaves those untouched. Raises `NoSuchUpload`.
        """
        return uploads.put_part(self, caller, bucket, upload, number, source)

    def discard_part(self, caller: Caller, bucket: str, upload: UploadRecord, part: PartRecord) -> None:
        """Remove a part that another one of its number has replaced, for good: `load_upload` gives it no more.

        A missing one is no error.
        """
        return uploads.discard_part(self, caller, bucket, upload, part)

    def complete_upload(
        self,
        caller: Caller,
        bucket: str,
        upload: UploadRecord,
        parts: Sequence[PartRecord],
        record: ObjectRecord,
        precondition: Precondition = ALWAYS,
    ) -> ObjectRecord:
        """Publish the parts, in this order, as one object, as `put_object` would.

        The object's record gets the upload's id under `UPLOAD_MARK` in `extra`. Called again after it was published,
        also by another process that knows nothing of the first call, it returns the record of then and changes
        nothing. What is left of the upload stays until `abort_upload`. When it raises before the publication, the
        upload is as it was, all parts included. Raises `NoSuchUpload` and what the precondition raises.
        """
        return uploads.complete_upload(self, caller, bucket, upload, parts, record, precondition, self.put_object)

    def abort_upload(self, caller: Caller, bucket: str, upload_id: str) -> None:
        """Remove an upload with its parts, or what a completion left of it. A missing one is no error."""
        return uploads.abort_upload(self, caller, bucket, upload_id)

    def sweep_uploads(self, caller: Caller, older_than: float) -> int:
        """Remove what killed processes left of uploads that are over, `older_than` seconds ago or earlier.

        Uploads that are open are none of it, however old. Safe in several processes at once. Returns the number of
        things removed.
        """
        return uploads.sweep_uploads(self, caller, older_than)

    # -- documents: bucket configuration (`bucket` given) and the gateway's own (`bucket` None)

    def get_document(self, bucket: str | None, name: str) -> Document | None:
        """A document, None when it was never written or was deleted. Raises `NoSuchBucket`.

        The defaults of this and the following keep documents as objects of a hidden bucket. A storage that has a
        better place for them overrides all four.
        """
        return documents.get_document(self, bucket, name)

    def put_document(self, bucket: str | None, name: str, data: bytes, expected: str | None = ANY_REVISION) -> str:
        """Write a document durably and atomically; returns its revision.

        `expected` is the revision it must have now, None when it must not exist, `ANY_REVISION` when it does not
        matter. A revision never comes back, not even with the same data or after a deletion. Raises
        `DocumentChanged`, `NoSuchBucket`. Names are of lower-case letters, digits, '-', '_', '.' and '/', begin with a
        letter, and have at most 200 characters.
        """
        return documents.put_document(self, bucket, name, data, expected)

    def delete_document(self, bucket: str | None, name: str, expected: str | None = ANY_REVISION) -> None:
        """Delete a document; a missing one is no error unless `expected` names a revision (`DocumentChanged`)."""
        return documents.delete_document(self, bucket, name, expected)

    def list_documents(self, bucket: str | None, prefix: str = "") -> Iterable[str]:
        """Names of the documents that begin with `prefix`, ordered."""
        return documents.list_documents(self, bucket, prefix)


class VersionedBackend(Backend):
    """A storage system that keeps versions of objects: the plugin declares the capability `versioning`.

    The methods are those of `Backend`, with further arguments by keyword. Left out, they mean what `Backend` says: the
    current version, and a bucket whose versioning is off.

    `version_id` names one version (`NULL_VERSION` the one that was written while versioning was off or suspended); a
    method that is given one raises `NoSuchVersion` when the object has no such version. The current version may be a
    delete marker: `get_object` and `head_object` raise `NoSuchObject` for it unless it is named.

    `versioning` is the bucket's state. ENABLED adds a version with an id of its own, which the storage makes; SUSPENDED
    replaces the null version and leaves all others; OFF replaces the object.
    """

    @abstractmethod
    def put_object(
        self,
        caller: Caller,
        bucket: str,
        key: str,
        source: Source,
        precondition: Precondition = ALWAYS,
        *,
        versioning: Versioning = Versioning.OFF,
    ) -> ObjectRecord:
        """Store an object as a new version. The record that is returned has its `version_id`."""

    @abstractmethod
    def get_object(self, caller: Caller, bucket: str, key: str, *, version_id: str | None = None) -> OpenObject:
        """Open the current version or a named one."""

    @abstractmethod
    def head_object(self, caller: Caller, bucket: str, key: str, *, version_id: str | None = None) -> ObjectRecord:
        """The record of the current version or of a named one."""

    @abstractmethod
    def delete_object(
        self,
        caller: Caller,
        bucket: str,
        key: str,
        precondition: Precondition = ALWAYS,
        *,
        version_id: str | None = None,
        versioning: Versioning = Versioning.OFF,
    ) -> DeleteOutcome:
        """Remove a named version for good; without a name, put a delete marker on top where versions are kept.

        The precondition is checked against the version that is named, otherwise against the current one.
        """

    @abstractmethod
    def update_object(
        self,
        caller: Caller,
        bucket: str,
        key: str,
        change: Callable[[ObjectRecord], ObjectRecord],
        *,
        version_id: str | None = None,
    ) -> ObjectRecord:
        """Replace the record of a version, which stays the version that it is."""

    @abstractmethod
    def scan_versions(
        self, caller: Caller, bucket: str, prefix: str, after: str, after_version: str | None = None
    ) -> Iterator[ObjectEntry]:
        """All versions and delete markers, in order of their keys and of one key the newest first, lazily.

        With `after_version` the scan begins behind that version of the key `after`, otherwise behind all of them.
        """

    def copy_object(
        self,
        caller: Caller,
        source: OpenObject,
        bucket: str,
        key: str,
        record: ObjectRecord,
        precondition: Precondition = ALWAYS,
        *,
        versioning: Versioning = Versioning.OFF,
    ) -> ObjectRecord:
        """Store the data of `source` as a new version. The default streams."""
        body = copying.CopySource(source, record)
        return self.put_object(caller, bucket, key, body, precondition, versioning=versioning)

    def complete_upload(
        self,
        caller: Caller,
        bucket: str,
        upload: UploadRecord,
        parts: Sequence[PartRecord],
        record: ObjectRecord,
        precondition: Precondition = ALWAYS,
        *,
        versioning: Versioning = Versioning.OFF,
    ) -> ObjectRecord:
        """Publish the parts as a new version."""
        put = partial(self.put_object, versioning=versioning)
        return uploads.complete_upload(self, caller, bucket, upload, parts, record, precondition, put)
