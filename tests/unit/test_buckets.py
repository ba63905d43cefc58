"""What a worker keeps of buckets: read once, dropped when they change, closed where a document cannot be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from backends.api import BackendConfig, BucketRecord, Caller, NoSuchBucket
from backends.memory import MemoryBackend
from workers.buckets import (
    ACL,
    MISSING_SECONDS,
    OWNERSHIP,
    POLICY,
    PUBLIC_ACCESS_BLOCK,
    REMOVED,
    Buckets,
    block_of,
    ownership_of,
)
from workers.iam.accounts import ROOT_ACCOUNT_ID
from workers.iam.acl import FULL_CONTROL, Acl, Grant, Ownership
from workers.iam.decision import decide
from workers.iam.policy.context import RequestContext
from workers.iam.policy.principals import account_principal
from workers.iam.public_access import EVERYTHING_BLOCKED
from workers.state.announcements import Changes

OWNER, OTHER = "a" * 64, "b" * 64


class Counting(MemoryBackend):
    """Counts readings of bucket records and documents."""

    def __init__(self) -> None:
        super().__init__(BackendConfig())
        self.reads = 0

    def get_bucket(self, caller: Caller, bucket: str) -> BucketRecord:
        self.reads += 1
        return super().get_bucket(caller, bucket)

    def get_document(self, bucket: str | None, name: str) -> Any:
        self.reads += 1
        return super().get_document(bucket, name)


@pytest.fixture
def backend() -> Counting:
    made = Counting()
    made.open()
    made.create_bucket(Caller(account_id=OWNER), BucketRecord(name="box", created=1, owner=OWNER))
    return made


@pytest.fixture
def buckets(backend: Counting) -> Buckets:
    changes = Changes(None)
    made = Buckets(backend, changes)
    changes.heard.append(made.forget)
    return made


def test_a_fresh_bucket_is_closed(buckets: Buckets) -> None:
    access = buckets.get("box").access
    assert (access.owner, access.policy, access.acl) == (OWNER, None, None)
    assert access.ownership is Ownership.BUCKET_OWNER_ENFORCED
    assert access.block == EVERYTHING_BLOCKED


def test_a_bucket_is_read_once_until_it_changes(buckets: Buckets, backend: Counting) -> None:
    assert buckets.get("box") is buckets.get("box")
    assert backend.reads == 1
    buckets.put_document("box", OWNERSHIP, b"ObjectWriter")
    assert buckets.get("box").access.ownership is Ownership.OBJECT_WRITER
    buckets.delete_document("box", OWNERSHIP)
    assert buckets.get("box").access.ownership is Ownership.BUCKET_OWNER_ENFORCED


def test_other_documents_are_read_when_they_are_asked_for(buckets: Buckets, backend: Counting) -> None:
    buckets.put_document("box", "cors", b"rules")
    known = buckets.get("box")
    before = backend.reads
    assert [known.document(name) for name in ("cors", "cors", "lifecycle")] == [b"rules", b"rules", None]
    assert backend.reads == before + 1


def test_a_bucket_that_goes_is_not_remembered(buckets: Buckets, backend: Counting) -> None:
    buckets.get("box")
    backend.delete_bucket(Caller(account_id=OWNER), "box")
    buckets.changed("box")
    for _ in range(2):
        with pytest.raises(NoSuchBucket):
            buckets.get("box")
    backend.create_bucket(Caller(account_id=OTHER), BucketRecord(name="box", created=2, owner=OTHER))
    assert buckets.get("box").access.owner == OTHER


def test_a_bucket_without_an_owner_is_roots(buckets: Buckets, backend: Counting) -> None:
    backend.create_bucket(Caller(account_id=""), BucketRecord(name="found", created=1))
    assert buckets.get("found").record.owner == buckets.get("found").access.owner == ROOT_ACCOUNT_ID


def test_documents_that_cannot_be_read_open_nothing(buckets: Buckets) -> None:
    for name in (POLICY, ACL, OWNERSHIP, PUBLIC_ACCESS_BLOCK):
        buckets.put_document("box", name, b"\xff{")
    access = buckets.get("box").access
    assert access.acl is None
    assert access.acls_disabled
    assert access.block == EVERYTHING_BLOCKED
    owner = account_principal(OWNER)
    context = RequestContext(owner)

    def allowed(action: str, resource: str) -> bool:
        return decide(action, resource, owner, context, access).allowed

    assert not allowed("s3:GetObject", "arn:aws:s3:::box/k")
    assert not allowed("s3:ListBucket", "arn:aws:s3:::box")
    assert allowed("s3:PutBucketPolicy", "arn:aws:s3:::box")


def test_a_removed_configuration_is_not_a_missing_one() -> None:
    assert ownership_of(None, "box") is Ownership.BUCKET_OWNER_ENFORCED
    assert ownership_of(REMOVED, "box") is None
    assert block_of(None, "box") == EVERYTHING_BLOCKED
    assert block_of(REMOVED, "box") is None


def test_a_former_owner_keeps_nothing_by_the_acl(buckets: Buckets, backend: Counting) -> None:
    acl = Acl(OWNER, (Grant(OWNER, FULL_CONTROL), Grant("c" * 64, "READ")))
    buckets.put_document("box", ACL, acl.encode().encode())
    backend.change_bucket_owner(Caller(account_id=ROOT_ACCOUNT_ID), "box", OTHER)
    buckets.changed("box")
    assert buckets.get("box").access.acl == Acl(OTHER, (Grant(OTHER, FULL_CONTROL), Grant("c" * 64, "READ")))


def test_a_policy_is_compiled_once(buckets: Buckets) -> None:
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::box/*"}
    text = json.dumps({"Version": "2012-10-17", "Statement": statement}).encode()
    buckets.put_document("box", POLICY, text)
    first = buckets.get("box").access.policy
    buckets.changed("box")
    assert buckets.get("box").access.policy is first


def test_that_a_bucket_is_not_there_is_remembered_for_who_is_anonymous(backend: Counting) -> None:
    now = [0.0]
    buckets = Buckets(backend, Changes(None), clock=lambda: now[0])
    for _ in range(3):
        with pytest.raises(NoSuchBucket):
            buckets.get_for_anybody("none")
    assert backend.reads == 1
    with pytest.raises(NoSuchBucket):
        buckets.get("none")
    assert backend.reads == 2
    now[0] += MISSING_SECONDS
    with pytest.raises(NoSuchBucket):
        buckets.get_for_anybody("none")
    assert backend.reads == 3


@pytest.mark.parametrize("tell", [lambda buckets: buckets.forget("bucket/new"), Buckets.doubt])
def test_a_bucket_that_was_made_is_there_for_everybody(backend: Counting, tell: Callable[[Buckets], None]) -> None:
    buckets = Buckets(backend, Changes(None), clock=lambda: 0.0)
    with pytest.raises(NoSuchBucket):
        buckets.get_for_anybody("new")
    backend.create_bucket(Caller(account_id=OWNER), BucketRecord(name="new", created=1, owner=OWNER))
    tell(buckets)
    assert buckets.get_for_anybody("new").record.name == "new"


def test_a_bucket_that_is_made_while_it_is_looked_for_is_not_remembered_as_missing(backend: Counting) -> None:
    buckets = Buckets(backend, Changes(None), clock=lambda: 0.0)
    read = backend.get_bucket

    def late(caller: Caller, bucket: str) -> BucketRecord:
        buckets.forget("bucket/new")
        return read(caller, bucket)

    backend.get_bucket = late  # type: ignore[method-assign]
    with pytest.raises(NoSuchBucket):
        buckets.get_for_anybody("new")
    backend.create_bucket(Caller(account_id=OWNER), BucketRecord(name="new", created=1, owner=OWNER))
    assert buckets.get_for_anybody("new").record.name == "new"


def test_no_more_missing_buckets_are_remembered_than_there_is_room_for(
    backend: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.buckets.MISSING", 2)
    buckets = Buckets(backend, Changes(None), clock=lambda: 0.0)
    for name in ("one", "two", "three", "three", "two", "one"):
        with pytest.raises(NoSuchBucket):
            buckets.get_for_anybody(name)
    assert backend.reads == 4
