"""What operations of several families need of a request."""

from __future__ import annotations

from backends.api import ALWAYS, BucketRecord, Precondition
from workers.iam.authorization import check_expected_owner
from workers.protocol.conditions import WriteConditions
from workers.request import Request


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
