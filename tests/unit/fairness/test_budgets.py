"""Budgets: what the fleet uses together, what a worker does alone, and how all come back to it."""

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from backends.api import BackendConfig, BucketRecord, Caller
from backends.loader import create
from tests.support.gateway import RedisServer, wait_until
from workers.fairness import bucket_limits, slots
from workers.fairness.bucket_limits import BucketLimits
from workers.fairness.budgets import Budgets, Limits
from workers.fairness.client import PREFIX
from workers.iam.accounts import ROOT_ACCOUNT, Account
from workers.iam.records import AccountLimits
from workers.protocol.errors import S3Error
from workers.settings import load_settings
from workers.state.redis import connect

ACCOUNT = Account(id="a" * 64, name="alice")


class Exchange:
    """A request in progress."""

    def __init__(self) -> None:
        self.bytes_received = 0
        self.bytes_sent = 0
        self._callbacks: list[Callable[[], object]] = []

    def on_finish(self, callback: Callable[[], object]) -> None:
        self._callbacks.append(callback)

    def end(self, received: int = 0, sent: int = 0) -> None:
        self.bytes_received, self.bytes_sent = received, sent
        for callback in self._callbacks:
            callback()


def request(
    exchange: Exchange | None = None, *, bucket: str = "", account: Account | None = ACCOUNT, **limits: int
) -> Any:
    identity = None
    if account is not None:
        identity = SimpleNamespace(account=account, record=SimpleNamespace(limits=AccountLimits(**limits)))
    return SimpleNamespace(identity=identity, bucket=bucket, environ={"shardgate.exchange": exchange})


def admitted(budgets: Budgets, made: Any) -> bool:
    try:
        budgets.admit(made)
    except S3Error as error:
        return error.code == "SlowDown" and not 1 <= int(error.headers["Retry-After"]) <= 60
    return True


def worker(client: redis.Redis | None, **given: Any) -> Budgets:
    clock = given.pop("clock", time.monotonic)
    return Budgets(load_settings(given, {}), client, clock=clock)


@pytest.fixture
def client(redis_client: redis.Redis) -> redis.Redis:
    return redis_client


@pytest.fixture
def gone() -> Iterator[redis.Redis]:
    """A Redis that is not there."""
    made = connect("unix:///nowhere/redis.sock", timeout=0.1)
    yield made
    made.close()


# -- requests a second


def test_workers_use_together_what_the_budget_gives(client: redis.Redis) -> None:
    rate = 100
    workers = [worker(client) for _ in range(3)]
    start = time.monotonic()
    counts = [0, 0, 0]

    def run(number: int) -> None:
        # On a busy machine it takes a while to send as much as the budget allows.
        while (elapsed := time.monotonic() - start) < 1.0 or (sum(counts) < rate and elapsed < 30):
            counts[number] += admitted(workers[number], request(requests=rate))
            time.sleep(0.001)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rate <= sum(counts) <= rate + rate * (time.monotonic() - start)


def test_a_warm_request_asks_nobody(client: redis.Redis) -> None:
    budgets = worker(client)
    for _ in range(200):
        assert admitted(budgets, request(requests=100_000, bytes=10**9, concurrent=1000))
    client.config_resetstat()
    asked = 0
    for _ in range(100):
        assert admitted(budgets, request(requests=100_000, bytes=10**9, concurrent=1000))
    asked = client.info("commandstats").get("cmdstat_eval", {"calls": 0})["calls"]
    assert asked < 10


def test_accounts_do_not_share(client: redis.Redis) -> None:
    budgets = worker(client)
    other = Account(id="b" * 64, name="bob")
    assert sum(admitted(budgets, request(requests=1)) for _ in range(5)) == 1
    assert admitted(budgets, request(requests=1, account=other))


def test_an_account_without_limits_gets_the_default_ones(client: redis.Redis) -> None:
    budgets = worker(client, account_requests=1)
    assert sum(admitted(budgets, request()) for _ in range(5)) == 1
    assert sum(admitted(budgets, request(requests=3, account=Account(id="c" * 64, name="c"))) for _ in range(5)) == 3
    assert sum(admitted(budgets, request(account=None)) for _ in range(5)) == 1
    assert sum(admitted(budgets, request(account=ROOT_ACCOUNT)) for _ in range(5)) == 5


def test_a_changed_limit_counts_at_once(client: redis.Redis) -> None:
    budgets = worker(client)
    assert sum(admitted(budgets, request(requests=1)) for _ in range(5)) == 1
    wait_until(lambda: sum(admitted(budgets, request(requests=1000)) for _ in range(5)) == 5, what="the new rate")


def test_a_bucket_has_a_budget_for_all_who_use_it(client: redis.Redis) -> None:
    budgets = worker(client, bucket_requests=2)
    other = Account(id="b" * 64, name="bob")
    made = [request(bucket="b1"), request(bucket="b1", account=other), request(bucket="b1", account=ROOT_ACCOUNT)]
    assert [admitted(budgets, one) for one in made] == [True, True, False]
    assert admitted(budgets, request(bucket="b2"))


def test_who_is_refused_by_one_budget_uses_no_slot_of_another(client: redis.Redis) -> None:
    budgets = worker(client, bucket_requests=1)
    for _ in range(10):
        admitted(budgets, request(Exchange(), bucket="b1", concurrent=3))
    other = [admitted(budgets, request(Exchange(), bucket=f"other{n}", concurrent=3)) for n in range(3)]
    assert other == [True, True, False]


# -- bytes a second


