"""Measure what docs/performance.md shows, and put it there.

    python -m loadtest.performance_page                  # about eleven minutes on two cores that do nothing else
    python -m loadtest.performance_page --seconds 1 --rounds 1 --output /tmp/trial --page /tmp/trial/page.md

Starts this gateway directly and behind its dispatcher, `rclone serve s3`, SeaweedFS and, where it is installed or named
by --versitygw, the Versity S3 Gateway, lets them take turns with all workloads of `loadtest.bench`, and profiles this
gateway under those three in which it is furthest behind another one. Writes the figures between the marks of the page,
and bench.json, bench.svg and flame graphs beside it.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from loadtest.bench import __main__ as bench
from loadtest.bench import recipes, report
from loadtest.bench.profiling import Profiler
from loadtest.bench.replay import ReplayError
from loadtest.bench.targets import Spec, SpecError
from loadtest.bench.workloads import Scale

DIRECT, BEHIND = "direct", "dispatcher"
OPTIONAL = "versitygw"
OTHERS = ("rclone", "seaweedfs", OPTIONAL)
ENDPOINTS = (
    f"{DIRECT}=shardgate,workers=2",
    f"{BEHIND}=shardgate,shards=2,workers=1",
    "commit=shardgate,workers=2,durability=commit",
    *(name for name in OTHERS if name != OPTIONAL),
)
START, END = "<!-- figures: python -m loadtest.performance_page -->", "<!-- end of the figures -->"
GAPS = 3
LIMIT = 570.0
"""Seconds after which no turn begins; profiles come after it, and all is to end within twelve minutes."""


def optional(program: Path | None) -> list[str]:
    """The endpoint of a server that no Python package brings, where it is installed."""
    if program is not None:
        return [f"{OPTIONAL}={OPTIONAL},program={program}"]
    return [OPTIONAL] if shutil.which(OPTIONAL) else []


def overhead(table: report.Table) -> str:
    """What the dispatcher takes: its rate and CPU time beside those of direct mode, of the same rounds."""
    rates: dict[tuple[str, int], dict[str, float]] = {}
    for one in table.outcome.measurements:
        rates.setdefault((one.workload, one.round), {})[one.target] = one.sample.value
    lines = [
        "| | dispatcher : direct | lowest to highest | CPU time of a request, direct | behind the dispatcher |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for workload in table.rows():
        ratios = [
            found[BEHIND] / found[DIRECT]
            for (name, _), found in rates.items()
            if name == workload.name and {DIRECT, BEHIND} <= found.keys()
        ]
        cells = [table.cell(workload.name, target) for target in (DIRECT, BEHIND)]
        if ratios and all(cell is not None and cell.cpu is not None for cell in cells):
            costs = [report.duration(cell.cpu or 0.0) for cell in cells if cell is not None]
            lines.append(
                f"| {workload.name} ({workload.unit}) | {statistics.median(ratios):.2f} "
                f"| {min(ratios):.2f} to {max(ratios):.2f} | {costs[0]} | {costs[1]} |"
            )
    return "\n".join(lines)


def gaps(table: report.Table) -> list[tuple[str, str, float]]:
    """Workload, other server and how many times as good it is, the largest first, as far as it is better at all."""
    found = []
    for workload in table.rows():
        ours = table.cell(workload.name, DIRECT)
        for name in OTHERS:
            theirs = table.cell(workload.name, name)
            if ours and theirs:
                ratio = theirs.value / ours.value if workload.higher_is_better else ours.value / theirs.value
                found.append((workload.name, name, ratio))
    best: dict[str, tuple[str, str, float]] = {}
    for one in sorted(found, key=lambda one: one[2]):
        best[one[0]] = one
    return sorted((one for one in best.values() if one[2] > 1), key=lambda one: -one[2])


def furthest(found: Sequence[tuple[str, str, float]]) -> list[str]:
    """The workloads of the largest gaps, one of each operation: what HEAD costs does not depend on the size."""
    chosen: dict[str, str] = {}
    for workload, _, _ in found:
        chosen.setdefault(workload.partition("-")[0], workload)
    return list(chosen.values())[:GAPS]


def fragment(
    table: report.Table, facts: dict[str, object], seconds: float, profiles: Sequence[Path], home: Path
) -> str:
    """The Markdown between the marks."""
    versions = ", ".join(sorted({target.version for target in table.targets if target.version}))
    largest = gaps(table)
    lines = [
        f"{facts['processor']}, {facts['cores']} cores, Linux {facts['kernel']}, Python {facts['python']}; {versions}. "
        f"Load of the machine at the start {facts['load']:.2f}; the run took {seconds:.0f} s.",
        f"![How much better each server does]({home.name}/bench.svg)",
        report.markdown(table).rstrip(),
        "### What the dispatcher costs",
        overhead(table),
        "### The largest gaps",
    ]
    if largest:
        head = ["| | the better one | times as good |", "| --- | --- | ---: |"]
        lines.append("\n".join([*head, *(f"| {work} | {name} | {ratio:.2f} |" for work, name, ratio in largest)]))
    for path in profiles:
        if path.suffix == ".svg":
            lines.append(f"Flame graph of one worker: [{path.name}]({home.name}/{path.name})")
        else:
            hottest = path.read_text(encoding="utf-8").splitlines()[:12]
            lines.append("\n".join([f"`{path.name}`, the hottest symbols:", "", *(f"    {line}" for line in hottest)]))
    return "\n\n".join(lines) + "\n"


def replaced(page: str, text: str) -> str:
    """The page with the figures between its marks. Raises `SpecError` without them."""
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise SpecError(f"the page has no marks {START} and {END}")
    return f"{before}{START}\n\n{text}\n{END}{after}"


def profiled(names: Sequence[str], output: Path, directory: Path | None) -> list[Path]:
    """Profiles of direct mode under these workloads."""
    if not names:
        return []
    with (
        TemporaryDirectory(dir=directory, prefix="bench-") as home,
        recipes.opened(Spec.parse(ENDPOINTS[0]), Path(home)) as target,
    ):
        return Profiler(output).run([target], bench.selected(names, Scale()))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 when a workload failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path, default=Path("docs/performance.md"))
    parser.add_argument("--output", type=Path, default=Path("docs/performance"), help="directory beside the page")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--limit", type=float, default=LIMIT)
    parser.add_argument("--workloads", nargs="+", default=[], metavar="NAME", help="only these, for a trial")
    parser.add_argument("--directory", type=Path, help="where servers put their data")
    parser.add_argument("--versitygw", type=Path, help="its program, where it is not on PATH")
    options = parser.parse_args(arguments)
    began, facts = time.monotonic(), report.machine()
    command = [
        *ENDPOINTS,
        *optional(options.versitygw),
        "--rounds",
        str(options.rounds),
        "--seconds",
        str(options.seconds),
    ]
    command += ["--limit", str(options.limit), "--output", str(options.output)]
    command += ["--workloads", *options.workloads] if options.workloads else []
    command += ["--directory", str(options.directory)] if options.directory else []
    try:
        page = options.page.read_text(encoding="utf-8") if options.page.exists() else f"{START}\n{END}\n"
        replaced(page, "")
        table, _ = bench.measure(bench.parser().parse_args(command))
        names = furthest(gaps(table))
        profiles = profiled(names, options.output, options.directory)
    except (SpecError, ReplayError) as error:
        print(f"loadtest.performance_page: {error}", file=sys.stderr)
        return 2
    (options.output / "bench.md").unlink()
    text = fragment(table, facts, time.monotonic() - began, profiles, options.output)
    options.page.write_text(replaced(page, text), encoding="utf-8")
    print(report.text(table))
    print(f"wrote {options.page} and what lies in {options.output}")
    return 1 if table.outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
