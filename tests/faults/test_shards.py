"""Shards behind HAProxy lose members under load: nothing acknowledged is lost, and clients notice a retry at most."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import trustme

from tests.faults.shards_load import Load
from tests.support.gateway import ACCESS_KEY, SECRET_KEY, Gateway, s3_client, wait_until

pytestmark = pytest.mark.faults

KEYS = (ACCESS_KEY, SECRET_KEY)


def gunicorns(gateway: Gateway) -> list[psutil.Process]:
    """The masters of the two shards, once both have started."""
    return wait_until(lambda: len(found := masters(gateway)) == 2 and [found[name] for name in sorted(found)])


def masters(gateway: Gateway) -> dict[str, psutil.Process]:
    """The masters that run, by shard."""
    found: dict[str, psutil.Process] = {}
    for child in psutil.Process(gateway.pid).children():
        try:
            words = " ".join(child.cmdline())
        except psutil.NoSuchProcess:  # also for one that ended and was not reaped yet
            continue
        for name in ("shard-1", "shard-2"):
            if words.strip() == f"gunicorn: master [{name}]":
                found[name] = child
    return found


def haproxy(gateway: Gateway) -> psutil.Process:
    return next(child for child in psutil.Process(gateway.pid).children() if "haproxy.cfg" in " ".join(child.cmdline()))


def settled(gateway: Gateway) -> None:
    """Wait until both shards serve again."""

    def both() -> bool:
        status = shardgate(gateway, "status", check=False).stdout
        return status.startswith("2 of 2 shards serve")

    wait_until(both, timeout=30, what="two serving shards")


def shardgate(gateway: Gateway, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dispatcher.cli", *arguments, "--state-dir", str(gateway.state_dir)],
        capture_output=True,
        text=True,
        timeout=90,
        check=check,
    )


def certificate(directory: Path) -> tuple[str, ...]:
    """Options that make the gateway speak TLS."""
    made = trustme.CA().issue_cert("127.0.0.1")
    made.cert_chain_pems[0].write_to_path(directory / "certificate.pem")
    made.private_key_pem.write_to_path(directory / "key.pem")
    return "--tls-certificate", str(directory / "certificate.pem"), "--tls-key", str(directory / "key.pem")


def test_kills_under_load_cost_a_retry_at_most(start_gateway: Callable[..., Gateway]):
    gateway = start_gateway("--shards", "2", workers=2)
    settled(gateway)
    with Load([gateway.endpoint], KEYS, attempts=5) as load:
        for number in range(4):  # a worker every second
            load.run_for(1.0)
            master = gunicorns(gateway)[number % 2]
            workers = master.children()
            os.kill(workers[number // 2 % len(workers)].pid, signal.SIGKILL)
        load.run_for(1.0)
        gunicorns(gateway)[0].kill()
        load.run_for(2.0)
        haproxy(gateway).kill()
        load.run_for(2.0)
    assert load.failures == []
    assert sum(load.operations.values()) > 30
    assert load.verify() > 5
    text = gateway.log.read_text()
    assert "shard-1 was ended by SIGKILL; starting it again in 0.1 s" in text
    assert "haproxy was ended by SIGKILL; starting it again in 0.1 s" in text
    settled(gateway)


@pytest.mark.timeout(300)  # minutes on a machine without a free core
def test_drain_and_rolling_restart_fail_no_request_without_retries(start_gateway: Callable[..., Gateway]):
    gateway = start_gateway("--shards", "2", workers=1)
    settled(gateway)
    before = [process.pid for process in gunicorns(gateway)]
    with Load([gateway.endpoint], KEYS, attempts=1) as load:
        load.run_for(1.0)
        shardgate(gateway, "shards", "drain", "shard-1")
        load.run_for(1.5)
        shardgate(gateway, "shards", "undrain", "shard-1")
        load.run_for(1.0)
        found = shardgate(gateway, "shards", "restart", "--rolling")
        load.run_for(0.5)
        gateway.signal(signal.SIGHUP)
        load.run_for(3.0)
    assert found.stdout.splitlines() == [f"shard-{n} {word}" for n in (1, 2) for word in ("restarts", "is back")]
    assert load.failures == []
    assert load.verify() > 5
    assert not set(before) & {process.pid for process in gunicorns(gateway)}


def test_nothing_stays_when_the_supervisor_is_killed(start_gateway: Callable[..., Gateway]):
    gateway = start_gateway("--shards", "2", workers=1)
    children = gateway.children()
    assert len(children) >= 6  # HAProxy, Redis, two masters with a worker each
    gateway.kill()
    wait_until(
        lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children),
        what="the end of all processes",
    )
    gateway.start()
    settled(gateway)
    again = gateway.children()
    assert gateway.stop() == 0
    assert not any(child.is_running() for child in again)


def test_a_shard_that_keeps_dying_is_told_and_the_other_serves(start_gateway: Callable[..., Gateway]):
    gateway = start_gateway("--shards", "2", workers=1)
    settled(gateway)
    client = gateway.s3(retries={"mode": "standard", "total_max_attempts": 5})
    client.create_bucket(Bucket="looping")

    def kill_once() -> bool:
        if "shard-1" in (found := masters(gateway)):
            found["shard-1"].kill()
        return "shard-1 keeps ending, 5 times within" in gateway.log.read_text()

    number = 0
    give_up = time.monotonic() + 30
    while not kill_once():
        client.put_object(Bucket="looping", Key=f"{number}", Body=b"x")
        number += 1
        assert time.monotonic() < give_up
    assert len(client.list_objects_v2(Bucket="looping").get("Contents", [])) == number


def test_a_redis_that_comes_back_empty_finds_the_fleet_again(start_gateway: Callable[..., Gateway], redis_server):
    gateway = start_gateway("--shards", "2", workers=1, environ={"SHARDGATE_REDIS_URL": redis_server.url})

    def registered() -> int:
        status = shardgate_at(redis_server.url, "status").stdout
        return int(status.partition(" ")[0] or 0) if status else 0

    wait_until(lambda: registered() == 2, timeout=30, what="two serving shards")
    with Load([gateway.endpoint], KEYS, attempts=1, multipart=False) as load:
        load.run_for(0.5)
        redis_server.kill()
        load.run_for(3.0)
        redis_server.start()
        load.run_for(2.0)
    assert load.failures == []
    wait_until(lambda: registered() == 2, timeout=20, what="the fleet")
    text = gateway.log.read_text()
    assert "redis does not take heartbeats" in text
    assert "redis takes heartbeats again" in text


def shardgate_at(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dispatcher.cli", *arguments, "--redis-url", url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("secured", [False, True], ids=["plain", "tls"])
def test_two_thousand_slow_connections_do_not_stop_fifty_clients(
    start_gateway: Callable[..., Gateway], tmp_path: Path, secured: bool
):
    gateway = start_gateway("--shards", "2", *(certificate(tmp_path) if secured else ()), workers=1, wait=False)
    settled(gateway)
    endpoint = gateway.endpoint.replace("http:", "https:") if secured else gateway.endpoint
    client = s3_client(endpoint, *KEYS, verify=False, max_pool_connections=50, read_timeout=30)
    client.create_bucket(Bucket="crowd")
    client.put_object(Bucket="crowd", Key="large", Body=os.urandom(4 << 20))
    host = f"{gateway.host}:{gateway.port}"
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def target(operation: str, key: str) -> str:
        url = client.generate_presigned_url(operation, Params={"Bucket": "crowd", "Key": key})
        return url.removeprefix(endpoint)

    heads = [
        f"GET /crowd/key HTTP/1.1\r\nHost: {host}\r\nX-Slo",
        f"PUT {target('put_object', 'slow')} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000000\r\n\r\nsome",
        f"GET {target('get_object', 'large')} HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "",
    ]
    crowd: list[socket.socket] = []
    try:
        for number in range(2000):
            slow = socket.socket()
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # a reader that does not read
            slow.settimeout(20)
            slow.connect((gateway.host, gateway.port))
            if secured and number % 5:  # one of five does not even greet
                slow = context.wrap_socket(slow)
            if not secured or number % 5:
                slow.sendall(heads[number % len(heads)].encode())
            crowd.append(slow)

        def work(number: int) -> bool:
            body = os.urandom(20_000)
            client.put_object(Bucket="crowd", Key=f"normal/{number}", Body=body)
            return bool(client.get_object(Bucket="crowd", Key=f"normal/{number}")["Body"].read() == body)

        with ThreadPoolExecutor(50) as pool:
            assert all(pool.map(work, range(150)))
    finally:
        for slow in crowd:
            slow.close()
    assert client.get_object(Bucket="crowd", Key="normal/1")["Body"].read()
