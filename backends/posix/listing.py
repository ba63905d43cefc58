"""Directories as listings see them, remembered while they are unchanged.

What a worker remembers of a directory is good while the directory has the same inode number and times. Kernels take
times from a clock that steps every few milliseconds, so two changes within one step leave the same time behind; what
was read of a directory that changed less than `SETTLED` before is therefore read again next time. That keeps the
promise that an acknowledged put is in the next listing, whichever worker has made it.

Large directories in which others write all the time would be read again for every page. Those are watched (inotify)
where the file system is local: the kernel queues the name of each change before the system call that makes it
returns, and only these names are looked at again.
"""

from __future__ import annotations

import os
import stat
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from gevent import monkey

from backends.api import ObjectRecord, StorageUnavailable
from backends.hierarchy import DEFAULT_NAMES, Directory, Kind, build_directory, is_utf8
from backends.offload import offload
from backends.posix.attributes import RecordMoved, Records, derived_record
from backends.posix.failures import MISSING, translated
from backends.posix.layout import Place
from backends.posix.opened import Finder
from backends.posix.system import DIRECTORY_FLAGS, Opener, close
from backends.posix.watching import Watcher

SETTLED: Final = 100_000_000
"""Nanoseconds: more than a step of the clock (4 to 10 ms) and than any thread sleeps between its clock and its look."""

SETTLED_REMOTE: Final = 5_000_000_000
"""The same where a server with a clock of its own sets the times."""

WATCHED: Final = 16 << 10
"""Bytes of a directory, as stat(2) tells them, from which it is watched: some hundred names on most file systems. Each
change then costs one lstat, where reading the directory anew would cost a millisecond and more."""

_MANY_CHANGES: Final = 10_000
"""From so many changed names on, reading the directory is cheaper than looking at each."""

_FEW: Final = 16
"""Records that are read where they are asked for; a thread costs as much as four."""

_allocate_lock: Final = monkey.get_original("_thread", "allocate_lock")


class Remembered:
    """A directory as it was read. `changed` are the names to be looked at again, None when it must be read again."""

    __slots__ = ("changed", "directory", "identity", "settled", "stamp", "watched")

    def __init__(self, status: os.stat_result, *, settled: bool) -> None:
        self.directory = Directory([], {}, [])
        self.identity = (status.st_dev, status.st_ino)
        self.stamp = (status.st_mtime_ns, status.st_ctime_ns)
        self.settled = settled
        self.watched = False
        self.changed: set[str] | None = set()


class Directories:
    """Reads directories and remembers them, `limit` names in all."""

    def __init__(self, opener: Opener, *, limit: int, watch: bool, local: bool) -> None:
        self._opener = opener
        self._limit = limit
        self._settled_after = SETTLED if local else SETTLED_REMOTE
        self._remembered: OrderedDict[str, Remembered] = OrderedDict()
        self._reading: dict[str, list[Remembered]] = {}
        self._size = 0
        # A real lock, also in a worker: it is held for short steps without a switch between greenlets.
        self._lock = _allocate_lock()
        self._watcher = Watcher() if watch and local else None

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._remembered.clear()
            self._size = 0
            if self._watcher is not None:
                self._watcher.close()
                self._watcher = None

    def get(self, path: str) -> Directory | None:
        """The directory as it is now; None when there is none that may be read. Raises `OSError`."""
        try:
            status = os.stat(path) if self._opener.follow else os.lstat(path)
        except OSError as error:
            if error.errno in MISSING:
                return None
            raise
        with self._lock:
            self._collect_changes()
            known = self._remembered.get(path)
            if known is not None:
                if self._is_current(path, known, status):
                    self._remembered.move_to_end(path)
                    return known.directory
                self._forget(path)
        return offload(self._read, path)

    def _is_current(self, path: str, known: Remembered, status: os.stat_result) -> bool:
        if known.identity != (status.st_dev, status.st_ino):
            return False
        if not known.watched:
            return known.settled and known.stamp == (status.st_mtime_ns, status.st_ctime_ns)
        if known.changed is None or len(known.changed) > _MANY_CHANGES:
            return False
        if known.changed:
            names, known.changed = known.changed, set()
            kinds = {name: self._kind(f"{path}/{name}") for name in names}
            directory = known.directory.changed(kinds, DEFAULT_NAMES)
            if directory is None:
                return False
            self._size += len(directory) - len(known.directory)
            known.directory = directory
        return True

    def _kind(self, path: str) -> bool | None:
        try:
            mode = os.stat(path, follow_symlinks=self._opener.follow).st_mode
        except OSError:
            return None
        return True if stat.S_ISDIR(mode) else False if stat.S_ISREG(mode) else None

    def _collect_changes(self) -> None:
        if self._watcher is None:
            return
        for path, name in self._watcher.changes():
            paths = (path,) if path is not None else {*self._remembered, *self._reading}
            for each in paths:
                for known in (self._remembered.get(each), *self._reading.get(each, ())):
                    if known is not None and known.changed is not None:
                        if name is None:
                            known.changed = None
                        else:
                            known.changed.add(name)

    def _read(self, path: str) -> Directory | None:
        try:
            descriptor = self._opener.open(path, DIRECTORY_FLAGS)
        except OSError as error:
            if error.errno in MISSING or isinstance(error, PermissionError):
                # What the gateway may not read is not there for its clients.
                return None
            raise
        try:
            before = time.time_ns()
            status = os.fstat(descriptor)
            settled = max(status.st_mtime_ns, status.st_ctime_ns) < before - self._settled_after
            known = Remembered(status, settled=settled)
            self._watch(path, descriptor, known)
            try:
                known.directory = self._names(descriptor)
            except BaseException:
                self._stop_reading(path, known)
                raise
        finally:
            close(descriptor)
        self._remember(path, known)
        return known.directory

    def _names(self, descriptor: int) -> Directory:
        files: list[str] = []
        directories: list[str] = []
        follow = self._opener.follow
        with os.scandir(descriptor) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=follow):
                    files.append(entry.name)
                elif entry.is_dir(follow_symlinks=follow):
                    directories.append(entry.name)
        return build_directory(files, directories, DEFAULT_NAMES)

    def _watch(self, path: str, descriptor: int, known: Remembered) -> None:
        """Watch a large directory before it is read: what changes from now on is told, what changed before is read."""
        if self._watcher is None or os.fstat(descriptor).st_size < WATCHED:
            return
        with self._lock:
            if self._watcher is not None and self._watcher.add(path, descriptor):
                known.watched = True
                self._reading.setdefault(path, []).append(known)

    def _stop_reading(self, path: str, known: Remembered) -> None:
        with self._lock:
            self._no_longer_reading(path, known)
            if known.watched and self._watcher is not None:
                self._watcher.remove(path)

    def _no_longer_reading(self, path: str, known: Remembered) -> None:
        if known.watched:
            readers = self._reading[path]
            readers.remove(known)
            if not readers:
                del self._reading[path]

    def _remember(self, path: str, known: Remembered) -> None:
        with self._lock:
            self._no_longer_reading(path, known)
            self._forget(path)
            self._remembered[path] = known
            self._size += len(known.directory)
            # The latest one stays even if it is too large by itself: a listing walks through it page by page.
            while self._size > self._limit and len(self._remembered) > 1:
                self._forget(next(iter(self._remembered)))

    def _forget(self, path: str) -> None:
        known = self._remembered.pop(path, None)
        if known is not None:
            self._size -= len(known.directory)
            if known.watched and self._watcher is not None:
                self._watcher.remove(path)


