"""CreateBucket, HeadBucket, DeleteBucket, GetBucketLocation."""

from __future__ import annotations

import logging
from typing import Final

import redis

from backends.api import BucketExists, BucketRecord
from workers.operations.bucket_tagging import store_tags
from workers.operations.common import require_bucket
from workers.operations.refusals import check_bucket_acl, refuse_selectors
from workers.protocol.documents import BucketCreation, parse_create_bucket
from workers.protocol.errors import S3Error
from workers.protocol.headers import boolean
from workers.protocol.names import check_bucket_tags
from workers.protocol.xml import document
from workers.request import Request, Response, xml_response
from workers.routing import Level, Xml, operation

logger = logging.getLogger("shardgate.buckets")

US_EAST_1: Final = "us-east-1"
OWNERSHIPS: Final = ("BucketOwnerPreferred", "ObjectWriter", "BucketOwnerEnforced")


@operation(
    "CreateBucket",
    "PUT",
    Level.BUCKET,
    action="s3:CreateBucket",
    writes=True,
    body=Xml(parse_create_bucket, limit=64 * 1024, required=False),
)
def create_bucket(request: Request) -> Response:
    """Make a bucket. Making one's own again is a success in us-east-1 and an error elsewhere, as with AWS."""
    check_bucket_acl(request)
    refuse_selectors(request, "x-amz-bucket-namespace")
    if boolean("x-amz-bucket-object-lock-enabled", request.header("x-amz-bucket-object-lock-enabled")):
        raise S3Error("NotImplemented", "Object lock is not implemented.", Header="x-amz-bucket-object-lock-enabled")
    _check_ownership(request.header("x-amz-object-ownership"))
    wanted: BucketCreation = request.payload
    _check_location(request, wanted)
    tags = check_bucket_tags(wanted.tags)
    services = request.services
    record = BucketRecord(
        name=request.bucket,
        created=services.clock(),
        owner=request.caller.account_id,
        region=services.settings.region,
    )
    headers = {"location": "/" + request.bucket}
    try:
        services.backend.create_bucket(request.caller, record)
    except BucketExists:
        existing = services.backend.get_bucket(request.caller, request.bucket)
        if existing.owner != request.caller.account_id:
            raise
        if services.settings.region != US_EAST_1:
            raise S3Error("BucketAlreadyOwnedByYou", BucketName=request.bucket) from None
        return Response(200, headers)
    if tags:
        store_tags(request, tags)
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


def _check_ownership(value: str | None) -> None:
    if value is None or value == "BucketOwnerEnforced":
        return
    if value not in OWNERSHIPS:
        raise S3Error("InvalidArgument", ArgumentName="x-amz-object-ownership", ArgumentValue=value[:64])
    raise S3Error("NotImplemented", f"Object ownership {value} is not implemented.", Header="x-amz-object-ownership")


@operation("HeadBucket", "HEAD", Level.BUCKET, action="s3:ListBucket")
def head_bucket(request: Request) -> Response:
    """Whether there is such a bucket, and in which region."""
    require_bucket(request)
    return Response(
        200,
        {"x-amz-bucket-region": request.services.settings.region, "x-amz-access-point-alias": "false"},
    )


@operation("DeleteBucket", "DELETE", Level.BUCKET, action="s3:DeleteBucket", writes=True)
def delete_bucket(request: Request) -> Response:
    """Remove an empty bucket, and the multipart uploads that were begun in it and never ended."""
    require_bucket(request)
    services = request.services
    unfinished = [upload.id for upload in services.backend.list_uploads(request.caller, request.bucket)]
    services.backend.delete_bucket(request.caller, request.bucket)
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
