"""Checksums: algorithms, what requests announce, verification, combination."""

import base64
import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import botocore
import pytest
from awscrt import checksums as crt
from botocore.httpchecksum import _CHECKSUM_CLS
from hypothesis import given
from hypothesis import strategies as st

from workers.protocol.checksums import (
    ALGORITHMS,
    ExpectedDigests,
    announced_checksum,
    composite,
    decode_digest,
    encode_digest,
    full_object,
    parse_algorithm,
    parse_checksum_type,
    parse_trailer,
)
from workers.protocol.errors import S3Error

BODY = b"123456789"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

# The check values of the CRC catalogue for "123456789", and published ones for the others.
CHECK = {
    "CRC32": "cbf43926",
    "CRC32C": "e3069283",
    "CRC64NVME": "ae8b14860a799888",
    "SHA1": hashlib.sha1(BODY).hexdigest(),
    "SHA256": hashlib.sha256(BODY).hexdigest(),
    "SHA512": hashlib.sha512(BODY).hexdigest(),
    "MD5": "25f9e794323b453885f5181f1b624d0b",
    "XXHASH64": "8cb841db40e6ae83",
}


def value_of(name: str, data: bytes) -> str:
    hasher = ALGORITHMS[name].new()
    hasher.update(data)
    return encode_digest(hasher.digest())


def digests(headers: Mapping[str, str], payload_hash: str | None = None, **options: Any) -> ExpectedDigests:
    options.setdefault("chunked", (payload_hash or "").startswith("STREAMING-"))
    return ExpectedDigests.from_request(headers.get, headers, payload_hash=payload_hash, **options)


def refusal(action: Callable[[], object]) -> S3Error:
    with pytest.raises(S3Error) as caught:
        action()
    return caught.value


def test_the_table_has_every_algorithm_of_the_service_model_with_its_header() -> None:
    path = Path(botocore.__file__).parent / "data/s3/2006-03-01/service-2.json"
    data = path.read_bytes() if path.exists() else gzip.decompress(path.with_suffix(".json.gz").read_bytes())
    shapes = json.loads(data)["shapes"]
    assert set(ALGORITHMS) == set(shapes["ChecksumAlgorithm"]["enum"])
    members = shapes["PutObjectRequest"]["members"]
    for algorithm in ALGORITHMS.values():
        assert members[algorithm.element]["locationName"].lower() == algorithm.header


@pytest.mark.parametrize("name", sorted(CHECK))
def test_check_values(name: str) -> None:
    assert base64.b64decode(value_of(name, BODY)).hex() == CHECK[name]


# botocore has no class for MD5, which the check values cover.
@pytest.mark.parametrize("name", sorted(set(ALGORITHMS) - {"MD5"}))
def test_botocore_computes_the_same(name: str) -> None:
    assert len(base64.b64decode(value_of(name, BODY))) == ALGORITHMS[name].size
    assert value_of(name, BODY) == _CHECKSUM_CLS[name.lower()]().handle(BODY)


@given(st.sampled_from(sorted(ALGORITHMS)), st.lists(st.binary(max_size=100)))
def test_blocks_add_up(name: str, blocks: list[bytes]) -> None:
    hasher = ALGORITHMS[name].new()
    for block in blocks:
        hasher.update(block)
    assert encode_digest(hasher.digest()) == value_of(name, b"".join(blocks))


CRCS = sorted(name for name, algorithm in ALGORITHMS.items() if algorithm.combine)


@given(st.sampled_from(CRCS), st.lists(st.binary(max_size=300), max_size=6))
def test_parts_combine_to_the_checksum_of_the_object(name: str, parts: list[bytes]) -> None:
    combined = full_object(ALGORITHMS[name], [(value_of(name, part), len(part)) for part in parts])
    assert combined == value_of(name, b"".join(parts))


@pytest.mark.parametrize("name", CRCS)
def test_parts_of_gigabytes_combine(name: str) -> None:
    # The CRC of n zero bytes is built by doubling, so that the length alone is large.
    algorithm = ALGORITHMS[name]
    assert algorithm.combine is not None
    block = int.from_bytes(base64.b64decode(value_of(name, bytes(1 << 20))), "big")
    length = 1 << 20
    while length < 5 << 30:
        block = algorithm.combine(block, block, length)
        length *= 2
    direct = {"CRC32": zlib.crc32, "CRC32C": crt.crc32c, "CRC64NVME": crt.crc64nvme}[name]
    tail = direct(b"tail", block)
    assert algorithm.combine(block, direct(b"tail", 0), 4) == tail
    zeros = 0
    for _ in range(length >> 26):
        zeros = direct(_ZEROS, zeros)
    assert zeros == block


