"""CopyObject."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from backends.api import NoSuchBucket, NoSuchObject, NoSuchVersion, ObjectRecord, OpenObject
from backends.offload import offload
from workers.authorizing import may, may_list
from workers.backend_errors import s3_error
from workers.buckets import KnownBucket
from workers.iam.authorization import check_expected_owner
from workers.iam.policy.requirements import copy_source_actions
from workers.operations.common import check_owner, precondition
from workers.operations.object_headers import draft_record
from workers.operations.refusals import check_object_read
from workers.operations.versions import checked_version_id, open_version
from workers.protocol.bodies import OFFLOAD_FROM
from workers.protocol.checksums import ALGORITHMS, DEFAULT_ALGORITHM, Algorithm, ExpectedDigests, parse_algorithm
from workers.protocol.conditions import copy_source_conditions, evaluate_read, write_conditions
from workers.protocol.errors import S3Error
from workers.protocol.headers import MAX_PUT_SIZE
from workers.protocol.names import check_key, is_bucket_name
from workers.protocol.target import decode_key
from workers.protocol.times import iso8601
from workers.protocol.xml import Node, document
from workers.request import Request, Response, xml_response
from workers.routing import Level, operation

HEADER: Final = "x-amz-copy-source"
_HEX: Final = frozenset("0123456789abcdef")
_NOT_COPIED: Final = "x-amz-website-redirect-location"


@dataclass(frozen=True, slots=True)
class CopySourceName:
    """What `x-amz-copy-source` names."""

    bucket: str
    key: str
    version_id: str | None


def parse_copy_source(value: str) -> CopySourceName:
    """`[/]bucket/key[?versionId=id]`, percent-encoded. Raises `S3Error` InvalidArgument."""
    path, _, version = value.partition("?versionId=")
    try:
        # AWS decodes this header like a form: '+' is a space (some clients send it so, and all send %2B for a plus).
        bucket, slash, key = decode_key(path.removeprefix("/").replace("+", " ")).partition("/")
    except S3Error:
        raise _invalid("Invalid copy source encoding", value) from None
    if not slash or not bucket or not key:
        raise _invalid("Copy Source must mention the source bucket and key: sourcebucket/sourcekey", value)
    if not is_bucket_name(bucket):
        raise _invalid("Invalid copy source bucket name", value)
    check_key(key)
    return CopySourceName(bucket, key, checked_version_id(version) if version else None)


def _invalid(message: str, value: str) -> S3Error:
    return S3Error("InvalidArgument", message, ArgumentName=HEADER, ArgumentValue=value[:2048])


@operation("CopyObject", "PUT", Level.OBJECT, header=HEADER, action="s3:PutObject", writes=True)
def copy_object(request: Request) -> Response:
    """Store another object's data under this key. The storage copies by itself where the digests are known."""
    source = parse_copy_source(request.header(HEADER) or "")
    directives = _directives(request)
    wanted = request.header("x-amz-checksum-algorithm")
    algorithm = parse_algorithm(wanted) if wanted else None
    condition = precondition(write_conditions(request.header))
    draft = draft_record(request)
    check_owner(request)
    opened = open_source(request, source)
    try:
        before = opened.record
        if before.size > MAX_PUT_SIZE:
            raise S3Error(
                "InvalidRequest",
                "The specified copy source is larger than the maximum allowable size for a copy source: "
                f"{MAX_PUT_SIZE}",
            )
        _check_change(request, source, directives)
        if before.tags and not directives.replace_tags:
            _authorize_source(
                request,
                source,
                request.services.buckets.get(source.bucket),
                copy_source_actions(version_named=source.version_id is not None, tags_copied=True)[1:],
            )
        after = _record_of_copy(request, before, draft, directives)
        if _digests_known(before, algorithm):
            after = after.replace(
                etag=before.etag, checksums=before.checksums, checksum_type=before.checksum_type, parts=None
            )
            stored = request.services.backend.copy_object(
                request.caller, opened, request.bucket, request.key, after, condition
            )
        else:
            algorithm = algorithm or _kept_algorithm(before)
            stored = request.services.backend.put_object(
                request.caller, request.bucket, request.key, DigestingSource(opened, after, algorithm), condition
            )
    finally:
        opened.close()
    return _render(source, before, stored)


