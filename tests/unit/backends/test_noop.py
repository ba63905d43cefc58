"""The noop plugin: nothing is stored, everything is answered."""

from __future__ import annotations

import pytest

from backends.api import BackendConfig, BucketRecord, Caller, ConfigurationError, DocumentChanged, ListPage
from backends.noop import NoopBackend
from backends.testkit.harness import Box, blocks_of, whole
from backends.testkit.sources import Body, BodyBroke, BrokenBody, content, record_of

CALLER = Caller(account_id="test")


def make(**options: object) -> Box:
    return Box(NoopBackend(BackendConfig(options=options)), CALLER, "any-bucket")


@pytest.mark.parametrize("size", [0, 1, 1024, (1 << 20) - 1, 1 << 20, (5 << 20) + 1])
def test_every_object_is_made_of_that_many_zeros(size: int) -> None:
    box = make(size=size)
    record, data = box.get("anything")
    assert record.size == size
    assert data == bytes(size)
    assert box.head("else") == record


def test_the_size_is_1024_by_default() -> None:
    box = make()
    assert box.data("key") == bytes(1024)
    opened = box.open("key")
    assert b"".join(blocks_of(opened, 1000, 24)) == bytes(24)
    assert blocks_of(opened, 5, 0) == []
    assert len(whole(opened)) == 1024


def test_a_body_is_read_to_its_end_and_dropped() -> None:
    box = make(size=3)
    body = Body(content(3 << 20), record_of(content(3 << 20), tags={"a": "b"}))
    stored = box.put_body("key", body)
    assert stored.tags == {"a": "b"}
    assert body.read(1) == b""
    assert box.data("key") == bytes(3)
    with pytest.raises(BodyBroke):
        box.put_body("key", BrokenBody(content(10), 5, BodyBroke()))


def test_every_bucket_exists_and_is_empty() -> None:
    box = make()
    box.backend.create_bucket(CALLER, BucketRecord(name="b", created=1))
    assert box.backend.get_bucket(CALLER, "never-made").owner == "test"
    assert box.backend.list_buckets(CALLER) == []
    assert box.keys() == []
    assert box.page(delimiter="/") == ListPage()
    box.backend.delete_bucket(CALLER, "b")


def test_changes_are_answered() -> None:
    box = make()
    record = box.head("key")
    assert box.delete("key") == record
    assert box.backend.rename_object(CALLER, "b", "key", "other") == record
    assert box.backend.copy_object(CALLER, box.open("key"), "b", "key", record) == record


def test_documents_are_kept_in_memory() -> None:
    backend = make().backend
    first = backend.put_document(None, "accounts/root", b"1", None)
    backend.put_document("b", "policy", b"2")
    with pytest.raises(DocumentChanged):
        backend.put_document(None, "accounts/root", b"3", None)
    with pytest.raises(DocumentChanged):
        backend.delete_document(None, "accounts/root", "other")
    document = backend.get_document(None, "accounts/root")
    assert document is not None
    assert (document.data, document.revision) == (b"1", first)
    assert backend.list_documents(None, "acc") == ["accounts/root"]
    assert backend.list_documents("b") == ["policy"]
    backend.delete_document(None, "accounts/root", first)
    backend.delete_document(None, "accounts/root")
    assert backend.get_document(None, "accounts/root") is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sizes": 1}, "backend_config: Object contains unknown field `sizes`"),
        ({"size": "1"}, "backend_config: Expected `int`, got `str` - at `$.size`"),
        ({"size": -1}, "backend_config: Expected `int` >= 0 - at `$.size`"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make(**options)
    assert str(caught.value) == said
