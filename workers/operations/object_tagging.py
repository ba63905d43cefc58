"""GetObjectTagging, PutObjectTagging, DeleteObjectTagging."""

from __future__ import annotations

from backends.api import NULL_VERSION
from workers.operations.common import check_owner
from workers.operations.versions import head_version, update_version
from workers.protocol.documents import SMALL_LIMIT, parse_tagging
from workers.protocol.names import check_object_tags
from workers.protocol.xml import document, escape_replacing
from workers.request import Request, Response, xml_response
from workers.routing import Level, Xml, operation


@operation("GetObjectTagging", "GET", Level.OBJECT, query="tagging", action="s3:GetObjectTagging", versioned=True)
def get_object_tagging(request: Request) -> Response:
    """The object's tags; none is an empty set."""
    check_owner(request)
    record = head_version(request)
    return xml_response(
        document(
            "Tagging",
            [("TagSet", [("Tag", [("Key", key), ("Value", value)]) for key, value in record.tags.items()])],
            escaping=escape_replacing,
        ),
        _version_header(record.version_id),
    )


@operation(
    "PutObjectTagging",
    "PUT",
    Level.OBJECT,
    query="tagging",
    action="s3:PutObjectTagging",
    versioned=True,
    writes=True,
    body=Xml(parse_tagging, limit=SMALL_LIMIT, condition_tags=dict),
)
def put_object_tagging(request: Request) -> Response:
    """Replace the object's tags."""
    tags = check_object_tags(request.payload)
    return Response(200, _version_header(_replace_tags(request, tags)))


@operation(
    "DeleteObjectTagging",
    "DELETE",
    Level.OBJECT,
    query="tagging",
    action="s3:DeleteObjectTagging",
    versioned=True,
    writes=True,
)
def delete_object_tagging(request: Request) -> Response:
    """Remove the object's tags."""
    return Response(204, _version_header(_replace_tags(request, {})))


def _replace_tags(request: Request, tags: dict[str, str]) -> str:
    """Store tags; returns the version that has them now."""
    check_owner(request)
    return update_version(request, lambda before: before.replace(tags=tags)).version_id


def _version_header(version: str) -> dict[str, str]:
    return {} if version == NULL_VERSION else {"x-amz-version-id": version}
