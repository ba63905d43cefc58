"""One directory as the listing sees it: its names decoded and in the order of keys."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from typing import Final

from backends.hierarchy.names import Kind, Names

_MANY: Final = 64
"""From so many changes on, sorting again is cheaper than inserting one by one."""


class Directory:
    """The sorted names of a directory. Never changed once built, so that a walk may hold on to it.

    Attributes:
        names: decoded segments in order, those of directories with a "/" behind (which is where their keys sort).
        odd: the names on disk of those that have another one there, by their entry in `names`.
        continued: the pieces of long segments in order, each with the name of the directory where they go on.
        shadowed: there are files that another file of the same key hides.
        folded: entries of `names` that end with "/" and are files all the same (keys deeper than paths may be).
        end: entries from here on may be missing; None where all are there. Never with `continued`.
    """

    __slots__ = ("continued", "end", "folded", "names", "odd", "shadowed")

    def __init__(
        self,
        names: list[str],
        odd: dict[str, str],
        continued: list[tuple[str, str]],
        shadowed: bool = False,
        folded: frozenset[str] = frozenset(),
        end: str | None = None,
    ) -> None:
        self.names = names
        self.odd = odd
        self.continued = continued
        self.shadowed = shadowed
        self.folded = folded
        self.end = end

    def __len__(self) -> int:
        return len(self.names) + len(self.continued)

    def is_directory(self, entry: str) -> bool:
        """Whether an entry of `names` stands for a directory."""
        return entry.endswith("/") and entry not in self.folded

    def name_on_disk(self, entry: str) -> str:
        """The name of the file or directory that `entry` of `names` stands for."""
        if self.odd and (name := self.odd.get(entry)):
            return name
        return entry[:-1] if entry.endswith("/") else entry

    def changed(self, kinds: Mapping[str, bool | None], rule: Names) -> Directory | None:
        """The directory after some names changed: each now a directory (True), a file (False) or gone (None).

        None when it has to be read anew because a change concerns names that depend on others.
        """
        if self.shadowed:
            return None
        added: list[str] = []
        removed: list[str] = []
        for name, is_directory in kinds.items():
            if not is_utf8(name):
                continue
            if "%" in name and rule.decode(name) != (name, Kind.PLAIN):
                return None
            if name in self.odd or name + "/" in self.odd:
                return None
            for entry, present in ((name, is_directory is False), (name + "/", is_directory is True)):
                if present != self._has(entry):
                    (added if present else removed).append(entry)
        if not added and not removed:
            return self
        return Directory(_edited(self.names, added, removed), self.odd, self.continued, folded=self.folded)

    def _has(self, entry: str) -> bool:
        position = bisect_left(self.names, entry)
        return position < len(self.names) and self.names[position] == entry


def _edited(names: list[str], added: list[str], removed: list[str]) -> list[str]:
    if len(added) + len(removed) > _MANY:
        gone = set(removed)
        names = [name for name in names if name not in gone] if gone else names.copy()
        names += added
        names.sort()
        return names
    names = names.copy()
    for name in removed:
        del names[bisect_left(names, name)]
    for name in added:
        insort(names, name)
    return names


def is_utf8(name: str) -> bool:
    """Whether a name as the os module gives it is valid UTF-8; others cannot be keys."""
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def build_directory(files: Iterable[str], directories: Iterable[str], rule: Names, end: str | None = None) -> Directory:
    """A `Directory` from the names on disk, in any order."""
    names: list[str] = []
    odd: dict[str, str] = {}
    continued: list[tuple[str, str]] = []
    displaced: list[tuple[str, str]] = []
    folded: list[str] = []
    for name in files:
        if "%" not in name and name.isascii() and not rule.keeps(name):
            names.append(name)
        elif is_utf8(name) and (decoded := rule.decode(name)):
            segment, kind = decoded
            if kind is Kind.DISPLACED:
                displaced.append((segment, name))
            elif kind is Kind.PLAIN:
                names.append(segment)
                if segment != name:
                    odd[segment] = name
                    if segment.endswith("/"):
                        folded.append(segment)
    for name in directories:
        if is_utf8(name) and (decoded := rule.decode(name)):
            segment, kind = decoded
            if kind is Kind.CONTINUED:
                continued.append((segment, name))
            elif kind is Kind.PLAIN:
                names.append(segment + "/")
                if segment != name:
                    odd[segment + "/"] = name
    shadowed = False
    if displaced:
        natural = set(names)
        for segment, name in displaced:
            if segment in natural:
                shadowed = True  # the natural file is the object, whatever the displaced one was
            else:
                names.append(segment)
                odd[segment] = name
                if segment.endswith("/"):
                    folded.append(segment)
    names.sort()
    continued.sort()
    return Directory(names, odd, continued, shadowed, frozenset(folded), end)
