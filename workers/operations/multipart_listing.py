"""ListParts and ListMultipartUploads."""

from __future__ import annotations

from typing import Final

from backends.api import UploadRecord
from workers.operations.common import require_bucket
from workers.operations.listing import encoding_type, person, render_list
from workers.operations.multipart import find_upload, uploads_of
from workers.protocol.checksums import ALGORITHMS
from workers.protocol.errors import S3Error
from workers.protocol.headers import bounded_integer
from workers.protocol.times import iso8601
from workers.protocol.xml import Node, document, escape_replacing
from workers.request import Request, Response, xml_response
from workers.routing import Level, operation
from workers.state.upload_index import ListedUpload
from workers.state.uploads import PartsPage

MAX_ENTRIES: Final = 1000
_MAX_INTEGER: Final = 2**31 - 1


def _limit(request: Request, name: str) -> int:
    value = request.query.get(name, "")
    return min(bounded_integer(name, value, 0, _MAX_INTEGER), MAX_ENTRIES) if value else MAX_ENTRIES


@operation(
    "ListParts",
    "GET",
    Level.OBJECT,
    query="uploadId",
    action="s3:ListMultipartUploadParts",
)
def list_parts(request: Request) -> Response:
    """A page of an open upload's parts."""
    limit = _limit(request, "max-parts")
    value = request.query.get("part-number-marker", "")
    marker = bounded_integer("part-number-marker", value, 0, _MAX_INTEGER) if value else 0
    upload = find_upload(request)
    page = uploads_of(request).parts(request.caller, request.bucket, upload.id, marker, limit)
    return xml_response(
        document(
            "ListPartsResult",
            _parts_nodes(request, upload, page, marker, limit),
            # The key is the client's own: S3 has no encoding-type here.
            escaping=escape_replacing,
        )
    )


def _parts_nodes(request: Request, upload: UploadRecord, page: PartsPage, marker: int, limit: int) -> list[Node]:
    return [
        ("Bucket", request.bucket),
        ("Key", request.key),
        ("UploadId", upload.id),
        ("PartNumberMarker", marker),
        ("NextPartNumberMarker", page.parts[-1].number if page.parts else 0),
        ("MaxParts", limit),
        ("IsTruncated", page.truncated),
        person(request, "Initiator", upload.owner),
        person(request, "Owner", upload.draft.owner or upload.owner),
        ("StorageClass", upload.draft.storage_class),
        ("ChecksumAlgorithm", upload.algorithm if upload.announced else None),
        ("ChecksumType", upload.checksum_type if upload.announced else None),
        *(
            (
                "Part",
                [
                    ("PartNumber", part.number),
                    ("LastModified", iso8601(part.modified)),
                    ("ETag", f'"{part.etag}"'),
                    ("Size", part.size),
                    *((ALGORITHMS[name].element, checksum) for name, checksum in part.checksums.items()),
                ],
            )
            for part in page.parts
        ),
    ]


@operation("ListMultipartUploads", "GET", Level.BUCKET, query="uploads", action="s3:ListBucketMultipartUploads")
def list_multipart_uploads(request: Request) -> Response:
    """A page of a bucket's open uploads, by key and then by time."""
    query = request.query
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    key_marker, id_marker = query.get("key-marker", ""), query.get("upload-id-marker", "")
    limit = _limit(request, "max-uploads")
    if limit == 0:
        raise S3Error("InvalidArgument", ArgumentName="max-uploads", ArgumentValue="0")
    show = encoding_type(request)
    require_bucket(request)
    page = uploads_of(request).index.page(
        request.caller,
        request.bucket,
        prefix=prefix,
        delimiter=delimiter,
        key_marker=key_marker,
        id_marker=id_marker if key_marker else "",
        limit=limit,
    )
    return render_list(
        "ListMultipartUploadsResult",
        [
            ("Bucket", request.bucket),
            ("KeyMarker", show(key_marker)),
            ("UploadIdMarker", id_marker if key_marker else ""),
            ("NextKeyMarker", None if page.next_key is None else show(page.next_key)),
            ("NextUploadIdMarker", None if page.next_key is None else page.next_id),
            ("Prefix", show(prefix)),
            ("Delimiter", show(delimiter) or None),
            ("EncodingType", query.get("encoding-type")),
            ("MaxUploads", limit),
            ("IsTruncated", page.next_key is not None),
            *(("Upload", _upload(request, upload, show(upload.key))) for upload in page.uploads),
            *(("CommonPrefixes", [("Prefix", show(group))]) for group in page.prefixes),
        ],
    )


def _upload(request: Request, upload: ListedUpload, key: str) -> list[Node]:
    return [
        ("UploadId", upload.id),
        ("Key", key),
        person(request, "Initiator", upload.owner),
        person(request, "Owner", upload.owner),
        ("StorageClass", upload.storage_class),
        ("Initiated", iso8601(upload.initiated)),
        ("ChecksumAlgorithm", upload.algorithm or None),
        ("ChecksumType", upload.checksum_type or None),
    ]
