"""Two hundred uploads at once, with aborts, parts that are sent again, and workers and Redis killed under them.

Redis comes back with its data the first time, empty the second.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.gateway import Gateway, wait_until
from tests.support.multipart import SMALL_PARTS, body, content_of, left_on_disk, lose_redis, open_uploads, redis_of
from tests.support.wire import CREDENTIALS, UNSIGNED, ServerClosed, Wire
from tests.unit.protocol import signing

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(400)]

UPLOADS = 200
KEYS = 60
THREADS = 12
SEED = 20_240
PATIENCE = 120.0
BETWEEN_KILLS = 20
"""Requests that are answered between two kills, at least."""


@dataclass
class Plan:
    """What one client does, decided before it begins."""

    number: int
    key: str
    parts: list[tuple[int, bytes]]
    """In the order of their sending; of one number the last counts."""
    ending: str
    """complete, twice (completed at the same time by two), abort, or leave."""
    completed: bool = False

    @property
    def content(self) -> bytes:
        latest = dict(self.parts)
        return b"".join(latest[number] for number in sorted(latest))


def plan(number: int) -> Plan:
    choice = random.Random(SEED + number)
    size = choice.choice([20_000, 30_000, 65_536])
    count = choice.randint(1, 7)
    numbers = list(range(1, count + 1))
    if choice.random() < 0.2:
        numbers = sorted(choice.sample(range(1, 10_001), count))
    parts = [
        (part, body(size if index < count - 1 else choice.randint(0, size), number * 1000 + part))
        for index, part in enumerate(numbers)
    ]
    if choice.random() < 0.5:
        choice.shuffle(parts)
    for part, data in list(parts):
        if choice.random() < 0.15:
            length = choice.choice([len(data), len(data), 10, size + 5])
            parts.append((part, body(length, number * 1000 + part + 500)))
    ending = choice.choices(["complete", "twice", "abort", "leave"], [6, 2, 2, 1])[0]
    return Plan(number, f"dir{number % 5}/key{number % KEYS}", parts, ending)


@dataclass
class Stress:
    """The clients, and what they found."""

    gateway: Gateway
    bucket: str
    done: int = 0
    answers: int = 0
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    lost: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def wire(self) -> Wire:
        return Wire(self.gateway, timeout=30)

    def request(self, method: str, plan: Plan, query: dict[str, str], data: bytes = b"") -> Any:
        """As an SDK: repeated until there is an answer that is none of 5xx."""
        give_up = time.monotonic() + PATIENCE
        while True:
            target = f"/{self.bucket}/{plan.key}?" + "&".join(f"{name}={value}" for name, value in query.items())
            try:
                reply = self.wire.call(method, target, body=data, payload=UNSIGNED)
            except (OSError, ServerClosed):
                reply = None
            # An error document behind white space is an answer to be repeated too, as SDKs know.
            if reply is not None and reply.status < 500 and not (reply.status == 200 and reply.code):
                self.answers += 1
                return reply
            if time.monotonic() > give_up:
                raise AssertionError(f"no answer to {method} {query}: {reply}")
            time.sleep(0.1)

    def run(self, plan: Plan) -> None:
        try:
            self.perform(plan)
        except Exception as error:
            self.wrong.append(f"{plan.number}: {error!r}")
        with self.lock:
            self.done += 1

    def perform(self, plan: Plan) -> None:
        begun = self.request("POST", plan, {"uploads": ""})
        upload_id = begun.body.partition(b"<UploadId>")[2].partition(b"</UploadId>")[0].decode()
        etags: dict[int, str] = {}
        for number, data in plan.parts:
            reply = self.request("PUT", plan, {"partNumber": str(number), "uploadId": upload_id}, data)
            assert reply.status == 200, reply
            etags[number] = reply.headers["etag"]
        query = {"uploadId": upload_id}
        if plan.ending == "leave":
            return
        if plan.ending == "abort":
            # 404 when an abortion that got no answer had been done.
            assert self.request("DELETE", plan, query).status in (204, 404)
            return
        items = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etags[number]}</ETag></Part>" for number in sorted(etags)
        )
        manifest = f"<CompleteMultipartUpload>{items}</CompleteMultipartUpload>".encode()
        if plan.ending == "twice":
            with ThreadPoolExecutor(2) as pool:
                replies = list(pool.map(lambda _: self.request("POST", plan, query, manifest), range(2)))
        else:
            replies = [self.request("POST", plan, query, manifest)]
        for reply in replies:
            if reply.status == 404 and self.lost.is_set():
                # It had been done, the answer was lost with Redis, and another upload has replaced the object since:
                # nobody knows of it any more.
                continue
            assert reply.status == 200, reply
            assert b"<CompleteMultipartUploadResult" in reply.body, reply
        plan.completed = True

    def disturb(self) -> None:
        """Kill a worker every now and then, and Redis twice: the second time its data go with it."""
        choice = random.Random(SEED)
        redis_at = [UPLOADS // 4, UPLOADS // 2]
        answered = 0
        while not self.stopped.wait(choice.uniform(0.7, 1.5)):
            if self.answers < answered + BETWEEN_KILLS:
                # On a busy machine workers start more slowly than they would be killed.
                continue
            answered = self.answers
            if redis_at and self.done > redis_at[0]:
                redis_at.pop(0)
                if redis_at:
                    os.kill(self.gateway.redis_pid(), signal.SIGKILL)
                else:
                    self.lost.set()
                    lose_redis(self.gateway)
            try:
                os.kill(choice.choice(self.gateway.worker_pids()), signal.SIGKILL)
            except (ProcessLookupError, IndexError):
                continue


def test_stress(start_gateway: Callable[..., Gateway]) -> None:
    often = ("--janitor-interval", "1", "--durability", "relaxed")
    gateway = start_gateway(*SMALL_PARTS, *often, workers=4, environ=CREDENTIALS)
    s3 = gateway.s3(access_key=signing.ACCESS_KEY, secret_key=signing.SECRET)
    s3.create_bucket(Bucket="bucket")
    stress = Stress(gateway, "bucket")
    plans = [plan(number) for number in range(UPLOADS)]
    disturber = threading.Thread(target=stress.disturb)
    disturber.start()
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(stress.run, plans))
    finally:
        stress.stopped.set()
        disturber.join()
    assert stress.wrong == []
    assert stress.lost.is_set()
    written = {plan.key for plan in plans if plan.completed}
    listed = {entry["Key"] for entry in s3.list_objects_v2(Bucket="bucket").get("Contents", [])}
    assert listed == written
    # Of several uploads of one key any may have come last, but each object is one of them whole.
    for key in sorted(written):
        candidates = {plan.content for plan in plans if plan.completed and plan.key == key}
        assert content_of(s3, "bucket", key) in candidates
    gateway.stop()
    # Whatever clients or killed workers left is old enough for this one.
    old = ("--janitor-age", "0", "--multipart-max-age", "1")
    gateway = start_gateway(*SMALL_PARTS, *often, *old, directory=gateway.directory, environ=CREDENTIALS)
    s3 = gateway.s3(access_key=signing.ACCESS_KEY, secret_key=signing.SECRET)

    def clean() -> bool:
        return left_on_disk(gateway) == [] and open_uploads(s3, "bucket") == []

    wait_until(clean, timeout=90, what="a clean storage")
    with redis_of(gateway) as redis:
        for name in redis.keys("shardgate:v1:upload:*"):
            assert redis.hget(name, "state") == b"done", name
            assert redis.ttl(name) > 0
    for key in sorted(written):
        candidates = {plan.content for plan in plans if plan.completed and plan.key == key}
        assert content_of(s3, "bucket", key) in candidates
