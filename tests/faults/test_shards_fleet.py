"""A fleet of several hosts, each a group of ports: shards that register, and dispatchers that follow them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import psutil
import pytest

from dispatcher.haproxy import BACKEND
from dispatcher.registry import number_of
from dispatcher.runtime_api import RuntimeApi
from tests.faults.shards_load import Load
from tests.support.gateway import ACCESS_KEY, SECRET_KEY, RedisServer, free_port, wait_until

pytestmark = pytest.mark.faults

KEYS = (ACCESS_KEY, SECRET_KEY)
EXPIRY = 4.0


class Member:
    """`shardgate shard` or `shardgate dispatcher` as a process."""

    def __init__(self, home: Path, name: str, redis_url: str, *arguments: str) -> None:
        self.name = name
        self.port = free_port()
        self.state_dir = home / f"{name}.state"
        self.log = home / f"{name}.log"
        self._command = [sys.executable, "-m", "dispatcher.cli", *arguments, "--port", str(self.port)]
        self._command += ["--state-dir", str(self.state_dir), "--redis-url", redis_url]
        self._command += ["--heartbeat-interval", "0.5", "--shard-expiry", str(EXPIRY)]
        if arguments[0] == "shard":
            self._command += ["--advertise", f"127.0.0.1:{self.port}", "--shard-id", name, "--workers", "1"]
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("SHARDGATE_", "AWS_"))}
        secrets = {"ACCESS_KEY": ACCESS_KEY, "SECRET_KEY": SECRET_KEY, "MASTER_KEY": "m" * 64}
        self._environ = inherited | {f"SHARDGATE_{key}": value for key, value in secrets.items()}
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, env=self._environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def text(self) -> str:
        return self.log.read_text()

    def status(self, path: str) -> int:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, HTTPException):
            return 0
        finally:
            connection.close()

    def servers(self) -> dict[str, tuple[int, str]]:
        """What a dispatcher's HAProxy has: number and status by shard."""
        configuration = (self.state_dir / "run" / "haproxy.cfg").read_text()
        socket = configuration.partition("stats socket ")[2].partition(" mode ")[0]
        found = RuntimeApi(Path(socket)).servers(BACKEND)
        return {name: (state.number, state.status.partition(" ")[0]) for name, state in found.items()}

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(40)


