"""The aws-chunked readers: what they decode, and that nothing else passes."""

import base64
import hashlib
import io
import json
import zlib
from pathlib import Path

import pytest
from awscrt.checksums import crc32c
from botocore.httpchecksum import AwsChunkedWrapper, Crc32Checksum
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.protocol.signing import encode_signed, encode_unsigned, seed_of, signature, split
from workers.protocol.bodies import LengthReader
from workers.protocol.chunked import (
    ChunkedReader,
    SignedChunkedReader,
    is_chunked,
    open_chunked,
    parse_decoded_length,
)
from workers.protocol.errors import S3Error

SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
GOLDEN = Path(__file__).parent / "data" / "chunked"
INDEX = json.loads((GOLDEN / "index.json").read_text())
DATA = bytes(range(256)) * 100  # 25,600 bytes: three chunks of 8 KiB and a rest
LENGTH = len(DATA)
CRC32 = base64.b64encode(zlib.crc32(DATA).to_bytes(4, "big")).decode()
TRAILER = {"x-amz-checksum-crc32": CRC32}


class Source:
    """A body that comes in pieces of given sizes, one after another and again from the first."""

    def __init__(self, data, sizes=(1 << 30,)):
        self.data = data
        self.sizes = sizes
        self.position = 0
        self.count = 0
        self.largest = 0

    def read(self, size):
        assert size > 0
        self.largest = max(self.largest, size)
        size = min(size, self.sizes[self.count % len(self.sizes)])
        self.count += 1
        piece = self.data[self.position : self.position + size]
        self.position += len(piece)
        return piece


def drain(reader, sizes=(65536,)):
    pieces = []
    while True:
        size = sizes[len(pieces) % len(sizes)]
        piece = reader.read(size)
        assert len(piece) <= size
        if not piece:
            assert reader.read(1) == b""
            return b"".join(pieces)
        pieces.append(piece)


def opened(body, payload=SIGNED, *, length=LENGTH, trailer=None, seed=SEED, sizes=(1 << 30,), **options):
    return open_chunked(
        Source(body, sizes),
        payload,
        decoded_length=str(length),
        trailer=trailer,
        authenticated=seed_of(seed),
        **options,
    )


def refused(reader, sizes=(65536,)) -> S3Error:
    with pytest.raises(S3Error) as caught:
        drain(reader, sizes)
    with pytest.raises(S3Error) as again:
        reader.read(10)
    assert again.value is caught.value
    return caught.value


def bodies():
    """A good body of each coding: name, payload, body, announced trailers."""
    chunks = split(DATA, 8192)
    return [
        (SIGNED, encode_signed(chunks, SEED), None),
        (SIGNED_TRAILER, encode_signed(chunks, SEED, trailers=TRAILER), "x-amz-checksum-crc32"),
        (UNSIGNED_TRAILER, encode_unsigned(chunks, TRAILER), "x-amz-checksum-crc32"),
    ]


BODIES = bodies()


# -- what is decoded -------------------------------------------------------------------------------------------------


def test_published_example():
    data = b"a" * 66560
    body = encode_signed(split(data, 65536), SEED)
    # The signatures of the S3 API reference, which our own encoder has to give as well.
    assert len(body) == 66824
    for published in (
        b"10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n",
        b"400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n",
        b"0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n",
    ):
        assert published in body
    assert drain(opened(body, length=66560)) == data


def test_published_example_with_a_trailer():
    seed = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
    checksum = base64.b64encode(crc32c(b"a" * 66560).to_bytes(4, "big")).decode()
    body = encode_signed(split(b"a" * 66560, 65536), seed, trailers={"x-amz-checksum-crc32c": checksum})
    for published in (
        b"chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
        b"chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
        b"chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
        b"x-amz-checksum-crc32c:sOO8/Q==",
        b"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435",
    ):
        assert published in body
    reader = opened(body, SIGNED_TRAILER, length=66560, trailer="x-amz-checksum-crc32c", seed=seed)
    assert drain(reader) == b"a" * 66560
    assert reader.trailers == {"x-amz-checksum-crc32c": "sOO8/Q=="}


@pytest.mark.parametrize("name", sorted(INDEX))
def test_golden_body(name):
    case = INDEX[name]
    body = (GOLDEN / f"{name}.body").read_bytes()
    options = {"length": case["length"], "trailer": case["announced"], "seed": case["seed"]}
    reader = opened(body, case["payload"], **options)
    if "error" in case:
        assert refused(reader).code == case["error"]
        return
    assert hashlib.sha256(drain(reader)).hexdigest() == case["sha256"]
    assert reader.trailers == case["trailers"]


