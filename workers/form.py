"""The body of a POST form upload: small fields, then one file, read as it comes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import multipart

from workers.protocol.bodies import Reader
from workers.protocol.errors import S3Error

FIELDS_LIMIT: Final = 20 * 1024
"""Bytes of all fields before the file, as with S3."""
FIELD_COUNT: Final = 100
_BLOCK: Final = 256 * 1024


def boundary_of(content_type: str | None) -> str | None:
    """The boundary of a multipart/form-data type, None for another type."""
    kind, options = multipart.parse_options_header(content_type or "")
    boundary: str | None = options.get("boundary")
    return boundary if kind == "multipart/form-data" and boundary else None


class FormReader:
    """Reads the fields at once, then gives the file by `read`; what follows the file is read and ignored.

    Attributes:
        fields: name as sent -> text.
        filename: what the form calls the file, "" without a name.
    """

    def __init__(self, source: Reader, boundary: str) -> None:
        """Read up to the file. Raises `S3Error` MalformedPOSTRequest, MaxPostPreDataLengthExceededError and others."""
        self.fields: dict[str, str] = {}
        self.filename = ""
        self._source = source
        self._events = self._parse(boundary)
        self._read_fields()

    def read(self, size: int, /) -> bytes:
        """The next bytes of the file; b"" at its end, once the whole form was seen to be complete."""
        for event in self._events:
            if isinstance(event, bytes | bytearray):
                return bytes(event)
            if event is None:
                self._drain()
                break
        return b""

    def _parse(self, boundary: str) -> Iterator[multipart.MultipartSegment | bytes | bytearray | None]:
        try:
            with multipart.PushMultipartParser(boundary, strict=True) as parser:
                while not parser.closed:
                    block = self._source.read(_BLOCK)
                    yield from parser.parse(block)
                # Up to the end: only then have length and framing of the request been verified.
                while self._source.read(_BLOCK):
                    pass
        except multipart.MultipartError:
            raise _malformed() from None

    def _read_fields(self) -> None:
        room = FIELDS_LIMIT
        name = ""
        value = bytearray()
        for event in self._events:
            if isinstance(event, multipart.MultipartSegment):
                name = event.name or ""
                if name.lower() == "file":
                    self.filename = event.filename or ""
                    return
                value = bytearray()
                room -= len(name)
            elif event is None:
                self._add(name, value)
            else:
                value += event
                room -= len(event)
            if room < 0:
                raise S3Error("MaxPostPreDataLengthExceededError")
        raise S3Error(
            "InvalidArgument",
            "POST requires exactly one file upload per request.",
            ArgumentName="file",
            ArgumentValue="0",
        )

    def _add(self, name: str, value: bytearray) -> None:
        if not name or name in self.fields or len(self.fields) == FIELD_COUNT:
            raise _malformed()
        try:
            self.fields[name] = value.decode()
        except UnicodeDecodeError:
            raise _malformed() from None

    def _drain(self) -> None:
        for event in self._events:
            if isinstance(event, multipart.MultipartSegment) and (event.name or "").lower() == "file":
                raise S3Error(
                    "InvalidArgument",
                    "POST requires exactly one file upload per request.",
                    ArgumentName="file",
                    ArgumentValue="2",
                )


def _malformed() -> S3Error:
    return S3Error("MalformedPOSTRequest", "The body of your POST request is not well-formed multipart/form-data.")
