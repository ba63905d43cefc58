"""Scans and listings, against a model that sorts a list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from backends.api import Backend, ListPage, ListQuery
from backends.listing import behind_group
from backends.testkit.corpus import KEYS
from backends.testkit.harness import Box, Boxes, Target, all_fine, temporary_box, together

TREE = [
    *["a", "a/", "a/b", "a/b/c", "a/b/d", "a/c", "a0", "ab", "b//c", "b//d", "b/", "c", "d/e/f/g", "d/e/h", "e", "é/a"],
    *["é/b", "x--y--z", "x--y", "x-", "x--", "z/\U0010ffff", "z/\U0010ffff/a", "z0"],
]
QUIET = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)


def _group(key: str, prefix: str, delimiter: str) -> str | None:
    head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
    return prefix + head + delimiter if found else None


def model(keys: Sequence[str], query: ListQuery) -> tuple[list[str], list[str], bool]:
    """Keys, common prefixes and whether more follows, from all keys of a bucket."""
    rows: list[tuple[str, bool]] = []
    for key in sorted(keys):
        if not key.startswith(query.prefix) or key <= query.after:
            continue
        group = _group(key, query.prefix, query.delimiter)
        if group is None:
            rows.append((key, False))
        elif group != query.after and (group, True) not in rows:
            rows.append((group, True))
    shown = rows[: query.limit]
    return (
        [name for name, grouped in shown if not grouped],
        [name for name, grouped in shown if grouped],
        len(rows) > query.limit,
    )


def _seen(page: ListPage) -> tuple[list[str], list[str], bool]:
    return [entry.key for entry in page.objects], list(page.prefixes), page.next_after is not None


def _all_pages(box: Box, query: ListQuery) -> tuple[list[str], list[str]]:
    keys: list[str] = []
    prefixes: list[str] = []
    after: str | None = query.after
    pages = 0
    while after is not None:
        page = box.page(prefix=query.prefix, delimiter=query.delimiter, after=after, limit=query.limit)
        found = len(page.objects) + len(page.prefixes)
        assert found <= query.limit
        assert page.next_after is None or found == query.limit, "a page that is not the last one is not full"
        keys += [entry.key for entry in page.objects]
        prefixes += page.prefixes
        after = page.next_after
        pages += 1
        assert pages < 1000, "the listing does not end"
    return keys, prefixes


def _fill(box: Box, keys: Sequence[str]) -> None:
    for key in keys:
        box.put(key, key.encode(), metadata={"key": key})


@pytest.fixture(scope="module")
def tree(backend: Backend, target: Target) -> Iterator[Box]:
    """A bucket with the keys of TREE, never changed."""
    with temporary_box(backend, target.caller) as box:
        _fill(box, TREE)
        yield box


@pytest.fixture(scope="module")
def corpus(backend: Backend, target: Target) -> Iterator[Box]:
    """A bucket with all hostile keys, never changed."""
    with temporary_box(backend, target.caller) as box:
        _fill(box, KEYS)
        yield box


def test_an_empty_bucket_lists_empty(box: Box) -> None:
    assert box.keys() == []
    assert box.page() == ListPage((), (), None)
    assert box.page(prefix="a/", delimiter="/", after="a/b", limit=1) == ListPage((), (), None)


def test_entries_carry_the_records(tree: Box) -> None:
    for entry in tree.scan():
        assert entry.record == tree.head(entry.key)
        assert entry.record.metadata == {"key": entry.key}
    page = tree.page(delimiter="/")
    assert [entry.record for entry in page.objects] == [tree.head(entry.key) for entry in page.objects]


def test_a_scan_is_an_iterator_that_may_be_left(box: Box) -> None:
    _fill(box, ["a", "b/c", "b/d", "e"])
    entries = box.backend.scan(box.caller, box.name, "", "")
    assert iter(entries) is entries
    assert next(entries).key == "a"
    assert next(entries).key == "b/c"
    del entries
    assert box.keys() == ["a", "b/c", "b/d", "e"]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("delimiter", ["", "/", "--", "-", "b", "//", "é", "/b"])
def test_pages_of_any_size_give_the_whole_listing(tree: Box, delimiter: str, limit: int) -> None:
    for prefix in ("", "a", "a/", "a/b/", "b/", "d/e", "x-", "é", "é/", "z/", "nothing", "a/b/c/d"):
        query = ListQuery(prefix=prefix, delimiter=delimiter, limit=limit)
        keys, prefixes, _ = model(TREE, ListQuery(prefix=prefix, delimiter=delimiter, limit=10_000))
        assert _all_pages(tree, query) == (keys, prefixes), prefix


@pytest.mark.parametrize("delimiter", ["", "/", "--"])
def test_a_page_starts_behind_any_position(tree: Box, delimiter: str) -> None:
    for after in [
        *TREE,
        "0",
        "a/b0",
        "a/b/c0",
        "b",
        "d/",
        "d/e/",
        "d/e/f",
        "d/e/f/",
        "zz",
        "\U0010ffff",
        "x",
        "é",
        "é/",
    ]:
        query = ListQuery(delimiter=delimiter, after=after)
        assert _seen(tree.page(delimiter=delimiter, after=after)) == model(TREE, query), after


def test_a_position_that_is_a_common_prefix_is_behind_its_group(tree: Box) -> None:
    assert tree.page(delimiter="/", after="a/").prefixes == ("b/", "d/", "z/", "é/")
    assert tree.page(delimiter="/", after="z/").prefixes == ("é/",)
    assert [entry.key for entry in tree.page(after="z/").objects][:2] == ["z/\U0010ffff", "z/\U0010ffff/a"]


def test_a_scan_may_start_behind_a_group(tree: Box) -> None:
    for group in ("a/", "b//", "d/e/", "z/", "z/\U0010ffff", "é", "x--"):
        expected = [key for key in sorted(TREE) if key > group and not key.startswith(group)]
        assert tree.keys(after=behind_group(group)) == expected, group


@pytest.mark.parametrize("limit", [1, 7, 50])
def test_hostile_keys_are_listed_in_order(corpus: Box, limit: int) -> None:
    assert _all_pages(corpus, ListQuery(limit=limit)) == (sorted(KEYS), [])
    for prefix in ("", "a", "a/", "/", "//", ".", "../", "%", "k", "s"):
        for delimiter in ("/", "..", "a", "\x01"):
            keys, prefixes, _ = model(KEYS, ListQuery(prefix=prefix, delimiter=delimiter, limit=10_000))
            query = ListQuery(prefix=prefix, delimiter=delimiter, limit=limit)
            assert _all_pages(corpus, query) == (keys, prefixes), (prefix, delimiter)


def _positions(keys: Sequence[str]) -> st.SearchStrategy[str]:
    """Keys, beginnings of keys, and what lies just beside them."""
    pieces = st.builds(lambda key, cut: key[:cut], st.sampled_from(keys), st.integers(0, 40))
    beside = st.builds(lambda key, more: key + more, pieces, st.sampled_from(["", "/", "\x00", "0", "\U0010ffff"]))
    return st.just("") | pieces | beside


_DELIMITERS = st.sampled_from(["", "/", "/", "/", "//", "a", "..", "--", "b/", "%", "\U0010ffff", "\x00"])


@settings(QUIET, max_examples=150)
@given(prefix=_positions(KEYS), delimiter=_DELIMITERS, after=_positions(KEYS), limit=st.integers(1, 30))
@example(prefix="a/", delimiter="/", after="a/", limit=5)
@example(prefix="", delimiter="/", after="a", limit=1)
@example(prefix="", delimiter="/", after="a/b", limit=1)
@example(prefix="a", delimiter="a", after="a", limit=3)
def test_any_page_of_hostile_keys(corpus: Box, prefix: str, delimiter: str, after: str, limit: int) -> None:
    query = ListQuery(prefix=prefix, delimiter=delimiter, after=after, limit=limit)
    page = corpus.page(prefix=prefix, delimiter=delimiter, after=after, limit=limit)
    assert _seen(page) == model(KEYS, query)


@settings(QUIET, max_examples=100)
@given(prefix=_positions(KEYS), after=_positions(KEYS))
def test_any_scan_of_hostile_keys(corpus: Box, prefix: str, after: str) -> None:
    assert corpus.keys(prefix, after) == [key for key in sorted(KEYS) if key.startswith(prefix) and key > after]


@settings(QUIET, max_examples=30)
@given(
    keys=st.lists(st.text("ab/.é\x01", min_size=1, max_size=7), min_size=1, max_size=12, unique=True),
    queries=st.lists(
        st.tuples(
            st.text("ab/.", max_size=3),
            st.sampled_from(["", "/", "/", "a", "//", "b/"]),
            st.text("ab/.é", max_size=4),
            st.integers(1, 4),
        ),
        min_size=1,
        max_size=8,
    ),
)
def test_any_bucket(
    backend: Backend, target: Target, keys: list[str], queries: list[tuple[str, str, str, int]]
) -> None:
    with temporary_box(backend, target.caller) as box:
        for key in keys:
            box.put(key)
        for prefix, delimiter, after, limit in queries:
            query = ListQuery(prefix=prefix, delimiter=delimiter, after=after, limit=limit)
            page = box.page(prefix=prefix, delimiter=delimiter, after=after, limit=limit)
            assert _seen(page) == model(keys, query)
            everything = ListQuery(prefix=prefix, delimiter=delimiter, after=after, limit=10_000)
            assert _all_pages(box, query) == model(keys, everything)[:2]


def test_a_listing_shows_every_change_at_once(box: Box) -> None:
    """Directories change several times within one tick of their modification time."""
    present: set[str] = set()
    for turn in range(40):
        key = f"dir/key{turn % 7}" if turn % 3 else f"dir/sub{turn % 5}/key"
        if key in present:
            box.delete(key)
            present.remove(key)
        else:
            box.put(key, b"%d" % turn)
            present.add(key)
        assert box.keys() == sorted(present)
        assert _seen(box.page(prefix="dir/", delimiter="/")) == model(
            sorted(present), ListQuery(prefix="dir/", delimiter="/")
        )


def test_a_listing_shows_the_new_record_after_an_overwrite(box: Box) -> None:
    for turn in range(10):
        stored = box.put("dir/key", b"x" * turn, tags={"turn": str(turn)})
        assert [entry.record for entry in box.scan()] == [stored]
        stored = box.update("dir/key", lambda record: record.replace(tags={"again": "yes"}))
        assert [entry.record for entry in box.page(prefix="dir/", delimiter="/").objects] == [stored]


def test_objects_that_stay_are_listed_once_while_others_come_and_go(box: Box) -> None:
    stay = [f"dir{number % 3}/stay{number:02}" for number in range(20)]
    _fill(box, stay)

    def churn(number: int) -> None:
        for turn in range(10):
            key = f"dir{turn % 4}/move{number}{turn}"
            box.put(key, b"x")
            box.delete(key)

    def read() -> None:
        for _ in range(10):
            keys = box.keys()
            assert keys == sorted(set(keys))
            assert [key for key in keys if "stay" in key] == sorted(stay)
            paged, _ = _all_pages(box, ListQuery(limit=3))
            assert [key for key in paged if "stay" in key] == sorted(stay)

    all_fine(together([lambda: churn(0), lambda: churn(1), read, read]))
    assert box.keys() == sorted(stay)


def test_a_wide_directory_is_listed_whole(box: Box) -> None:
    keys = [f"wide/{number:04x}" for number in range(300)]
    all_fine(together([partial(_fill, box, keys[start::4]) for start in range(4)]))
    assert box.keys() == keys
    assert _all_pages(box, ListQuery(prefix="wide/", delimiter="/", limit=7)) == (keys, [])
    assert box.keys(after=keys[150]) == keys[151:]
    assert box.page(delimiter="/").prefixes == ("wide/",)


def test_two_buckets_are_listed_apart(boxes: Boxes) -> None:
    one, two = boxes.make(), boxes.make()
    _fill(one, ["a", "b"])
    _fill(two, ["b", "c"])
    assert one.keys() == ["a", "b"]
    assert two.keys() == ["b", "c"]