def test_a_transfer_beyond_the_budget_is_paid_by_time(client: redis.Redis) -> None:
    one, other = worker(client), worker(client)
    exchange = Exchange()
    assert admitted(one, request(exchange, bytes=1_000_000))
    exchange.end(received=2_000_000, sent=4_000_000)
    with pytest.raises(S3Error) as refused:
        one.admit(request(bytes=1_000_000))
    assert 4 <= int(refused.value.headers["Retry-After"]) <= 6
    one.settle()
    assert not admitted(other, request(bytes=1_000_000))


def test_what_another_worker_owes_is_told_by_settling(client: redis.Redis) -> None:
    one, other = worker(client), worker(client)
    exchange = Exchange()
    assert admitted(one, request(exchange, bytes=1000))
    exchange.end(sent=100_000)
    one.settle()
    assert not admitted(other, request(bytes=1000))


def test_bytes_that_were_not_used_go_back(client: redis.Redis) -> None:
    now = [0.0]
    one = worker(client, clock=lambda: now[0])
    assert admitted(one, request(bytes=1000))
    key = f"{PREFIX}{{account:{ACCOUNT.id}}}:bytes"
    assert float(client.hget(key, "left") or 0) < 1000
    now[0] += 2.0
    one.settle()
    assert float(client.hget(key, "left") or 0) == 1000


# -- requests at a time


def test_workers_share_slots(client: redis.Redis) -> None:
    workers = [worker(client), worker(client)]
    running = []
    for number in range(20):
        exchange = Exchange()
        if admitted(workers[number % 2], request(exchange, concurrent=5)):
            running.append(exchange)
    assert len(running) == 5
    running.pop().end()
    settle_leases(*workers)
    wait_until(lambda: admitted(workers[1], request(Exchange(), concurrent=5)), what="the free slot")
    assert not admitted(workers[0], request(Exchange(), concurrent=5))


def settle_leases(*workers: Budgets) -> None:
    for budgets in workers:
        for _ in range(10):
            budgets.settle()


def test_the_slots_of_a_dead_worker_come_back(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "LEASE_SECONDS", 0.5)
    dead, alive = worker(client), worker(client)
    assert all(admitted(dead, request(Exchange(), concurrent=2)) for _ in range(2))
    assert not admitted(alive, request(Exchange(), concurrent=2))
    wait_until(lambda: admitted(alive, request(Exchange(), concurrent=2)), what="the end of the lease")


def test_an_idle_worker_gives_its_slots_back(client: redis.Redis) -> None:
    one, other = worker(client), worker(client)
    exchange = Exchange()
    assert admitted(one, request(exchange, concurrent=1))
    exchange.end()
    settle_leases(one)
    assert admitted(other, request(Exchange(), concurrent=1))


# -- without Redis


def test_without_redis_a_worker_goes_on_with_its_share(gone: redis.Redis) -> None:
    now = [0.0]
    budgets = worker(gone, budget_share_alone=10, clock=lambda: now[0])
    assert sum(admitted(budgets, request(requests=100)) for _ in range(50)) == 10
    for _ in range(20):
        now[0] += 0.1
        admitted(budgets, request(requests=100))
    now[0] += 1.0
    assert sum(admitted(budgets, request(requests=100)) for _ in range(50)) == 10
    bob = Account(id="b" * 64, name="bob")
    running = [Exchange() for _ in range(20)]
    assert sum(admitted(budgets, request(one, concurrent=20, account=bob)) for one in running) == 2
    for one in running:
        one.end()
    budgets.settle()


def test_a_small_budget_is_not_nothing_without_redis(gone: redis.Redis) -> None:
    now = [0.0]
    budgets = worker(gone, budget_share_alone=10, clock=lambda: now[0])
    count = 0
    for _ in range(200):
        now[0] += 0.1
        count += admitted(budgets, request(requests=1))
    assert 2 <= count <= 4


def test_bytes_are_owed_without_redis_too(gone: redis.Redis) -> None:
    now = [0.0]
    budgets = worker(gone, budget_share_alone=100, clock=lambda: now[0])
    exchange = Exchange()
    assert admitted(budgets, request(exchange, bytes=1000))
    exchange.end(sent=6000)
    for _ in range(4):
        now[0] += 1.0
        assert not admitted(budgets, request(bytes=1000))
    now[0] += 2.0
    assert admitted(budgets, request(bytes=1000))


def test_a_redis_that_comes_back_is_used_again(redis_server: RedisServer) -> None:
    client = connect(redis_server.url)
    now = [0.0]
    one, other = (worker(client, clock=lambda: now[0]) for _ in range(2))
    assert admitted(one, request(requests=10, concurrent=4))
    redis_server.kill()
    try:
        now[0] += 6.0
        assert admitted(one, request(requests=10, concurrent=4))
    finally:
        redis_server.start()
    now[0] += 6.0
    count = sum(admitted(budgets, request(requests=10)) for _ in range(30) for budgets in (one, other))
    assert 10 <= count <= 13
    client.close()


# -- limits of buckets


def test_a_bucket_may_have_limits_of_its_own() -> None:
    backend = create("memory", BackendConfig())
    backend.create_bucket(Caller(account_id="", user_name=""), BucketRecord(name="b1", owner="", created=0))
    now = [0.0]
    limits = BucketLimits(backend, lambda: now[0])
    assert limits.of("b1") is None
    bucket_limits.save(backend, "b1", Limits(requests=7))
    assert limits.of("b1") is None
    now[0] += bucket_limits.LIFETIME
    assert limits.of("b1") == Limits(7, 0, 0)
    assert limits.of("missing") is None
    backend.put_document("b1", bucket_limits.DOCUMENT, b"no JSON")
    now[0] += bucket_limits.LIFETIME
    assert limits.of("b1") == Limits(7, 0, 0)
    bucket_limits.save(backend, "b1", None)
    now[0] += bucket_limits.LIFETIME
    assert limits.of("b1") is None
