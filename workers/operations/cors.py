"""A browser's preflight request. No bucket has a CORS configuration yet, so none is granted."""

from __future__ import annotations

from workers.protocol.errors import S3Error
from workers.request import Request, Response
from workers.routing import Level, operation


@operation("Preflight", "OPTIONS", Level.SERVICE, action="", anonymous=True)
@operation("PreflightBucket", "OPTIONS", Level.BUCKET, action="", anonymous=True)
@operation("PreflightObject", "OPTIONS", Level.OBJECT, action="", anonymous=True)
def preflight(request: Request) -> Response:
    """What AWS answers for a bucket without a CORS configuration."""
    if request.header("origin") is None:
        raise S3Error("BadRequest", "Insufficient information. Origin request header needed.")
    if request.header("access-control-request-method") is None:
        raise S3Error("BadRequest", "Invalid Access-Control-Request-Method: null")
    raise S3Error(
        "AccessForbidden",
        "CORSResponse: CORS is not enabled for this bucket.",
        Method=request.header("access-control-request-method") or "",
        ResourceType="BUCKET" if not request.key else "OBJECT",
    )