_ZEROS = bytes(1 << 26)


def test_only_crcs_combine() -> None:
    with pytest.raises(ValueError, match="SHA1"):
        full_object(ALGORITHMS["SHA1"], [])


def test_composite_is_the_checksum_of_checksums() -> None:
    parts = [value_of("SHA256", b"a"), value_of("SHA256", b"b")]
    raw = hashlib.sha256(hashlib.sha256(b"a").digest() + hashlib.sha256(b"b").digest()).digest()
    assert composite(ALGORITHMS["SHA256"], parts) == base64.b64encode(raw).decode() + "-2"


@pytest.mark.parametrize("text", ["", "=", "AAAA", "AAAAAA=", "AAAAA===", "AAAAAA==\n", "AAA AAA==", "é", "AAAAAAAA"])
def test_what_is_no_digest_of_four_bytes(text: str) -> None:
    assert decode_digest(text, 4) is None


def test_nothing_announced_means_crc64nvme() -> None:
    found = digests({})
    found.update(BODY)
    found.verify()
    assert found.etag == CHECK["MD5"]
    assert found.checksums == {"CRC64NVME": "rosUhgp5mIg="}
    assert found.checksum_type == "FULL_OBJECT"
    assert found.verified


def test_no_default_computes_only_the_etag() -> None:
    found = digests({}, default=None)
    found.verify()
    assert found.checksums == {}
    assert found.etag == hashlib.md5(b"").hexdigest()


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
@pytest.mark.parametrize("where", ["header", "trailer"])
def test_an_announced_checksum_is_verified(name: str, where: str) -> None:
    header = ALGORITHMS[name].header

    def verified(value: str, body: bytes) -> ExpectedDigests:
        headers = {header: value} if where == "header" else {"x-amz-trailer": header}
        found = digests({**headers, "x-amz-sdk-checksum-algorithm": name}, TRAILER)
        found.update(body)
        found.verify({header: value})
        return found

    value = value_of(name, BODY)
    assert verified(value, BODY).checksums == {name: value}
    error = refusal(lambda: verified(value, BODY + b"!"))
    assert error.code == "BadDigest"
    assert error.message == f"The {name} you specified did not match the calculated checksum."
    error = refusal(lambda: verified("AAA=", BODY))
    assert error.code == "InvalidRequest"
    kind = "header" if where == "header" else "trailing header"
    assert error.message == f"Value for {header} {kind} is invalid."


def test_a_missing_trailer_is_malformed() -> None:
    found = digests({"x-amz-trailer": "x-amz-checksum-crc32"}, TRAILER)
    assert refusal(lambda: found.verify({"x-amz-checksum-sha1": "x"})).code == "MalformedTrailerError"
    assert not found.verified


def test_a_trailer_needs_a_body_that_can_have_one() -> None:
    for payload_hash in (None, "UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", EMPTY_SHA256):
        error = refusal(lambda hash_=payload_hash: digests({"x-amz-trailer": "x-amz-checksum-crc32"}, hash_))
        assert error.code == "MalformedTrailerError"
    error = refusal(lambda: digests({"x-amz-trailer": "x-amz-checksum-crc32"}, TRAILER, chunked=False))
    assert error.code == "MalformedTrailerError"


SEVERAL = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
NO_VALUE = (
    "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found."
)
CRC = {"x-amz-checksum-crc32": "y/Q5Jg=="}


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({**CRC, "x-amz-checksum-sha1": "x"}, SEVERAL),
        ({**CRC, "x-amz-trailer": "x-amz-checksum-crc32"}, "Expecting a single x-amz-checksum- header"),
        ({**CRC, "x-amz-trailer": "x-amz-checksum-sha1"}, "Expecting a single x-amz-checksum- header"),
        ({"x-amz-trailer": "x-amz-checksum-crc32, x-amz-checksum-sha1"}, SEVERAL),
        ({"x-amz-checksum-crc16": "x"}, "The algorithm type you specified in x-amz-checksum- header is invalid."),
        ({"x-amz-checksum-crc32": "y/Q5Jg==-1"}, "Value for x-amz-checksum-crc32 header is invalid."),
        ({"x-amz-checksum-crc32": ""}, "Value for x-amz-checksum-crc32 header is invalid."),
        ({"x-amz-sdk-checksum-algorithm": "CRC32"}, NO_VALUE),
        ({**CRC, "x-amz-sdk-checksum-algorithm": "SHA1"}, "Value for x-amz-sdk-checksum-algorithm header is invalid."),
        ({**CRC, "x-amz-sdk-checksum-algorithm": "CRC16"}, "Value for x-amz-sdk-checksum-algorithm header is invalid."),
    ],
)  # fmt: skip
def test_contradictory_announcements(headers: dict[str, str], message: str) -> None:
    error = refusal(lambda: digests(headers, TRAILER))
    assert (error.code, error.message) == ("InvalidRequest", message)


