"""CompleteMultipartUpload."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final
from urllib.parse import quote

import gevent
import redis

from backends.api import (
    BackendError,
    NoSuchObject,
    NoSuchUpload,
    ObjectRecord,
    PartRecord,
    PartTable,
    Precondition,
    UploadRecord,
)
from backends.faultpoints import reach
from workers.backend_errors import refusal_of
from workers.operations.common import precondition
from workers.operations.multipart import find_upload, uploads_of
from workers.operations.parts import part_numbers
from workers.protocol.checksums import ALGORITHMS, announced_checksum, composite, full_object
from workers.protocol.conditions import write_conditions
from workers.protocol.documents import COMPLETE_LIMIT, CompletedPart, parse_complete_multipart
from workers.protocol.errors import S3Error, render_error
from workers.protocol.headers import bounded_integer
from workers.protocol.xml import DECLARATION, Node, document, escape_replacing
from workers.request import Request, Response, xml_response
from workers.routing import Level, Xml, operation
from workers.state.uploads import RENEW_SECONDS, Busy, Done, Uploads

logger = logging.getLogger("shardgate.completing")

MAX_OBJECT_SIZE: Final = 5 << 40
PATIENCE_SECONDS: Final = 5.0
"""How long the answer waits for the end before it begins with white space, so that no client or proxy times out."""
BUSY_PAUSE_SECONDS: Final = 0.2
BUSY_SECONDS: Final = 3600.0
"""How long a second completion waits for the first, which may have terabytes to copy on some storages."""


@operation(
    "CompleteMultipartUpload",
    "POST",
    Level.OBJECT,
    query="uploadId",
    action="s3:PutObject",
    writes=True,
    body=Xml(parse_complete_multipart, limit=COMPLETE_LIMIT, about_object=True, required=False),
)
def complete_multipart_upload(request: Request) -> Response:
    """Join the named parts to an object. Asked again with the same parts, the same answer."""
    named: tuple[CompletedPart, ...] = request.payload
    if any(before.number >= after.number for before, after in pairwise(named)):
        raise S3Error("InvalidPartOrder")
    try:
        upload = find_upload(request)
    except NoSuchUpload:
        return xml_response(result_document(request, _published(request, named)))
    completion = _Completion(request, named, upload)
    running = gevent.spawn(completion.outcome)
    running.join(timeout=PATIENCE_SECONDS)
    if running.ready():
        return completion.render(running.get())
    return Response(200, {"content-type": "application/xml"}, stream=_Waiting(completion, running))


def _published(request: Request, named: Sequence[CompletedPart]) -> ObjectRecord:
    """The object of an upload that was completed before, with these parts; it knows of both itself.

    Raises `NoSuchUpload` for other parts, and when the object is not there any more. A client whose first request got
    no answer must not be told that its upload never was.
    """
    upload_id = request.query.get("uploadId", "")
    record = uploads_of(request).completed(request.caller, request.bucket, request.key, upload_id)
    if record is None or not is_joined_of(record, named):
        raise NoSuchUpload
    return record


def _again(request: Request, named: Sequence[CompletedPart], record: ObjectRecord) -> ObjectRecord:
    """The answer that a completion had before, unless the parts are others or the key has no object any more.

    Another object under the key does not take it back: this one was published before that. Raises `NoSuchUpload`.
    """
    try:
        request.services.backend.head_object(request.caller, request.bucket, request.key)
    except NoSuchObject:
        raise NoSuchUpload from None
    if not is_joined_of(record, named):
        raise NoSuchUpload
    return record


def is_joined_of(record: ObjectRecord, named: Sequence[CompletedPart]) -> bool:
    """Whether an object was joined of exactly these parts: their numbers, and the ETag that theirs make."""
    if record.parts is None or list(part_numbers(record.parts)) != [part.number for part in named]:
        return False
    try:
        return multipart_etag(named) == record.etag
    except ValueError:  # an ETag that is no MD5 in hexadecimal
        return False


class _Waiting:
    """The body of an answer that had to begin before its end was known: white space, then the document."""

    def __init__(self, completion: _Completion, running: gevent.Greenlet) -> None:
        self._completion = completion
        self._running = running
        self.file_segments: list[tuple[bytes, int, int, int]] | None = None

    def __iter__(self) -> Iterator[bytes]:
        yield DECLARATION
        while not self._running.ready():
            self._running.join(timeout=PATIENCE_SECONDS)
            if not self._running.ready():
                yield b" "
        yield self._completion.document(self._running.get(), declaration=False)

    def close(self) -> None:
        """The client has gone or has it all; the completion goes on by itself either way."""


class _Completion:
    """One request to complete: checks, joins, and tells."""

    def __init__(self, request: Request, named: Sequence[CompletedPart], upload: UploadRecord) -> None:
        self._request = request
        self._named = named
        self._upload = upload
        self._uploads: Uploads = uploads_of(request)
        self._condition: Precondition = precondition(write_conditions(request.header))
        self._checksum = announced_checksum(request.header, request.header_names, composite_parts=True)
        self._size = _announced_size(request)
        _check_type(request, upload)

    def outcome(self) -> ObjectRecord | S3Error:
        """The object's record, or the refusal. A bug is logged and told as InternalError."""
        request = self._request
        try:
            return self._perform()
        except S3Error as error:
            return error
        except (BackendError, redis.RedisError) as error:
            return refusal_of(error, request.bucket, request.key, logger, {"request_id": request.id})
        except Exception:  # a bug must not leave the client waiting
            logger.exception("completion failed", extra={"request_id": request.id})
            return S3Error("InternalError")

    def _perform(self) -> ObjectRecord:
        waited = 0.0
        while True:
            try:
                return self._complete()
            except Done as done:
                return _again(self._request, self._named, done.record)
            except NoSuchUpload:
                # Another request may have completed it while this one was on its way.
                return _published(self._request, self._named)
            except Busy:
                if waited >= BUSY_SECONDS:
                    raise S3Error("OperationAborted", "The multipart upload is being completed.") from None
                gevent.sleep(BUSY_PAUSE_SECONDS)
                waited += BUSY_PAUSE_SECONDS

    def _complete(self) -> ObjectRecord:
        request, upload, uploads = self._request, self._upload, self._uploads
        token, stored = uploads.begin_completion(request.caller, request.bucket, upload.id)
        reach("complete.begun")
        renewing = gevent.spawn(_keep_lease, uploads, upload.id, token)
        try:
            parts = chosen_parts(self._named, stored, upload, request.services.settings.multipart_min_part_size)
            record = self._record(parts)
            result = request.services.backend.complete_upload(
                request.caller, request.bucket, upload, parts, record, self._condition
            )
        except BaseException:
            self._reopen(token)
            raise
        finally:
            renewing.kill()
        reach("complete.published")
        try:
            uploads.finish(request.caller, request.bucket, upload, result)
        except (BackendError, redis.RedisError) as error:
            # The object is there, durably: that is the answer. The janitor sees to what is left of the upload.
            logger.warning(
                "a completed upload was not cleaned up: %s: %s",
                type(error).__name__,
                error,
                extra={"request_id": request.id},
            )
        return result

    def _reopen(self, token: str) -> None:
        try:
            self._uploads.reopen(self._upload.id, token)
        except redis.RedisError:
            # The right to complete runs out by itself; the client hears of the first error.
            logger.warning("an upload stays closed for a while", extra={"request_id": self._request.id})

    def _record(self, parts: Sequence[PartRecord]) -> ObjectRecord:
        size = sum(part.size for part in parts)
        if size > MAX_OBJECT_SIZE:
            raise S3Error("EntityTooLarge", ProposedSize=str(size), MaxSizeAllowed=str(MAX_OBJECT_SIZE))
        if self._size is not None and self._size != size:
            raise S3Error(
                "InvalidRequest",
                f"The provided 'x-amz-mp-object-size' header value {self._size} does not match what was computed: "
                f"{size}",
            )
        checksums, kind = object_checksum(parts, self._upload)
        self._check_checksum(checksums)
        return self._upload.draft.replace(
            size=size,
            etag=multipart_etag(parts),
            modified=self._request.services.clock(),
            checksums=checksums,
            checksum_type=kind,
            parts=part_table(parts),
        )

    def _check_checksum(self, checksums: Mapping[str, str]) -> None:
        """Compare what the client says of the whole object. A composite one may come with or without its count.

        Without an announced algorithm AWS computes one of its own, and ignores values of any other.
        """
        if self._checksum is None:
            return
        algorithm, expected = self._checksum
        if not self._upload.announced and algorithm.name != self._upload.algorithm:
            return
        computed = checksums.get(algorithm.name)
        if computed is None:
            raise S3Error(
                "InvalidRequest",
                f"The checksum type {algorithm.name.lower()} of this request is not the one of the upload.",
            )
        if expected not in (computed, computed.partition("-")[0]):
            raise S3Error("BadDigest", f"The {algorithm.name} you specified did not match the calculated checksum.")

    def render(self, outcome: ObjectRecord | S3Error) -> Response:
        """The answer when the outcome came in time."""
        if isinstance(outcome, S3Error):
            raise outcome
        return xml_response(self.document(outcome))

    def document(self, outcome: ObjectRecord | S3Error, *, declaration: bool = True) -> bytes:
        """The answer's document; behind white space an error is one too, and SDKs know to look for it."""
        request = self._request
        if not isinstance(outcome, S3Error):
            return result_document(request, outcome, declaration=declaration)
        resource = f"/{request.bucket}/{request.key}"
        error = render_error(outcome, resource=resource, request_id=request.id, host_id=request.services.host_id)
        return error.removeprefix(DECLARATION)


