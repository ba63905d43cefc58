"""Headers that describe an object: what is stored of a request's, and what a response gives back.

Header values are native strings as WSGI has them: each character one byte (ISO 8859-1).
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from workers.protocol.errors import S3Error

HeaderGetter = Callable[[str], str | None]

DEFAULT_CONTENT_TYPE: Final = "binary/octet-stream"
DEFAULT_STORAGE_CLASS: Final = "STANDARD"

METADATA_PREFIX: Final = "x-amz-meta-"
METADATA_LIMIT: Final = 2048
"""Bytes of UTF-8 of all names (without their prefix) and values together."""

MAX_PUT_SIZE: Final = 5 * 1024**3
"""Bytes that one PutObject or UploadPart may have."""

CONTENT_HEADERS: Final = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-amz-website-redirect-location",
)
"""The headers that are stored with an object and returned as they came."""

RESPONSE_OVERRIDES: Final[Mapping[str, str]] = {
    "response-cache-control": "cache-control",
    "response-content-disposition": "content-disposition",
    "response-content-encoding": "content-encoding",
    "response-content-language": "content-language",
    "response-content-type": "content-type",
    "response-expires": "expires",
}
"""Query parameter of a signed read -> the response header that it replaces."""

STORAGE_CLASSES: Final = frozenset(
    {
        "STANDARD",
        "REDUCED_REDUNDANCY",
        "STANDARD_IA",
        "ONEZONE_IA",
        "INTELLIGENT_TIERING",
        "GLACIER",
        "GLACIER_IR",
        "DEEP_ARCHIVE",
        "EXPRESS_ONEZONE",
        "OUTPOSTS",
        "SNOW",
    }
)

CANNED_ACLS: Final = frozenset(
    {
        "private",
        "public-read",
        "public-read-write",
        "authenticated-read",
        "aws-exec-read",
        "bucket-owner-read",
        "bucket-owner-full-control",
        "log-delivery-write",
    }
)

_REDIRECT_LIMIT: Final = 2048
_WORD: Final = r"=\?[A-Za-z0-9._*-]+\?[BbQq]\?[!->@-~]*\?="
# White space between two encoded words is no part of the text (RFC 2047 section 6.2).
_ENCODED_WORDS: Final = re.compile(rf"{_WORD}(?:[ \t]+{_WORD})*")
_CHARSETS: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin1"})
_ENCODED_WORD_ROOM: Final = 75 - len("=?UTF-8?B??=")


def content_headers(header: HeaderGetter, *, streamed: bool) -> dict[str, str]:
    """Return the headers to store with an object, by lower-case name; Content-Type is always among them.

    `streamed`: the body was sent as `aws-chunked`, which describes the transfer then and is taken out of
    Content-Encoding. Raises S3Error InvalidRedirectLocation.
    """
    found: dict[str, str] = {}
    for name in CONTENT_HEADERS:
        value = header(name)
        if value:
            found[name] = value
    encoding = found.get("content-encoding")
    if streamed and encoding is not None and "aws-chunked" in encoding.lower():
        kept = [token for token in encoding.split(",") if token.strip(" \t").lower() not in ("", "aws-chunked")]
        rest = ",".join(kept).strip(" \t")  # the others keep the spaces between them
        if rest:
            found["content-encoding"] = rest
        else:
            del found["content-encoding"]
    found.setdefault("content-type", DEFAULT_CONTENT_TYPE)
    redirect = found.get("x-amz-website-redirect-location")
    if redirect is not None and (
        len(redirect) > _REDIRECT_LIMIT or not redirect.startswith(("/", "http://", "https://"))
    ):
        raise S3Error("InvalidRedirectLocation")
    return found


def response_overrides(parameter: HeaderGetter, *, anonymous: bool) -> dict[str, str]:
    """Return the response headers that `response-*` query parameters ask for.

    `parameter` gives a decoded parameter or None. Raises S3Error InvalidRequest to anonymous callers, as S3 does, and
    InvalidArgument for control characters.
    """
    overrides: dict[str, str] = {}
    for name, header in RESPONSE_OVERRIDES.items():
        value = parameter(name)
        if value is None:
            continue
        if anonymous:
            raise S3Error(
                "InvalidRequest", "Request specific response headers cannot be used for anonymous GET requests."
            )
        if any(character < " " or character == "\x7f" for character in value):
            raise S3Error(
                "InvalidArgument",
                "Header value cannot be represented using ISO-8859-1.",
                ArgumentName=name,
                ArgumentValue=value,
            )
        overrides[header] = value.encode().decode("latin-1")
    return overrides


def user_metadata(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the user metadata among a request's headers: lower-case name without `x-amz-meta-` -> text.

    A value is RFC 2047 encoded words, else UTF-8, else ISO 8859-1. Values of a repeated name are joined by commas, as
    RFC 9110 section 5.3 has it. Raises S3Error MetadataTooLarge beyond 2 KiB, InvalidArgument for an empty name.
    """
    metadata: dict[str, str] = {}
    for name, value in headers:
        name = name.lower()
        if not name.startswith(METADATA_PREFIX):
            continue
        name = name[len(METADATA_PREFIX) :]
        if not name:
            raise S3Error(
                "InvalidArgument",
                "Your metadata header has no name.",
                ArgumentName=METADATA_PREFIX,
                ArgumentValue=value,
            )
        text = decode_metadata(value)
        metadata[name] = f"{metadata[name]},{text}" if name in metadata else text
    size = metadata_size(metadata)
    if size > METADATA_LIMIT:
        raise S3Error("MetadataTooLarge", Size=str(size), MaxSizeAllowed=str(METADATA_LIMIT))
    return metadata


