"""Preconditions: what they let pass, and that they hold at the moment of publication."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import pytest

from backends.api import BackendError, NoSuchObject, ObjectRecord, Precondition, PreconditionFailed
from backends.testkit.harness import Box, Target, all_fine, together
from backends.testkit.sources import Body, BodyBroke, HookedBody, content, record_of

OLD = b"the object that is there"
MODIFIED = 1_700_000_000_500_000_000
STAR = ("*",)


class Case(NamedTuple):
    """A precondition given the current record, and what it comes to: None to pass, else the refused condition."""

    name: str
    make: Callable[[ObjectRecord], Precondition]
    refused: str | None


def _second(record: ObjectRecord) -> int:
    return record.modified // 1_000_000_000


# fmt: off
PRESENT = [
    Case("nothing", lambda r: Precondition(), None),
    Case("match", lambda r: Precondition(if_match=(r.etag,)), None),
    Case("match one of two", lambda r: Precondition(if_match=("x", r.etag)), None),
    Case("match any", lambda r: Precondition(if_match=STAR), None),
    Case("match another", lambda r: Precondition(if_match=("x",)), "If-Match"),
    Case("match none of two", lambda r: Precondition(if_match=("x", "y")), "If-Match"),
    Case("match an empty list", lambda r: Precondition(if_match=()), "If-Match"),
    Case("none match", lambda r: Precondition(if_none_match=("x",)), None),
    Case("none match an empty list", lambda r: Precondition(if_none_match=()), None),
    Case("none match itself", lambda r: Precondition(if_none_match=(r.etag,)), "If-None-Match"),
    Case("none match one of two", lambda r: Precondition(if_none_match=("x", r.etag)), "If-None-Match"),
    Case("none match any", lambda r: Precondition(if_none_match=STAR), "If-None-Match"),
    Case("its second", lambda r: Precondition(if_modified_second=_second(r)), None),
    Case("the second before", lambda r: Precondition(if_modified_second=_second(r) - 1),
         "x-amz-if-match-last-modified-time"),
    Case("the second after", lambda r: Precondition(if_modified_second=_second(r) + 1),
         "x-amz-if-match-last-modified-time"),
    Case("its size", lambda r: Precondition(if_size=r.size), None),
    Case("another size", lambda r: Precondition(if_size=r.size + 1), "x-amz-if-match-size"),
    Case("size 0", lambda r: Precondition(if_size=0), "x-amz-if-match-size"),
    Case("all that holds",
         lambda r: Precondition(if_match=(r.etag,), if_none_match=("x",), if_modified_second=_second(r), if_size=24),
         None),
    Case("all but the size",
         lambda r: Precondition(if_match=(r.etag,), if_none_match=("x",), if_modified_second=_second(r), if_size=1),
         "x-amz-if-match-size"),
    Case("match any and none match itself", lambda r: Precondition(if_match=STAR, if_none_match=(r.etag,)),
         "If-None-Match"),
]
ABSENT = [
    ("nothing", Precondition(), True),
    ("match", Precondition(if_match=("x",)), False),
    ("match any", Precondition(if_match=STAR), False),
    ("none match", Precondition(if_none_match=("x",)), True),
    ("none match any", Precondition(if_none_match=STAR), True),
    ("a second", Precondition(if_modified_second=_second(ObjectRecord(size=0, etag="", modified=MODIFIED))), False),
    ("a size", Precondition(if_size=0), False),
    ("match any or none", Precondition(if_match=STAR, if_none_match=STAR), False),
]
# fmt: on


def _put(box: Box, key: str, precondition: Precondition) -> ObjectRecord | None:
    return box.put(key, b"new", precondition)


def _delete(box: Box, key: str, precondition: Precondition) -> ObjectRecord | None:
    return box.delete(key, precondition)


def _copy_over(box: Box, key: str, precondition: Precondition) -> ObjectRecord | None:
    box.put("from", b"new")
    opened = box.open("from")
    try:
        return box.backend.copy_object(box.caller, opened, box.name, key, opened.record, precondition)
    finally:
        opened.close()


def _rename_over(box: Box, key: str, precondition: Precondition) -> ObjectRecord | None:
    box.put("from", b"new")
    return box.backend.rename_object(box.caller, box.name, "from", key, target_precondition=precondition)


def _rename_away(box: Box, key: str, precondition: Precondition) -> ObjectRecord | None:
    return box.backend.rename_object(box.caller, box.name, key, "elsewhere", source_precondition=precondition)


CHANGES = {
    "put": _put,
    "delete": _delete,
    "copy": _copy_over,
    "rename onto": _rename_over,
    "rename away": _rename_away,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("case", PRESENT, ids=lambda case: case.name)
def test_an_object_that_is_there(box: Box, case: Case, change: str) -> None:
    before = box.put("dir/key", OLD, modified=MODIFIED)
    if case.refused is None:
        CHANGES[change](box, "dir/key", case.make(before))
        if change in ("delete", "rename away"):
            assert not box.exists("dir/key")
        else:
            assert box.data("dir/key") == b"new"
    else:
        with pytest.raises(PreconditionFailed) as caught:
            CHANGES[change](box, "dir/key", case.make(before))
        assert caught.value.condition == case.refused
        assert box.get("dir/key") == (before, OLD)
        assert not box.exists("elsewhere")
        if change == "rename onto":
            assert box.data("from") == b"new"


@pytest.mark.parametrize("change", ["put", "delete", "copy", "rename onto"])
@pytest.mark.parametrize(("name", "precondition", "passes"), ABSENT, ids=[name for name, _, _ in ABSENT])
def test_an_object_that_is_not_there(
    box: Box, name: str, precondition: Precondition, passes: bool, change: str
) -> None:
    if passes:
        CHANGES[change](box, "dir/key", precondition)
        assert box.exists("dir/key") == (change != "delete")
    else:
        with pytest.raises(NoSuchObject):
            CHANGES[change](box, "dir/key", precondition)
        assert not box.exists("dir/key")
        if change == "rename onto":
            assert box.data("from") == b"new"


@pytest.mark.parametrize("change", CHANGES)
def test_the_guard_sees_the_current_record(box: Box, change: str) -> None:
    before = box.put("dir/key", OLD, tags={"a": "b"})
    seen: list[ObjectRecord | None] = []
    CHANGES[change](box, "dir/key", Precondition(guard=seen.append))
    assert seen
    assert all(record == before for record in seen)


@pytest.mark.parametrize("change", ["put", "delete", "copy", "rename onto"])
def test_the_guard_sees_that_there_is_nothing(box: Box, change: str) -> None:
    seen: list[ObjectRecord | None] = []
    CHANGES[change](box, "dir/key", Precondition(guard=seen.append))
    assert seen
    assert all(record is None for record in seen)


class _Locked(BackendError):
    """What a guard of the gateway might raise."""


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("error", [_Locked("locked"), BodyBroke("no plugin knows this one")], ids=repr)
def test_what_the_guard_raises_passes_and_nothing_changes(box: Box, change: str, error: Exception) -> None:
    before = box.put("dir/key", OLD)

    def guard(current: ObjectRecord | None) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        CHANGES[change](box, "dir/key", Precondition(guard=guard))
    assert caught.value is error
    assert box.get("dir/key") == (before, OLD)
    assert not box.exists("elsewhere")


# -- the moment of publication


def test_an_object_that_appears_while_the_body_comes_is_respected(box: Box) -> None:
    body = HookedBody(content(200_000), lambda: box.put("dir/key", b"meanwhile"))
    with pytest.raises(PreconditionFailed):
        box.put_body("dir/key", body, Precondition(if_none_match=STAR))
    assert box.data("dir/key") == b"meanwhile"


def test_an_object_that_changes_while_the_body_comes_is_respected(box: Box) -> None:
    before = box.put("dir/key", b"before")
    body = HookedBody(content(200_000), lambda: box.put("dir/key", b"meanwhile"))
    with pytest.raises(PreconditionFailed):
        box.put_body("dir/key", body, Precondition(if_match=(before.etag,)))
    assert box.data("dir/key") == b"meanwhile"


def test_an_object_that_goes_while_the_body_comes_is_missed(box: Box) -> None:
    before = box.put("dir/key", b"before")
    body = HookedBody(content(200_000), lambda: box.delete("dir/key"))
    with pytest.raises(NoSuchObject):
        box.put_body("dir/key", body, Precondition(if_match=(before.etag,)))
    assert not box.exists("dir/key")
    box.put("dir/key", b"before")
    body = HookedBody(content(200_000), lambda: box.delete("dir/key"))
    box.put_body("dir/key", body, Precondition(if_none_match=STAR))
    assert box.data("dir/key") == content(200_000)


def test_nobody_publishes_between_check_and_publication(box: Box) -> None:
    """Every writer's guard sees the object of the writer before it: none sees what another one sees."""
    box.put("dir/key", b"start")
    seen: list[str] = []
    lock = threading.Lock()

    def guard(current: ObjectRecord | None) -> None:
        assert current is not None
        time.sleep(0.005)
        with lock:
            seen.append(current.etag)

    def write(number: int) -> None:
        for turn in range(4):
            box.put("dir/key", f"{number} {turn}".encode(), Precondition(guard=guard))

    all_fine(together([partial(write, n) for n in range(4)]))
    assert len(seen) == 16
    assert len(set(seen)) == 16


