"""Pages out of a scan: S3's listing semantics over sorted keys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.api import ListPage, ListQuery, ObjectEntry, ObjectRecord
from backends.listing import LAST, behind_group, common_prefix, page_of_scan, start_of

RECORD = ObjectRecord(size=0, etag="e")


class Keys:
    """Sorted keys as a scan; counts the starts and the entries taken."""

    def __init__(self, keys: list[str], prefix: str) -> None:
        self.keys = sorted(key for key in keys if key.startswith(prefix))
        self.starts: list[str] = []
        self.taken = 0

    def scan(self, after: str) -> Iterator[ObjectEntry]:
        self.starts.append(after)
        for key in self.keys:
            if key > after:
                self.taken += 1
                yield ObjectEntry(key, RECORD)


def page(keys: list[str], **query: object) -> ListPage:
    asked = ListQuery(**query)
    return page_of_scan(Keys(keys, asked.prefix).scan, asked)


def rows(result: ListPage) -> tuple[list[str], list[str], str | None]:
    return [entry.key for entry in result.objects], list(result.prefixes), result.next_after


def naive(keys: list[str], query: ListQuery) -> tuple[list[str], list[str], str | None]:
    """Written from the documentation's words, without any start in the middle."""
    found: dict[str, bool] = {}
    for key in sorted(keys):
        rest = key[len(query.prefix) :]
        if not key.startswith(query.prefix) or key <= query.after:
            continue
        if query.delimiter and query.delimiter in rest:
            group = query.prefix + rest[: rest.index(query.delimiter)] + query.delimiter
            if group != query.after:
                found.setdefault(group, True)
        else:
            found[key] = False
    names = list(found)[: query.limit]
    return (
        [name for name in names if not found[name]],
        [name for name in names if found[name]],
        names[-1] if len(found) > query.limit else None,
    )


TEXT = st.text("ab/.é", max_size=5)
QUERY = st.builds(
    ListQuery,
    prefix=st.text("ab/", max_size=3),
    delimiter=st.sampled_from(["", "/", "/", "/", "a", "//", "b/", "a/b", LAST]),
    after=TEXT,
    limit=st.integers(1, 6),
)


@settings(max_examples=500, deadline=None)
@given(st.lists(TEXT.filter(bool) | st.just("a" + LAST) | st.just("a/" + LAST * 3), unique=True, max_size=15), QUERY)
def test_a_page_is_what_the_naive_listing_gives(keys: list[str], query: ListQuery) -> None:
    assert rows(page_of_scan(Keys(keys, query.prefix).scan, query)) == naive(keys, query)


@settings(max_examples=300, deadline=None)
@given(st.lists(TEXT.filter(bool), unique=True, max_size=15), QUERY)
def test_pages_joined_are_the_whole_listing(keys: list[str], query: ListQuery) -> None:
    objects: list[str] = []
    prefixes: list[str] = []
    after: str | None = query.after
    while after is not None:
        more, groups, after = rows(
            page(keys, prefix=query.prefix, delimiter=query.delimiter, after=after, limit=query.limit)
        )
        objects += more
        prefixes += groups
    whole = naive(keys, ListQuery(prefix=query.prefix, delimiter=query.delimiter, after=query.after, limit=10_000))
    assert (objects, prefixes, None) == whole


@pytest.mark.parametrize(
    ("key", "prefix", "delimiter", "group"),
    [
        ("a/b", "", "/", "a/"),
        ("a/b/c", "a/", "/", "a/b/"),
        ("a/b", "a/", "/", None),
        ("a/", "a/", "/", None),
        ("a/", "", "/", "a/"),
        ("a/b", "", "", None),
        ("ab", "", "/", None),
        ("a--b--c", "", "--", "a--"),
        ("a--b--c", "a-", "--", "a--b--"),
        ("a//b", "a", "/", "a/"),
        ("a//b", "a/", "/", "a//"),
        ("/", "", "/", "/"),
    ],
)
def test_common_prefix(key: str, prefix: str, delimiter: str, group: str | None) -> None:
    assert common_prefix(key, prefix, delimiter) == group


@pytest.mark.parametrize(
    ("after", "prefix", "delimiter", "start"),
    [
        ("", "", "/", ""),
        ("a", "", "/", "a"),
        ("a/", "", "", "a/"),
        ("a/b", "", "/", "a/b"),
        ("a/", "a/", "/", "a/"),
        ("b/", "a/", "/", "b/"),
        ("a/", "", "/", behind_group("a/")),
        ("a/b/", "a/", "/", behind_group("a/b/")),
        ("x--", "", "--", behind_group("x--")),
    ],
)
def test_a_position_that_is_a_common_prefix_starts_behind_its_group(
    after: str, prefix: str, delimiter: str, start: str
) -> None:
    assert start_of(ListQuery(prefix=prefix, delimiter=delimiter, after=after)) == start


def test_behind_a_group_is_behind_its_last_key_and_before_the_next() -> None:
    longest = "a/" + LAST * 255
    assert len(longest.encode()) == 1022
    assert behind_group("a/") > longest
    assert behind_group("a/") > "a/" + "\x7f" * 1022
    assert behind_group("a/") < "a0"
    assert len(behind_group("a/").encode()) > 1024


def test_a_group_costs_one_entry() -> None:
    keys = Keys([f"{group}/{number:03}" for group in "abc" for number in range(100)], "")
    result = page_of_scan(keys.scan, ListQuery(delimiter="/"))
    assert result.prefixes == ("a/", "b/", "c/")
    assert keys.taken == 3
    assert keys.starts == ["", behind_group("a/"), behind_group("b/"), behind_group("c/")]


def test_a_page_reads_one_entry_more_than_it_shows() -> None:
    keys = Keys([f"{number:03}" for number in range(100)], "")
    result = page_of_scan(keys.scan, ListQuery(limit=10))
    assert len(result.objects) == 10
    assert result.next_after == "009"
    assert keys.taken == 11


def test_a_full_page_that_is_the_last_one_says_so() -> None:
    assert rows(page(["a", "b"], limit=2)) == (["a", "b"], [], None)
    assert rows(page(["a/1", "b/1"], delimiter="/", limit=2)) == ([], ["a/", "b/"], None)
    assert rows(page(["a/1", "a/2"], delimiter="/", limit=1)) == ([], ["a/"], None)


def test_an_error_of_the_scan_passes() -> None:
    def scan(after: str) -> Iterator[ObjectEntry]:
        raise KeyError(after)
        yield

    with pytest.raises(KeyError):
        page_of_scan(scan, ListQuery())
