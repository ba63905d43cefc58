"""Retention and legal hold of an object in a bucket where none can be set."""

from __future__ import annotations

from workers.operations.common import check_owner
from workers.operations.versions import head_version
from workers.protocol.errors import S3Error
from workers.request import Request, Response
from workers.routing import Level, operation


@operation("GetObjectRetention", "GET", Level.OBJECT, query="retention", action="s3:GetObjectRetention", versioned=True)
@operation(
    "GetObjectLegalHold", "GET", Level.OBJECT, query="legal-hold", action="s3:GetObjectLegalHold", versioned=True
)
def get_object_lock(request: Request) -> Response:
    """What AWS answers where the bucket has no object lock."""
    check_owner(request)
    head_version(request)
    raise S3Error("InvalidRequest", "Bucket is missing Object Lock Configuration")
