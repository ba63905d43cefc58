"""CreateBucket, HeadBucket, DeleteBucket, GetBucketLocation."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import redis

from backends.api import BucketExists, BucketRecord, Caller
from workers.authorizing import fresh_bucket
from workers.buckets import ACL, OWNERSHIP, PUBLIC_ACCESS_BLOCK
from workers.iam.acl import Acl, Ownership, check_ownership, parse_ownership, private_acl
from workers.iam.decision import bucket_arn
from workers.iam.public_access import EVERYTHING_BLOCKED, NOTHING_BLOCKED, PublicAccessBlock, check_acl
from workers.operations.access_control import acl_in_headers
from workers.operations.bucket_tagging import store_tags
from workers.operations.common import require_bucket
from workers.operations.refusals import refuse_selectors
from workers.protocol.documents import BucketCreation, parse_create_bucket
from workers.protocol.errors import S3Error
from workers.protocol.headers import boolean
from workers.protocol.names import check_bucket_tags
from workers.protocol.xml import document
from workers.request import Request, Response, xml_response
from workers.routing import Authorization, Level, Xml, operation

logger = logging.getLogger("shardgate.buckets")

US_EAST_1: Final = "us-east-1"


def _location(wanted: BucketCreation) -> dict[str, str]:
    """The condition key that only the document tells."""
    constraint = wanted.location_constraint
    return {} if constraint is None else {"s3:locationconstraint": constraint}


@operation(
    "CreateBucket",
    "PUT",
    Level.BUCKET,
    action="s3:CreateBucket",
    authorization=Authorization.CREATION,
    writes=True,
    body=Xml(parse_create_bucket, limit=64 * 1024, required=False, condition_values=_location),
)
def create_bucket(request: Request) -> Response:
    """Make a bucket. Making one's own again resets its ACL in us-east-1 and is an error elsewhere, as with AWS."""
    identity = request.identity
    return make_bucket(request, request.caller, 0 if identity is None else identity.record.limits.buckets)


def make_bucket(request: Request, caller: Caller, most: int) -> Response:
    """Make the bucket that a request asks for.

    Args:
        caller: whose it will be, and on whose behalf it is made.
        most: how many buckets he may have, 0 for no limit.
    """
    refuse_selectors(request, "x-amz-bucket-namespace")
    if boolean("x-amz-bucket-object-lock-enabled", request.header("x-amz-bucket-object-lock-enabled")):
        raise S3Error("NotImplemented", "Object lock is not implemented.", Header="x-amz-bucket-object-lock-enabled")
    access = _access(request, caller.account_id)
    wanted: BucketCreation = request.payload
    _check_location(request, wanted)
    tags = check_bucket_tags(wanted.tags)
    services = request.services
    record = BucketRecord(
        name=request.bucket,
        created=services.clock(),
        owner=caller.account_id,
        region=services.settings.region,
    )
    headers = {"location": "/" + request.bucket, "x-amz-bucket-arn": bucket_arn(request.bucket)}
    try:
        if most:
            _check_number(request, caller, most)
        services.backend.create_bucket(caller, record)
    except BucketExists:
        existing = services.backend.get_bucket(caller, request.bucket)
        if existing.owner != caller.account_id:
            raise
        if services.settings.region != US_EAST_1:
            raise S3Error("BucketAlreadyOwnedByYou", BucketName=request.bucket) from None
        _reset_acl(request, access.acl)
        return Response(200, headers)
    # A bucket that nothing more is known of yet is one that is closed to everybody but its owner.
    for name, data in access.documents():
        services.backend.put_document(request.bucket, name, data)
    if tags:
        store_tags(request, tags)
    services.buckets.changed(request.bucket)
    return Response(200, headers)


def _check_location(request: Request, wanted: BucketCreation) -> None:
    region = request.services.settings.region
    if any((wanted.location_type, wanted.location_name, wanted.bucket_type, wanted.data_redundancy)):
        raise S3Error("NotImplemented", "Directory buckets are not implemented.")
    constraint = wanted.location_constraint
    if constraint is None:
        # AWS's own rule; a client without a region of its own sends no constraint and means the endpoint's.
        return
    if constraint == region and region != US_EAST_1:
        return
    if constraint == "EU" and region == "eu-west-1":
        return
    if constraint == US_EAST_1 == region:
        # AWS refuses the one region that must be left out; clients that name it anyway mean no harm.
        return
    if not constraint.replace("-", "").isalnum() or constraint == "":
        raise S3Error("InvalidLocationConstraint", LocationConstraint=constraint)
    raise S3Error(
        "IllegalLocationConstraintException",
        f"The {constraint} location constraint is incompatible for the region specific endpoint this request was "
        "sent to.",
    )


