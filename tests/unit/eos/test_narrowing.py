"""Parts of directories: expressions leave out nothing that lies between their bounds, and pages of a directory that
changes all the time show what is there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from backends.api import ListPage, ListQuery, ObjectEntry, ObjectRecord
from backends.eos import listing, narrowing
from backends.eos.interfaces import Entry, Role
from backends.eos.layout import NAMES
from backends.eos.listing import BucketTree, Directories
from backends.eos.narrowing import beginning_with, part_of
from backends.hierarchy import page
from backends.listing import page_of_scan

ROOT = "/eos/x/bucket"
ROLE = Role(1000, 1000)
SIGNS = st.lists(
    st.sampled_from([*"ab09AZ-!. ,~_=@:;%#+()[]{}^$*\\?|\x7f\n\0é😀\ue000\ud7ff", "#AND#"]), max_size=5
).map("".join)
SEGMENTS = st.one_of(SIGNS, SIGNS.map("object-0".__add__), st.sampled_from(["..", ".sys.x", "a%object", "dir", "di"]))
KEYS = st.one_of(SEGMENTS, st.tuples(SEGMENTS, SEGMENTS).map("/".join)).filter(bool)


class FakeNamespace:
    """A tree by path; it has changed whenever somebody looks, unless it `rests`."""

    def __init__(self, keys: set[str]) -> None:
        self.looked = 0
        self.sent = 0
        self.patterns: list[str] = []
        self.rests = False
        self.files: set[str] = set()
        self.put(keys)

    def put(self, keys: set[str]) -> None:
        self.known: dict[str, dict[str, bool]] = {}
        natural = {NAMES.path(key): key for key in keys}
        parents = {path[:end] for path in natural for end in range(len(path)) if path[end] == "/"}
        self.files = {NAMES.displaced(key) if path in parents else path for path, key in natural.items()}

    def _children(self, path: str) -> dict[str, bool]:
        if path not in self.known:
            self.known[path] = self._read(path)
        return self.known[path]

    def _read(self, path: str) -> dict[str, bool]:
        start = f"{path}/".removeprefix(ROOT + "/")
        below = [file[len(start) :] for file in self.files if file.startswith(start)]
        return {name.partition("/")[0]: "/" in name for name in below}

    def stat(self, role: Role, path: str) -> Entry | None:
        self.looked += not self.rests
        children = self._children(path)
        return self._entry(path, True, len(children)) if children else None

    def find(self, role: Role, path: str, *, pattern: str = "") -> list[Entry]:
        self.patterns.append(pattern)
        chosen = re.compile(pattern.encode(), re.DOTALL)
        found = [
            self._entry(f"{path}/{name}", directory, 1)
            for name, directory in self._children(path).items()
            if chosen.search(name.encode())
        ]
        self.sent += len(found)
        return found

    def _entry(self, path: str, directory: bool, children: int) -> Entry:
        return Entry(
            path=path, id=1, directory=directory, uid=1, gid=1, mtime=self.looked, size=len(path), children=children
        )


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a few names, of directories with a few more."""
    monkeypatch.setattr(listing, "_FILTERED", 1)
    monkeypatch.setattr(listing, "_OUTLINED", 1)
    monkeypatch.setattr(narrowing, "NAMES", 3)


def pages(directories: Directories, query: ListQuery, change: Callable[[], Any] = int) -> list[list[str]]:
    """The keys and prefixes of all pages from a marker on."""
    found = []
    after: str | None = query.after
    while after is not None:
        answer = page(BucketTree(ROLE, ROOT, directories), NAMES, msgspec.structs.replace(query, after=after))
        found.append(shown(answer))
        after = answer.next_after
        change()
    return found


def shown(answer: ListPage) -> list[str]:
    return sorted([*answer.prefixes, *(entry.key for entry in answer.objects)])


def expected(keys: set[str], query: ListQuery) -> list[str]:
    """What one page without a limit shows."""

    def scan(after: str) -> Iterator[ObjectEntry]:
        return (
            ObjectEntry(key, ObjectRecord(size=0, etag="e"))
            for key in sorted(keys)
            if key.startswith(query.prefix) and key > after
        )

    return shown(page_of_scan(scan, msgspec.structs.replace(query, limit=1000)))


