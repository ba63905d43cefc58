"""The contract's default for multipart uploads, built from put, get, scan and delete.

An upload lives in a hidden bucket whose name no client can use, under `BUCKET/ID/`: an empty object `upload` that
carries the upload's record, an object for each part, and an empty object `completed` that is written before the parts
are published. Completion copies the parts into the object; a storage that can do better overrides it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from backends.errors import BucketExists, NoSuchBucket, NoSuchObject, NoSuchUpload, PreconditionFailed
from backends.records import (
    BucketRecord,
    ObjectRecord,
    PartRecord,
    StoredUpload,
    UploadRecord,
    Versioning,
    decode_object,
    decode_part,
    decode_upload,
    encode,
)

if TYPE_CHECKING:
    from backends.api import Backend, Caller, OpenObject, PartSource, Precondition

STAGING_BUCKET: Final = ".shardgate-uploads"
"""Begins with a dot, so that it is no legal name for a client's bucket; lists of buckets leave it out."""

UPLOAD_MARK: Final = "shardgate.upload"
"""In `ObjectRecord.extra`: the id of the upload that an object came from."""

_PAYLOAD: Final = "shardgate.staged"
"""In `ObjectRecord.extra` of a staged object: the record that it carries."""


class _Staged:
    """A source that stores a record and no data."""

    __slots__ = ("_payload", "length")

    def __init__(self, payload: bytes) -> None:
        self.length: int | None = 0
        self._payload = payload

    def read(self, size: int, /) -> bytes:
        return b""

    def record(self) -> ObjectRecord:
        return _carrier(self._payload, 0, "")


class _StagedPart:
    """The source of a part, as the source of the object that it is kept in."""

    __slots__ = ("_place", "_source", "length", "part")

    def __init__(self, source: PartSource, place: str) -> None:
        self.length = source.length
        self.part: PartRecord | None = None
        self._source = source
        self._place = place

    def read(self, size: int, /) -> bytes:
        return self._source.read(size)

    def record(self) -> ObjectRecord:
        self.part = _with_place(self._source.record(), self._place)
        return _carrier(encode(self.part), self.part.size, self.part.etag)


class _Joined:
    """The parts, one behind another, as the source of the object."""

    __slots__ = ("_blocks", "_record", "length")

    def __init__(self, opened: Sequence[OpenObject], record: ObjectRecord) -> None:
        self.length: int | None = sum(part.record.size for part in opened)
        self._record = record
        self._blocks = _joined(opened)

    def read(self, size: int, /) -> bytes:
        return next(self._blocks, b"")

    def record(self) -> ObjectRecord:
        return self._record


def _joined(opened: Sequence[OpenObject]) -> Iterator[bytes]:
    for part in opened:
        if part.record.size:
            yield from part.read(0, part.record.size)


def _carrier(payload: bytes, size: int, etag: str) -> ObjectRecord:
    return ObjectRecord(size=size, etag=etag, extra={_PAYLOAD: payload.decode()})


def _payload(record: ObjectRecord) -> bytes:
    text: str = record.extra[_PAYLOAD]
    return text.encode()


def _with_place(part: PartRecord, place: str) -> PartRecord:
    return PartRecord(
        number=part.number,
        size=part.size,
        etag=part.etag,
        modified=part.modified,
        checksums=part.checksums,
        place=place,
    )


def _folder(bucket: str, upload_id: str) -> str:
    return f"{bucket}/{upload_id}/"


def create_upload(backend: Backend, caller: Caller, bucket: str, upload: UploadRecord) -> None:
    """See `Backend.create_upload`."""
    backend.get_bucket(caller, bucket)
    source = _Staged(encode(upload))
    key = _folder(bucket, upload.id) + "upload"
    try:
        backend.put_object(caller, STAGING_BUCKET, key, source)
    except NoSuchBucket:
        try:
            backend.create_bucket(caller, BucketRecord(name=STAGING_BUCKET, created=upload.initiated))
        except BucketExists:
            pass
        backend.put_object(caller, STAGING_BUCKET, key, source)


def _require(backend: Backend, caller: Caller, bucket: str, upload_id: str) -> UploadRecord:
    try:
        record = backend.head_object(caller, STAGING_BUCKET, _folder(bucket, upload_id) + "upload")
    except (NoSuchBucket, NoSuchObject):
        raise NoSuchUpload from None
    return decode_upload(_payload(record))


def _completed(backend: Backend, caller: Caller, bucket: str, upload_id: str) -> ObjectRecord | None:
    try:
        record = backend.head_object(caller, STAGING_BUCKET, _folder(bucket, upload_id) + "completed")
    except (NoSuchBucket, NoSuchObject):
        return None
    return decode_object(_payload(record))


