"""GetObjectAttributes."""

from __future__ import annotations

from itertools import islice
from typing import Final

from backends.api import NULL_VERSION, ObjectRecord
from workers.operations.common import check_owner
from workers.operations.parts import parts_after
from workers.operations.refusals import check_object_read
from workers.operations.versions import head_version
from workers.protocol.checksums import ALGORITHMS
from workers.protocol.conditions import Outcome, evaluate_read, read_conditions
from workers.protocol.errors import S3Error
from workers.protocol.headers import bounded_integer
from workers.protocol.times import http_date
from workers.protocol.xml import Node, document, escape_replacing
from workers.request import Request, Response, xml_response
from workers.routing import Level, operation

ATTRIBUTES: Final = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")
MAX_PARTS: Final = 1000


@operation(
    "GetObjectAttributes", "GET", Level.OBJECT, query="attributes", action="s3:GetObjectAttributes", versioned=True
)
def get_object_attributes(request: Request) -> Response:
    """The attributes that x-amz-object-attributes asks for."""
    wanted = _wanted(request)
    check_owner(request)
    check_object_read(request)
    record = head_version(request)
    conditions = read_conditions(request.header)
    if conditions is not None:
        outcome = evaluate_read(conditions, record.etag, record.modified // 1_000_000_000)
        if outcome is Outcome.NOT_MODIFIED:
            return Response(304, {"etag": f'"{record.etag}"', "last-modified": http_date(record.modified)})
    nodes: list[Node] = []
    if "ETag" in wanted:
        nodes.append(("ETag", record.etag))
    if "Checksum" in wanted and record.checksums:
        # Unlike everywhere else S3 leaves the number of parts away from a composite checksum here.
        values: list[Node] = [
            (ALGORITHMS[name].element, value.partition("-")[0]) for name, value in record.checksums.items()
        ]
        nodes.append(("Checksum", [*values, ("ChecksumType", record.checksum_type or "FULL_OBJECT")]))
    if "ObjectParts" in wanted and record.parts is not None:
        nodes.append(("ObjectParts", _parts(request, record)))
    if "StorageClass" in wanted:
        nodes.append(("StorageClass", record.storage_class))
    if "ObjectSize" in wanted:
        nodes.append(("ObjectSize", record.size))
    headers = {"last-modified": http_date(record.modified)}
    if record.version_id != NULL_VERSION:
        headers["x-amz-version-id"] = record.version_id
    return xml_response(document("GetObjectAttributesResponse", nodes, escaping=escape_replacing), headers)


def _wanted(request: Request) -> frozenset[str]:
    value = request.header("x-amz-object-attributes")
    names = frozenset(name.strip() for name in (value or "").split(",") if name.strip())
    if not names:
        raise S3Error(
            "InvalidRequest",
            "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty",
        )
    if not names.issubset(ATTRIBUTES):
        raise S3Error(
            "InvalidArgument",
            "Invalid attribute name specified.",
            ArgumentName="x-amz-object-attributes",
            ArgumentValue=(value or "")[:256],
        )
    return names


def _parts(request: Request, record: ObjectRecord) -> list[Node]:
    """One page of the parts. Single parts are listed only of a composite checksum, as with AWS."""
    table = record.parts
    assert table is not None  # noqa: S101 -- the caller asked
    if not table.algorithm or record.checksum_type != "COMPOSITE":
        return [("PartsCount", table.count)]
    limit = min(_number(request, "x-amz-max-parts", MAX_PARTS), MAX_PARTS)
    marker = _number(request, "x-amz-part-number-marker", 0)
    parts = list(islice(parts_after(table, marker), limit + 1))
    page = parts[:limit]
    return [
        ("PartsCount", table.count),
        ("PartNumberMarker", marker),
        ("NextPartNumberMarker", page[-1].number if page else 0),
        ("MaxParts", limit),
        ("IsTruncated", len(parts) > limit),
        *(
            (
                "Part",
                [
                    ("PartNumber", part.number),
                    ("Size", part.size),
                    *((ALGORITHMS[name].element, value) for name, value in part.checksums.items()),
                ],
            )
            for part in page
        ),
    ]


def _number(request: Request, name: str, default: int) -> int:
    value = request.header(name)
    return default if value is None else bounded_integer(name, value, 0, 2**31 - 1)
