"""What the settings make of new buckets."""

from __future__ import annotations

from typing import Any

from backends.api import BackendConfig
from backends.memory import MemoryBackend
from tests.unit.operations.in_process import Worker
from workers.iam.acl import Ownership
from workers.iam.public_access import EVERYTHING_BLOCKED, NOTHING_BLOCKED

SUITES = {"new_bucket_ownership": "ObjectWriter", "new_bucket_public_access_block": "false"}


def worker(**settings: Any) -> Worker:
    backend = MemoryBackend(BackendConfig())
    backend.open()
    return Worker(backend, settings)


def test_by_default_as_on_aws() -> None:
    made = worker()
    assert made.perform("PUT", "/box", {"x-amz-acl": "public-read"}).status == 400
    assert made.perform("PUT", "/box").status == 200
    access = made.services.buckets.get("box").access
    assert (access.ownership, access.block) == (Ownership.BUCKET_OWNER_ENFORCED, EVERYTHING_BLOCKED)
    assert b"BucketOwnerEnforced" in made.perform("GET", "/box?ownershipControls").body


def test_open_to_acls_where_the_site_says_so() -> None:
    made = worker(**SUITES)
    assert made.perform("PUT", "/box", {"x-amz-acl": "public-read"}).status == 200
    access = made.services.buckets.get("box").access
    assert (access.ownership, access.block) == (Ownership.OBJECT_WRITER, NOTHING_BLOCKED)
    assert access.acl is not None
    assert access.acl.is_public
    assert made.perform("PUT", "/box/key", {"x-amz-acl": "public-read"}, b"data").status == 200
    assert b"AllUsers" in made.perform("GET", "/box/key?acl").body
    # A bucket keeps what it was made with.
    other = Worker(made.backend)
    assert other.services.buckets.get("box").access.ownership is Ownership.OBJECT_WRITER


def test_a_request_chooses_for_its_bucket() -> None:
    made = worker(**SUITES)
    closed = {"x-amz-object-ownership": "BucketOwnerEnforced"}
    assert made.perform("PUT", "/box", {**closed, "x-amz-acl": "public-read"}).status == 400
    assert made.perform("PUT", "/box", closed).status == 200
    assert made.services.buckets.get("box").access.acls_disabled
