"""What clients who try access keys out cost the store of identities, over HTTP.

    python -m loadtest.unknown_keys                          # 20,000 requests, 2 workers
    python -m loadtest.unknown_keys --requests 2000 --workers 1 --rate 10

Starts a gateway of its own on a temporary directory, with a storage plugin that notes each document of identities that
any worker reads. Presigned GETs with access keys that nobody has, each another one, are sent over keep-alive
connections; then as many with 100 such keys in turns. Meanwhile a user whose key the workers know goes on with his
work. A worker may ask the store for `unknown_key_rate` keys a second, and once for as many at once.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.counting_posix import PLUGIN, identity_reads
from tests.support.fast_client import Client, Endpoint, read_reply, spread
from tests.support.gateway import Gateway
from tests.support.identities import Identities

CONNECTIONS = 8
REPEATED = 100
EXPECTED = frozenset(((403, "InvalidAccessKeyId"), (503, "SlowDown")))


@dataclass(frozen=True)
class Flood:
    """What one flood was answered, how long it took in seconds, and how many keys the store was asked for."""

    answers: Counter[tuple[int, str]]
    seconds: float
    reads: int

    def most(self, rate: int, workers: int) -> float:
        """The reads that the workers' budgets allow in that time."""
        return workers * rate * (1.0 + self.seconds)


def new_keys(number: int) -> list[str]:
    """Access keys that nobody has, in the form of good ones."""
    return [f"AKIA{secrets.token_hex(8).upper()}" for _ in range(number)]


def flood(gateway: Gateway, keys: Sequence[str], connections: int = CONNECTIONS) -> Flood:
    """Send a presigned GET for each key."""
    before = len(_key_reads(gateway))
    began = time.monotonic()
    answers = Counter(spread(gateway, connections, lambda client, key: _try(client, gateway, key), keys))
    return Flood(answers, time.monotonic() - began, len(_key_reads(gateway)) - before)


def _try(client: Client, endpoint: Endpoint, access_key: str) -> tuple[int, str]:
    date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    query = (
        f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={access_key}%2F{date[:8]}%2F{endpoint.region}%2Fs3%2F"
        f"aws4_request&X-Amz-Date={date}&X-Amz-Expires=600&X-Amz-SignedHeaders=host&X-Amz-Signature={'0' * 64}"
    )
    connection = client.connection()
    connection.sendall(f"GET /bucket/key?{query} HTTP/1.1\r\nHost: {endpoint.host}:{endpoint.port}\r\n\r\n".encode())
    reply = read_reply(connection)
    if reply.headers.get("connection") == "close":
        client.close()
    return reply.status, reply.code


def _key_reads(gateway: Gateway) -> list[str]:
    return [name for name in identity_reads(gateway.directory) if name.startswith("iam/keys/")]


class Working:
    """A user whose key is known, at work in a thread."""

    def __init__(self, gateway: Gateway) -> None:
        people = Identities(gateway)
        self._person = people.account("worker")
        people.close()
        self._s3 = self._person.s3()
        self._s3.create_bucket(Bucket="work")
        for _ in range(20):
            self._work()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.done = 0
        self.refused: Counter[str] = Counter()

    def _work(self) -> None:
        self._s3.put_object(Bucket="work", Key="k", Body=b"data")

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            try:
                self._work()
                self.done += 1
            except Exception as error:  # whatever it is, it is what this counts
                self.refused[str(error)] += 1

    def __enter__(self) -> Working:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def main() -> None:
    """Run both floods, print what they cost, and fail where that is too much."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rate", type=int, default=50, help="the setting unknown_key_rate")
    options = parser.parse_args()
    repeated = new_keys(REPEATED)
    kinds = {
        "each another key": new_keys(options.requests),
        f"{REPEATED} keys in turns": [repeated[number % REPEATED] for number in range(options.requests)],
    }
    sound = True
    with (
        tempfile.TemporaryDirectory() as home,
        Gateway(
            Path(home) / "data",
            *("--backend", str(PLUGIN), "--unknown-key-rate", str(options.rate)),
            workers=options.workers,
        ) as gateway,
        Working(gateway) as working,
    ):
        for kind, keys in kinds.items():
            found = flood(gateway, keys)
            most = found.most(options.rate, options.workers)
            sound = sound and found.reads <= most and found.answers.keys() <= EXPECTED
            answers = ", ".join(f"{number} {code or status}" for (status, code), number in found.answers.items())
            print(f"{kind}: {len(keys)} requests in {found.seconds:.1f} s: {answers}")
            print(f"  the store was asked {found.reads} times; allowed are {most:.0f}")
    print(f"meanwhile a known user did {working.done} requests, refused were {dict(working.refused) or 'none'}")
    sys.exit(0 if sound and not working.refused else 1)


if __name__ == "__main__":
    main()
