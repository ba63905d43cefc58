"""The command of the benchmark.

    python -m loadtest.bench shardgate rclone seaweedfs
    python -m loadtest.bench direct=shardgate fleet=shardgate,shards=2,workers=1 --workloads get-1k get-64m put-64m
    python -m loadtest.bench shardgate other=http://KEY:SECRET@127.0.0.1:8000,pid=4711 --seconds 5 --rounds 5

An endpoint is a recipe, which is started on 127.0.0.1 with keys and data of its own and stopped afterwards, or an
http:// URL with keys in it; with `pid` its processes' CPU time and memory are measured too. All endpoints take turns
with each workload, so that what disturbs the machine disturbs all of them. Writes bench.json, bench.md and bench.svg.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path

from loadtest.bench import recipes, report
from loadtest.bench.profiling import Profiler
from loadtest.bench.replay import ReplayError, find_wrk
from loadtest.bench.runner import Outcome, Runner
from loadtest.bench.suite import workloads
from loadtest.bench.targets import Spec, SpecError
from loadtest.bench.workloads import Scale, Workload

LONGEST = 3600.0


def parser() -> argparse.ArgumentParser:
    """Of the command line; every number of `Scale` is an option."""
    found = argparse.ArgumentParser(
        prog="python -m loadtest.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("endpoints", nargs="+", metavar="ENDPOINT", help="[LABEL=]RECIPE[,OPTION=VALUE…] or a URL")
    found.add_argument("--workloads", nargs="+", metavar="NAME", help="only these")
    found.add_argument("--list", action="store_true", help="name the workloads and stop")
    found.add_argument("--rounds", type=int, default=3, help="turns of each endpoint with each workload (default: 3)")
    found.add_argument("--seconds", type=int, default=2, help="of one turn (default: 2); 0: few requests, to try it")
    found.add_argument("--limit", type=float, default=LONGEST, help="seconds after which no turn begins any more")
    found.add_argument("--output", type=Path, default=Path("bench-report"), help="directory for the report")
    found.add_argument("--directory", type=Path, help="where servers put their data (default: a temporary directory)")
    found.add_argument("--profile", action="store_true", help="after the rounds, flame graphs of servers of our own")
    for field in fields(Scale):
        name = f"--{field.name.replace('_', '-')}"
        found.add_argument(name, type=int, default=field.default, help=f"default: {field.default}")
    return found


def selected(names: Sequence[str] | None, scale: Scale) -> list[Workload]:
    """Workloads by name. Raises `SpecError`."""
    known = workloads(scale)
    unknown = set(names or ()) - {workload.name for workload in known}
    if unknown:
        raise SpecError(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(w.name for w in known)}")
    return [workload for workload in known if not names or workload.name in names]


def measure(options: argparse.Namespace) -> tuple[report.Table, list[Path]]:
    """Start, measure, stop and write. Raises `SpecError` and `ReplayError`."""
    specs = [Spec.parse(text) for text in options.endpoints]
    if len({spec.label for spec in specs}) < len(specs):
        raise SpecError("two endpoints have the same label: put LABEL= in front")
    scale = Scale(**{field.name: getattr(options, field.name) for field in fields(Scale)})
    chosen = selected(options.workloads, scale)
    find_wrk()
    before, began = report.machine(), time.monotonic()
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="bench-") as home, ExitStack() as stack:
        targets = [stack.enter_context(recipes.opened(spec, Path(home))) for spec in specs]
        runner = Runner(targets, options.rounds, options.seconds, began + options.limit)
        outcome: Outcome = runner.run(chosen)
        if options.profile:
            Profiler(options.output).run([target for target in targets if target.ours], chosen)
    table = report.Table(targets, chosen, outcome)
    asked = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    # Keys of endpoints that were given do not go into a file.
    asked["endpoints"] = [text if Spec.parse(text).is_recipe else Spec.parse(text).label for text in options.endpoints]
    return table, report.write(options.output, table, report.document(table, asked, before, time.monotonic() - began))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 when a workload failed."""
    options = parser().parse_args(arguments)
    if options.list:
        print("\n".join(workload.name for workload in workloads(Scale())))
        return 0
    try:
        table, paths = measure(options)
    except (SpecError, ReplayError) as error:
        print(f"loadtest.bench: {error}", file=sys.stderr)
        return 2
    print(report.text(table))
    print("\n".join(f"wrote {path}" for path in paths))
    return 1 if table.outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
