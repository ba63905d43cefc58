"""Changing records, copying and renaming."""

from __future__ import annotations

import time
from functools import partial

import pytest

from backends.api import Encryption, NoSuchObject, ObjectRecord, Precondition
from backends.testkit.harness import Box, Boxes, Target, all_fine, blocks_of, together
from backends.testkit.sources import Body, BodyBroke, content, record_of

SIZES = [0, 1, 65_537, (1 << 20) + 1]


def _copy(box: Box, source: str, target: str, into: Box | None = None, **changes: object) -> ObjectRecord:
    opened = box.open(source)
    try:
        record = opened.record.replace(**changes)
        return box.backend.copy_object(box.caller, opened, (into or box).name, target, record)
    finally:
        opened.close()


# -- update_object


@pytest.mark.parametrize("size", SIZES)
def test_a_changed_record_keeps_the_data(box: Box, size: int) -> None:
    before = box.put("dir/key", content(size), tags={"a": "b"}, metadata={"m": "x"})
    after = box.update("dir/key", lambda record: record.replace(tags={"c": "d"}, legal_hold=True))
    assert after.tags == {"c": "d"}
    assert after.legal_hold
    assert after.metadata == before.metadata
    assert after.etag == before.etag
    assert box.get("dir/key") == (after, content(size))
    (entry,) = box.scan()
    assert entry.record == after


def test_a_change_is_given_the_current_record(box: Box) -> None:
    before = box.put("key", b"data", tags={"a": "b"})
    seen: list[ObjectRecord] = []

    def change(record: ObjectRecord) -> ObjectRecord:
        seen.append(record)
        return record

    box.update("key", change)
    assert seen
    assert all(record == before for record in seen)


def test_a_change_that_raises_changes_nothing(box: Box) -> None:
    before = box.put("key", b"data")
    error = BodyBroke("no plugin knows this one")

    def change(record: ObjectRecord) -> ObjectRecord:
        raise error

    with pytest.raises(BodyBroke) as caught:
        box.update("key", change)
    assert caught.value is error
    assert box.get("key") == (before, b"data")


def test_concurrent_changes_of_a_record_are_all_kept(box: Box) -> None:
    box.put("dir/key", b"data")

    def tag(number: int) -> None:
        for turn in range(4):
            box.update("dir/key", lambda r, t=f"{number}-{turn}": r.replace(tags={**r.tags, t: "x"}))  # type: ignore[misc]

    all_fine(together([partial(tag, n) for n in range(4)]))
    record, data = box.get("dir/key")
    assert set(record.tags) == {f"{number}-{turn}" for number in range(4) for turn in range(4)}
    assert data == b"data"


def test_changes_of_a_record_by_many_processes_are_all_kept(contended: Target, box: Box) -> None:
    box.put("dir/key", b"data")
    contended.contend("update", box.name, "dir/key", 4)
    assert set(box.head("dir/key").tags) == {f"{n}-{turn}" for n in range(contended.processes) for turn in range(4)}


def test_a_change_beside_writers_never_marries_a_record_to_other_data(box: Box) -> None:
    versions = {str(number): content(20_000 + 1000 * number, number) for number in range(3)}
    box.put("dir/key", versions["0"], metadata={"n": "0"})

    def write() -> None:
        for _ in range(6):
            for number, data in versions.items():
                box.put("dir/key", data, metadata={"n": number})

    def change() -> None:
        for turn in range(6):
            box.update("dir/key", lambda record, t=str(turn): record.replace(tags={"turn": t}))  # type: ignore[misc]

    def read() -> None:
        for _ in range(20):
            record, data = box.get("dir/key")
            assert data == versions[record.metadata["n"]]

    outcomes = together([write, change, read])
    all_fine([outcomes[0], outcomes[2]])
    record, data = box.get("dir/key")
    assert data == versions[record.metadata["n"]]


# -- copy_object


@pytest.mark.parametrize("size", SIZES)
def test_a_copy_has_the_data_and_the_given_record(box: Box, size: int) -> None:
    before = box.put("from", content(size), tags={"a": "b"})
    copied = _copy(box, "from", "dir/to", metadata={"m": "new"}, tags={})
    assert copied.metadata == {"m": "new"}
    assert not copied.tags
    assert box.get("dir/to") == (copied, content(size))
    assert box.get("from") == (before, content(size))
    assert box.keys() == ["dir/to", "from"]


def test_a_copy_goes_into_another_bucket(boxes: Boxes) -> None:
    one, two = boxes.make(), boxes.make()
    one.put("dir/key", content(70_000))
    _copy(one, "dir/key", "dir/key", into=two)
    one.delete("dir/key")
    assert two.data("dir/key") == content(70_000)


def test_a_copy_over_an_object_replaces_it(box: Box) -> None:
    box.put("from", b"new data")
    box.put("to", content(100_000), tags={"old": "yes"})
    copied = _copy(box, "from", "to")
    assert box.get("to") == (copied, b"new data")


@pytest.mark.parametrize("size", SIZES)
def test_a_copy_onto_itself_changes_the_record(box: Box, size: int) -> None:
    box.put("dir/key", content(size), metadata={"m": "old"})
    copied = _copy(box, "dir/key", "dir/key", metadata={"m": "new"})
    assert box.get("dir/key") == (copied, content(size))
    assert copied.metadata == {"m": "new"}


def test_original_and_copy_go_their_own_ways(box: Box) -> None:
    box.put("from", content(70_000))
    _copy(box, "from", "to")
    updated = box.update("from", lambda record: record.replace(tags={"from": "yes"}))
    assert not box.head("to").tags
    box.update("to", lambda record: record.replace(tags={"to": "yes"}))
    assert box.get("from") == (updated, content(70_000))
    box.put("from", b"other data")
    assert box.data("to") == content(70_000)
    box.delete("from")
    assert box.data("to") == content(70_000)