def open_source(request: Request, source: CopySourceName) -> OpenObject:
    """Open a copy's source, if the caller may read it and its conditions hold."""
    known = _known_source(request, source)
    _authorize_source(request, source, known, copy_source_actions(version_named=source.version_id is not None))
    expected = request.header("x-amz-source-expected-bucket-owner")
    if expected is not None:
        check_expected_owner(expected, known.record.owner)
    check_object_read(request, "x-amz-copy-source-")
    opened = _open(request, source, known)
    conditions = copy_source_conditions(request.header)
    if conditions is not None:
        try:
            evaluate_read(conditions, opened.record.etag, opened.record.modified // 1_000_000_000)
        except S3Error:
            opened.close()
            raise
    return opened


def _known_source(request: Request, source: CopySourceName) -> KnownBucket:
    try:
        return request.services.buckets.get(source.bucket)
    except NoSuchBucket as error:
        # Said of the source here: the pipeline would name the target.
        raise s3_error(error, source.bucket, source.key) or error from None


def _authorize_source(request: Request, source: CopySourceName, known: KnownBucket, actions: Sequence[str]) -> None:
    denial = may(request, known, actions, source.key, source.version_id)
    if denial is not None:
        raise denial


def _open(request: Request, source: CopySourceName, known: KnownBucket) -> OpenObject:
    try:
        return open_version(request, source.bucket, source.key, source.version_id)
    except (NoSuchBucket, NoSuchObject, NoSuchVersion) as error:
        if not may_list(request, known):
            raise S3Error("AccessDenied") from None
        raise s3_error(error, source.bucket, source.key) or error from None


@dataclass(frozen=True, slots=True)
class _Directives:
    replace_metadata: bool
    replace_tags: bool


def _directives(request: Request) -> _Directives:
    return _Directives(
        _replaces(request, "x-amz-metadata-directive", "Unknown metadata directive."),
        _replaces(request, "x-amz-tagging-directive", "Unknown tagging directive."),
    )


def _replaces(request: Request, name: str, message: str) -> bool:
    value = request.header(name)
    if value in (None, "COPY", "REPLACE"):
        return value == "REPLACE"
    raise S3Error("InvalidArgument", message, ArgumentName=name, ArgumentValue=(value or "")[:64])


def _check_change(request: Request, source: CopySourceName, directives: _Directives) -> None:
    """A copy onto itself must change something."""
    if (source.bucket, source.key) != (request.bucket, request.key) or source.version_id is not None:
        return
    if directives.replace_metadata or any(
        request.header(name) is not None for name in ("x-amz-storage-class", _NOT_COPIED, "x-amz-checksum-algorithm")
    ):
        return
    raise S3Error(
        "InvalidRequest",
        "This copy request is illegal because it is trying to copy an object to itself without changing the object's "
        "metadata, storage class, website redirect location or encryption attributes.",
    )


def _record_of_copy(
    request: Request, before: ObjectRecord, draft: ObjectRecord, directives: _Directives
) -> ObjectRecord:
    """The copy's record but for its digests."""
    record = draft.replace(size=before.size, modified=request.services.clock())
    if not directives.replace_metadata:
        headers = {name: value for name, value in before.headers.items() if name != _NOT_COPIED}
        if _NOT_COPIED in draft.headers:
            headers[_NOT_COPIED] = draft.headers[_NOT_COPIED]
        record = record.replace(headers=headers, metadata=before.metadata)
    if not directives.replace_tags:
        record = record.replace(tags=before.tags)
    return record


def _digests_known(before: ObjectRecord, algorithm: Algorithm | None) -> bool:
    """Whether the copy's ETag and checksum follow from the record: those of an object that came in one piece."""
    if before.encryption is not None or before.parts is not None:
        return False
    if len(before.etag) != 32 or not _HEX.issuperset(before.etag) or before.checksum_type != "FULL_OBJECT":
        return False
    return algorithm is None or algorithm.name in before.checksums


def _kept_algorithm(before: ObjectRecord) -> Algorithm:
    return ALGORITHMS[next(iter(before.checksums), DEFAULT_ALGORITHM)]


class DigestingSource:
    """An open object as the source of a put; its digests are computed on the way."""

    __slots__ = ("_blocks", "_digests", "_record", "length")

    def __init__(self, opened: OpenObject, record: ObjectRecord, algorithm: Algorithm) -> None:
        self.length: int | None = opened.record.stored_size
        self._record = record
        self._digests = ExpectedDigests(algorithm)
        self._blocks: Iterator[bytes] = opened.read(0, self.length) if self.length else iter(())

    def read(self, size: int, /) -> bytes:
        """The next block, whatever size was asked for is at least as large as the storage's own blocks."""
        block = next(self._blocks, b"")
        if not block:
            self._digests.verify()
        elif len(block) >= OFFLOAD_FROM:
            offload(self._digests.update, block)
        else:
            self._digests.update(block)
        return block

    def record(self) -> ObjectRecord:
        """The record with the digests, after the end."""
        return self._record.replace(
            etag=self._digests.etag,
            checksums=self._digests.checksums,
            checksum_type=self._digests.checksum_type,
            parts=None,
        )


def _render(source: CopySourceName, before: ObjectRecord, stored: ObjectRecord) -> Response:
    nodes: list[Node] = [("ETag", f'"{stored.etag}"'), ("LastModified", iso8601(stored.modified))]
    nodes += [(ALGORITHMS[name].element, value) for name, value in stored.checksums.items()]
    nodes.append(("ChecksumType", stored.checksum_type or None))
    headers = {} if source.version_id is None else {"x-amz-copy-source-version-id": before.version_id}
    return xml_response(document("CopyObjectResult", nodes), headers)