def result_document(request: Request, record: ObjectRecord, *, declaration: bool = True) -> bytes:
    """The document of a success."""
    scheme, host = request.environ.get("wsgi.url_scheme", "http"), request.header("host") or ""
    nodes: list[Node] = [
        ("Location", f"{scheme}://{host}{quote(request.raw_path, safe='/%~')}"),
        ("Bucket", request.bucket),
        ("Key", request.key),
        ("ETag", f'"{record.etag}"'),
        *((ALGORITHMS[name].element, value) for name, value in record.checksums.items()),
        ("ChecksumType", record.checksum_type or None),
    ]
    return document("CompleteMultipartUploadResult", nodes, escaping=escape_replacing, declaration=declaration)


def _keep_lease(uploads: Uploads, upload_id: str, token: str) -> None:
    """Stay the one who completes for as long as it takes."""
    while True:
        gevent.sleep(RENEW_SECONDS)
        try:
            if not uploads.renew(upload_id, token):
                return
        except redis.RedisError:
            # The storage itself makes sure that only one of two completions publishes.
            continue


def _announced_size(request: Request) -> int | None:
    value = request.header("x-amz-mp-object-size")
    return None if value is None else bounded_integer("x-amz-mp-object-size", value, 0, MAX_OBJECT_SIZE)


