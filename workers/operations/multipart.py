"""CreateMultipartUpload, UploadPart, UploadPartCopy, AbortMultipartUpload."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from backends.api import PartRecord, UploadRecord
from workers.body import RequestBody, open_body
from workers.iam.policy.principals import ANONYMOUS
from workers.operations.common import check_owner, require_bucket
from workers.operations.copying import HEADER as COPY_SOURCE
from workers.operations.copying import CopySourceName, open_source, parse_copy_source
from workers.operations.object_headers import draft_record
from workers.operations.parts import PART_RANGE
from workers.operations.range_source import RangeSource
from workers.protocol.checksums import ALGORITHMS, DEFAULT_ALGORITHM, parse_algorithm, parse_checksum_type
from workers.protocol.errors import S3Error
from workers.protocol.headers import MAX_PUT_SIZE, bounded_integer
from workers.protocol.ranges import parse_copy_range
from workers.protocol.times import iso8601, parse_http_date
from workers.protocol.xml import Node, document, escape_replacing
from workers.request import Request, Response, xml_response
from workers.routing import Level, Stream, operation
from workers.state.uploads import Busy, Uploads, new_upload_id

_PART_MODIFIER: Final = frozenset(("partNumber",))


def uploads_of(request: Request) -> Uploads:
    """The state of multipart uploads. Raises `S3Error` ServiceUnavailable where the worker has no Redis."""
    uploads = request.services.uploads
    if uploads is None:
        raise S3Error("ServiceUnavailable", "Multipart uploads need Redis, and this gateway runs without.")
    return uploads


def find_upload(request: Request) -> UploadRecord:
    """The upload that a request names. Raises `NoSuchUpload`, `NoSuchBucket`."""
    check_owner(request)
    return uploads_of(request).get(request.caller, request.bucket, request.key, request.query.get("uploadId", ""))


def in_progress() -> S3Error:
    """The refusal of what cannot happen while an upload is completed."""
    return S3Error("OperationAborted", "The multipart upload is being completed.")


@operation("CreateMultipartUpload", "POST", Level.OBJECT, query="uploads", action="s3:PutObject", writes=True)
def create_multipart_upload(request: Request) -> Response:
    """Begin an upload; what the request says of the object is kept for its completion."""
    if request.principal is ANONYMOUS:
        # As on AWS: an upload is its initiator's, and this one could not be told from others.
        raise S3Error("AccessDenied", "Anonymous users cannot initiate multipart uploads. Please authenticate.")
    draft = draft_record(request)
    name = request.header("x-amz-checksum-algorithm")
    algorithm = parse_algorithm(name) if name else None
    kind = parse_checksum_type(request.header("x-amz-checksum-type"), algorithm)
    require_bucket(request)
    now = request.services.clock()
    upload = UploadRecord(
        id=new_upload_id(now),
        key=request.key,
        initiated=now,
        draft=draft,
        owner=request.caller.account_id,
        algorithm=algorithm.name if algorithm else DEFAULT_ALGORITHM,
        checksum_type=kind or "FULL_OBJECT",
        announced=algorithm is not None,
    )
    uploads_of(request).create(request.caller, request.bucket, upload)
    headers = {}
    if upload.announced:
        headers = {"x-amz-checksum-algorithm": upload.algorithm, "x-amz-checksum-type": upload.checksum_type}
    nodes: list[Node] = [("Bucket", request.bucket), ("Key", request.key), ("UploadId", upload.id)]
    return xml_response(document("InitiateMultipartUploadResult", nodes, escaping=escape_replacing), headers)


def _part_number(request: Request) -> int:
    number = request.query.get("partNumber")
    if number is None:
        raise S3Error("InvalidArgument", PART_RANGE, ArgumentName="partNumber", ArgumentValue="")
    return bounded_integer("partNumber", number, 1, 10_000, PART_RANGE)


class BodyPartSource:
    """A request's body as the source of a part."""

    __slots__ = ("_body", "_clock", "_number", "length")

    def __init__(self, body: RequestBody, number: int, clock: Callable[[], int]) -> None:
        self.length = body.length
        self._body = body
        self._number = number
        self._clock = clock

    def read(self, size: int, /) -> bytes:
        """The next bytes."""
        return self._body.read(size)

    def record(self) -> PartRecord:
        """The part's record, after the end."""
        digests = self._body.digests
        return PartRecord(
            number=self._number,
            size=self._body.count,
            etag=digests.etag,
            modified=self._clock(),
            checksums=digests.checksums,
        )


