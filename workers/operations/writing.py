"""PutObject."""

from __future__ import annotations

from backends.api import NoSuchObject, ObjectRecord, Precondition
from workers.body import ObjectSource, RequestBody
from workers.operations.common import check_owner, precondition
from workers.operations.object_headers import checksum_headers, draft_record
from workers.operations.refusals import refuse_selectors
from workers.operations.renaming import HEADER as RENAME_SOURCE
from workers.protocol.conditions import write_conditions
from workers.request import Request, Response
from workers.routing import Level, Stream, operation


@operation("PutObject", "PUT", Level.OBJECT, action="s3:PutObject", writes=True, body=Stream())
def put_object(request: Request) -> Response:
    """Store the body as an object."""
    condition = precondition(write_conditions(request.header))
    refuse_selectors(request, RENAME_SOURCE)  # it came without ?renameObject: not a wish for an empty object
    draft = draft_record(request)
    check_owner(request)
    _check_now(request, condition)
    clock = request.services.clock

    def complete(body: RequestBody) -> ObjectRecord:
        digests = body.digests
        return draft.replace(
            size=body.count,
            etag=digests.etag,
            modified=clock(),
            checksums=digests.checksums,
            checksum_type=digests.checksum_type,
        )

    source = ObjectSource(request.body, complete)
    stored = request.services.backend.put_object(request.caller, request.bucket, request.key, source, condition)
    return Response(200, {"etag": f'"{stored.etag}"', **checksum_headers(stored)})


def _check_now(request: Request, condition: Precondition) -> None:
    """Refuse before the body is sent what the condition refuses already; the storage checks it again at publication."""
    if condition.always:
        return
    try:
        current: ObjectRecord | None = request.services.backend.head_object(request.caller, request.bucket, request.key)
    except NoSuchObject:
        current = None
    condition.check(current)
