"""Headers that describe objects."""

import email.header
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.protocol.errors import S3Error
from workers.protocol.headers import (
    METADATA_LIMIT,
    boolean,
    bounded_integer,
    canned_acl,
    content_headers,
    decode_metadata,
    encode_metadata,
    expected_owner,
    metadata_headers,
    put_size,
    response_overrides,
    storage_class,
    user_metadata,
)

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]))


def refusal(action: Callable[[], object]) -> S3Error:
    with pytest.raises(S3Error) as caught:
        action()
    return caught.value


def test_content_headers_are_stored_as_they_came() -> None:
    headers = {
        "cache-control": "no-cache",
        "content-disposition": 'attachment; filename="Ã¤"',
        "content-encoding": "gzip",
        "content-language": "de",
        "content-type": "text/plain; charset=utf-8",
        "expires": "never",
        "x-amz-website-redirect-location": "/other",
    }
    assert content_headers({**headers, "content-length": "5"}.get, streamed=True) == headers


def test_content_type_has_a_default() -> None:
    assert content_headers({}.get, streamed=False) == {"content-type": "binary/octet-stream"}
    assert content_headers({"content-type": ""}.get, streamed=False) == {"content-type": "binary/octet-stream"}


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("aws-chunked", None),
        ("AWS-Chunked", None),
        ("aws-chunked,gzip", "gzip"),
        ("gzip, aws-chunked , br", "gzip, br"),
        ("aws-chunked, gzip", "gzip"),
        ("gzip,aws-chunked,br", "gzip,br"),
        ("gzip, br", "gzip, br"),
        ("aws-chunked,", None),
    ],
)
def test_aws_chunked_is_not_stored(value: str, stored: str | None) -> None:
    headers = {"content-encoding": value}
    assert content_headers(headers.get, streamed=True).get("content-encoding") == stored
    # It says nothing about the transfer of a body that did not come in this coding.
    assert content_headers(headers.get, streamed=False).get("content-encoding") == value


@pytest.mark.parametrize("value", ["other", "ftp://x/", "javascript:x", "/" * 2049])
def test_a_website_redirect_is_a_path_or_an_http_url(value: str) -> None:
    assert (
        refusal(lambda: content_headers({"x-amz-website-redirect-location": value}.get, streamed=False)).status == 400
    )


def test_response_overrides() -> None:
    query = {"response-content-type": "text/ä", "response-expires": "soon", "versionId": "1"}
    assert response_overrides(query.get, anonymous=False) == {"content-type": "text/Ã¤", "expires": "soon"}
    assert response_overrides({}.get, anonymous=True) == {}
    assert refusal(lambda: response_overrides(query.get, anonymous=True)).code == "InvalidRequest"


@pytest.mark.parametrize("value", ["a\r\nset-cookie: b", "a\nb", "\0", "\x7f"])
def test_a_response_override_cannot_add_a_header(value: str) -> None:
    query = {"response-content-disposition": value}
    assert refusal(lambda: response_overrides(query.get, anonymous=False)).code == "InvalidArgument"


def test_user_metadata_is_taken_from_its_headers() -> None:
    headers = [("X-Amz-Meta-Colour", "red"), ("x-amz-meta-a", "1"), ("X-AMZ-META-A", "2"), ("x-amz-date", "now")]
    assert user_metadata(headers) == {"colour": "red", "a": "1,2"}
    assert metadata_headers({"colour": "red", "ä": "ö"})[0] == ("x-amz-meta-colour", "red")
    assert refusal(lambda: user_metadata([("x-amz-meta-", "x")])).code == "InvalidArgument"