@pytest.mark.parametrize("payload", [SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER])
def test_empty_body(payload):
    trailers = {"x-amz-checksum-crc32": "AAAAAA=="} if payload != SIGNED else None
    body = encode_unsigned([], trailers) if payload == UNSIGNED_TRAILER else encode_signed([], SEED, trailers=trailers)
    assert drain(opened(body, payload, length=0, trailer="x-amz-checksum-crc32" if trailers else None)) == b""


@pytest.mark.parametrize(("payload", "body", "trailer"), BODIES)
@pytest.mark.parametrize("sizes", [(1,), (7, 4096), (100_000,), (8192 + 87, 1)])
@pytest.mark.parametrize("wanted", [(1 << 20,), (1, 30_000), (8192,)])
def test_pieces_of_any_size(payload, body, trailer, sizes, wanted):
    reader = opened(body, payload, trailer=trailer, sizes=sizes)
    assert drain(reader, wanted) == DATA
    assert reader.trailers == (TRAILER if trailer else {})


def test_large_chunks_pass_in_large_blocks():
    data = b"x" * (3 << 20)
    source = Source(encode_unsigned(split(data, 1 << 20), {}), (256 * 1024,))
    reader = ChunkedReader(source, len(data))
    assert drain(reader, (1 << 20,)) == data
    # The pieces of the source are handed on: few reads, none of them larger than asked.
    assert source.count < 40
    assert source.largest <= 1 << 20


def test_small_chunks_are_gathered():
    data = b"y" * (256 * 1024)
    reader = opened(encode_signed(split(data, 8192), SEED), length=len(data))
    assert len(reader.read(200_000)) == 200_000


def test_large_blocks_are_hashed_through_offload():
    calls = []

    def offload(function, block):
        calls.append(len(block))
        function(block)

    data = b"z" * (300 * 1024)
    assert drain(opened(encode_signed([data], SEED), length=len(data), offload=offload)) == data
    assert calls
    assert min(calls) >= 64 * 1024


def test_reads_end_at_the_end_of_the_body_under_a_length_reader():
    for payload, body, trailer in BODIES:
        source = io.BytesIO(body + b"GET / HTTP/1.1")
        reader = open_chunked(
            LengthReader(source, len(body)),
            payload,
            decoded_length=str(len(DATA)),
            trailer=trailer,
            authenticated=seed_of(SEED),
        )
        assert drain(reader) == DATA
        assert source.tell() == len(body)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=40_000), st.integers(1, 20_000), st.lists(st.integers(1, 30_000), min_size=1, max_size=4))
def test_bodies_of_botocore(data, chunk, sizes):
    wrapped = AwsChunkedWrapper(
        io.BytesIO(data), checksum_cls=Crc32Checksum, checksum_name="x-amz-checksum-crc32", chunk_size=chunk
    )
    reader = opened(wrapped.read(), UNSIGNED_TRAILER, length=len(data), trailer="x-amz-checksum-crc32", sizes=sizes)
    assert drain(reader) == data
    assert reader.trailers["x-amz-checksum-crc32"] == base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(8192, 12_000), max_size=4), st.integers(0, 9000), st.lists(st.integers(1, 9000), min_size=1)
)
def test_signed_chunks_of_any_sizes(sizes, last, pieces):
    chunks = [bytes([number + 1]) * size for number, size in enumerate(sizes)] + ([b"l" * last] if last else [])
    data = b"".join(chunks)
    body = encode_signed(chunks, SEED, trailers=TRAILER)
    reader = opened(body, SIGNED_TRAILER, length=len(data), sizes=pieces, trailer="x-amz-checksum-crc32")
    assert drain(reader, (5000, 1)) == data


@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
@pytest.mark.parametrize("before", ["", "\r\n"])
@pytest.mark.parametrize("end", ["", "\r\n", "\r\n\r\n"])
def test_trailers_as_different_clients_end_their_lines(line_end, before, end):
    body = encode_signed([DATA], SEED, trailers=TRAILER, line_end=line_end, before_signature=before, end=end)
    reader = opened(body, SIGNED_TRAILER, trailer="x-amz-checksum-crc32")
    assert drain(reader) == DATA
    assert reader.trailers == TRAILER


