"""Budgets over HTTP: who is over budget is refused with SlowDown before he sends anything, and let in again."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import Gateway, wait_until

RATE = 5


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory: Path = tmp_path_factory.mktemp("limited") / "data"
    with Gateway(directory, "--budgets", "--bucket-requests", str(RATE), workers=2) as gateway:
        yield gateway


def test_two_workers_hold_a_bucket_to_one_budget(limited: Gateway) -> None:
    client = limited.s3()
    client.create_bucket(Bucket="shared")
    client.put_object(Bucket="shared", Key="k", Body=b"x")
    answers: Counter[int] = Counter()
    waits: set[str] = set()
    codes: set[str] = set()
    clients = [limited.s3() for _ in range(4)]
    start = time.monotonic()

    def run(own: Any) -> None:
        # On a busy machine it takes a while to send more than the budget allows.
        while answers[503] < 10 and time.monotonic() - start < 40:
            try:
                own.get_object(Bucket="shared", Key="k")["Body"].read()
                answers[200] += 1
            except own.exceptions.ClientError as error:
                answers[error.response["ResponseMetadata"]["HTTPStatusCode"]] += 1
                codes.add(error.response["Error"]["Code"])
                waits.add(error.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"])

    threads = [threading.Thread(target=run, args=(own,)) for own in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (set(answers), codes) == ({200, 503}, {"SlowDown"})
    assert answers[200] <= RATE + RATE * (time.monotonic() - start)
    assert waits == {"1"}
    assert client.list_buckets()["Buckets"]
    client.create_bucket(Bucket="other")

    def served() -> bool:
        try:
            client.head_object(Bucket="shared", Key="k")
        except client.exceptions.ClientError:
            return False
        return True

    wait_until(served, what="a request within the budget")
