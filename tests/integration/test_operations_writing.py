"""PutObject: bodies in every form, digests, conditions, limits; nothing is stored unless all of it is right."""

import base64
import hashlib
import socket
import time
import zlib
from collections.abc import Callable
from email.utils import formatdate

import pytest

from tests.support.wire import UNSIGNED, Answer, Wire, chunked
from tests.unit.protocol import signing

Put = Callable[..., Answer]
DATA = bytes(range(256)) * 100
MD5 = base64.b64encode(hashlib.md5(DATA).digest()).decode()
CRC32 = base64.b64encode(zlib.crc32(DATA).to_bytes(4, "big")).decode()
SHA1 = base64.b64encode(hashlib.sha1(DATA).digest()).decode()
SHA256 = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
ETAG = f'"{hashlib.md5(DATA).hexdigest()}"'

STREAM = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAM_TRAILER = STREAM + "-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def absent(wire: Wire, path: str) -> bool:
    return wire.call("HEAD", path).status == 404


def test_put_object_answers_with_etag_and_checksum(wire: Wire, box: str) -> None:
    answer = wire.call("PUT", f"{box}/k", body=DATA)
    assert (answer.status, answer.body, answer.headers["etag"]) == (200, b"", ETAG)
    assert answer.headers["x-amz-checksum-crc64nvme"]
    assert answer.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    assert "content-type" not in answer.headers
    assert wire.call("GET", f"{box}/k").body == DATA


def test_put_replaces_data_and_metadata(wire: Wire, box: str, put: Put) -> None:
    put("k", b"old", {"x-amz-meta-a": "1", "content-type": "a/b", "x-amz-tagging": "t=1"})
    put("k", b"new")
    answer = wire.call("GET", f"{box}/k")
    assert (answer.body, answer.metadata(), answer.headers["content-type"]) == (b"new", {}, "binary/octet-stream")
    assert "x-amz-tagging-count" not in answer.headers


DIGESTS = {
    "content-md5": MD5,
    "x-amz-checksum-crc32": CRC32,
    "x-amz-checksum-sha1": SHA1,
    "x-amz-checksum-sha256": SHA256,
}


@pytest.mark.parametrize("name", DIGESTS)
def test_announced_digest_is_verified(wire: Wire, box: str, name: str) -> None:
    good = wire.call("PUT", f"{box}/good", {name: DIGESTS[name]}, DATA)
    assert good.status == 200
    if name != "content-md5":
        assert good.headers[name] == DIGESTS[name]
        mode = {"x-amz-checksum-mode": "enabled"}
        assert wire.call("GET", f"{box}/good", mode).headers[name] == DIGESTS[name]
    bad = wire.call("PUT", f"{box}/bad", {name: DIGESTS[name]}, DATA + b"x")
    assert bad.outcome == (400, "BadDigest")
    assert absent(wire, f"{box}/bad")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"content-md5": "short"}, "InvalidDigest"),
        ({"content-md5": ""}, "InvalidDigest"),
        ({"content-md5": SHA1}, "InvalidDigest"),
        ({"x-amz-checksum-crc32": "!!!!"}, "InvalidRequest"),
        ({"x-amz-checksum-crc32": SHA256}, "InvalidRequest"),
        ({"x-amz-checksum-crc99": CRC32}, "InvalidRequest"),
        ({"x-amz-checksum-crc32": CRC32, "x-amz-checksum-sha1": SHA1}, "InvalidRequest"),
        ({"x-amz-sdk-checksum-algorithm": "CRC32"}, "InvalidRequest"),
        ({"x-amz-sdk-checksum-algorithm": "SHA1", "x-amz-checksum-crc32": CRC32}, "InvalidRequest"),
        ({"x-amz-sdk-checksum-algorithm": "MD17", "x-amz-checksum-crc32": CRC32}, "InvalidRequest"),
        ({"x-amz-trailer": "x-amz-checksum-crc32"}, "MalformedTrailerError"),
        ({"x-amz-storage-class": "COLD"}, "InvalidStorageClass"),
        ({"x-amz-acl": "public-read"}, "AccessControlListNotSupported"),
        ({"x-amz-acl": "everybody"}, "InvalidArgument"),
        ({"x-amz-grant-read": "id=1"}, "AccessControlListNotSupported"),
        ({"x-amz-object-lock-mode": "COMPLIANCE"}, "InvalidRequest"),
        ({"x-amz-website-redirect-location": "nowhere"}, "InvalidRedirectLocation"),
        ({"x-amz-meta-": "x"}, "InvalidArgument"),
        ({"x-amz-tagging": "a=1&a=2"}, "InvalidArgument"),
        ({"x-amz-tagging": "a=%FF"}, "InvalidArgument"),
        ({"x-amz-tagging": "aws:x=1"}, "InvalidTag"),
        ({"x-amz-tagging": "a" * 129 + "=1"}, "InvalidTag"),
        ({"x-amz-tagging": "a=" + "b" * 257}, "InvalidTag"),
        ({"x-amz-tagging": "&".join(f"k{n}=1" for n in range(11))}, "BadRequest"),
        ({"x-amz-meta-a": "v" * 2048}, "MetadataTooLarge"),
        ({f"x-amz-meta-{n}": "v" * 200 for n in range(11)}, "MetadataTooLarge"),
    ],
)
def test_bad_headers_are_refused(wire: Wire, box: str, headers: dict[str, str], code: str) -> None:
    answer = wire.call("PUT", f"{box}/k", headers, DATA)
    assert answer.outcome == (400, code)
    assert absent(wire, f"{box}/k")


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-server-side-encryption": "AES256"},
        {"x-amz-server-side-encryption-customer-algorithm": "AES256"},
        {"x-amz-write-offset-bytes": "0"},
        {"x-amz-rename-source": "/b/k"},
        {"if-none-match": '"etag"'},
        {"if-modified-since": formatdate(0, usegmt=True)},
        {"if-match": "*", "if-none-match": "*"},
    ],
)
def test_what_cannot_be_had_is_not_implemented(wire: Wire, box: str, headers: dict[str, str]) -> None:
    assert wire.call("PUT", f"{box}/k", headers, DATA).outcome == (501, "NotImplemented")
    assert absent(wire, f"{box}/k")


