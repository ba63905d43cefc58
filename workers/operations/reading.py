"""GetObject and HeadObject."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from backends.api import ObjectRecord, OpenObject
from workers.operations.common import check_owner
from workers.operations.object_headers import (
    checksum_headers,
    object_headers,
    range_checksum_headers,
    wants_checksums,
)
from workers.operations.parts import PART_RANGE, part_range
from workers.operations.refusals import check_object_read
from workers.operations.versions import head_version, open_version, version_id
from workers.protocol.conditions import Outcome, evaluate_read, if_range_holds, read_conditions
from workers.protocol.errors import S3Error
from workers.protocol.headers import bounded_integer
from workers.protocol.ranges import Range, parse_range
from workers.request import Request, Response
from workers.routing import Level, operation
from workers.streams import ObjectStream, Segment

_SECOND = 1_000_000_000
_PART_NUMBER = frozenset(("partNumber",))
MOST_OVERLAP = 16
"""How many times the size of an object its ranges may have in all; beyond it the object is sent once, whole."""
NOT_MODIFIED_HEADERS = ("etag", "last-modified", "cache-control", "expires", "x-amz-version-id")


@operation("GetObject", "GET", Level.OBJECT, action="s3:GetObject", modifiers=_PART_NUMBER, versioned=True)
def get_object(request: Request) -> Response:
    """An object's data, whole or in ranges. Opened first, then described: headers and data are of one version."""
    number = _part_number(request)
    check_owner(request)
    opened = open_version(request, request.bucket, request.key, version_id(request))
    stream = None
    try:
        response = _describe(request, opened.record)
        if response.status not in (304,):
            stream = _stream(request, opened, response, number)
            response.stream = stream
        return response
    finally:
        if stream is None:
            opened.close()


@operation("HeadObject", "HEAD", Level.OBJECT, action="s3:GetObject", modifiers=_PART_NUMBER, versioned=True)
def head_object(request: Request) -> Response:
    """An object's headers, as a GET would give them."""
    number = _part_number(request)
    check_owner(request)
    record = head_version(request)
    response = _describe(request, record)
    if response.status == 304:
        return response
    ranges = _ranges(request, record, response, number)
    if ranges is None:
        response.headers["content-length"] = str(record.size)
    elif not ranges:
        response.headers["content-length"] = "0"
    elif len(ranges) == 1:
        _partial(response, ranges[0], record.size)
    else:
        _, length = _multipart_segments(response, ranges, record.size)
        response.headers["content-length"] = str(length)
    return response


def _describe(request: Request, record: ObjectRecord) -> Response:
    """Headers and conditions, before ranges: 200, or 304. Raises `S3Error` PreconditionFailed."""
    check_object_read(request)
    headers = object_headers(request, record)
    conditions = read_conditions(request.header)
    if (
        conditions is not None
        and evaluate_read(conditions, record.etag, record.modified // _SECOND) is Outcome.NOT_MODIFIED
    ):
        return Response(304, {name: headers[name] for name in NOT_MODIFIED_HEADERS if name in headers})
    return Response(200, headers)


def _part_number(request: Request) -> int | None:
    """The part that a read asks for, which is checked before it is looked for. Raises `S3Error`."""
    number = request.query.get("partNumber") if request.query else None
    if number is None:
        return None
    if request.header("range") is not None:
        raise S3Error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
    return bounded_integer("partNumber", number, 1, 10_000, PART_RANGE)


def _ranges(request: Request, record: ObjectRecord, response: Response, number: int | None) -> Sequence[Range] | None:
    """What is asked of an object, None for all of it. Adds what the whole or a part is described by."""
    ranges = _asked_ranges(request, record, response, number)
    if record.checksums and wants_checksums(request):
        if ranges is None:
            response.headers.update(checksum_headers(record))
        elif len(ranges) == 1:
            response.headers.update(range_checksum_headers(record, ranges[0]))
    return ranges


def _asked_ranges(
    request: Request, record: ObjectRecord, response: Response, number: int | None
) -> Sequence[Range] | None:
    """What is asked of an object, None for all of it. Adds the number of its parts where one of them is asked for."""
    if number is not None:
        return _part(record, number, response)
    header = request.header("range")
    if header is not None:
        if_range = request.header("if-range")
        if if_range is None or if_range_holds(if_range, record.etag, record.modified // _SECOND):
            ranges = parse_range(header, record.size)
            if ranges is not None and not _wasteful(ranges, record.size):
                return ranges
    return None


def _wasteful(ranges: Sequence[Range], size: int) -> bool:
    """Whether ranges overlap so much that they ask for the object many times over (RFC 9110 section 14.2)."""
    return len(ranges) > 1 and sum(part.length for part in ranges) > MOST_OVERLAP * size


def _part(record: ObjectRecord, number: int, response: Response) -> Sequence[Range] | None:
    """The bytes of one part. An object that was not uploaded in parts is its own part 1."""
    if record.parts is not None:
        response.headers["x-amz-mp-parts-count"] = str(record.parts.count)
    found = part_range(record, number)
    if found is None:
        raise S3Error(
            "InvalidPartNumber",
            ActualPartCount=str(record.parts.count if record.parts else 1),
            PartNumberRequested=str(number),
        )
    if found.length:
        return (found,)
    # A part without bytes is not the whole object, unless that has none either.
    return () if record.size else None


def _stream(request: Request, opened: OpenObject, response: Response, number: int | None) -> ObjectStream:
    record = opened.record
    ranges = _ranges(request, record, response, number)
    if ranges is None:
        segments: list[Segment] = [Segment(b"", 0, record.size)]
        response.headers["content-length"] = str(record.size)
    elif not ranges:
        segments = [Segment(b"", 0, 0)]
        response.headers["content-length"] = "0"
    elif len(ranges) == 1:
        _partial(response, ranges[0], record.size)
        segments = [Segment(b"", ranges[0].first, ranges[0].length)]
    else:
        segments, length = _multipart_segments(response, ranges, record.size)
        response.headers["content-length"] = str(length)
    return ObjectStream(opened, segments)


def _partial(response: Response, part: Range, size: int) -> None:
    response.status = 206
    response.headers["content-range"] = part.content_range(size)
    response.headers["content-length"] = str(part.length)


def _multipart_segments(response: Response, ranges: Sequence[Range], size: int) -> tuple[list[Segment], int]:
    """The body of `multipart/byteranges` (RFC 9110 section 14.6) and its length; sets status and type."""
    boundary = secrets.token_hex(16)
    content_type = response.headers["content-type"]
    segments = []
    separator = f"--{boundary}\r\n"
    for part in ranges:
        head = f"{separator}Content-Type: {content_type}\r\nContent-Range: {part.content_range(size)}\r\n\r\n"
        segments.append(Segment(head.encode("latin-1"), part.first, part.length))
        separator = f"\r\n--{boundary}\r\n"
    segments.append(Segment(f"\r\n--{boundary}--\r\n".encode(), 0, 0))
    response.status = 206
    response.headers["content-type"] = f"multipart/byteranges; boundary={boundary}"
    return segments, sum(len(segment.prefix) + segment.length for segment in segments)