def test_user_metadata_has_a_limit_of_utf_8_bytes() -> None:
    user_metadata([("x-amz-meta-abcd", "x" * (METADATA_LIMIT - 4))])
    error = refusal(lambda: user_metadata([("x-amz-meta-abcd", "x" * (METADATA_LIMIT - 3))]))
    assert error.code == "MetadataTooLarge"
    assert error.elements == {"Size": "2049", "MaxSizeAllowed": "2048"}
    umlauts = ("ä" * (METADATA_LIMIT // 2)).encode().decode("latin-1")
    assert user_metadata([("x-amz-meta-a", umlauts[:-2])]) == {"a": "ä" * (METADATA_LIMIT // 2 - 1)}
    assert refusal(lambda: user_metadata([("x-amz-meta-a", umlauts)])).code == "MetadataTooLarge"


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("plain", "plain"),
        ("Ã¤", "ä"),  # UTF-8 on the wire
        ("\xe4", "ä"),  # ISO 8859-1 on the wire
        ("=?UTF-8?B?w6Q=?=", "ä"),
        ("=?utf-8?q?=C3=A4_=C3=b6?=", "ä ö"),
        ("=?ISO-8859-1?Q?=E4?=", "ä"),
        ("=?UTF-8*de?Q?=C3=A4?=", "ä"),
        ("a =?UTF-8?Q?b?= c", "a b c"),
        ("=?UTF-8?Q?a?= =?UTF-8?Q?b?=", "ab"),
        ("=?UTF-8?Q?a=?=", "=?UTF-8?Q?a=?="),
        ("=?UTF-8?Q?a=XY?=", "=?UTF-8?Q?a=XY?="),
        ("=?UTF-8?B?w6?=", "=?UTF-8?B?w6?="),
        ("=?UTF-8?B?w===?=", "=?UTF-8?B?w===?="),
        ("=?UTF-8?Q?=C3?=", "=?UTF-8?Q?=C3?="),
        ("=?EBCDIC?Q?a?=", "=?EBCDIC?Q?a?="),
        ("=?UTF-8?X?a?=", "=?UTF-8?X?a?="),
        ("a=?b", "a=?b"),
        ("x?= =?y", "x?= =?y"),
    ],
)
def test_metadata_values_as_sent_and_stored(sent: str, stored: str) -> None:
    assert decode_metadata(sent) == stored


@pytest.mark.parametrize(
    ("stored", "sent"),
    [
        ("plain", "plain"),
        ("", ""),
        ("mostly readable ä", "=?UTF-8?Q?mostly_readable_=C3=A4?="),
        ("äöü", "=?UTF-8?B?w6TDtsO8?="),
        ("a\r\nb: c", "=?UTF-8?Q?a=0D=0Ab:_c?="),
        (" x", "=?UTF-8?Q?_x?="),
        ("=?UTF-8?Q?a?=", "=?UTF-8?Q?=3D=3FUTF-8=3FQ=3Fa=3F=3D?="),
    ],
)
def test_metadata_values_as_returned(stored: str, sent: str) -> None:
    assert encode_metadata(stored) == sent


@given(TEXT)
def test_a_returned_metadata_value_is_a_safe_header_that_reads_back(text: str) -> None:
    value = encode_metadata(text)
    assert value.isascii()
    assert not value or value.isprintable()
    assert decode_metadata(value) == text
    if value != text:
        assert all(len(word) <= 75 for word in value.split(" "))
        decoded = "".join(
            part.decode(charset or "ascii") if isinstance(part, bytes) else part
            for part, charset in email.header.decode_header(value)
        )
        assert decoded == text


@given(st.text(alphabet=st.characters(max_codepoint=255)) | st.text(alphabet="=?UTF-8QB_ a"))
def test_any_value_can_be_stored_and_returned(value: str) -> None:
    stored = decode_metadata(value)
    assert decode_metadata(encode_metadata(stored)) == stored


def test_storage_class() -> None:
    assert storage_class(None) == "STANDARD"
    assert storage_class("GLACIER_IR") == "GLACIER_IR"
    error = refusal(lambda: storage_class("standard"))
    assert (error.code, error.elements) == ("InvalidStorageClass", {"StorageClassRequested": "standard"})


def test_canned_acl_and_expected_owner() -> None:
    assert canned_acl(None) is None
    assert canned_acl("public-read") == "public-read"
    assert refusal(lambda: canned_acl("secret")).elements == {"ArgumentName": "x-amz-acl", "ArgumentValue": "secret"}
    assert expected_owner(None) is None
    assert expected_owner("012345678901") == "012345678901"
    for value in ("", "12345678901", "0123456789ab", "²12345678901"):
        assert refusal(lambda owner=value: expected_owner(owner)).code == "InvalidBucketOwnerAWSAccountID"


def test_booleans() -> None:
    assert boolean("x", None) is False
    assert boolean("x", "True") is True
    assert boolean("x", "false") is False
    assert refusal(lambda: boolean("x", "yes")).elements == {"ArgumentName": "x", "ArgumentValue": "yes"}


@pytest.mark.parametrize("value", ["", "a", "-", "1.5", "²", "9" * 5000, "--1", "+1"])
def test_what_is_no_number(value: str) -> None:
    error = refusal(lambda: bounded_integer("max-keys", value, 0, 1000))
    assert error.message == "Provided max-keys not an integer or within integer range"


def test_bounded_integers() -> None:
    assert bounded_integer("max-keys", "0", 0, 1000) == 0
    assert bounded_integer("max-keys", "1000", 0, 1000) == 1000
    for value in ("-1", "1001"):
        error = refusal(lambda number=value: bounded_integer("max-keys", number, 0, 1000))
        assert error.message == "Argument max-keys must be an integer between 0 and 1000"
        assert error.elements == {"ArgumentName": "max-keys", "ArgumentValue": value}
    assert refusal(lambda: bounded_integer("n", "0", 1, 2, "Other")).message == "Other"


def test_size_of_a_put() -> None:
    assert put_size("0") == 0
    assert put_size(str(5 << 30)) == 5 << 30
    assert refusal(lambda: put_size(None)).code == "MissingContentLength"
    for value in ("", "-1", "x", "²"):
        assert refusal(lambda size=value: put_size(size)).code == "InvalidArgument"
    for value in (str((5 << 30) + 1), "9" * 5000):
        error = refusal(lambda size=value: put_size(size))
        assert error.code == "EntityTooLarge"
        assert error.elements == {"ProposedSize": value, "MaxSizeAllowed": str(5 << 30)}
