"""How an object becomes visible, moves and goes: each change one step for every reader, whatever dies in between.

A new object is written to a nameless file (O_TMPFILE) in the bucket's directory, gets its record and its time, and is
then linked to its name, or, where an object has that name, linked to a name in the staging area and moved over it.

Races, and why they end well. All changes of one key are made under its lock; what follows is about other keys.

* Put `a/b` while the object `a` is a file: the file is moved to its displaced name and a directory made in its place,
  both under the lock of `a`. A reader of `a` in between finds the displaced name. Should the process die in between,
  the object is where lookups find it.
* Put `a` while the directory `a` comes (put `a/b`) or goes (delete `a/b`): link and rename refuse a name that is a
  directory, atomically; then the displaced name is written. If the directory goes at that moment, `a` stays under its
  displaced name, which is as good. Nothing is ever moved back; the next put of `a` takes the natural name and then
  removes the displaced file, which nobody sees any more: the natural name wins.
* Delete `a` with both names in use (somebody died between those two steps): the displaced one goes first, so that the
  older object never comes to light again.
* Delete `a/b` removes directories that became empty, while put `a/c` goes on in them: rmdir only removes an empty
  directory; and nothing can be linked into a removed one, not even by a descriptor that was opened before. The put gets
  ENOENT, makes the directories again and repeats.
* Delete the bucket: its last step is rmdir of its directory. Either the put was linked before, then rmdir fails, or the
  put gets ENOENT and finds no bucket.

What has been made durable: the file's data and record before the step that makes it visible, the directory behind it
and the directories that were made for it before the put returns. Synchronizing happens in threads and under no lock.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from typing import Final

from backends.api import (
    KeyNotStorable,
    NoSuchObject,
    ObjectRecord,
    Precondition,
    StorageUnavailable,
)
from backends.offload import offload
from backends.posix.attributes import Records, sync_directory
from backends.posix.failures import failure, translated
from backends.posix.freeing import Freeing
from backends.posix.layout import Layout, Place
from backends.posix.locks import Locks
from backends.posix.opened import Finder, PosixObject
from backends.posix.parents import Parents
from backends.posix.staging import Staged, is_directory
from backends.posix.system import DIRECTORY_FLAGS, Opener, close, exchange

_ATTEMPTS: Final = 1000
"""How often a change starts over when others remove or make directories under its hands."""


class _Missing(Exception):
    """The parent directory does not exist."""


class _Blocked(Exception):
    """A file stands where a parent directory has to be."""


class _IsDirectory(Exception):
    """A directory has the name."""


class Publisher:
    """Publishes, moves and removes the objects below one DIR."""

    def __init__(
        self,
        layout: Layout,
        opener: Opener,
        records: Records,
        locks: Locks,
        finder: Finder,
        *,
        durable: bool,
        mode: int,
    ) -> None:
        self._layout = layout
        self._opener = opener
        self._records = records
        self._locks = locks
        self._finder = finder
        self._durable = durable
        self._mode = mode
        self._exchanges = True
        self._freeing = Freeing()

    @translated
    def find(self, place: Place) -> PosixObject | None:
        """Open the object at `place`; None when there is none."""
        return self._finder.find(place)

    @translated
    def find_locked(self, place: Place) -> PosixObject | None:
        """The same for who holds the key's lock."""
        return self._finder.find_locked(place)

    def _current(self, place: Place) -> ObjectRecord | None:
        found = self.find_locked(place)
        if found is None:
            return None
        found.close()
        return found.record

    # -- publishing

    def publish(self, staged: Staged, place: Place, precondition: Precondition) -> None:
        """Make a finished file the object of a key, if the precondition holds."""
        with self._parents() as made:
            directory = self._publish(staged, place, precondition, made)
        self._sync({directory, *made.changed})

    def _parents(self) -> Parents:
        return Parents(self._layout, self._mode)

    def _publish(self, staged: Staged, place: Place, precondition: Precondition, made: Parents) -> str:
        for _ in range(_ATTEMPTS):
            try:
                with self._locks.hold(place.lock):
                    if not precondition.always:
                        precondition.check(self._current(place))
                    directory = self._put_in_place(staged, place, made)
                    staged.published()
                return directory
            except _Missing:
                made.make(place.natural, place.bucket)
            except _Blocked:
                self._displace_ancestor(place, made)
        raise StorageUnavailable("the directories of a key keep changing")

    @translated
    def _put_in_place(self, staged: Staged, place: Place, made: Parents) -> str:
        """Give a staged file its name; returns the directory that has changed."""
        try:
            self._put_at(staged, place.natural)
        except _IsDirectory:
            displaced = place.displaced
            made.make(displaced, place.bucket)
            self._put_at(staged, displaced)
            return os.path.dirname(displaced)
        self._remove_displaced(place)
        return os.path.dirname(place.natural)

    def _remove_displaced(self, place: Place) -> set[str]:
        """Remove the file under the displaced name, which the natural one hides; returns what that changed."""
        displaced = place.displaced
        if not _remove(displaced) or os.path.dirname(displaced) == os.path.dirname(place.natural):
            return set()
        return {self._prune(displaced, place.bucket)}

    def _put_at(self, staged: Staged, path: str) -> None:
        directory, name = os.path.split(path)
        parent = self._open_parent(directory)
        try:
            if not staged.named:
                try:
                    staged.link(name, parent)
                    return
                except FileExistsError:
                    pass
                except FileNotFoundError:
                    raise _Missing from None
            self._replace(staged, name, parent)
        finally:
            close(parent)

    def _replace(self, staged: Staged, name: str, parent: int) -> None:
        try:
            old: os.stat_result | None = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            old = None
        if old is not None:
            self._must_be_replaceable(old)
        source = staged.name_it(self._layout)
        try:
            # ext4 starts to write out the data when one file is moved over another (100 us); not so in an exchange.
            if not self._durable and old is not None and self._exchanged(source, name, parent):
                self._freeing.unlink_replaced(source, old)
            else:
                self._freeing.rename(source, name, parent, old)
            staged.gone()
        except (IsADirectoryError, NotADirectoryError):
            raise _IsDirectory from None
        except FileNotFoundError:
            raise _Missing from None
        if old is not None:
            self._records.forget(old)

    def _exchanged(self, source: str, name: str, parent: int) -> bool:
        """Let the staged file and the old one change places; False where that cannot be done."""
        if not self._exchanges:
            return False
        try:
            exchange(source, name, parent)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                self._exchanges = False
                return False
            raise
        if is_directory(source):
            # Somebody who takes no locks made a directory of that name just now.
            exchange(source, name, parent)
            raise _IsDirectory
        return True

    def _must_be_replaceable(self, old: os.stat_result) -> None:
        if stat.S_ISDIR(old.st_mode):
            raise _IsDirectory
        if not (stat.S_ISREG(old.st_mode) or (self._opener.follow and stat.S_ISLNK(old.st_mode))):
            raise KeyNotStorable("something that is neither a file nor a directory has that name")

    def _open_parent(self, directory: str) -> int:
        try:
            return self._opener.open(directory, DIRECTORY_FLAGS)
        except FileNotFoundError:
            raise _Missing from None
        except NotADirectoryError:
            raise _Blocked from None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise KeyNotStorable("a symbolic link stands in the key's path") from None
            raise

    # -- directories

    @translated
    def _displace_ancestor(self, place: Place, made: Parents) -> None:
        """Move the object that stands where the key needs a directory to its displaced name."""
        segments = place.key.split("/")
        for count in range(1, len(segments)):
            ancestor = Place(place.bucket, "/".join(segments[:count]))
            try:
                status = os.lstat(ancestor.natural)
            except FileNotFoundError:
                return
            except NotADirectoryError:
                break
            if stat.S_ISDIR(status.st_mode):
                continue
            if not stat.S_ISREG(status.st_mode) or not ancestor.key:
                break
            with self._locks.hold(ancestor.lock):
                self._displace(ancestor, made)
            return
        else:
            return
        raise KeyNotStorable("something that is neither a directory nor an object stands in the key's path")

    def _displace(self, ancestor: Place, made: Parents) -> None:
        displaced = ancestor.displaced
        made.note(ancestor.natural)
        try:
            status = os.lstat(ancestor.natural)
            if not stat.S_ISREG(status.st_mode):
                return
            if os.path.dirname(displaced) != os.path.dirname(ancestor.natural):
                made.make(displaced, ancestor.bucket)
            self._records.renew(status)
            os.rename(ancestor.natural, displaced)
            os.mkdir(ancestor.natural, self._mode)
        except (FileNotFoundError, FileExistsError, NotADirectoryError):
            return
        made.add(ancestor.natural)
        made.add(displaced)

    def _prune(self, path: str, bucket: str) -> str:
        """Remove the directories above `path` that are empty; returns the first that stays."""
        directory = os.path.dirname(path)
        while directory != bucket:
            try:
                os.rmdir(directory)
            except FileNotFoundError:
                pass
            except OSError:
                # Not empty, most of the time; and whatever else it is, an empty directory harms nobody.
                return directory
            directory = os.path.dirname(directory)
        return directory

    def _sync(self, directories: Iterable[str]) -> None:
        if self._durable:
            offload(_sync_all, set(directories))

    # -- removing and moving

    def remove(self, place: Place, precondition: Precondition) -> ObjectRecord | None:
        """Remove an object, if the precondition holds; returns its record, None when there was none."""
        with self._locks.hold(place.lock):
            found = self.find_locked(place)
            if found is not None:
                found.close()
            if not precondition.always:
                precondition.check(found.record if found else None)
            if found is None:
                return None
            changed = self._unlink(found, place)
        self._sync(changed)
        return found.record

    @translated
    def _unlink(self, found: PosixObject, place: Place) -> set[str]:
        changed = self._remove_displaced(place) if found.path == place.natural else set()
        try:
            self._freeing.unlink(found.path, found.status)
        except FileNotFoundError:
            pass
        self._records.forget(found.status)
        changed.add(self._prune(found.path, place.bucket))
        return changed

    def move(
        self, source: Place, target: Place, source_precondition: Precondition, target_precondition: Precondition
    ) -> ObjectRecord:
        """Give an object another key in one step. Raises `NoSuchObject` and what the preconditions raise."""
        with self._parents() as made:
            found, changed = self._try_to_move(source, target, source_precondition, target_precondition, made)
        self._sync({*changed, *made.changed})
        return found.record

    def _try_to_move(
        self,
        source: Place,
        target: Place,
        source_precondition: Precondition,
        target_precondition: Precondition,
        made: Parents,
    ) -> tuple[PosixObject, set[str]]:
        for _ in range(_ATTEMPTS):
            try:
                with self._locks.hold(source.lock, target.lock):
                    found = self.find_locked(source)
                    if found is None:
                        raise NoSuchObject(source.key)
                    found.close()
                    source_precondition.check(found.record)
                    if not target_precondition.always:
                        target_precondition.check(self._current(target))
                    if source.key == target.key:
                        return found, set()
                    return found, self._move(found, source, target, made)
            except _Missing:
                made.make(target.natural, target.bucket)
            except _Blocked:
                self._displace_ancestor(target, made)
        raise StorageUnavailable("the directories of a key keep changing")

    @translated
    def _move(self, found: PosixObject, source: Place, target: Place, made: Parents) -> set[str]:
        if found.path == source.natural:
            self._remove_displaced(source)
        path = target.natural
        try:
            self._move_to(found, path)
            self._remove_displaced(target)
        except _IsDirectory:
            path = target.displaced
            made.make(path, target.bucket)
            self._move_to(found, path)
        return {os.path.dirname(path), self._prune(found.path, source.bucket)}

    def _move_to(self, found: PosixObject, path: str) -> None:
        directory, name = os.path.split(path)
        parent = self._open_parent(directory)
        try:
            try:
                old: os.stat_result | None = os.stat(name, dir_fd=parent, follow_symlinks=False)
            except FileNotFoundError:
                old = None
            if old is not None:
                self._must_be_replaceable(old)
            self._records.renew(found.status)
            try:
                self._freeing.rename(found.path, name, parent, old)
            except (IsADirectoryError, NotADirectoryError):
                raise _IsDirectory from None
            except FileNotFoundError:
                raise _Missing from None
            if old is None:
                return
            if (old.st_ino, old.st_dev) == (found.status.st_ino, found.status.st_dev):
                # Two hard links to one file: rename(2) then does nothing.
                _remove(found.path)
            else:
                self._records.forget(old)
        finally:
            close(parent)


def _remove(path: str) -> bool:
    # Most of the time there is nothing, and to look takes a quarter of what unlink takes to say so (1 us of 4).
    if not os.access(path, os.F_OK, follow_symlinks=False):
        return False
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _sync_all(directories: set[str]) -> None:
    try:
        for directory in directories:
            sync_directory(directory)
    except OSError as error:
        raise failure(error) from error
