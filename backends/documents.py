"""The contract's default for named documents, built from put, get, scan and delete.

Documents are objects of a hidden bucket:

    _/NAME                  the gateway's own
    BUCKET/CREATED/NAME     those of a bucket, with the time in its record

so that a bucket which is made anew has none of the documents of the one before, whoever still writes them. A
document's revision is its ETag, which is random: it never comes back. Compare-and-swap is as good as the storage's
preconditions.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from backends import hidden
from backends.errors import DocumentChanged, NoSuchBucket, NoSuchObject, PreconditionFailed
from backends.preconditions import ALWAYS, Precondition
from backends.records import BucketRecord, ObjectRecord
from backends.values import ANY_REVISION, Caller, Document

if TYPE_CHECKING:
    from backends.api import Backend

_CALLER: Final = Caller(account_id="", user_name="shardgate", uid=0, gid=0)
"""Documents are the gateway's, on whosever behalf it reads and writes them."""


_OWN: Final = "_/"


def _folder(backend: Backend, bucket: str | None) -> str:
    """Where the documents of a bucket are, or those of the gateway. Raises `NoSuchBucket`."""
    return _OWN if bucket is None else _folder_of(backend.get_bucket(_CALLER, bucket))


def _folder_of(bucket: BucketRecord) -> str:
    return f"{bucket.name}/{bucket.created}/"


def _expected(revision: str | None) -> Precondition:
    if revision == ANY_REVISION:
        return ALWAYS
    return Precondition(if_none_match=("*",)) if revision is None else Precondition(if_match=(revision,))


def get_document(backend: Backend, bucket: str | None, name: str) -> Document | None:
    """See `Backend.get_document`."""
    key = _folder(backend, bucket) + name
    try:
        opened = backend.get_object(_CALLER, hidden.DOCUMENTS, key)
    except (NoSuchBucket, NoSuchObject):
        return None
    try:
        return Document(b"".join(opened.read(0, opened.record.size)), opened.record.etag)
    finally:
        opened.close()


def put_document(backend: Backend, bucket: str | None, name: str, data: bytes, expected: str | None) -> str:
    """See `Backend.put_document`."""
    key = _folder(backend, bucket) + name
    record = ObjectRecord(size=len(data), etag=secrets.token_hex(16), modified=time.time_ns())
    try:
        hidden.put(backend, _CALLER, hidden.DOCUMENTS, key, record, data, _expected(expected))
    except (PreconditionFailed, NoSuchObject):
        raise DocumentChanged(name) from None
    return record.etag


def delete_document(backend: Backend, bucket: str | None, name: str, expected: str | None) -> None:
    """See `Backend.delete_document`."""
    key = _folder(backend, bucket) + name
    try:
        backend.delete_object(_CALLER, hidden.DOCUMENTS, key, _expected(expected))
    except (PreconditionFailed, NoSuchObject):
        raise DocumentChanged(name) from None
    except NoSuchBucket:
        if expected not in (ANY_REVISION, None):
            raise DocumentChanged(name) from None


def list_documents(backend: Backend, bucket: str | None, prefix: str) -> Iterator[str]:
    """See `Backend.list_documents`."""
    folder = _folder(backend, bucket)
    try:
        for entry in backend.scan(_CALLER, hidden.DOCUMENTS, folder + prefix, ""):
            yield entry.key.removeprefix(folder)
    except NoSuchBucket:
        return


def sweep_documents(backend: Backend, older_than: float) -> int:
    """Remove the documents of buckets that are gone, `older_than` seconds ago or earlier; returns how many."""
    before = time.time_ns() - int(older_than * 1e9)
    try:
        entries = list(backend.scan(_CALLER, hidden.DOCUMENTS, "", ""))
    except NoSuchBucket:
        return 0
    # Looked for after the documents: those of a bucket that is made meanwhile are not among them.
    alive = {_folder_of(bucket) for bucket in backend.list_buckets(_CALLER)}
    dead = [entry.key for entry in entries if entry.record.modified < before and not _in_one_of(alive, entry.key)]
    for key in dead:
        backend.delete_object(_CALLER, hidden.DOCUMENTS, key)
    return len(dead)


def _in_one_of(folders: set[str], key: str) -> bool:
    return key.startswith(_OWN) or "/".join(key.split("/", 2)[:2]) + "/" in folders
