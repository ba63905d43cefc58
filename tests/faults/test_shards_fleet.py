"""A fleet of several hosts, each a group of ports: shards that register, and dispatchers that follow them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from dispatcher.registry import number_of
from tests.faults.shards_load import Load
from tests.support.fleet import Fleet, Member
from tests.support.gateway import ACCESS_KEY, SECRET_KEY, RedisServer, wait_until

pytestmark = pytest.mark.faults

KEYS = (ACCESS_KEY, SECRET_KEY)


@pytest.fixture
def fleet(tmp_path: Path, redis_server: RedisServer, redis_client: object) -> Iterator[Fleet]:
    made = Fleet(tmp_path, redis_server.url)
    yield made
    made.close()
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


def test_a_dispatcher_that_starts_without_redis_knows_the_fleet_from_before(fleet, pair, redis_server):
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
    redis_server.kill()
    first.start()
    wait_until(lambda: first.status("/-/live") == 200, timeout=20, what=first.text())
    redis_server.start()
    wait_until(lambda: "redis answers again" in first.text(), what="redis")
    up = {name: (number_of(name), "UP") for name in ("alpha", "beta")}
    wait_until(lambda: first.servers() == up, what="both shards")
    assert shards[0].process.poll() is None


def test_two_owners_of_a_state_directory_are_refused(fleet):
    one = fleet.start("dispatcher-1", "dispatcher")
    wait_until(lambda: "dispatches at" in one.text(), what=one.text())
    other = Member(fleet.home, "dispatcher-1", fleet.redis_url, "dispatcher")
    assert other.process.wait(20) == 1
    assert "is in use by another gateway" in other.text()
