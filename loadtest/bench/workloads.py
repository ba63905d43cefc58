"""The fixed set of workloads.

Each prepares what it needs on a target once, runs for some seconds in each round, and compares a sample of what was
answered or stored with what it must be. Small requests are prepared for wrk; large bodies and uploads are sent by
`transfers`.
"""

from __future__ import annotations

import hashlib
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from loadtest.bench.heads import replay_heads
from loadtest.bench.replay import Replayed, pack, replay
from loadtest.bench.targets import Target
from tests.support.fast_client import Client, Signer, path_of, query_of

KIB = 1 << 10
MIB = 1 << 20
SIGNED_FOR = 300.0
"""Seconds after which prepared requests are signed anew; S3 takes them for 900."""
SAMPLE = 8
"""Objects that are read back and compared after each run."""


@dataclass(frozen=True)
class Sample:
    """One run. `value` is in the workload's unit, times in seconds."""

    value: float
    requests: int
    seconds: float
    median: float
    p99: float
    client_cpu: float


@dataclass(frozen=True)
class Scale:
    """How large the workloads are."""

    connections: int = 32
    objects: int = 1000
    """That are read, of each size; for 64 KiB at most 500."""
    writes: int = 4000
    """Keys that PUTs go round; DELETEs of one run."""
    listed: int = 10_000
    page: int = 1000
    large: int = 64 * MIB
    streams: int = 2
    parts: int = 8
    part_size: int = 5 * MIB


class WrongAnswer(RuntimeError):
    """A server stored or answered something else than it should."""