@pytest.mark.parametrize(
    "query", ["acl", "torrent", "foo", "restore", "versionId=1", "select&select-type=2", "legal-hold"]
)
def test_put_with_a_sub_resource_stores_nothing(wire: Wire, box: str, query: str) -> None:
    answer = wire.call("PUT", f"{box}/k?{query}", body=DATA)
    assert answer.status in (400, 404, 501)
    assert answer.code in ("NotImplemented", "InvalidArgument", "MalformedXML", "NoSuchKey")
    assert absent(wire, f"{box}/k")


def test_limits_are_reached_exactly(wire: Wire, box: str, put: Put) -> None:
    tags = "&".join(f"k{n}={n}" for n in range(10))
    put("k", b"", {"x-amz-meta-a": "v" * 2047, "x-amz-tagging": tags})
    answer = wire.call("HEAD", f"{box}/k")
    assert answer.metadata() == {"a": "v" * 2047}
    assert answer.headers["x-amz-tagging-count"] == "10"


def test_metadata_comes_back_as_it_was_sent(wire: Wire, box: str, put: Put) -> None:
    put("k", b"", {"x-amz-meta-mixed-case": "a b", "x-amz-meta-under_score": "u", "x-amz-meta-empty": ""})
    assert wire.call("HEAD", f"{box}/k").metadata() == {"mixed-case": "a b", "under_score": "u", "empty": ""}


def test_metadata_beyond_ascii_comes_back_encoded(wire: Wire, box: str, put: Put) -> None:
    put(
        "k",
        b"",
        {"x-amz-meta-a": "grün".encode().decode("latin-1"), "x-amz-meta-b": "=?UTF-8?B?QQ0KU2V0LUNvb2tpZTogeA==?="},
    )
    found = wire.call("HEAD", f"{box}/k")
    assert found.metadata()["a"] == "=?UTF-8?Q?gr=C3=BCn?="
    assert "set-cookie" not in found.headers
    assert "\r" not in found.metadata()["b"]


