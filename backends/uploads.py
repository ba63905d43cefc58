"""The contract's default for multipart uploads, built from put, get, scan and delete.

Uploads live in a hidden bucket:

    BUCKET/open/ID                  an empty object that carries the upload's record; the upload exists while it does
    BUCKET/parts/ID/NUMBER/RANDOM   a part, its record carried along

Completion copies the parts into the object, whose record bears the upload's id: by that it is known to be done. A
storage that can do better overrides it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from backends import hidden
from backends.bodies import OpenObject, PartSource
from backends.errors import NoSuchBucket, NoSuchObject, NoSuchUpload, PreconditionFailed
from backends.preconditions import Precondition
from backends.records import (
    UPLOAD_MARK,
    ObjectRecord,
    PartRecord,
    StoredUpload,
    UploadRecord,
    decode_part,
    decode_upload,
    encode,
)
from backends.values import Caller

if TYPE_CHECKING:
    from backends.api import Backend

_PAYLOAD: Final = "shardgate.staged"
"""In `ObjectRecord.extra` of a staged object: the record that it carries."""

_BEHIND: Final = "\U0010ffff"
"""Behind every character that a name in the staging bucket has."""


class _Published(Exception):
    """The object under the key is this upload's already; `record` is its record."""

    def __init__(self, record: ObjectRecord) -> None:
        super().__init__()
        self.record = record


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
        self.part = msgspec.structs.replace(self._source.record(), place=self._place)
        return _carrier(encode(self.part), self.part.size, self.part.etag)


class _Joined:
    """The parts, one behind another, as the source of the object; one part is open at a time."""

    __slots__ = ("_backend", "_blocks", "_caller", "_opened", "_record", "_rest", "length")

    def __init__(
        self, backend: Backend, caller: Caller, folder: str, parts: Sequence[PartRecord], record: ObjectRecord
    ) -> None:
        self.length: int | None = sum(part.size for part in parts)
        self._backend = backend
        self._caller = caller
        self._record = record
        self._opened: OpenObject | None = None
        self._blocks = self._read([(folder + part.place, part.size) for part in parts if part.size])
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        block = self._rest or next(self._blocks, b"")
        self._rest = block[size:]
        return block[:size]

    def record(self) -> ObjectRecord:
        return self._record

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _read(self, places: Sequence[tuple[str, int]]) -> Iterator[bytes]:
        for key, size in places:
            try:
                self._opened = self._backend.get_object(self._caller, hidden.UPLOADS, key)
            except (NoSuchBucket, NoSuchObject):
                raise NoSuchUpload from None
            yield from self._opened.read(0, size)
            self.close()


def _carrier(payload: bytes, size: int, etag: str) -> ObjectRecord:
    return ObjectRecord(size=size, etag=etag, extra={_PAYLOAD: payload.decode()})


def _payload(record: ObjectRecord) -> bytes:
    text: str = record.extra[_PAYLOAD]
    return text.encode()


def _open_key(bucket: str, upload_id: str) -> str:
    return f"{bucket}/open/{upload_id}"


def _parts_folder(bucket: str, upload_id: str) -> str:
    return f"{bucket}/parts/{upload_id}/"


def create_upload(backend: Backend, caller: Caller, bucket: str, upload: UploadRecord) -> None:
    """See `Backend.create_upload`."""
    backend.get_bucket(caller, bucket)
    record = _carrier(encode(upload), 0, "").replace(modified=upload.initiated)
    hidden.put(backend, caller, hidden.UPLOADS, _open_key(bucket, upload.id), record)


def _require(backend: Backend, caller: Caller, bucket: str, upload_id: str) -> UploadRecord:
    try:
        record = backend.head_object(caller, hidden.UPLOADS, _open_key(bucket, upload_id))
    except (NoSuchBucket, NoSuchObject):
        raise NoSuchUpload from None
    return decode_upload(_payload(record))


def _published(backend: Backend, caller: Caller, bucket: str, upload: UploadRecord) -> ObjectRecord | None:
    """The object under the upload's key, if it came from this upload."""
    try:
        record = backend.head_object(caller, bucket, upload.key)
    except NoSuchObject:
        return None
    return record if record.extra.get(UPLOAD_MARK) == upload.id else None


def load_upload(backend: Backend, caller: Caller, bucket: str, upload_id: str) -> StoredUpload:
    """See `Backend.load_upload`."""
    upload = _require(backend, caller, bucket, upload_id)
    entries = backend.scan(caller, hidden.UPLOADS, _parts_folder(bucket, upload_id), "")
    parts = sorted((decode_part(_payload(entry.record)) for entry in entries), key=lambda part: part.modified)
    return StoredUpload(upload=upload, parts=tuple(parts), completed=_published(backend, caller, bucket, upload))


def list_uploads(backend: Backend, caller: Caller, bucket: str) -> Iterator[UploadRecord]:
    """See `Backend.list_uploads`."""
    backend.get_bucket(caller, bucket)
    try:
        for entry in backend.scan(caller, hidden.UPLOADS, f"{bucket}/open/", ""):
            yield decode_upload(_payload(entry.record))
    except NoSuchBucket:
        return


