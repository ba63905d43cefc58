"""ListBuckets."""

from __future__ import annotations

from typing import Final

from workers.authorizing import visible_buckets
from workers.operations.tokens import open_token, seal_token
from workers.protocol.errors import S3Error
from workers.protocol.headers import bounded_integer
from workers.protocol.names import is_bucket_name
from workers.protocol.times import iso8601
from workers.protocol.xml import document, escape_replacing
from workers.request import Request, Response, xml_response
from workers.routing import Authorization, Level, operation

MAX_BUCKETS: Final = 10_000


@operation(
    "ListBuckets",
    "GET",
    Level.SERVICE,
    action="s3:ListAllMyBuckets",
    authorization=Authorization.OPERATION,
)
def list_buckets(request: Request) -> Response:
    """All buckets that the caller may list, in pages when it asks for pages."""
    query = request.query
    prefix = query.get("prefix", "")
    after = open_token(query.get("continuation-token"))
    limit = MAX_BUCKETS
    if "max-buckets" in query:
        limit = bounded_integer("max-buckets", query["max-buckets"], 1, MAX_BUCKETS)
    region = query.get("bucket-region", "")
    ours = request.services.settings.region
    if region and region != ours:
        raise S3Error(
            "InvalidArgument",
            f"Argument value {region} is not a valid AWS Region",
            ArgumentName="bucket-region",
            ArgumentValue=region,
        )
    buckets = [
        bucket
        for bucket in visible_buckets(request)
        if bucket.name.startswith(prefix) and bucket.name > after and is_bucket_name(bucket.name)
    ]
    page = buckets[:limit]
    more = len(buckets) > len(page)
    account = request.account
    owner = ("Owner", [("ID", account.id), ("DisplayName", account.name)]) if account else ("Owner", None)
    return xml_response(
        document(
            "ListAllMyBucketsResult",
            [
                owner,
                (
                    "Buckets",
                    [
                        (
                            "Bucket",
                            [
                                ("Name", bucket.name),
                                ("CreationDate", iso8601(bucket.created)),
                                ("BucketRegion", ours if "max-buckets" in query or region else None),
                            ],
                        )
                        for bucket in page
                    ],
                ),
                ("ContinuationToken", seal_token(page[-1].name) if more else None),
                ("Prefix", prefix if "prefix" in query else None),
            ],
            escaping=escape_replacing,
        )
    )
