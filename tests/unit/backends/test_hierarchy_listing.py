"""Listings over a tree, against the same listing of a sorted set of keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.api import ListPage, ListQuery, ObjectEntry, ObjectRecord
from backends.hierarchy import DEFAULT_NAMES, Directory, Names, build_directory, page, scan
from backends.listing import page_of_scan

# A storage whose paths may have no more than two names, but for those of long segments.
SHALLOW = Names(deepest=2)


class DictTree:
    """A tree of paths in memory, laid out as a storage would have it; counts what is read."""

    def __init__(self, keys: set[str], rule: Names = DEFAULT_NAMES) -> None:
        self.rule = rule
        self.files: set[str] = set()
        natural = {rule.path(key): key for key in keys}
        parents = {path[:end] for path in natural for end in range(len(path)) if path[end] == "/"}
        for path, key in natural.items():
            self.files.add(rule.displaced(key) if path in parents else path)
        self.read: list[str] = []
        self.asked = 0

    def _below(self, path: str) -> list[str]:
        start = path + "/" if path else ""
        return [file[len(start) :] for file in self.files if file.startswith(start)]

    def directory(self, path: str, prefix: str, start: str) -> Directory | None:
        self.read.append(path)
        below = self._below(path)
        files = {name for name in below if "/" not in name}
        directories = {name.split("/")[0] for name in below if "/" in name}
        return build_directory(files, directories, self.rule) if below else None

    def records(self, paths: Sequence[str]) -> list[ObjectRecord | None]:
        self.asked += len(paths)
        return [ObjectRecord(size=len(path), etag="e") if path in self.files else None for path in paths]

    def occupied(self, paths: Sequence[str]) -> list[bool]:
        return [bool(self._below(path)) for path in paths]


def _model(keys: set[str], prefix: str) -> Callable[[str], list[str]]:
    return lambda after: sorted(key for key in keys if key.startswith(prefix) and key > after)


def _expected(keys: set[str], query: ListQuery) -> ListPage:
    ordered = _model(keys, query.prefix)
    record = ObjectRecord(size=0, etag="e")
    return page_of_scan(lambda after: (ObjectEntry(key, record) for key in ordered(after)), query)


def _shape(answer: ListPage) -> tuple[list[str], tuple[str, ...], str | None]:
    return [entry.key for entry in answer.objects], answer.prefixes, answer.next_after


LONG = "s" * 247
# fmt: off
SEGMENTS = st.sampled_from([
    "a", "b", "ab", "a-b", "a.", "a0", "", ".", "..", "%", "%~", "%object", "a%object", "a%more", "\0", "!", "é", "😀",
    LONG, LONG + "x", LONG + "xyz", LONG + "xyza", LONG + "xyz😀", LONG + "é" * 9, LONG + "😀" * 3, LONG + "!" * 9,
    LONG + "x" * 9, LONG * 2, LONG * 2 + "/x", "é" * 130, "\0" * 90,
])
# fmt: on
KEYS = (
    st.lists(SEGMENTS, min_size=1, max_size=4)
    .map("/".join)
    .map(lambda key: key.encode()[:1024].decode(errors="ignore"))
    .filter(bool)
)


@pytest.mark.parametrize("rule", [DEFAULT_NAMES, SHALLOW], ids=["default", "shallow"])
@settings(max_examples=300, deadline=None)
@given(
    keys=st.sets(KEYS, max_size=14),
    prefix=st.one_of(st.just(""), KEYS, SEGMENTS),
    after=st.one_of(st.just(""), KEYS, KEYS.map(lambda key: key + "/")),
    delimiter=st.sampled_from(["", "/", "a", "//", "s", "-"]),
    limit=st.integers(1, 6),
    cut=st.integers(0, 260),
)
def test_pages_are_those_of_the_sorted_keys(
    rule: Names, keys: set[str], prefix: str, after: str, delimiter: str, limit: int, cut: int
) -> None:
    query = ListQuery(prefix=prefix[:cut], after=after, delimiter=delimiter, limit=limit)
    assert _shape(page(DictTree(keys, rule), rule, query)) == _shape(_expected(keys, query))


@settings(max_examples=300, deadline=None)
@given(keys=st.sets(KEYS, max_size=20), data=st.data())
def test_a_scan_goes_on_behind_any_key(keys: set[str], data: st.DataObject) -> None:
    after = data.draw(st.sampled_from([*sorted(keys), ""]))
    prefix = after[: data.draw(st.integers(0, len(after)))]
    found = [entry.key for entry in scan(DictTree(keys), DEFAULT_NAMES, prefix, after)]
    assert found == _model(keys, prefix)(after)


@pytest.mark.parametrize("delimiter", ["", "/"])
def test_pages_put_together_are_the_whole(delimiter: str) -> None:
    keys = {f"{a}/{b}{c}" for a in "xyz" for b in ("k", "k/", "k-") for c in "0123456789"} | {"x", "y-", "y/k"}
    tree = DictTree(keys)
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        answer = page(tree, DEFAULT_NAMES, ListQuery(delimiter=delimiter, after=after, limit=7))
        seen += sorted([entry.key for entry in answer.objects] + list(answer.prefixes))
        after = answer.next_after
    assert seen == (sorted(keys) if not delimiter else ["x", "x/", "y-", "y/", "z/"])


def test_only_directories_that_can_answer_are_read() -> None:
    tree = DictTree({f"{a}/{b}/{c}" for a in "abcde" for b in "abcde" for c in "abcde"})
    assert len(page(tree, DEFAULT_NAMES, ListQuery(after="c/c/c", limit=1)).objects) == 1
    assert tree.read == ["", "c", "c/c"]
    tree.read.clear()
    page(tree, DEFAULT_NAMES, ListQuery(prefix="d/b", limit=1000))
    assert tree.read == ["d", "d/b"]
    tree.read.clear()
    assert page(tree, DEFAULT_NAMES, ListQuery(delimiter="/")).prefixes == ("a/", "b/", "c/", "d/", "e/")
    assert tree.read == [""]


def test_a_page_reads_no_more_records_than_it_shows() -> None:
    tree = DictTree({f"k{number:04}" for number in range(5000)})
    page(tree, DEFAULT_NAMES, ListQuery(limit=10))
    assert tree.asked == 11


def test_the_deepest_key_is_found() -> None:
    keys = {"/" * 1024, "a/" * 512, "a/" * 511 + "b"}
    assert [entry.key for entry in scan(DictTree(keys), DEFAULT_NAMES, "", "")] == sorted(keys)


def test_what_goes_between_name_and_record_leaves_no_gap() -> None:
    tree = DictTree({f"k{number}" for number in range(10)})
    everything = tree.directory("", "", "")
    tree.directory = lambda path, prefix, start: everything  # type: ignore[method-assign]
    tree.files -= {"k0", "k1", "k4", "k9"}
    answer = page(tree, DEFAULT_NAMES, ListQuery(limit=4))
    assert _shape(answer) == (["k2", "k3", "k5", "k6"], (), "k6")
    answer = page(tree, DEFAULT_NAMES, ListQuery(limit=4, after="k6"))
    assert _shape(answer) == (["k7", "k8"], (), None)


def test_an_empty_directory_is_no_common_prefix() -> None:
    tree = DictTree({"a/x", "b/x", "c/x"})
    everything = tree.directory("", "", "")
    tree.directory = lambda path, prefix, start: everything if not path else None  # type: ignore[method-assign]
    tree.files.discard("b/x")
    assert page(tree, DEFAULT_NAMES, ListQuery(delimiter="/")).prefixes == ("a/", "c/")


def test_the_natural_file_hides_the_displaced_one() -> None:
    directory = build_directory(["a", "a%object", "b%object"], ["b"], DEFAULT_NAMES)
    assert directory.names == ["a", "b", "b/"]
    assert directory.shadowed
    assert [directory.name_on_disk(name) for name in directory.names] == ["a", "b%object", "b"]


def test_names_that_are_not_utf8_are_no_keys() -> None:
    directory = build_directory(["ok", "bad\udcff"], ["bad\udcfe", "fine"], DEFAULT_NAMES)
    assert directory.names == ["fine/", "ok"]


@settings(max_examples=200, deadline=None)
@given(
    before=st.dictionaries(st.text("abc%", min_size=1, max_size=3), st.booleans(), max_size=20),
    changes=st.dictionaries(st.text("abcd%", min_size=1, max_size=3), st.none() | st.booleans(), max_size=90),
)
def test_a_directory_with_changes_is_the_directory_read_anew(
    before: dict[str, bool], changes: dict[str, bool | None]
) -> None:
    def built(kinds: dict[str, bool | None]) -> Directory:
        files = [name for name, kind in kinds.items() if kind is False]
        return build_directory(files, [name for name, kind in kinds.items() if kind], DEFAULT_NAMES)

    old = built(dict(before))
    kept = list(old.names)
    changed = old.changed(changes, DEFAULT_NAMES)
    assert changed is not None
    assert changed.names == built({**before, **changes}).names
    assert old.names == kept


@pytest.mark.parametrize("name", ["a%object", "%dot", "x%more", "%25more"])
def test_changes_of_odd_names_ask_for_a_new_reading(name: str) -> None:
    assert build_directory(["a", "b"], [], DEFAULT_NAMES).changed({name: False}, DEFAULT_NAMES) is None
