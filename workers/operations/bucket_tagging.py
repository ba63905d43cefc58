"""GetBucketTagging, PutBucketTagging, DeleteBucketTagging."""

from __future__ import annotations

import json
from typing import Final

from workers.operations.common import require_bucket
from workers.protocol.documents import SMALL_LIMIT, parse_tagging
from workers.protocol.errors import S3Error
from workers.protocol.names import check_bucket_tags
from workers.protocol.xml import document, escape_replacing
from workers.request import Request, Response, xml_response
from workers.routing import Level, Xml, operation

DOCUMENT: Final = "tagging"
"""The name under which the backend keeps a bucket's tags: a JSON object."""


def store_tags(request: Request, tags: dict[str, str]) -> None:
    """Replace a bucket's tags."""
    data = json.dumps(tags, ensure_ascii=False).encode()
    request.services.buckets.put_document(request.bucket, DOCUMENT, data)


@operation("GetBucketTagging", "GET", Level.BUCKET, query="tagging", action="s3:GetBucketTagging")
def get_bucket_tagging(request: Request) -> Response:
    """The bucket's tags."""
    require_bucket(request)
    stored = request.services.backend.get_document(request.bucket, DOCUMENT)
    if stored is None:
        raise S3Error("NoSuchTagSet", BucketName=request.bucket)
    tags: dict[str, str] = json.loads(stored.data)
    return xml_response(
        document(
            "Tagging",
            [("TagSet", [("Tag", [("Key", key), ("Value", value)]) for key, value in tags.items()])],
            escaping=escape_replacing,
        )
    )


@operation(
    "PutBucketTagging",
    "PUT",
    Level.BUCKET,
    query="tagging",
    action="s3:PutBucketTagging",
    writes=True,
    body=Xml(parse_tagging, limit=SMALL_LIMIT),
)
def put_bucket_tagging(request: Request) -> Response:
    """Replace the bucket's tags."""
    tags = check_bucket_tags(request.payload)
    require_bucket(request)
    store_tags(request, tags)
    return Response(204)


@operation("DeleteBucketTagging", "DELETE", Level.BUCKET, query="tagging", action="s3:PutBucketTagging", writes=True)
def delete_bucket_tagging(request: Request) -> Response:
    """Remove the bucket's tags."""
    require_bucket(request)
    request.services.buckets.delete_document(request.bucket, DOCUMENT)
    return Response(204)
