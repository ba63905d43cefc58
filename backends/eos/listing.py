"""Listings: directories by depth-1 Finds, sorted here and remembered while they stay what they are.

A directory is read once, with the records of its files. Every page asks EOS for the directory itself; while id, times
and number of entries are those of then, the page is cut out of what is remembered, so that it costs what it shows and
not what the directory holds. A record that was changed without its directory (tags, or data that somebody replaced in
place) is noticed when the remembered directory is older than `listing_cache` seconds.

What is remembered belongs to one account: EOS decides for each who may read a directory.
"""

from __future__ import annotations

import re
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
from backends.hierarchy import Directory, build_directory, is_utf8
from backends.offload import offload

_FILTERED: Final = 512
"""A directory with more entries than this is asked for those of a prefix only, unless it is remembered."""

_ASKED: Final = 3
"""How often EOS is asked before a directory is left out as one that may not be read."""
_KEY_TIMEOUT: Final = 5.0

_PLAIN: Final = re.compile(r"[A-Za-z0-9_=@,:;!~ -][A-Za-z0-9_.=@,:;!~ -]*")
"""Prefixes that are the same in the names on disk, and mean themselves in a regular expression but for "."."""

_AT_ONCE: Final = 16
"""Directories that are read at the same time to see whether they hold an object."""


class Known:
    """A directory as it was read."""

    __slots__ = ("directories", "directory", "files", "read", "stamp")

    def __init__(self, entries: Sequence[Entry], stamp: tuple[int, ...], read: float) -> None:
        self.files: dict[str, Entry] = {}
        self.directories: dict[str, int] = {}
        for entry in entries:
            name = entry.path.rpartition("/")[2]
            if entry.directory:
                self.directories[name] = entry.children
            elif not entry.link:
                self.files[name] = entry
        self.directory: Directory = build_directory(self.files, self.directories, NAMES)
        self.stamp = stamp
        self.read = read

    @property
    def size(self) -> int:
        return len(self.files) + len(self.directories)


class Directories:
    """What a worker remembers of listed directories."""

    def __init__(self, namespace: Namespace, *, limit: int, age: float) -> None:
        self._namespace: Final = namespace
        self._limit: Final = limit
        self._age: Final = age
        self._known: Final[OrderedDict[tuple[int, int, str, str], Known]] = OrderedDict()
        self._size = 0
        self._lock: Final = threading.Lock()
        self._reading: Final[dict[tuple[int, int, str, str], threading.Lock]] = {}

    def get(self, role: Role, path: str, prefix: str = "", *, needed: bool = False) -> Known | None:
        """A directory as it is now; None when it is missing, none, or not to be read.

        Entries whose name does not begin with `prefix` may be missing. Raises `PermissionDenied` when it is `needed`.
        """
        refusal: PermissionDenied | None = None
        for _ in range(_ASKED):
            try:
                return self._get(role, path, prefix)
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

    def _get(self, role: Role, path: str, prefix: str) -> Known | None:
        entry = self._namespace.stat(role, path)
        if entry is None or not entry.directory or entry.path != path:
            return None
        stamp = (entry.id, entry.mtime, entry.ctime, entry.children)
        found = self._remembered((role.uid, role.gid, path, ""), stamp)
        if found is not None:
            return found
        narrowed = prefix if entry.children > _FILTERED and _PLAIN.fullmatch(prefix) else ""
        return self._read((role.uid, role.gid, path, narrowed), role, stamp)

    def forget_records(self, path: str) -> None:
        """A record in this directory has been changed by this worker."""
        with self._lock:
            for key in [key for key in self._known if key[2] == path]:
                self._drop(key)

    def _read(self, key: tuple[int, int, str, str], role: Role, stamp: tuple[int, ...]) -> Known:
        with self._lock:
            reading = self._reading.setdefault(key, threading.Lock())
        with reading:
            # Of many that want it at the same time one reads it.
            found = self._remembered(key, stamp)
            if found is None:
                began = time.monotonic()
                entries = self._namespace.find(role, key[2], beginning=key[3])
                found = (
                    offload(Known, entries, stamp, began) if len(entries) > _FILTERED else Known(entries, stamp, began)
                )
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
        self._seen: dict[str, Known | None] = {}

    def directory(self, path: str, prefix: str) -> Directory | None:
        """The entries of a directory as they are now; None when it is missing or may not be read."""
        known = self._get(path, prefix)
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

    def _get(self, path: str, prefix: str = "") -> Known | None:
        if path not in self._seen:
            directory = f"{self._root}/{path}" if path else self._root
            # An empty list of a bucket that may not be read would be taken for the truth.
            self._seen[path] = self._directories.get(self._role, directory, prefix, needed=not path)
        return self._seen[path]

    def _record(self, path: str) -> ObjectRecord | None:
        parent, _, name = path.rpartition("/")
        known = self._get(parent)
        entry = known.files.get(name) if known is not None else None
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
