"""Readers of request bodies."""

import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.protocol.bodies import OFFLOAD_FROM, ByteReader, DigestReader, LengthReader, LimitReader, read_all
from workers.protocol.checksums import ExpectedDigests
from workers.protocol.errors import S3Error


class Pieces:
    """A source that returns what it likes, as sockets do."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = [piece for piece in pieces if piece]

    def read(self, size: int) -> bytes:
        if not self.pieces:
            return b""
        piece = self.pieces.pop(0)
        if len(piece) > size:
            self.pieces.insert(0, piece[size:])
        return piece[:size]


def digests(payload_hash: str | None = None) -> ExpectedDigests:
    return ExpectedDigests.from_request({}.get, (), payload_hash=payload_hash)


PIECES = st.lists(st.binary(max_size=20), max_size=8)
SIZES = st.integers(1, 30)


def drain(reader: LengthReader | LimitReader | DigestReader, size: int) -> bytes:
    blocks = list(iter(lambda: reader.read(size), b""))
    assert all(len(block) <= size for block in blocks)
    assert reader.read(size) == b""
    return b"".join(blocks)


@given(PIECES, SIZES, st.integers(0, 100))
def test_length_reader_reads_exactly_its_length(pieces: list[bytes], size: int, length: int) -> None:
    data = b"".join(pieces)
    reader = LengthReader(Pieces(pieces), length)
    if length <= len(data):
        assert drain(reader, size) == data[:length]
    else:
        with pytest.raises(S3Error, match="IncompleteBody"):
            drain(reader, size)
        assert reader.remaining == length - len(data)


def test_length_reader_does_not_touch_what_follows() -> None:
    source = ByteReader(b"bodynext")
    assert read_all(LengthReader(source, 4), 100) == b"body"
    assert source.read(100) == b"next"


@given(PIECES, SIZES, st.integers(0, 100))
def test_limit_reader(pieces: list[bytes], size: int, limit: int) -> None:
    data = b"".join(pieces)
    reader = LimitReader(Pieces(pieces), limit)
    if len(data) <= limit:
        assert drain(reader, size) == data
        assert reader.count == len(data)
    else:
        with pytest.raises(S3Error, match="EntityTooLarge"):
            drain(reader, size)


@given(PIECES, SIZES)
def test_digest_reader_passes_everything_and_verifies(pieces: list[bytes], size: int) -> None:
    data = b"".join(pieces)
    expected = digests(hashlib.sha256(data).hexdigest())
    reader = DigestReader(Pieces(pieces), expected)
    assert drain(reader, size) == data
    assert reader.count == len(data)
    assert expected.verified
    assert expected.etag == hashlib.md5(data).hexdigest()


def test_a_mismatch_is_raised_before_the_end_is_reported() -> None:
    expected = digests("0" * 64)
    reader = DigestReader(ByteReader(b"body"), expected)
    assert reader.read(100) == b"body"
    for _ in range(2):  # Asking again does not make it right.
        with pytest.raises(S3Error, match="XAmzContentSHA256Mismatch"):
            reader.read(100)
    assert not expected.verified


def test_trailers_are_asked_for_once_the_source_has_ended() -> None:
    headers = {"x-amz-trailer": "x-amz-checksum-crc32"}
    expected = ExpectedDigests.from_request(
        headers.get, headers, payload_hash="STREAMING-UNSIGNED-PAYLOAD-TRAILER", chunked=True
    )
    source = Pieces([b"1234", b"56789"])

    def trailers() -> dict[str, str]:
        assert not source.pieces
        return {"x-amz-checksum-crc32": "y/Q5Jg=="}

    reader = DigestReader(source, expected, trailers=trailers)
    assert drain(reader, 100) == b"123456789"
    assert expected.checksums == {"CRC32": "y/Q5Jg=="}


def test_large_blocks_are_hashed_through_offload_in_one_call() -> None:
    calls: list[int] = []

    def offload(function: Callable[[bytes], None], block: bytes) -> None:
        calls.append(len(block))
        function(block)

    data = bytes(OFFLOAD_FROM * 2 + 1)
    expected = digests(hashlib.sha256(data).hexdigest())
    assert drain(DigestReader(ByteReader(data), expected, offload=offload), OFFLOAD_FROM) == data
    assert calls == [OFFLOAD_FROM, OFFLOAD_FROM]


@given(PIECES, st.integers(0, 100))
def test_read_all(pieces: list[bytes], limit: int) -> None:
    data = b"".join(pieces)
    if len(data) <= limit:
        assert read_all(Pieces(pieces), limit) == data
    else:
        with pytest.raises(S3Error) as caught:
            read_all(Pieces(pieces), limit)
        assert caught.value.code == "MaxMessageLengthExceeded"
        assert caught.value.elements == {"MaxMessageLengthBytes": str(limit)}


def test_read_all_reads_no_more_than_one_byte_beyond_its_limit() -> None:
    source = ByteReader(bytes(100))
    with pytest.raises(S3Error):
        read_all(source, 10)
    assert len(source.read(1000)) == 89
