"""What a worker knows of buckets: their records and configuration documents, read once and kept until they change."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Final

import msgspec

from backends.api import ANY_REVISION, Backend, BucketRecord, Caller, NoSuchBucket
from workers.iam.accounts import ROOT_ACCOUNT_ID
from workers.iam.acl import Acl, Grant, Ownership, decode_acl
from workers.iam.decision import BucketAccess
from workers.iam.policy.compiler import CompiledPolicy, compile_policy
from workers.iam.policy.model import Kind
from workers.iam.policy.parser import MAX_KEPT_BYTES
from workers.iam.public_access import (
    EVERYTHING_BLOCKED,
    NOTHING_BLOCKED,
    PublicAccessBlock,
    decode_public_access_block,
)
from workers.protocol.errors import S3Error
from workers.state.announcements import Changes
from workers.state.table import Table

logger = logging.getLogger("shardgate.buckets")

POLICY: Final = "policy"
ACL: Final = "acl"
OWNERSHIP: Final = "ownership"
PUBLIC_ACCESS_BLOCK: Final = "public-access-block"
REMOVED: Final = b""
"""What a document says when its configuration was removed, which is not the same as one that was never set."""

GATEWAY: Final = Caller(account_id=ROOT_ACCOUNT_ID, user_name="gateway", uid=0, gid=0)
"""On whose behalf the configuration of buckets is read."""

_CLOSED: Final = (
    '{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"s3:*",'
    '"Resource":["arn:aws:s3:::%s","arn:aws:s3:::%s/*"]}}'
)
_COMPILED: Final = 4096

MISSING: Final = 10_000
"""Buckets that are not there and that a worker remembers."""
MISSING_SECONDS: Final = 1.0

Documents = dict[str, bytes | None]


class KnownBucket:
    """One bucket, at the time of reading. Immutable to its users.

    Attributes:
        record: as the storage gave it, but with an owner in any case.
        access: what its documents say about access.
    """

    __slots__ = ("_backend", "_documents", "_names", "access", "record")

    def __init__(
        self, backend: Backend, record: BucketRecord, names: Collection[str], access: BucketAccess, documents: Documents
    ) -> None:
        self._backend = backend
        self._names = names
        self._documents = documents
        self.record = record
        self.access = access

    def document(self, name: str) -> bytes | None:
        """A configuration document, None when there is none; read once. Raises what the storage raises."""
        if name not in self._names:
            return None
        if name not in self._documents:
            found = self._backend.get_document(self.record.name, name)
            self._documents[name] = None if found is None else found.data
        return self._documents[name]


class Buckets:
    """The worker's table of buckets, and the one way by which their documents are changed.

    Args:
        changes: where a changed document is announced, under `bucket/NAME`.
        lifetime, grace: seconds, see `Table`.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        backend: Backend,
        changes: Changes,
        *,
        lifetime: float = 30.0,
        grace: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backend = backend
        self._changes = changes
        self._compile = lru_cache(maxsize=_COMPILED)(_compile)
        self._table: Table[KnownBucket] = Table(self._load, lifetime=lifetime, grace=grace)
        # PERF: without a method of our own in between.
        self.get = self._table.get
        """The bucket of a name. Raises `NoSuchBucket`, and what else the storage raises."""
        self._clock = clock
        self._missing: dict[str, float] = {}
        self._changes_heard = 0

    def get_for_anybody(self, name: str) -> KnownBucket:
        """The same for who did not say who he is: that a bucket is not there is remembered for a moment.

        Who signs his requests may have just made it by another worker, and finds it at once.
        """
        source = _source(name)
        if self._missing.get(source, 0.0) > self._clock():
            raise NoSuchBucket(name)
        began = self._changes_heard
        try:
            return self.get(name)
        except NoSuchBucket:
            if self._changes_heard == began:
                self._missing.pop(source, None)
                while len(self._missing) >= MISSING:
                    del self._missing[next(iter(self._missing))]
                self._missing[source] = self._clock() + MISSING_SECONDS
            raise

    def forget(self, document: str) -> None:
        """Something of a bucket has changed."""
        self._changes_heard += 1
        self._missing.pop(document, None)
        self._table.forget(document)

    def forget_bucket(self, bucket: str) -> None:
        """Have this worker read a bucket anew."""
        self._table.forget(_source(bucket))

    def doubt(self) -> None:
        """Changes may have been missed."""
        self._changes_heard += 1
        self._missing.clear()
        self._table.doubt()

    def changed(self, bucket: str) -> None:
        """A bucket was made, changed or removed: nobody goes by what he knows of it any more."""
        self._changes.announce(_source(bucket))

    def put_document(self, bucket: str, name: str, data: bytes, expected: str | None = ANY_REVISION) -> str:
        """Write a configuration document, and let all workers know; returns its revision. Raises `DocumentChanged`."""
        revision = self._backend.put_document(bucket, name, data, expected)
        self.changed(bucket)
        return revision

    def delete_document(self, bucket: str, name: str, expected: str | None = ANY_REVISION) -> None:
        """Delete a configuration document, and let all workers know. Raises `DocumentChanged`."""
        self._backend.delete_document(bucket, name, expected)
        self.changed(bucket)

    def _load(self, name: str) -> tuple[KnownBucket, Collection[str]]:
        backend = self._backend
        record = backend.get_bucket(GATEWAY, name)
        if not record.owner:
            # It came without the gateway.
            record = msgspec.structs.replace(record, owner=ROOT_ACCOUNT_ID)
        names = frozenset(backend.list_documents(name))
        documents: Documents = {}
        for wanted in (POLICY, ACL, OWNERSHIP, PUBLIC_ACCESS_BLOCK):
            if wanted in names:
                found = backend.get_document(name, wanted)
                documents[wanted] = None if found is None else found.data
        known = KnownBucket(backend, record, names, self._access(record, documents), documents)
        return known, (_source(name),)

    def _access(self, record: BucketRecord, documents: Documents) -> BucketAccess:
        policy = documents.get(POLICY)
        return BucketAccess(
            owner=record.owner,
            policy=None if policy is None else self._compile(policy, record.name),
            acl=_acl(documents.get(ACL), record),
            ownership=ownership_of(documents.get(OWNERSHIP), record.name) or Ownership.OBJECT_WRITER,
            block=block_of(documents.get(PUBLIC_ACCESS_BLOCK), record.name) or NOTHING_BLOCKED,
        )


