"""Buckets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from msgspec.structs import replace

from backends.api import (
    Backend,
    BucketExists,
    BucketNotEmpty,
    BucketRecord,
    Caller,
    ListQuery,
    NoSuchBucket,
    NotSupported,
)
from backends.testkit.corpus import BUCKET_ENDINGS
from backends.testkit.harness import Box, Boxes, Target, all_fine, together
from backends.testkit.sources import Body, HookedBody, content

MISSING = "testkit-no-such-bucket"


def test_a_record_comes_back_whole(boxes: Boxes) -> None:
    record = BucketRecord(
        name=boxes.name(), created=1_712_345_678_123_456_789, owner="0" * 64, region="eu-central-1", object_lock=True
    )
    boxes.backend.create_bucket(boxes.caller, record)
    assert boxes.backend.get_bucket(boxes.caller, record.name) == record
    assert record in boxes.backend.list_buckets(boxes.caller)


@pytest.mark.parametrize("ending", BUCKET_ENDINGS)
def test_every_legal_name_can_be_used(boxes: Boxes, ending: str) -> None:
    box = boxes.make(ending)
    box.put("key", b"data")
    assert box.data("key") == b"data"
    assert box.name in [record.name for record in boxes.backend.list_buckets(boxes.caller)]


def test_buckets_are_listed_in_order(boxes: Boxes) -> None:
    names = {boxes.make(ending).name for ending in (".z", "-a", "0", "z", "a")}
    listed = [record.name for record in boxes.backend.list_buckets(boxes.caller)]
    assert listed == sorted(listed)
    assert len(set(listed)) == len(listed)
    assert names <= set(listed)


def test_a_bucket_that_exists_is_not_made_again(box: Box) -> None:
    before = box.backend.get_bucket(box.caller, box.name)
    box.put("key", b"data")
    with pytest.raises(BucketExists):
        box.backend.create_bucket(box.caller, BucketRecord(name=box.name, created=1, owner="another"))
    assert box.backend.get_bucket(box.caller, box.name) == before
    assert box.data("key") == b"data"


def test_a_bucket_gets_another_owner_and_keeps_all_else(box: Box) -> None:
    box.put("key", b"data")
    before = box.backend.get_bucket(box.caller, box.name)
    try:
        box.backend.change_bucket_owner(box.caller, box.name, "f" * 64)
    except NotSupported:
        assert box.backend.get_bucket(box.caller, box.name) == before
        return
    after = box.backend.get_bucket(box.caller, box.name)
    assert after == replace(before, owner="f" * 64)
    assert after in box.backend.list_buckets(box.caller)
    assert box.data("key") == b"data"
    with pytest.raises(NoSuchBucket):
        box.backend.change_bucket_owner(box.caller, MISSING, "f" * 64)


def test_a_deleted_bucket_is_gone(box: Box) -> None:
    box.backend.delete_bucket(box.caller, box.name)
    with pytest.raises(NoSuchBucket):
        box.backend.get_bucket(box.caller, box.name)
    assert box.name not in [record.name for record in box.backend.list_buckets(box.caller)]
    with pytest.raises(NoSuchBucket):
        box.backend.delete_bucket(box.caller, box.name)


def test_a_bucket_made_again_is_empty_and_new(box: Box) -> None:
    box.put("a/b", b"data")
    box.backend.put_document(box.name, "policy", b"old")
    box.delete("a/b")
    box.backend.delete_bucket(box.caller, box.name)
    record = BucketRecord(name=box.name, created=2, owner="another")
    box.backend.create_bucket(box.caller, record)
    assert box.backend.get_bucket(box.caller, box.name) == record
    assert box.keys() == []
    assert list(box.backend.list_documents(box.name)) == []
    assert box.backend.get_document(box.name, "policy") is None


@pytest.mark.parametrize("key", ["a", "a/", "a/b/c", "..", ".hidden", "/", "k" * 1024])
def test_a_bucket_with_an_object_is_not_deleted(box: Box, key: str) -> None:
    box.put(key, b"data")
    with pytest.raises(BucketNotEmpty):
        box.backend.delete_bucket(box.caller, box.name)
    assert box.data(key) == b"data"
    box.delete(key)
    box.backend.delete_bucket(box.caller, box.name)


def test_a_bucket_is_empty_when_its_last_deep_object_is_gone(box: Box) -> None:
    keys = ["a", "a/b", "a/b/c/d/e", "f//g", "h/"]
    for key in keys:
        box.put(key, b"data")
    for key in keys:
        box.delete(key)
    assert box.keys() == []
    box.backend.delete_bucket(box.caller, box.name)


def test_a_bucket_that_keeps_documents_only_can_be_deleted(box: Box) -> None:
    box.backend.put_document(box.name, "policy", b"document")
    box.backend.delete_bucket(box.caller, box.name)


def _calls() -> dict[str, Callable[[Backend, Caller, str], object]]:
    return {
        "get_bucket": lambda b, c, name: b.get_bucket(c, name),
        "delete_bucket": lambda b, c, name: b.delete_bucket(c, name),
        "put_object": lambda b, c, name: b.put_object(c, name, "key", Body(b"data")),
        "get_object": lambda b, c, name: b.get_object(c, name, "key"),
        "head_object": lambda b, c, name: b.head_object(c, name, "key"),
        "delete_object": lambda b, c, name: b.delete_object(c, name, "key"),
        "scan": lambda b, c, name: list(b.scan(c, name, "", "")),
        "scan with a prefix": lambda b, c, name: list(b.scan(c, name, "dir/", "dir/a")),
        "list_objects": lambda b, c, name: b.list_objects(c, name, ListQuery()),
        "list_objects with a delimiter": lambda b, c, name: b.list_objects(c, name, ListQuery(delimiter="/")),
        "update_object": lambda b, c, name: b.update_object(c, name, "key", lambda record: record),
        "rename_object": lambda b, c, name: b.rename_object(c, name, "key", "other"),
        "get_document": lambda b, c, name: b.get_document(name, "policy"),
        "put_document": lambda b, c, name: b.put_document(name, "policy", b"document"),
        "put_document expecting none": lambda b, c, name: b.put_document(name, "policy", b"document", None),
        "delete_document": lambda b, c, name: b.delete_document(name, "policy"),
        "list_documents": lambda b, c, name: list(b.list_documents(name)),
    }


@pytest.mark.parametrize("call", _calls())
def test_every_call_tells_that_there_is_no_such_bucket(backend: Backend, caller: Caller, call: str) -> None:
    with pytest.raises(NoSuchBucket):
        _calls()[call](backend, caller, MISSING)
    with pytest.raises(NoSuchBucket):
        backend.get_bucket(caller, MISSING)


def test_a_copy_into_a_missing_bucket_is_refused(box: Box) -> None:
    box.put("key", b"data")
    opened = box.open("key")
    try:
        with pytest.raises(NoSuchBucket):
            box.backend.copy_object(box.caller, opened, MISSING, "key", opened.record)
    finally:
        opened.close()


def test_a_bucket_that_goes_away_during_a_put_takes_the_put_with_it(box: Box) -> None:
    """The put fails or the deletion does; an acknowledged object is never in no bucket."""
    refused: list[BucketNotEmpty] = []

    def delete() -> None:
        try:
            box.backend.delete_bucket(box.caller, box.name)
        except BucketNotEmpty as error:
            refused.append(error)

    body = HookedBody(content(300_000), delete)
    try:
        box.put_body("dir/key", body)
    except NoSuchBucket:
        assert not refused
        with pytest.raises(NoSuchBucket):
            box.backend.get_bucket(box.caller, box.name)
    else:
        assert refused, "the bucket was deleted and the put was acknowledged"
        assert box.data("dir/key") == content(300_000)


def test_of_many_creators_exactly_one_wins(boxes: Boxes) -> None:
    name = boxes.name()
    records = [BucketRecord(name=name, created=number + 1, owner=f"owner{number}") for number in range(8)]
    outcomes = together([partial(boxes.backend.create_bucket, boxes.caller, record) for record in records])
    winners = [record for record, outcome in zip(records, outcomes, strict=True) if outcome.error is None]
    assert len(winners) == 1, outcomes
    assert all(isinstance(outcome.error, BucketExists) for outcome in outcomes if outcome.error is not None), outcomes
    assert boxes.backend.get_bucket(boxes.caller, name) == winners[0]


def test_of_many_creating_processes_exactly_one_wins(shared: Target, boxes: Boxes) -> None:
    if shared.processes < 2:
        pytest.skip("--backend-processes says so")
    name = boxes.name()
    answers = shared.contend("make_bucket", "", name, 1)
    assert sorted(answers) == [[]] * (shared.processes - 1) + [[name]]


def test_deleting_and_filling_a_bucket_at_once_loses_nothing(boxes: Boxes) -> None:
    for _ in range(5):
        box = boxes.make()

        def fill(box: Box = box) -> bool:
            try:
                box.put("dir/key", b"data")
            except NoSuchBucket:
                return False
            return True

        def delete(box: Box = box) -> bool:
            try:
                box.backend.delete_bucket(box.caller, box.name)
            except BucketNotEmpty:
                return False
            return True

        filled, deleted = all_fine(together([fill, delete]))
        assert filled != deleted
        if filled:
            assert box.data("dir/key") == b"data"
