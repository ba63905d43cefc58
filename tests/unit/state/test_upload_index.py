"""Lists of open uploads: order, markers, prefixes, delimiters, and an index that is lost."""

from __future__ import annotations

import itertools
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.testkit.harness import all_fine, together
from tests.unit.state.conftest import BUCKET, CALLER, Fleet
from workers.state.upload_index import PREFIX, UploadsPage
from workers.state.uploads import Uploads

KEYS = [
    "a", "a/", "a//b", "a/b", "a/b/c", "a\x00", "a\x00b", "a\x01", "a\x7f", "ab", "b", "\x00", "\x00\x00", "z/",
    "ä", "ä/ö", "日本", "\uffff", "\U0001f600", "x" * 1024,
]  # fmt: skip


def page(
    uploads: Uploads, prefix: str = "", delimiter: str = "", after: tuple[str, str] = ("", ""), limit: int = 1000
) -> UploadsPage:
    return uploads.index.page(
        CALLER, BUCKET, prefix=prefix, delimiter=delimiter, key_marker=after[0], id_marker=after[1], limit=limit
    )


def walk(
    uploads: Uploads, limit: int, prefix: str = "", delimiter: str = ""
) -> tuple[list[tuple[str, str]], list[str]]:
    """All pages of a list."""
    found: list[tuple[str, str]] = []
    prefixes: list[str] = []
    after = ("", "")
    while True:
        part = page(uploads, prefix, delimiter, after, limit)
        assert len(part.uploads) + len(part.prefixes) <= limit
        found += [(upload.key, upload.id) for upload in part.uploads]
        prefixes += part.prefixes
        if part.next_key is None:
            return found, prefixes
        assert part.uploads or part.prefixes
        after = (part.next_key, part.next_id)


@pytest.fixture
def filled(fleet: Fleet) -> tuple[Fleet, Uploads, list[tuple[str, str]]]:
    """Two uploads of each key, in the order of a list: by the bytes of the key, then by time."""
    uploads = fleet.worker()
    begun = [fleet.begin(uploads, key) for _ in range(2) for key in reversed(KEYS)]
    return (
        fleet,
        uploads,
        sorted(((upload.key, upload.id) for upload in begun), key=lambda pair: (pair[0].encode(), pair[1])),
    )


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 39, 40, 41, 1000])
def test_pages_of_any_size_give_the_whole_list(filled, limit):
    _, uploads, expected = filled
    assert walk(uploads, limit) == (expected, [])


def test_a_group_is_not_read_to_its_end(fleet, monkeypatch):
    uploads = fleet.worker()
    for number in range(60):
        fleet.begin(uploads, f"{number % 3}/{number}")
    fetched = 0
    fetch = type(uploads.index._redis).zrangebylex

    def counting(self, *arguments, **options):
        nonlocal fetched
        found = fetch(self, *arguments, **options)
        fetched += len(found)
        return found

    monkeypatch.setattr(type(uploads.index._redis), "zrangebylex", counting)
    assert page(uploads, delimiter="/").prefixes == ["0/", "1/", "2/"]
    assert fetched < 20
    fetched = 0
    assert len(page(uploads, limit=10).uploads) == 10
    assert fetched == 11


@pytest.mark.parametrize("limit", [1, 2, 5, 1000])
@pytest.mark.parametrize("delimiter", ["", "/", "\x00", "b", "//"])
@pytest.mark.parametrize("prefix", ["", "a", "a/", "a\x00", "ä", "none", "\U0001f600"])
def test_prefixes_and_delimiters(filled, prefix, delimiter, limit):
    _, uploads, expected = filled
    alone: list[tuple[str, str]] = []
    groups: list[str] = []
    for key, upload_id in expected:
        if not key.startswith(prefix):
            continue
        head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        if found:
            groups.append(prefix + head + found)
        else:
            alone.append((key, upload_id))
    assert walk(uploads, limit, prefix, delimiter) == (alone, list(dict.fromkeys(groups)))


def test_a_key_marker_alone_passes_all_uploads_of_that_key(filled):
    _, uploads, expected = filled
    for key in KEYS:
        found = [(upload.key, upload.id) for upload in page(uploads, after=(key, "")).uploads]
        assert found == [pair for pair in expected if pair[0].encode() > key.encode()]


def test_an_id_marker_passes_what_is_up_to_it(filled):
    _, uploads, expected = filled
    for index, marker in enumerate(expected):
        found = [(upload.key, upload.id) for upload in page(uploads, after=marker).uploads]
        assert found == expected[index + 1 :]