@settings(
    max_examples=150,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    before=st.sets(KEYS, min_size=6, max_size=24),
    gone=st.integers(0, 3),
    come=st.sets(KEYS, max_size=6),
    prefix=st.one_of(st.just(""), SIGNS, st.just("object-0"), st.just("dir/")),
    after=st.one_of(st.just(""), KEYS),
    delimiter=st.sampled_from(["", "/"]),
)
def test_pages_of_a_directory_that_changes_show_all_of_it(
    before: set[str], gone: int, come: set[str], prefix: str, after: str, delimiter: str
) -> None:
    namespace = FakeNamespace(before)
    directories: Any = Directories(namespace, limit=1000, age=60.0)  # type: ignore[arg-type]
    everything = ListQuery(limit=100)
    assert pages(directories, everything) == [expected(before, everything)]
    now = set(sorted(before)[gone:]) | come
    namespace.put(now)
    query = ListQuery(prefix=prefix, after=after, delimiter=delimiter, limit=2)
    assert [name for found in pages(directories, query) for name in found] == expected(now, query)


def test_pages_of_a_large_directory_that_changes_cost_what_they_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(narrowing, "NAMES", 20)
    keys = {f"object-{number:05}.dat" for number in range(600)}
    namespace = FakeNamespace(keys)
    directories: Any = Directories(namespace, limit=1000, age=60.0)  # type: ignore[arg-type]
    assert page(BucketTree(ROLE, ROOT, directories), NAMES, ListQuery(limit=1)).next_after
    assert namespace.sent == 600

    def change() -> None:
        keys.add(f"object-{len(keys):05}.new")
        namespace.put(keys)

    for query in (ListQuery(limit=10), ListQuery(limit=10, prefix="object-003")):
        namespace.sent = 0
        found = pages(directories, query, change)
        # The last change came behind the last page.
        there = keys - {f"object-{len(keys) - 1:05}.new"}
        assert [name for names in found for name in names] == sorted(
            name for name in there if name.startswith(query.prefix)
        )
        assert namespace.sent < 120 * len(found)
    # Once it stands still it is remembered.
    namespace.rests = True
    for _ in range(100):
        pages(directories, ListQuery(after="object-00580.dat", limit=10))
    namespace.sent = 0
    assert page(BucketTree(ROLE, ROOT, directories), NAMES, ListQuery(after="object-003", limit=10)).next_after
    assert namespace.sent == 0


def test_pages_are_whole_where_expressions_choose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """EOS filters everything where its C library does not take an expression, and says nothing of it."""
    keys = {f"object-{number:03}" for number in range(30)}
    namespace = FakeNamespace(keys)
    directories: Any = Directories(namespace, limit=1000, age=60.0)  # type: ignore[arg-type]
    query = ListQuery(limit=7)
    assert len(pages(directories, query)) == 5
    find = namespace.find
    monkeypatch.setattr(
        namespace, "find", lambda role, path, *, pattern="": [] if pattern else find(role, path, pattern=pattern)
    )
    assert [name for found in pages(directories, query) for name in found] == sorted(keys)


def test_other_systems_understand_the_expressions_alike() -> None:
    """EOS hands them to the C library, the emulator to Python."""
    names = sorted(
        {
            f"{start}{sign}{end}"
            for start in ("", "a.b-", "x")
            for sign in "-!., ~_=@:;%+]^\\09AZaz"
            for end in ("", "1")
        }
        - {"", ".", ".."}
    )
    parts = [part_of(names, "", start) for start in names] + [part_of(names, "a.b-", "a.b-0"), beginning_with("a.b-")]
    text = "".join(f"{name}\n" for name in names)
    for part in parts:
        assert part is not None
        found = subprocess.run(
            ["grep", "-E", "--", part.pattern], input=text, capture_output=True, text=True, env={"LC_ALL": "C"}
        ).stdout.splitlines()
        assert found == [name for name in names if re.search(part.pattern, name)]


def test_parts_follow_each_other_to_the_end() -> None:
    names = [f"object-{number:05}.dat" for number in range(500)]
    start: str | None = ""
    ends = []
    while start is not None:
        part = part_of(names, "", start)
        chosen = [name for name in names if re.search(part.pattern, name)]
        assert chosen == [name for name in names if name >= start and (part.end is None or name < part.end)]
        ends.append(start)
        start = part.end
    assert all(one < other for one, other in pairwise(ends))
    assert len(ends) > 20
