"""Flame graphs of a server's processes under each workload, by py-spy for Python and by perf for everything."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from loadtest.bench.runner import bucket_on
from loadtest.bench.targets import Target
from loadtest.bench.workloads import Workload

SECONDS = 4
_SYMBOL = re.compile(r"\s*([\d.]+%)\s+(\S+?)(?:\.cpython\S*|\.so\S*)?\s+\[[.k]\]\s+(\S+)")
"""A line of perf's report: share, file, symbol."""
HOTTEST = 40


class Profiler:
    """Runs each workload once more, outside of what is measured, and watches the busiest process."""

    def __init__(self, output: Path) -> None:
        self._output = output

    def run(self, targets: Sequence[Target], workloads: Sequence[Workload]) -> list[Path]:
        """Write TARGET-WORKLOAD.svg (Python frames) and .perf.txt (symbols by share)."""
        self._output.mkdir(parents=True, exist_ok=True)
        found = []
        with bucket_on(targets) as bucket:
            for target in targets:
                for workload in workloads:
                    if target.stores or not workload.needs_storage:
                        found += self._profile(target, workload, bucket)
        return found

    def _profile(self, target: Target, workload: Workload, bucket: str) -> list[Path]:
        workload.prepare(target, bucket)
        assert target.pid is not None
        enough = threading.Event()

        def load() -> None:
            # py-spy takes its time to read symbols before it begins.
            while not enough.is_set():
                workload.before(target, bucket)
                workload.run(target, bucket, 1)

        thread = threading.Thread(target=load)
        thread.start()
        try:
            before = _cpu(target.pid)
            time.sleep(3)
            after = _cpu(target.pid)
            busiest = max(after.keys() & before.keys(), key=lambda pid: after[pid] - before[pid])
            name = f"{target.name}-{workload.name}".replace("/", "-").replace(",", "-")
            return [*self._py_spy(busiest, name), *self._perf(busiest, name)]
        finally:
            enough.set()
            thread.join()

    def _py_spy(self, pid: int, name: str) -> list[Path]:
        program = Path(sys.executable).parent / "py-spy"
        if not program.exists() or "python" not in psutil.Process(pid).exe():
            return []
        path = self._output / f"{name}.svg"
        command = [str(program), "record", "--pid", str(pid), "--duration", str(SECONDS)]
        done = subprocess.run([*command, "--output", str(path)], capture_output=True, check=False)
        if done.returncode != 0 or not path.exists():
            return []
        # Its heading is the command; where this machine has the program is nobody's concern.
        graph = path.read_text(encoding="utf-8")
        path.write_text(graph.replace(f"{program.parent}/", ""), encoding="utf-8")
        return [path]

    def _perf(self, pid: int, name: str) -> list[Path]:
        if shutil.which("perf") is None:
            return []
        data = self._output / f"{name}.perf"
        record = ["perf", "record", "--quiet", "--output", str(data), "--pid", str(pid)]
        subprocess.run([*record, "--", "sleep", str(SECONDS)], capture_output=True, check=False)
        if not data.exists():
            return []
        show = [
            "perf",
            "report",
            "--stdio",
            "--input",
            str(data),
            "--sort",
            "dso,symbol",
            "--percent-limit",
            "0.5",
        ]
        shown = subprocess.run(show, capture_output=True, text=True, check=False).stdout
        lines = [_SYMBOL.match(line) for line in shown.splitlines()]
        data.unlink()
        path = self._output / f"{name}.perf.txt"
        found = [f"{line[1]:>7} {line[2]:<12} {line[3]}" for line in lines if line is not None]
        if not found:
            return []
        path.write_text("\n".join(found[:HOTTEST]) + "\n", encoding="utf-8")
        return [path]


def _cpu(root: int) -> dict[int, float]:
    found = {}
    for process in [psutil.Process(root), *psutil.Process(root).children(recursive=True)]:
        try:
            times = process.cpu_times()
            found[process.pid] = times.user + times.system
        except psutil.NoSuchProcess:
            continue
    return found
