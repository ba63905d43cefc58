"""The page docs/compatibility.md, made from the table of operations.

python -m workers.compatibility > docs/compatibility.md
"""

from __future__ import annotations

import sys
from typing import Final

from workers.operations import operation_table
from workers.routing import Level, NoBody, Operation, OperationTable, Xml

_INTRODUCTION: Final = """\
# S3 compatibility

What of the S3 API the gateway answers, one row for each operation. The page is made from the table that routes,
authorizes and counts requests: `python -m workers.compatibility > docs/compatibility.md`. How clients are set up, and
what conditions, ranges, checksums and errors do, is in [s3-users.md](s3-users.md).

Everything else is refused: a sub-resource or a selecting header that no row takes with `501 NotImplemented`, a method
that no row has with `405 MethodNotAllowed`. Nothing falls through to the plain operation: `PUT /bucket/key?acl` never
stores an object.

In the column *request*, `BUCKET` and `KEY` stand for path style; with `virtual_host_domains` set, `BUCKET.DOMAIN` as
host does the same. *Action* is the IAM action that the caller needs. A request that *changes* something is refused in
read-only mode. `versionId` is taken by the operations marked *v*; elsewhere on an object it is refused.
"""

S3_OPERATIONS: Final = frozenset(
    """AbortMultipartUpload CompleteMultipartUpload CopyObject CreateBucket CreateBucketMetadataConfiguration
    CreateBucketMetadataTableConfiguration CreateMultipartUpload CreateSession DeleteBucket
    DeleteBucketAnalyticsConfiguration DeleteBucketCors DeleteBucketEncryption
    DeleteBucketIntelligentTieringConfiguration DeleteBucketInventoryConfiguration DeleteBucketLifecycle
    DeleteBucketMetadataConfiguration DeleteBucketMetadataTableConfiguration DeleteBucketMetricsConfiguration
    DeleteBucketOwnershipControls DeleteBucketPolicy DeleteBucketReplication DeleteBucketTagging DeleteBucketWebsite
    DeleteObject DeleteObjectAnnotation DeleteObjectTagging DeleteObjects DeletePublicAccessBlock GetBucketAbac
    GetBucketAccelerateConfiguration GetBucketAcl GetBucketAnalyticsConfiguration GetBucketCors GetBucketEncryption
    GetBucketIntelligentTieringConfiguration GetBucketInventoryConfiguration GetBucketLifecycle
    GetBucketLifecycleConfiguration GetBucketLocation GetBucketLogging GetBucketMetadataConfiguration
    GetBucketMetadataTableConfiguration GetBucketMetricsConfiguration GetBucketNotification
    GetBucketNotificationConfiguration GetBucketOwnershipControls GetBucketPolicy GetBucketPolicyStatus
    GetBucketReplication GetBucketRequestPayment GetBucketTagging GetBucketVersioning GetBucketWebsite GetObject
    GetObjectAcl GetObjectAnnotation GetObjectAttributes GetObjectLegalHold GetObjectLockConfiguration
    GetObjectRetention GetObjectTagging GetObjectTorrent GetPublicAccessBlock HeadBucket HeadObject
    ListBucketAnalyticsConfigurations ListBucketIntelligentTieringConfigurations ListBucketInventoryConfigurations
    ListBucketMetricsConfigurations ListBuckets ListDirectoryBuckets ListMultipartUploads ListObjectAnnotations
    ListObjectVersions ListObjects ListObjectsV2 ListParts PutBucketAbac PutBucketAccelerateConfiguration
    PutBucketAcl PutBucketAnalyticsConfiguration PutBucketCors PutBucketEncryption
    PutBucketIntelligentTieringConfiguration PutBucketInventoryConfiguration PutBucketLifecycle
    PutBucketLifecycleConfiguration PutBucketLogging PutBucketMetricsConfiguration PutBucketNotification
    PutBucketNotificationConfiguration PutBucketOwnershipControls PutBucketPolicy PutBucketReplication
    PutBucketRequestPayment PutBucketTagging PutBucketVersioning PutBucketWebsite PutObject PutObjectAcl
    PutObjectAnnotation PutObjectLegalHold PutObjectLockConfiguration PutObjectRetention PutObjectTagging
    PutPublicAccessBlock RenameObject RestoreObject SelectObjectContent
    UpdateBucketMetadataAnnotationTableConfiguration UpdateBucketMetadataInventoryTableConfiguration
    UpdateBucketMetadataJournalTableConfiguration UpdateObjectEncryption UploadPart UploadPartCopy
    WriteGetObjectResponse""".split()
)
"""The names of the S3 API, as the AWS SDKs have them."""

