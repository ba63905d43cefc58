"""Rounds over all workloads, in each of which the targets take turns: A B C, then C B A."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

from loadtest.bench.replay import ReplayError
from loadtest.bench.targets import Target
from loadtest.bench.usage import Meter
from loadtest.bench.workloads import Sample, Workload, WrongAnswer, listed
from tests.support.fast_client import Client, path_of

FAILURES = (ReplayError, WrongAnswer, OSError)


@dataclass(frozen=True)
class Measurement:
    """One run of a workload on a target. Server's CPU in seconds, memory in bytes; None where it runs elsewhere."""

    workload: str
    target: str
    round: int
    sample: Sample
    server_cpu: float | None
    server_peak: int | None


@dataclass(frozen=True)
class Failure:
    """A workload that a target does not do, and why."""

    workload: str
    target: str
    reason: str


@dataclass(frozen=True)
class Outcome:
    """Everything that was found."""

    measurements: list[Measurement]
    failures: list[Failure]


@contextmanager
def bucket_on(targets: Sequence[Target]) -> Iterator[str]:
    """A bucket of a new name on each target; emptied and removed from those that were not started for this."""
    name = f"bench-{secrets.token_hex(6)}"
    for target in targets:
        with Client(target) as client:
            client.create_bucket(name)
    try:
        yield name
    finally:
        for target in targets:
            if not target.ours and target.stores:
                for bucket in (name, listed(name)):
                    _remove(target, bucket)


def _remove(target: Target, bucket: str) -> None:
    with Client(target) as client:
        if client.request("HEAD", path_of(bucket)).status != 200:
            return
        for key in client.list_keys(bucket):
            client.delete(bucket, key)
        client.request("DELETE", path_of(bucket))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Runner:
    """Runs workloads against targets until all is done or the time is up."""

    def __init__(self, targets: Sequence[Target], rounds: int, seconds: float, deadline: float) -> None:
        """`deadline` is a time of the monotonic clock; the run that is on then is the last one."""
        self._targets = targets
        self._rounds = rounds
        self._seconds = seconds
        self._deadline = deadline
        self._measurements: list[Measurement] = []
        self._failures: list[Failure] = []

    def run(self, workloads: Sequence[Workload]) -> Outcome:
        """Measure: all workloads in each round, so that a run that is cut short has all of them."""
        with bucket_on(self._targets) as bucket:
            able = {
                workload.name: [target for target in self._targets if target.stores or not workload.needs_storage]
                for workload in workloads
            }
            for number in range(self._rounds):
                for workload in workloads:
                    able[workload.name] = self._turns(workload, bucket, number, able[workload.name])
        return Outcome(self._measurements, self._failures)

    def _turns(self, workload: Workload, bucket: str, number: int, targets: list[Target]) -> list[Target]:
        """One turn of each target, in the other direction in each round; those that go on in the next."""
        remaining = list(targets)
        for target in targets if number % 2 == 0 else reversed(targets):
            if time.monotonic() > self._deadline:
                self._failures.append(Failure(workload.name, target.name, f"no time for round {number + 1}"))
            elif not self._tried(workload, target, partial(self._once, workload, bucket, number)):
                remaining.remove(target)
        return remaining

    def _once(self, workload: Workload, bucket: str, number: int, target: Target) -> None:
        if number == 0:
            workload.prepare(target, bucket)
        workload.before(target, bucket)
        meter = Meter(target.pid) if target.pid else None
        with meter or nullcontext():
            sample = workload.run(target, bucket, self._seconds)
        if target.stores:
            workload.check(target, bucket)
        usage = meter.usage if meter else None
        self._measurements.append(
            Measurement(
                workload.name,
                target.name,
                number,
                sample,
                usage.cpu if usage else None,
                usage.peak if usage else None,
            )
        )
        _say(f"{workload.name:>16} {number + 1} {target.name:<28} {sample.value:10,.1f} {workload.unit}")

    def _tried(self, workload: Workload, target: Target, work: Callable[[Target], None]) -> bool:
        try:
            work(target)
        except FAILURES as error:
            reason = f"{type(error).__name__}: {error}"[:400]
            self._failures.append(Failure(workload.name, target.name, reason))
            _say(f"{workload.name:>16} - {target.name:<28} {reason}")
            return False
        return True