class BucketTree:
    """One bucket as `backends.hierarchy` wants to see it."""

    def __init__(self, bucket: str, directories: Directories, opener: Opener, records: Records, finder: Finder) -> None:
        self._bucket = bucket
        self._directories = directories
        self._opener = opener
        self._records = records
        self._finder = finder

    @translated
    def directory(self, path: str, prefix: str, start: str) -> Directory | None:
        """The entries of a directory as they are now; None when it is missing or may not be read."""
        return self._directories.get(f"{self._bucket}/{path}" if path else self._bucket)

    def records(self, paths: Sequence[str]) -> Sequence[ObjectRecord | None]:
        """The records of the objects at these paths; None for one that is gone or is no object."""
        if len(paths) > _FEW:
            return offload(self._all_records, paths)
        return self._all_records(paths)

    @translated
    def _all_records(self, paths: Sequence[str]) -> list[ObjectRecord | None]:
        return [self._record(path) for path in paths]

    def _record(self, path: str) -> ObjectRecord | None:
        full = f"{self._bucket}/{path}"
        try:
            status = os.lstat(full)
            if stat.S_ISREG(status.st_mode):
                record = self._records.read_path(full, status)
                if record is not None:
                    return record
        except (OSError, RecordMoved):
            pass
        except StorageUnavailable:
            # One damaged record must not hide all others; reading the object itself tells of it.
            return derived_record(status)
        # Replaced between the two calls, moved to its other path, foreign, or gone: an open file tells.
        key = DEFAULT_NAMES.key(path)
        found = self._finder.find(Place(self._bucket, key)) if key else None
        if found is None:
            return None
        found.close()
        return found.record

    def occupied(self, paths: Sequence[str]) -> Sequence[bool]:
        """Whether these directories have an object anywhere below."""
        return offload(self._all_occupied, paths) if paths else ()

    @translated
    def _all_occupied(self, paths: Sequence[str]) -> list[bool]:
        return [holds_objects(self._opener, f"{self._bucket}/{path}") for path in paths]


def holds_objects(opener: Opener, root: str) -> bool:
    """Whether an object lies anywhere below a directory. Raises `OSError`."""
    waiting = [root]
    while waiting:
        path = waiting.pop()
        try:
            descriptor = opener.open(path, DIRECTORY_FLAGS)
        except OSError as error:
            if error.errno in MISSING or isinstance(error, PermissionError):
                continue
            raise
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    if entry.is_file(follow_symlinks=opener.follow):
                        decoded = DEFAULT_NAMES.decode(entry.name) if is_utf8(entry.name) else None
                        if decoded and decoded[1] is not Kind.CONTINUED:
                            return True
                    elif entry.is_dir(follow_symlinks=opener.follow):
                        waiting.append(f"{path}/{entry.name}")
        finally:
            close(descriptor)
    return False