@pytest.mark.parametrize("key", ["key", "dir/key", "dir/deep/er/key"])
def test_of_many_creators_exactly_one_wins(box: Box, key: str) -> None:
    for turn in range(5):
        name = f"{key}{turn}"
        datas = [f"writer {number}".encode() * 1000 for number in range(8)]
        outcomes = together([partial(box.put, name, data, Precondition(if_none_match=STAR)) for data in datas])
        winners = [data for data, outcome in zip(datas, outcomes, strict=True) if outcome.error is None]
        assert len(winners) == 1, outcomes
        assert all(isinstance(o.error, PreconditionFailed) for o in outcomes if o.error is not None), outcomes
        assert box.data(name) == winners[0]


def test_of_many_deleters_under_a_condition_exactly_one_wins(box: Box) -> None:
    stored = box.put("dir/key", b"data")
    outcomes = together([lambda: box.delete("dir/key", Precondition(if_match=(stored.etag,)))] * 6)
    assert [outcome.value for outcome in outcomes if outcome.error is None] == [stored], outcomes
    assert all(isinstance(o.error, NoSuchObject) for o in outcomes if o.error is not None), outcomes


def test_counting_by_compare_and_swap_loses_nothing(box: Box) -> None:
    box.put("dir/count", b"0")

    def count() -> None:
        done = 0
        while done < 6:
            record, data = box.get("dir/count")
            after = b"%d" % (int(data) + 1)
            try:
                box.put("dir/count", after, Precondition(if_match=(record.etag,)))
            except PreconditionFailed:
                time.sleep(0)
                continue
            done += 1

    all_fine(together([count] * 4))
    assert box.data("dir/count") == b"24"


def test_of_many_creating_processes_exactly_one_wins(contended: Target, box: Box) -> None:
    answers = contended.contend("create", box.name, "dir/key", 25)
    won = sorted(key for keys in answers for key in keys)
    assert won == sorted(f"dir/key{turn}" for turn in range(25))
    for number, keys in enumerate(answers):
        for key in keys:
            assert box.data(key) == f"process {number}".encode()


def test_counting_in_many_processes_loses_nothing(contended: Target, box: Box) -> None:
    box.put("dir/count", b"0")
    answers = contended.contend("count", box.name, "dir/count", 10)
    total = 10 * contended.processes
    assert box.data("dir/count") == b"%d" % total
    assert sorted(int(n) for written in answers for n in written) == list(range(1, total + 1))


def test_an_empty_body_obeys_too(box: Box) -> None:
    box.put_body("key", Body(b"", record_of(b"")), Precondition(if_none_match=STAR))
    with pytest.raises(PreconditionFailed):
        box.put_body("key", Body(b"", record_of(b"")), Precondition(if_none_match=STAR))
