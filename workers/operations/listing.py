"""ListObjects, ListObjectsV2, ListObjectVersions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Final

from backends.api import ListPage, ListQuery, ObjectEntry
from workers.authorizing import known_bucket
from workers.operations.common import require_bucket
from workers.operations.tokens import open_token, seal_token
from workers.protocol.errors import S3Error
from workers.protocol.headers import boolean, bounded_integer
from workers.protocol.times import iso8601
from workers.protocol.xml import Node, Rendered, UnrepresentableTextError, document, escape, render, url_encoded
from workers.request import Request, Response, xml_response
from workers.routing import Level, operation

MAX_KEYS: Final = 1000
_MAX_INTEGER: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class _Asked:
    """What all three lists are asked for. `show` writes a key, prefix or marker as the client wants it."""

    prefix: str
    delimiter: str
    max_keys: int
    encoding: str | None
    show: Callable[[str], str]


def encoding_type(request: Request) -> Callable[[str], str]:
    """How keys, prefixes and markers are to be written in a list. Raises `S3Error` InvalidArgument."""
    encoding = request.query.get("encoding-type")
    if encoding is None:
        return str
    if encoding != "url":
        raise S3Error(
            "InvalidArgument",
            "Invalid Encoding Method specified in Request",
            ArgumentName="encoding-type",
            ArgumentValue=encoding[:64],
        )
    return url_encoded


def _asked(request: Request) -> _Asked:
    query = request.query
    value = query.get("max-keys", "")
    max_keys = bounded_integer("max-keys", value, 0, _MAX_INTEGER) if value else MAX_KEYS
    return _Asked(
        prefix=query.get("prefix", ""),
        delimiter=query.get("delimiter", ""),
        max_keys=min(max_keys, MAX_KEYS),
        encoding=query.get("encoding-type"),
        show=encoding_type(request),
    )


def _page(request: Request, asked: _Asked, after: str) -> ListPage:
    if asked.max_keys == 0:
        return ListPage()
    query = ListQuery(prefix=asked.prefix, delimiter=asked.delimiter, after=after, limit=asked.max_keys)
    return request.services.backend.list_objects(request.caller, request.bucket, query)


def person(request: Request, element: str, account: str) -> Node:
    """An account in an answer; what belongs to nobody came without the gateway, and is the bucket owner's."""
    owner = account or known_bucket(request).access.owner
    name = request.services.directory.display_name(owner)
    return (element, [("ID", owner), ("DisplayName", name)] if name else [("ID", owner)])


def _described(request: Request, entry: ObjectEntry, asked: _Asked, *, owner: bool) -> Rendered:
    # PERF: nested tuples took as long as reading the thousand records.
    record = entry.record
    text = (
        f"<Key>{escape(asked.show(entry.key))}</Key><LastModified>{iso8601(record.modified)}</LastModified>"
        f'<ETag>"{escape(record.etag)}"</ETag>'
    )
    if record.checksums:
        text += "".join([f"<ChecksumAlgorithm>{escape(name)}</ChecksumAlgorithm>" for name in record.checksums])
        text += f"<ChecksumType>{escape(record.checksum_type or 'FULL_OBJECT')}</ChecksumType>"
    text += f"<Size>{record.size}</Size>"
    if owner:
        text += render([person(request, "Owner", record.owner)]).decode()
    return Rendered(f"{text}<StorageClass>{escape(record.storage_class)}</StorageClass>")


def _prefixes(page: ListPage, asked: _Asked) -> list[Node]:
    return [("CommonPrefixes", [("Prefix", asked.show(prefix))]) for prefix in page.prefixes]


def render_list(root: str, *nodes: Iterable[Node]) -> Response:
    """The document of a list; its nodes may be made while it is written.

    Raises `S3Error` InvalidRequest for what XML cannot hold.
    """
    try:
        return xml_response(document(root, chain.from_iterable(nodes)))
    except UnrepresentableTextError:
        raise S3Error(
            "InvalidRequest",
            "This list contains keys with characters that XML cannot hold; ask for it with encoding-type=url.",
        ) from None


