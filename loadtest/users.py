"""Users of a gateway for locust. Each has one connection, knows what it stored, and compares what it reads.

The classes are the profiles of `loadtest.locust_run`. What they share stands in a `Plan`: a bucket with objects that
nobody changes, whose content follows from their keys. What a user writes is its own, below a prefix of its own.
"""

from __future__ import annotations

import hashlib
import random
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import gevent
from locust import User, constant_throughput, task

from loadtest.bench.targets import Target
from loadtest.bench.workloads import KIB, MIB, content
from tests.support.fast_client import Client, Reply, ServerClosed, path_of

_UPLOAD = re.compile(rb"<UploadId>([^<]+)</UploadId>")
_KEY = re.compile(rb"<Key>([^<]*)</Key>")
FIRST_PAUSE = 0.1
"""Seconds before the first repetition, then twice as long each time, at random between half and all of it."""


class Wrong(Exception):
    """The gateway answered what it must not: other content, another status, keys that are missing."""


@dataclass(frozen=True)
class Plan:
    """What all users of a run share."""

    target: Target
    bucket: str
    objects: int = 200
    sizes: tuple[int, ...] = (100, KIB, KIB, 16 * KIB, 64 * KIB, MIB)
    kept: int = 50
    """Keys that one user has at most."""
    parts: int = 3
    part_size: int = 5 * MIB
    retries: int = 3
    """Repetitions of a request that broke or was answered 5xx, as SDKs do it."""
    pace: float = 50.0
    """Tasks of one user in a second at most."""
    retried: dict[str, int] = field(default_factory=dict)
    """How many repetitions there were, by operation."""

    def size_of(self, number: int) -> int:
        """Bytes of a shared object."""
        return self.sizes[number % len(self.sizes)]

    def shared_key(self, number: int) -> str:
        """A key of the shared objects: ten to a directory."""
        return f"shared/{number // 10:04d}/{number:06d}"

    def prepare(self) -> None:
        """Make the bucket and the shared objects. Raises `Wrong`."""
        with Client(self.target) as client:
            client.create_bucket(self.bucket)
            for number in range(self.objects):
                key = self.shared_key(number)
                reply = client.put(self.bucket, key, content(key, self.size_of(number)))
                if reply.status != 200:
                    raise Wrong(f"PUT of {key}: {reply}")

    def clean(self, buckets: list[str]) -> None:
        """Remove these buckets and the shared one with all that is in them."""
        with Client(self.target) as client:
            for bucket in (*buckets, self.bucket):
                for key in client.list_keys(bucket):
                    client.delete(bucket, key)
                client.request("DELETE", path_of(bucket))


