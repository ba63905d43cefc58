"""The default for documents, over a plugin that has nothing else. The testkit runs it too, with the sample plugin."""

from __future__ import annotations

import pytest

from backends import hidden
from backends.api import Backend, BackendConfig, BucketRecord, Caller, DocumentChanged, NoSuchBucket
from backends.memory import MemoryBackend

CALLER = Caller(account_id="test")


class Plain(MemoryBackend):
    get_document = Backend.get_document
    put_document = Backend.put_document
    delete_document = Backend.delete_document
    list_documents = Backend.list_documents


@pytest.fixture
def backend() -> Plain:
    made = Plain(BackendConfig())
    made.create_bucket(CALLER, BucketRecord(name="box", created=1))
    return made


def keys(backend: Backend) -> list[str]:
    return [entry.key for entry in backend.scan(CALLER, hidden.DOCUMENTS, "", "")]


def test_a_bucket_made_anew_has_none_of_the_documents_before(backend: Plain) -> None:
    revision = backend.put_document("box", "policy", b"old")
    backend.delete_bucket(CALLER, "box")
    for call in (
        lambda: backend.get_document("box", "policy"),
        lambda: backend.put_document("box", "policy", b"new"),
        lambda: backend.delete_document("box", "policy"),
        lambda: list(backend.list_documents("box")),
    ):
        with pytest.raises(NoSuchBucket):
            call()
    backend.create_bucket(CALLER, BucketRecord(name="box", created=2))
    assert backend.get_document("box", "policy") is None
    assert list(backend.list_documents("box")) == []
    with pytest.raises(DocumentChanged):
        backend.put_document("box", "policy", b"new", revision)


def test_a_sweep_removes_documents_of_buckets_that_are_gone(backend: Plain) -> None:
    backend.create_bucket(CALLER, BucketRecord(name="gone", created=1))
    backend.put_document("gone", "policy", b"1")
    backend.put_document("gone", "a/b/c", b"2")
    backend.put_document("box", "policy", b"3")
    backend.put_document(None, "accounts/root", b"4")
    backend.delete_bucket(CALLER, "gone")
    assert backend.sweep(3600) == 0
    assert backend.sweep(0) == 2
    assert keys(backend) == ["_/accounts/root", "box/1/policy"]


def test_there_is_nothing_to_sweep_before_the_first_document(backend: Plain) -> None:
    assert backend.sweep(0) == 0
    assert [bucket.name for bucket in backend.list_buckets(CALLER)] == ["box"]


def test_before_the_first_document_there_is_none_to_delete_or_to_expect(backend: Plain) -> None:
    backend.delete_document(None, "policy")
    backend.delete_document(None, "policy", None)
    with pytest.raises(DocumentChanged):
        backend.delete_document(None, "policy", "revision")
    assert list(backend.list_documents(None)) == []
    assert backend.get_document(None, "policy") is None
