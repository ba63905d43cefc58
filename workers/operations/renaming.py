"""RenameObject: another key for an object, in one step where the storage can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from backends.api import ObjectRecord, Precondition
from workers.operations.common import check_owner
from workers.protocol.conditions import ReadConditions, evaluate_read, parse_etag_list
from workers.protocol.errors import S3Error
from workers.protocol.names import check_key
from workers.protocol.target import decode_key
from workers.request import Request, Response
from workers.routing import Level, operation

HEADER: Final = "x-amz-rename-source"


@operation("RenameObject", "PUT", Level.OBJECT, query="renameObject", action="s3:PutObject", writes=True)
def rename_object(request: Request) -> Response:
    """Rename within the bucket; conditions on both ends are checked at the moment of renaming."""
    source = _source(request)
    target_condition = _condition(request.header, "", existing_needed=True)
    source_condition = _condition(request.header, HEADER + "-", existing_needed=False)
    check_owner(request)
    if source == request.key:
        raise S3Error("InvalidRequest", "The source and the destination of a rename are the same key.")
    request.services.backend.rename_object(
        request.caller, request.bucket, source, request.key, source_condition, target_condition
    )
    return Response(200)


def _source(request: Request) -> str:
    """The source's key. The header is percent-encoded, `[/]bucket/key`, and the bucket must be this one."""
    value = request.header(HEADER)
    if value is None:
        raise S3Error("InvalidArgument", "Missing required header", ArgumentName=HEADER, ArgumentValue="null")
    bucket, slash, key = decode_key(value.removeprefix("/")).partition("/")
    if not slash or bucket != request.bucket or not key:
        raise S3Error(
            "InvalidArgument",
            "The rename source must be a key in the same bucket: bucket/key",
            ArgumentName=HEADER,
            ArgumentValue=value[:2048],
        )
    check_key(key)
    return key


def _condition(header: Callable[[str], str | None], prefix: str, *, existing_needed: bool) -> Precondition:
    """The four conditions of one end; `existing_needed`: a condition on a missing object fails instead of holding."""
    match, none_match = header(prefix + "if-match"), header(prefix + "if-none-match")
    modified, unmodified = header(prefix + "if-modified-since"), header(prefix + "if-unmodified-since")
    if match is None and none_match is None and modified is None and unmodified is None:
        return Precondition()
    conditions = ReadConditions(match, none_match, modified, unmodified, copy_source=True)

    def guard(current: ObjectRecord | None) -> None:
        if current is not None:
            evaluate_read(conditions, current.etag, current.modified // 1_000_000_000)
        elif existing_needed and (match is not None or modified is not None or unmodified is not None):
            raise S3Error("PreconditionFailed", Condition="If-Match" if match is not None else "If-Unmodified-Since")

    if none_match is not None and parse_etag_list(none_match) == "*":
        return Precondition(if_none_match=("*",), guard=guard)
    return Precondition(guard=guard)
