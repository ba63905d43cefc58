"""The request body, from the wire to the operation: framing, length, digests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from backends.api import ObjectRecord
from backends.offload import offload
from workers.protocol.bodies import DigestReader, LengthReader, LimitReader, Reader, read_all
from workers.protocol.checksums import HEADER_PREFIX as CHECKSUM_PREFIX
from workers.protocol.checksums import ExpectedDigests
from workers.protocol.chunked import is_chunked, open_chunked, parse_decoded_length
from workers.protocol.errors import S3Error
from workers.protocol.headers import MAX_PUT_SIZE
from workers.request import Request
from workers.server.errors import BodyError, error_for_body


class _Input(Protocol):
    def read(self, size: int, /) -> bytes: ...


class WireReader:
    """wsgi.input, with its errors turned into S3's: a storage plugin must not take them for errors of its own disk."""

    __slots__ = ("_input",)

    def __init__(self, source: _Input) -> None:
        self._input = source

    def read(self, size: int, /) -> bytes:
        """The next bytes. Raises `S3Error` when the body breaks off or its framing is wrong."""
        try:
            return self._input.read(size)
        except BodyError as error:
            raise error_for_body(error) or S3Error("ConnectionClosedByRequester") from error


class RequestBody:
    """The decoded body of a request: its length, where announced, and its verified bytes.

    Attributes:
        length: decoded bytes, None when the client did not announce them.
        digests: what was announced of the body, and what is computed of it.
    """

    __slots__ = ("_reader", "digests", "length")

    def __init__(self, reader: DigestReader, length: int | None, digests: ExpectedDigests) -> None:
        self._reader = reader
        self.length = length
        self.digests = digests

    @property
    def count(self) -> int:
        """Bytes read so far."""
        return self._reader.count

    def read(self, size: int, /) -> bytes:
        """The next bytes; b"" only after everything that was announced has been verified."""
        return self._reader.read(size)

    def read_all(self, limit: int) -> bytes:
        """The whole of a small body. Raises `S3Error` MaxMessageLengthExceeded."""
        return read_all(self._reader, limit)


def is_streamed(request: Request) -> bool:
    """Whether the body is in the `aws-chunked` coding. AWS does not decode that of a presigned request."""
    authenticated = request.authenticated
    if authenticated is None:
        return is_chunked(request.header("x-amz-content-sha256") or "")
    return authenticated.kind == "header" and is_chunked(authenticated.payload_hash)


def open_body(
    request: Request,
    limit: int,
    *,
    checksum: str | None = None,
    required: str | None = None,
    announce: bool = False,
    document: bool = False,
    about_object: bool = False,
) -> RequestBody:
    """Decide how a request's body is read; nothing is read yet.

    Args:
        limit: the most bytes that are taken.
        checksum: the algorithm to compute when the client announces none.
        required: the only algorithm that the client may announce; None for any.
        announce: whether it has to.
        document: whether the body is an XML document.
        about_object: whether the headers tell the checksum of an object and not of this body.

    Raises `S3Error` MissingContentLength, EntityTooLarge, InvalidRequest, InvalidDigest …, all before the client is
    asked to send the body.
    """
    header = request.header
    authenticated = request.authenticated
    payload_hash = authenticated.payload_hash if authenticated else header("x-amz-content-sha256") or None
    wire_length = _length(header("content-length"))
    chunked = is_streamed(request)
    if chunked:
        length: int | None = parse_decoded_length(header("x-amz-decoded-content-length"))
    else:
        length = wire_length
        if payload_hash is not None and is_chunked(payload_hash):
            _check_undecoded(parse_decoded_length(header("x-amz-decoded-content-length")), wire_length)
    if wire_length is None and header("transfer-encoding") is None:
        raise S3Error("MissingContentLength")
    if length is not None and length > limit:
        raise S3Error("EntityTooLarge", ProposedSize=str(length), MaxSizeAllowed=str(limit))
    names = request.header_names
    if about_object:
        names = [name for name in names if not name.startswith(CHECKSUM_PREFIX)]
    digests = ExpectedDigests.from_request(
        header,
        names,
        payload_hash=payload_hash,
        chunked=chunked,
        default=checksum,
        required=required,
        announce=announce,
        document=document,
    )
    reader: Reader = WireReader(request.environ["wsgi.input"])
    if wire_length is not None:
        reader = LengthReader(reader, wire_length)
    if chunked:
        decoder = open_chunked(
            reader,
            payload_hash or "",
            decoded_length=header("x-amz-decoded-content-length"),
            trailer=header("x-amz-trailer"),
            authenticated=authenticated,
            offload=offload,
        )
        checked = DigestReader(decoder, digests, trailers=lambda: decoder.trailers, offload=offload)
    else:
        if length is None:
            reader = LimitReader(reader, limit)
        checked = DigestReader(reader, digests, offload=offload)
    return RequestBody(checked, length, digests)


def open_document(request: Request, limit: int, *, about_object: bool = False) -> RequestBody:
    """Like `open_body`, for an XML document: no checksum is computed that was not announced.

    Raises `S3Error` MaxMessageLengthExceeded for one that announces more than `limit` bytes.
    """
    # Whoever calls `read_all` has the limit kept for a document that does not announce its length.
    body = open_body(request, MAX_PUT_SIZE, checksum=None, document=True, about_object=about_object)
    if body.length is not None and body.length > limit:
        raise S3Error("MaxMessageLengthExceeded", MaxMessageLengthBytes=str(limit))
    return body


def _check_undecoded(announced: int, wire_length: int | None) -> None:
    """Refuse a body that announces a coding which is not decoded, and another length than it has."""
    if wire_length is not None and wire_length != announced:
        raise S3Error("IncompleteBody", NumberBytesExpected=str(announced), NumberBytesProvided=str(wire_length))


def _length(value: str | None) -> int | None:
    if not value:
        return None
    if not (value.isascii() and value.isdigit()) or len(value) > 19:
        raise S3Error(
            "InvalidArgument", "Invalid content length", ArgumentName="Content-Length", ArgumentValue=value[:64]
        )
    return int(value)


class ObjectSource:
    """A request's body as the source of a put.

    `complete(body)` makes the record, once the body was read and verified.
    """

    __slots__ = ("_body", "_complete", "length")

    def __init__(self, body: RequestBody, complete: Callable[[RequestBody], ObjectRecord]) -> None:
        self.length = body.length
        self._body = body
        self._complete = complete

    def read(self, size: int, /) -> bytes:
        """The next bytes."""
        return self._body.read(size)

    def record(self) -> ObjectRecord:
        """The object's record, after `read` has given b""."""
        return self._complete(self._body)