def test_content_headers_are_kept(wire: Wire, box: str, put: Put) -> None:
    headers = {
        "cache-control": "no-store",
        "content-disposition": "inline",
        "content-encoding": "gzip",
        "content-language": "de",
        "content-type": "a/b; charset=x",
        "expires": "whenever",
        "x-amz-website-redirect-location": "/elsewhere",
        "x-amz-storage-class": "STANDARD_IA",
    }
    put("k", b"", headers)
    found = wire.call("HEAD", f"{box}/k").headers
    assert {name: found[name] for name in headers} == headers


# -- payload hashes and framing


def test_wrong_payload_hash(wire: Wire, box: str) -> None:
    answer = wire.call("PUT", f"{box}/k", body=DATA, payload=hashlib.sha256(b"other").hexdigest())
    assert answer.outcome == (400, "XAmzContentSHA256Mismatch")
    assert answer.text("S3ComputedContentSHA256") == hashlib.sha256(DATA).hexdigest()
    assert absent(wire, f"{box}/k")


def presigned(wire: Wire, method: str, path: str, payload: str, headers: dict[str, str], body: bytes = b"") -> Answer:
    """A presigned request with an x-amz-content-sha256 of any value."""
    given = {"host": wire.host, "x-amz-content-sha256": payload, **headers}
    target = wire.presign(method, path, headers=given, signed=";".join(sorted(given)), payload=payload)
    return wire.call(method, target, given, body, sign=False)


@pytest.mark.parametrize("payload", ["invalid", "unsigned-payload", hashlib.sha256(b"other").hexdigest().upper()])
def test_presigned_payload_hash_that_is_no_digest_is_told_as_it_was_sent(wire: Wire, box: str, payload: str) -> None:
    answer = presigned(wire, "PUT", f"{box}/k", payload, {}, DATA)
    assert answer.outcome == (400, "XAmzContentSHA256Mismatch")
    assert answer.text("ClientComputedContentSHA256") == payload
    assert absent(wire, f"{box}/k")
    assert presigned(wire, "PUT", f"{box}/k", payload, {"content-md5": "x"}, DATA).outcome == (400, "InvalidDigest")
    assert presigned(wire, "GET", box, payload, {}).status == 200


def test_presigned_streaming_payload_is_not_decoded(wire: Wire, box: str) -> None:
    body = signing.encode_unsigned([DATA], {})
    answer = presigned(
        wire, "PUT", f"{box}/k", UNSIGNED_TRAILER, {"x-amz-decoded-content-length": str(len(body))}, body
    )
    assert answer.outcome == (400, "XAmzContentSHA256Mismatch")
    assert answer.text("S3ComputedContentSHA256") == hashlib.sha256(body).hexdigest()
    answer = presigned(
        wire, "PUT", f"{box}/k", UNSIGNED_TRAILER, {"x-amz-decoded-content-length": str(len(DATA))}, body
    )
    assert answer.outcome == (400, "IncompleteBody")
    assert answer.text("NumberBytesExpected") == str(len(DATA))
    assert answer.text("NumberBytesProvided") == str(len(body))
    assert presigned(wire, "PUT", f"{box}/k", UNSIGNED_TRAILER, {}, body).outcome == (411, "MissingContentLength")
    assert absent(wire, f"{box}/k")


def test_content_encoding_of_a_body_that_was_not_streamed_is_kept(wire: Wire, box: str) -> None:
    assert wire.call("PUT", f"{box}/k", {"content-encoding": "aws-chunked"}, DATA).status == 200
    assert wire.call("GET", f"{box}/k").headers["content-encoding"] == "aws-chunked"


def test_unsigned_payload(wire: Wire, box: str) -> None:
    assert wire.call("PUT", f"{box}/k", body=DATA, payload=UNSIGNED).headers["etag"] == ETAG


def test_transfer_encoding_chunked(wire: Wire, box: str) -> None:
    headers = {"transfer-encoding": "chunked"}
    answer = wire.call("PUT", f"{box}/k", headers, chunked(DATA), payload=UNSIGNED, length=False)
    assert (answer.status, answer.headers["etag"]) == (200, ETAG)
    assert wire.call("GET", f"{box}/k").body == DATA


