"""Faults of a fleet under one load: what clients notice, what is lost.

    python -m loadtest.fleet_faults [--seconds 20] [--only NAME] [--json FILE]

Each row starts its own servers on 127.0.0.1 (hosts: in network namespaces, which need root), loads them with the same
mixture (put 40, get 45, list 10, delete 5 of a hundred, every tenth operation an upload in parts) through boto3, and
lets something fail all the while. `failed` counts operations that failed after the SDK's retries; rows marked
"no retries" allow the SDK none. In the end every object that was acknowledged is read and compared.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from dispatcher.registry import number_of
from tests.faults.shards_load import Load
from tests.faults.test_shards import gunicorns, haproxy, settled, shardgate
from tests.support.fleet import Fleet, Hosts, can_make_hosts
from tests.support.gateway import ACCESS_KEY, SECRET_KEY, Gateway, RedisServer, wait_until
from tests.support.redis_forms import SentinelGroup

KEYS: Final = (ACCESS_KEY, SECRET_KEY)
ATTEMPTS: Final = 10


@dataclass(slots=True)
class Row:
    """What one fault did."""

    fault: str
    times: int = 0
    """How often something failed, was drained, restarted or added."""
    operations: int = 0
    retries: int = 0
    failed: int = 0
    objects: int = 0
    """Acknowledged objects that were read and compared in the end."""
    wrong: int = 0
    longest: float = 0.0
    """Seconds of the slowest operation, with its retries."""


@dataclass(slots=True)
class Bench:
    """Where a scenario runs, and what it adds to."""

    home: Path
    seconds: float
    row: Row

    @contextmanager
    def load(self, *endpoints: str, attempts: int = ATTEMPTS) -> Iterator[Load]:
        """The load, whose figures go to the row."""
        patience = {"connect_timeout": 3, "read_timeout": 20}
        made = Load(endpoints, KEYS, attempts=attempts, threads=6, multipart_every=10, **patience)
        with made:
            yield made
        row = self.row
        row.operations, row.retries, row.failed = sum(made.operations.values()), made.retries, len(made.failures)
        row.longest = made.longest
        for failure in made.failures[:5]:
            print(f"    {failure}", file=sys.stderr)
        try:
            row.objects = made.verify()
        except AssertionError as error:
            row.wrong += 1
            print(f"    {error}", file=sys.stderr)

    def until(self, load: Load, step: Callable[[], None], *, pause: float = 1.0) -> None:
        """Do a step again and again for so long as the bench is to run."""
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            load.run_for(pause)
            step()
            self.row.times += 1
        load.run_for(pause)


@contextmanager
def sharded(bench: Bench, *options: str, workers: int = 2, **settings: object) -> Iterator[Gateway]:
    with Gateway(bench.home / "data", "--shards", "2", *options, workers=workers, **settings) as gateway:  # type: ignore[arg-type]
        settled(gateway)
        yield gateway


def workers_killed(bench: Bench) -> None:
    """kill -9 of one worker every second"""
    with sharded(bench) as gateway, bench.load(gateway.endpoint) as load:

        def kill() -> None:
            workers = gunicorns(gateway)[bench.row.times % 2].children()
            if workers:
                os.kill(workers[bench.row.times // 2 % len(workers)].pid, signal.SIGKILL)

        bench.until(load, kill)


def shards_killed(bench: Bench) -> None:
    """kill -9 of a shard every 4 seconds"""
    with sharded(bench) as gateway, bench.load(gateway.endpoint) as load:
        bench.until(load, lambda: gunicorns(gateway)[bench.row.times % 2].kill(), pause=4.0)


def haproxy_killed(bench: Bench) -> None:
    """HAProxy stopped (kill -9) and started, every 4 seconds"""
    with sharded(bench) as gateway, bench.load(gateway.endpoint) as load:
        bench.until(load, lambda: haproxy(gateway).kill(), pause=4.0)


def drained_and_added(bench: Bench) -> None:
    """shards drained and added in turn, no retries"""
    with _fleet(bench) as fleet:
        shards = [fleet.shard(name) for name in ("alpha", "beta")]
        front = fleet.start("front", "dispatcher")

        def usable(*names: str) -> None:
            expected = {name: (number_of(name), "UP") for name in names}
            wait_until(lambda: expected.items() <= front.servers().items(), timeout=90, what="usable shards")

        usable("alpha", "beta")
        with bench.load(front.endpoint, attempts=1) as load:

            def drain_and_add() -> None:
                extra = f"extra-{bench.row.times}"
                added = fleet.shard(extra)
                usable("alpha", "beta", extra)
                fleet.command("shards", "drain", shards[bench.row.times % 2].name)
                load.run_for(2.0)
                fleet.command("shards", "undrain", shards[bench.row.times % 2].name)
                usable("alpha", "beta", extra)
                added.end()

            bench.until(load, drain_and_add)


def restarted(bench: Bench) -> None:
    """rolling restarts, no retries"""
    with sharded(bench, workers=1) as gateway, bench.load(gateway.endpoint, attempts=1) as load:

        def restart() -> None:
            shardgate(gateway, "shards", "restart", "--rolling")

        bench.until(load, restart)


def failed_over(bench: Bench) -> None:
    """Redis fail-over by Sentinel"""
    with SentinelGroup(bench.home) as group:
        environ = {"SHARDGATE_REDIS_URL": group.url}
        with sharded_by_redis(bench, environ) as gateway, bench.load(gateway.endpoint) as load:
            load.run_for(2.0)
            lost = group.fail_over()
            load.run_for(bench.seconds / 2)
            group.bring_back(lost)
            group.fail_over(hang=True)
            bench.row.times = 2
            load.run_for(bench.seconds / 2)


@contextmanager
def sharded_by_redis(bench: Bench, environ: dict[str, str]) -> Iterator[Gateway]:
    with Gateway(bench.home / "data", "--shards", "2", workers=2, environ=environ) as gateway:
        wait_until(lambda: "shardgate serves" in gateway.output.read_text(), timeout=60, what="the ready line")
        yield gateway


def redis_emptied(bench: Bench) -> None:
    """Redis killed and back empty every 4 seconds"""
    server = RedisServer(bench.home)
    try:
        environ = {"SHARDGATE_REDIS_URL": server.url}
        with sharded_by_redis(bench, environ) as gateway, bench.load(gateway.endpoint) as load:

            def empty() -> None:
                server.kill()
                load.run_for(0.5)
                server.start()

            bench.until(load, empty, pause=4.0)
    finally:
        server.close()


def hosts_cut_off(bench: Bench) -> None:
    """each of 3 hosts with 2 shards and of 2 dispatchers cut off and back (tests/faults/test_hosts.py)"""
    from tests.faults.test_hosts import SHARDS, cut_shards, redis_on

    with ExitStack() as stack:
        hosts = stack.enter_context(Hosts(5))
        fleet = Fleet(bench.home, stack.enter_context(redis_on(hosts, bench.home)))
        stack.callback(fleet.close)
        for name in SHARDS:
            fleet.shard(name, hosts["abc".index(name[0])], hosts.trusted)
        fronts = [fleet.start(f"front-{number}", "dispatcher", host=hosts[number]) for number in (3, 4)]
        everyone = {name: (number_of(name), "UP") for name in SHARDS}
        for front in fronts:
            wait_until(lambda: front.servers() == everyone, timeout=120, what="all shards")  # noqa: B023
        with bench.load(*(front.endpoint for front in fronts)) as load:
            for number in range(3):
                cut_shards(hosts[number], fronts, everyone, load)
                bench.row.times += 1
            for number in (3, 4):
                hosts[number].cut()
                load.run_for(3.0)
                hosts[number].join()
                load.run_for(2.0)
                bench.row.times += 1


@contextmanager
def _fleet(bench: Bench) -> Iterator[Fleet]:
    server = RedisServer(bench.home)
    fleet = Fleet(bench.home, server.url)
    try:
        yield fleet
    finally:
        fleet.close()
        server.close()


SCENARIOS: Final[tuple[Callable[[Bench], None], ...]] = (
    workers_killed,
    shards_killed,
    haproxy_killed,
    drained_and_added,
    restarted,
    failed_over,
    redis_emptied,
    hosts_cut_off,
)


def run(scenario: Callable[[Bench], None], seconds: float) -> Row:
    """One scenario in a directory of its own."""
    row = Row((scenario.__doc__ or scenario.__name__).strip())
    with tempfile.TemporaryDirectory(prefix="shardgate-faults-") as home:
        scenario(Bench(Path(home), seconds, row))
    return row


def table(rows: list[Row]) -> str:
    """The rows in Markdown."""
    head = ("fault", "times", "operations", "retries", "failed", "objects compared", "wrong or lost", "slowest, s")
    lines = [head, ("---",) * len(head)]
    for row in rows:
        figures = (row.times, row.operations, row.retries, row.failed, row.objects, row.wrong, f"{row.longest:.1f}")
        lines.append((row.fault, *map(str, figures)))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> int:
    """Run all, or those that are named; 1 when something failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each fault goes on")
    parser.add_argument("--only", action="append", choices=[one.__name__ for one in SCENARIOS], help="repeatable")
    parser.add_argument("--json", type=Path, help="write the rows to this file, too")
    arguments = parser.parse_args()
    rows = []
    for scenario in SCENARIOS:
        if arguments.only and scenario.__name__ not in arguments.only:
            continue
        if scenario is hosts_cut_off and (reason := can_make_hosts()):
            print(f"hosts_cut_off is left out: {reason}", file=sys.stderr)
            continue
        print(f"{scenario.__name__} …", file=sys.stderr)
        rows.append(run(scenario, arguments.seconds))
    print(table(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")
    return 1 if any(row.failed or row.wrong for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