def test_a_copy_is_of_what_was_opened(box: Box) -> None:
    box.put("from", content(70_000))
    opened = box.open("from")
    box.put("from", b"later")
    box.backend.copy_object(box.caller, opened, box.name, "one", opened.record)
    box.delete("from")
    box.backend.copy_object(box.caller, opened, box.name, "two", opened.record)
    opened.close()
    assert box.data("one") == content(70_000)
    assert box.data("two") == content(70_000)


def test_encrypted_data_are_longer_than_the_object_and_copied_whole(box: Box) -> None:
    stored = content(100_160)
    sealed = Encryption(kind="SSE-C", sealed_key=b"\x00\xff", stored_size=len(stored))
    record = record_of(b"x" * 100_000, encryption=sealed)
    box.put_body("from", Body(stored, record))
    _copy(box, "from", "to")
    box.backend.rename_object(box.caller, box.name, "to", "renamed")
    for key in ("from", "renamed"):
        box.update(key, lambda r: r.replace(tags={"a": "b"}))
        opened = box.open(key)
        assert opened.record.size == 100_000
        assert opened.record.encryption == sealed
        assert b"".join(blocks_of(opened, 0, len(stored))) == stored
        assert b"".join(blocks_of(opened, 100_100, 60)) == stored[100_100:]
        opened.close()


# -- rename_object


@pytest.mark.parametrize(
    ("old", "new"),
    [("a", "b"), ("a", "a/b"), ("a/b", "a"), ("dir/a", "other/dir/a"), ("a", "a/"), ("a", ".."), ("a", "k" * 1024)],
)
def test_a_renamed_object_is_at_its_new_key_only(box: Box, old: str, new: str) -> None:
    before = box.put(old, content(70_000), tags={"a": "b"})
    renamed = box.backend.rename_object(box.caller, box.name, old, new)
    assert renamed.replace(modified=0) == before.replace(modified=0)
    assert box.get(new) == (renamed, content(70_000))
    assert not box.exists(old)
    assert box.keys() == [new]


def test_a_rename_replaces_what_was_at_the_new_key(box: Box) -> None:
    box.put("dir/from", b"new data")
    box.put("dir/to", content(100_000), tags={"old": "yes"})
    renamed = box.backend.rename_object(box.caller, box.name, "dir/from", "dir/to")
    assert box.get("dir/to") == (renamed, b"new data")
    assert not renamed.tags
    assert box.keys() == ["dir/to"]


@pytest.mark.parametrize("key", ["key", "dir/key", "dir/"])
def test_a_rename_onto_itself_keeps_the_object(box: Box, key: str) -> None:
    before = box.put(key, b"data")
    renamed = box.backend.rename_object(box.caller, box.name, key, key)
    assert renamed.replace(modified=0) == before.replace(modified=0)
    assert box.get(key) == (renamed, b"data")


def test_there_has_to_be_something_to_rename(box: Box) -> None:
    kept = box.put("to/key", b"data")
    for source in ("missing", "to", "to/", "to/key/more"):
        with pytest.raises(NoSuchObject):
            box.backend.rename_object(box.caller, box.name, source, "to/key")
        with pytest.raises(NoSuchObject):
            box.backend.rename_object(box.caller, box.name, source, source)
    assert box.get("to/key") == (kept, b"data")


def test_of_many_renames_of_one_object_one_target_has_it(box: Box) -> None:
    if not box.backend.capabilities.atomic_rename:
        pytest.skip("the plugin declares atomic_rename = False: two renames may both have copied")
    box.put("dir/from", b"data")
    targets = [f"dir{number}/to" for number in range(6)]
    rename = box.backend.rename_object
    outcomes = together([lambda t=target: rename(box.caller, box.name, "dir/from", t) for target in targets])  # type: ignore[misc]
    assert sum(outcome.error is None for outcome in outcomes) == 1, outcomes
    assert all(isinstance(o.error, NoSuchObject) for o in outcomes if o.error is not None), outcomes
    assert len(box.keys()) == 1


def test_of_many_renames_onto_a_new_key_exactly_one_wins(box: Box) -> None:
    for number in range(6):
        box.put(f"from{number}", b"%d" % number)
    absent = Precondition(if_none_match=("*",))
    outcomes = together(
        [
            lambda n=number: box.backend.rename_object(  # type: ignore[misc]
                box.caller, box.name, f"from{n}", "dir/to", target_precondition=absent
            )
            for number in range(6)
        ]
    )
    winners = [number for number, outcome in enumerate(outcomes) if outcome.error is None]
    assert len(winners) == 1, outcomes
    assert box.data("dir/to") == b"%d" % winners[0]
    assert box.keys() == ["dir/to", *(f"from{number}" for number in range(6) if number != winners[0])]


def test_readers_always_find_a_renamed_object_under_one_of_its_keys(box: Box) -> None:
    def rename(old: str, new: str) -> None:
        box.backend.rename_object(box.caller, box.name, old, new)

    def read(old: str, new: str) -> None:
        while not box.exists(new):
            assert box.exists(old) or box.exists(new), "neither key exists"
            time.sleep(0)
        if box.backend.capabilities.atomic_rename:
            assert not box.exists(old), "both keys exist"

    for turn in range(8):
        old, new = f"dir/old{turn}", f"other/new{turn}"
        box.put(old, b"data")
        all_fine(together([partial(rename, old, new), partial(read, old, new)]))
        assert not box.exists(old)
