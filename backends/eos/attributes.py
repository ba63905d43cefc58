"""Records of objects in the attribute `user.shardgate` of their files, and records derived for files without one.

The value is `1.SIZE.ADLER32.RECORD`: a format number, length and adler32 of the data in hex (`-` where that is not
known), and the record in base64 for URLs, so that it may stand in the query that opens the file. Where EOS tells
another checksum than the value does, or another size and no checksum that proves them, somebody has replaced the data
without the gateway: then the record's ETag and checksums are derived anew. Where the checksum is the one of these very
data, a size that differs is an old one of EOS's (commits race), and the record's counts.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final, NamedTuple

import msgspec

from backends.api import ObjectRecord
from backends.eos.interfaces import Entry
from backends.records import RecordError, decode_object, encode

ATTRIBUTE: Final = "user.shardgate"
LONGEST_IN_QUERY: Final = 4096
"""Characters of a value that is set by the request which opens the file. A longer one is set by gRPC."""

_FORMAT: Final = "1"
_UNKNOWN: Final = "-"
_NOTHING: Final = "00000001"
"""adler32 of no bytes: what EOS keeps showing for data whose checksum it has not computed."""

_MD5: Final = re.compile(r"[0-9a-f]{32}")


def encoded(record: ObjectRecord, adler32: str | None) -> str:
    """The attribute's value for a record and the checksum of its data (8 hex digits)."""
    body = base64.urlsafe_b64encode(encode(record)).decode().rstrip("=")
    return f"{_FORMAT}.{record.stored_size:x}.{adler32 or _UNKNOWN}.{body}"


def re_encoded(record: ObjectRecord, entry: Entry) -> str:
    """The value for a changed record of a file whose data stay: what was known of those is kept."""
    fields = _fields(entry)
    known = fields[2] if fields is not None and fields[2] != _UNKNOWN else None
    if known is None and entry.checksum[0] == "adler32" and _computed(entry):
        known = entry.checksum[1]
    return encoded(record, known)


def record_of(entry: Entry) -> ObjectRecord:
    """The record of a file."""
    known = _known(entry)
    if known is None:
        return derived_record(entry)
    return known.record if _is_of(known, entry) else _fitted(known.record, entry)


def recorded(entry: Entry) -> Entry:
    """The file of an object, with the size that its record proves: that much an FST has of it."""
    known = _known(entry)
    if known is None or known.size == entry.size or not _is_of(known, entry):
        return entry
    return msgspec.structs.replace(entry, size=known.size)


def derived_record(entry: Entry) -> ObjectRecord:
    """The record of a file that has none: it came without the gateway."""
    return ObjectRecord(size=entry.size, etag=_derived_etag(entry), modified=entry.mtime)


def _fields(entry: Entry) -> list[str] | None:
    value = entry.attributes.get(ATTRIBUTE)
    if value is None:
        return None
    fields = value.decode("ascii", "replace").split(".", 3)
    return fields if len(fields) == 4 and fields[0] == _FORMAT else None


class _Known(NamedTuple):
    """What an attribute says: a record, and length and adler32 of the data that it is of."""

    record: ObjectRecord
    size: int
    adler32: str


def _known(entry: Entry) -> _Known | None:
    fields = _fields(entry)
    if fields is None:
        return None
    _, size, adler32, body = fields
    try:
        return _Known(decode_object(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))), int(size, 16), adler32)
    except (RecordError, binascii.Error, ValueError):
        # A damaged record must not hide the data.
        return None


def _is_of(known: _Known, entry: Entry) -> bool:
    """Whether a record is one of the data that are there."""
    if known.size == entry.size:
        return _matches(known.record, known.adler32, entry)
    return entry.checksum == ("adler32", known.adler32) and known.adler32 != _NOTHING


def _matches(record: ObjectRecord, adler32: str, entry: Entry) -> bool:
    kind, digest = entry.checksum
    if not _computed(entry):
        return True
    if kind == "adler32":
        return adler32 in (_UNKNOWN, digest)
    if kind == "md5" and record.encryption is None and _MD5.fullmatch(record.etag):
        return record.etag == digest
    return True


def _computed(entry: Entry) -> bool:
    """Whether the checksum that EOS shows is one of the data that are there."""
    return bool(entry.checksum[1]) and (entry.size == 0 or entry.checksum[1] != _NOTHING)


def _fitted(record: ObjectRecord, entry: Entry) -> ObjectRecord:
    return record.replace(
        # What decrypts the data stays: it must not be handed out as cipher text.
        size=record.size if record.encryption else entry.size,
        etag=_derived_etag(entry),
        modified=entry.mtime,
        checksums={},
        checksum_type="",
        parts=None,
    )


def _derived_etag(entry: Entry) -> str:
    """MD5 where EOS has it; else what changes with the data, and is never 32 hexadecimal digits."""
    if entry.md5 and (entry.size == 0 or _computed(entry)):
        return entry.md5
    return f"{entry.id:x}-{entry.mtime:x}-{entry.size:x}"
