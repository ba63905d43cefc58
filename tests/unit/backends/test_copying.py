"""The contract's defaults for copying, renaming and changing a record, over a plugin that has nothing else."""

from __future__ import annotations

import pytest

from backends.api import (
    Backend,
    BackendConfig,
    BucketRecord,
    Caller,
    Encryption,
    NoSuchObject,
    ObjectRecord,
    OpenBytes,
    Precondition,
    PreconditionFailed,
)
from backends.copying import ATTEMPTS, CopySource
from backends.memory import MemoryBackend
from backends.testkit.harness import Box
from backends.testkit.sources import content

CALLER = Caller(account_id="test")


class Plain(MemoryBackend):
    """The memory plugin with the contract's defaults in place of its own methods."""

    update_object = Backend.update_object
    copy_object = Backend.copy_object
    rename_object = Backend.rename_object


@pytest.fixture
def box() -> Box:
    backend = Plain(BackendConfig())
    backend.create_bucket(CALLER, BucketRecord(name="bucket", created=1))
    return Box(backend, CALLER, "bucket")


def rename(box: Box, source: str, target: str, **preconditions: Precondition) -> ObjectRecord:
    return box.backend.rename_object(CALLER, "bucket", source, target, **preconditions)


# -- CopySource


class InBlocks(OpenBytes):
    """Gives blocks of the given sizes."""

    sizes = (3, 1, 10, 2)

    def read(self, offset: int, length: int):
        for size in self.sizes:
            yield self.data[offset : offset + size]
            offset += size


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_a_copy_source_gives_what_it_is_asked_for_at_most(size: int) -> None:
    data = content(16)
    source = CopySource(InBlocks(ObjectRecord(size=16, etag="e"), data), ObjectRecord(size=16, etag="f"))
    blocks = []
    while block := source.read(size):
        assert len(block) <= size
        blocks.append(block)
    assert b"".join(blocks) == data
    assert source.read(size) == b""
    assert source.length == 16
    assert source.record().etag == "f"


def test_an_empty_object_is_copied_without_a_read() -> None:
    class Unreadable(OpenBytes):
        def read(self, offset: int, length: int):
            raise AssertionError("read")

    source = CopySource(Unreadable(ObjectRecord(size=0, etag="e"), b""), ObjectRecord(size=0, etag="e"))
    assert source.length == 0
    assert source.read(10) == b""


def test_the_stored_size_is_the_encrypted_one() -> None:
    assert ObjectRecord(size=5, etag="e").stored_size == 5
    sealed = ObjectRecord(size=5, etag="e", encryption=Encryption(kind="SSE-C", stored_size=21))
    assert sealed.stored_size == 21


# -- update_object


def test_a_change_is_tried_again_when_the_object_changed_meanwhile(box: Box) -> None:
    box.put("key", b"old")
    seen: list[int] = []

    def change(record: ObjectRecord) -> ObjectRecord:
        seen.append(record.size)
        if len(seen) == 1:
            box.put("key", b"newer")
        return record.replace(tags={"a": "b"})

    after = box.update("key", change)
    assert seen == [3, 5]
    assert box.get("key") == (after, b"newer")
    assert after.tags == {"a": "b"}


def test_a_change_of_the_record_alone_is_noticed_too(box: Box) -> None:
    box.put("key", b"data")
    seen: list[dict[str, str]] = []

    def change(record: ObjectRecord) -> ObjectRecord:
        seen.append(dict(record.tags))
        if len(seen) == 1:
            box.update("key", lambda other: other.replace(tags={"other": "x"}))
        return record.replace(tags={**record.tags, "mine": "x"})

    assert box.update("key", change).tags == {"other": "x", "mine": "x"}
    assert seen == [{}, {"other": "x"}]


def test_a_change_that_never_gets_through_is_given_up(box: Box) -> None:
    box.put("key", b"data")
    tries = 0

    def change(record: ObjectRecord) -> ObjectRecord:
        nonlocal tries
        tries += 1
        box.put("key", b"data %d" % tries)
        return record

    with pytest.raises(PreconditionFailed):
        box.update("key", change)
    assert tries == ATTEMPTS
    assert box.data("key") == b"data %d" % ATTEMPTS


def test_an_object_that_goes_away_during_a_change_is_missed(box: Box) -> None:
    box.put("key", b"data")

    def change(record: ObjectRecord) -> ObjectRecord:
        box.delete("key")
        return record

    with pytest.raises(NoSuchObject):
        box.update("key", change)
    assert not box.exists("key")


# -- rename_object


def test_a_rename_onto_itself_keeps_the_object(box: Box) -> None:
    before = box.put("key", b"data")
    assert rename(box, "key", "key") == before
    assert box.get("key") == (before, b"data")


def test_a_rename_onto_itself_obeys_both_preconditions(box: Box) -> None:
    box.put("key", b"data")
    for side in ("source_precondition", "target_precondition"):
        with pytest.raises(PreconditionFailed):
            rename(box, "key", "key", **{side: Precondition(if_match=("x",))})
    assert box.data("key") == b"data"


class Meddling(Plain):
    """Does `meddle` between the copy and the delete of a rename."""

    meddle = staticmethod(lambda: None)

    def delete_object(self, *arguments, **options):
        meddle, self.meddle = self.meddle, lambda: None
        meddle()
        return super().delete_object(*arguments, **options)


@pytest.fixture
def meddled() -> Box:
    backend = Meddling(BackendConfig())
    backend.create_bucket(CALLER, BucketRecord(name="bucket", created=1))
    return Box(backend, CALLER, "bucket")


def test_a_source_that_was_replaced_meanwhile_is_kept(meddled: Box) -> None:
    meddled.put("from", b"data")
    meddled.backend.meddle = lambda: meddled.put("from", b"data", tags={"newer": "yes"})
    rename(meddled, "from", "to")
    assert meddled.data("to") == b"data"
    assert meddled.head("from").tags == {"newer": "yes"}


def test_a_source_that_was_deleted_meanwhile_is_renamed(meddled: Box) -> None:
    before = meddled.put("from", b"data")
    meddled.backend.meddle = lambda: meddled.delete("from")
    assert rename(meddled, "from", "to") == before
    assert meddled.keys() == ["to"]


def test_the_source_is_closed_whatever_happens(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []
    monkeypatch.setattr(OpenBytes, "close", lambda self: closed.append(self.record.etag))
    stored = box.put("from", b"data")
    rename(box, "from", "to")
    with pytest.raises(PreconditionFailed):
        rename(box, "to", "other", source_precondition=Precondition(if_match=("x",)))
    box.put("other", b"x")
    with pytest.raises(PreconditionFailed):
        rename(box, "to", "other", target_precondition=Precondition(if_none_match=("*",)))
    assert closed == [stored.etag] * 3
    box.update("to", lambda record: record)
    with pytest.raises(ZeroDivisionError):
        box.update("to", lambda record: record.replace(size=1 // 0))
    assert closed == [stored.etag] * 5
