"""The XML documents of requests as data: one frozen class and one parser each.

All parsers raise S3Error MalformedXML for a document that is not like the published schema.
"""

from dataclasses import dataclass
from typing import Final

from workers.protocol.checksums import ALGORITHMS
from workers.protocol.errors import S3Error
from workers.protocol.xml import Element, integer, parse

MAX_DELETED: Final = 1000
MAX_PARTS: Final = 10_000

DELETE_LIMIT: Final = 2 * 1024 * 1024
"""Bytes: a thousand keys of 1024 bytes and room for escapes, versions and conditions."""
COMPLETE_LIMIT: Final = 4 * 1024 * 1024
"""Bytes: ten thousand parts with two checksums each."""
SMALL_LIMIT: Final = 64 * 1024
"""Bytes: tags and bucket settings, which S3 limits to less by their rules."""

_PART_ELEMENTS: Final = frozenset({"PartNumber", "ETag", *(algorithm.element for algorithm in ALGORITHMS.values())})


@dataclass(frozen=True, slots=True)
class ObjectToDelete:
    """One entry of DeleteObjects; the last three are conditions, as sent."""

    key: str
    version_id: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    size: str | None = None


@dataclass(frozen=True, slots=True)
class DeleteRequest:
    """The document of DeleteObjects. `quiet`: only failures are to be reported."""

    objects: tuple[ObjectToDelete, ...]
    quiet: bool


@dataclass(frozen=True, slots=True)
class CompletedPart:
    """One part of CompleteMultipartUpload: `etag` without quotes, `checksums` algorithm name -> base64."""

    number: int
    etag: str
    checksums: dict[str, str]


@dataclass(frozen=True, slots=True)
class BucketCreation:
    """The document of CreateBucket; every element may be missing."""

    location_constraint: str | None = None
    location_type: str | None = None
    location_name: str | None = None
    bucket_type: str | None = None
    data_redundancy: str | None = None
    tags: tuple[tuple[str, str], ...] = ()


def parse_delete(body: bytes) -> DeleteRequest:
    """Parse `<Delete>`: 1 to 1000 objects."""
    root = parse(body, "Delete", limit=DELETE_LIMIT)
    root.allow("Quiet", "Object")
    objects = root.all("Object")
    if not 1 <= len(objects) <= MAX_DELETED:
        raise S3Error("MalformedXML")
    return DeleteRequest(tuple(_object_to_delete(element) for element in objects), root.find_boolean("Quiet") or False)


def _object_to_delete(element: Element) -> ObjectToDelete:
    element.allow("Key", "VersionId", "ETag", "LastModifiedTime", "Size")
    key = element.get_text("Key")
    if not key:
        raise S3Error("MalformedXML")
    return ObjectToDelete(
        key,
        version_id=element.find_text("VersionId") or None,
        etag=element.find_text("ETag"),
        last_modified=element.find_text("LastModifiedTime"),
        size=element.find_text("Size"),
    )


def parse_tagging(body: bytes) -> tuple[tuple[str, str], ...]:
    """Parse `<Tagging>` into (key, value) pairs in their order; the rules for tags are the caller's."""
    root = parse(body, "Tagging", limit=SMALL_LIMIT)
    root.allow("TagSet")
    return _tags(root.get("TagSet"))


def _tags(element: Element) -> tuple[tuple[str, str], ...]:
    element.allow("Tag")
    if not element.children and element.text.strip():
        raise S3Error("MalformedXML")
    pairs = []
    for tag in element.children:
        tag.allow("Key", "Value")
        pairs.append((tag.get_text("Key"), tag.get_text("Value")))
    return tuple(pairs)


def parse_create_bucket(body: bytes) -> BucketCreation:
    """Parse `<CreateBucketConfiguration>`; an empty body is a document without elements."""
    if not body:
        return BucketCreation()
    root = parse(body, "CreateBucketConfiguration", limit=SMALL_LIMIT)
    root.allow("LocationConstraint", "Location", "Bucket", "Tags")
    location, bucket, tags = root.find("Location"), root.find("Bucket"), root.find("Tags")
    if location is not None:
        location.allow("Type", "Name")
    if bucket is not None:
        bucket.allow("Type", "DataRedundancy")
    return BucketCreation(
        location_constraint=root.find_text("LocationConstraint"),
        location_type=None if location is None else location.find_text("Type"),
        location_name=None if location is None else location.find_text("Name"),
        bucket_type=None if bucket is None else bucket.find_text("Type"),
        data_redundancy=None if bucket is None else bucket.find_text("DataRedundancy"),
        tags=() if tags is None else _tags(tags),
    )


def parse_complete_multipart(body: bytes) -> tuple[CompletedPart, ...]:
    """Parse `<CompleteMultipartUpload>`: 1 to 10,000 parts, in their order, which the caller has to check."""
    root = parse(body, "CompleteMultipartUpload", limit=COMPLETE_LIMIT)
    root.allow("Part")
    if not 1 <= len(root.children) <= MAX_PARTS:
        raise S3Error("MalformedXML")
    return tuple(_completed_part(element) for element in root.children)


def _completed_part(element: Element) -> CompletedPart:
    # PERF: one pass, since ten thousand parts are parsed while the event loop waits.
    texts: dict[str, str] = {}
    for child in element.children:
        if child.name in texts or child.name not in _PART_ELEMENTS:
            raise S3Error("MalformedXML")
        texts[child.name] = child.own_text().strip()
    number, etag = texts.pop("PartNumber", None), texts.pop("ETag", None)
    if number is None or etag is None:
        raise S3Error("MalformedXML")
    return CompletedPart(
        integer(number), etag.strip('"'), {name.removeprefix("Checksum"): value for name, value in texts.items()}
    )
