"""ACLs of buckets and objects, and the ownership controls that decide whether they count."""

from __future__ import annotations

from collections.abc import Callable

from workers.authorizing import fresh_bucket, known_bucket
from workers.buckets import ACL, OWNERSHIP, REMOVED, ownership_of
from workers.iam.acl import (
    ACL_LIMIT,
    GRANT_HEADERS,
    Acl,
    Ownership,
    acl_nodes,
    acl_of_headers,
    check_ownership,
    decode_acl,
    ownership_nodes,
    parse_acl,
    parse_ownership_controls,
    private_acl,
)
from workers.iam.decision import BucketAccess
from workers.iam.public_access import check_acl
from workers.operations.common import check_owner, require_bucket
from workers.operations.versions import head_version, update_version
from workers.protocol.documents import SMALL_LIMIT
from workers.protocol.errors import S3Error
from workers.protocol.xml import document
from workers.request import Request, Response, environ_key, xml_response
from workers.routing import Level, Xml, operation

ACL_HEADERS = frozenset(environ_key(name) for name in ("x-amz-acl", *GRANT_HEADERS))


def acl_of_write(request: Request, owner: str, access: BucketAccess) -> Acl | None:
    """The ACL that the headers of a write ask for, None when they ask for none.

    Args:
        owner: canonical user id of who will own the object if nothing else decides.

    Raises `S3Error` AccessControlListNotSupported, AccessDenied, InvalidArgument and what `acl_of_headers` does.
    """
    acl = acl_in_headers(request, owner, access.ownership, bucket_owner=access.owner)
    check_ownership(acl, access.ownership, access.owner)
    check_acl(acl, access.block)
    return acl


def acl_in_headers(
    request: Request, owner: str, ownership: Ownership, *, bucket_owner: str | None = None, creating: bool = False
) -> Acl | None:
    """What `acl_of_headers` says; where ACLs are disabled, nobody cares whether the grantees of one exist."""
    try:
        return acl_of_headers(request.header, owner, request.services.directory.for_acls, bucket_owner=bucket_owner)
    except S3Error:
        if ownership.acls_enabled or request.header("x-amz-acl") is not None:
            raise
        raise S3Error("InvalidBucketAclWithObjectOwnership" if creating else "AccessControlListNotSupported") from None


def stored_form(acl: Acl | None, owner: str) -> str:
    """How an object's record has an ACL: "" for the private one of its owner."""
    if acl is None or acl.grants == private_acl(owner).grants:
        return ""
    return (acl if acl.owner == owner else Acl(owner, acl.grants)).encode()


@operation("GetBucketAcl", "GET", Level.BUCKET, query="acl", action="s3:GetBucketAcl")
def get_bucket_acl(request: Request) -> Response:
    """The bucket's ACL; the private one where ACLs do not count."""
    require_bucket(request)
    access = fresh_bucket(request).access
    counts = access.ownership.acls_enabled and access.acl is not None
    return _answer(request, access.acl if counts and access.acl is not None else private_acl(access.owner))


@operation(
    "PutBucketAcl",
    "PUT",
    Level.BUCKET,
    query="acl",
    action="s3:PutBucketAcl",
    writes=True,
    body=Xml(bytes, limit=ACL_LIMIT, required=False),
)
def put_bucket_acl(request: Request) -> Response:
    """Replace the bucket's ACL, by headers or by a document."""
    require_bucket(request)
    access = fresh_bucket(request).access
    acl = _asked_for(request, access.owner, None)
    check_ownership(acl, access.ownership, access.owner)
    check_acl(acl, access.block)
    request.services.buckets.put_document(request.bucket, ACL, acl.encode().encode())
    return Response(200)


@operation("GetObjectAcl", "GET", Level.OBJECT, query="acl", action="s3:GetObjectAcl", versioned=True)
def get_object_acl(request: Request) -> Response:
    """The object's ACL; the private one where ACLs do not count."""
    check_owner(request)
    access = known_bucket(request).access
    record = head_version(request)
    owner = record.owner or access.owner
    if not access.ownership.acls_enabled:
        return _answer(request, private_acl(access.owner))
    return _answer(request, decode_acl(record.acl) if record.acl else private_acl(owner))


@operation(
    "PutObjectAcl",
    "PUT",
    Level.OBJECT,
    query="acl",
    action="s3:PutObjectAcl",
    versioned=True,
    writes=True,
    body=Xml(bytes, limit=ACL_LIMIT, required=False),
)
def put_object_acl(request: Request) -> Response:
    """Replace the object's ACL, by headers or by a document. Its owner stays."""
    check_owner(request)
    access = known_bucket(request).access
    owner = head_version(request).owner or access.owner
    acl = _asked_for(request, owner, access.owner)
    check_ownership(acl, access.ownership, access.owner)
    check_acl(acl, access.block)
    form = stored_form(acl, owner)
    update_version(request, lambda before: before.replace(acl=form))
    return Response(200)


def _asked_for(request: Request, owner: str, bucket_owner: str | None) -> Acl:
    """The ACL that a request puts: in its headers or in its body, not in both."""
    directory = request.services.directory.for_acls
    by_headers = acl_of_headers(request.header, owner, directory, bucket_owner=bucket_owner)
    body: bytes = request.payload
    if by_headers is not None:
        if body:
            raise S3Error("UnexpectedContent")
        return by_headers
    if not body:
        raise S3Error("MissingSecurityHeader", MissingHeaderName="x-amz-acl")
    return parse_acl(body, owner, directory)


def _answer(request: Request, acl: Acl) -> Response:
    names: Callable[[str], str] = request.services.directory.display_name
    return xml_response(document("AccessControlPolicy", acl_nodes(acl, names)))


@operation(
    "GetBucketOwnershipControls",
    "GET",
    Level.BUCKET,
    query="ownershipControls",
    action="s3:GetBucketOwnershipControls",
)
def get_bucket_ownership_controls(request: Request) -> Response:
    """Who owns what is put into the bucket; its owner where nobody changed it."""
    require_bucket(request)
    ownership = ownership_of(fresh_bucket(request).document(OWNERSHIP), request.bucket)
    if ownership is None:
        raise S3Error("OwnershipControlsNotFoundError", BucketName=request.bucket)
    return xml_response(document("OwnershipControls", ownership_nodes(ownership)))


@operation(
    "PutBucketOwnershipControls",
    "PUT",
    Level.BUCKET,
    query="ownershipControls",
    action="s3:PutBucketOwnershipControls",
    writes=True,
    body=Xml(parse_ownership_controls, limit=SMALL_LIMIT),
)
def put_bucket_ownership_controls(request: Request) -> Response:
    """Set who owns what is put. ACLs are disabled only where the bucket's own grants nothing to others."""
    ownership: Ownership = request.payload
    require_bucket(request)
    acl = fresh_bucket(request).access.acl
    if not ownership.acls_enabled and acl is not None and not acl.is_private:
        raise S3Error("InvalidBucketAclWithObjectOwnership")
    request.services.buckets.put_document(request.bucket, OWNERSHIP, ownership.value.encode())
    return Response(200)


@operation(
    "DeleteBucketOwnershipControls",
    "DELETE",
    Level.BUCKET,
    query="ownershipControls",
    action="s3:PutBucketOwnershipControls",
    writes=True,
)
def delete_bucket_ownership_controls(request: Request) -> Response:
    """Remove the controls: whoever writes an object owns it, and ACLs count."""
    require_bucket(request)
    request.services.buckets.put_document(request.bucket, OWNERSHIP, REMOVED)
    return Response(204)
