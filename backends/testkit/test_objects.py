"""Objects: put, get, head and delete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

import pytest

from backends.api import NULL_VERSION, NoSuchBucket, NoSuchObject, StorageUnavailable
from backends.testkit.harness import Box, Boxes, Target, all_fine, blocks_of, meanwhile, together, whole
from backends.testkit.sources import Body, BodyBroke, BrokenBody, GatedBody, content, record_of

MIB = 1 << 20
SIZES = [0, 1, 2, 511, 4095, 4096, 4097, 65_535, 65_536, 65_537, MIB - 1, MIB, MIB + 1, 2 * MIB, 5 * MIB + 1]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("announced", [True, False])
def test_data_come_back_exactly(box: Box, size: int, announced: bool) -> None:
    data = content(size)
    stored = box.put_body("dir/key", Body(data, announced=size if announced else None))
    assert box.get("dir/key") == (stored, data)
    assert stored.size == size


@pytest.mark.parametrize("step", [1, 7, 1000, 65_536])
def test_a_body_may_give_fewer_bytes_than_it_is_asked_for(box: Box, step: int) -> None:
    data = content(step * 50 + 3)
    box.put_body("key", Body(data, step=step))
    assert box.data("key") == data


def test_put_returns_the_record_as_it_is_stored(box: Box) -> None:
    given = record_of(b"data", tags={"a": "b"})
    stored = box.put_body("key", Body(b"data", given))
    assert stored.version_id == NULL_VERSION
    assert stored.replace(modified=0) == given.replace(modified=0)
    assert stored.modified > 0
    assert box.head("key") == stored
    assert box.get("key") == (stored, b"data")


def test_an_object_may_be_overwritten_by_a_shorter_a_longer_and_an_empty_one(box: Box) -> None:
    for size in (100_000, 10, 200_000, 0, MIB + 1, 1):
        stored = box.put("dir/key", content(size), metadata={"size": str(size)})
        assert box.get("dir/key") == (stored, content(size))
        assert box.keys() == ["dir/key"]


def test_a_new_record_replaces_all_of_the_old_one(box: Box) -> None:
    box.put("key", b"data", tags={"a": "b"}, metadata={"m": "x"}, headers={"content-type": "text/plain"}, acl="acl")
    stored = box.put("key", b"data")
    assert box.head("key") == stored
    assert not stored.tags
    assert not stored.metadata
    assert not stored.headers
    assert not stored.acl


@pytest.mark.parametrize("key", ["missing", "dir", "dir/", "dir/key/", "dir/key/more", "dir/key/more/still", "/", "."])
def test_a_missing_object_is_told_as_such(box: Box, key: str) -> None:
    box.put("dir/key", b"data")
    with pytest.raises(NoSuchObject):
        box.open(key)
    with pytest.raises(NoSuchObject):
        box.head(key)
    with pytest.raises(NoSuchObject):
        box.update(key, lambda record: record)


# -- bodies that break


@pytest.mark.parametrize("good", [0, 1, 100_000, 299_999, 300_000])
@pytest.mark.parametrize("error", [BodyBroke("in the middle"), OSError(5, "from the body"), SystemExit(3)], ids=repr)
def test_a_body_that_raises_leaves_nothing_and_its_exception_passes(box: Box, good: int, error: BaseException) -> None:
    data = content(300_000)
    for key in ("new", "dir/new"):
        body = BrokenBody(data, good, error)
        with pytest.raises(type(error)) as caught:
            box.put_body(key, body)
        assert caught.value is error
        assert not body.faults
        assert not box.exists(key)
    assert box.keys() == []
    stored = box.put("dir/old", b"old data")
    with pytest.raises(type(error)):
        box.put_body("dir/old", BrokenBody(data, good, error))
    assert box.get("dir/old") == (stored, b"old data")
    box.delete("dir/old")
    box.backend.delete_bucket(box.caller, box.name)


@pytest.mark.parametrize("announced", [0, 1, 99_999, 100_001, 5 * MIB])
def test_a_body_of_another_length_than_announced_is_refused(box: Box, announced: int) -> None:
    data = content(100_000)
    with pytest.raises(ValueError):
        box.put_body("new", Body(data, announced=announced))
    assert not box.exists("new")
    assert box.keys() == []
    stored = box.put("old", b"old data")
    with pytest.raises(ValueError):
        box.put_body("old", Body(data, announced=announced))
    assert box.get("old") == (stored, b"old data")


def test_an_unfinished_put_is_seen_by_nobody_and_stops_nobody(box: Box) -> None:
    """A body may take hours: no lock is held meanwhile, not for this key and not for others."""
    old = box.put("dir/key", b"old data")
    body = GatedBody(content(2 * MIB))
    with meanwhile(lambda: box.put_body("dir/key", body)) as outcome:
        assert body.reached.wait(20)
        try:
            assert box.get("dir/key") == (old, b"old data")
            assert box.keys() == ["dir/key"]
            assert box.put("dir/other", b"other").size == 5
            between = box.put("dir/key", b"between")
            assert box.get("dir/key") == (between, b"between")
            box.update("dir/key", lambda record: record.replace(tags={"a": "b"}))
            assert box.delete("dir/other") is not None
            box.backend.put_document(box.name, "policy", b"document")
            assert not outcome
        finally:
            body.gate.set()
    assert outcome[0].error is None
    assert box.get("dir/key") == (outcome[0].value, content(2 * MIB))


# -- open objects


def test_any_slice_can_be_read_and_more_than_once(box: Box) -> None:
    size = 2 * MIB + 17
    data = content(size)
    box.put("key", data)
    opened = box.open("key")
    try:
        slices = [(0, size), (0, 1), (size - 1, 1), (size, 0), (0, 0), (1, size - 1), (MIB - 1, 2), (MIB, MIB), (17, 0)]
        for offset, length in [*slices, *slices]:
            assert b"".join(blocks_of(opened, offset, length)) == data[offset : offset + length], (offset, length)
    finally:
        opened.close()


def test_a_read_may_be_left_in_the_middle(box: Box) -> None:
    data = content(3 * MIB)
    box.put("key", data)
    opened = box.open("key")
    first = opened.read(0, len(data))
    assert data.startswith(next(first))
    assert b"".join(blocks_of(opened, 5, 1000)) == data[5:1005]
    opened.close()


def test_a_descriptor_agrees_with_read(box: Box) -> None:
    for data in (b"", b"x", content(MIB + 1)):
        box.put("key", data)
        opened = box.open("key")
        try:
            descriptor = opened.fileno()
            if descriptor is None:
                pytest.skip("the plugin gives no descriptors")
            assert os.pread(descriptor, len(data) + 1, 0)[: len(data)] == data
            assert os.fstat(descriptor).st_size >= len(data)
            assert whole(opened) == data
        finally:
            opened.close()


@pytest.mark.parametrize("change", ["overwrite", "delete", "update", "rename"])
def test_an_open_object_stays_what_it_was(box: Box, change: str) -> None:
    data = content(2 * MIB + 1)
    stored = box.put("dir/key", data, tags={"old": "yes"})
    opened = box.open("dir/key")
    blocks = opened.read(0, len(data))
    begun = next(blocks)
    if change == "overwrite":
        box.put("dir/key", content(100, seed=7), tags={"new": "yes"})
    elif change == "delete":
        box.delete("dir/key")
    elif change == "update":
        box.update("dir/key", lambda record: record.replace(tags={"new": "yes"}))
    else:
        box.backend.rename_object(box.caller, box.name, "dir/key", "other")
    assert opened.record == stored
    assert_still(box, begun + data_until_unavailable(blocks), data)
    assert_still(box, data_until_unavailable(opened.read(10, MIB)), data[10 : MIB + 10])
    opened.close()


def data_until_unavailable(blocks: Iterator[bytes]) -> bytes:
    """What a read gives before it ends or the storage says that there is no more."""
    data = b""
    try:
        for block in blocks:
            data += block
    except StorageUnavailable:
        pass
    return data


def assert_still(box: Box, read: bytes, data: bytes) -> None:
    """All of the data were read; or, where the plugin does not promise that, the beginning of them."""
    if box.backend.capabilities.stable_reads:
        assert read == data
    else:
        assert data.startswith(read)


def test_record_and_data_belong_together_while_writers_write(box: Box) -> None:
    """Every reader sees one of the objects, never the data of one under the record of another."""
    versions = {str(n): content(30_000 + n * 11_111, seed=n) for n in range(4)}
    box.put("dir/key", versions["0"], tags={"n": "0"})

    def write() -> int:
        for _ in range(5):
            for number, data in versions.items():
                box.put("dir/key", data, tags={"n": number})
        return 0

    def read() -> int:
        for _ in range(40):
            record, data = box.get("dir/key")
            assert data == versions[record.tags["n"]]
            head = box.head("dir/key")
            assert head.size == len(versions[head.tags["n"]])
            (entry,) = box.scan()
            assert entry.record.size == len(versions[entry.record.tags["n"]])
        return 0

    all_fine(together([write, write, read, read]))


def test_objects_may_be_written_all_at_once(box: Box) -> None:
    keys = [f"{'dir/' * (n % 5)}key{n}" for n in range(24)]
    all_fine(together([partial(box.put, key, content(5000, n)) for n, key in enumerate(keys)]))
    assert box.keys() == sorted(keys)
    for number, key in enumerate(keys):
        assert box.data(key) == content(5000, number)


def test_neighbours_may_come_and_go_at_once(box: Box) -> None:
    """Objects that share a directory, on storage that has some, while it comes into being and is left empty."""

    def churn(number: int) -> int:
        for turn in range(8):
            key = f"shared/deep/er/key{number}"
            stored = box.put(key, b"%d" % turn)
            assert box.get(key) == (stored, b"%d" % turn)
            assert box.delete(key) == stored
        return 0

    all_fine(together([partial(churn, n) for n in range(6)]))
    assert box.keys() == []


# -- delete


@pytest.mark.parametrize("key", ["key", "dir/key", "dir/deeper/key/"])
def test_delete_tells_what_went(box: Box, key: str) -> None:
    stored = box.put(key, b"data", tags={"a": "b"})
    outcome = box.backend.delete_object(box.caller, box.name, key)
    assert outcome.removed == stored
    assert outcome.marker is None
    assert not box.exists(key)
    assert box.keys() == []


@pytest.mark.parametrize("key", ["missing", "missing/deep", "dir", "dir/", "dir/key/more"])
def test_deleting_what_is_not_there_is_no_error(box: Box, key: str) -> None:
    box.put("dir/key", b"data")
    outcome = box.backend.delete_object(box.caller, box.name, key)
    assert outcome.removed is None
    assert outcome.marker is None
    assert box.keys() == ["dir/key"]
    assert box.data("dir/key") == b"data"


def test_of_many_deleters_exactly_one_removed_it(box: Box) -> None:
    for _ in range(5):
        stored = box.put("dir/key", b"data")
        removed = all_fine(together([lambda: box.delete("dir/key")] * 6))
        assert [record for record in removed if record is not None] == [stored]


def test_a_deleted_object_leaves_its_neighbours(box: Box) -> None:
    keys = ["a", "a/", "a/b", "a/b/c", "ab", "b"]
    for victim in keys:
        for key in keys:
            box.put(key, key.encode())
        box.delete(victim)
        rest = [key for key in keys if key != victim]
        assert box.keys() == rest
        for key in rest:
            assert box.data(key) == key.encode()


def test_objects_of_two_buckets_do_not_meet(boxes: Boxes) -> None:
    box, other = boxes.make(), boxes.make()
    box.put("key", b"one")
    other.put("key", b"two")
    assert box.data("key") == b"one"
    assert other.data("key") == b"two"
    other.delete("key")
    assert box.data("key") == b"one"
    with pytest.raises(NoSuchBucket):
        box.backend.head_object(box.caller, box.name + "x", "key")


def test_another_worker_may_delete_what_is_open_here(shared: Target, box: Box) -> None:
    data = content(2 * MIB)
    box.put("key", data)
    opened = box.open("key")
    with shared.opened() as other:
        box.on(other).delete("key")
    assert_still(box, data_until_unavailable(opened.read(0, len(data))), data)
    opened.close()
