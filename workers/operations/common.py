"""What operations of several families need of a request."""

from __future__ import annotations

from typing import Final

from backends.api import ALWAYS, NULL_VERSION, BucketRecord, Precondition
from workers.iam.authorization import check_expected_owner
from workers.protocol.conditions import WriteConditions
from workers.protocol.errors import S3Error
from workers.request import Request

MAX_VERSION_ID: Final = 1024


def require_bucket(request: Request) -> BucketRecord:
    """The record of the request's bucket, whose owner is the one that the request expects, if it says so.

    Raises `NoSuchBucket`, `S3Error` AccessDenied.
    """
    record = request.services.backend.get_bucket(request.caller, request.bucket)
    check_expected_owner(request.header("x-amz-expected-bucket-owner"), record.owner)
    return record


def check_owner(request: Request) -> None:
    """Like `require_bucket`, but only where the request names an owner: object operations find out the rest anyway."""
    if request.header("x-amz-expected-bucket-owner") is not None:
        require_bucket(request)


def version_id(request: Request) -> str | None:
    """The version that a request names. Raises `S3Error` InvalidArgument for an empty or overlong one."""
    value = request.query.get("versionId") if request.query else None
    if value is None:
        return None
    return checked_version_id(value)


def checked_version_id(value: str) -> str:
    """A version id as a client sent it. Raises `S3Error` InvalidArgument or NoSuchVersion."""
    if value == "":
        raise S3Error("InvalidArgument", "Version id cannot be the empty string", ArgumentName="versionId")
    if value != NULL_VERSION and (len(value) > MAX_VERSION_ID or not (value.isascii() and value.isprintable())):
        raise S3Error(
            "InvalidArgument", "Invalid version id specified", ArgumentName="versionId", ArgumentValue=value[:64]
        )
    return value


def precondition(conditions: WriteConditions | None) -> Precondition:
    """The contract's form of a write's conditions."""
    if conditions is None:
        return ALWAYS
    return Precondition(
        if_match=conditions.if_match,
        if_none_match=("*",) if conditions.if_none_match else None,
        if_modified_second=conditions.modified_seconds,
        if_size=conditions.size,
    )