@operation(
    "UploadPart",
    "PUT",
    Level.OBJECT,
    query="uploadId",
    modifiers=_PART_MODIFIER,
    action="s3:PutObject",
    writes=True,
    body=Stream(limit=MAX_PUT_SIZE, deferred=True),
)
def upload_part(request: Request) -> Response:
    """Store the body as a part; the last of a number counts."""
    number = _part_number(request)
    upload = find_upload(request)
    # Without an announced algorithm a client may still protect each part with one of its own choice.
    body = open_body(
        request,
        MAX_PUT_SIZE,
        checksum=upload.algorithm,
        required=upload.algorithm if upload.announced else None,
        announce=upload.checksum_type == "COMPOSITE",
    )
    source = BodyPartSource(body, number, request.services.clock)
    part = _keep(
        request, upload, request.services.backend.put_part(request.caller, request.bucket, upload, number, source)
    )
    checksums = {ALGORITHMS[name].header: value for name, value in part.checksums.items()}
    return Response(200, {"etag": f'"{part.etag}"', **checksums})


def _keep(request: Request, upload: UploadRecord, part: PartRecord) -> PartRecord:
    """Let a stored part count, and remove the one that it replaces."""
    backend = request.services.backend
    try:
        replaced = uploads_of(request).add_part(request.caller, request.bucket, upload, part)
    except Busy:
        backend.discard_part(request.caller, request.bucket, upload, part)
        raise in_progress() from None
    if replaced is not None and replaced.place != part.place:
        backend.discard_part(request.caller, request.bucket, upload, replaced)
    return part


@operation(
    "UploadPartCopy",
    "PUT",
    Level.OBJECT,
    query="uploadId",
    header=COPY_SOURCE,
    modifiers=_PART_MODIFIER,
    action="s3:PutObject",
    writes=True,
)
def upload_part_copy(request: Request) -> Response:
    """Store a range of another object as a part."""
    number = _part_number(request)
    source = parse_copy_source(request.header(COPY_SOURCE) or "")
    upload = find_upload(request)
    opened = open_source(request, source)
    try:
        size = opened.record.size
        header = request.header("x-amz-copy-source-range")
        if header is not None:
            part_range = parse_copy_range(header, size)
            offset, length = part_range.first, part_range.length
        else:
            offset, length = 0, size
        if length > MAX_PUT_SIZE:
            raise S3Error("EntityTooLarge", ProposedSize=str(length), MaxSizeAllowed=str(MAX_PUT_SIZE))
        part_source = RangeSource(opened, offset, length, number, ALGORITHMS[upload.algorithm], request.services.clock)
        stored = request.services.backend.put_part(request.caller, request.bucket, upload, number, part_source)
    finally:
        opened.close()
    return _render_copy(source, opened.record.version_id, _keep(request, upload, stored))


def _render_copy(source: CopySourceName, version: str, part: PartRecord) -> Response:
    nodes: list[Node] = [("ETag", f'"{part.etag}"'), ("LastModified", iso8601(part.modified))]
    nodes += [(ALGORITHMS[name].element, value) for name, value in part.checksums.items()]
    headers = {} if source.version_id is None else {"x-amz-copy-source-version-id": version}
    return xml_response(document("CopyPartResult", nodes), headers)


@operation(
    "AbortMultipartUpload",
    "DELETE",
    Level.OBJECT,
    query="uploadId",
    action="s3:AbortMultipartUpload",
    writes=True,
)
def abort_multipart_upload(request: Request) -> Response:
    """End an upload and remove its parts."""
    upload = find_upload(request)
    wanted = request.header("x-amz-if-match-initiated-time")
    if wanted is not None:
        seconds = parse_http_date(wanted)
        if seconds is None:
            raise S3Error(
                "InvalidArgument",
                "Invalid value for x-amz-if-match-initiated-time",
                ArgumentName="x-amz-if-match-initiated-time",
                ArgumentValue=wanted[:64],
            )
        if seconds != upload.initiated // 1_000_000_000:
            raise S3Error("PreconditionFailed", Condition="x-amz-if-match-initiated-time")
    try:
        uploads_of(request).abort(request.caller, request.bucket, upload)
    except Busy:
        raise in_progress() from None
    return Response(204)