@dataclass(frozen=True, slots=True)
class _Access:
    """Who may do what with a new bucket, None for what AWS has in a fresh one."""

    ownership: Ownership | None
    block: PublicAccessBlock | None
    acl: Acl | None

    def documents(self) -> Iterator[tuple[str, bytes]]:
        """What is stored of it."""
        if self.ownership is not None:
            yield OWNERSHIP, self.ownership.value.encode()
        if self.block is not None:
            yield PUBLIC_ACCESS_BLOCK, self.block.encode()
        if self.acl is not None:
            yield ACL, self.acl.encode().encode()


def _access(request: Request, owner: str) -> _Access:
    """What a request and the settings say of a new bucket's ownership and ACL. Raises `S3Error`."""
    settings = request.services.settings
    named = request.header("x-amz-object-ownership")
    ownership = parse_ownership(settings.new_bucket_ownership if named is None else named)
    block = EVERYTHING_BLOCKED if settings.new_bucket_public_access_block else NOTHING_BLOCKED
    acl = acl_in_headers(request, owner, ownership, creating=True)
    check_ownership(acl, ownership, owner, creating=True)
    check_acl(acl, block, creating=True)
    return _Access(
        None if ownership is Ownership.BUCKET_OWNER_ENFORCED else ownership,
        None if block is EVERYTHING_BLOCKED else block,
        None if acl is None or acl == private_acl(owner) else acl,
    )


def _reset_acl(request: Request, acl: Acl | None) -> None:
    """Give a bucket that is there the ACL that a new one would have, where its ACL counts."""
    access = fresh_bucket(request).access
    if access.acls_disabled:
        return
    check_acl(acl, access.block, creating=True)
    buckets = request.services.buckets
    if acl is not None:
        buckets.put_document(request.bucket, ACL, acl.encode().encode())
    elif access.acl is not None:
        buckets.delete_document(request.bucket, ACL)


def _check_number(request: Request, caller: Caller, most: int) -> None:
    """Raise `S3Error` TooManyBuckets for an account that has as many as it may."""
    buckets = request.services.backend.list_buckets(caller)
    if sum(bucket.owner == caller.account_id for bucket in buckets) >= most:
        raise S3Error("TooManyBuckets")


@operation("HeadBucket", "HEAD", Level.BUCKET, action="s3:ListBucket")
def head_bucket(request: Request) -> Response:
    """Whether there is such a bucket, and in which region."""
    require_bucket(request)
    return Response(
        200,
        {
            "x-amz-bucket-arn": bucket_arn(request.bucket),
            "x-amz-bucket-region": request.services.settings.region,
            "x-amz-access-point-alias": "false",
        },
    )


@operation("DeleteBucket", "DELETE", Level.BUCKET, action="s3:DeleteBucket", writes=True)
def delete_bucket(request: Request) -> Response:
    """Remove an empty bucket, and the multipart uploads that were begun in it and never ended."""
    require_bucket(request)
    services = request.services
    unfinished = [upload.id for upload in services.backend.list_uploads(request.caller, request.bucket)]
    services.backend.delete_bucket(request.caller, request.bucket)
    services.buckets.changed(request.bucket)
    for upload_id in unfinished:
        services.backend.abort_upload(request.caller, request.bucket, upload_id)
    if services.uploads is not None:
        try:
            services.uploads.forget(request.bucket, unfinished)
        except redis.RedisError as error:
            # The bucket is gone, and an answer that says otherwise would be wrong. A Redis that was restarted believes
            # nothing of before; one that was only out of reach lists uploads that the storage does not know.
            logger.warning("redis: %s: %s", type(error).__name__, error, extra={"request_id": request.id})
    return Response(204)


@operation("GetBucketLocation", "GET", Level.BUCKET, query="location", action="s3:GetBucketLocation")
def get_bucket_location(request: Request) -> Response:
    """The region; us-east-1 is the empty one."""
    require_bucket(request)
    region = request.services.settings.region
    return xml_response(document("LocationConstraint", "" if region == US_EAST_1 else region))
