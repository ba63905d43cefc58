"""Rules for the names that clients choose: buckets, keys, tags.

Sources: "General purpose bucket naming rules", "Naming Amazon S3 objects" and "Categorizing your storage using tags"
in the Amazon S3 user guide.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from workers.protocol.errors import S3Error
from workers.protocol.target import parse_query

MAX_KEY_BYTES: Final = 1024
MAX_OBJECT_TAGS: Final = 10
MAX_BUCKET_TAGS: Final = 50
MAX_TAG_KEY: Final = 128
MAX_TAG_VALUE: Final = 256

_LABEL_CHARACTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789-"
_DIGITS: Final = frozenset("0123456789")
_RESERVED_PREFIXES: Final = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_SUFFIXES: Final = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
_TAG_PUNCTUATION: Final = frozenset("+-=._:/@")
_TAG_CATEGORIES: Final = frozenset("LNZ")  # letters, numbers, separators of every script


def is_bucket_name(name: str) -> bool:
    """Whether a general purpose bucket may have this name.

    3 to 63 lower-case letters, digits, dots and hyphens; each part between dots begins and ends with a letter or
    digit; not in the form of an IP address; none of the prefixes and suffixes that AWS keeps for itself. So a name
    that begins with a dot or a hyphen is never a client's.
    """
    return 3 <= len(name) <= 63 and _is_well_formed(name)


@lru_cache(maxsize=4096)
def _is_well_formed(name: str) -> bool:
    labels = name.split(".")
    for label in labels:
        if not label or label.strip(_LABEL_CHARACTERS) or label[0] == "-" or label[-1] == "-":
            return False
        if not label.isascii():
            return False
    if len(labels) == 4 and all(_DIGITS.issuperset(label) for label in labels):
        return False
    return not name.startswith(_RESERVED_PREFIXES) and not name.endswith(_RESERVED_SUFFIXES)


def check_bucket_name(name: str) -> None:
    """Raise ``InvalidBucketName`` for a name that no bucket can have."""
    if not is_bucket_name(name):
        raise S3Error("InvalidBucketName", BucketName=name)


def check_key(key: str) -> None:
    """Raise ``KeyTooLongError`` beyond 1024 bytes of UTF-8, ``InvalidURI`` for an empty key or a lone surrogate."""
    if 0 < len(key) <= MAX_KEY_BYTES // 4 and key.isprintable():
        return
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise S3Error("InvalidURI", URI=key.encode("utf-8", "replace").decode()) from None
    if not size:
        raise S3Error("InvalidURI", URI="")
    if size > MAX_KEY_BYTES:
        raise S3Error("KeyTooLongError", Size=str(size), MaxSizeAllowed=str(MAX_KEY_BYTES))


def check_object_tags(tags: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The tags of an object by key. Raises ``BadRequest`` for more than 10, ``InvalidTag``."""
    return _check_tags(tags, MAX_OBJECT_TAGS, f"Object tags cannot be greater than {MAX_OBJECT_TAGS}")


def check_bucket_tags(tags: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The tags of a bucket by key. Raises ``BadRequest`` for more than 50, ``InvalidTag``."""
    return _check_tags(tags, MAX_BUCKET_TAGS, f"Bucket tag count cannot be greater than {MAX_BUCKET_TAGS}")


def parse_tagging_header(value: str) -> dict[str, str]:
    """The tags of an ``x-amz-tagging`` header, which is written like a query.

    Raises ``InvalidArgument`` for another form or a repeated key, and what :func:`check_object_tags` raises.
    """
    try:
        pairs = parse_query(value).pairs
    except S3Error:
        pairs = None
    if pairs is None or len(dict(pairs)) != len(pairs):
        raise S3Error(
            "InvalidArgument",
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag "
            "name duplicates.",
            ArgumentName="x-amz-tagging",
            ArgumentValue=value,
        )
    return check_object_tags(pairs)


def _check_tags(tags: Iterable[tuple[str, str]], maximum: int, too_many: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in tags:
        if len(found) == maximum:
            raise S3Error("BadRequest", too_many)
        if not 1 <= len(key) <= MAX_TAG_KEY or not _is_tag_text(key):
            raise S3Error("InvalidTag", "The TagKey you have provided is invalid", TagKey=key)
        if key[:4].lower() == "aws:":
            raise S3Error("InvalidTag", "System tags cannot be added/updated by requester", TagKey=key)
        if len(value) > MAX_TAG_VALUE or not _is_tag_text(value):
            raise S3Error("InvalidTag", "The TagValue you have provided is invalid", TagKey=key, TagValue=value)
        if key in found:
            raise S3Error("InvalidTag", "Cannot provide multiple Tags with the same key", TagKey=key)
        found[key] = value
    return found


def _is_tag_text(text: str) -> bool:
    return all(
        character in _TAG_PUNCTUATION or unicodedata.category(character)[0] in _TAG_CATEGORIES for character in text
    )
