"""The users of a headless locust as the clients of `loadtest.eos_faults`.

    python -m loadtest.eos_faults --traffic locust

which starts this module in its place: locust patches the standard library for gevent first. Each user is one client of
`loadtest.eos_traffic`, which holds every answer against what it was told before; locust counts and times its requests.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import gevent

# Before whatever uses sockets.
import locust

from loadtest.eos_faults import PATIENCE, parsed, table
from loadtest.eos_traffic import Traffic


class Users:
    """A user for each client (`eos_faults.Driver`)."""

    def __init__(self, clients: Sequence[Traffic], totals: Totals) -> None:
        waiting = iter(clients)

        class Client(locust.User):
            wait_time = locust.constant(0)

            def on_start(self) -> None:
                self.traffic = next(waiting)

            @locust.task
            def step(self) -> None:
                self.traffic.step()

        self._environment = locust.env.Environment(user_classes=[Client], stop_timeout=PATIENCE)
        self._runner = self._environment.create_local_runner()
        self._totals = totals
        for client in clients:
            client.observe = self._observe
        self._runner.start(len(clients), spawn_rate=len(clients))
        self._ending: gevent.Greenlet | None = None

    def _observe(self, operation: str, seconds: float, failure: Exception | None) -> None:
        self._environment.events.request.fire(
            request_type="S3",
            name=operation,
            response_time=seconds * 1000,
            response_length=0,
            exception=failure,
            context={},
        )

    def stop(self) -> None:
        """See `Driver`."""
        self._ending = gevent.spawn(self._runner.quit)

    def join(self) -> None:
        """See `Driver`."""
        assert self._ending is not None
        self._ending.get(timeout=PATIENCE)
        self._totals.add(self._environment)


class Totals:
    """What locust counted in all runs."""

    def __init__(self) -> None:
        self.requests = 0
        self.failures = 0
        self.errors: list[str] = []

    def add(self, environment: locust.env.Environment) -> None:
        """One run more. What a user raised is a fault of this program."""
        self.requests += environment.stats.total.num_requests
        self.failures += environment.stats.total.num_failures
        self.errors += [str(found["msg"]) for found in environment.runner.exceptions.values()]


def main() -> int:
    """The command."""
    totals = Totals()
    fine = table(parsed(), lambda clients: Users(clients, totals))
    print(f"locust: {totals.requests} requests, {totals.failures} of them failed", file=sys.stderr)
    for error in totals.errors:
        print(f"    a user raised {error}", file=sys.stderr)
    return int(not fine or bool(totals.errors))


if __name__ == "__main__":
    sys.exit(main())
