"""Bodies for `put_object`: well-behaved ones, slow ones and broken ones, all of which watch how they are read."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable
from typing import Any

from gevent import monkey

from backends.api import ObjectRecord

this_thread: Callable[[], int] = monkey.get_original("_thread", "get_ident")
"""The real thread, whether gevent has patched the process or not."""


def content(size: int, seed: int = 0) -> bytes:
    """Bytes in which no block looks like another."""
    return random.Random(size * 1000 + seed).randbytes(size)


def record_of(data: bytes, **fields: Any) -> ObjectRecord:
    """A record that fits the data."""
    fields.setdefault("etag", hashlib.md5(data, usedforsecurity=False).hexdigest())
    fields.setdefault("modified", 1_700_000_000_000_000_000)
    return ObjectRecord(size=len(data), **fields)


class Body:
    """A source that gives `data`, at most `step` bytes at a time.

    Attributes:
        length: what it announces.
        faults: what its reader did against the contract, one line each.
        thread: the thread that calls put_object, in which alone the body may be read; None where nobody minds.
    """

    def __init__(
        self, data: bytes, record: ObjectRecord | None = None, *, announced: int | None = -1, step: int = 1 << 30
    ) -> None:
        self.length = len(data) if announced == -1 else announced
        self.faults: list[str] = []
        self._record = record or record_of(data)
        self._data = data
        self._step = step
        self._position = 0
        self._ended = False
        self.thread: int | None = None

    def read(self, size: int, /) -> bytes:
        """The next bytes."""
        self._watch("read")
        if size <= 0:
            self.faults.append(f"read({size}) asks for nothing")
        block = self._data[self._position : self._position + min(size, self._step)]
        self._position += len(block)
        self._ended = self._ended or not block
        return block

    def record(self) -> ObjectRecord:
        """The record."""
        self._watch("record")
        if not self._ended:
            self.faults.append("record() was called before read() gave b''")
        return self._record

    def _watch(self, method: str) -> None:
        if self.thread not in (None, this_thread()):
            self.faults.append(f"{method}() was called in another thread than put_object()")


class HookedBody(Body):
    """Calls `hook` once, after the first block was given: what it does happens in the middle of the put."""

    def __init__(self, data: bytes, hook: Callable[[], object], **options: Any) -> None:
        super().__init__(data, step=max(1, len(data) // 2), **options)
        self._hook: Callable[[], object] | None = hook

    def read(self, size: int, /) -> bytes:
        """The next bytes; the hook runs at the second call."""
        if self._position and self._hook is not None:
            hook, self._hook = self._hook, None
            hook()
        return super().read(size)


class GatedBody(Body):
    """Gives its first half, then waits until `gate` is set, 20 seconds at most; `reached` tells that it waits."""

    def __init__(self, data: bytes, **options: Any) -> None:
        super().__init__(data, step=max(1, len(data) // 2), **options)
        self.reached = threading.Event()
        self.gate = threading.Event()

    def read(self, size: int, /) -> bytes:
        """The next bytes."""
        if self._position:
            self.reached.set()
            if not self.gate.wait(20):
                raise TimeoutError("the gate of a slow body was never opened")
        return super().read(size)


class BodyBroke(Exception):
    """What a broken body raises: no plugin knows it."""


class BrokenBody(Body):
    """Raises `error` after `good` bytes; with all bytes given, instead of the end."""

    def __init__(self, data: bytes, good: int, error: BaseException) -> None:
        super().__init__(data[:good], record_of(data), announced=len(data), step=1 << 16)
        self._error = error

    def read(self, size: int, /) -> bytes:
        """The next bytes, then the error."""
        block = super().read(size)
        if not block:
            self._ended = False
            raise self._error
        return block