class S3User(User):
    """What the profiles have in common: requests that are counted, repeated and checked."""

    abstract = True
    plan: ClassVar[Plan]

    @classmethod
    def begin(cls, plan: Plan) -> None:
        """What a profile needs before its users come."""

    @classmethod
    def end(cls, plan: Plan) -> list[str]:
        """Remove what `begin` and the users made; the buckets that are left for others to remove."""
        return []

    def wait_time(self) -> float:
        """Keeps to the pace."""
        return float(constant_throughput(self.plan.pace)(self))

    def on_start(self) -> None:
        """Connect, with a prefix and a sequence of chances of its own."""
        self.bucket = self.plan.bucket
        self.name = secrets.token_hex(6)
        self.chance = random.Random(self.name)
        self.client = Client(self.plan.target, timeout=60)
        self.stored: dict[str, bytes] = {}
        self._serial = 0

    def on_stop(self) -> None:
        """Read back all that is left, which has to be there."""
        try:
            for key in self.chance.sample(sorted(self.stored), min(10, len(self.stored))):
                self.read_own(key)
        finally:
            self.client.close()

    # -- requests

    def send(
        self, operation: str, work: Callable[[], Reply], check: Callable[[Reply], str | None], length: int = 0
    ) -> Reply | None:
        """Perform one operation with repetitions; None when it failed. `check` tells what is wrong with an answer."""
        began = time.perf_counter()
        reply, error = self._attempts(operation, work)
        taken = (time.perf_counter() - began) * 1000
        problem: Exception | None = error
        if reply is not None and error is None:
            wrong = check(reply)
            problem = Wrong(wrong) if wrong else None
        self.environment.events.request.fire(
            request_type="S3",
            name=operation,
            response_time=taken,
            response_length=max(length, len(reply.body) if reply else 0),
            exception=problem,
            context={},
        )
        return None if problem else reply

    def _attempts(self, operation: str, work: Callable[[], Reply]) -> tuple[Reply | None, Exception | None]:
        pause = FIRST_PAUSE
        for attempt in range(self.plan.retries + 1):
            try:
                reply = work()
            except (OSError, ServerClosed) as broken:
                self.client.close()
                reply, error = None, broken
            else:
                if reply.status < 500:
                    return reply, None
                error = OSError(f"{reply.status} {reply.code}")
            if attempt < self.plan.retries:
                self.plan.retried[operation] = self.plan.retried.get(operation, 0) + 1
                gevent.sleep(pause * self.chance.uniform(0.5, 1))
                pause *= 2
        return reply, error

    def put(self, key: str, body: bytes) -> None:
        """PutObject; from then on the key must have this content."""
        etag = hashlib.md5(body).hexdigest()

        def check(reply: Reply) -> str | None:
            return None if (reply.status, reply.etag) == (200, etag) else f"PUT: {reply.status} {reply.code}"

        # Until it is known whether a failed PUT was done, the key is not read.
        self.stored.pop(key, None)
        if self.send("PutObject", lambda: self.client.put(self.bucket, key, body), check, len(body)):
            self.stored[key] = body

    def get(self, key: str, body: bytes) -> None:
        """GetObject and compare."""

        def check(reply: Reply) -> str | None:
            if reply.status != 200:
                return f"GET: {reply.status} {reply.code}"
            return None if reply.body == body else f"other content: {len(reply.body)} of {len(body)} bytes"

        self.send("GetObject", lambda: self.client.get(self.bucket, key), check)

    def get_range(self, key: str, body: bytes) -> None:
        """GetObject of a range and compare."""
        first = self.chance.randrange(len(body))
        last = self.chance.randrange(first, len(body))

        def check(reply: Reply) -> str | None:
            return None if (reply.status, reply.body) == (206, body[first : last + 1]) else f"range: {reply.status}"

        headers = {"range": f"bytes={first}-{last}"}
        self.send("GetObject range", lambda: self.client.get(self.bucket, key, headers), check)

    def head(self, key: str, body: bytes) -> None:
        """HeadObject and compare length and ETag."""
        etag = hashlib.md5(body).hexdigest()

        def check(reply: Reply) -> str | None:
            found = (reply.status, reply.headers.get("content-length"), reply.etag)
            return None if found == (200, str(len(body)), etag) else f"HEAD: {found}"

        self.send("HeadObject", lambda: self.client.request("HEAD", path_of(self.bucket, key)), check)

    def delete(self, key: str) -> None:
        """DeleteObject, and a look that it is gone."""
        self.stored.pop(key, None)

        def check(reply: Reply) -> str | None:
            return None if reply.status == 204 else f"DELETE: {reply.status} {reply.code}"

        if self.send("DeleteObject", lambda: self.client.delete(self.bucket, key), check):
            self.send(
                "HeadObject gone",
                lambda: self.client.request("HEAD", path_of(self.bucket, key)),
                lambda reply: None if reply.status == 404 else f"a deleted object: {reply.status}",
            )

    def list(self, prefix: str, expected: list[str], **parameters: str) -> None:
        """ListObjectsV2 of one page, whose keys are known."""

        def check(reply: Reply) -> str | None:
            keys = [key.decode() for key in _KEY.findall(reply.body)]
            return None if (reply.status, keys) == (200, expected) else f"list: {reply.status}, {len(keys)} keys"

        self.send("ListObjectsV2", lambda: self.client.list_page(self.bucket, prefix=prefix, **parameters), check)

    # -- what tasks are made of

    def shared(self) -> tuple[str, bytes]:
        """One of the shared objects."""
        number = self.chance.randrange(self.plan.objects)
        key = self.plan.shared_key(number)
        return key, content(key, self.plan.size_of(number))

    def write_own(self) -> None:
        """Put a new object, or a new version of an own one."""
        if len(self.stored) < self.plan.kept:
            self._serial += 1
            key = f"{self.name}/{self._serial % 7}/{self._serial:06d}"
        else:
            key = self.chance.choice(sorted(self.stored))
        size = self.chance.choice(self.plan.sizes)
        self.put(key, content(f"{key}#{secrets.token_hex(4)}", size))

    def read_own(self, key: str = "") -> None:
        """Get one of the own objects."""
        if key or self.stored:
            key = key or self.chance.choice(sorted(self.stored))
            self.get(key, self.stored[key])

    def delete_own(self) -> None:
        """Delete one of the own objects."""
        if self.stored:
            self.delete(self.chance.choice(sorted(self.stored)))

    def list_own(self) -> None:
        """List all own objects."""
        self.list(f"{self.name}/", sorted(self.stored))

    def list_shared(self) -> None:
        """A page of the shared objects, from anywhere on."""
        start = self.chance.randrange(self.plan.objects)
        keys = [self.plan.shared_key(number) for number in range(start + 1, self.plan.objects)][:100]
        self.list("shared/", keys, max_keys="100", start_after=self.plan.shared_key(start))

    def upload(self) -> None:
        """A multipart upload, read back and deleted; one in ten is aborted instead."""
        key = f"{self.name}/upload"
        path = path_of(self.bucket, key)
        created = self.send(
            "CreateMultipartUpload",
            lambda: self.client.request("POST", path, {"uploads": ""}),
            lambda reply: None if reply.status == 200 and _UPLOAD.search(reply.body) else f"create: {reply.status}",
        )
        found = _UPLOAD.search(created.body) if created else None
        if found is None:
            return
        upload = found[1].decode()
        bodies = [content(f"{upload}{number}", self.plan.part_size) for number in range(self.plan.parts)]
        bodies[-1] = bodies[-1][: self.plan.part_size // 3]
        etags = [self._part(path, upload, number, body) for number, body in enumerate(bodies, 1)]
        if None in etags or self.chance.random() < 0.1:
            self.send(
                "AbortMultipartUpload",
                lambda: self.client.request("DELETE", path, {"uploadId": upload}),
                lambda reply: None if reply.status == 204 else f"abort: {reply.status} {reply.code}",
            )
            return
        items = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in enumerate(etags, 1)
        )
        document = f"<CompleteMultipartUpload>{items}</CompleteMultipartUpload>".encode()

        def check(reply: Reply) -> str | None:
            done = reply.status == 200 and b"<CompleteMultipartUploadResult" in reply.body
            return None if done else f"complete: {reply.status} {reply.body[:200]!r}"

        if self.send(
            "CompleteMultipartUpload",
            lambda: self.client.request("POST", path, {"uploadId": upload}, body=document),
            check,
        ):
            self.get(key, b"".join(bodies))
            self.delete(key)

    def _part(self, path: str, upload: str, number: int, body: bytes) -> str | None:
        query = {"partNumber": str(number), "uploadId": upload}
        etag = hashlib.md5(body).hexdigest()
        reply = self.send(
            "UploadPart",
            lambda: self.client.request("PUT", path, query, body=body),
            lambda reply: None if (reply.status, reply.etag) == (200, etag) else f"part: {reply.status} {reply.code}",
            len(body),
        )
        return etag if reply else None


