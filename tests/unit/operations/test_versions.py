"""What a version id means, on a storage that has no versions and on one that has."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from backends.api import (
    BackendConfig,
    BucketRecord,
    Caller,
    Capabilities,
    DeleteOutcome,
    NoSuchVersion,
    ObjectRecord,
    OpenBytes,
    VersionedBackend,
)
from backends.memory import MemoryBackend
from backends.testkit.sources import Body, record_of
from tests.unit.operations.in_process import Worker

CALLER = Caller(account_id="a" * 64)
OLD = "3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY"
UNKNOWN = "L4kqtJlcpXroDTDmpUMLUo"
TAGGING = b"<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>"


class Versioned(MemoryBackend, VersionedBackend):
    """Every object has one older version, of its own data."""

    capabilities = Capabilities(versioning=True)

    def __init__(self, config):
        super().__init__(config)
        self.old = OpenBytes(ObjectRecord(size=3, etag="1" * 32, version_id=OLD), b"old")
        self.deleted = []

    def named(self, version_id):
        if version_id != OLD:
            raise NoSuchVersion(version_id)
        return self.old

    def get_object(self, caller, bucket, key, *, version_id=None):
        return self.named(version_id) if version_id else super().get_object(caller, bucket, key)

    def head_object(self, caller, bucket, key, *, version_id=None):
        return self.get_object(caller, bucket, key, version_id=version_id).record

    def update_object(self, caller, bucket, key, change, *, version_id=None):
        if version_id is None:
            return super().update_object(caller, bucket, key, change)
        self.old = OpenBytes(change(self.named(version_id).record), self.old.data)
        return self.old.record

    def delete_object(self, caller, bucket, key, *rest, version_id=None, **options):
        if version_id is None:
            return super().delete_object(caller, bucket, key, *rest)
        self.deleted.append(version_id)
        return DeleteOutcome(self.named(version_id).record)

    def scan_versions(self, caller, bucket, prefix, after, after_version=None):
        raise NotImplementedError


def worker(plugin: type[MemoryBackend]) -> Worker:
    backend = plugin(BackendConfig())
    backend.create_bucket(CALLER, BucketRecord(name="box", created=1))
    backend.put_object(CALLER, "box", "key", Body(b"data", record_of(b"data")))
    return Worker(backend)


def content(given: Worker, target: str) -> bytes:
    stream = given.perform("GET", target).stream
    assert stream is not None
    return b"".join(stream)


def refused(given: Worker, method: str, target: str) -> dict[str, str | None]:
    document = ET.fromstring(given.perform(method, target).body)
    return {element.tag: element.text for element in document}


@pytest.fixture
def plain() -> Worker:
    return worker(MemoryBackend)


@pytest.fixture
def versioned() -> Worker:
    return worker(Versioned)


def test_without_versions_null_is_the_object(plain: Worker) -> None:
    assert content(plain, "/box/key?versionId=null") == b"data"
    assert plain.perform("HEAD", "/box/key?versionId=null").status == 200
    assert plain.perform("PUT", "/box/key?tagging&versionId=null", body=TAGGING).status == 200
    assert plain.backend.head_object(CALLER, "box", "key").tags == {"k": "v"}
    assert plain.perform("DELETE", "/box/key?versionId=null").status == 204
    assert list(plain.backend.scan(CALLER, "box", "", "")) == []


@pytest.mark.parametrize(("method", "query"), [("GET", ""), ("GET", "tagging&"), ("DELETE", "tagging&")])
def test_without_versions_no_other_one_exists(plain: Worker, method: str, query: str) -> None:
    assert plain.perform("PUT", "/box/key?tagging", body=TAGGING).status == 200
    error = refused(plain, method, f"/box/key?{query}versionId={UNKNOWN}")
    assert (error["Code"], error["Key"], error["VersionId"]) == ("NoSuchVersion", "key", UNKNOWN)
    assert plain.perform("HEAD", f"/box/key?versionId={UNKNOWN}").status == 404
    assert plain.backend.head_object(CALLER, "box", "key").tags == {"k": "v"}


def test_without_versions_deleting_another_one_changes_nothing(plain: Worker) -> None:
    assert plain.perform("DELETE", f"/box/key?versionId={UNKNOWN}").status == 204
    assert content(plain, "/box/key") == b"data"
    assert refused(plain, "DELETE", f"/gone/key?versionId={UNKNOWN}")["Code"] == "NoSuchBucket"


def test_what_is_missing_is_told_before_its_version(plain: Worker) -> None:
    assert refused(plain, "GET", f"/box/other?versionId={UNKNOWN}")["Code"] == "NoSuchKey"
    assert refused(plain, "GET", f"/gone/key?versionId={UNKNOWN}")["Code"] == "NoSuchBucket"


def test_a_storage_with_versions_is_asked_for_the_one_that_is_named(versioned: Worker) -> None:
    target = f"/box/key?versionId={OLD}"
    assert content(versioned, target) == b"old"
    assert content(versioned, "/box/key") == b"data"
    assert versioned.perform("HEAD", target).headers["x-amz-version-id"] == OLD
    assert versioned.perform("PUT", f"/box/key?tagging&versionId={OLD}", body=TAGGING).status == 200
    assert versioned.backend.old.record.tags == {"k": "v"}
    assert versioned.perform("DELETE", target).status == 204
    assert versioned.backend.deleted == [OLD]
    assert content(versioned, "/box/key") == b"data"
    assert refused(versioned, "GET", f"/box/key?versionId={UNKNOWN}")["Code"] == "NoSuchVersion"