def test_transfer_encoding_chunked_with_digest(wire: Wire, box: str) -> None:
    headers = {"transfer-encoding": "chunked"}
    digest = hashlib.sha256(DATA).hexdigest()
    assert wire.call("PUT", f"{box}/k", headers, chunked(DATA), payload=digest, length=False).status == 200
    bad = wire.call("PUT", f"{box}/bad", headers, chunked(DATA + b"x"), payload=digest, length=False)
    assert bad.outcome == (400, "XAmzContentSHA256Mismatch")
    assert absent(wire, f"{box}/bad")


def test_missing_length(wire: Wire, box: str) -> None:
    assert wire.call("PUT", f"{box}/k", payload=UNSIGNED).outcome == (411, "MissingContentLength")
    streaming = wire.call("PUT", f"{box}/k", {"x-amz-decoded-content-length": "3"}, payload=UNSIGNED_TRAILER)
    assert streaming.outcome == (411, "MissingContentLength")
    assert absent(wire, f"{box}/k")


def test_empty_object(wire: Wire, box: str) -> None:
    assert wire.call("PUT", f"{box}/k", body=b"").headers["etag"] == '"d41d8cd98f00b204e9800998ecf8427e"'


def signed_chunks(
    wire: Wire,
    path: str,
    data: bytes,
    *,
    payload: str = STREAM,
    trailers: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
    damage: Callable[[bytes], bytes] = lambda body: body,
    size: int = 8192,
    announced: int | None = None,
) -> Answer:
    """PUT with signed chunks."""
    date = signing.amz_date(time.time())
    given = {
        "host": wire.host,
        "x-amz-decoded-content-length": str(len(data) if announced is None else announced),
        "content-encoding": "aws-chunked",
        **({"x-amz-trailer": ",".join(trailers)} if trailers else {}),
        **(headers or {}),
    }
    seed = signing.signed_headers("PUT", path, given, payload=payload, date=date)["authorization"][-64:]
    body = damage(signing.encode_signed(signing.split(data, size), seed, trailers=trailers, date=date))
    return wire.call("PUT", path, given, body, payload=payload, date=date)


def test_signed_chunks(wire: Wire, box: str) -> None:
    assert signed_chunks(wire, f"{box}/k", DATA).headers["etag"] == ETAG
    found = wire.call("GET", f"{box}/k")
    assert found.body == DATA
    assert "content-encoding" not in found.headers


def test_signed_chunks_with_trailer(wire: Wire, box: str) -> None:
    trailers = {"x-amz-checksum-crc32": CRC32}
    answer = signed_chunks(wire, f"{box}/k", DATA, payload=STREAM_TRAILER, trailers=trailers)
    assert (answer.status, answer.headers["x-amz-checksum-crc32"]) == (200, CRC32)


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda body: body.replace(DATA[:50], b"x" * 50, 1), "SignatureDoesNotMatch"),
        (lambda body: body.replace(b"chunk-signature=", b"chunk-signature=0", 1)[:-1], "InvalidRequest"),
        (lambda body: body[:-90], "IncompleteBody"),
        (lambda body: body[:8000], "IncompleteBody"),
        (lambda body: b"", "IncompleteBody"),
        (lambda body: b"zz" + body, "InvalidRequest"),
        (lambda body: body + b"more", "InvalidRequest"),
    ],
    ids=["data", "signature", "no last chunk", "cut", "empty", "size", "more"],
)
def test_damaged_signed_chunks(wire: Wire, box: str, damage: Callable[[bytes], bytes], code: str) -> None:
    answer = signed_chunks(wire, f"{box}/k", DATA, damage=damage)
    # A wrong signature is told only where the framing is right.
    assert answer.code in (code, "IncompleteBody", "SignatureDoesNotMatch")
    assert answer.status in (400, 403)
    assert absent(wire, f"{box}/k")


@pytest.mark.parametrize("announced", [0, 100, len(DATA) - 1, len(DATA) + 1])
def test_decoded_length_that_does_not_fit(wire: Wire, box: str, announced: int) -> None:
    answer = signed_chunks(wire, f"{box}/k", DATA, announced=announced)
    assert answer.status == 400
    assert absent(wire, f"{box}/k")


def test_small_signed_chunks_are_refused(wire: Wire, box: str) -> None:
    assert signed_chunks(wire, f"{box}/k", DATA, size=1000).outcome == (403, "InvalidChunkSizeError")
    assert absent(wire, f"{box}/k")


