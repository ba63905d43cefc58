"""An object's record as response headers, and a request's headers as the draft of a record."""

from __future__ import annotations

from backends.api import NULL_VERSION, ObjectRecord
from workers.authorizing import known_bucket
from workers.body import is_streamed
from workers.iam.acl import owner_of_new_object
from workers.operations.access_control import ACL_HEADERS, acl_of_write, stored_form
from workers.operations.parts import part_checksums
from workers.operations.refusals import check_object_write
from workers.protocol.checksums import ALGORITHMS
from workers.protocol.headers import (
    DEFAULT_CONTENT_TYPE,
    DEFAULT_STORAGE_CLASS,
    content_headers,
    metadata_headers,
    response_overrides,
    storage_class,
    user_metadata,
)
from workers.protocol.names import parse_tagging_header
from workers.protocol.ranges import Range
from workers.protocol.times import http_date
from workers.request import Request


def object_headers(request: Request, record: ObjectRecord) -> dict[str, str]:
    """The headers that describe an object in the answer to a GET or HEAD; lengths and checksums come apart."""
    headers = dict(record.headers)
    if "content-type" not in headers:
        headers["content-type"] = DEFAULT_CONTENT_TYPE
    headers["etag"] = f'"{record.etag}"'
    headers["last-modified"] = http_date(record.modified)
    headers["accept-ranges"] = "bytes"
    if record.metadata:
        headers.update(metadata_headers(record.metadata))
    if record.tags:
        headers["x-amz-tagging-count"] = str(len(record.tags))
    if record.storage_class != DEFAULT_STORAGE_CLASS:
        headers["x-amz-storage-class"] = record.storage_class
    if record.version_id != NULL_VERSION:
        headers["x-amz-version-id"] = record.version_id
    if request.query:
        headers.update(response_overrides(request.query.get, anonymous=request.account is None))
    return headers


def checksum_headers(record: ObjectRecord) -> dict[str, str]:
    """The stored checksums of an object as headers."""
    if not record.checksums:
        return {}
    headers = {ALGORITHMS[name].header: value for name, value in record.checksums.items()}
    headers["x-amz-checksum-type"] = record.checksum_type or "FULL_OBJECT"
    return headers


def range_checksum_headers(record: ObjectRecord, found: Range) -> dict[str, str]:
    """The stored checksums of a range of an object as headers: of the whole, or of one part; none of other ranges."""
    if found.length == record.size and record.checksum_type != "COMPOSITE":
        return checksum_headers(record)
    headers = {ALGORITHMS[name].header: value for name, value in part_checksums(record, found).items()}
    if headers:
        headers["x-amz-checksum-type"] = record.checksum_type
    return headers


def wants_checksums(request: Request) -> bool:
    """Whether a read asks for the stored checksums."""
    mode = request.header("x-amz-checksum-mode")
    return mode is not None and mode.upper() == "ENABLED"


def draft_record(request: Request) -> ObjectRecord:
    """What a request says of the object that it writes; size, ETag, time and checksums are filled in later.

    Raises `S3Error` for what is malformed, too large, or cannot be had.
    """
    check_object_write(request)
    owner, acl = _ownership(request)
    tagging = request.header("x-amz-tagging")
    return ObjectRecord(
        size=0,
        etag="",
        headers=content_headers(request.header, streamed=is_streamed(request)),
        metadata=user_metadata(request.metadata_headers()),
        tags=parse_tagging_header(tagging) if tagging else {},
        storage_class=storage_class(request.header("x-amz-storage-class")),
        owner=owner,
        acl=acl,
    )


def _ownership(request: Request) -> tuple[str, str]:
    """Owner and ACL of an object that a request writes, as its record has them. Raises `S3Error`."""
    access = known_bucket(request).access
    asks = request.has_any(ACL_HEADERS)
    if access.acls_disabled and not asks:
        return access.owner, ""
    writer = request.caller.account_id
    acl = acl_of_write(request, writer or access.owner, access) if asks else None
    owner = owner_of_new_object(access.ownership, writer, access.owner, acl)
    return owner, "" if access.acls_disabled else stored_form(acl, owner)