def put_part(
    backend: Backend, caller: Caller, bucket: str, upload: UploadRecord, number: int, source: PartSource
) -> PartRecord:
    """See `Backend.put_part`."""
    _require(backend, caller, bucket, upload.id)
    place = f"{number:05d}/{secrets.token_hex(8)}"
    staged = _StagedPart(source, place)
    key = _parts_folder(bucket, upload.id) + place
    backend.put_object(caller, hidden.UPLOADS, key, staged)
    try:
        _require(backend, caller, bucket, upload.id)
    except NoSuchUpload:
        # It was aborted meanwhile, and that clean-up may have passed this part by.
        backend.delete_object(caller, hidden.UPLOADS, key)
        raise
    assert staged.part is not None  # noqa: S101 -- the backend has asked for the record
    return staged.part


def discard_part(backend: Backend, caller: Caller, bucket: str, upload: UploadRecord, part: PartRecord) -> None:
    """See `Backend.discard_part`."""
    try:
        backend.delete_object(caller, hidden.UPLOADS, _parts_folder(bucket, upload.id) + part.place)
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
    put: Callable[..., ObjectRecord],
) -> ObjectRecord:
    """See `Backend.complete_upload`; `put` is the backend's `put_object`.

    That it was published before is seen by the mark of the object under the key, also at the moment of publication.
    Where a process was killed after it and the object was replaced meanwhile, it is published anew: the client that
    asks again was not answered yet.
    """
    _require(backend, caller, bucket, upload.id)
    before = _published(backend, caller, bucket, upload)
    if before is not None:
        return before
    marked = record.replace(extra={**record.extra, UPLOAD_MARK: upload.id})
    source = _Joined(backend, caller, _parts_folder(bucket, upload.id), parts, marked)
    try:
        return put(caller, bucket, upload.key, source, _once(precondition, upload.id))
    except _Published as other:
        return other.record
    except PreconditionFailed:
        # Perhaps it only fails because another process has published this very upload just now.
        before = _published(backend, caller, bucket, upload)
        if before is None:
            raise
        return before
    finally:
        source.close()


def _once(precondition: Precondition, upload_id: str) -> Precondition:
    """The precondition, and that the current object is not the upload's own."""
    further = precondition.guard

    def guard(current: ObjectRecord | None) -> None:
        if current is not None and current.extra.get(UPLOAD_MARK) == upload_id:
            raise _Published(current)
        if further is not None:
            further(current)

    return msgspec.structs.replace(precondition, guard=guard)


def abort_upload(backend: Backend, caller: Caller, bucket: str, upload_id: str) -> None:
    """See `Backend.abort_upload`. The upload's own record goes first: from then on no part is added."""
    try:
        backend.delete_object(caller, hidden.UPLOADS, _open_key(bucket, upload_id))
        for entry in list(backend.scan(caller, hidden.UPLOADS, _parts_folder(bucket, upload_id), "")):
            backend.delete_object(caller, hidden.UPLOADS, entry.key)
    except NoSuchBucket:
        return


def sweep_uploads(backend: Backend, caller: Caller, older_than: float) -> int:
    """See `Backend.sweep_uploads`: parts of uploads that are over, and all of buckets that are gone."""
    before = time.time_ns() - int(older_than * 1e9)
    removed = 0
    after = ""
    try:
        while (first := next(backend.scan(caller, hidden.UPLOADS, "", after), None)) is not None:
            bucket = first.key.partition("/")[0]
            removed += _sweep_bucket(backend, caller, bucket, before)
            after = f"{bucket}/{_BEHIND}"
    except NoSuchBucket:
        pass
    return removed


def _sweep_bucket(backend: Backend, caller: Caller, bucket: str, before: int) -> int:
    removed = 0
    if not _bucket_exists(backend, caller, bucket):
        for entry in list(backend.scan(caller, hidden.UPLOADS, f"{bucket}/open/", "")):
            if decode_upload(_payload(entry.record)).initiated < before:
                backend.delete_object(caller, hidden.UPLOADS, entry.key)
                removed += 1
    after = ""
    parts = f"{bucket}/parts/"
    while (first := next(backend.scan(caller, hidden.UPLOADS, parts, after), None)) is not None:
        upload_id = first.key.removeprefix(parts).partition("/")[0]
        folder = _parts_folder(bucket, upload_id)
        try:
            _require(backend, caller, bucket, upload_id)
        except NoSuchUpload:
            for entry in list(backend.scan(caller, hidden.UPLOADS, folder, "")):
                if decode_part(_payload(entry.record)).modified < before:
                    backend.delete_object(caller, hidden.UPLOADS, entry.key)
                    removed += 1
        after = folder + _BEHIND
    return removed


def _bucket_exists(backend: Backend, caller: Caller, bucket: str) -> bool:
    try:
        backend.get_bucket(caller, bucket)
    except NoSuchBucket:
        return False
    return True