def test_unsigned_trailer_whose_line_ends_in_lf_and_crlf():
    body = encode_unsigned([DATA], TRAILER, line_end="\n\r\n")
    reader = opened(body, UNSIGNED_TRAILER, trailer="x-amz-checksum-crc32")
    assert drain(reader) == DATA
    assert reader.trailers == TRAILER


def test_lines_of_an_unsigned_trailer_end_in_crlf():
    reader = opened(encode_unsigned([DATA], TRAILER), UNSIGNED_TRAILER, trailer="X-Amz-Checksum-CRC32")
    assert drain(reader) == DATA
    for line_end in ("\n", "\r", ""):
        body = encode_unsigned([DATA], TRAILER, line_end=line_end).removesuffix(b"\r\n")
        assert refused(opened(body, UNSIGNED_TRAILER, trailer="x-amz-checksum-crc32")).code == "IncompleteBody"


def test_last_empty_line_of_an_unsigned_body_may_be_missing():
    assert drain(opened(encode_unsigned([DATA], {})[:-2], UNSIGNED_TRAILER)) == DATA
    assert refused(opened(encode_unsigned([DATA], {})[:-1], UNSIGNED_TRAILER)).code == "IncompleteBody"
    reader = opened(encode_unsigned([DATA], TRAILER)[:-2], UNSIGNED_TRAILER, trailer="x-amz-checksum-crc32")
    assert drain(reader) == DATA
    assert reader.trailers == TRAILER


@pytest.mark.parametrize("more", [b"\r\n", b"bonus: trailer\r\n", b"\xff\xde\xad", b"x-amz-checksum-crc32:a\r\n"])
def test_what_follows_the_empty_line_of_an_unsigned_body_means_nothing(more):
    reader = opened(encode_unsigned([DATA], TRAILER) + more, UNSIGNED_TRAILER, trailer="x-amz-checksum-crc32")
    assert drain(reader) == DATA
    assert reader.trailers == TRAILER


def test_of_a_trailer_that_is_sent_twice_the_last_value_counts():
    body = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:a\r\nX-Amz-Checksum-Crc32:b\r\n\r\n"
    reader = opened(body, UNSIGNED_TRAILER, length=5, trailer="x-amz-checksum-crc32")
    assert drain(reader) == b"hello"
    assert reader.trailers == {"x-amz-checksum-crc32": "b"}


def test_trailer_names_in_any_letter_case_and_spaces_around_values():
    body = encode_unsigned([DATA], {"X-Amz-Checksum-CRC32": f"  {CRC32} "})
    reader = opened(body, UNSIGNED_TRAILER, trailer="x-amz-checksum-crc32")
    drain(reader)
    assert reader.trailers == TRAILER


# -- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("payload", "body", "trailer"), BODIES)
def test_body_that_ends_early_is_incomplete(payload, body, trailer):
    first = body.index(b"\r\n")
    # The body is whole without the CRLF of the trailer's empty line.
    whole = len(body) - (0 if trailer is None else 2)
    cuts = {*range(first + 4), 8192, len(DATA), *range(body.rindex(b"\r\n0") - 2, whole)}
    for cut in sorted(cuts):
        error = refused(opened(body[:cut], payload, trailer=trailer))
        assert error.code in ("IncompleteBody", "MalformedTrailerError"), cut
        if cut < body.rindex(b"\r\n0"):
            assert error.code == "IncompleteBody"
            assert error.message == "The request body terminated unexpectedly"


@pytest.mark.parametrize(("payload", "body", "trailer"), BODIES)
@pytest.mark.parametrize("more", [b"x", b"\r\n0\r\n", b"GET / HTTP/1.1\r\n\r\n", b"0;chunk-signature="])
def test_garbage_after_the_end(payload, body, trailer, more):
    if payload == UNSIGNED_TRAILER:
        body, more = body[:-2], more.lstrip()  # behind the empty line it would mean nothing
    assert refused(opened(body + more, payload, trailer=trailer)).code in ("IncompleteBody", "MalformedTrailerError")


@pytest.mark.parametrize(("payload", "body", "trailer"), BODIES)
@pytest.mark.parametrize("length", [0, len(DATA) - 1, len(DATA) + 1, 5 * 1024**3])
def test_decoded_length_is_enforced(payload, body, trailer, length):
    assert refused(opened(body, payload, trailer=trailer, length=length)).code == "IncompleteBody"


