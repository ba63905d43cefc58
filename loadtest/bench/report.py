"""Medians and ratios as a table for the terminal, a Markdown fragment, JSON and a plot."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from loadtest.bench.replay import cores
from loadtest.bench.runner import Measurement, Outcome
from loadtest.bench.targets import Target
from loadtest.bench.workloads import MIB, Workload

NOTHING = "–"


@dataclass(frozen=True)
class Cell:
    """A workload on a target: medians over the rounds. Times in seconds; CPU seconds per request; memory in bytes."""

    value: float
    low: float
    high: float
    median: float
    p99: float
    rounds: int
    ratio: float | None
    cpu: float | None
    peak: int | None
    client_load: float
    """Cores that the client was busy on."""


class Table:
    """Cells by workload and target. The first target is what the others are compared with."""

    def __init__(self, targets: Sequence[Target], workloads: Sequence[Workload], outcome: Outcome) -> None:
        self.targets = targets
        self.workloads = workloads
        self.outcome = outcome
        grouped: dict[tuple[str, str], list[Measurement]] = {}
        for one in outcome.measurements:
            grouped.setdefault((one.workload, one.target), []).append(one)
        first = targets[0].name
        self._cells = {
            (workload, target): _cell(found, grouped.get((workload, first), []))
            for (workload, target), found in grouped.items()
        }

    def cell(self, workload: str, target: str) -> Cell | None:
        """What was measured, if anything was."""
        return self._cells.get((workload, target))

    def rows(self) -> list[Workload]:
        """The workloads of which at least one target has figures."""
        return [workload for workload in self.workloads if any(self.cell(workload.name, t.name) for t in self.targets)]


def _cell(found: Sequence[Measurement], baseline: Sequence[Measurement]) -> Cell:
    values = [one.sample.value for one in found]
    reference = {one.round: one.sample.value for one in baseline}
    # Of the same round: what disturbs the machine for longer than that disturbs both.
    ratios = [one.sample.value / reference[one.round] for one in found if one.round in reference]
    costs = [one.server_cpu / one.sample.requests for one in found if one.server_cpu is not None]
    peaks = [one.server_peak for one in found if one.server_peak is not None]
    return Cell(
        statistics.median(values),
        min(values),
        max(values),
        statistics.median(one.sample.median for one in found),
        statistics.median(one.sample.p99 for one in found),
        len(found),
        statistics.median(ratios) if ratios else None,
        statistics.median(costs) if costs else None,
        max(peaks) if peaks else None,
        statistics.median(one.sample.client_cpu / one.sample.seconds for one in found),
    )


def number(value: float) -> str:
    """With three digits at least."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def duration(seconds: float) -> str:
    """In microseconds or milliseconds."""
    return f"{number(seconds * 1000)} ms" if seconds >= 0.001 else f"{seconds * 1e6:.0f} µs"


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def markdown(table: Table) -> str:
    """The fragment for a page: rates, latencies, ratios, CPU time and memory."""
    head = ["", *(target.name for target in table.targets)]

    def grid(show: Any, rows: Sequence[Workload]) -> str:
        body = []
        for workload in rows:
            cells = [table.cell(workload.name, target.name) for target in table.targets]
            body.append([_label(workload), *(show(cell) if cell else NOTHING for cell in cells)])
        return _grid(head, body)

    rows = table.rows()
    parts = [
        "Medians over the rounds (lowest to highest):",
        grid(lambda cell: f"{number(cell.value)} ({number(cell.low)} to {number(cell.high)})", rows),
        f"Ratios to `{table.targets[0].name}`, of the same round each, medians; above 1 is more of the unit:",
        grid(lambda cell: f"{cell.ratio:.2f}" if cell.ratio is not None else NOTHING, rows),
        "Time of a request, median and 99th percentile:",
        grid(lambda cell: f"{duration(cell.median)}, {duration(cell.p99)}", rows),
        "CPU time of all of the server's processes per request:",
        grid(lambda cell: duration(cell.cpu) if cell.cpu is not None else NOTHING, rows),
        "Peak memory of all of the server's processes, in MiB (shared pages once):",
        grid(lambda cell: f"{cell.peak / MIB:.0f}" if cell.peak is not None else NOTHING, rows),
    ]
    if table.outcome.failures:
        parts.append("Not measured:")
        parts.append(
            "\n".join(f"* {one.workload} on {one.target}: {_one_line(one.reason)}" for one in table.outcome.failures)
        )
    return "\n\n".join(parts) + "\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _label(workload: Workload) -> str:
    return f"{workload.name} ({workload.unit})"


def text(table: Table) -> str:
    """For the terminal: the median, and the ratio to the first target."""
    width = max(18, *(len(target.name) + 2 for target in table.targets))
    lines = [f"{'':28}" + "".join(f"{target.name:>{width}}" for target in table.targets)]
    for workload in table.rows():
        line = f"{_label(workload):28}"
        for target in table.targets:
            cell = table.cell(workload.name, target.name)
            shown = NOTHING
            if cell:
                shown = f"{number(cell.value)} ({cell.ratio:.2f})" if cell.ratio is not None else number(cell.value)
            line += f"{shown:>{width}}"
        lines.append(line)
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    processor = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
            break
    return {
        "processor": processor,
        "cores": cores(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }


def document(table: Table, options: dict[str, Any], before: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Everything, for a JSON file."""
    return {
        "machine": before,
        "load_after": os.getloadavg()[0],
        "seconds": round(seconds, 1),
        "options": options,
        "targets": [{"name": target.name, "version": target.version} for target in table.targets],
        "units": {workload.name: workload.unit for workload in table.workloads},
        "table": {
            workload.name: {
                target.name: asdict(cell)
                for target in table.targets
                if (cell := table.cell(workload.name, target.name)) is not None
            }
            for workload in table.rows()
        },
        "measurements": [asdict(one) for one in table.outcome.measurements],
        "failures": [asdict(one) for one in table.outcome.failures],
    }


def write(directory: Path, table: Table, found: dict[str, Any]) -> list[Path]:
    """bench.json, bench.md and bench.svg."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / name for name in ("bench.json", "bench.md", "bench.svg")]
    paths[0].write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    paths[1].write_text(markdown(table), encoding="utf-8")
    plot(table, paths[2])
    return paths


def plot(table: Table, path: Path) -> None:
    """How much better each target does than the first one, on a logarithmic scale: right of 1 is better."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = table.rows()[::-1]
    others = table.targets[1:] or table.targets
    height = 0.8 / len(others)
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.42 * len(rows)))
    for index, target in enumerate(others):
        places, values = [], []
        for row, workload in enumerate(rows):
            cell = table.cell(workload.name, target.name)
            if cell and cell.ratio:
                places.append(row + 0.4 - height * (index + 0.5))
                values.append(cell.ratio if workload.higher_is_better else 1 / cell.ratio)
        axes.barh(places, [value - 1 for value in values], height=height * 0.9, left=1, label=target.name)
    axes.set_xscale("log", base=2)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(rows)), [workload.name for workload in rows])
    axes.set_xlabel(f"times as good as {table.targets[0].name} (right is better)")
    axes.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.9 / (1.2 + 0.42 * len(rows))), ncols=3, frameon=False)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)
