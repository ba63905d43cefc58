"""The names that change in watched directories, as the kernel queues them (inotify(7))."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from typing import Final

_libc = ctypes.CDLL(None, use_errno=True)
_add_watch = _libc.inotify_add_watch
_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
_rm_watch = _libc.inotify_rm_watch
_rm_watch.argtypes = (ctypes.c_int, ctypes.c_int)

_IN_MOVED_FROM: Final = 0x40
_IN_MOVED_TO: Final = 0x80
_IN_CREATE: Final = 0x100
_IN_DELETE: Final = 0x200
_IN_DELETE_SELF: Final = 0x400
_IN_MOVE_SELF: Final = 0x800
_IN_Q_OVERFLOW: Final = 0x4000
_IN_ONLYDIR: Final = 0x1000000
_NAMES: Final = _IN_MOVED_FROM | _IN_MOVED_TO | _IN_CREATE | _IN_DELETE
_WANTED: Final = _NAMES | _IN_DELETE_SELF | _IN_MOVE_SELF | _IN_ONLYDIR
_EVENT: Final = struct.Struct("iIII")
_BUFFER: Final = 1 << 18


class Watcher:
    """Watches directories. Not safe to be called from two threads at once."""

    def __init__(self) -> None:
        self._descriptor: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._watches: dict[str, tuple[int, int]] = {}
        self._paths: dict[int, set[str]] = {}

    def close(self) -> None:
        """Watch nothing any more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._watches.clear()
        self._paths.clear()

    def add(self, path: str, directory: int) -> bool:
        """Watch an open directory under the name `path`; as often as this is called, `remove` has to be.

        False where the kernel gives no watch (its limits are user.max_inotify_watches and _instances), or when another
        directory is being watched under that name.
        """
        if self._descriptor < 0:
            return False
        watch: int = _add_watch(self._descriptor, f"/proc/self/fd/{directory}".encode(), _WANTED)
        if watch < 0:
            return False
        known, count = self._watches.get(path, (watch, 0))
        if known != watch:
            if watch not in self._paths:
                _rm_watch(self._descriptor, watch)
            return False
        self._watches[path] = (watch, count + 1)
        self._paths.setdefault(watch, set()).add(path)
        return True

    def remove(self, path: str) -> None:
        """Take one `add` back."""
        watch, count = self._watches.get(path, (-1, 0))
        if count > 1:
            self._watches[path] = (watch, count - 1)
        elif count == 1:
            del self._watches[path]
            paths = self._paths.get(watch, set())
            paths.discard(path)
            if not paths:
                self._paths.pop(watch, None)
                _rm_watch(self._descriptor, watch)

    def changes(self) -> Iterator[tuple[str | None, str | None]]:
        """What changed since the last call: (path, name), the name None when the directory itself moved or went.

        (None, None) says that the kernel's queue overflowed: anything may have changed.
        """
        while self._descriptor >= 0:
            try:
                data = os.read(self._descriptor, _BUFFER)
            except BlockingIOError:
                return
            position = 0
            while position < len(data):
                watch, mask, _, length = _EVENT.unpack_from(data, position)
                position += _EVENT.size
                raw = data[position : position + length]
                position += length
                if mask & _IN_Q_OVERFLOW:
                    yield None, None
                name = os.fsdecode(raw.rstrip(b"\0")) if mask & _NAMES else None
                for path in self._paths.get(watch, ()):
                    yield path, name
