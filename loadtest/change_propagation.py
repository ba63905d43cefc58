"""Whether every worker obeys a change of an identity one second after it was made.

    python loadtest/change_propagation.py                     # 2 shards of 4 workers, 100 changes
    python loadtest/change_propagation.py --rounds 10 --shards 1 --workers 2

Starts a gateway of its own on a temporary directory. Each round makes a user with a key and a policy, and has each
worker answer a request of his. Then, in turns, the key is disabled, the policy is changed, or the user is deleted, by
another process than the workers, as an operator would. A second later each worker is asked again, on new connections to
the shards' own sockets until all of them have answered: an answer that does not obey the change is counted, and its
worker named by its x-amz-id-2.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dispatcher.statedir import socket_path
from tests.support.gateway import Gateway
from tests.support.identities import Identities, Person

ATTEMPTS = 4000
BUCKET = "propagation"


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = str(path)

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass
class Fleet:
    """The shards of one gateway."""

    gateway: Gateway
    shards: int
    workers: int

    def ask_all(self, url: str) -> dict[str, int]:
        """The status that each worker answers to a presigned URL, by the worker's x-amz-id-2."""
        target = url[len(self.gateway.endpoint) :]
        host = urlsplit(self.gateway.endpoint).netloc
        found: dict[str, int] = {}
        for number in range(1, self.shards + 1):
            path = socket_path(self.gateway.state_dir, f"shard-{number}.sock")
            of_shard: set[str] = set()
            for _ in range(ATTEMPTS):
                connection = UnixConnection(path)
                connection.request("GET", target, headers={"Host": host, "Connection": "close"})
                answer = connection.getresponse()
                answer.read()
                connection.close()
                worker = answer.headers["x-amz-id-2"]
                of_shard.add(worker)
                found.setdefault(worker, answer.status)  # its next request: what it answers after that proves nothing
                if len(of_shard) == self.workers:
                    break
            else:
                raise SystemExit(f"only {len(of_shard)} workers of shard {number} answered")
        return found


def policy(effect: str) -> dict[str, object]:
    """Leave to read everything, or a denial."""
    return {
        "Version": "2012-10-17",
        "Statement": {"Effect": effect, "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"},
    }


def disable_key(people: Identities, account: Person, user: Person) -> None:
    """The key is worth nothing."""
    people.registry.update_key(user.access_key, enabled=False)


def change_policy(people: Identities, account: Person, user: Person) -> None:
    """The policy denies what it allowed."""
    people.registry.users.put_inline(account.account, user.name, "policy", json.dumps(policy("Deny")))


def delete_user(people: Identities, account: Person, user: Person) -> None:
    """The user is no more, and his key with him."""
    people.registry.delete_user(account.account, user.name, cascade=True)


CHANGES: tuple[Callable[[Identities, Person, Person], None], ...] = (disable_key, change_policy, delete_user)


def perform(fleet: Fleet, rounds: int, patience: float) -> int:
    """All rounds; the number of answers that did not obey."""
    people = Identities(fleet.gateway)
    account = people.account("propagation")
    s3 = account.s3()
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="key", Body=b"data")
    disobeyed = 0
    for number in range(rounds):
        user = people.user(account, f"user{number}", policy("Allow"))
        url = user.s3().generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "key"})
        before = fleet.ask_all(url)
        if set(before.values()) != {200}:
            raise SystemExit(f"round {number}: before the change the workers answered {before}")
        change = CHANGES[number % len(CHANGES)]
        change(people, account, user)
        time.sleep(patience)
        after = fleet.ask_all(url)
        wrong = [worker for worker, status in after.items() if status != 403]
        disobeyed += len(wrong)
        for worker in wrong:
            print(f"round {number}, {change.__name__}: worker {worker[:12]} answered {after[worker]}")
    people.close()
    print(f"{rounds} changes, {fleet.shards * fleet.workers} workers, {patience:g} s: {disobeyed} answers did not obey")
    return disobeyed


def main() -> None:
    """Start a gateway, perform, and end with status 1 if a worker did not obey."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--workers", type=int, default=4, help="of each shard")
    parser.add_argument("--patience", type=float, default=1.0, help="seconds between a change and the next request")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        directory = Path(home) / "data"
        with Gateway(directory, "--shards", str(options.shards), workers=options.workers) as gateway:
            wrong = perform(Fleet(gateway, options.shards, options.workers), options.rounds, options.patience)
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
