"""The bucket policy, its status, and the public access block."""

from __future__ import annotations

from typing import Final

from workers.authorizing import fresh_bucket, known_bucket
from workers.buckets import POLICY, PUBLIC_ACCESS_BLOCK, REMOVED, block_of
from workers.iam.policy.model import Kind
from workers.iam.policy.parser import parse_policy
from workers.iam.policy.pinning import pin_principals, show_principals
from workers.iam.public_access import (
    PublicAccessBlock,
    check_policy,
    parse_public_access_block,
    policy_status_nodes,
)
from workers.operations.common import require_bucket
from workers.protocol.documents import SMALL_LIMIT
from workers.protocol.errors import S3Error
from workers.protocol.xml import document
from workers.request import Request, Response, xml_response
from workers.routing import Level, Xml, operation

POLICY_LIMIT: Final = 20 * 1024
"""Bytes of a bucket policy, as with AWS."""


@operation("GetBucketPolicy", "GET", Level.BUCKET, query="policy", action="s3:GetBucketPolicy")
def get_bucket_policy(request: Request) -> Response:
    """The policy as it was put; a user or role that is gone is shown by his id."""
    text = show_principals(_policy(request).decode(errors="replace"), request.services.directory.current_arn)
    return Response(200, {"content-type": "application/json"}, text.encode())


@operation(
    "PutBucketPolicy",
    "PUT",
    Level.BUCKET,
    query="policy",
    action="s3:PutBucketPolicy",
    writes=True,
    body=Xml(bytes),
)
def put_bucket_policy(request: Request) -> Response:
    """Replace the policy, if all of it is understood."""
    text: bytes = request.payload
    if len(text) > POLICY_LIMIT:
        raise S3Error("MalformedPolicy", "Policy exceeds the maximum allowed document size.")
    require_bucket(request)
    services = request.services
    principal_key = services.directory.principal_key
    policy = parse_policy(text, Kind.BUCKET, bucket=request.bucket, principal_key=principal_key)
    check_policy(policy, fresh_bucket(request).access.block)
    services.buckets.put_document(request.bucket, POLICY, pin_principals(text.decode(), principal_key).encode())
    return Response(204)


@operation("DeleteBucketPolicy", "DELETE", Level.BUCKET, query="policy", action="s3:DeleteBucketPolicy", writes=True)
def delete_bucket_policy(request: Request) -> Response:
    """Remove the policy; a missing one is no error."""
    require_bucket(request)
    request.services.buckets.delete_document(request.bucket, POLICY)
    return Response(204)


@operation("GetBucketPolicyStatus", "GET", Level.BUCKET, query="policyStatus", action="s3:GetBucketPolicyStatus")
def get_bucket_policy_status(request: Request) -> Response:
    """Whether the policy makes the bucket public."""
    _policy(request)
    policy = known_bucket(request).access.policy
    return xml_response(document("PolicyStatus", policy_status_nodes(None if policy is None else policy.policy)))


def _policy(request: Request) -> bytes:
    require_bucket(request)
    text = fresh_bucket(request).document(POLICY)
    if text is None:
        raise S3Error("NoSuchBucketPolicy", BucketName=request.bucket)
    return text


@operation(
    "GetPublicAccessBlock",
    "GET",
    Level.BUCKET,
    query="publicAccessBlock",
    action="s3:GetBucketPublicAccessBlock",
)
def get_public_access_block(request: Request) -> Response:
    """The four switches; all are on in a bucket where nobody changed them."""
    require_bucket(request)
    block = block_of(fresh_bucket(request).document(PUBLIC_ACCESS_BLOCK), request.bucket)
    if block is None:
        raise S3Error("NoSuchPublicAccessBlockConfiguration", BucketName=request.bucket)
    return xml_response(document("PublicAccessBlockConfiguration", block.nodes()))


@operation(
    "PutPublicAccessBlock",
    "PUT",
    Level.BUCKET,
    query="publicAccessBlock",
    action="s3:PutBucketPublicAccessBlock",
    writes=True,
    body=Xml(parse_public_access_block, limit=SMALL_LIMIT),
)
def put_public_access_block(request: Request) -> Response:
    """Set the four switches."""
    block: PublicAccessBlock = request.payload
    require_bucket(request)
    request.services.buckets.put_document(request.bucket, PUBLIC_ACCESS_BLOCK, block.encode())
    return Response(200)


@operation(
    "DeletePublicAccessBlock",
    "DELETE",
    Level.BUCKET,
    query="publicAccessBlock",
    action="s3:PutBucketPublicAccessBlock",
    writes=True,
)
def delete_public_access_block(request: Request) -> Response:
    """Switch all four off, and say no more that there is such a thing."""
    require_bucket(request)
    request.services.buckets.put_document(request.bucket, PUBLIC_ACCESS_BLOCK, REMOVED)
    return Response(204)
