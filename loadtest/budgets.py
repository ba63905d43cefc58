"""What budgets cost a warm request, in microseconds: `python loadtest/budgets.py`.

Admits requests of one account to one bucket, with a redis-server of its own, and prints the median of five rounds for
each set of limits. The first line is the cost of the switch when budgets are off.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.gateway import RedisServer
from workers.fairness.budgets import Budgets
from workers.iam.accounts import Account
from workers.iam.records import AccountLimits
from workers.settings import load_settings
from workers.state.redis import connect

ROUNDS = 5
REQUESTS = 20_000
PLENTY = 10**9


class Exchange:
    """A request in progress."""

    __slots__ = ("bytes_received", "bytes_sent", "callback")

    def __init__(self) -> None:
        self.bytes_received = 0
        self.bytes_sent = 1024

    def on_finish(self, callback: Any) -> None:
        self.callback = callback


def request(limits: AccountLimits) -> Any:
    identity = SimpleNamespace(account=Account(id="a" * 64, name="a"), record=SimpleNamespace(limits=limits))
    return SimpleNamespace(identity=identity, bucket="bucket", environ={})


def measure(budgets: Budgets | None, limits: AccountLimits) -> float:
    made = request(limits)
    start = time.perf_counter()
    for _ in range(REQUESTS):
        exchange = made.environ["shardgate.exchange"] = Exchange()
        if budgets is not None:
            budgets.admit(made)
            if hasattr(exchange, "callback"):
                exchange.callback()
    return (time.perf_counter() - start) / REQUESTS * 1e6


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        server = RedisServer(Path(directory))
        client = connect(server.url)
        try:
            rows = {
                "off": (None, AccountLimits()),
                "on, no limits": ({}, AccountLimits()),
                "account: requests": ({}, AccountLimits(requests=PLENTY)),
                "account: requests, bytes, concurrent": (
                    {},
                    AccountLimits(requests=PLENTY, bytes=PLENTY * 1000, concurrent=1000),
                ),
                "account and bucket: all three": (
                    {"bucket_requests": PLENTY, "bucket_bytes": PLENTY * 1000, "bucket_concurrent": 1000},
                    AccountLimits(requests=PLENTY, bytes=PLENTY * 1000, concurrent=1000),
                ),
            }
            for name, (given, limits) in rows.items():
                budgets = None if given is None else Budgets(load_settings(given, {}), client)
                rounds = [measure(budgets, limits) for _ in range(ROUNDS)]
                print(f"{name:<40} {statistics.median(rounds):6.2f} us ({min(rounds):.2f} to {max(rounds):.2f})")
        finally:
            client.close()
            server.close()


if __name__ == "__main__":
    main()
