"""What AWS answers for the configuration of a fresh bucket, so that tools which read all of it work.

One table. A configuration that can be set gets a module of its own and leaves it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from workers.iam.accounts import ROOT_ACCOUNT_ID
from workers.operations.common import require_bucket
from workers.protocol.errors import S3Error
from workers.protocol.xml import Node, document
from workers.request import Request, Response, xml_response
from workers.routing import Handler, Level, operation


@dataclass(frozen=True, slots=True)
class _Fresh:
    """One configuration: its operation, and either a document or the error that says that there is none."""

    name: str
    query: str
    action: str
    root: str = ""
    nodes: Callable[[str], list[Node]] = lambda owner: []
    error: str = ""


FRESH: Final = (
    _Fresh("GetBucketCors", "cors", "s3:GetBucketCORS", error="NoSuchCORSConfiguration"),
    _Fresh("GetBucketVersioning", "versioning", "s3:GetBucketVersioning", "VersioningConfiguration"),
    _Fresh(
        "GetObjectLockConfiguration",
        "object-lock",
        "s3:GetBucketObjectLockConfiguration",
        error="ObjectLockConfigurationNotFoundError",
    ),
    _Fresh(
        "GetBucketLifecycleConfiguration",
        "lifecycle",
        "s3:GetLifecycleConfiguration",
        error="NoSuchLifecycleConfiguration",
    ),
    # AWS encrypts every new bucket. Until this gateway does, saying so would be a lie.
    _Fresh(
        "GetBucketEncryption",
        "encryption",
        "s3:GetEncryptionConfiguration",
        error="ServerSideEncryptionConfigurationNotFoundError",
    ),
    _Fresh("GetBucketWebsite", "website", "s3:GetBucketWebsite", error="NoSuchWebsiteConfiguration"),
    _Fresh(
        "GetBucketNotificationConfiguration", "notification", "s3:GetBucketNotification", "NotificationConfiguration"
    ),
    _Fresh("GetBucketLogging", "logging", "s3:GetBucketLogging", "BucketLoggingStatus"),
    _Fresh(
        "GetBucketRequestPayment",
        "requestPayment",
        "s3:GetBucketRequestPayment",
        "RequestPaymentConfiguration",
        lambda owner: [("Payer", "BucketOwner")],
    ),
    _Fresh(
        "GetBucketAccelerateConfiguration",
        "accelerate",
        "s3:GetAccelerateConfiguration",
        "AccelerateConfiguration",
    ),
    _Fresh(
        "GetBucketReplication",
        "replication",
        "s3:GetReplicationConfiguration",
        error="ReplicationConfigurationNotFoundError",
    ),
)

# Configurations of which a bucket can have many: a list of them, or one by its id.
_MANY: Final = (
    ("Analytics", "analytics", "s3:GetAnalyticsConfiguration"),
    ("IntelligentTiering", "intelligent-tiering", "s3:GetIntelligentTieringConfiguration"),
    ("Inventory", "inventory", "s3:GetInventoryConfiguration"),
    ("Metrics", "metrics", "s3:GetMetricsConfiguration"),
)


def _handler(fresh: _Fresh) -> Handler:
    @operation(fresh.name, "GET", Level.BUCKET, query=fresh.query, action=fresh.action)
    def answer(request: Request) -> Response:
        bucket = require_bucket(request)
        if fresh.error:
            raise S3Error(fresh.error, BucketName=request.bucket)
        return xml_response(document(fresh.root, fresh.nodes(bucket.owner or ROOT_ACCOUNT_ID)))

    return answer


def _list_handler(name: str, query: str, action: str) -> Handler:
    @operation(f"ListBucket{name}Configurations", "GET", Level.BUCKET, query=query, action=action)
    def answer(request: Request) -> Response:
        require_bucket(request)
        if "id" in request.query:
            raise S3Error("NoSuchConfiguration", BucketName=request.bucket)
        root = f"ListBucket{name}ConfigurationsOutput" if name == "IntelligentTiering" else _list_root(name)
        return xml_response(document(root, [("IsTruncated", False)]))

    return answer


def _list_root(name: str) -> str:
    return {
        "Analytics": "ListBucketAnalyticsConfigurationResult",
        "Inventory": "ListInventoryConfigurationsResult",
        "Metrics": "ListMetricsConfigurationsResult",
    }[name]


HANDLERS: Final = tuple(_handler(fresh) for fresh in FRESH) + tuple(_list_handler(*row) for row in _MANY)
