"""RenameObject: another key for an object, in one step where the storage can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from backends.api import KeyNotStorable, NoSuchObject, ObjectRecord, Precondition
from workers.authorizing import known_bucket, may
from workers.operations.common import check_owner
from workers.protocol.conditions import ReadConditions, evaluate_read, parse_etag_list
from workers.protocol.errors import S3Error
from workers.protocol.names import MAX_KEY_BYTES, check_key
from workers.protocol.target import decode_key
from workers.request import Request, Response
from workers.routing import Level, operation

HEADER: Final = "x-amz-rename-source"
_OF_SOURCE: Final = ("s3:GetObject", "s3:DeleteObject")


@operation("RenameObject", "PUT", Level.OBJECT, query="renameObject", action="s3:PutObject", writes=True)
def rename_object(request: Request) -> Response:
    """Rename within the bucket; conditions on both ends are checked at the moment of renaming."""
    sources = _sources(request)
    target_condition = _condition(request.header, "", existing_needed=True)
    source_condition = _condition(request.header, HEADER + "-", existing_needed=False)
    check_owner(request)
    denial: S3Error | None = None
    for source in sources:
        denial = denial or may(request, known_bucket(request), _OF_SOURCE, source)
        if denial is not None:
            continue
        try:
            if source == request.key:
                request.services.backend.head_object(request.caller, request.bucket, source)
                break
            request.services.backend.rename_object(
                request.caller, request.bucket, source, request.key, source_condition, target_condition
            )
        except (NoSuchObject, KeyNotStorable):
            continue
        return Response(200)
    if denial is not None:
        raise denial
    if request.key in sources:
        raise S3Error("InvalidRequest", "The source and the destination of a rename are the same key.")
    raise S3Error("NoSuchKey", Key=sources[-1])


def _sources(request: Request) -> list[str]:
    """The keys that the header may mean, the first that there is counts.

    It is a percent-encoded key, perhaps behind a slash, as in AWS's samples of this operation; clients that write it
    like `x-amz-copy-source` put the bucket before it.
    """
    value = request.header(HEADER)
    if value is None:
        raise S3Error("InvalidArgument", "Missing required header", ArgumentName=HEADER, ArgumentValue="null")
    key = decode_key(value.removeprefix("/"))
    if not key:
        raise S3Error(
            "InvalidArgument", "The rename source must be a key.", ArgumentName=HEADER, ArgumentValue=value[:2048]
        )
    prefix = request.bucket + "/"
    rest = key[len(prefix) :] if key.startswith(prefix) else ""
    if not rest:
        check_key(key)
        return [key]
    check_key(rest)
    return [key, rest] if len(key.encode()) <= MAX_KEY_BYTES else [rest]


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
