"""Conditional requests: RFC 9110 section 13 as S3 applies it, for reads, copy sources, writes and deletions.

Stored ETags are passed and returned without quotes. In a list of ETags from a header, a weak one keeps its `W/`
prefix, which no stored ETag has.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from workers.protocol.errors import S3Error
from workers.protocol.times import parse_http_date

HeaderGetter = Callable[[str], str | None]
ETagList = tuple[str, ...] | Literal["*"]

_WEAK: Final = "W/"


class Outcome(Enum):
    """What a read's conditions came to; a failed one raises instead."""

    OK = "ok"
    NOT_MODIFIED = "not modified"


@dataclass(frozen=True, slots=True)
class ReadConditions:
    """The four conditions of a read, as sent. `copy_source`: they are a copy's conditions on its source."""

    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    if_unmodified_since: str | None = None
    copy_source: bool = False


@dataclass(frozen=True, slots=True)
class WriteConditions:
    """What must hold of the present object when a write or a deletion becomes visible.

    Attributes:
        if_match: ETags of which the object must have one; `("*",)` asks only that it exists; None: no condition.
        if_none_match: true when the object must not exist.
        modified_seconds: the second in which the object must have been modified last.
        size: the size in bytes that the object must have.
    """

    if_match: tuple[str, ...] | None = None
    if_none_match: bool = False
    modified_seconds: int | None = None
    size: int | None = None


def parse_etag_list(header: str) -> ETagList:
    """Return the ETags of an `If-Match` or `If-None-Match` header, or `"*"`.

    ETags lose their quotes, and may come without any, as S3 accepts; weak ones keep `W/` in front.
    """
    header = header.strip(" \t")
    if header == "*":
        return "*"
    if "," not in header and '"' not in header[1:-1]:  # PERF: one ETag, with quotes or without.
        return (header.strip('"'),) if header else ()
    etags: list[str] = []
    position = 0
    while position < len(header):
        if header[position] in ", \t":
            position += 1
            continue
        weak = ""
        if header.startswith('W/"', position):
            weak = _WEAK
            position += 2
        if header[position] == '"':
            end = header.find('"', position + 1)
            end = len(header) if end < 0 else end
            etags.append(weak + header[position + 1 : end])
            position = end + 1
        else:
            end = header.find(",", position)
            end = len(header) if end < 0 else end
            etags.append(header[position:end].rstrip(" \t"))
            position = end
    return tuple(etags)


def read_conditions(header: HeaderGetter) -> ReadConditions | None:
    """Return the conditions of a GetObject or HeadObject, or None when there is none."""
    match, none_match = header("if-match"), header("if-none-match")
    modified, unmodified = header("if-modified-since"), header("if-unmodified-since")
    if match is None and none_match is None and modified is None and unmodified is None:
        return None
    return ReadConditions(match, none_match, modified, unmodified)


def copy_source_conditions(header: HeaderGetter) -> ReadConditions | None:
    """Return the conditions of a copy on its source (`x-amz-copy-source-if-*`), or None when there is none."""
    match, none_match = header("x-amz-copy-source-if-match"), header("x-amz-copy-source-if-none-match")
    modified = header("x-amz-copy-source-if-modified-since")
    unmodified = header("x-amz-copy-source-if-unmodified-since")
    if match is None and none_match is None and modified is None and unmodified is None:
        return None
    return ReadConditions(match, none_match, modified, unmodified, copy_source=True)


def evaluate_read(conditions: ReadConditions, etag: str, modified_seconds: int) -> Outcome:
    """Return what the conditions come to for an object, in the order of RFC 9110 section 13.2.2.

    If-Unmodified-Since counts only without If-Match, If-Modified-Since only without If-None-Match; a date that is
    none is ignored. Raises S3Error PreconditionFailed with the name of the condition; on a copy's source that stands
    for NOT_MODIFIED too, as S3 answers 412 to all four.
    """
    if conditions.if_match is not None:
        if not _matches(parse_etag_list(conditions.if_match), etag, weakly=False):
            raise _failed("If-Match", conditions)
    elif conditions.if_unmodified_since is not None:
        limit = parse_http_date(conditions.if_unmodified_since)
        if limit is not None and modified_seconds > limit:
            raise _failed("If-Unmodified-Since", conditions)
    if conditions.if_none_match is not None:
        if _matches(parse_etag_list(conditions.if_none_match), etag, weakly=True):
            return _not_modified("If-None-Match", conditions)
    elif conditions.if_modified_since is not None:
        limit = parse_http_date(conditions.if_modified_since)
        if limit is not None and modified_seconds <= limit:
            return _not_modified("If-Modified-Since", conditions)
    return Outcome.OK


