"""Named documents, of buckets and of the gateway itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from uuid import uuid4

import pytest

from backends.api import ANY_REVISION, Backend, DocumentChanged
from backends.testkit.corpus import DOCUMENTS
from backends.testkit.harness import Box, Boxes, Target, all_fine, together
from backends.testkit.sources import content


@pytest.fixture(params=["bucket", "gateway"])
def place(request: pytest.FixtureRequest, backend: Backend) -> Iterator[tuple[str | None, str]]:
    """Where documents are kept, and a beginning of their names that nobody else uses."""
    if request.param == "bucket":
        yield request.getfixturevalue("box").name, ""
        return
    prefix = f"testkit-{uuid4().hex[:12]}/"
    yield None, prefix
    for name in list(backend.list_documents(None, prefix)):
        backend.delete_document(None, name)


Place = tuple[str | None, str]


def _data(backend: Backend, bucket: str | None, name: str) -> bytes | None:
    document = backend.get_document(bucket, name)
    return document.data if document else None


def test_there_is_none_before_it_is_written(backend: Backend, place: Place) -> None:
    bucket, prefix = place
    assert backend.get_document(bucket, prefix + "policy") is None
    assert list(backend.list_documents(bucket, prefix)) == []


@pytest.mark.parametrize("size", [0, 1, 4096, 65_537, (1 << 20) + 1])
def test_data_come_back_exactly(backend: Backend, place: Place, size: int) -> None:
    bucket, prefix = place
    revision = backend.put_document(bucket, prefix + "policy", content(size))
    document = backend.get_document(bucket, prefix + "policy")
    assert document is not None
    assert (document.data, document.revision) == (content(size), revision)
    assert isinstance(revision, str)
    assert revision not in ("", ANY_REVISION)


def test_every_write_has_its_own_revision(backend: Backend, place: Place) -> None:
    bucket, prefix = place
    revisions = [backend.put_document(bucket, prefix + "policy", b"same") for _ in range(20)]
    backend.delete_document(bucket, prefix + "policy")
    revisions.append(backend.put_document(bucket, prefix + "policy", b"same"))
    backend.delete_document(bucket, prefix + "policy", revisions[-1])
    revisions.append(backend.put_document(bucket, prefix + "policy", b"same", None))
    assert len(set(revisions)) == len(revisions)


def test_the_expected_revision_decides(backend: Backend, place: Place) -> None:
    bucket, prefix = place
    name = prefix + "policy"
    with pytest.raises(DocumentChanged):
        backend.put_document(bucket, name, b"x", "no-such-revision")
    assert backend.get_document(bucket, name) is None
    first = backend.put_document(bucket, name, b"first", None)
    with pytest.raises(DocumentChanged):
        backend.put_document(bucket, name, b"x", None)
    second = backend.put_document(bucket, name, b"second", first)
    with pytest.raises(DocumentChanged):
        backend.put_document(bucket, name, b"x", first)
    assert _data(backend, bucket, name) == b"second"
    with pytest.raises(DocumentChanged):
        backend.delete_document(bucket, name, first)
    assert _data(backend, bucket, name) == b"second"
    third = backend.put_document(bucket, name, b"third", ANY_REVISION)
    assert third != second
    backend.delete_document(bucket, name, third)
    assert backend.get_document(bucket, name) is None
    with pytest.raises(DocumentChanged):
        backend.delete_document(bucket, name, third)
    with pytest.raises(DocumentChanged):
        backend.put_document(bucket, name, b"x", third)
    backend.put_document(bucket, name, b"fourth", None)
    assert _data(backend, bucket, name) == b"fourth"


def test_deleting_what_is_not_there_is_no_error(backend: Backend, place: Place) -> None:
    bucket, prefix = place
    backend.put_document(bucket, prefix + "policy", b"document")
    backend.delete_document(bucket, prefix + "missing")
    backend.delete_document(bucket, prefix + "policy/deeper")
    assert _data(backend, bucket, prefix + "policy") == b"document"


def test_every_legal_name_is_its_own_document(backend: Backend, place: Place) -> None:
    bucket, prefix = place
    names = [name for name in DOCUMENTS if len(prefix + name) <= 200]
    for name in names:
        backend.put_document(bucket, prefix + name, name.encode())
    assert list(backend.list_documents(bucket, prefix)) == sorted(prefix + name for name in names)
    for name in names:
        assert _data(backend, bucket, prefix + name) == name.encode()
    for index, name in enumerate(names):
        backend.delete_document(bucket, prefix + name)
        assert backend.get_document(bucket, prefix + name) is None
        assert list(backend.list_documents(bucket, prefix)) == sorted(prefix + name for name in names[index + 1 :])


def test_names_are_listed_by_their_beginning_in_order(backend: Backend, place: Place) -> None:
    bucket, prefix = place
    for name in ("b", "a/x", "a", "a.b", "ab", "a/x/y", "c"):
        backend.put_document(bucket, prefix + name, b"")

    def listed(beginning: str) -> list[str]:
        return [name.removeprefix(prefix) for name in backend.list_documents(bucket, prefix + beginning)]

    assert listed("") == ["a", "a.b", "a/x", "a/x/y", "ab", "b", "c"]
    assert listed("a") == ["a", "a.b", "a/x", "a/x/y", "ab"]
    assert listed("a/") == ["a/x", "a/x/y"]
    assert listed("a/x") == ["a/x", "a/x/y"]
    assert listed("d") == []


def test_documents_are_no_objects(box: Box) -> None:
    box.backend.put_document(box.name, "policy", b"document")
    box.put("policy", b"object")
    assert box.keys() == ["policy"]
    box.delete("policy")
    assert box.keys() == []
    assert _data(box.backend, box.name, "policy") == b"document"


def test_documents_of_two_buckets_and_the_gateway_do_not_meet(boxes: Boxes) -> None:
    one, two = boxes.make(), boxes.make()
    name = f"testkit-{uuid4().hex[:12]}"
    backend = boxes.backend
    try:
        for place, data in ((one.name, b"one"), (two.name, b"two"), (None, b"gateway")):
            backend.put_document(place, name, data)
        backend.delete_document(one.name, name)
        assert _data(backend, one.name, name) is None
        assert _data(backend, two.name, name) == b"two"
        assert _data(backend, None, name) == b"gateway"
    finally:
        backend.delete_document(None, name)


def test_of_many_creators_exactly_one_wins(backend: Backend, place: Place) -> None:
    bucket, prefix = place
    for turn in range(5):
        name = f"{prefix}policy{turn}"
        outcomes = together([partial(backend.put_document, bucket, name, b"%d" % n, None) for n in range(8)])
        winners = [(number, o.value) for number, o in enumerate(outcomes) if o.error is None]
        assert len(winners) == 1, outcomes
        assert all(isinstance(o.error, DocumentChanged) for o in outcomes if o.error is not None), outcomes
        document = backend.get_document(bucket, name)
        assert document is not None
        assert (document.data, document.revision) == (b"%d" % winners[0][0], winners[0][1])


def test_counting_by_compare_and_swap_loses_nothing(backend: Backend, place: Place) -> None:
    bucket, prefix = place
    name = prefix + "count"
    backend.put_document(bucket, name, b"0")

    def count() -> None:
        done = 0
        while done < 6:
            document = backend.get_document(bucket, name)
            assert document is not None
            try:
                backend.put_document(bucket, name, b"%d" % (int(document.data) + 1), document.revision)
            except DocumentChanged:
                time.sleep(0)
                continue
            done += 1

    all_fine(together([count] * 4))
    assert _data(backend, bucket, name) == b"24"


def test_readers_see_whole_documents(backend: Backend, place: Place) -> None:
    bucket, prefix = place
    name = prefix + "policy"
    datas = [content(size) for size in (10, 50_000, 200_000)]
    backend.put_document(bucket, name, datas[0])

    def write() -> None:
        for _ in range(5):
            for data in datas:
                backend.put_document(bucket, name, data)

    def read() -> None:
        for _ in range(30):
            assert _data(backend, bucket, name) in datas

    all_fine(together([write, write, read, read]))


def test_counting_in_many_processes_loses_nothing(shared: Target, box: Box) -> None:
    if shared.processes < 2:
        pytest.skip("--backend-processes says so")
    answers = shared.contend("document", box.name, "count", 10)
    total = 10 * shared.processes
    assert _data(box.backend, box.name, "count") == b"%d" % total
    assert sorted(int(n) for written in answers for n in written) == list(range(1, total + 1))
