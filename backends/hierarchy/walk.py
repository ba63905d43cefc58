"""S3 listings out of a tree of directories.

A directory `a` sorts where its keys do, as `a/`: behind `a-b`, before `a0`. Displaced files and escaped names sort
where their key belongs. Pieces of long segments are merged in: all keys below a piece begin with it, so they lie
together but for the few siblings which begin with the same 247 or more bytes.

Only directories are read that can hold an answer, and each is entered by bisection. A page asks the storage for records
in batches, and for common prefixes only whether one object exists below.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import islice
from operator import itemgetter
from typing import Final, Protocol

from backends.api import ListPage, ListQuery, ObjectEntry, ObjectRecord
from backends.hierarchy.directory import Directory
from backends.hierarchy.names import KEY_LIMIT, Names
from backends.listing import page_of_scan, start_of

_FIRST_BATCH: Final = 8
_BATCH: Final = 1000


class Tree(Protocol):
    """What a storage shows of one bucket. Paths are relative to the bucket, "" is the bucket itself."""

    def directory(self, path: str, prefix: str, start: str, /) -> Directory | None:
        """The entries of a directory as they are now; None when it is missing, no directory or not to be read.

        Those whose segment does not begin with `prefix` may be left out, and so may those before `start`. Entries from
        some point on may be left out as well (`Directory.end`): they are asked for when they are needed.
        """

    def records(self, paths: Sequence[str], /) -> Sequence[ObjectRecord | None]:
        """The records of the objects at these paths; None for one that is gone or is no object."""

    def occupied(self, paths: Sequence[str], /) -> Sequence[bool]:
        """Whether these directories have an object anywhere below."""


Step = tuple[str, str, bool]
"""(key, path, is a directory): the key of an object, or the prefix of all keys of a directory."""


def scan(tree: Tree, rule: Names, prefix: str, after: str) -> Iterator[ObjectEntry]:
    """All objects whose key begins with `prefix` and is greater than `after`, in order, lazily."""
    steps = _walk(tree, rule, prefix, after, group=False)
    size = _FIRST_BATCH
    while batch := list(islice(steps, size)):
        for (key, _, _), record in zip(batch, tree.records([step[1] for step in batch]), strict=True):
            if record is not None:
                yield ObjectEntry(key, record)
        size = min(size * 4, _BATCH)


def page(tree: Tree, rule: Names, query: ListQuery) -> ListPage:
    """One page of a listing."""
    if query.delimiter not in ("", "/") or (query.delimiter and rule.folds(query.prefix)):
        return page_of_scan(lambda after: scan(tree, rule, query.prefix, after), query)
    start = start_of(query)
    steps = _walk(tree, rule, query.prefix, start, group=query.delimiter == "/")
    objects: list[ObjectEntry] = []
    prefixes: list[str] = []
    last = ""
    # An object may go between the reading of its name and that of its record: then the next batch fills the page.
    while batch := list(islice(steps, query.limit + 1 - len(objects) - len(prefixes))):
        for key, record in _resolve(tree, rule, batch, start):
            if len(objects) + len(prefixes) == query.limit:
                return ListPage(tuple(objects), tuple(prefixes), last)
            if record is None:
                prefixes.append(key)
            else:
                objects.append(ObjectEntry(key, record))
            last = key
    return ListPage(tuple(objects), tuple(prefixes), None)


def _resolve(tree: Tree, rule: Names, batch: list[Step], start: str) -> Iterator[tuple[str, ObjectRecord | None]]:
    """The steps that stand for something, objects with their record, common prefixes without."""
    records = iter(tree.records([path for _, path, is_directory in batch if not is_directory]))
    # The marker may lie inside a common prefix; that one counts only with a key behind the marker.
    whole = [path for key, path, is_directory in batch if is_directory and not start.startswith(key)]
    occupied = iter(tree.occupied(whole))
    for key, _, is_directory in batch:
        if not is_directory:
            if (record := next(records)) is not None:
                yield key, record
        elif start.startswith(key):
            if next(scan(tree, rule, key, start), None) is not None:
                yield key, None
        elif next(occupied):
            yield key, None


def _walk(tree: Tree, rule: Names, prefix: str, after: str, *, group: bool) -> Iterator[Step]:
    """The objects in order; with `group`, directories behind the prefix as one step each instead of their contents."""
    base = rule.base(prefix)
    # A stack instead of recursion: a key can have 1025 segments.
    stack = [_entries(tree, rule, rule.directory(base), base, prefix, after)]
    last = ""
    while stack:
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
            continue
        key, path, is_directory = step
        if is_directory and not group:
            stack.append(_entries(tree, rule, path, key, prefix, after))
        elif key != last and (len(key) <= KEY_LIMIT // 4 or len(key.encode()) <= KEY_LIMIT):
            last = key
            yield step


def _entries(tree: Tree, rule: Names, path: str, base: str, prefix: str, after: str) -> Iterator[Step]:
    """What one directory holds, in the order of keys; `base` is what the keys in it begin with."""
    behind: str | None = None
    if after.startswith(base):
        behind = after[len(base) :]
    elif after > base:
        return
    prefix = prefix[len(base) :]
    below = path + "/" if path else ""
    # A marker may lie inside a directory, which is an entry all the same.
    start = behind.partition("/")[0] if behind else ""
    while (directory := tree.directory(path, prefix, start)) is not None:
        named = _named(directory, below, base, prefix, behind, start)
        if directory.continued:
            yield from merge(named, _continued(tree, rule, directory, below, base, prefix, behind), key=itemgetter(0))
        else:
            yield from named
        if directory.end is None:
            return
        start = directory.end


def _named(directory: Directory, below: str, base: str, prefix: str, after: str | None, start: str) -> Iterator[Step]:
    names = directory.names
    first = 0 if after is None else bisect_right(names, after)
    if first and after and directory.is_directory(names[first - 1]) and after.startswith(names[first - 1]):
        # The marker lies inside that directory. It is the entry right before: whatever sorted between them would
        # have to begin with the directory's name and "/", which no other entry does.
        first -= 1
    if prefix or start:
        first = max(first, bisect_left(names, max(start, prefix)))
    for position in range(first, len(names) if directory.end is None else bisect_left(names, directory.end)):
        entry = names[position]
        if not entry.startswith(prefix):
            return
        if entry or base:  # a file that stands for the empty key is none of ours
            yield base + entry, below + directory.name_on_disk(entry), directory.is_directory(entry)


def _continued(
    tree: Tree, rule: Names, directory: Directory, below: str, base: str, prefix: str, after: str | None
) -> Iterator[Step]:
    """What lies below the pieces of long segments, in order."""
    pieces = [
        (piece, name)
        for piece, name in directory.continued
        if (after is None or piece > after or after.startswith(piece))
        and (piece.startswith(prefix) or prefix.startswith(piece))
    ]
    position = 0
    while position < len(pieces):
        # Pieces of which one begins with another (cut some bytes earlier, before a wide character) interleave.
        end = position + 1
        while end < len(pieces) and pieces[end][0].startswith(pieces[position][0]):
            end += 1
        parts = [
            _checked(_entries(tree, rule, below + name, base + piece, base + prefix, base + (after or "")), rule)
            for piece, name in pieces[position:end]
        ]
        yield from parts[0] if len(parts) == 1 else merge(*parts, key=itemgetter(0))
        position = end


def _checked(steps: Iterator[Step], rule: Names) -> Iterator[Step]:
    """Without what the rule would not have put there, and what a key lookup would therefore not find."""
    for step in steps:
        key, path, is_directory = step
        expected = (rule.directory(key),) if is_directory else (rule.path(key), rule.displaced(key))
        if path in expected:
            yield step