def _source(bucket: str) -> str:
    return f"bucket/{bucket}"


def _compile(document: bytes, bucket: str) -> CompiledPolicy:
    """A bucket's policy; one that says nothing any more closes the bucket until its owner repairs it."""
    name = f"policy of bucket {bucket}"
    try:
        return compile_policy(document, Kind.BUCKET, name, bucket=bucket, limit=MAX_KEPT_BYTES)
    except S3Error as error:
        logger.error("the policy of bucket %s cannot be read, the bucket is closed: %s", bucket, error)
        return compile_policy(_CLOSED % (bucket, bucket), Kind.BUCKET, name, bucket=bucket)


def _acl(document: bytes | None, record: BucketRecord) -> Acl | None:
    """A bucket's ACL. After a change of owner, what it grants to the former owner as such is the new one's."""
    if document is None:
        return None
    try:
        acl = decode_acl(document.decode())
    except (msgspec.DecodeError, UnicodeDecodeError):
        logger.error("the ACL of bucket %s cannot be read, and grants nothing", record.name)
        return None
    if acl.owner == record.owner:
        return acl
    grants = (Grant(record.owner, grant.permission) if grant.grantee == acl.owner else grant for grant in acl.grants)
    return Acl(record.owner, tuple(dict.fromkeys(grants)))


def ownership_of(document: bytes | None, bucket: str) -> Ownership | None:
    """A bucket's ownership controls by their document; None where they were removed, so that ACLs count."""
    if document == REMOVED:
        return None
    try:
        return Ownership.BUCKET_OWNER_ENFORCED if document is None else Ownership(document.decode())
    except ValueError:
        logger.error("the ownership controls of bucket %s cannot be read: ACLs do not count", bucket)
        return Ownership.BUCKET_OWNER_ENFORCED


def block_of(document: bytes | None, bucket: str) -> PublicAccessBlock | None:
    """A bucket's public access block by its document; None where it was removed, so that nothing is blocked."""
    if document == REMOVED:
        return None
    try:
        return EVERYTHING_BLOCKED if document is None else decode_public_access_block(document)
    except (msgspec.DecodeError, UnicodeDecodeError):
        logger.error("the public access block of bucket %s cannot be read: everything public is blocked", bucket)
        return EVERYTHING_BLOCKED