def _check_type(request: Request, upload: UploadRecord) -> None:
    """The checksum type that the completion may repeat is the one that the upload was begun with."""
    value = request.header("x-amz-checksum-type")
    if value is not None and value.upper() != upload.checksum_type:
        raise S3Error(
            "InvalidRequest",
            f"The upload was created using the {upload.checksum_type} checksum mode. The complete request must use "
            "the same checksum mode.",
        )


def chosen_parts(
    named: Sequence[CompletedPart], stored: Mapping[int, PartRecord], upload: UploadRecord, min_part_size: int
) -> list[PartRecord]:
    """The parts that a client names, as they are stored. Raises `S3Error` where they do not fit the upload.

    `min_part_size` is in bytes, for all parts but the last.
    """
    parts: list[PartRecord] = []
    for wanted in named:
        part = stored.get(wanted.number)
        if part is None or part.etag != wanted.etag:
            raise S3Error("InvalidPart", UploadId=upload.id, PartNumber=str(wanted.number), ETag=wanted.etag)
        for name, value in wanted.checksums.items():
            if part.checksums.get(name) != value:
                raise S3Error("InvalidPart", UploadId=upload.id, PartNumber=str(wanted.number), ETag=wanted.etag)
        if upload.announced and upload.checksum_type == "COMPOSITE" and upload.algorithm not in wanted.checksums:
            raise S3Error(
                "InvalidRequest",
                f"The upload was created using a {upload.algorithm.lower()} checksum. The complete request must "
                f"include the checksum for each part. It was missing for part {wanted.number} in the request.",
            )
        parts.append(part)
    for part in parts[:-1]:
        if part.size < min_part_size:
            raise S3Error(
                "EntityTooSmall",
                ProposedSize=str(part.size),
                MinSizeAllowed=str(min_part_size),
                PartNumber=str(part.number),
                ETag=part.etag,
            )
    return parts


def multipart_etag(parts: Sequence[PartRecord] | Sequence[CompletedPart]) -> str:
    """The MD5 of the parts' MD5s, and their number."""
    digest = hashlib.md5(b"".join(bytes.fromhex(part.etag) for part in parts), usedforsecurity=False)
    return f"{digest.hexdigest()}-{len(parts)}"


def object_checksum(parts: Sequence[PartRecord], upload: UploadRecord) -> tuple[dict[str, str], str]:
    """The object's checksum and its type, from the parts' without reading data again; nothing where that cannot be."""
    names = {name for part in parts for name in part.checksums}
    if len(names) != 1 or any(not part.checksums for part in parts):
        return {}, ""
    algorithm = ALGORITHMS[names.pop()]
    if upload.announced and upload.checksum_type == "COMPOSITE":
        return {algorithm.name: composite(algorithm, [part.checksums[algorithm.name] for part in parts])}, "COMPOSITE"
    if algorithm.combine is None:
        return {}, ""
    pairs = ((part.checksums[algorithm.name], part.size) for part in parts)
    return {algorithm.name: full_object(algorithm, pairs)}, "FULL_OBJECT"


def part_table(parts: Sequence[PartRecord]) -> PartTable:
    """The parts as they are kept in the object's record; single checksums only where they are of one algorithm."""
    runs: list[tuple[int, int, int]] = []
    for part in parts:
        if runs and runs[-1][0] + runs[-1][1] == part.number and runs[-1][2] == part.size:
            first, count, size = runs[-1]
            runs[-1] = (first, count + 1, size)
        else:
            runs.append((part.number, 1, part.size))
    names = {name for part in parts for name in part.checksums}
    if len(names) != 1 or any(not part.checksums for part in parts):
        return PartTable(runs=tuple(runs))
    name = names.pop()
    digests = b"".join(base64.b64decode(part.checksums[name]) for part in parts)
    return PartTable(runs=tuple(runs), algorithm=name, digests=digests)