@operation("ListObjects", "GET", Level.BUCKET, action="s3:ListBucket")
def list_objects(request: Request) -> Response:
    """A page of keys by marker; the first version of the list."""
    asked = _asked(request)
    marker = request.query.get("marker", "")
    require_bucket(request)
    page = _page(request, asked, marker)
    following = page.next_after if asked.delimiter else None
    return render_list(
        "ListBucketResult",
        [
            ("Name", request.bucket),
            ("Prefix", asked.show(asked.prefix)),
            ("Marker", asked.show(marker)),
            ("NextMarker", None if following is None else asked.show(following)),
            ("MaxKeys", asked.max_keys),
            ("Delimiter", asked.show(asked.delimiter) or None),
            ("IsTruncated", page.next_after is not None),
            ("EncodingType", asked.encoding),
        ],
        (("Contents", _described(request, entry, asked, owner=True)) for entry in page.objects),
        _prefixes(page, asked),
    )


@operation("ListObjectsV2", "GET", Level.BUCKET, query="list-type", selector_value="2", action="s3:ListBucket")
def list_objects_v2(request: Request) -> Response:
    """A page of keys by continuation token."""
    asked = _asked(request)
    query = request.query
    start_after = query.get("start-after")
    token = query.get("continuation-token")
    after = open_token(token) if token is not None else start_after or ""
    owner = boolean("fetch-owner", query.get("fetch-owner") or None)
    require_bucket(request)
    page = _page(request, asked, after)
    return render_list(
        "ListBucketResult",
        [
            ("Name", request.bucket),
            ("Prefix", asked.show(asked.prefix)),
            ("StartAfter", asked.show(start_after) if start_after else None),
            ("ContinuationToken", token),
            ("NextContinuationToken", None if page.next_after is None else seal_token(page.next_after)),
            ("KeyCount", len(page.objects) + len(page.prefixes)),
            ("MaxKeys", asked.max_keys),
            ("Delimiter", asked.show(asked.delimiter) or None),
            ("IsTruncated", page.next_after is not None),
            ("EncodingType", asked.encoding),
        ],
        (("Contents", _described(request, entry, asked, owner=owner)) for entry in page.objects),
        _prefixes(page, asked),
    )


@operation("ListObjectVersions", "GET", Level.BUCKET, query="versions", action="s3:ListBucketVersions")
def list_object_versions(request: Request) -> Response:
    """A page of versions. Buckets are unversioned: each object is its own null version."""
    asked = _asked(request)
    query = request.query
    key_marker = query.get("key-marker", "")
    version_marker = query.get("version-id-marker", "")
    if version_marker and not key_marker:
        raise S3Error(
            "InvalidArgument",
            "A version-id marker cannot be specified without a key marker.",
            ArgumentName="version-id-marker",
            ArgumentValue=version_marker[:64],
        )
    require_bucket(request)
    page = _page(request, asked, key_marker)
    following = page.next_after
    last_is_version = bool(page.objects) and page.objects[-1].key == following
    return render_list(
        "ListVersionsResult",
        [
            ("Name", request.bucket),
            ("Prefix", asked.show(asked.prefix)),
            ("KeyMarker", asked.show(key_marker)),
            ("VersionIdMarker", version_marker),
            ("NextKeyMarker", None if following is None else asked.show(following)),
            ("NextVersionIdMarker", page.objects[-1].record.version_id if last_is_version else None),
            ("MaxKeys", asked.max_keys),
            ("Delimiter", asked.show(asked.delimiter) or None),
            ("IsTruncated", following is not None),
            ("EncodingType", asked.encoding),
        ],
        (("Version", _version(request, entry, asked)) for entry in page.objects),
        _prefixes(page, asked),
    )


def _version(request: Request, entry: ObjectEntry, asked: _Asked) -> Rendered:
    described = _described(request, entry, asked, owner=True)
    version = escape(entry.record.version_id)
    return Rendered(f"{described}<VersionId>{version}</VersionId><IsLatest>true</IsLatest>")