def test_chunk_beyond_the_decoded_length_is_refused_before_its_data():
    for payload, body, trailer in BODIES:
        reader = opened(body, payload, trailer=trailer, length=8191)
        with pytest.raises(S3Error, match="IncompleteBody"):
            reader.read(1)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_flipped_byte_of_a_signed_body_is_refused(data):
    payload, body, trailer = data.draw(st.sampled_from(BODIES[:2]))
    position = data.draw(
        st.integers(0, len(body) - 1) | st.integers(0, 100) | st.integers(len(body) - 260, len(body) - 1)
    )
    changed = bytearray(body)
    changed[position] ^= data.draw(st.sampled_from([1, 2, 0x20, 0x80, 0xFF]))
    reader = opened(bytes(changed), payload, trailer=trailer)
    try:
        found = drain(reader)
    except S3Error:
        return
    # Upper-case digits of a size and of a trailer's name say the same; so does a line end or a space less.
    assert (found, reader.trailers) == (DATA, TRAILER if trailer else {})
    assert bytes(changed).lower().split() == body.lower().split() or changed[position : position + 1].isspace()


def test_data_of_a_forged_chunk_never_reaches_the_end():
    body = encode_signed(split(DATA, 8192), SEED).replace(DATA[:8192], b"\0" * 8192, 1)
    reader = opened(body)
    error = refused(reader, (1000,))
    assert (error.code, error.status) == ("SignatureDoesNotMatch", 403)
    assert error.elements["StringToSign"].startswith(
        "AWS4-HMAC-SHA256-PAYLOAD\n20130524T000000Z\n20130524/us-east-1/s3/"
    )
    assert error.elements["CanonicalRequest"] == "PUT\n/canonical"
    assert error.elements.keys() == {
        "AWSAccessKeyId",
        "StringToSign",
        "SignatureProvided",
        "StringToSignBytes",
        "CanonicalRequest",
        "CanonicalRequestBytes",
    }


def test_chunks_in_another_order_or_left_out_do_not_match():
    first, second = b"1" * 8192, b"2" * 8192
    body = encode_signed([first, second], SEED)
    head = len("2000;chunk-signature=") + 64 + 2 + 8192 + 2
    swapped = body[head : 2 * head] + body[:head] + body[2 * head :]
    assert refused(opened(swapped, length=16384)).code == "SignatureDoesNotMatch"
    assert refused(opened(body[head:], length=8192)).code == "SignatureDoesNotMatch"


def test_seed_of_another_request_does_not_match():
    assert refused(opened(encode_signed([DATA], "0" * 64))).code == "SignatureDoesNotMatch"


def test_forged_trailer_does_not_match():
    body = encode_signed([DATA], SEED, trailers=TRAILER).replace(CRC32.encode(), b"AAAAAA==")
    error = refused(opened(body, SIGNED_TRAILER, trailer="x-amz-checksum-crc32"))
    assert error.code == "SignatureDoesNotMatch"
    assert error.elements["StringToSign"].startswith("AWS4-HMAC-SHA256-TRAILER\n")


def test_small_chunk_that_is_not_the_last():
    body = encode_signed([b"hel", b"lo"], SEED)
    error = refused(opened(body, length=5))
    assert (error.code, error.status) == ("InvalidChunkSizeError", 403)
    assert error.elements == {"Chunk": "2", "BadChunkSize": "3"}
    reader = SignedChunkedReader(Source(body), 5, seed=seed_of(SEED), minimum_chunk=0)
    assert drain(reader) == b"hello"
    # Without signatures chunks may be as small as the client's reads: botocore sends what a stream gives it.
    assert drain(opened(encode_unsigned([b"hel", b"lo"], {}), UNSIGNED_TRAILER, length=5)) == b"hello"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"x",
        b"-5",
        b"+5",
        b" 5",
        b"5 ",
        b"0x5",
        b"5_0",
        b"5;",
        b"5;a=b",
        b"5;chunk-signature=" + b"0" * 64,
        b"\xb2",
        b"f" * 17,
        b"f" * 500,
        b"ffffffffffffffff",
        b"5\r",
    ],
)
def test_chunk_line_of_another_form(line):
    body = line + b"\r\nhello\r\n0\r\n\r\n"
    assert refused(opened(body, UNSIGNED_TRAILER, length=5)).code == "IncompleteBody"


