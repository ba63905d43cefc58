"""What a server costs: CPU seconds and peak memory of its whole tree of processes."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil

PAUSE = 0.2
"""Seconds between two looks at the memory. A look costs each process about a millisecond for 100 MiB."""


@dataclass(frozen=True)
class Usage:
    """CPU in seconds, memory in bytes: the most that the processes together had at one look, shared pages once."""

    cpu: float
    peak: int


class Meter:
    """`with Meter(pid) as meter: …; meter.usage` measures a process and all below it."""

    def __init__(self, pid: int) -> None:
        """Raises `psutil.NoSuchProcess`."""
        self._root = psutil.Process(pid)
        self._stop = threading.Event()
        self._peak = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._began = 0.0
        self.usage = Usage(0.0, 0)

    def __enter__(self) -> Meter:
        self._began = self._cpu()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.usage = Usage(self._cpu() - self._began, self._peak)

    def _tree(self) -> list[psutil.Process]:
        return [self._root, *self._root.children(recursive=True)]

    def _cpu(self) -> float:
        """What living processes and those that they have reaped have used."""
        total = 0.0
        for process in self._tree():
            try:
                total += sum(process.cpu_times()[:4])
            except psutil.NoSuchProcess:
                continue
        return total

    def _watch(self) -> None:
        while True:
            self._peak = max(self._peak, sum(proportional_memory(process.pid) for process in self._tree()))
            if self._stop.wait(PAUSE):
                return


def proportional_memory(pid: int) -> int:
    """Bytes in memory, pages that n processes share counted as an n-th (PSS, proc(5)); 0 when it has gone."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