def test_a_marker_may_be_anything(filled):
    _, uploads, expected = filled
    for marker in ("a/a", "zzz", "\x00", "\U0010ffff", "a"):
        found = [upload.key for upload in page(uploads, after=(marker, "not an id")).uploads]
        assert set(found) <= {key for key, _ in expected if key.encode() >= marker.encode()}


def test_a_lost_index_is_rebuilt(filled):
    fleet, uploads, expected = filled
    fleet.lose_redis()
    other = fleet.worker()
    late = fleet.begin(other, "late")
    expected = sorted([*expected, ("late", late.id)], key=lambda pair: (pair[0].encode(), pair[1]))
    assert walk(uploads, 7) == (expected, [])
    assert walk(other, 1000) == (expected, [])


def test_an_index_of_an_earlier_life_is_put_right(fleet: Fleet) -> None:
    """The server came back with data that end before an upload was begun and another one ended."""
    uploads = fleet.worker()
    ended = fleet.begin(uploads, "ended")
    page(uploads)
    client = fleet.client
    saved = {key: client.dump(key) for key in client.keys(PREFIX + "*")}
    begun = fleet.begin(uploads, "begun")
    uploads.abort(CALLER, BUCKET, ended)
    fleet.lose_redis()
    for key, data in saved.items():
        client.restore(key, 0, data)
    assert walk(uploads, 10) == ([("begun", begun.id)], [])


def test_many_lists_rebuild_once_and_agree(filled):
    fleet, _, expected = filled
    fleet.lose_redis()
    calls = 0
    real = fleet.backend.list_uploads

    def counted(*arguments):
        nonlocal calls
        calls += 1
        return real(*arguments)

    fleet.backend.list_uploads = counted
    workers = [fleet.worker() for _ in range(5)]
    assert all(
        found == (expected, []) for found in all_fine(together([partial(walk, worker, 11) for worker in workers]))
    )
    assert calls == 2


def test_uploads_that_end_while_the_index_is_rebuilt_do_not_stay(filled, monkeypatch):
    fleet, uploads, expected = filled
    other = fleet.worker()
    begun = {upload.id: upload for upload in fleet.backend.list_uploads(CALLER, BUCKET)}
    fleet.lose_redis()
    real = fleet.backend.list_uploads
    ending = iter(expected[:4])

    def slow(*arguments):
        for upload in list(real(*arguments)):
            yield upload
            for _, upload_id in itertools.islice(ending, 1):
                other.abort(CALLER, BUCKET, begun[upload_id])

    monkeypatch.setattr(fleet.backend, "list_uploads", slow)
    assert walk(uploads, 1000) == (expected[4:], [])


def test_entries_without_upload_are_pruned(filled):
    fleet, uploads, expected = filled
    page(uploads)
    for _, upload_id in expected[::2]:
        fleet.backend.abort_upload(CALLER, BUCKET, upload_id)
    assert sorted(uploads.index.prune(CALLER, BUCKET)) == sorted(upload_id for _, upload_id in expected[::2])
    assert walk(uploads, 1000) == (expected[1::2], [])
    assert uploads.index.prune(CALLER, BUCKET) == []


def test_a_deleted_bucket_leaves_no_key(filled):
    fleet, uploads, expected = filled
    page(uploads)
    uploads.forget(BUCKET, [upload_id for _, upload_id in expected])
    assert fleet.keys() == set()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    keys=st.lists(st.text("a\x00\x01/b\xff\uffff", min_size=1, max_size=4), max_size=12),
    prefix=st.text("a\x00/", max_size=2),
    delimiter=st.sampled_from(["", "/", "\x00", "a"]),
    limit=st.integers(1, 5),
)
def test_any_list(fleet: Fleet, keys: list[str], prefix: str, delimiter: str, limit: int) -> None:
    uploads = fleet.worker()
    begun = [fleet.begin(uploads, key) for key in keys]
    try:
        matching = sorted(
            ((upload.key, upload.id) for upload in begun if upload.key.startswith(prefix)),
            key=lambda pair: (pair[0].encode(), pair[1]),
        )
        rolled = [pair for pair in matching if delimiter and delimiter in pair[0][len(prefix) :]]
        groups = [prefix + key[len(prefix) :].partition(delimiter)[0] + delimiter for key, _ in rolled]
        assert walk(uploads, limit, prefix, delimiter) == (
            [pair for pair in matching if pair not in rolled],
            list(dict.fromkeys(groups)),
        )
    finally:
        for upload in begun:
            uploads.abort(CALLER, BUCKET, upload)
