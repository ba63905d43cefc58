"""Readers for the ``aws-chunked`` body coding: signed chunks, signed chunks with a trailer, a trailer alone.

The form is that of "Signature Calculations for the Authorization Header: Transferring Payload in Multiple Chunks" in
the Amazon S3 API reference::

    10000;chunk-signature=<64 hexadecimal digits>\\r\\n
    <65536 bytes>\\r\\n
    0;chunk-signature=<...>\\r\\n
    x-amz-checksum-crc32c:sOO8/Q==\\r\\n
    x-amz-trailer-signature:<...>\\r\\n
    \\r\\n

A reader sits on any object with ``read(size) -> bytes`` (may return fewer bytes, ``b""`` at the end) and is one itself.
Data of a signed chunk may be returned before the chunk's signature was seen to be right; ``b""`` comes only after the
whole body, its framing and its trailer were. So nothing may be published before the end was read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from workers.protocol.bodies import OFFLOAD_FROM, Offload, Reader, call_directly
from workers.protocol.checksums import parse_trailer
from workers.protocol.errors import S3Error
from workers.protocol.sigv4 import (
    EMPTY_SHA256,
    STREAMING_SIGNED,
    STREAMING_SIGNED_TRAILER,
    STREAMING_UNSIGNED_TRAILER,
    Authenticated,
    signature_mismatch,
    verify,
)

__all__ = [
    "ChunkedReader",
    "SignedChunkedReader",
    "is_chunked",
    "open_chunked",
    "parse_decoded_length",
]

MAX_DECODED_LENGTH: Final = 5 * 1024**3
MINIMUM_CHUNK: Final = 8192

_BLOCK: Final = 256 * 1024
# A size, ";chunk-signature=" and 64 digits leave room to spare.
_LONGEST_LINE: Final = 128
_LONGEST_TRAILER: Final = 16 * 1024
_HEX_DIGITS: Final = b"0123456789abcdefABCDEF"
_BLANKS: Final = b" \t"
_EXTENSION: Final = b"chunk-signature"
_TRAILER_SIGNATURE: Final = "x-amz-trailer-signature"
_CODINGS: Final = frozenset({STREAMING_SIGNED, STREAMING_SIGNED_TRAILER, STREAMING_UNSIGNED_TRAILER})


def is_chunked(payload_hash: str) -> bool:
    """Whether this value of ``x-amz-content-sha256`` says that the body is ``aws-chunked``."""
    return payload_hash in _CODINGS


def parse_decoded_length(header: str | None) -> int:
    """The value of ``x-amz-decoded-content-length``, in bytes.

    Raises ``MissingContentLength``, for what is no number too, and ``EntityTooLarge``.
    """
    if not header or not (header.isascii() and header.isdigit()) or len(header) > 19:
        raise S3Error("MissingContentLength")
    length = int(header)
    if length > MAX_DECODED_LENGTH:
        raise S3Error("EntityTooLarge", ProposedSize=str(length), MaxSizeAllowed=str(MAX_DECODED_LENGTH))
    return length


def open_chunked(
    source: Reader,
    payload_hash: str,
    *,
    decoded_length: str | None,
    trailer: str | None,
    authenticated: Authenticated | None,
    offload: Offload = call_directly,
) -> ChunkedReader:
    """The reader for a body whose ``x-amz-content-sha256`` is one of the three ``STREAMING-*`` names.

    ``decoded_length`` and ``trailer`` are the headers ``x-amz-decoded-content-length`` and ``x-amz-trailer`` as sent;
    ``authenticated`` is None for an anonymous request, which cannot have signed chunks. ``offload`` runs
    the hashing of large blocks: a worker passes its thread pool.

    Raises ``InvalidRequest``, ``MalformedTrailerError`` for trailers announced where the coding has none, and what
    :func:`parse_decoded_length` raises.
    """
    length = parse_decoded_length(decoded_length)
    algorithm = parse_trailer(trailer)
    name = None if algorithm is None else algorithm.header
    if payload_hash == STREAMING_UNSIGNED_TRAILER:
        return ChunkedReader(source, length, trailer=name)
    if payload_hash not in (STREAMING_SIGNED, STREAMING_SIGNED_TRAILER) or authenticated is None:
        raise S3Error("InvalidRequest", "The value of x-amz-content-sha256 header is invalid.")
    has_trailer = payload_hash == STREAMING_SIGNED_TRAILER
    if name is not None and not has_trailer:
        raise S3Error("MalformedTrailerError")
    return SignedChunkedReader(
        source, length, seed=authenticated, trailer=name, has_trailer=has_trailer, offload=offload
    )


def _incomplete() -> S3Error:
    return S3Error("IncompleteBody", "The request body terminated unexpectedly")


class ChunkedReader:
    """An ``aws-chunked`` body without signatures, with a trailer (``STREAMING-UNSIGNED-PAYLOAD-TRAILER``).

    ``trailer`` is the lower-case name of the one that is announced; ``trailers`` holds it with its value once
    ``read`` has returned ``b""``.

    ``read`` raises ``IncompleteBody`` for a body that ends early, is longer or shorter than announced (with both
    numbers of bytes), or is not framed as it should be, and ``MalformedTrailerError``. After an error it raises the
    same error for ever.
    """

    def __init__(self, source: Reader, decoded_length: int, *, trailer: str | None = None) -> None:
        self.trailers: dict[str, str] = {}
        self._source = source
        self._announced = trailer
        self._decoded_length = decoded_length
        self._missing = decoded_length  # bytes of data that chunks have still to bring
        self._left = 0  # bytes of data left in the current chunk
        self._between = False  # the current chunk's data is read, its CRLF is not
        self._block = b""
        self._position = 0
        self._finished = False
        self._failure: S3Error | None = None

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes of the decoded body, ``b""`` at its verified end (and for ``size`` 0)."""
        if size < 0:
            raise ValueError("size must not be negative")
        if self._failure is not None:
            raise self._failure
        if size == 0 or self._finished:
            return b""
        try:
            return self._read(size)
        except S3Error as error:
            self._failure = error
            raise

    def _read(self, size: int) -> bytes:
        pieces: list[bytes] = []
        wanted = size
        while wanted and not self._finished:
            if not self._left:
                # What is at hand goes out before more is waited for.
                if pieces and self._position >= len(self._block):
                    break
                self._next_chunk()
                continue
            piece = self._take(min(wanted, self._left), only_buffered=bool(pieces))
            if not piece:
                break
            self._left -= len(piece)
            if not self._left:
                self._between = True
            self._hash(piece)
            pieces.append(piece)
            wanted -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _take(self, size: int, *, only_buffered: bool) -> bytes:
        """Between 1 and ``size`` bytes of the chunk's data; ``b""`` when none are buffered and only those may be."""
        available = len(self._block) - self._position
        if not available:
            if only_buffered:
                return b""
            # PERF: inside a large chunk the source's blocks are handed on as they are.
            if size >= OFFLOAD_FROM:
                piece = self._source.read(size)
                if not piece:
                    raise _incomplete()
                return piece
            self._fill()
            available = len(self._block)
        start = self._position
        if start == 0 and available <= size:
            self._position = available
            return self._block
        self._position = start + min(size, available)
        return self._block[start : self._position]

    def _fill(self) -> None:
        """Replace the block by what is left of it and more of the source. Raises IncompleteBody at the source's end."""
        more = self._source.read(_BLOCK)
        if not more:
            raise _incomplete()
        rest = self._block[self._position :]
        self._block = rest + more if rest else more
        self._position = 0

    def _line(self) -> bytes:
        """The next line without its CRLF."""
        while True:
            end = self._block.find(b"\n", self._position, self._position + _LONGEST_LINE)
            if end >= 0:
                line = self._block[self._position : end]
                self._position = end + 1
                if line[-1:] != b"\r":
                    raise _incomplete()
                return line[:-1]
            if len(self._block) - self._position >= _LONGEST_LINE:
                raise _incomplete()
            self._fill()

    def _next_chunk(self) -> None:
        """Finish the current chunk, if there is one, and begin the next; after the last one, the trailer."""
        if self._between:
            if self._line():
                raise _incomplete()
            self._between = False
            self._finish_chunk()
        size = self._begin_chunk(self._line())
        if size > self._missing:
            raise self._wrong_length(size)
        self._missing -= size
        self._left = size
        if not size:
            self._finish_chunk()
            self._finish_body(self._rest())
            if self._missing:
                raise self._wrong_length(0)
            self._finished = True

    def _wrong_length(self, more: int) -> S3Error:
        """The refusal of a body whose chunks bring more than was announced, ``more`` bytes included, or less."""
        return S3Error(
            "IncompleteBody",
            NumberBytesExpected=str(self._decoded_length),
            NumberBytesProvided=str(self._decoded_length - self._missing + more),
        )

    def _rest(self) -> bytes:
        """Everything up to the source's end: the trailer, which is bounded."""
        parts = [self._block[self._position :]]
        length = len(parts[0])
        while length <= _LONGEST_TRAILER:
            part = self._source.read(_LONGEST_TRAILER)
            if not part:
                self._block = b""
                self._position = 0
                return b"".join(parts)
            parts.append(part)
            length += len(part)
        # Behind an empty chunk in the middle of the data that much is rather data.
        raise self._wrong_length(0) if self._missing else S3Error("MalformedTrailerError")

    def _begin_chunk(self, line: bytes) -> int:
        """The size of the chunk that a line begins."""
        return _chunk_size(line)

    def _hash(self, piece: bytes) -> None:
        """Take note of data that is about to be returned."""

    def _finish_chunk(self) -> None:
        """Verify the chunk whose data is complete."""

    def _finish_body(self, rest: bytes) -> None:
        """Take what follows the last chunk's line: trailers up to an empty line. What is behind it means nothing.

        Without trailers even the empty line may be missing. minio-go ends a trailer in LF CRLF, which AWS takes.
        """
        lines: list[bytes] = []
        while rest:
            line, end, rest = rest.partition(b"\r\n")
            if not end:
                raise _incomplete()
            if not line:
                break
            lines.append(line.removesuffix(b"\n"))
        else:
            if self._announced is not None and not lines:
                raise _incomplete()
        self.trailers = self._complete(_parse_trailers(lines))

    def _complete(self, found: list[tuple[str, str]]) -> dict[str, str]:
        """The trailer, when it is the one announced. Sent twice, the last one counts, as with AWS."""
        trailers = dict(found)
        if list(trailers) != ([] if self._announced is None else [self._announced]):
            raise S3Error("MalformedTrailerError")
        return trailers


