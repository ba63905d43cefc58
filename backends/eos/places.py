"""Where the object of a key is.

An object has its key's natural path unless that is a directory: then it is displaced (`backends/hierarchy/names.py`).
"""

from __future__ import annotations

import time
from typing import Final

from backends.api import NoSuchBucket, StorageUnavailable
from backends.eos.failures import Exists, Missing
from backends.eos.interfaces import Entry, Role
from backends.eos.layout import NAMES, key_lock
from backends.eos.locks import Locks
from backends.eos.moving import finish
from backends.eos.namespace import Namespace
from backends.eos.registry import Registry

_TRIES: Final = 10
_PAUSE: Final = 0.05


class Place:
    """A key in a bucket, and its two paths."""

    __slots__ = ("_displaced", "bucket", "key", "natural", "root")

    def __init__(self, bucket: str, root: str, key: str) -> None:
        self.bucket = bucket
        self.root = root
        self.key = key
        self.natural = f"{root}/{NAMES.path(key)}"
        self._displaced = ""

    @property
    def displaced(self) -> str:
        """The path where a directory has the natural one."""
        if not self._displaced:
            self._displaced = f"{self.root}/{NAMES.displaced(self.key)}"
        return self._displaced


class Places:
    """Finds objects, and makes and removes the directories that they are in."""

    def __init__(self, namespace: Namespace, registry: Registry, locks: Locks) -> None:
        self._namespace: Final = namespace
        self._registry: Final = registry
        self._locks: Final = locks

    def place(self, bucket: str, key: str) -> Place:
        """The place of a key. Raises `NoSuchBucket`."""
        return Place(bucket, self._registry.root(bucket), key)

    def find(self, role: Role, place: Place) -> Entry | None:
        """The file of an object, None when there is none. Raises `PermissionDenied`.

        Symbolic links are no objects: EOS follows them, and what is found then has another path.
        """
        entry = self._namespace.stat(role, place.natural)
        if entry is not None and not entry.directory:
            return entry if entry.path == place.natural and not entry.link else None
        # A file only ever goes from its natural path to the displaced one, so that this order misses none.
        entry = self._namespace.stat(role, place.displaced)
        if entry is not None and not entry.directory and entry.path == place.displaced and not entry.link:
            return entry
        return None

    def find_patiently(self, role: Role, place: Place) -> Entry | None:
        """The same, for readers: also when the object is just being replaced by a rename.

        One that nobody goes on with is ended by who reads, once it has been seen for as long as a lock lasts.
        """
        entry = self.find(role, place)
        pause = _PAUSE
        for _ in range(_TRIES):
            if entry is not None:
                return entry
            if not self._locks.noted(key_lock(place.bucket, place.key), self._finish):
                # What was away for a moment may be there, and its note gone, since the first look.
                return self.find(role, place)
            time.sleep(pause)
            pause *= 1.5
            entry = self.find(role, place)
        if entry is None:
            raise StorageUnavailable("the object is being replaced", retry_after=1)
        return entry

    def _finish(self, note: bytes) -> None:
        finish(self._namespace, note)

    def target(self, role: Role, place: Place) -> str:
        """The path that a file may be renamed to: a rename onto a directory would move it inside."""
        entry = self._namespace.stat(role, place.natural)
        return place.displaced if entry is not None and entry.directory else place.natural

    def make_parents(self, role: Role, place: Place, path: str) -> None:
        """Make the directories of a path. An object that bears the name of one is moved to its displaced path."""
        parent = path.rpartition("/")[0]
        for _ in range(_TRIES):
            try:
                self._namespace.make_directories(role, parent, below=place.root)
            except Exists:
                self._displace_above(role, place, parent)
            except NoSuchBucket:
                raise NoSuchBucket(place.bucket) from None
            else:
                return

    def _displace_above(self, role: Role, place: Place, parent: str) -> None:
        """Make way for a directory: the file in its place keeps its key."""
        path = place.root
        for name in parent[len(place.root) + 1 :].split("/"):
            path = f"{path}/{name}"
            entry = self._namespace.stat(role, path)
            if entry is None:
                return
            if not entry.directory:
                # One at a time: who comes second would move the directory that the first one has made.
                with self._locks.hold(f"displacement {path}"):
                    self._displace(role, place, path)
                return

    def _displace(self, role: Role, place: Place, path: str) -> None:
        entry = self._namespace.stat(role, path)
        if entry is None or entry.directory:
            return
        key = NAMES.key(path[len(place.root) + 1 :])
        if key is None:
            raise StorageUnavailable(f"{path} is in the way of a directory")
        target = Place(place.bucket, place.root, key).displaced
        older = self._namespace.stat(role, target)
        if older is not None and not older.directory:
            # Hidden by this file since its directory has gone.
            self._namespace.unlink(role, target)
        try:
            self._namespace.rename(role, path, target)
        except (Missing, Exists):
            return
        moved = self._namespace.stat(role, target)
        if moved is not None and moved.directory:
            # The file was deleted and a directory made in this moment.
            self._namespace.rename(role, target, path)

    def prune(self, role: Role, place: Place, path: str) -> None:
        """Remove the directories that an object leaves empty, up to the bucket's own."""
        parent = path.rpartition("/")[0]
        while len(parent) > len(place.root) and self._namespace.remove_directory(role, parent):
            parent = parent.rpartition("/")[0]
