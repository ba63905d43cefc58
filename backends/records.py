"""What is known of buckets and objects, and how it is written down.

A record is one opaque text for a storage plugin: `encode` and `decode_object` are the only two places that know its
form, a JSON document with a format number in front. Fields of later formats are added with defaults, so that old
records stay readable.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final

import msgspec

NULL_VERSION: Final = "null"
"""The version id of an object that was written while versioning was off or suspended."""

RECORD_FORMAT: Final = 1

UPLOAD_MARK: Final = "shardgate.upload"
"""In `ObjectRecord.extra`: the id of the multipart upload that an object came from."""


class Versioning(enum.Enum):
    """A bucket's versioning state."""

    OFF = "off"
    ENABLED = "enabled"
    SUSPENDED = "suspended"


class Retention(msgspec.Struct, frozen=True, gc=False):
    """A retention period: `mode` is GOVERNANCE or COMPLIANCE, `until` nanoseconds since the epoch."""

    mode: str
    until: int


class Encryption(msgspec.Struct, frozen=True, kw_only=True):
    """How an object's data are encrypted at rest.

    Attributes:
        kind: "SSE-S3", "SSE-C" or "SSE-KMS".
        key_id: which master key, or which KMS key, sealed the data key.
        sealed_key: the sealed data key; for SSE-C the salted hash that recognizes the customer's key.
        stored_size: bytes that the storage holds, which differ from the object's size.
        parameters: chunk size, nonces and the like, as the cipher needs them.
    """

    kind: str
    key_id: str = ""
    sealed_key: bytes = b""
    stored_size: int = 0
    parameters: Mapping[str, str] = {}


class PartRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One part of a multipart upload; checksums as in `ObjectRecord`.

    `place` is the storage's own name for where the part lies; two parts that were sent under one number differ in it.
    """

    number: int
    size: int
    etag: str
    modified: int = 0
    checksums: Mapping[str, str] = {}
    place: str = ""


class PartTable(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a completed multipart object, small enough for 10,000 of them in one record.

    Attributes:
        runs: (first part number, count, size) of parts with consecutive numbers and one size, in order.
        algorithm: of the part checksums, "" for none.
        digests: the parts' raw checksums one behind another, all of the algorithm's length.
    """

    runs: tuple[tuple[int, int, int], ...]
    algorithm: str = ""
    digests: bytes = b""

    @property
    def count(self) -> int:
        """The number of parts."""
        return sum(count for _, count, _ in self.runs)


class ObjectRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that is known of one version of an object.

    Attributes:
        size: bytes that a client sees.
        etag: without quotes.
        modified: nanoseconds since the epoch.
        headers: stored content headers, lower-case names ("content-type", "cache-control", …).
        metadata: user metadata, lower-case names without "x-amz-meta-".
        checksums: algorithm as S3 names it ("CRC64NVME") to base64 text.
        checksum_type: "FULL_OBJECT", "COMPOSITE" or "" when there is no checksum.
        owner: canonical user id, "" for an object that came without the gateway.
        acl: the object's ACL as the gateway wrote it, "" for the private default.
        extra: for later fields of plugins; names begin with the plugin's name and a dot.
    """

    size: int
    etag: str
    modified: int = 0
    version_id: str = NULL_VERSION
    delete_marker: bool = False
    headers: Mapping[str, str] = {}
    metadata: Mapping[str, str] = {}
    checksums: Mapping[str, str] = {}
    checksum_type: str = ""
    parts: PartTable | None = None
    tags: Mapping[str, str] = {}
    owner: str = ""
    acl: str = ""
    storage_class: str = "STANDARD"
    retention: Retention | None = None
    legal_hold: bool = False
    encryption: Encryption | None = None
    extra: Mapping[str, Any] = {}

    @property
    def stored_size(self) -> int:
        """Bytes that the storage holds for the object, which encryption makes more than its size."""
        return self.encryption.stored_size if self.encryption else self.size

    def replace(self, **changes: Any) -> ObjectRecord:
        """A copy with the given fields changed."""
        return msgspec.structs.replace(self, **changes)


class UploadRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A multipart upload that was begun.

    Attributes:
        id: letters and digits; ids of one key sort by the time of their beginning.
        initiated: nanoseconds since the epoch.
        draft: what the object will be, but for its size, ETag, time and checksums.
        algorithm: of the checksum that each part has, "" for none.
        checksum_type: "COMPOSITE", "FULL_OBJECT", or "" without an algorithm.
        announced: whether the client chose the algorithm, so that it must name each part's checksum.
    """

    id: str
    key: str
    initiated: int
    draft: ObjectRecord
    owner: str = ""
    algorithm: str = ""
    checksum_type: str = ""
    announced: bool = False


class StoredUpload(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that a storage knows of an upload: enough to go on when every other memory of it is lost.

    `parts` are in the order of their storing; of several of one number the last counts. `completed` is the object's
    record once it is published: what is left of the upload then only waits for `abort_upload`.
    """

    upload: UploadRecord
    parts: tuple[PartRecord, ...] = ()
    completed: ObjectRecord | None = None


class BucketRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a bucket besides its configuration documents; `created` in nanoseconds since the epoch."""

    name: str
    created: int
    owner: str = ""
    region: str = ""
    object_lock: bool = False


class RecordError(ValueError):
    """A stored record cannot be read: damaged, or of a later format."""


_encoder = msgspec.json.Encoder()
_object_decoder = msgspec.json.Decoder(ObjectRecord)
_bucket_decoder = msgspec.json.Decoder(BucketRecord)
_upload_decoder = msgspec.json.Decoder(UploadRecord)
_part_decoder = msgspec.json.Decoder(PartRecord)
_MARK: Final = b"%d " % RECORD_FORMAT


def encode(record: ObjectRecord | BucketRecord | UploadRecord | PartRecord) -> bytes:
    """The record as it is stored."""
    return _MARK + _encoder.encode(record)


def decode_object(data: bytes) -> ObjectRecord:
    """An object's record from its stored form. Raises `RecordError`."""
    try:
        return _object_decoder.decode(_body(data))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordError(f"damaged object record: {error}") from None


def decode_upload(data: bytes) -> UploadRecord:
    """An upload's record from its stored form. Raises `RecordError`."""
    try:
        return _upload_decoder.decode(_body(data))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordError(f"damaged upload record: {error}") from None


def decode_part(data: bytes) -> PartRecord:
    """A part's record from its stored form. Raises `RecordError`."""
    try:
        return _part_decoder.decode(_body(data))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordError(f"damaged part record: {error}") from None


def decode_bucket(data: bytes) -> BucketRecord:
    """A bucket's record from its stored form. Raises `RecordError`."""
    try:
        return _bucket_decoder.decode(_body(data))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordError(f"damaged bucket record: {error}") from None


def _body(data: bytes) -> memoryview:
    if not data.startswith(_MARK):
        raise RecordError(f"unknown record format {data[:8]!r}, this version reads {RECORD_FORMAT}")
    return memoryview(data)[len(_MARK) :]
