"""What dead processes left behind, and its removal. Safe beside living ones, and in several processes at once."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import time

from backends.posix.attributes import ATTRIBUTE, Records
from backends.posix.documents import bucket_lock
from backends.posix.layout import Layout, is_bucket_name
from backends.posix.locks import Locks
from backends.posix.parents import remove_noted
from backends.posix.staging import is_directory
from backends.posix.system import Opener, close


class Sweeper:
    """Cleans up below one DIR."""

    def __init__(self, layout: Layout, opener: Opener, locks: Locks, records: Records) -> None:
        self._layout = layout
        self._opener = opener
        self._locks = locks
        self._records = records

    def sweep(self, older_than: float) -> int:
        """Remove what was left behind at least `older_than` seconds ago; returns how many things. Raises `OSError`."""
        before = time.time() - older_than
        return (
            self._staged(before)
            + self._directories(before)
            + self._half_made_buckets(before)
            + self._uploads_without_bucket(before)
            + self._orphaned_records(before)
        )

    def _staged(self, before: float) -> int:
        removed = 0
        for path in _children(self._layout.staging):
            try:
                status = os.lstat(path)
                if status.st_ctime > before:
                    continue
                if stat.S_ISDIR(status.st_mode):
                    shutil.rmtree(path)
                elif _is_abandoned(path):
                    os.unlink(path)
                else:
                    continue
            except FileNotFoundError:
                continue
            removed += 1
        return removed

    def _directories(self, before: float) -> int:
        """Empty directories whose makers died before they put anything into them."""
        removed = 0
        for note in _children(self._layout.making):
            if _changed(note) <= before:
                try:
                    removed += remove_noted(self._layout, self._opener, note)
                except FileNotFoundError:
                    continue
        return removed

    def _half_made_buckets(self, before: float) -> int:
        """What is known of buckets that do not exist: their making or removal was not finished."""
        removed = 0
        for about in _children(self._layout.buckets):
            bucket = os.path.basename(about)
            if not is_bucket_name(bucket):
                continue
            with self._locks.hold(bucket_lock(bucket)):
                try:
                    if os.lstat(about).st_ctime > before or is_directory(self._layout.bucket(bucket)):
                        continue
                    staged = self._layout.staged()
                    os.rename(about, staged)
                    shutil.rmtree(staged)
                except FileNotFoundError:
                    continue
            removed += 1
        return removed

    def _uploads_without_bucket(self, before: float) -> int:
        """Uploads whose bucket was removed while they were begun."""
        removed = 0
        for directory in _children(self._layout.uploads):
            if _changed(directory) <= before and not is_directory(self._layout.bucket(os.path.basename(directory))):
                staged = self._layout.staged()
                try:
                    os.rename(directory, staged)
                except FileNotFoundError:
                    continue
                shutil.rmtree(staged)
                removed += 1
        return removed

    def _orphaned_records(self, before: float) -> int:
        """Records in files of their own whose object is gone. Looks at every object, if there is any such record."""
        old = {
            os.path.basename(path): path
            for directory in _children(self._layout.records)
            for path in _children(directory)
            if _changed(path) < before
        }
        if not old:
            return 0
        for root in _children(self._layout.root):
            if root != self._layout.hidden and old:
                self._leave_out_the_used(root, old)
        removed = 0
        for path in old.values():
            # The walk misses an object that moves to where it has been already; moving has renewed the record.
            if _changed(path) < before:
                try:
                    os.unlink(path)
                except FileNotFoundError:
                    continue
                removed += 1
        return removed

    def _leave_out_the_used(self, root: str, old: dict[str, str]) -> None:
        for directory, _, names in os.walk(root):
            for name in names:
                path = f"{directory}/{name}"
                try:
                    pointer = os.getxattr(path, ATTRIBUTE, follow_symlinks=False)
                except OSError:
                    pointer = b""
                try:
                    used = self._records.name_of(pointer, os.lstat(path))
                except FileNotFoundError:
                    continue
                old.pop(used, None)


def _children(directory: str) -> list[str]:
    try:
        return [f"{directory}/{name}" for name in os.listdir(directory)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _changed(path: str) -> float:
    try:
        return os.lstat(path).st_ctime
    except FileNotFoundError:
        return float("inf")


def _is_abandoned(path: str) -> bool:
    """Whether nobody has the staged file open: who writes one holds its lock."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        close(descriptor)
    return True