class Fleet:
    def __init__(self, home: Path, redis: RedisServer) -> None:
        self.home = home
        self.redis = redis
        self.members: list[Member] = []

    def start(self, name: str, *arguments: str) -> Member:
        self.members.append(Member(self.home, name, self.redis.url, *arguments))
        return self.members[-1]

    def shard(self, name: str) -> Member:
        return self.start(name, "shard", str(self.home / "data"))

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        place = ["--redis-url", self.redis.url, "--state-dir", str(self.home / "none")]
        return subprocess.run(
            [sys.executable, "-m", "dispatcher.cli", *arguments, *place],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def states(self) -> dict[str, str]:
        lines = self.command("shards", "list").stdout.splitlines()[1:]
        return {line.split()[0]: line.split()[1] for line in lines}


@pytest.fixture
def fleet(tmp_path: Path, redis_server: RedisServer, redis_client: object) -> Iterator[Fleet]:
    made = Fleet(tmp_path, redis_server)
    yield made
    for member in made.members:
        member.end(signal.SIGQUIT)
    if not redis_server.answers():
        redis_server.start()


@pytest.fixture
def pair(fleet: Fleet) -> Callable[[], tuple[list[Member], list[Member]]]:
    """Two shards behind two dispatchers, all of them ready."""

    def start() -> tuple[list[Member], list[Member]]:
        shards = [fleet.shard("alpha"), fleet.shard("beta")]
        dispatchers = [fleet.start(f"dispatcher-{number}", "dispatcher") for number in (1, 2)]
        up = {name: (number_of(name), "UP") for name in ("alpha", "beta")}
        for dispatcher in dispatchers:
            wait_until(lambda: dispatcher.status("/-/dispatcher") == 200, timeout=30, what=dispatcher.text())  # noqa: B023
            wait_until(lambda: dispatcher.servers() == up, timeout=30, what=dispatcher.text())  # noqa: B023
        return shards, dispatchers

    return start


def test_growing_and_shrinking_fails_no_request_and_dispatchers_agree(fleet, pair):
    shards, dispatchers = pair()
    assert "dispatches at http://127.0.0.1:" in dispatchers[0].text()
    with Load([one.endpoint for one in dispatchers], KEYS, attempts=1) as load:
        load.run_for(1.0)
        fleet.shard("gamma")
        everyone = {name: (number_of(name), "UP") for name in ("alpha", "beta", "gamma")}
        for dispatcher in dispatchers:
            wait_until(lambda: dispatcher.servers() == everyone, timeout=30, what="three shards")  # noqa: B023
        load.run_for(1.5)
        assert shards[0].end() == 0  # announces its end, and waits until both dispatchers know
        for dispatcher in dispatchers:
            wait_until(lambda: "alpha" not in dispatcher.servers(), timeout=30, what="its deletion")  # noqa: B023
        load.run_for(1.0)
        assert fleet.command("shards", "remove", "beta").returncode == 0
        assert shards[1].process.wait(40) == 0
        load.run_for(1.0)
    assert load.failures == []
    assert load.verify() > 5
    assert "beta is removed from the fleet" in shards[1].text()
    assert fleet.states()["gamma"] == "up"
    for member in fleet.members:
        assert "Traceback" not in member.text()


def test_a_host_that_is_lost_costs_a_retry_at_most_and_can_be_forgotten(fleet, pair):
    shards, dispatchers = pair()
    children = psutil.Process(shards[0].process.pid).children(recursive=True)
    with Load([one.endpoint for one in dispatchers], KEYS, attempts=5) as load:
        load.run_for(1.0)
        for process in [shards[0].process, *children]:
            process.kill()
        load.run_for(2.0)
    assert load.failures == []
    wait_until(lambda: fleet.states().get("alpha") == "silent", timeout=20, what="silence")
    assert fleet.command("shards", "remove", "alpha").returncode == 0
    for dispatcher in dispatchers:
        wait_until(lambda: set(dispatcher.servers()) == {"beta"}, what="one server")  # noqa: B023
    # It comes back as what it was.
    shards[0].process.wait()
    shards[0].start()
    for dispatcher in dispatchers:
        wait_until(
            lambda: dispatcher.servers().get("alpha") == (number_of("alpha"), "UP"),  # noqa: B023
            timeout=40,
            what="its return",
        )


def test_a_dispatcher_that_starts_without_redis_knows_the_fleet_from_before(fleet, pair):
    shards, dispatchers = pair()
    first = dispatchers[0]
    wait_until(lambda: "gamma" not in first.text() and (first.state_dir / "fleet.json").exists(), what="the file")
    wait_until(
        lambda: (
            [entry["accepting"] for entry in json.loads((first.state_dir / "fleet.json").read_text())["servers"]]
            == [True, True]
        ),
        what="both in the file",
    )
    assert first.end() == 0
    fleet.redis.kill()
    first.start()
    wait_until(lambda: first.status("/-/live") == 200, timeout=20, what=first.text())
    fleet.redis.start()
    wait_until(lambda: "redis answers again" in first.text(), what="redis")
    up = {name: (number_of(name), "UP") for name in ("alpha", "beta")}
    wait_until(lambda: first.servers() == up, what="both shards")
    assert shards[0].process.poll() is None


def test_two_owners_of_a_state_directory_are_refused(fleet):
    one = fleet.start("dispatcher-1", "dispatcher")
    wait_until(lambda: "dispatches at" in one.text(), what=one.text())
    other = Member(fleet.home, "dispatcher-1", fleet.redis.url, "dispatcher")
    assert other.process.wait(20) == 1
    assert "is in use by another gateway" in other.text()