def if_range_holds(header: str, etag: str, modified_seconds: int) -> bool:
    """Return whether a `Range` beside this `If-Range` counts (RFC 9110 section 13.1.5): else the whole is sent."""
    value = header.strip(" \t")
    if value.startswith(_WEAK):
        return False
    if value.startswith('"'):
        return value.strip('"') == etag
    limit = parse_http_date(value)
    return modified_seconds == limit if limit is not None else value == etag


def write_conditions(header: HeaderGetter) -> WriteConditions | None:
    """Return the conditions of PutObject, CompleteMultipartUpload or a copy's destination, or None.

    `If-None-Match` takes only `*`, and only one condition may be sent: anything else is NotImplemented, as with S3.
    """
    match, none_match = header("if-match"), header("if-none-match")
    for name in ("If-Modified-Since", "If-Unmodified-Since"):
        if header(name.lower()) is not None:
            raise _not_implemented(name)
    if match is None and none_match is None:
        return None
    if none_match is not None:
        if match is not None or none_match.strip(" \t").strip('"') != "*":
            raise _not_implemented("If-None-Match")
        return WriteConditions(if_none_match=True)
    assert match is not None  # noqa: S101 - the case of neither has returned
    return WriteConditions(if_match=_required_etags(match))


def delete_conditions(header: HeaderGetter) -> WriteConditions | None:
    """Return the conditions of DeleteObject, or None: If-Match and the x-amz-if-match-* pair.

    Raises S3Error NotImplemented for `If-None-Match`, InvalidArgument for a malformed date or size.
    """
    if header("if-none-match") is not None:
        raise _not_implemented("If-None-Match")
    match = header("if-match")
    modified, size = header("x-amz-if-match-last-modified-time"), header("x-amz-if-match-size")
    if match is None and modified is None and size is None:
        return None
    return deletion_of(match, modified, size, names=("x-amz-if-match-last-modified-time", "x-amz-if-match-size"))


def deletion_of(
    etag: str | None, modified: str | None, size: str | None, *, names: tuple[str, str] = ("LastModifiedTime", "Size")
) -> WriteConditions | None:
    """Return the conditions of one deletion from its texts (headers, or the elements of DeleteObjects), or None.

    `names` are those of `modified` and `size` in an error. Raises S3Error InvalidArgument.
    """
    if etag is None and modified is None and size is None:
        return None
    modified_seconds = None if modified is None else parse_http_date(modified)
    if modified is not None and modified_seconds is None:
        raise _invalid(names[0], modified)
    number = None
    if size is not None:
        digits = size.strip(" \t")
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 19:
            raise _invalid(names[1], size)
        number = int(digits)
    return WriteConditions(
        if_match=None if etag is None else _required_etags(etag), modified_seconds=modified_seconds, size=number
    )


def _matches(wanted: ETagList, etag: str, *, weakly: bool) -> bool:
    if wanted == "*" or etag in wanted:
        return True
    return weakly and _WEAK + etag in wanted


def _required_etags(header: str) -> tuple[str, ...]:
    etags = parse_etag_list(header)
    return ("*",) if etags == "*" else etags


def _failed(name: str, conditions: ReadConditions) -> S3Error:
    return S3Error("PreconditionFailed", Condition=f"x-amz-copy-source-{name}" if conditions.copy_source else name)


def _not_modified(name: str, conditions: ReadConditions) -> Outcome:
    if conditions.copy_source:
        raise _failed(name, conditions)
    return Outcome.NOT_MODIFIED


def _not_implemented(name: str) -> S3Error:
    return S3Error("NotImplemented", Header=name)


def _invalid(name: str, value: str) -> S3Error:
    return S3Error("InvalidArgument", f"Invalid value for {name}", ArgumentName=name, ArgumentValue=value)