_PLACES: Final = {Level.SERVICE: "/", Level.BUCKET: "/BUCKET", Level.OBJECT: "/BUCKET/KEY"}
_TITLES: Final = {Level.SERVICE: "Service", Level.BUCKET: "Buckets", Level.OBJECT: "Objects"}
_FRESH: Final = "What AWS answers for a bucket where it was never set; it cannot be set yet."


def page(table: OperationTable) -> str:
    """The whole page, Markdown."""
    lines = [_INTRODUCTION]
    for level, title in _TITLES.items():
        rows = [row for row in table.rows if row.level is level]
        lines += [
            f"## {title}",
            "",
            "| operation | request | action | changes | body | |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        lines += [_row(row) for row in rows]
        lines.append("")
    lines += _call_section(table)
    lines += _query_sections(table)
    absent = sorted(S3_OPERATIONS - {row.name for row in table.rows})
    lines += ["## Not implemented", "", ", ".join(absent) + "."]
    return "\n".join(lines) + "\n"


def _call_section(table: OperationTable) -> list[str]:
    """The administration calls, which their paths select."""
    lines = [
        "## Administration",
        "",
        "The administration calls of the Versity S3 Gateway, for root and for accounts that are administrators. How",
        "its users become accounts is told in [identities.md](identities.md).",
        "",
        "| call | request | changes | body | |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in table.calls.values():
        request = f"`{row.method} {'/BUCKET' * (row.level is Level.OBJECT)}/{row.path}`"
        lines.append(f"| {row.name} | {request} | {'yes' if row.writes else ''} | {_body(row)} | {_about(row)} |")
    return [*lines, ""]


def _query_sections(table: OperationTable) -> list[str]:
    """The operations of IAM and STS, which their names select."""
    lines: list[str] = []
    for service in dict.fromkeys(row.service for row in table.actions.values()):
        lines += [
            f"## {service.name.upper()}",
            "",
            f"On the same endpoint: `POST /` with a form, or `GET /?Action=…&Version={service.version}`, signed for "
            f"the service `{service.name}`. How they are used is in [identities.md](identities.md).",
            "",
            "| operation | action | changes | |",
            "| --- | --- | --- | --- |",
        ]
        for row in table.actions.values():
            if row.service is service:
                action = f"`{row.action}`" if row.action else "none"
                lines.append(f"| {row.name} | {action} | {'yes' if row.writes else ''} | {_about(row)} |")
        lines.append("")
    return lines


def _row(row: Operation) -> str:
    cells = (
        row.name + (" *v*" if row.versioned else ""),
        f"`{_request(row)}`",
        f"`{row.action}`" if row.action else "none",
        "yes" if row.writes else "",
        _body(row),
        _about(row),
    )
    return "| " + " | ".join(cells) + " |"


def _request(row: Operation) -> str:
    query = row.query + (f"={row.selector_value}" if row.selector_value else "")
    request = f"{row.method} {_PLACES[row.level]}" + (f"?{query}" if query else "")
    if row.modifiers:
        request += f" [{', '.join(sorted(row.modifiers))}]"
    return request + (f", {row.header}" if row.header else "")


def _body(row: Operation) -> str:
    if isinstance(row.body, NoBody):
        return ""
    kind = "XML" if isinstance(row.body, Xml) else "data"
    return f"{kind} up to {_size(row.body.limit)}"


def _size(count: int) -> str:
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit and count % unit == 0:
            return f"{count // unit} {name}"
    return f"{count} bytes"


def _about(row: Operation) -> str:
    text = row.handler.__doc__
    if text is None:
        return _FRESH
    return " ".join(text.partition("\n\n")[0].split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(page(operation_table()))
