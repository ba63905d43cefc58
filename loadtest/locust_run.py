"""Load a gateway with users of one profile, compare what they read, and report.

    python -m loadtest.locust_run mixed --endpoint shardgate,workers=2 --users 50 --seconds 30
    python -m loadtest.locust_run tenants --endpoint http://KEY:SECRET@127.0.0.1:9000 --users 200 --seconds 60

The endpoint is a recipe or a URL with keys, as of `loadtest.bench`. Runs without a screen, for so many seconds and at
most so many requests, in one process, and writes report.json, report.md and report.svg. The exit status is 1 when a
request failed after its repetitions or anything that was read was not what had been written.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import gevent

# locust patches the standard library for gevent, and has to come before whatever uses sockets.
import locust
from locust.runners import Runner
from locust.stats import stats_history

from loadtest import users
from loadtest.bench import recipes
from loadtest.bench.targets import Spec, SpecError
from loadtest.locust_report import Report, write
from loadtest.tenants import Tenant

PROFILES: dict[str, type[users.S3User]] = {
    "get-heavy": users.GetHeavy,
    "put-heavy": users.PutHeavy,
    "mixed": users.Mixed,
    "listing": users.Listing,
    "multipart": users.Multipart,
    "tenants": Tenant,
}
DRAIN = 60.0
"""Seconds that users get to finish."""


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    found = argparse.ArgumentParser(
        prog="python -m loadtest.locust_run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument("profile", choices=PROFILES)
    found.add_argument(
        "--endpoint", required=True, help="[LABEL=]RECIPE[,OPTION=VALUE…] or http://KEY:SECRET@HOST:PORT"
    )
    found.add_argument("--users", type=int, default=20)
    found.add_argument("--spawn-rate", type=float, default=50.0, help="users that start in a second (default: 50)")
    found.add_argument("--seconds", type=float, default=30.0, help="how long they work (default: 30)")
    found.add_argument("--requests", type=int, default=1_000_000, help="after how many they stop (default: 1,000,000)")
    found.add_argument("--pace", type=float, default=50.0, help="tasks of one user in a second at most (default: 50)")
    found.add_argument("--retries", type=int, default=3, help="repetitions of a failed request (default: 3)")
    found.add_argument("--objects", type=int, default=200, help="shared objects (default: 200)")
    found.add_argument("--part-size", type=int, default=5 << 20, help="bytes of a part (default: 5 MiB)")
    found.add_argument("--output", type=Path, default=Path("locust-report"), help="directory for the report")
    found.add_argument("--directory", type=Path, help="where a started server puts its data")
    return found


def load(profile: type[users.S3User], plan: users.Plan, options: argparse.Namespace) -> locust.env.Environment:
    """Let users of a profile work until the time is up or there were enough requests."""
    chosen = type(profile.__name__, (profile,), {"plan": plan})
    environment = locust.env.Environment(user_classes=[chosen], reset_stats=False, stop_timeout=DRAIN)
    runner = environment.create_local_runner()
    history = gevent.spawn(stats_history, runner)
    watch = gevent.spawn(_stop_in_time, runner, options.seconds, options.requests)
    runner.start(options.users, spawn_rate=options.spawn_rate)
    watch.join()
    runner.quit()
    history.kill()
    return environment


def _stop_in_time(runner: Runner, seconds: float, requests: int) -> None:
    with gevent.Timeout(seconds, False):
        while runner.stats.total.num_requests < requests:
            gevent.sleep(0.1)


def run(options: argparse.Namespace) -> Report:
    """Prepare, load, clean up, report. Raises `SpecError`, `users.Wrong` and `OSError`."""
    spec = Spec.parse(options.endpoint)
    profile = PROFILES[options.profile]
    with (
        tempfile.TemporaryDirectory(dir=options.directory, prefix="locust-") as home,
        recipes.opened(spec, Path(home)) as target,
    ):
        plan = users.Plan(
            target,
            f"locust-{secrets.token_hex(6)}",
            objects=options.objects,
            part_size=options.part_size,
            retries=options.retries,
            pace=options.pace,
        )
        plan.prepare()
        profile.begin(plan)
        environment = load(profile, plan, options)
        if not target.ours:
            plan.clean(profile.end(plan))
    return Report.of(environment.stats, options.profile, spec.label, options.users, plan.retried)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    options = parser().parse_args(arguments)
    try:
        report = run(options)
    except (SpecError, users.Wrong, OSError) as error:
        print(f"loadtest.locust_run: {error}", file=sys.stderr)
        return 2
    print(report.text())
    print("\n".join(f"wrote {path}" for path in write(options.output, report)))
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