def test_headers_of_the_same_prefix_that_carry_no_checksum() -> None:
    headers = {"x-amz-checksum-algorithm": "SHA1", "x-amz-checksum-type": "COMPOSITE", "x-amz-checksum-mode": "ENABLED"}
    assert announced_checksum(headers.get, headers) is None


def test_the_announced_trailer() -> None:
    assert parse_trailer(None) is parse_trailer("") is None
    for value in (
        "x-amz-checksum-crc32",
        " X-Amz-Checksum-CRC32\t",
        "x-amz-checksum-crc32,,",
        "x-amz-checksum-crc32, ",
    ):
        algorithm = parse_trailer(value)
        assert algorithm is not None
        assert algorithm.name == "CRC32"


@pytest.mark.parametrize(
    "value",
    [
        ",",
        " ",
        "x-amz-checksum-crc16",
        "x-amz-checksum-type",
        "x-amz-checksum-",
        "content-md5",
        ",x-amz-checksum-crc32",
        "x-amz-checksum-crc32, ,",
        "x-amz-checksum-crc32, x-amz-meta-a",
    ],
)
def test_a_trailer_that_is_no_checksum_is_refused(value: str) -> None:
    error = refusal(lambda: parse_trailer(value))
    assert (error.code, error.message) == (
        "InvalidRequest",
        "The value specified in the x-amz-trailer header is not supported",
    )


def test_content_md5() -> None:
    good = base64.b64encode(hashlib.md5(BODY).digest()).decode()
    found = digests({"content-md5": good})
    found.update(BODY)
    found.verify()
    found = digests({"content-md5": good})
    error = refusal(found.verify)
    assert error.code == "BadDigest"
    assert error.elements == {"ExpectedDigest": CHECK["MD5"], "CalculatedDigest": "1B2M2Y8AsgTpgAmY7PhCfg=="}
    error = refusal(digests({"content-md5": good}, document=True).verify)
    assert error.elements == {"ExpectedDigest": good, "CalculatedDigest": "1B2M2Y8AsgTpgAmY7PhCfg=="}


@pytest.mark.parametrize("value", ["", "x", "AAAA", "1B2M2Y8AsgTpgAmY7PhCfg", "1B2M2Y8AsgTpgAmY7PhCfg==, x"])
def test_a_malformed_content_md5_is_an_invalid_digest(value: str) -> None:
    error = refusal(lambda: digests({"content-md5": value}))
    assert error.code == "InvalidDigest"
    assert error.elements == {"Content-MD5": value}


def test_payload_hash() -> None:
    for payload_hash in (EMPTY_SHA256, EMPTY_SHA256.upper(), None, "UNSIGNED-PAYLOAD", TRAILER):
        digests({}, payload_hash).verify()
    found = digests({}, EMPTY_SHA256)
    found.update(BODY)
    error = refusal(found.verify)
    assert error.code == "XAmzContentSHA256Mismatch"
    assert error.elements == {
        "ClientComputedContentSHA256": EMPTY_SHA256,
        "S3ComputedContentSHA256": CHECK["SHA256"],
    }


@pytest.mark.parametrize(
    "value", ["abc", "0" * 63, "0" * 64, EMPTY_SHA256.upper()[:-1] + "A", "unsigned-payload", TRAILER]
)
def test_a_payload_hash_that_no_body_has_is_told_as_it_was_sent(value: str) -> None:
    error = refusal(digests({}, value, chunked=False).verify)
    assert error.code == "XAmzContentSHA256Mismatch"
    assert error.elements == {"ClientComputedContentSHA256": value, "S3ComputedContentSHA256": EMPTY_SHA256}


def test_only_the_one_base64_form_of_a_checksum_is_taken() -> None:
    found = digests(CRC)
    found.update(BODY)
    found.verify()
    # The same bytes, with bits behind the last of them.
    assert base64.b64decode("y/Q5Jh==") == base64.b64decode(CRC["x-amz-checksum-crc32"])
    assert refusal(lambda: digests({"x-amz-checksum-crc32": "y/Q5Jh=="})).code == "InvalidRequest"
    trailing = digests({"x-amz-trailer": "x-amz-checksum-crc32"}, TRAILER)
    trailing.update(BODY)
    assert refusal(lambda: trailing.verify({"x-amz-checksum-crc32": "y/Q5Jh=="})).code == "InvalidRequest"
    assert refusal(lambda: digests({"content-md5": "1B2M2Y8AsgTpgAmY7PhCfh=="})).code == "InvalidDigest"