@pytest.mark.parametrize(
    ("extension", "code"),
    [
        (b"", "IncompleteBody"),
        (b";", "IncompleteBody"),
        (b";chunk-signature", "IncompleteBody"),
        (b";chunk-signature=", "IncompleteBody"),
        (b";chunk-signature= ", "IncompleteBody"),
        (b";chunk-signature=" + b"0" * 64 + b";a=b", "IncompleteBody"),
        (b";chunk-signature=abc", "SignatureDoesNotMatch"),
        (b";chunk-signature=\xe9", "SignatureDoesNotMatch"),
        (b";chunk-signature=" + b"F" * 64, "SignatureDoesNotMatch"),
        (b";x=" + b"0" * 64, "SignatureDoesNotMatch"),
        (b";=" + b"0" * 64, "SignatureDoesNotMatch"),
        (b";a=b;chunk-signature=" + b"0" * 64, "SignatureDoesNotMatch"),
    ],
)
def test_signed_chunk_without_its_signature(extension, code):
    body = b"5" + extension + b"\r\nhello\r\n0" + extension + b"\r\n\r\n"
    assert refused(opened(body, length=5)).code == code


def test_chunk_signature_under_another_name():
    body = encode_signed([DATA], SEED).replace(b"chunk-signature", b"check-signature", 1)
    error = refused(opened(body))
    assert (error.code, error.elements["SignatureProvided"][:16]) == ("SignatureDoesNotMatch", "check-signature=")


def test_spaces_around_a_chunk_signature():
    body = encode_signed(split(DATA, 8192), SEED)
    assert drain(opened(body.replace(b";chunk-signature=", b" ; chunk-signature = "))) == DATA


def test_lengths_are_told_when_chunks_bring_more_or_less_than_announced():
    body = encode_unsigned([b"hello", b"world"], {})
    error = refused(opened(body, UNSIGNED_TRAILER, length=7))
    assert (error.code, error.elements) == ("IncompleteBody", {"NumberBytesExpected": "7", "NumberBytesProvided": "10"})
    empty_chunk_between = encode_unsigned([b"hello", b"", b"world"], {})
    for rest in (b"", b"x" * 20_000):
        error = refused(opened(empty_chunk_between + rest, UNSIGNED_TRAILER, length=10))
        assert (error.code, error.elements) == (
            "IncompleteBody",
            {"NumberBytesExpected": "10", "NumberBytesProvided": "5"},
        )


@pytest.mark.parametrize(
    "body", [b"5\nhello\n0\n\n", b"5\r\nhelloX\r\n0\r\n\r\n", b"5\r\nhello0\r\n\r\n", b"5\r\nhello\n0\r\n\r\n"]
)
def test_lines_end_in_crlf(body):
    assert refused(opened(body, UNSIGNED_TRAILER, length=5)).code == "IncompleteBody"


@pytest.mark.parametrize(
    ("lines", "announced"),
    [
        ("", "x-amz-checksum-crc32"),
        ("\r\nx-amz-checksum-crc32:a\r\n", "x-amz-checksum-crc32"),
        ("x-amz-checksum-crc32:a\r\n", None),
        ("x-amz-checksum-crc32:a\r\n", "x-amz-checksum-sha1"),
        ("x-amz-checksum-crc32:a\nx-amz-checksum-crc32:a\r\n", "x-amz-checksum-crc32"),
        ("x-amz-checksum-crc32:a\r\nx-amz-meta-a:b\r\n", "x-amz-checksum-crc32"),
        ("x-amz-checksum-crc32\r\n", "x-amz-checksum-crc32"),
        (":a\r\n", "x-amz-checksum-crc32"),
        ("x-amz-checksum-crc32 :a\r\n", "x-amz-checksum-crc32"),
        ("x-amz-checksum-crc32:a\x00b\r\n", "x-amz-checksum-crc32"),
        ("x-amz-checksum-crc32:ä\r\n", "x-amz-checksum-crc32"),
        ("x-amz-checksum-crc32:a\r\n" + "x" * 17000, "x-amz-checksum-crc32"),
        ("x-amz-checksum-crc32:a\r\nx-amz-trailer-signature:" + "0" * 64 + "\r\n", "x-amz-checksum-crc32"),
    ],
)
def test_trailer_that_is_not_the_announced_one(lines, announced):
    body = b"5\r\nhello\r\n0\r\n" + lines.encode() + b"\r\n"
    error = refused(opened(body, UNSIGNED_TRAILER, length=5, trailer=announced))
    assert (error.code, error.status) == ("MalformedTrailerError", 400)


def test_signed_trailer_without_its_signature():
    body = encode_signed([DATA], SEED)[:-2] + f"x-amz-checksum-crc32:{CRC32}\r\n\r\n".encode()
    assert refused(opened(body, SIGNED_TRAILER, trailer="x-amz-checksum-crc32")).code == "IncompleteBody"
    assert refused(opened(encode_signed([DATA], SEED), SIGNED_TRAILER)).code == "IncompleteBody"


