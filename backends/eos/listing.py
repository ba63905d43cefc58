"""Listings: directories by depth-1 Finds, sorted here and remembered while they stay what they are.

A directory is read once, with the records of its files. Every page asks EOS for the directory itself; while id, times
and number of entries are those of then, the page is cut out of what is remembered, so that it costs what it shows and
not what the directory holds. A record that was changed without its directory (tags, or data that somebody replaced in
place) is noticed when the remembered directory is older than `listing_cache` seconds.

Of a large directory that changes between pages only the part is read again that a page needs (`narrowing.py`).

What is remembered belongs to one account: EOS decides for each who may read a directory.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import gevent.monkey
from gevent.pool import Pool

from backends.api import ObjectRecord, PermissionDenied, StorageUnavailable
from backends.eos.attributes import record_of
from backends.eos.failures import Missing
from backends.eos.interfaces import Entry, Role
from backends.eos.layout import NAMES, RESERVED
from backends.eos.namespace import Namespace
from backends.eos.narrowing import Part, beginning_with, part_of
from backends.hierarchy import Directory, build_directory, is_utf8
from backends.offload import offload

_FILTERED: Final = 512
"""A directory with more entries than this is asked for those of a prefix only, unless it is remembered."""

_ASKED: Final = 3
"""How often EOS is asked before a directory is left out as one that may not be read."""
_KEY_TIMEOUT: Final = 5.0

_OUTLINED: Final = 4096
"""A directory with more entries than this is read in parts while it changes."""
_OUTLINES: Final = 8
_DOUBTFUL: Final = 2
"""A part with less than this fraction of the entries that it had before is not believed."""
_PATIENCE: Final = 8
"""A directory that stands still is read as a whole when this part of it was read in parts: then it is remembered."""

_AT_ONCE: Final = 16
"""Directories that are read at the same time to see whether they hold an object."""


class Known:
    """A directory as it was read, as a `whole` or in part."""

    __slots__ = ("directories", "directory", "files", "read", "stamp", "whole")

    def __init__(self, entries: Sequence[Entry], stamp: tuple[int, ...], read: float, part: Part | None = None) -> None:
        self.files: dict[str, Entry] = {}
        self.directories: dict[str, int] = {}
        for entry in entries:
            name = entry.path.rpartition("/")[2]
            if entry.directory:
                self.directories[name] = entry.children
            elif not entry.link:
                self.files[name] = entry
        end = part.end if part is not None else None
        self.directory: Directory = build_directory(self.files, self.directories, NAMES, end)
        self.stamp = stamp
        self.read = read
        self.whole = part is None

    @property
    def size(self) -> int:
        return len(self.files) + len(self.directories)


class Outline:
    """What a large directory was like when it was read as a whole, and what was read of it since."""

    __slots__ = ("names", "spent", "stamp")

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.stamp: tuple[int, ...] = ()
        self.spent = 0

    def is_like(self, children: int) -> bool:
        """Whether a directory with so many entries is still of this form."""
        return len(self.names) // 2 <= children <= len(self.names) * 2

    def note(self, stamp: tuple[int, ...], entries: int) -> None:
        """A part with so many entries was read."""
        self.spent = entries + (self.spent if stamp == self.stamp else 0)
        self.stamp = stamp

    def is_worn(self, stamp: tuple[int, ...]) -> bool:
        """Whether reading the whole is due: the directory stands still, and much of it was read in parts."""
        return stamp == self.stamp and self.spent >= len(self.names) // _PATIENCE


class Directories:
    """What a worker remembers of listed directories."""

    def __init__(self, namespace: Namespace, *, limit: int, age: float) -> None:
        self._namespace: Final = namespace
        self._limit: Final = limit
        self._age: Final = age
        self._known: Final[OrderedDict[tuple[int, int, str, str], Known]] = OrderedDict()
        self._outlines: Final[OrderedDict[tuple[int, int, str], Outline]] = OrderedDict()
        self._size = 0
        self._lock: Final = threading.Lock()
        self._reading: Final[dict[tuple[int, int, str, str], threading.Lock]] = {}

    def get(
        self, role: Role, path: str, prefix: str = "", start: str | None = None, *, needed: bool = False
    ) -> Known | None:
        """A directory as it is now; None when it is missing, none, or not to be read.

        Entries whose name does not begin with `prefix` may be missing, with `start` those before it and from the
        `end` of what is given on. Raises `PermissionDenied` when it is `needed`.
        """
        refusal: PermissionDenied | None = None
        for _ in range(_ASKED):
            try:
                return self._get(role, path, prefix, start)
            except Missing:
                return None
            except PermissionDenied as error:
                refusal = error
                # What the account may not read is not there for it. But a page that leaves something out by mistake
                # looks like a loss, so that EOS has to say it again.
        if not self._namespace.is_sudoer(_KEY_TIMEOUT):
            # Then it is the gateway that may not read.
            raise StorageUnavailable("EOS does not know the gateway's key as one of a sudoer any more")
        if needed and refusal is not None:
            raise refusal
        return None

    def _get(self, role: Role, path: str, prefix: str, start: str | None) -> Known | None:
        entry = self._namespace.stat(role, path)
        if entry is None or not entry.directory or entry.path != path:
            return None
        stamp = (entry.id, entry.mtime, entry.ctime, entry.children)
        whole = (role.uid, role.gid, path, "")
        found = self._remembered(whole, stamp)
        if found is not None or entry.children <= _FILTERED:
            return found or self._read(whole, role, stamp)
        outline = self._outline(whole, entry.children) if start is not None else None
        if outline is None or outline.is_worn(stamp):
            part = beginning_with(prefix)
            return self._read((*whole[:3], part.pattern), role, stamp, part) if part else self._read(whole, role, stamp)
        part = part_of(outline.names, prefix, start or "")
        found = self._read((*whole[:3], part.pattern), role, stamp, part)
        outline.note(stamp, found.size)
        # Pieces of long segments are merged in at more than one place. And EOS answers an expression that it does not
        # take with nothing at all: what is far less than there was is looked at as a whole.
        doubtful = found.directory.continued or found.size < part.expected // _DOUBTFUL
        return self._read(whole, role, stamp) if doubtful else found

    def _outline(self, key: tuple[int, int, str, str], children: int) -> Outline | None:
        with self._lock:
            outline = self._outlines.get(key[:3])
            return outline if outline is not None and outline.is_like(children) else None

    def forget_records(self, path: str) -> None:
        """A record in this directory has been changed by this worker."""
        with self._lock:
            for key in [key for key in self._known if key[2] == path]:
                self._drop(key)

    def _read(
        self, key: tuple[int, int, str, str], role: Role, stamp: tuple[int, ...], part: Part | None = None
    ) -> Known:
        with self._lock:
            reading = self._reading.setdefault(key, threading.Lock())
        with reading:
            # Of many that want it at the same time one reads it.
            found = self._remembered(key, stamp)
            if found is None:
                began = time.monotonic()
                entries = self._namespace.find(role, key[2], pattern=key[3])
                if len(entries) > _FILTERED:
                    found = offload(Known, entries, stamp, began, part)
                else:
                    found = Known(entries, stamp, began, part)
                self._remember(key, found)
        with self._lock:
            self._reading.pop(key, None)
        return found

    def _remembered(self, key: tuple[int, int, str, str], stamp: tuple[int, ...]) -> Known | None:
        with self._lock:
            found = self._known.get(key)
            if found is None:
                return None
            if found.stamp != stamp or time.monotonic() - found.read > self._age:
                self._drop(key)
                return None
            self._known.move_to_end(key)
            return found

    def _remember(self, key: tuple[int, int, str, str], known: Known) -> None:
        with self._lock:
            self._drop(key)
            self._known[key] = known
            self._size += known.size
            if not key[3] and known.size > _OUTLINED:
                self._outlines[key[:3]] = Outline(known.directory.names)
                self._outlines.move_to_end(key[:3])
                if len(self._outlines) > _OUTLINES:
                    self._outlines.popitem(last=False)
            # The latest one stays even if it is too large by itself: a listing walks through it page by page.
            while self._size > self._limit and len(self._known) > 1:
                self._drop(next(iter(self._known)))

    def _drop(self, key: tuple[int, int, str, str]) -> None:
        known = self._known.pop(key, None)
        if known is not None:
            self._size -= known.size


class BucketTree:
    """One bucket as `backends.hierarchy` wants to see it. Lives as long as a page, and reads no directory twice."""

    def __init__(self, role: Role, root: str, directories: Directories) -> None:
        self._role = role
        self._root = root
        self._directories = directories
        self._seen: dict[str, list[Known]] = {}

    def directory(self, path: str, prefix: str, start: str) -> Directory | None:
        """The entries of a directory as they are now; None when it is missing or may not be read."""
        known = self._get(path, prefix, start)
        return known.directory if known is not None else None

    def records(self, paths: Sequence[str]) -> Sequence[ObjectRecord | None]:
        """The records of the objects at these paths, as they were when their directory was read."""
        return [self._record(path) for path in paths]

    def occupied(self, paths: Sequence[str]) -> Sequence[bool]:
        """Whether these directories have an object anywhere below."""
        if len(paths) < 2 or not gevent.monkey.is_module_patched("socket"):
            return [self._holds(path) for path in paths]
        found: list[bool] = Pool(_AT_ONCE).map(self._holds, paths)
        return found

    def _get(self, path: str, prefix: str = "", start: str | None = None) -> Known | None:
        seen = self._seen.setdefault(path, [])
        if seen and seen[-1].whole:
            return seen[-1]
        directory = f"{self._root}/{path}" if path else self._root
        # An empty list of a bucket that may not be read would be taken for the truth.
        known = self._directories.get(self._role, directory, prefix, start, needed=not path)
        if known is not None:
            seen.append(known)
        return known

    def _record(self, path: str) -> ObjectRecord | None:
        parent, _, name = path.rpartition("/")
        # Of a large directory that changes there are several parts. The latest one that has the name counts.
        seen = self._seen.get(parent) or [known for known in (self._get(parent),) if known is not None]
        entry = next((known.files[name] for known in reversed(seen) if name in known.files), None)
        return record_of(entry) if entry is not None else None

    def _holds(self, path: str) -> bool:
        name = path.rpartition("/")[2]
        if name.startswith(RESERVED):
            return False
        known = self._directories.get(self._role, f"{self._root}/{path}")
        if known is None:
            return False
        if any(not name.endswith("/") or name in known.directory.folded for name in known.directory.names):
            return True
        below = [name for name in known.directories if is_utf8(name)]
        return any(self._holds(f"{path}/{name}") for name in below)
