"""Locks that all gateways of one state directory share.

A lock is an attribute of one of a few files, set in the mode that fails where it is there already: EOS does that in one
step. Its value names the holder. A holder that dies leaves the lock; whoever waits for it and sees the same value for
the length of a lease takes it away. So that this never meets a holder that is only slow, a holder counts from before
its request, and gives back (or renews) only within half a lease: what comes later is left to expire.

The value may say what is being done, so that whoever takes the lock away can end it (`publishing.py`).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from hashlib import blake2b
from typing import Final

from backends.api import BackendError, StorageUnavailable
from backends.eos.channel import Uncertain
from backends.eos.failures import Exists, Missing, NoAttribute
from backends.eos.interfaces import Role
from backends.eos.namespace import Namespace

_FILES: Final = 64
_REMEMBERED: Final = 10_000
_PREFIX: Final = "user.lock."
_BREAKER: Final = "user.break."
_FIRST_PAUSE: Final = 0.004
_LONGEST_PAUSE: Final = 0.1
_SEPARATOR: Final = b" "

Finisher = Callable[[bytes], None]
"""Ends what a dead holder was doing, given the note that it left."""


class Held:
    """A lock that is held."""

    def __init__(self, locks: Locks, file: str, name: str, token: bytes, since: float) -> None:
        self._locks = locks
        self._file = file
        self._name = name
        self._token = token
        self._since = since
        self._noted = False
        self._left = False

    @property
    def safe(self) -> bool:
        """Whether there is time enough left that nobody takes it away during a short step."""
        return time.monotonic() < self._since + self._locks.lease / 2

    def note(self, note: bytes) -> None:
        """Leave a note of what is done next, for whoever has to end it; it also renews the lock.

        Raises `StorageUnavailable` when the lock is too old for that.
        """
        if not self.safe:
            raise StorageUnavailable("a lock ran out before the change could be published", retry_after=1)
        now = time.monotonic()
        self._noted = self._noted or bool(note)
        self._locks.write(self._file, self._name, self._token + _SEPARATOR + note if note else self._token)
        self._since = now

    def withdraw(self) -> None:
        """Take the note away: nothing of what it says was done, nor will be. Raises like `note`."""
        self.note(b"")
        self._noted = False

    def leave(self) -> bool:
        """Where there is a note, let the lock expire with it: somebody else is to end what it says. False for none."""
        self._left = self._noted
        return self._left

    def release(self) -> None:
        """Give it back, or leave it to expire."""
        if self.safe and not self._left:
            self._locks.remove(self._file, [self._name])


class Locks:
    """All locks of one state directory."""

    def __init__(self, namespace: Namespace, role: Role, directory: str, lease: float, patience: float) -> None:
        self._namespace: Final = namespace
        self._role: Final = role
        self._directory: Final = directory
        self.lease: Final = lease
        self._patience: Final = patience
        self._local: Final[dict[str, list[int | threading.Lock]]] = {}
        self._guard: Final = threading.Lock()
        self._observed: dict[tuple[str, str, bytes], float] = {}

    @contextmanager
    def hold(self, *keys: str, finish: Finisher | None = None) -> Iterator[list[Held]]:
        """Hold the locks of these keys, in whatever order they are named, against every gateway."""
        with ExitStack() as stack:
            held: list[Held] = []
            for key in sorted(set(keys)):
                stack.enter_context(self.hold_here(key))
                lock = self._acquire(key, finish)
                stack.callback(lock.release)
                held.append(lock)
            yield held

    @contextmanager
    def hold_here(self, key: str) -> Iterator[None]:
        """Hold the lock of a key against the other greenlets of this process only."""
        with self._guard:
            place = self._local.setdefault(key, [threading.Lock(), 0])
            place[1] += 1  # type: ignore[operator]
        lock = place[0]
        assert not isinstance(lock, int)  # noqa: S101 -- the list holds a lock and a count
        try:
            with lock:
                yield
        finally:
            with self._guard:
                place[1] -= 1  # type: ignore[operator]
                if not place[1]:
                    del self._local[key]

    def noted(self, key: str, finish: Finisher | None = None) -> bytes | None:
        """The note that the present holder of a lock has left; None when nobody holds it, or without a note.

        With `finish`, what is the same a lease after it was first seen here is ended.
        """
        file, name = self._place(key)
        value = self._value(file, name)
        note = value.partition(_SEPARATOR)[2] if value else b""
        if not value or not note:
            return None
        if finish is None:
            return note
        if len(self._observed) > _REMEMBERED:
            self._observed.clear()
        age = time.monotonic() - self._observed.setdefault((file, name, value), time.monotonic())
        if age > self.lease:
            self._take_away(file, name, value, finish, alone=age > 2 * self.lease)
        return note

    def sweep(self, finish: Finisher) -> int:
        """Take away what dead holders left and nobody asks for: what was the same a lease ago, by this process's clock.

        Ends what they were doing. Safe in several processes at once. Returns the number of locks.
        """
        now = time.monotonic()
        removed = 0
        seen: dict[tuple[str, str, bytes], float] = {}
        for entry in self._namespace.find(self._role, self._directory):
            for name, value in entry.attributes.items():
                if not name.startswith((_PREFIX, _BREAKER)):
                    continue
                since = self._observed.get((entry.path, name, value), now)
                if now - since <= self.lease:
                    seen[entry.path, name, value] = since
                elif name.startswith(_PREFIX):
                    self._take_away(entry.path, name, value, finish, alone=now - since > 2 * self.lease)
                    removed += 1
                else:
                    self.remove(entry.path, [name])
        self._observed = seen
        return removed

    def _place(self, key: str) -> tuple[str, str]:
        digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return f"{self._directory}/{int(digest[:4], 16) % _FILES:02d}", _PREFIX + digest

    def _acquire(self, key: str, finish: Finisher | None) -> Held:
        file, name = self._place(key)
        token = os.urandom(8).hex().encode()
        started = time.monotonic()
        seen, since = None, started
        pause = _FIRST_PAUSE
        while True:
            before = time.monotonic()
            try:
                if self._set(file, name, token):
                    return Held(self, file, name, token, before)
            except Uncertain:
                pass
            current = self._value(file, name)
            if current == token:
                return Held(self, file, name, token, before)
            now = time.monotonic()
            if current is None:
                continue
            if current != seen:
                seen, since = current, now
            elif now - since > self.lease:
                self._take_away(file, name, current, finish, alone=now - since > 2 * self.lease)
                continue
            if now - started > self._patience:
                raise StorageUnavailable("another change of the same name is taking too long", retry_after=1)
            time.sleep(pause * (0.5 + os.urandom(1)[0] / 256))
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _set(self, file: str, name: str, token: bytes) -> bool:
        try:
            self._namespace.set_attributes(self._role, file, {name: token}, create=True)
        except Exists:
            return False
        except Missing:
            self._namespace.touch(self._role, file)
            return False
        return True

    def _value(self, file: str, name: str) -> bytes | None:
        entry = self._namespace.stat(self._role, file)
        return entry.attributes.get(name) if entry is not None else None

    def write(self, file: str, name: str, value: bytes) -> None:
        """Change the value of a lock that is held."""
        self._namespace.set_attributes(self._role, file, {name: value})

    def remove(self, file: str, names: list[str]) -> None:
        """Remove attributes; what fails is left to expire."""
        with suppress(NoAttribute, Missing, StorageUnavailable):
            self._namespace.set_attributes(self._role, file, remove=names)

    def _take_away(self, file: str, name: str, value: bytes, finish: Finisher | None, *, alone: bool) -> None:
        """Remove a dead holder's lock. One of many that try does it; `alone` when that one died as well."""
        claim = f"{_BREAKER}{name.removeprefix(_PREFIX)}.{value.partition(_SEPARATOR)[0].decode('ascii', 'replace')}"
        if not self._set(file, claim, b"1") and not alone:
            time.sleep(_LONGEST_PAUSE)
            return
        if self._value(file, name) != value:
            self.remove(file, [claim])
            return
        note = value.partition(_SEPARATOR)[2]
        if note and finish is not None:
            try:
                finish(note)
            except StorageUnavailable:
                # Not now: the next one who finds it does it.
                self.remove(file, [claim])
                return
            except BackendError:
                # Nor ever.
                pass
        self.remove(file, [name])
        self.remove(file, [claim])
