"""Large bodies and multipart uploads, sent by threads of this process over connections that are kept.

The client moves memory between its buffers and sockets and does nothing else with it while the time runs.
"""

from __future__ import annotations

import hashlib
import re
import socket
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

from loadtest.bench.targets import Target
from loadtest.bench.workloads import MIB, Sample, Scale, Workload, WrongAnswer, content, expect_object
from tests.support.fast_client import UNSIGNED, Client, path_of, read_head

_BLOCK = 1 << 20
_UPLOAD = re.compile(rb"<UploadId>([^<]+)</UploadId>")


def quantile(times: list[float], share: float) -> float:
    """The time that this share of them stayed below."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Transfer(Workload):
    """PUT or GET of large objects over a few connections, until the time is up and the last ones are through."""

    unit = "MiB/s"

    def __init__(self, name: str, scale: Scale, method: str, *, signed: bool = False) -> None:
        """`signed` PUTs announce the SHA-256 of the body, which the server verifies."""
        super().__init__(name)
        self._method = method
        self._scale = scale
        self._signed = signed
        self._buffers = [bytearray(_BLOCK) for _ in range(scale.streams)]

    @cached_property
    def _body(self) -> bytes:
        return content(self.name, self._scale.large)

    @cached_property
    def _payload(self) -> str:
        return hashlib.sha256(self._body).hexdigest() if self._signed else UNSIGNED

    def _key(self, stream: int) -> str:
        return f"{self.name}-{stream}"

    def prepare(self, target: Target, bucket: str) -> None:
        """Store what is read."""
        if self._method == "GET" and target.stores:
            with Client(target) as client:
                for stream in range(self._scale.streams):
                    reply = client.put(bucket, self._key(stream), self._body)
                    if reply.status != 200:
                        raise WrongAnswer(f"{self.name}: {reply}")

    def run(self, target: Target, bucket: str, seconds: float) -> Sample:
        """MiB per second of all connections together."""
        once = self._put if self._method == "PUT" else self._get
        began, used = time.monotonic(), time.process_time()

        def work(stream: int) -> tuple[list[float], int]:
            taken: list[float] = []
            moved = 0
            with Client(target, timeout=120) as client:
                while not taken or time.monotonic() - began < seconds:
                    start = time.monotonic()
                    moved += once(client, bucket, stream)
                    taken.append(time.monotonic() - start)
            return taken, moved

        with ThreadPoolExecutor(self._scale.streams) as pool:
            found = list(pool.map(work, range(self._scale.streams)))
        elapsed = time.monotonic() - began
        taken = [one for times, _ in found for one in times]
        rate = sum(moved for _, moved in found) / MIB / elapsed
        cpu = time.process_time() - used
        return Sample(rate, len(taken), elapsed, statistics.median(taken), quantile(taken, 0.99), cpu)

    def _put(self, client: Client, bucket: str, stream: int) -> int:
        path = path_of(bucket, self._key(stream))
        reply = client.request("PUT", path, body=self._body, payload=self._payload)
        if reply.status != 200:
            raise WrongAnswer(f"{self.name}: {reply}")
        return len(self._body)

    def _get(self, client: Client, bucket: str, stream: int) -> int:
        connection = client.connection()
        connection.sendall(client.head_of("GET", path_of(bucket, self._key(stream))))
        status, headers, first = read_head(connection)
        length = int(headers["content-length"])
        if status != 200:
            raise WrongAnswer(f"{self.name}: {status}")
        _drain(connection, length - len(first), self._buffers[stream])
        return length

    def check(self, target: Target, bucket: str) -> None:
        """Compare all of one object."""
        with Client(target) as client:
            expect_object(client, bucket, self._key(0), self._body)


def _drain(connection: socket.socket, missing: int, buffer: bytearray) -> None:
    view = memoryview(buffer)
    while missing > 0:
        count = connection.recv_into(view, min(missing, len(buffer)))
        if not count:
            raise WrongAnswer(f"the body ended {missing} bytes early")
        missing -= count


@dataclass(frozen=True)
class _Uploaded:
    upload: str
    document: bytes


class Completing(Workload):
    """CompleteMultipartUpload: milliseconds from the request to the whole answer."""

    unit = "ms"
    higher_is_better = False
    needs_storage = True

    def __init__(self, name: str, scale: Scale, uploads: int = 3) -> None:
        super().__init__(name)
        self._scale = scale
        self._uploads = uploads
        self._ready: dict[str, list[_Uploaded]] = {}

    @cached_property
    def _bodies(self) -> list[bytes]:
        return [content(f"{self.name}-{number}", self._scale.part_size) for number in range(self._scale.parts)]

    def before(self, target: Target, bucket: str) -> None:
        """Upload the parts of some objects."""
        with Client(target, timeout=120) as client:
            self._ready[target.name] = [self._upload(client, bucket) for _ in range(self._uploads)]

    def _upload(self, client: Client, bucket: str) -> _Uploaded:
        path = path_of(bucket, self.name)
        found = _UPLOAD.search(client.request("POST", path, {"uploads": ""}).body)
        if found is None:
            raise WrongAnswer(f"{self.name}: no upload was made")
        upload = found[1].decode()
        items = []
        for number, body in enumerate(self._bodies, 1):
            reply = client.request("PUT", path, {"partNumber": str(number), "uploadId": upload}, body=body)
            if reply.status != 200:
                raise WrongAnswer(f"{self.name}: {reply}")
            items.append(f"<Part><PartNumber>{number}</PartNumber><ETag>{reply.headers['etag']}</ETag></Part>")
        return _Uploaded(upload, f"<CompleteMultipartUpload>{''.join(items)}</CompleteMultipartUpload>".encode())

    def run(self, target: Target, bucket: str, seconds: float) -> Sample:
        """The median of the completions."""
        taken = []
        used = time.process_time()
        with Client(target, timeout=120) as client:
            client.request("HEAD", path_of(bucket))  # the connection is not what is measured
            for one in self._ready.pop(target.name):
                start = time.perf_counter()
                reply = client.request("POST", path_of(bucket, self.name), {"uploadId": one.upload}, body=one.document)
                taken.append(time.perf_counter() - start)
                if reply.status != 200 or b"<CompleteMultipartUploadResult" not in reply.body:
                    raise WrongAnswer(f"{self.name}: {reply}")
        middle = statistics.median(taken)
        cpu = time.process_time() - used
        return Sample(middle * 1000, len(taken), sum(taken), middle, max(taken), cpu)

    def check(self, target: Target, bucket: str) -> None:
        """Compare the object with its parts."""
        with Client(target, timeout=120) as client:
            expect_object(client, bucket, self.name, b"".join(self._bodies))
