"""Three hosts with two shards each and two dispatchers, in network namespaces: each is cut off and comes back."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dispatcher.embedded_redis import find_server
from dispatcher.registry import number_of
from tests.faults.shards_load import Load
from tests.support.fleet import Fleet, Host, Hosts, Member, can_make_hosts
from tests.support.gateway import ACCESS_KEY, SECRET_KEY, free_port, wait_until
from workers.state.redis import connect, ping

pytestmark = pytest.mark.faults

KEYS = (ACCESS_KEY, SECRET_KEY)
SHARDS = ("a1", "a2", "b1", "b2", "c1", "c2")


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    reason = can_make_hosts()
    if reason:
        pytest.skip(f"{reason} (they need root and iproute2)")
    with Hosts(5) as made:
        yield made


@contextmanager
def redis_on(hosts: Hosts, directory: Path) -> Iterator[str]:
    """A Redis that the hosts reach over the network alone; its URL."""
    port = free_port()
    command = [find_server(), "--bind", hosts.gateway, "--port", str(port), "--protected-mode", "no", "--save", ""]
    process = subprocess.Popen([*command, "--dir", str(directory)], stdout=subprocess.DEVNULL)
    url = f"redis://{hosts.gateway}:{port}"
    client = connect(url)
    try:
        wait_until(lambda: ping(client), what="redis")
        yield url
    finally:
        client.close()
        process.kill()
        process.wait()


@pytest.mark.timeout(300)
def test_each_host_may_be_cut_off_and_come_back(tmp_path: Path, hosts: Hosts):
    with redis_on(hosts, tmp_path) as url:
        fleet = Fleet(tmp_path, url)
        try:
            _cut_each(fleet, hosts)
        finally:
            fleet.close()
    for member in fleet.members:
        assert "Traceback" not in member.text(), member.text()


def _cut_each(fleet: Fleet, hosts: Hosts) -> None:
    for name in SHARDS:
        fleet.shard(name, hosts["abc".index(name[0])], hosts.trusted)
    fronts = [fleet.start(f"front-{number}", "dispatcher", host=hosts[number]) for number in (3, 4)]
    everyone = {name: (number_of(name), "UP") for name in SHARDS}
    for front in fronts:
        wait_until(lambda: front.servers() == everyone, timeout=90, what=f"all shards\n{front.text()}")  # noqa: B023
    # Who talks through a dispatcher that is cut off waits for its return.
    patience = {"connect_timeout": 2, "read_timeout": 10}
    with Load([front.endpoint for front in fronts], KEYS, attempts=10, threads=4, **patience) as load:
        load.run_for(1.0)
        for number in range(3):
            cut_shards(hosts[number], fronts, everyone, load)
        for number in (3, 4):
            hosts[number].cut()
            load.run_for(2.0)
            hosts[number].join()
            load.run_for(1.0)
    assert load.failures == []
    assert sum(load.operations.values()) > 30
    assert load.verify() > 5
    for front in fronts:
        wait_until(lambda: front.servers() == everyone, timeout=60, what=f"all shards\n{front.text()}")  # noqa: B023


def cut_shards(host: Host, fronts: list[Member], everyone: dict[str, tuple[int, str]], load: Load) -> None:
    """Cut a host with shards off until both dispatchers have noticed, and let it come back."""
    host.cut()
    for front in fronts:
        wait_until(lambda: sum(_usable(front)) <= 4, timeout=60, what="the loss")  # noqa: B023
    load.run_for(0.5)
    host.join()
    for front in fronts:
        wait_until(lambda: front.servers() == everyone, timeout=60, what="the return")  # noqa: B023


def _usable(front: Member) -> list[bool]:
    return [status == "UP" for _, status in front.servers().values()]
