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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, Protocol

import msgspec

from backends import uploads
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
)

__all__ = [
    "ALWAYS",
    "ANY_REVISION",
    "CONTRACT_VERSION",
    "NULL_VERSION",
    "UPLOAD_MARK",
    "Backend",
    "BackendConfig",
    "BackendError",
    "BucketExists",
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
    "Versioning",
]

CONTRACT_VERSION: Final = (1, 0)
"""(major, minor). A plugin built for another major version is refused when it is loaded; a minor version only adds."""

BLOCK_SIZE: Final = 1 << 20
"""Bytes that a copy loop moves at a time."""

ANY_REVISION: Final = "*"
"""For `put_document` and `delete_document`: whatever revision is there, or none."""


class Caller(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """On whose behalf a call is made, so that the storage system's own permissions can stay in force.

    `account_id` is the canonical user id; `uid`, `gid` and `groups` are the numeric identity in the storage system.
    """

    account_id: str
    user_name: str = ""
    access_key: str = ""
    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] = ()
    roles: tuple[str, ...] = ()


class BackendConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway hands to a plugin when it makes it.

    `directory` is the DIR of `shardgate serve`; `options` is the parsed `--backend-config` file; with `durable` false a
    write may be left to the kernel when it is acknowledged (`durability = "relaxed"`).
    """

    directory: str | None = None
    options: Mapping[str, Any] = {}
    durable: bool = True


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a storage system can do by itself; what is false, the gateway builds from the required calls or refuses.

    Attributes:
        atomic_preconditions: a precondition is checked in the same step as the publication, across processes and hosts.
        server_side_copy: `copy_object` moves no object data through the worker.
        atomic_rename: `rename_object` is one step for every reader.
        versioning: `put_object`, `delete_object` and the readers understand versions.
        parts_at_offset: a part of a multipart upload can be written to its final place.
        enforces_permissions: the storage system checks `Caller` itself.
        persistent: what is stored outlives the process and is the same for every worker. False for a store in the
            worker's own memory, which only makes sense with one worker.
    """

    atomic_preconditions: bool = False
    server_side_copy: bool = False
    atomic_rename: bool = False
    versioning: bool = False
    parts_at_offset: bool = False
    enforces_permissions: bool = False
    persistent: bool = True


class Precondition(msgspec.Struct, frozen=True, kw_only=True):
    """What must hold of the current object at the moment of publication, deletion or renaming.

    A plugin calls `check` with the current record, or None, while nobody else can publish under that key.

    Attributes:
        if_match: ETags of which the current object must have one; `("*",)` asks only that it exists.
        if_none_match: ETags of which it must have none; `("*",)` asks that it does not exist.
        if_modified_second: the second (since the epoch) that its modification time must fall in.
        if_size: the size it must have.
        guard: a further check that is given the current record and raises what refuses the change (object locks). It
            only computes; it may be called from any thread, and more than once.
    """

    if_match: tuple[str, ...] | None = None
    if_none_match: tuple[str, ...] | None = None
    if_modified_second: int | None = None
    if_size: int | None = None
    guard: Callable[[ObjectRecord | None], None] | None = None

    @property
    def always(self) -> bool:
        """True when there is nothing to check: the change may be published without a look at what is there."""
        return self is ALWAYS or self == ALWAYS

    def check(self, current: ObjectRecord | None) -> None:
        """Raise `PreconditionFailed`, or `NoSuchObject` where a condition needs an object and there is none."""
        if current is not None and current.delete_marker:
            current = None
        if current is None:
            if self.if_match is not None or self.if_modified_second is not None or self.if_size is not None:
                raise NoSuchObject
        else:
            self._check_existing(current)
        if self.guard is not None:
            self.guard(current)

    def _check_existing(self, current: ObjectRecord) -> None:
        if self.if_match is not None and self.if_match != ("*",) and current.etag not in self.if_match:
            raise PreconditionFailed("If-Match")
        if self.if_none_match is not None and (self.if_none_match == ("*",) or current.etag in self.if_none_match):
            raise PreconditionFailed("If-None-Match")
        if self.if_modified_second is not None and current.modified // 1_000_000_000 != self.if_modified_second:
            raise PreconditionFailed("x-amz-if-match-last-modified-time")
        if self.if_size is not None and current.size != self.if_size:
            raise PreconditionFailed("x-amz-if-match-size")