def metadata_size(metadata: Mapping[str, str]) -> int:
    """Return the bytes of UTF-8 of all names and values, which S3 limits."""
    return sum(len(name.encode()) + len(value.encode()) for name, value in metadata.items())


def metadata_headers(metadata: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return user metadata as response headers."""
    return [(METADATA_PREFIX + name, encode_metadata(value)) for name, value in metadata.items()]


def decode_metadata(value: str) -> str:
    """Return the text of a metadata header's value."""
    if not value.isascii():
        try:
            value = value.encode("latin-1").decode("utf-8")
        except UnicodeError:
            pass
    if "=?" not in value:
        return value
    return _ENCODED_WORDS.sub(_decode_words, value)


def encode_metadata(value: str) -> str:
    """Return a metadata text as a header value: itself when it is plain, else RFC 2047 encoded words, as with S3.

    Control characters and blanks at the ends, which an encoded word of the client may have brought, count as not
    plain: they must not become part of the head. So does text that would itself be read as an encoded word.
    """
    if value.isascii() and value.isprintable() and value == value.strip(" ") and "=?" not in value:
        return value
    # Like AWS: quoted-printable as long as most of the text stays readable in it.
    plain = sum(character.isascii() and character.isprintable() for character in value)
    quoted = plain * 2 > len(value)
    words: list[str] = []
    word = ""
    room = _ENCODED_WORD_ROOM if quoted else _ENCODED_WORD_ROOM // 4 * 3
    used = 0
    for character in value:
        encoded = _quote(character) if quoted else character
        length = len(encoded) if quoted else len(character.encode())
        if used + length > room:
            words.append(word)
            word, used = "", 0
        word += encoded
        used += length
    words.append(word)
    if quoted:
        return " ".join(f"=?UTF-8?Q?{word}?=" for word in words)
    return " ".join(f"=?UTF-8?B?{base64.b64encode(word.encode()).decode()}?=" for word in words)


def storage_class(value: str | None) -> str:
    """Return the storage class of an `x-amz-storage-class`, STANDARD without one. Raises InvalidStorageClass."""
    if value is None:
        return DEFAULT_STORAGE_CLASS
    if value not in STORAGE_CLASSES:
        raise S3Error("InvalidStorageClass", StorageClassRequested=value)
    return value


def canned_acl(value: str | None) -> str | None:
    """Return the canned ACL of an `x-amz-acl`, or None. Raises S3Error InvalidArgument."""
    if value is not None and value not in CANNED_ACLS:
        raise S3Error("InvalidArgument", ArgumentName="x-amz-acl", ArgumentValue=value)
    return value


def expected_owner(value: str | None) -> str | None:
    """Return an `x-amz-expected-bucket-owner`, 12 digits. Raises S3Error InvalidBucketOwnerAWSAccountID."""
    if value is not None and not (len(value) == 12 and value.isascii() and value.isdigit()):
        raise S3Error("InvalidBucketOwnerAWSAccountID", ExpectedBucketOwner=value)
    return value


def boolean(name: str, value: str | None) -> bool:
    """Return a header or parameter that is `true` or `false` in any case; false without it. InvalidArgument."""
    lower = "false" if value is None else value.lower()
    if lower not in ("true", "false"):
        raise S3Error("InvalidArgument", f"{name} must be true or false", ArgumentName=name, ArgumentValue=value or "")
    return lower == "true"


def bounded_integer(name: str, value: str, low: int, high: int, message: str | None = None) -> int:
    """Return a number from `low` to `high`. Raises S3Error InvalidArgument with `message` or S3's usual one."""
    negative = value.startswith("-")
    digits = value[1:] if negative else value
    if digits.isascii() and digits.isdigit() and len(digits) <= 19:
        number = -int(digits) if negative else int(digits)
        if low <= number <= high:
            return number
        usual = f"Argument {name} must be an integer between {low} and {high}"
    else:
        usual = f"Provided {name} not an integer or within integer range"
    raise S3Error("InvalidArgument", message or usual, ArgumentName=name, ArgumentValue=value)


def put_size(value: str | None, *, limit: int = MAX_PUT_SIZE) -> int:
    """Return the size of a body that has to announce it (Content-Length, or x-amz-decoded-content-length).

    Raises S3Error MissingContentLength, InvalidArgument or EntityTooLarge, so that a refused body is never read.
    """
    if value is None:
        raise S3Error("MissingContentLength")
    if not (value.isascii() and value.isdigit()):
        raise S3Error("InvalidArgument", "Invalid content length", ArgumentName="Content-Length", ArgumentValue=value)
    significant = value.lstrip("0") or "0"
    size = int(significant) if len(significant) <= 19 else limit + 1
    if size > limit:
        raise S3Error("EntityTooLarge", ProposedSize=significant, MaxSizeAllowed=str(limit))
    return size


def _decode_words(match: re.Match[str]) -> str:
    """Return the text of encoded words, or the words themselves when one cannot be decoded."""
    try:
        return "".join(_decode_word(word) for word in match[0].split())
    except (binascii.Error, ValueError):
        return match[0]


def _decode_word(word: str) -> str:
    """Return the text of one encoded word (RFC 2047 section 2). Raises ValueError."""
    charset, encoding, text = word[2:-2].split("?")
    charset = charset.lower().partition("*")[0]  # RFC 2231 section 5 may name a language behind it.
    if charset not in _CHARSETS:
        raise ValueError(f"unknown character set: {charset!r}")
    data = base64.b64decode(text, validate=True) if encoding in "Bb" else _unquote(text)
    return data.decode(charset)


def _unquote(text: str) -> bytes:
    """Return the bytes of the Q encoding (RFC 2047 section 4.2). Raises ValueError."""
    first, *rest = text.replace("_", " ").split("=")
    data = bytearray(first.encode("ascii"))
    for piece in rest:
        data.append(_hexadecimal(piece[:2]))
        data += piece[2:].encode("ascii")
    return bytes(data)


def _hexadecimal(digits: str) -> int:
    if len(digits) != 2 or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
        raise ValueError("two hexadecimal digits expected")
    return int(digits, 16)


def _quote(character: str) -> str:
    if character == " ":
        return "_"
    if character.isascii() and character.isprintable() and character not in '=?_"':
        return character
    return "".join(f"={byte:02X}" for byte in character.encode())