def unsigned_trailer(wire: Wire, path: str, body: bytes, headers: dict[str, str] | None = None) -> Answer:
    given = {
        "x-amz-decoded-content-length": str(len(DATA)),
        "x-amz-trailer": "x-amz-checksum-crc32",
        "content-encoding": "aws-chunked",
        **(headers or {}),
    }
    return wire.call("PUT", path, given, body, payload=UNSIGNED_TRAILER)


def test_unsigned_chunks_with_trailer(wire: Wire, box: str) -> None:
    body = signing.encode_unsigned(signing.split(DATA, 10_000), {"x-amz-checksum-crc32": CRC32})
    answer = unsigned_trailer(wire, f"{box}/k", body)
    assert (answer.status, answer.headers["x-amz-checksum-crc32"]) == (200, CRC32)
    assert wire.call("GET", f"{box}/k").body == DATA


@pytest.mark.parametrize(
    ("trailers", "code"),
    [
        ({"x-amz-checksum-crc32": "AAAAAA=="}, "BadDigest"),
        ({"x-amz-checksum-crc32": "bad"}, "InvalidRequest"),
        ({}, "MalformedTrailerError"),
        ({"x-amz-checksum-sha1": SHA1}, "MalformedTrailerError"),
    ],
)
def test_bad_trailers(wire: Wire, box: str, trailers: dict[str, str], code: str) -> None:
    body = signing.encode_unsigned(signing.split(DATA, 10_000), trailers)
    assert unsigned_trailer(wire, f"{box}/k", body).outcome == (400, code)
    assert absent(wire, f"{box}/k")


def test_unknown_trailer_is_refused(wire: Wire, box: str) -> None:
    body = signing.encode_unsigned([DATA], {"x-amz-meta-a": "b"})
    assert unsigned_trailer(wire, f"{box}/k", body, {"x-amz-trailer": "x-amz-meta-a"}).status == 400
    assert absent(wire, f"{box}/k")


def test_aws_chunked_within_chunked_transfer_coding(wire: Wire, box: str) -> None:
    body = chunked(signing.encode_unsigned(signing.split(DATA, 10_000), {"x-amz-checksum-crc32": CRC32}), 777)
    headers = {
        "x-amz-decoded-content-length": str(len(DATA)),
        "x-amz-trailer": "x-amz-checksum-crc32",
        "transfer-encoding": "chunked",
    }
    answer = wire.call("PUT", f"{box}/k", headers, body, payload=UNSIGNED_TRAILER, length=False)
    assert (answer.status, answer.headers["etag"]) == (200, ETAG)


# -- bodies that end early, or are too large


@pytest.mark.parametrize("sent", [0, 1, 25_599])
def test_body_that_ends_early_is_not_stored(wire: Wire, box: str, sent: int) -> None:
    data = wire.request("PUT", f"{box}/k", {"content-length": "25600"}, payload=UNSIGNED) + DATA[:sent]
    with socket.create_connection((wire.gateway.host, wire.gateway.port), timeout=10) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = wire.receive(connection)
    assert answer.outcome == (400, "IncompleteBody")
    assert absent(wire, f"{box}/k")


def test_broken_chunked_framing(wire: Wire, box: str) -> None:
    for body in (b"5\r\nhello", b"zz\r\nhello\r\n0\r\n\r\n", b"5\r\nhelloXX0\r\n\r\n"):
        data = wire.request("PUT", f"{box}/k", {"transfer-encoding": "chunked"}, payload=UNSIGNED) + body
        with socket.create_connection((wire.gateway.host, wire.gateway.port), timeout=10) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = wire.receive(connection)
        assert answer.outcome in ((400, "IncompleteBody"), (400, "InvalidRequest"))
    assert absent(wire, f"{box}/k")


def expecting(wire: Wire, target: str, headers: dict[str, str], **options: object) -> bytes:
    """What comes before any of the body is sent."""
    head = wire.request("PUT", target, {"expect": "100-continue", **headers}, payload=UNSIGNED, **options)
    with socket.create_connection((wire.gateway.host, wire.gateway.port), timeout=5) as connection:
        connection.sendall(head)
        return connection.recv(65536)


