"""The log of an upload's parts: what was stored, in the order of its storing.

One line for each part, the part's record; one line "- PLACE" for each part that was replaced. Lines are appended by
many processes, each under the file's lock for the time of one write, because not every file system appends atomically.
What a crash left of a line is no line: every entry begins with a line break of its own.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from typing import Final

from backends.api import NoSuchUpload, PartRecord, StorageUnavailable
from backends.offload import offload
from backends.posix.system import close
from backends.records import RecordError, decode_part, encode

_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
_DROPPED: Final = b"- "
_PATIENCE: Final = 10.0
_PAUSE: Final = 0.001


def log_part(path: str, part: PartRecord, *, durable: bool) -> None:
    """Note that a part is stored. Raises `NoSuchUpload` without a log, `OSError`; then the part may be noted or not."""
    _append(path, encode(part), durable=durable)


def log_dropped(path: str, place: str, *, durable: bool) -> None:
    """Note that the part at `place` does not count any more. Raises like `log_part`."""
    _append(path, _DROPPED + place.encode(), durable=durable)


def logged_parts(path: str) -> list[PartRecord]:
    """The parts of a log that were not dropped, in the order of their storing; none without a log. Raises `OSError`."""
    try:
        with open(path, "rb") as file:
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return []
    parts: dict[str, PartRecord] = {}
    for line in lines:
        if line.startswith(_DROPPED):
            parts.pop(line.removeprefix(_DROPPED).decode("ascii", "replace"), None)
        elif line:
            try:
                part = decode_part(line)
            except RecordError:
                # Cut off by a crash: it was never acknowledged.
                continue
            parts[part.place] = part
    return list(parts.values())


def _append(path: str, entry: bytes, *, durable: bool) -> None:
    try:
        descriptor = os.open(path, _FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        raise NoSuchUpload from None
    try:
        line = b"\n" + entry + b"\n"
        _lock(descriptor)
        try:
            if os.write(descriptor, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        if durable:
            offload(os.fdatasync, descriptor)
    finally:
        close(descriptor)


def _lock(descriptor: int) -> None:
    """Its holders hold it for one write. Raises `StorageUnavailable` when one hangs."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EINTR):
                raise
        if time.monotonic() > deadline:
            raise StorageUnavailable("another process holds the log of an upload for too long")
        time.sleep(_PAUSE)
