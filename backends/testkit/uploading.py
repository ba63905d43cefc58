"""Multipart uploads as the tests begin, fill and complete them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from backends.api import ALWAYS, ObjectRecord, PartRecord, PartTable, Precondition, StoredUpload, UploadRecord
from backends.testkit.harness import Box
from backends.testkit.sources import Body, this_thread


class PartBody:
    """The body of a part, made of any body for objects: read in the same way, and it watches its reader likewise."""

    def __init__(self, body: Body, number: int, *, modified: int | None = None) -> None:
        self.length = body.length
        self.body = body
        self._number = number
        self._modified = modified

    def read(self, size: int, /) -> bytes:
        """The next bytes."""
        return self.body.read(size)

    def record(self) -> PartRecord:
        """The part's record."""
        record = self.body.record()
        modified = time.time_ns() if self._modified is None else self._modified
        checksums = {"CRC64NVME": f"{self._number}"}
        return PartRecord(
            number=self._number, size=record.size, etag=record.etag, modified=modified, checksums=checksums
        )


@dataclass(frozen=True)
class Upload:
    """An upload in a bucket of the plugin under test."""

    box: Box
    record: UploadRecord

    @classmethod
    def begin(cls, box: Box, key: str = "dir/key", **draft: Any) -> Upload:
        """Begin one."""
        now = time.time_ns()
        record = UploadRecord(
            id=f"{now:016x}{uuid4().hex}",
            key=key,
            initiated=now,
            draft=ObjectRecord(size=0, etag="", **draft),
            owner="somebody",
            algorithm="CRC64NVME",
            checksum_type="FULL_OBJECT",
            announced=True,
        )
        box.backend.create_upload(box.caller, box.name, record)
        return cls(box, record)

    def on(self, box: Box) -> Upload:
        """The same upload through another instance of the plugin."""
        return Upload(box, self.record)

    def put(self, number: int, data: bytes, **options: Any) -> PartRecord:
        """Store a part from a well-behaved body; the plugin must have read it by the rules."""
        return self.put_body(number, Body(data, **options))

    def put_body(self, number: int, body: Body) -> PartRecord:
        """Store a part from any body."""
        body.thread = this_thread()
        backend, caller = self.box.backend, self.box.caller
        part = backend.put_part(caller, self.box.name, self.record, number, PartBody(body, number))
        assert not body.faults, body.faults
        return part

    def put_all(self, datas: Iterable[bytes], first: int = 1) -> list[PartRecord]:
        """Store parts, one after another."""
        return [self.put(number, data) for number, data in enumerate(datas, first)]

    def discard(self, part: PartRecord) -> None:
        """Remove a replaced part."""
        self.box.backend.discard_part(self.box.caller, self.box.name, self.record, part)

    def load(self) -> StoredUpload:
        """What the storage knows."""
        return self.box.backend.load_upload(self.box.caller, self.box.name, self.record.id)

    def latest(self) -> dict[int, PartRecord]:
        """The parts that count, by number."""
        return {part.number: part for part in self.load().parts}

    def object_record(self, parts: Sequence[PartRecord], **fields: Any) -> ObjectRecord:
        """A record that fits an object of these parts."""
        digest = hashlib.md5("".join(part.etag for part in parts).encode(), usedforsecurity=False).hexdigest()
        fields.setdefault("modified", time.time_ns())
        runs = tuple((part.number, 1, part.size) for part in parts)
        size = sum(part.size for part in parts)
        return ObjectRecord(size=size, etag=f"{digest}-{len(parts)}", parts=PartTable(runs=runs), **fields)

    def complete(self, parts: Sequence[PartRecord], precondition: Precondition = ALWAYS, **fields: Any) -> ObjectRecord:
        """Publish these parts."""
        record = self.object_record(parts, **fields)
        backend, caller = self.box.backend, self.box.caller
        return backend.complete_upload(caller, self.box.name, self.record, parts, record, precondition)

    def abort(self) -> None:
        """Remove it."""
        self.box.backend.abort_upload(self.box.caller, self.box.name, self.record.id)


def upload_ids(box: Box) -> set[str]:
    """The ids of the open uploads of a bucket."""
    return {upload.id for upload in box.backend.list_uploads(box.caller, box.name)}
