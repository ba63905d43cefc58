"""The directories that a change makes above a key: noted before, so that they go if nothing is ever put into them.

A process that dies between making directories and linking its file leaves directories that hold nothing. Nobody looks
for them, since that would be a walk through all buckets. Instead a small file says beforehand where they will be; it is
removed when the change is done, and whatever the sweep finds old belongs to the dead. A change into a directory that is
there writes no note and makes no system call for it. A note is a regular file because all file systems have those: to
make and remove one takes 21 us on ext4, a symbolic link with 80 bytes of path 74 us.

The sweep only calls rmdir(2), which refuses a directory that holds anything. Should somebody be about to put a file
into that directory, this fails by ENOENT, and the put makes the directory again, with a new note.
"""

from __future__ import annotations

import os
from types import TracebackType

from backends.api import NoSuchBucket
from backends.faultpoints import reach
from backends.posix.failures import MISSING, translated
from backends.posix.layout import Layout
from backends.posix.staging import is_directory
from backends.posix.system import DIRECTORY_FLAGS, Opener, close


class Parents:
    """What one change makes above its keys. At its end the notes go, and after a failure what was made, too."""

    __slots__ = ("_layout", "_made", "_mode", "_notes")

    def __init__(self, layout: Layout, mode: int) -> None:
        self._layout = layout
        self._mode = mode
        self._made: list[str] = []
        self._notes: list[str] = []

    def __enter__(self) -> Parents:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            # Directories that were made for nothing would use up the inodes of a full disk.
            self._remove_empty()
        for note in self._notes:
            _unlink(note)

    @property
    def changed(self) -> set[str]:
        """The directories in which something was made."""
        return {os.path.dirname(path) for path in self._made}

    def add(self, path: str) -> None:
        """Say that something was made without `make`."""
        self._made.append(path)

    @translated
    def make(self, path: str, bucket: str) -> None:
        """Make the missing directories above `path`, up to the bucket's own. Raises `NoSuchBucket`."""
        missing = [os.path.dirname(path)]
        if is_directory(missing[0]):
            return
        self.note(missing[0])
        while missing:
            if missing[-1] == bucket:
                if not is_directory(bucket):
                    raise NoSuchBucket
                missing.pop()
                continue
            try:
                os.mkdir(missing[-1], self._mode)
            except FileNotFoundError:
                missing.append(os.path.dirname(missing[-1]))
                continue
            except (FileExistsError, NotADirectoryError):
                # A file may be in the way; the caller sees to that, or starts over when the directory goes again.
                pass
            else:
                self._made.append(missing[-1])
            missing.pop()
        reach("posix.parents.made")

    @translated
    def note(self, directory: str) -> None:
        """Write down that this directory, and maybe some above it, will be made."""
        path = self._layout.note()
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        self._notes.append(path)
        try:
            # One write: a note that is cut off by a full disk raises here, and one by a crash was for no directory yet.
            os.write(descriptor, os.fsencode(directory[len(self._layout.root) + 1 :]))
        finally:
            close(descriptor)

    def _remove_empty(self) -> None:
        for path in reversed(self._made):
            try:
                os.rmdir(path)
            except OSError:
                # In use by now, or gone, or the displaced object.
                pass


def remove_noted(layout: Layout, opener: Opener, note: str) -> int:
    """Remove the directories that a dead process has noted, as far as they are empty, and the note; returns how many.

    Raises `OSError`: of it `FileNotFoundError` when somebody else was faster.
    """
    with open(note, "rb") as file:
        path = os.fsdecode(file.read())
    removed = 0
    # A name without a slash is the bucket's own directory, which stays.
    while "/" in path:
        path, name = path.rsplit("/", 1)
        try:
            parent = opener.open(f"{layout.root}/{path}", DIRECTORY_FLAGS)
        except OSError as error:
            if error.errno in MISSING:
                continue
            raise
        try:
            os.rmdir(name, dir_fd=parent)
            removed += 1
        except FileNotFoundError:
            pass
        except OSError:
            # It holds something, so those above it do, too.
            break
        finally:
            close(parent)
    os.unlink(note)
    return removed


def _unlink(note: str) -> None:
    try:
        os.unlink(note)
    except OSError:
        # The sweep was faster, or will find it.
        pass