def test_a_part_has_to_have_the_checksum_of_its_upload() -> None:
    error = refusal(lambda: digests(CRC, required="SHA256"))
    assert error.code == "InvalidRequest"
    assert error.message == (
        "Checksum Type mismatch occurred, expected checksum Type: sha256, actual checksum Type: crc32"
    )
    digests(CRC, required="CRC32")
    found = digests({}, required="SHA256")
    found.verify()
    assert list(found.checksums) == ["SHA256"]
    missing = refusal(lambda: digests({}, required="SHA256", announce=True))
    assert missing.code == "InvalidRequest"
    assert missing.message == (
        "Checksum Type mismatch occurred, expected checksum Type: sha256, actual checksum Type: null"
    )
    digests(CRC, required="CRC32", announce=True)


def test_each_algorithm_runs_once() -> None:
    found = digests({"x-amz-checksum-sha256": value_of("SHA256", b"")}, EMPTY_SHA256)
    assert sorted(found._hashers) == ["MD5", "SHA256"]
    found = digests({"x-amz-checksum-md5": value_of("MD5", b"")})
    assert sorted(found._hashers) == ["MD5"]
    found.verify()
    assert found.checksums == {"MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}


def test_algorithm_of_a_new_upload() -> None:
    assert parse_algorithm("crc32c").name == "CRC32C"
    error = refusal(lambda: parse_algorithm("CRC16"))
    assert error.message.endswith(
        "valid types: [CRC32, CRC32C, CRC64NVME, MD5, SHA1, SHA256, SHA512, XXHASH128, XXHASH3, XXHASH64]"
    )


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        (None, None, None),
        (None, "CRC32", "COMPOSITE"),
        (None, "CRC64NVME", "FULL_OBJECT"),
        (None, "SHA256", "COMPOSITE"),
        ("FULL_OBJECT", "CRC32C", "FULL_OBJECT"),
        ("composite", "CRC32", "COMPOSITE"),
    ],
)
def test_type_of_a_new_upload(value: str | None, name: str | None, expected: str | None) -> None:
    assert parse_checksum_type(value, None if name is None else ALGORITHMS[name]) == expected


@pytest.mark.parametrize(
    ("value", "name", "message"),
    [
        ("FULL_OBJECT", "SHA256", "The FULL_OBJECT checksum type cannot be used with the sha256 checksum algorithm."),
        ("COMPOSITE", "CRC64NVME", "The COMPOSITE checksum type cannot be used with the crc64nvme checksum algorithm."),
        ("HALF", "CRC32", "Value for x-amz-checksum-type header is invalid."),
        (
            "COMPOSITE",
            None,
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
        ),
    ],
)
def test_types_that_do_not_fit(value: str, name: str | None, message: str) -> None:
    error = refusal(lambda: parse_checksum_type(value, None if name is None else ALGORITHMS[name]))
    assert (error.code, error.message) == ("InvalidRequest", message)


def test_a_composite_value_is_taken_at_completion_only() -> None:
    headers = {"x-amz-checksum-crc32": "y/Q5Jg==-3"}
    assert announced_checksum(headers.get, headers, composite_parts=True) == (ALGORITHMS["CRC32"], "y/Q5Jg==-3")
    assert announced_checksum(CRC.get, CRC, composite_parts=True) == (ALGORITHMS["CRC32"], "y/Q5Jg==")
    headers = {"x-amz-checksum-crc32": "y/Q5Jg==-x"}
    assert refusal(lambda: announced_checksum(headers.get, headers, composite_parts=True)).code == "InvalidRequest"


@given(
    st.dictionaries(
        st.sampled_from(
            ["content-md5", "x-amz-trailer", "x-amz-sdk-checksum-algorithm", "x-amz-checksum-type", "x-amz-checksum-x"]
            + [algorithm.header for algorithm in ALGORITHMS.values()]
        ),
        st.text(alphabet=st.characters(max_codepoint=255)) | st.sampled_from(["CRC32", "x-amz-checksum-crc32"]),
        max_size=3,
    ),
    st.none() | st.text(alphabet=st.characters(max_codepoint=255)) | st.just(TRAILER),
    st.binary(),
)
def test_any_headers_are_verified_or_refused(headers: dict[str, str], payload_hash: str | None, body: bytes) -> None:
    try:
        found = digests(headers, payload_hash)
        found.update(body)
        found.verify(dict.fromkeys(headers, "AAAA"))
    except S3Error:
        return
    assert found.etag == hashlib.md5(body).hexdigest()
