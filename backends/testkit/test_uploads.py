"""Multipart uploads: begun, filled in any order, listed, completed once, aborted."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial

import pytest

from backends.api import (
    UPLOAD_MARK,
    NoSuchBucket,
    NoSuchObject,
    NoSuchUpload,
    PartRecord,
    Precondition,
    PreconditionFailed,
    UploadRecord,
)
from backends.testkit.harness import Box, Boxes, Target, all_fine, meanwhile, together
from backends.testkit.sources import Body, BodyBroke, BrokenBody, GatedBody, HookedBody, content, record_of
from backends.testkit.uploading import Upload, upload_ids

PART = 70_000
STAR = ("*",)


@pytest.fixture
def upload(box: Box) -> Upload:
    """A new upload of `dir/key`."""
    return Upload.begin(box, metadata={"m": "x"})


def bodies(count: int, size: int = PART, last: int = 1234) -> list[bytes]:
    """The data of parts of one size, and a shorter last one."""
    return [content(size, seed) for seed in range(count - 1)] + [content(last, count)]


# -- begin, load, list, abort


def test_an_upload_is_loaded_as_it_was_begun(upload: Upload) -> None:
    stored = upload.load()
    assert (stored.upload, stored.parts, stored.completed) == (upload.record, (), None)
    assert not upload.box.exists("dir/key")


def test_an_unknown_upload_is_not_found(box: Box, upload: Upload) -> None:
    unknown = Upload(box, UploadRecord(id="0" * 48, key="k", initiated=1, draft=upload.record.draft))
    with pytest.raises(NoSuchUpload):
        unknown.load()
    with pytest.raises(NoSuchUpload):
        unknown.put(1, b"data")
    with pytest.raises(NoSuchUpload):
        unknown.complete([])
    unknown.abort()


def test_an_upload_belongs_to_its_bucket(boxes: Boxes, upload: Upload) -> None:
    elsewhere = upload.on(boxes.make())
    with pytest.raises(NoSuchUpload):
        elsewhere.load()
    elsewhere.abort()
    assert upload.load().upload == upload.record


def test_no_upload_begins_without_a_bucket(boxes: Boxes, box: Box) -> None:
    with pytest.raises(NoSuchBucket):
        Upload.begin(Box(box.backend, box.caller, boxes.name()))


def test_open_uploads_are_listed(boxes: Boxes, box: Box) -> None:
    assert upload_ids(box) == set()
    begun = [Upload.begin(box, key) for key in ("a", "a", "a/b", "ä\x01\U0001f600", "x" * 1000, "..//.")]
    begun[0].put(1, b"data")
    assert upload_ids(box) == {upload.record.id for upload in begun}
    found = {upload.id: upload for upload in box.backend.list_uploads(box.caller, box.name)}
    assert all(found[upload.record.id] == upload.record for upload in begun)
    assert upload_ids(boxes.make()) == set()
    begun[0].abort()
    assert upload_ids(box) == {upload.record.id for upload in begun[1:]}


def test_uploads_do_not_show_among_objects_or_buckets(box: Box, upload: Upload) -> None:
    upload.put(1, b"data")
    assert box.keys() == []
    names = [bucket.name for bucket in box.backend.list_buckets(box.caller) if not bucket.name.startswith(".")]
    assert box.name in names
    assert not any("upload" in name for name in names)


def test_an_aborted_upload_is_gone(box: Box, upload: Upload) -> None:
    part = upload.put(1, content(PART))
    upload.abort()
    assert upload_ids(box) == set()
    for call in (upload.load, lambda: upload.put(2, b"data"), lambda: upload.complete([part])):
        with pytest.raises(NoSuchUpload):
            call()
    upload.abort()
    assert not box.exists("dir/key")


def test_an_upload_that_is_aborted_while_a_part_comes_does_not_take_it(upload: Upload) -> None:
    for data in (content(PART), content(300)):
        with pytest.raises(NoSuchUpload):
            upload.put_body(1, HookedBody(data, upload.abort))
    assert upload_ids(upload.box) == set()


def test_a_bucket_made_again_has_no_uploads(boxes: Boxes) -> None:
    box = boxes.make()
    left = Upload.begin(box)
    left.put(1, b"data")
    left.abort()
    box.backend.delete_bucket(box.caller, box.name)
    with pytest.raises(NoSuchBucket):
        Upload.begin(box)
    with pytest.raises(NoSuchBucket):
        upload_ids(box)


# -- parts


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("size", [0, 1, PART, (1 << 20) + 1])
def test_a_part_is_stored_with_its_record(upload: Upload, size: int, announced: bool) -> None:
    data = content(size)
    part = upload.put(7, data, **({} if announced else {"announced": None}))
    assert (part.number, part.size, part.etag) == (7, size, record_of(data).etag)
    assert part.checksums == {"CRC64NVME": "7"}
    assert part.place
    assert upload.load().parts == (part,)


def test_of_parts_of_one_number_the_last_counts(upload: Upload) -> None:
    stored = [upload.put(1, content(PART, seed)) for seed in range(4)]
    assert len({part.place for part in stored}) == 4
    assert upload.latest() == {1: stored[-1]}


def test_a_discarded_part_is_given_no_more(upload: Upload) -> None:
    first, second, third = (upload.put(1, content(PART, seed)) for seed in range(3))
    for part in (first, third):
        upload.discard(part)
        upload.discard(part)
    assert upload.load().parts == (second,)
    upload.complete([second])
    assert upload.box.data("dir/key") == content(PART, 1)


def test_discarding_in_an_upload_that_is_gone_is_no_error(upload: Upload) -> None:
    part = upload.put(1, b"data")
    upload.abort()
    upload.discard(part)


BROKEN = [
    lambda data: BrokenBody(data, len(data) // 2, BodyBroke("the client went")),
    lambda data: BrokenBody(data, len(data), BodyBroke("wrong digest")),
]


@pytest.mark.parametrize("broken", BROKEN)
def test_a_part_that_fails_leaves_the_others(upload: Upload, broken: Callable[[bytes], Body]) -> None:
    data = content(PART)
    with pytest.raises(BodyBroke):
        upload.put_body(1, broken(content(PART, 1)))
    assert upload.load().parts == ()
    good = upload.put(1, data)
    with pytest.raises(BodyBroke):
        upload.put_body(1, broken(content(PART, 2)))
    assert upload.load().parts == (good,)
    upload.complete([good])
    assert upload.box.data("dir/key") == data


@pytest.mark.parametrize("difference", [-1, 1, PART])
def test_a_part_of_another_length_than_announced_is_refused(upload: Upload, difference: int) -> None:
    data = content(PART)
    with pytest.raises(ValueError):
        upload.put_body(1, Body(data, announced=len(data) + difference))
    assert upload.load().parts == ()
    upload.complete([upload.put(1, data)])
    assert upload.box.data("dir/key") == data


def test_a_part_may_take_its_time(upload: Upload) -> None:
    body = GatedBody(content(PART, 1))
    with meanwhile(partial(upload.put_body, 1, body)) as outcome:
        assert body.reached.wait(20)
        second = upload.put(2, content(PART, 2))
        assert upload.load().parts == (second,)
        body.gate.set()
    (first,) = all_fine(outcome)
    upload.complete([first, second])
    assert upload.box.data("dir/key") == content(PART, 1) + content(PART, 2)


# -- completion

ORDERS = {
    "in order": lambda count: list(range(count)),
    "backwards": lambda count: list(range(count))[::-1],
    "shuffled": lambda count: random.Random(7).sample(range(count), count),
}


@pytest.mark.parametrize("order", ORDERS)
def test_parts_make_the_object_in_whatever_order_they_came(upload: Upload, order: str) -> None:
    datas = bodies(6)
    parts: dict[int, PartRecord] = {}
    for index in ORDERS[order](len(datas)):
        parts[index] = upload.put(index + 1, datas[index])
    published = upload.complete([parts[index] for index in range(len(datas))], metadata={"m": "x"}, tags={"t": "1"})
    record, data = upload.box.get("dir/key")
    assert data == b"".join(datas)
    assert record == published
    assert (record.metadata, record.tags, record.size) == ({"m": "x"}, {"t": "1"}, len(data))
    assert record.parts is not None
    assert record.parts.count == 6
    assert record.extra[UPLOAD_MARK] == upload.record.id
    assert upload.box.keys() == ["dir/key"]


def together_parts(upload: Upload, datas: Sequence[bytes], first: int = 1) -> list[PartRecord]:
    """Store parts at the same time."""
    return all_fine(together([partial(upload.put, number, data) for number, data in enumerate(datas, first)]))


def test_parts_may_come_at_the_same_time(upload: Upload) -> None:
    datas = bodies(8)
    upload.complete(together_parts(upload, datas))
    assert upload.box.data("dir/key") == b"".join(datas)


def test_of_parts_of_one_number_at_the_same_time_each_is_whole(upload: Upload) -> None:
    datas = [content(PART, seed) for seed in range(6)]
    parts = all_fine(together([partial(upload.put, 2, data) for data in datas]))
    first = upload.put(1, content(PART, 99))
    chosen = 3
    upload.complete([first, parts[chosen]])
    assert upload.box.data("dir/key") == content(PART, 99) + datas[chosen]


SIZES = {
    "one": [PART],
    "one empty": [0],
    "several, the last empty": [PART, PART, 0],
    "growing": [100, 2_000, 30_000, 400_000],
    "shrinking": [400_000, 30_000, 2_000, 100],
    "mixed": [5000, 1, 70_000, 70_000, 0, 4096, 123_457, 2],
    "the last as long": [PART, PART, PART],
    "the last longer": [PART, PART, PART + 1],
}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
def test_parts_of_any_sizes(upload: Upload, sizes: str, reverse: bool) -> None:
    datas = [content(size, seed) for seed, size in enumerate(SIZES[sizes])]
    numbered = list(enumerate(datas, 1))
    parts = {number: upload.put(number, data) for number, data in (numbered[::-1] if reverse else numbered)}
    upload.complete([parts[number] for number in sorted(parts)])
    assert upload.box.data("dir/key") == b"".join(datas)


NUMBERS = [[1, 10_000], [2, 3, 4], [10, 20, 30], [9_999, 10_000], [5]]


@pytest.mark.parametrize("numbers", NUMBERS, ids=str)
def test_part_numbers_may_have_gaps(upload: Upload, numbers: list[int]) -> None:
    datas = {number: content(PART, number) for number in numbers}
    upload.complete([upload.put(number, datas[number]) for number in numbers])
    assert upload.box.data("dir/key") == b"".join(datas.values())


@pytest.mark.parametrize("left_out", [{1}, {3}, {6}, {1, 2, 3}, {2, 5}, {5, 6}], ids=str)
def test_parts_may_be_left_out(upload: Upload, left_out: set[int]) -> None:
    datas = bodies(6)
    parts = upload.put_all(datas)
    upload.complete([part for part in parts if part.number not in left_out])
    assert upload.box.data("dir/key") == b"".join(
        data for number, data in enumerate(datas, 1) if number not in left_out
    )


CHANGES = {"same size": PART, "shorter": 100, "longer": 2 * PART, "empty": 0}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_part_may_be_sent_again(upload: Upload, number: int, change: str) -> None:
    datas = [content(PART, seed) for seed in range(3)]
    parts = upload.put_all(datas)
    datas[number - 1] = content(CHANGES[change], 50)
    replaced = parts[number - 1]
    parts[number - 1] = upload.put(number, datas[number - 1])
    upload.discard(replaced)
    assert upload.latest() == {part.number: part for part in parts}
    upload.complete(parts)
    assert upload.box.data("dir/key") == b"".join(datas)


def test_a_completion_replaces_the_object(box: Box) -> None:
    box.put("dir/key", b"old", tags={"old": "1"})
    opened = box.open("dir/key")
    try:
        upload = Upload.begin(box)
        upload.complete(upload.put_all(bodies(3)))
        assert box.get("dir/key")[0].tags == {}
        assert b"".join(opened.read(0, 3)) == b"old"
    finally:
        opened.close()
    assert box.data("dir/key") == b"".join(bodies(3))


def test_a_completion_twice_is_one(upload: Upload) -> None:
    parts = upload.put_all(bodies(3))
    first = upload.complete(parts)
    later = upload.complete(parts, modified=first.modified + 10**9)
    assert later == first
    assert upload.box.head("dir/key") == first


def test_a_completed_upload_is_known_to_be(upload: Upload) -> None:
    parts = upload.put_all(bodies(3))
    assert upload.load().completed is None
    published = upload.complete(parts)
    assert upload.load().completed == published


def test_what_is_left_of_a_completed_upload_is_removed(upload: Upload) -> None:
    parts = upload.put_all(bodies(3))
    published = upload.complete(parts)
    upload.abort()
    assert upload_ids(upload.box) == set()
    with pytest.raises(NoSuchUpload):
        upload.complete(parts)
    assert upload.box.head("dir/key") == published
    assert upload.box.data("dir/key") == b"".join(bodies(3))


def test_completions_at_the_same_time_are_one(upload: Upload) -> None:
    parts = upload.put_all(bodies(4))
    outcomes = all_fine(together([partial(upload.complete, parts)] * 5))
    assert len({record.modified for record in outcomes}) == 1, outcomes
    assert upload.box.head("dir/key") == outcomes[0]
    assert upload.box.data("dir/key") == b"".join(bodies(4))


def test_a_completion_and_abortions_have_one_outcome(box: Box) -> None:
    for turn in range(8):
        upload = Upload.begin(box, f"key{turn}")
        parts = upload.put_all(bodies(3))
        calls: list[Callable[[], object]] = [upload.abort, upload.abort]
        calls.insert(turn % 3, partial(upload.complete, parts))
        outcome = together(calls)[turn % 3]
        upload.abort()
        assert upload_ids(box) == set()
        assert isinstance(outcome.error, NoSuchUpload | None), outcome
        assert box.exists(f"key{turn}") == (outcome.error is None)
        if outcome.error is None:
            assert box.data(f"key{turn}") == b"".join(bodies(3))


def test_an_object_that_replaced_the_published_one_stays_when_the_rest_is_removed(upload: Upload) -> None:
    upload.complete(upload.put_all(bodies(2)))
    upload.box.put("dir/key", b"newer")
    upload.abort()
    assert upload.box.data("dir/key") == b"newer"


# -- preconditions: a completion that fails leaves the upload as it was


def failing(box: Box, key: str) -> Precondition:
    """A condition that does not hold."""
    box.put(key, b"in the way")
    return Precondition(if_none_match=STAR)


VARIANTS = {
    "regular": [PART, PART, 100],
    "irregular": [10, PART, 300, PART],
    "empty": [0],
}


@pytest.mark.parametrize("sizes", VARIANTS)
def test_a_completion_that_fails_leaves_the_upload_as_it_was(upload: Upload, sizes: str) -> None:
    box = upload.box
    datas = [content(size, seed) for seed, size in enumerate(VARIANTS[sizes])]
    parts = upload.put_all(datas)
    left_out = upload.put(50, content(PART, 50))
    replaced, parts[0] = parts[0], upload.put(1, content(len(datas[0]), 60))
    datas[0] = content(len(datas[0]), 60)
    upload.discard(replaced)
    condition = failing(box, "dir/key")
    for _ in range(2):
        with pytest.raises(PreconditionFailed):
            upload.complete(parts, condition)
        assert box.data("dir/key") == b"in the way"
        assert upload.load().completed is None
        assert upload.latest() == {part.number: part for part in [*parts, left_out]}
    box.delete("dir/key")
    more = upload.put(60, content(PART, 61))
    upload.complete([*parts, left_out, more], condition)
    assert box.data("dir/key") == b"".join([*datas, content(PART, 50), content(PART, 61)])


def test_a_condition_on_a_missing_object_fails_too(upload: Upload) -> None:
    parts = upload.put_all(bodies(2))
    with pytest.raises(NoSuchObject):
        upload.complete(parts, Precondition(if_match=("0" * 32,)))
    upload.complete(parts, Precondition(if_none_match=STAR))
    assert upload.box.data("dir/key") == b"".join(bodies(2))


def test_a_repeated_completion_does_not_stumble_over_its_own_object(upload: Upload) -> None:
    parts = upload.put_all(bodies(2))
    first = upload.complete(parts, Precondition(if_none_match=STAR))
    assert upload.complete(parts, Precondition(if_none_match=STAR)) == first


def test_what_a_guard_raises_passes(upload: Upload) -> None:
    parts = upload.put_all(bodies(2))
    error = BodyBroke("no plugin knows this one")

    def guard(current: object) -> None:
        raise error

    with pytest.raises(BodyBroke) as caught:
        upload.complete(parts, Precondition(guard=guard))
    assert caught.value is error
    assert not upload.box.exists("dir/key")
    upload.complete(parts)


def test_of_many_creating_completions_exactly_one_wins(box: Box) -> None:
    uploads = [Upload.begin(box) for _ in range(4)]
    parts = [upload.put_all([content(PART, seed)]) for seed, upload in enumerate(uploads)]
    calls = [
        partial(upload.complete, mine, Precondition(if_none_match=STAR))
        for upload, mine in zip(uploads, parts, strict=True)
    ]
    outcomes = together(calls)
    won = [index for index, outcome in enumerate(outcomes) if outcome.error is None]
    assert len(won) == 1, outcomes
    assert all(isinstance(o.error, PreconditionFailed) for o in outcomes if o.error is not None), outcomes
    assert box.data("dir/key") == content(PART, won[0])


# -- several processes, and what dead ones left


def test_another_worker_goes_on_where_the_first_one_stopped(shared: Target, upload: Upload) -> None:
    datas = bodies(4)
    first = upload.put_all(datas[:2])
    with shared.opened() as other:
        there = upload.on(upload.box.on(other))
        assert there.latest() == {part.number: part for part in first}
        second = there.put_all(datas[2:], 3)
        published = there.complete([*first, *second])
    assert upload.complete([*first, *second]) == published
    assert upload.box.data("dir/key") == b"".join(datas)


def test_open_uploads_are_not_swept(upload: Upload) -> None:
    box = upload.box
    part = upload.put(1, content(PART))
    box.backend.sweep(0)
    box.backend.sweep_uploads(box.caller, 0)
    assert upload.load().parts == (part,)
    upload.complete([part])
    box.backend.sweep_uploads(box.caller, 0)
    assert box.data("dir/key") == content(PART)


def test_nothing_is_left_to_sweep_after_an_abortion(upload: Upload) -> None:
    box = upload.box
    box.backend.sweep_uploads(box.caller, 0)
    upload.put(1, content(PART))
    upload.abort()
    assert box.backend.sweep_uploads(box.caller, 0) == 0