def content(key: str, size: int) -> bytes:
    """The data of an object: different for each key."""
    block = hashlib.sha256(key.encode()).digest()
    return (block * (size // len(block) + 1))[:size]


@dataclass(frozen=True)
class Call:
    """A request before it is signed."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Prepared:
    """Calls signed for a target, and signed again before their time is up."""

    def __init__(self, target: Target, calls: Sequence[Call]) -> None:
        self.count = len(calls)
        self._target = target
        self._calls = calls
        self._signed = 0.0
        self._packed = b""

    def packed(self) -> bytes:
        """What `replay` takes."""
        if not self._signed or time.monotonic() - self._signed > SIGNED_FOR:
            signer = Signer(self._target)
            self._packed = pack(self._sign(signer, call) for call in self._calls)
            self._signed = time.monotonic()
        return self._packed

    @staticmethod
    def _sign(signer: Signer, call: Call) -> bytes:
        query = query_of(call.query)
        headers = signer.headers(call.method, call.path, query, {}, hashlib.sha256(call.body).hexdigest())
        if call.method == "PUT":
            headers["content-length"] = str(len(call.body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{call.method} {call.path}{'?' + query if query else ''} HTTP/1.1\r\n{lines}\r\n".encode() + call.body


Calls = Callable[[str], Sequence[Call]]
"""The calls of a bucket."""


class Workload(ABC):
    """One row of the table. An object serves all targets and keeps what it prepared for each by name."""

    unit = "requests/s"
    higher_is_better = True
    needs_storage = False
    """Whether a target that stores nothing has no use for it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def prepare(self, target: Target, bucket: str) -> None:  # noqa: B027 - most need nothing
        """Store what is needed, once for each target."""

    def before(self, target: Target, bucket: str) -> None:  # noqa: B027 - likewise
        """What each run needs, outside of its time."""

    @abstractmethod
    def run(self, target: Target, bucket: str, seconds: float) -> Sample:
        """Measure. Raises `ReplayError`, `WrongAnswer` or `OSError`."""

    @abstractmethod
    def check(self, target: Target, bucket: str) -> None:
        """Compare a sample. Raises `WrongAnswer`."""


def sample_of(found: Replayed) -> Sample:
    """A replay's figures with its rate as the value."""
    return Sample(found.rate, found.requests, found.seconds, found.median, found.p99, found.client_cpu)


def store(target: Target, bucket: str, keys: Iterable[str], size: int, connections: int) -> None:
    """Put objects with the content that belongs to each key."""
    calls = [Call("PUT", path_of(bucket, key), body=content(key, size)) for key in keys]
    replay(target, Prepared(target, calls).packed(), connections, count=len(calls))


class Replaying(Workload):
    """Prepared calls in turn until the time is up; in no time at all, each of them once."""

    def __init__(
        self,
        name: str,
        scale: Scale,
        calls: Calls,
        stored: Sequence[str] = (),
        size: int = 0,
        written: Sequence[str] = (),
        connections: int = 0,
    ) -> None:
        """`calls` makes those of a bucket; `stored` keys are put before, `written` ones are compared afterwards."""
        super().__init__(name)
        self._connections = connections or scale.connections
        self._calls = calls
        self._stored = stored
        self._size = size
        self._written = written
        self._prepared: dict[str, Prepared] = {}

    def prepare(self, target: Target, bucket: str) -> None:
        """Store what is read."""
        if self._stored and target.stores:
            store(target, bucket, self._stored, self._size, self._connections)
        self._prepared[target.name] = Prepared(target, self._calls(bucket))

    def run(self, target: Target, bucket: str, seconds: float) -> Sample:
        """Requests per second."""
        prepared = self._prepared[target.name]
        count = 0 if seconds else prepared.count
        return sample_of(replay(target, prepared.packed(), self._connections, seconds=seconds, count=count))

    def check(self, target: Target, bucket: str) -> None:
        """Read some of the objects, by HEAD and GET."""
        keys = self._written or self._stored
        # The first ones were written for certain, however slow the server is.
        chosen = random.Random(0).sample(keys[:50] if self._written else keys, min(SAMPLE, len(keys)))
        with Client(target) as client:
            for key in chosen:
                expect_object(client, bucket, key, content(key, self._size))


def expect_object(client: Client, bucket: str, key: str, body: bytes) -> None:
    """Raises `WrongAnswer`."""
    head = client.request("HEAD", path_of(bucket, key))
    if head.status != 200 or head.headers.get("content-length") != str(len(body)):
        raise WrongAnswer(f"HEAD of {key}: {head}")
    reply = client.get(bucket, key)
    if reply.status != 200 or reply.body != body:
        raise WrongAnswer(f"GET of {key}: {reply.status}, {len(reply.body)} bytes that are not those that were put")


class Heading(Replaying):
    """HEADs."""

    def run(self, target: Target, bucket: str, seconds: float) -> Sample:
        """Requests per second."""
        return sample_of(replay_heads(target, self._prepared[target.name].packed(), self._connections, seconds))


class Deleting(Workload):
    """DELETEs of objects that were put just before."""

    def __init__(self, name: str, scale: Scale, keys: Sequence[str], size: int) -> None:
        super().__init__(name)
        self._connections = scale.connections
        self._keys = keys
        self._size = size

    def before(self, target: Target, bucket: str) -> None:
        """Put the objects."""
        if target.stores:
            store(target, bucket, self._keys, self._size, self._connections)

    def run(self, target: Target, bucket: str, seconds: float) -> Sample:
        """Requests per second; as many as there are keys, whatever the seconds."""
        prepared = Prepared(target, [Call("DELETE", path_of(bucket, key)) for key in self._keys])
        return sample_of(replay(target, prepared.packed(), self._connections, count=len(self._keys)))

    def check(self, target: Target, bucket: str) -> None:
        """None of them is there any more."""
        with Client(target) as client:
            for key in random.Random(0).sample(self._keys, min(SAMPLE, len(self._keys))):
                status = client.request("HEAD", path_of(bucket, key)).status
                if status != 404:
                    raise WrongAnswer(f"HEAD of {key} after its DELETE: {status}")


class Listing(Replaying):
    """Pages that begin at one position of a bucket of its own."""

    needs_storage = True

    def __init__(self, name: str, scale: Scale, starts: Sequence[int]) -> None:
        keys = [f"object-{number:08d}" for number in range(scale.listed)]
        self._keys = keys
        self._page = scale.page
        self._starts = starts
        super().__init__(name, scale, self._pages, keys, 64, connections=4)

    def _query(self, start: int) -> dict[str, str]:
        after = {"start-after": self._keys[start - 1]} if start else {}
        return {"list-type": "2", "max-keys": str(self._page), **after}

    def _pages(self, bucket: str) -> list[Call]:
        return [Call("GET", path_of(listed(bucket)), self._query(start)) for start in self._starts]

    def prepare(self, target: Target, bucket: str) -> None:
        """Fill the bucket, unless it was filled for another position."""
        with Client(target) as client:
            if client.request("HEAD", path_of(listed(bucket))).status != 200:
                client.create_bucket(listed(bucket))
                store(target, listed(bucket), self._keys, self._size, 32)
        self._prepared[target.name] = Prepared(target, self._calls(bucket))

    def check(self, target: Target, bucket: str) -> None:
        """The keys of a page."""
        start = self._starts[0]
        with Client(target) as client:
            query = {name.replace("-", "_"): value for name, value in self._query(start).items() if name != "list-type"}
            page = next(iter(client.list_pages(listed(bucket), int(query.pop("max_keys")), **query)))
        if page != self._keys[start : start + self._page]:
            raise WrongAnswer(f"{self.name}: {len(page)} keys from {page[:1]} on")


def listed(bucket: str) -> str:
    """The bucket of the lists."""
    return f"{bucket}-listed"


def mixed_calls(scale: Scale, read: Sequence[str], written: Sequence[str], size: int) -> Calls:
    """70 % GET, 25 % PUT, 5 % DELETE of what is put, in an order that is the same each time."""

    def calls(bucket: str) -> list[Call]:
        chance = random.Random(1)
        found = []
        fresh = list(written)
        for number in range(scale.writes):
            kind = chance.choices(("GET", "PUT", "DELETE"), (70, 25, 5))[0]
            key = fresh[number % len(fresh)] if kind in ("PUT", "DELETE") else chance.choice(read)
            body = content(key, size) if kind == "PUT" else b""
            found.append(Call(kind, path_of(bucket, key), body=body))
        return found

    return calls