LARGE = str(5 * 1024**3 + 1)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"content-length": LARGE}, 400, b"EntityTooLarge"),
        ({"content-length": "100", "x-amz-storage-class": "COLD"}, 400, b"InvalidStorageClass"),
        ({"content-length": "100", "content-md5": "x"}, 400, b"InvalidDigest"),
        ({"content-length": "100", "x-amz-meta-a": "x" * 3000}, 400, b"MetadataTooLarge"),
        ({"content-length": "100", "x-amz-acl": "public-read"}, 400, b"AccessControlListNotSupported"),
    ],
)
def test_refusals_come_before_the_body(wire: Wire, box: str, headers: dict[str, str], status: int, code: bytes) -> None:
    answer = expecting(wire, f"{box}/k", headers)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"<Code>" + code + b"</Code>" in answer


def test_missing_bucket_and_bad_signature_are_told_before_the_body(wire: Wire, box: str) -> None:
    assert b"NoSuchBucket" in expecting(wire, "/no-such-bucket-here/k", {"content-length": "100"})
    assert b"SignatureDoesNotMatch" in expecting(wire, f"{box}/k", {"content-length": "100"}, secret="wrong")
    assert b"AccessDenied" in expecting(wire, f"{box}/k", {"content-length": "100"}, sign=False)


def test_failing_condition_is_told_before_the_body(wire: Wire, box: str, put: Put) -> None:
    put("there")
    headers = {"content-length": str(10 * 1024 * 1024), "if-none-match": "*"}
    assert b"PreconditionFailed" in expecting(wire, f"{box}/there", headers)


def test_hundred_continue_when_all_is_well(wire: Wire, box: str) -> None:
    assert expecting(wire, f"{box}/k", {"content-length": "100"}).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")


def test_announced_five_tebibytes_are_refused_with_numbers(wire: Wire, box: str) -> None:
    answer = wire.call("PUT", f"{box}/k", {"content-length": LARGE}, payload=UNSIGNED)
    assert answer.outcome == (400, "EntityTooLarge")
    assert (answer.text("ProposedSize"), answer.text("MaxSizeAllowed")) == (LARGE, str(5 * 1024**3))
    decoded = {"x-amz-decoded-content-length": LARGE, "content-length": "5"}
    assert wire.call("PUT", f"{box}/k", decoded, payload=STREAM).outcome == (400, "EntityTooLarge")


# -- conditions


@pytest.mark.parametrize(
    ("exists", "headers", "outcome"),
    [
        (False, {"if-none-match": "*"}, (200, "")),
        (True, {"if-none-match": "*"}, (412, "PreconditionFailed")),
        (True, {"if-match": ETAG}, (200, "")),
        (True, {"if-match": ETAG.strip('"')}, (200, "")),
        (True, {"if-match": "*"}, (200, "")),
        (True, {"if-match": f'"x", {ETAG}'}, (200, "")),
        (True, {"if-match": '"x"'}, (412, "PreconditionFailed")),
        (False, {"if-match": ETAG}, (404, "NoSuchKey")),
        (False, {"if-match": "*"}, (404, "NoSuchKey")),
    ],
)
def test_conditions_of_a_put(
    wire: Wire, box: str, put: Put, exists: bool, headers: dict[str, str], outcome: tuple[int, str]
) -> None:
    if exists:
        put("k", DATA)
    answer = wire.call("PUT", f"{box}/k", headers, b"new")
    assert answer.outcome == outcome
    if outcome[0] == 412:
        assert answer.text("Condition") == ("If-None-Match" if "if-none-match" in headers else "If-Match")
    after = wire.call("GET", f"{box}/k")
    if outcome[0] == 200:
        assert after.body == b"new"
    else:
        assert after.body == DATA if exists else after.status == 404


def test_owner_that_was_not_expected(wire: Wire, box: str) -> None:
    answer = wire.call("PUT", f"{box}/k", {"x-amz-expected-bucket-owner": "000000000000"}, DATA)
    assert answer.outcome == (403, "AccessDenied")
    assert absent(wire, f"{box}/k")


def test_presigned_put(wire: Wire, box: str) -> None:
    assert wire.call("PUT", wire.presign("PUT", f"{box}/k"), body=DATA, sign=False).headers["etag"] == ETAG
    assert wire.call("GET", wire.presign("GET", f"{box}/k"), sign=False).body == DATA
