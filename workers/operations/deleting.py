"""DeleteObject and DeleteObjects."""

from __future__ import annotations

import logging
from typing import Final

from gevent.pool import Pool

from backends.api import BackendError, NoSuchObject, NoSuchVersion
from workers.authorizing import known_bucket, may
from workers.backend_errors import refusal_of, s3_error
from workers.operations.common import check_owner, precondition, require_bucket
from workers.operations.versions import checked_version_id, delete_version, version_id
from workers.protocol.conditions import delete_conditions, deletion_of
from workers.protocol.documents import DELETE_LIMIT, DeleteRequest, ObjectToDelete, parse_delete
from workers.protocol.errors import S3Error
from workers.protocol.names import check_key
from workers.protocol.xml import Node, document, escape_replacing
from workers.request import Request, Response, xml_response
from workers.routing import Authorization, Level, Xml, operation

logger = logging.getLogger("shardgate.deleting")

PARALLEL: Final = 16
"""Deletions of one request that run at a time: each waits for a sync of the storage, and those overlap."""


@operation("DeleteObject", "DELETE", Level.OBJECT, action="s3:DeleteObject", versioned=True, writes=True)
def delete_object(request: Request) -> Response:
    """Remove an object; a missing one is no error unless a condition asks for it."""
    condition = precondition(delete_conditions(request.header))
    check_owner(request)
    named = version_id(request)
    try:
        delete_version(request, request.key, named, condition)
    except (NoSuchVersion, NoSuchObject):
        # Deleting what is not there succeeds, as it does without a version; only If-Match wants an object.
        if condition.if_match is not None:
            raise
    return Response(204, {"x-amz-version-id": named} if named else None)


@operation(
    "DeleteObjects",
    "POST",
    Level.BUCKET,
    query="delete",
    action="s3:DeleteObject",
    authorization=Authorization.OPERATION,
    writes=True,
    body=Xml(parse_delete, limit=DELETE_LIMIT, digest_required=True),
)
def delete_objects(request: Request) -> Response:
    """Remove up to a thousand objects; each has its own outcome."""
    wanted: DeleteRequest = request.payload
    require_bucket(request)
    known_bucket(request)
    outcomes = Pool(PARALLEL).map(lambda entry: _delete_entry(request, entry), wanted.objects)
    nodes: list[Node] = []
    for entry, error in zip(wanted.objects, outcomes, strict=True):
        if error is not None:
            nodes.append(("Error", _failed(entry, error)))
        elif not wanted.quiet:
            nodes.append(("Deleted", [("Key", entry.key), ("VersionId", entry.version_id)]))
    return xml_response(document("DeleteResult", nodes, escaping=escape_replacing))


def _failed(entry: ObjectToDelete, error: S3Error) -> list[Node]:
    return [
        ("Key", entry.key),
        ("VersionId", entry.version_id),
        ("Code", error.code),
        ("Message", error.message),
    ]


def _delete_entry(request: Request, entry: ObjectToDelete) -> S3Error | None:
    """Delete one object; what went wrong, or None."""
    try:
        check_key(entry.key)
        named = None if entry.version_id is None else checked_version_id(entry.version_id)
        action = "s3:DeleteObject" if named is None else "s3:DeleteObjectVersion"
        denial = may(request, known_bucket(request), (action,), entry.key, named)
        if denial is not None:
            return denial
        condition = precondition(deletion_of(entry.etag, entry.last_modified, entry.size))
        delete_version(request, entry.key, named, condition)
    except (NoSuchVersion, NoSuchObject) as error:
        if entry.etag is None:
            return None
        return s3_error(error, request.bucket, entry.key)
    except S3Error as error:
        return error
    except BackendError as error:
        fields = {"request_id": request.id, "bucket": request.bucket, "key": entry.key}
        return refusal_of(error, request.bucket, entry.key, logger, fields)
    return None