def load_upload(backend: Backend, caller: Caller, bucket: str, upload_id: str) -> StoredUpload:
    """See `Backend.load_upload`."""
    upload = _require(backend, caller, bucket, upload_id)
    folder = _folder(bucket, upload_id) + "part/"
    parts = tuple(decode_part(_payload(entry.record)) for entry in backend.scan(caller, STAGING_BUCKET, folder, ""))
    return StoredUpload(upload=upload, parts=parts, completed=_completed(backend, caller, bucket, upload_id))


def list_uploads(backend: Backend, caller: Caller, bucket: str) -> Iterator[UploadRecord]:
    """See `Backend.list_uploads`."""
    backend.get_bucket(caller, bucket)
    try:
        for entry in backend.scan(caller, STAGING_BUCKET, bucket + "/", ""):
            if entry.key.endswith("/upload"):
                yield decode_upload(_payload(entry.record))
    except NoSuchBucket:
        return


def put_part(
    backend: Backend, caller: Caller, bucket: str, upload: UploadRecord, number: int, source: PartSource
) -> PartRecord:
    """See `Backend.put_part`."""
    _require(backend, caller, bucket, upload.id)
    place = f"part/{number:05d}/{secrets.token_hex(8)}"
    staged = _StagedPart(source, place)
    key = _folder(bucket, upload.id) + place
    backend.put_object(caller, STAGING_BUCKET, key, staged)
    try:
        _require(backend, caller, bucket, upload.id)
    except NoSuchUpload:
        # It was aborted meanwhile, and that clean-up may have passed this part by.
        backend.delete_object(caller, STAGING_BUCKET, key)
        raise
    assert staged.part is not None  # noqa: S101 -- the backend has asked for the record
    return staged.part


def discard_part(backend: Backend, caller: Caller, bucket: str, upload: UploadRecord, part: PartRecord) -> None:
    """See `Backend.discard_part`."""
    try:
        backend.delete_object(caller, STAGING_BUCKET, _folder(bucket, upload.id) + part.place)
    except NoSuchBucket:
        return


def complete_upload(
    backend: Backend,
    caller: Caller,
    bucket: str,
    upload: UploadRecord,
    parts: Sequence[PartRecord],
    record: ObjectRecord,
    precondition: Precondition,
    versioning: Versioning,
) -> ObjectRecord:
    """See `Backend.complete_upload`.

    What was published is recognized by the mark in the object's record. Where the note of a completion is found but
    another object under the key, a process was killed between the two, or the object was replaced meanwhile; the
    client that asks again was not answered yet, so publishing now is right in both cases.
    """
    _require(backend, caller, bucket, upload.id)
    marked = record.replace(extra={**record.extra, UPLOAD_MARK: upload.id})
    noted = _completed(backend, caller, bucket, upload.id)
    if noted is not None:
        current = _current(backend, caller, bucket, upload.key)
        if current is not None and current.extra.get(UPLOAD_MARK) == upload.id:
            return current
    folder = _folder(bucket, upload.id)
    opened: list[OpenObject] = []
    try:
        opened.extend(_open_part(backend, caller, folder + part.place) for part in parts)
        backend.put_object(caller, STAGING_BUCKET, folder + "completed", _Staged(encode(marked)))
        try:
            return backend.put_object(caller, bucket, upload.key, _Joined(opened, marked), precondition, versioning)
        except (PreconditionFailed, NoSuchObject):
            backend.delete_object(caller, STAGING_BUCKET, folder + "completed")
            raise
    finally:
        for part_object in opened:
            part_object.close()


def _current(backend: Backend, caller: Caller, bucket: str, key: str) -> ObjectRecord | None:
    try:
        return backend.head_object(caller, bucket, key)
    except NoSuchObject:
        return None


def _open_part(backend: Backend, caller: Caller, key: str) -> OpenObject:
    try:
        return backend.get_object(caller, STAGING_BUCKET, key)
    except (NoSuchBucket, NoSuchObject):
        raise NoSuchUpload from None


def abort_upload(backend: Backend, caller: Caller, bucket: str, upload_id: str) -> None:
    """See `Backend.abort_upload`. The upload's own record goes first: from then on no part is added."""
    folder = _folder(bucket, upload_id)
    try:
        backend.delete_object(caller, STAGING_BUCKET, folder + "upload")
        for entry in list(backend.scan(caller, STAGING_BUCKET, folder, "")):
            backend.delete_object(caller, STAGING_BUCKET, entry.key)
    except NoSuchBucket:
        return