class SignedChunkedReader(ChunkedReader):
    """An ``aws-chunked`` body whose chunks, and whose trailer if it has one, are signed.

    Raises, besides what :class:`ChunkedReader` raises, ``SignatureDoesNotMatch`` and ``InvalidChunkSizeError`` (a
    chunk below ``minimum_chunk`` bytes that is not the last: AWS's rule, which keeps the cost per byte of signatures
    bounded, and which every SDK obeys).
    """

    def __init__(
        self,
        source: Reader,
        decoded_length: int,
        *,
        seed: Authenticated,
        trailer: str | None = None,
        has_trailer: bool = False,
        minimum_chunk: int = MINIMUM_CHUNK,
        offload: Offload = call_directly,
    ) -> None:
        super().__init__(source, decoded_length, trailer=trailer)
        self._seed = seed
        self._has_trailer = has_trailer
        self._minimum_chunk = minimum_chunk
        self._offload = offload
        self._previous = seed.signature
        self._stated = ""
        self._digest = hashlib.sha256()
        self._size = minimum_chunk
        self._number = 0

    def _begin_chunk(self, line: bytes) -> int:
        digits, _, extension = line.partition(b";")
        size = _chunk_size(digits.strip(_BLANKS))
        self._number += 1
        if size and self._size < self._minimum_chunk:
            raise S3Error("InvalidChunkSizeError", Chunk=str(self._number), BadChunkSize=str(self._size))
        self._stated = _stated_signature(extension)
        self._size = size
        self._digest = hashlib.sha256()
        return size

    def _hash(self, piece: bytes) -> None:
        if len(piece) >= OFFLOAD_FROM:
            self._offload(self._digest.update, piece)
        else:
            self._digest.update(piece)

    def _finish_chunk(self) -> None:
        seed = self._seed
        self._check(
            f"AWS4-HMAC-SHA256-PAYLOAD\n{seed.amz_date}\n{seed.scope}\n{self._previous}\n{EMPTY_SHA256}\n"
            f"{self._digest.hexdigest()}",
            self._stated,
        )
        self._previous = self._stated

    def _check(self, text: str, signature: str) -> None:
        if not verify(self._seed.signing_key, text, signature):
            raise signature_mismatch(self._seed.access_key, text, signature, self._seed.canonical)

    def _finish_body(self, rest: bytes) -> None:
        """Verify the trailer, all of which the signature covers: its lines may end as the client likes.

        Some clients end them in LF, some put an empty line between the trailer and its signature.
        """
        if not self._has_trailer:
            if rest != b"\r\n":
                raise _incomplete()
            return
        if not rest.endswith(b"\n"):
            raise _incomplete()
        found = _parse_trailers(line.removesuffix(b"\r") for line in rest.split(b"\n"))
        name, signature = found.pop() if found else ("", "")
        if name != _TRAILER_SIGNATURE or not found:
            raise _incomplete()
        seed = self._seed
        lines = "".join([f"{name}:{value}\n" for name, value in found])
        digest = hashlib.sha256(lines.encode("ascii")).hexdigest()
        self._check(
            f"AWS4-HMAC-SHA256-TRAILER\n{seed.amz_date}\n{seed.scope}\n{self._previous}\n{digest}",
            signature,
        )
        self.trailers = self._complete(found)


def _chunk_size(digits: bytes) -> int:
    if not digits or digits.strip(_HEX_DIGITS):
        raise _incomplete()
    return int(digits, 16)


def _stated_signature(extension: bytes) -> str:
    """The signature in a chunk's line. What stands in its place, another parameter too, is one that never matches."""
    name, separator, value = extension.partition(b"=")
    signature = value.strip(_BLANKS)
    if not separator or not signature:
        raise _incomplete()
    if name.strip(_BLANKS) != _EXTENSION:
        return extension.decode("latin-1")
    if b";" in signature:
        raise _incomplete()
    return signature.decode("latin-1")


def _parse_trailers(lines: Iterable[bytes]) -> list[tuple[str, str]]:
    """The trailers' names (lower case) and values in their order, without the empty lines.

    What is no trailer is a ``MalformedTrailerError``.
    """
    found = []
    for line in lines:
        if not line:
            continue
        name, separator, value = line.decode("latin-1").partition(":")
        value = value.strip(" \t")
        if not (line.isascii() and separator and name and name.isprintable() and value.isprintable()) or " " in name:
            raise S3Error("MalformedTrailerError")
        found.append((name.lower(), value))
    return found