def test_signature_of_a_trailer_that_is_not_there():
    body = encode_signed([DATA], SEED, trailers={})
    for announced in (None, "x-amz-checksum-crc32"):
        assert refused(opened(body, SIGNED_TRAILER, trailer=announced)).code == "IncompleteBody"


def test_signed_trailer_that_is_not_the_announced_one():
    body = encode_signed([DATA], SEED, trailers=TRAILER)
    for announced in (None, "x-amz-checksum-sha1"):
        assert refused(opened(body, SIGNED_TRAILER, trailer=announced)).code == "MalformedTrailerError"


def test_errors_of_the_source_pass_through():
    class Broken:
        def read(self, size):
            raise ConnectionResetError("gone")

    reader = ChunkedReader(Broken(), 5)
    with pytest.raises(ConnectionResetError):
        reader.read(5)


def test_reads_of_no_and_of_negative_size():
    reader = opened(encode_unsigned([DATA], {}), UNSIGNED_TRAILER)
    assert reader.read(0) == b""
    with pytest.raises(ValueError, match="negative"):
        reader.read(-1)
    assert drain(reader) == DATA


@given(st.binary(max_size=300), st.sampled_from([SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER]), st.integers(0, 50))
def test_any_bytes_are_decoded_or_refused(body, payload, length):
    try:
        assert len(drain(opened(body, payload, length=length, sizes=(50, 3)))) == length
    except S3Error as error:
        assert error.status in (400, 403)  # noqa: PT017


@given(
    st.lists(
        st.sampled_from(
            [b"0", b"5", b"a", b"\r\n", b"\n", b";", b"chunk-signature=", b"hello", b":", b"x-amz-checksum-crc32:a"]
        ),
        max_size=12,
    )
)
def test_any_arrangement_of_tokens_is_decoded_or_refused(tokens):
    try:
        drain(opened(b"".join(tokens), UNSIGNED_TRAILER, length=5, trailer="x-amz-checksum-crc32"))
    except S3Error as error:
        assert error.status == 400  # noqa: PT017


# -- headers ---------------------------------------------------------------------------------------------------------


def test_names_that_say_that_a_body_is_chunked():
    assert all(is_chunked(name) for name in (SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER))
    assert not any(is_chunked(name) for name in ("", "UNSIGNED-PAYLOAD", "0" * 64, "STREAMING-UNSIGNED-PAYLOAD"))


@pytest.mark.parametrize(
    ("header", "code", "status"),
    [
        (None, "MissingContentLength", 411),
        ("", "MissingContentLength", 411),
        ("x", "MissingContentLength", 411),
        ("-1", "MissingContentLength", 411),
        ("1_0", "MissingContentLength", 411),
        ("²", "MissingContentLength", 411),
        ("9" * 5000, "MissingContentLength", 411),
        (str(5 * 1024**3 + 1), "EntityTooLarge", 400),
    ],
)
def test_decoded_length_header_of_another_form(header, code, status):
    with pytest.raises(S3Error) as caught:
        parse_decoded_length(header)
    assert (caught.value.code, caught.value.status) == (code, status)


def test_decoded_length_up_to_five_gibibytes():
    assert parse_decoded_length("0") == 0
    assert parse_decoded_length(str(5 * 1024**3)) == 5 * 1024**3


def test_codings_that_a_request_cannot_have():
    with pytest.raises(S3Error) as caught:
        open_chunked(Source(b""), SIGNED, decoded_length="5", trailer=None, authenticated=None)
    assert caught.value.code == "InvalidRequest"
    with pytest.raises(S3Error) as caught:
        opened(b"", SIGNED, trailer="x-amz-checksum-crc32")
    assert caught.value.code == "MalformedTrailerError"
    with pytest.raises(S3Error) as caught:
        opened(b"", "UNSIGNED-PAYLOAD")
    assert caught.value.code == "InvalidRequest"
    body = encode_unsigned([b"hello"], {})
    anonymous = open_chunked(Source(body), UNSIGNED_TRAILER, decoded_length="5", trailer=None, authenticated=None)
    assert drain(anonymous) == b"hello"


def test_signatures_of_the_golden_bodies_are_those_of_the_index():
    case = INDEX["signed"]
    assert case["seed"] == signature(case["seed_text"])
