"""What the emulator counts, for tests and load runs."""

import threading
from collections import Counter, defaultdict
from typing import Any


class Counters:
    """Named numbers, and those of writers by file."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: Counter[str] = Counter()
        self._writers: defaultdict[int, int] = defaultdict(int)
        self._most_writers: Counter[int] = Counter()
        self._capabilities: Counter[str] = Counter()

    def add(self, name: str, number: int = 1) -> None:
        """Count something, such as `grpc.MD` or `fst.1.bytes_in`."""
        with self._lock:
            self._numbers[name] += number

    def writing(self, fid: int, change: int) -> None:
        """One writer of a file more (+1) or less (-1)."""
        with self._lock:
            self._writers[fid] += change
            if self._writers[fid] <= 0:
                del self._writers[fid]
            elif change > 0:
                self._most_writers[fid] = max(self._most_writers[fid], self._writers[fid])

    def capability(self, nonce: str) -> None:
        """A redirect's capability was used."""
        with self._lock:
            self._capabilities[nonce] += 1
            if self._capabilities[nonce] > 1:
                self._numbers["fst.capability_reused"] += 1

    def snapshot(self) -> dict[str, Any]:
        """All numbers by name; `open_writers` and `max_writers` are those of all files together and of one file."""
        with self._lock:
            return {
                **dict(sorted(self._numbers.items())),
                "open_writers": sum(self._writers.values()),
                "max_writers": max(self._most_writers.values(), default=0),
            }

    def reset(self) -> None:
        """Start at zero; writers that are open stay counted."""
        with self._lock:
            self._numbers.clear()
            self._most_writers.clear()
            self._capabilities.clear()
