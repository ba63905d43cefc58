"""What a worker keeps of things that are written elsewhere and can change at any time: identities, buckets.

An entry is good for a while after it was loaded, and until somebody announces a change of one of the documents that it
was made of. What is asked for after that is loaded anew, once for all who wait. While what it is loaded from is away,
an entry whose documents nobody has changed is used for a time of grace.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from threading import Event
from typing import Final, Generic, TypeVar

from backends.errors import StorageUnavailable

V = TypeVar("V")

RETRY_SECONDS: Final = 1.0
"""Between two attempts to load something anew while its home is away."""
_REMEMBERED: Final = 256
"""Changes that are remembered for what is being loaded while they are announced."""
_ATTEMPTS: Final = 5


class _Entry(Generic[V]):
    __slots__ = ("fresh_until", "keep_until", "sources", "value")

    def __init__(self, value: V, sources: Collection[str], fresh_until: float, keep_until: float) -> None:
        self.value = value
        self.sources = sources
        self.fresh_until = fresh_until
        self.keep_until = keep_until


class Table(Generic[V]):
    """A bounded table of loaded values by name.

    Args:
        load: gives a value, and the names of the documents that it was made of, missing ones too. What it raises is
            kept by nobody.
        lifetime: seconds for which a value is good.
        grace: seconds that it is used beyond while `load` raises `StorageUnavailable`.
        size: entries that are kept; the one that was loaded longest ago goes first.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        load: Callable[[str], tuple[V, Collection[str]]],
        *,
        lifetime: float,
        grace: float = 0.0,
        size: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._lifetime = lifetime
        self._grace = grace
        self._size = size
        self._clock = clock
        self._entries: dict[str, _Entry[V]] = {}
        self._by_source: dict[str, set[str]] = {}
        self._loading: dict[str, Event] = {}
        self._changes = 0
        self._recent: dict[str, int] = {}
        """The last changes: what changed, and the number of the change."""
        self._forgotten = 0
        """The number of the newest change that is remembered no more."""

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, name: str) -> V:
        """The value of a name. Raises what `load` raises."""
        entry = self._entries.get(name)
        if entry is not None and entry.fresh_until > self._clock():
            return entry.value
        return self._get_anew(name)

    def peek(self, name: str) -> V | None:
        """The value of a name if it is there and good; nothing is loaded."""
        entry = self._entries.get(name)
        return entry.value if entry is not None and entry.fresh_until > self._clock() else None

    def forget(self, source: str) -> None:
        """A document has changed: what was made of it is not used any more, whatever happens."""
        self._note(source)
        for name in tuple(self._by_source.get(source, ())):
            self._remove(name)

    def doubt(self) -> None:
        """Changes may have been missed: everything is loaded anew before it is used again, if it can be."""
        self._changes += 1
        self._recent.clear()
        self._forgotten = self._changes
        for entry in self._entries.values():
            entry.fresh_until = 0.0

    def _note(self, source: str) -> None:
        self._changes += 1
        self._recent.pop(source, None)
        self._recent[source] = self._changes
        if len(self._recent) > _REMEMBERED:
            self._forgotten = self._recent.pop(next(iter(self._recent)))

    def _get_anew(self, name: str) -> V:
        waiting = self._loading.get(name)
        if waiting is not None:
            waiting.wait()
            entry = self._entries.get(name)
            if entry is not None and entry.fresh_until > self._clock():
                return entry.value
            # The other one failed, or a change came in between: everybody for himself.
            return self._refresh(name)
        event = self._loading[name] = Event()
        try:
            return self._refresh(name)
        finally:
            if self._loading.get(name) is event:
                del self._loading[name]
            event.set()

    def _refresh(self, name: str) -> V:
        attempt = 0
        while True:
            began = self._changes
            attempt += 1
            try:
                value, sources = self._load(name)
            except StorageUnavailable:
                entry = self._in_grace(name)
                if entry is None:
                    raise
                return entry.value
            except Exception:
                self._remove(name)
                raise
            if self._unchanged(sources, began):
                self._keep(name, value, sources)
                return value
            if attempt == _ATTEMPTS:
                return value  # true at the time of its loading; the next one loads it again

    def _in_grace(self, name: str) -> _Entry[V] | None:
        """The old entry, if it may still be used."""
        entry = self._entries.get(name)
        now = self._clock()
        if entry is None or entry.keep_until <= now:
            return None
        entry.fresh_until = min(now + RETRY_SECONDS, entry.keep_until)
        return entry

    def _unchanged(self, sources: Collection[str], since: int) -> bool:
        """Whether none of these documents was announced to have changed since a change's number."""
        if self._changes == since:
            return True
        if self._forgotten > since:
            return False
        return all(self._recent.get(source, 0) <= since for source in sources)

    def _keep(self, name: str, value: V, sources: Collection[str]) -> None:
        self._remove(name)
        while len(self._entries) >= self._size:
            self._remove(next(iter(self._entries)))
        fresh_until = self._clock() + self._lifetime
        self._entries[name] = _Entry(value, sources, fresh_until, fresh_until + self._grace)
        for source in sources:
            self._by_source.setdefault(source, set()).add(name)

    def _remove(self, name: str) -> None:
        entry = self._entries.pop(name, None)
        if entry is None:
            return
        for source in entry.sources:
            names = self._by_source.get(source)
            if names is not None:
                names.discard(name)
                if not names:
                    del self._by_source[source]