ALWAYS: Final = Precondition()
"""No precondition."""


class Source(Protocol):
    """The body of an object on its way to the storage."""

    @property
    def length(self) -> int | None:
        """Bytes that `read` will give, or None when the client did not announce them."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; b"" at the end, and only after the body was verified.

        Whatever it raises ends the put: let it pass, and leave nothing visible. A body comes from a socket of the
        calling greenlet's loop, so `read` and `record` are called there and never through `backends.offload`; and no
        lock is held meanwhile, because a body may take hours.
        """

    def record(self) -> ObjectRecord:
        """The object's record. Only known, and only to be asked for, after `read` has given b""."""


class PartSource(Protocol):
    """The body of one part of a multipart upload, like `Source`."""

    @property
    def length(self) -> int | None:
        """Bytes that `read` will give, or None when the client did not announce them."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; b"" at the end, and only after the body was verified."""

    def record(self) -> PartRecord:
        """The part's record but for its `place`; only after `read` has given b""."""


class OpenObject(ABC):
    """One version of an object, opened: record and data belong together whatever happens to the key meanwhile."""

    __slots__ = ("record",)

    record: ObjectRecord

    @abstractmethod
    def read(self, offset: int, length: int) -> Iterator[bytes]:
        """The bytes from `offset` on, in blocks. Ends after exactly `length` bytes or raises `StorageUnavailable`.

        `offset` and `length` lie within the stored size. May be called several times, one after another.
        """

    def fileno(self) -> int | None:
        """A descriptor of a regular file whose byte n is the object's byte n, good until `close`; None without one."""
        return None

    def close(self) -> None:  # noqa: B027 -- optional
        """Release what is held. Called exactly once, also when the client has gone."""