class GetHeavy(S3User):
    """Reads objects that many read."""

    tasks: ClassVar[dict[Any, int]] = {}

    @task(80)
    def read(self) -> None:
        """GET."""
        self.get(*self.shared())

    @task(10)
    def part(self) -> None:
        """A range."""
        self.get_range(*self.shared())

    @task(5)
    def look(self) -> None:
        """HEAD."""
        self.head(*self.shared())

    @task(5)
    def write(self) -> None:
        """PUT."""
        self.write_own()


class PutHeavy(S3User):
    """Writes new objects and new versions, and reads some back."""

    @task(75)
    def write(self) -> None:
        """PUT."""
        self.write_own()

    @task(15)
    def read(self) -> None:
        """GET."""
        self.read_own()

    @task(10)
    def remove(self) -> None:
        """DELETE."""
        self.delete_own()


class Mixed(S3User):
    """Everything."""

    @task(45)
    def read(self) -> None:
        """GET."""
        self.get(*self.shared())

    @task(5)
    def part(self) -> None:
        """A range."""
        self.get_range(*self.shared())

    @task(20)
    def write(self) -> None:
        """PUT."""
        self.write_own()

    @task(10)
    def look(self) -> None:
        """HEAD."""
        self.head(*self.shared())

    @task(5)
    def list_keys(self) -> None:
        """A page of the own objects."""
        self.list_own()

    @task(5)
    def list_page(self) -> None:
        """A page of the shared ones."""
        self.list_shared()

    @task(8)
    def remove(self) -> None:
        """DELETE."""
        self.delete_own()

    @task(2)
    def large(self) -> None:
        """A multipart upload."""
        self.upload()


class Listing(S3User):
    """Lists what does not change and what it changes itself."""

    @task(70)
    def list_page(self) -> None:
        """A page of the shared ones."""
        self.list_shared()

    @task(15)
    def list_keys(self) -> None:
        """A page of the own objects."""
        self.list_own()

    @task(10)
    def write(self) -> None:
        """PUT."""
        self.write_own()

    @task(5)
    def remove(self) -> None:
        """DELETE."""
        self.delete_own()


class Multipart(S3User):
    """Uploads in parts."""

    @task
    def large(self) -> None:
        """A multipart upload."""
        self.upload()