class ObjectEntry(msgspec.Struct, frozen=True, gc=False):
    """An object in a listing."""

    key: str
    record: ObjectRecord


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a listing.

    Attributes:
        prefix: only keys that begin with it.
        delimiter: keys that contain it behind the prefix are rolled up to a common prefix; "" for none.
        after: only what comes behind it in order; where it is itself a common prefix, behind all keys of that prefix.
        limit: objects and common prefixes together, at least 1.
    """

    prefix: str = ""
    delimiter: str = ""
    after: str = ""
    limit: int = 1000


class ListPage(msgspec.Struct, frozen=True):
    """A page of a listing; `objects` and `prefixes` in order. `next_after` continues it, None when it was the last."""

    objects: tuple[ObjectEntry, ...] = ()
    prefixes: tuple[str, ...] = ()
    next_after: str | None = None


class DeleteOutcome(msgspec.Struct, frozen=True):
    """What a delete did: the record that went, None when there was nothing; and on versioned buckets the marker."""

    removed: ObjectRecord | None = None
    marker: ObjectRecord | None = None


class Document(msgspec.Struct, frozen=True):
    """A named opaque document; `revision` changes with every write and is compared for equality only."""

    data: bytes
    revision: str


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

        Safe in several processes at once. Returns the number of things removed.
        """
        return 0

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
        """Remove an empty bucket with its documents. Raises `NoSuchBucket`, `BucketNotEmpty`."""

    # -- objects

    @abstractmethod
    def put_object(
        self,
        caller: Caller,
        bucket: str,
        key: str,
        source: Source,
        precondition: Precondition = ALWAYS,
        versioning: Versioning = Versioning.OFF,
    ) -> ObjectRecord:
        """Store an object: read `source` to its end, ask it for the record, then publish data and record as one.

        Readers see the old object or the new one, never a mix. When this returns, the object is durable. The
        precondition is checked at publication; failing, nothing has changed. A source that gives fewer or more bytes
        than its announced length is refused with `ValueError`, and nothing has changed. Returns the record as stored:
        a storage may set `modified` and, on versioned buckets, sets `version_id`.

        Raises `NoSuchBucket`, also when the bucket goes away meanwhile, what the precondition raises, and
        `NotSupported` for any `versioning` but OFF where the capability is missing.
        """

    @abstractmethod
    def get_object(self, caller: Caller, bucket: str, key: str, version_id: str | None = None) -> OpenObject:
        """Open an object or one version of it. Raises `NoSuchBucket`, `NoSuchObject`, `NoSuchVersion`.

        Without the versioning capability `NULL_VERSION` names the object itself, and there are no other versions.
        """

    @abstractmethod
    def head_object(self, caller: Caller, bucket: str, key: str, version_id: str | None = None) -> ObjectRecord:
        """The record alone. Raises like `get_object`."""

    @abstractmethod
    def delete_object(
        self,
        caller: Caller,
        bucket: str,
        key: str,
        version_id: str | None = None,
        precondition: Precondition = ALWAYS,
        versioning: Versioning = Versioning.OFF,
    ) -> DeleteOutcome:
        """Remove an object, durably. A missing object or version is no error (unless the precondition makes it one).

        Raises `NoSuchBucket`, what the precondition raises, and `NotSupported` as `put_object` does.
        """

    @abstractmethod
    def scan(self, caller: Caller, bucket: str, prefix: str, after: str) -> Iterator[ObjectEntry]:
        """All objects whose key begins with `prefix` and is greater than `after`, in order of their keys, lazily.

        Raises `NoSuchBucket` at the first step.
        """

    def list_objects(self, caller: Caller, bucket: str, query: ListQuery) -> ListPage:
        """One page of a listing. The default steps through `scan`, starting it anew behind each common prefix."""
        from backends.listing import page_of_scan

        return page_of_scan(lambda after: self.scan(caller, bucket, query.prefix, after), query)

    def update_object(
        self,
        caller: Caller,
        bucket: str,
        key: str,
        change: Callable[[ObjectRecord], ObjectRecord],
        version_id: str | None = None,
    ) -> ObjectRecord:
        """Replace an object's record by `change(record)`, its data staying as they are (tags, ACL, locks, metadata).

        No concurrent change of the record is lost; `change` only computes, and may be called from any thread and more
        than once. The default writes the object anew under the condition that it is still the same one.

        Raises like `get_object`, and what `change` raises.
        """
        from backends.copying import rewrite_record

        return rewrite_record(self, caller, bucket, key, change, version_id)

    def copy_object(
        self,
        caller: Caller,
        source: OpenObject,
        bucket: str,
        key: str,
        record: ObjectRecord,
        precondition: Precondition = ALWAYS,
        versioning: Versioning = Versioning.OFF,
    ) -> ObjectRecord:
        """Store the data of `source`, an object that this backend opened, under another key with the given record.

        The caller closes `source`. The default streams.
        """
        from backends.copying import CopySource

        return self.put_object(caller, bucket, key, CopySource(source, record), precondition, versioning)

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
        from backends.copying import rename_by_copy

        return rename_by_copy(self, caller, bucket, source, target, source_precondition, target_precondition)

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
        versioning: Versioning = Versioning.OFF,
    ) -> ObjectRecord:
        """Publish the parts, in this order, as one object, as `put_object` would.

        The object's record gets the upload's id under `UPLOAD_MARK` in `extra`. Called again after it was published,
        also by another process that knows nothing of the first call, it returns the record of then and changes
        nothing. What is left of the upload stays until `abort_upload`. When it raises before the publication, the
        upload is as it was, all parts included. Raises `NoSuchUpload` and what the precondition raises.
        """
        return uploads.complete_upload(self, caller, bucket, upload, parts, record, precondition, versioning)

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

    @abstractmethod
    def get_document(self, bucket: str | None, name: str) -> Document | None:
        """A document, None when it was never written or was deleted. Raises `NoSuchBucket`."""

    @abstractmethod
    def put_document(self, bucket: str | None, name: str, data: bytes, expected: str | None = ANY_REVISION) -> str:
        """Write a document durably and atomically; returns its revision.

        `expected` is the revision it must have now, None when it must not exist, `ANY_REVISION` when it does not
        matter. A revision never comes back, not even with the same data or after a deletion. Raises
        `DocumentChanged`, `NoSuchBucket`. Names are of lower-case letters, digits, '-', '_', '.' and '/', begin with a
        letter, and have at most 200 characters.
        """

    @abstractmethod
    def delete_document(self, bucket: str | None, name: str, expected: str | None = ANY_REVISION) -> None:
        """Delete a document; a missing one is no error unless `expected` names a revision (`DocumentChanged`)."""

    @abstractmethod
    def list_documents(self, bucket: str | None, prefix: str = "") -> Iterable[str]:
        """Names of the documents that begin with `prefix`, ordered."""
