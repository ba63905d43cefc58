"""What large bodies cost a worker: its memory, and the time of small reads beside them.

    python -m loadtest.large_bodies                  # 2 GiB, one worker
    python -m loadtest.large_bodies --size 256 --signed

Starts a gateway of one worker on a directory of its own, puts and gets one large object in a process of its own, and
meanwhile reads a small one again and again over the same worker. Prints a line for each direction.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.fast_client import UNSIGNED, Client, Endpoint, path_of
from tests.support.gateway import Gateway

MIB = 1 << 20
BUCKET = "large-bodies"
PAUSE = 0.004
"""Seconds between two small reads: about 200 a second, which leaves the worker to the large body."""


@dataclass(frozen=True)
class Address:
    """A gateway, as another process needs to know it."""

    host: str
    port: int
    region: str
    access_key: str
    secret_key: str

    @classmethod
    def of(cls, gateway: Endpoint) -> Address:
        """The address of a gateway."""
        return cls(gateway.host, gateway.port, gateway.region, gateway.access_key, gateway.secret_key)


@dataclass(frozen=True)
class Result:
    """One direction. Sizes in bytes, times in seconds."""

    direction: str
    seconds: float
    resident_before: int
    resident_peak: int
    small: list[float]

    def quantile(self, share: float) -> float:
        """The time that this share of the small reads stayed below."""
        ordered = sorted(self.small)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def blocks(size: int) -> Iterator[bytes]:
    """A body in which no two MiB are the same; cheap to make and to compare."""
    pattern = bytes(range(256)) * (MIB // 256)
    for number in range(size // MIB):
        yield number.to_bytes(8, "big") + pattern[8:]


def digests(size: int) -> tuple[str, str]:
    """MD5 and SHA-256 of the body, in hexadecimal."""
    md5, sha256 = hashlib.md5(), hashlib.sha256()
    for block in blocks(size):
        md5.update(block)
        sha256.update(block)
    return md5.hexdigest(), sha256.hexdigest()


def put(address: Address, size: int, etag: str, payload: str) -> None:
    """Put the large object."""
    with Client(address, timeout=600) as client:
        reply = client.request("PUT", path_of(BUCKET, "large"), body=blocks(size), length=size, payload=payload)
    if (reply.status, reply.etag) != (200, etag):
        raise AssertionError(f"the PUT was answered with {reply}")


def get(address: Address, size: int, etag: str, payload: str) -> None:
    """Get the large object and compare it."""
    digest = hashlib.md5()
    with Client(address, timeout=600) as client:
        reply = client.request("GET", path_of(BUCKET, "large"), sink=digest.update)
    if (reply.status, reply.headers["content-length"], digest.hexdigest()) != (200, str(size), etag):
        raise AssertionError(f"the GET gave other bytes: {reply}")


def measure(gateway: Gateway, size: int, *, signed: bool = False) -> list[Result]:
    """PUT, then GET a body of `size` bytes through a gateway of one worker. Raises `AssertionError`."""
    address = Address.of(gateway)
    md5, sha256 = digests(size)
    with Client(gateway) as client:
        client.create_bucket(BUCKET)
        for _ in range(200):
            assert client.put(BUCKET, "small", bytes(1024)).status == 200
    (worker,) = gateway.worker_pids()
    return [
        _beside(gateway, worker, direction, work, (address, size, md5, sha256 if signed else UNSIGNED))
        for direction, work in (("PUT", put), ("GET", get))
    ]


def _beside(
    gateway: Gateway, worker: int, direction: str, work: Callable[..., None], arguments: tuple[object, ...]
) -> Result:
    """Run `work` in a process of its own and small reads here until it ends."""
    Path(f"/proc/{worker}/clear_refs").write_text("5")  # the peak counts from now on (proc(5))
    before = _memory(worker, "VmRSS")
    transfer = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
    taken: list[float] = []
    with Client(gateway) as client:
        began = time.monotonic()
        transfer.start()
        while transfer.is_alive():
            start = time.monotonic()
            reply = client.get(BUCKET, "small")
            taken.append(time.monotonic() - start)
            assert (reply.status, len(reply.body)) == (200, 1024), reply
            time.sleep(PAUSE)
        seconds = time.monotonic() - began
    transfer.join()
    assert transfer.exitcode == 0, f"the {direction} failed"
    return Result(direction, seconds, before, _memory(worker, "VmHWM"), taken)


def _memory(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise ValueError(name)


def report(results: list[Result], size: int) -> str:
    """The figures as a table."""
    lines = [
        f"{'':4} {'MiB/s':>7} {'memory before, peak (MiB)':>26} {'small GETs':>11} {'p50':>8} {'p99':>8} {'max':>8}"
    ]
    for result in results:
        memory = f"{result.resident_before / MIB:.0f}, {result.resident_peak / MIB:.0f}"
        times = [result.quantile(share) * 1000 for share in (0.5, 0.99, 1)]
        lines.append(
            f"{result.direction:4} {size / MIB / result.seconds:7.0f} {memory:>26} {len(result.small):11}"
            + "".join(f" {milliseconds:5.1f} ms" for milliseconds in times)
        )
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="What large bodies cost a worker.")
    parser.add_argument("--size", type=int, default=2048, help="MiB (default: 2048)")
    parser.add_argument("--signed", action="store_true", help="send the body's SHA-256, for the worker to verify")
    parser.add_argument("--durability", choices=("commit", "relaxed"), default="commit")
    parser.add_argument("--directory", type=Path, help="where to put the data (default: a temporary directory)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as home:
        environ = {"SHARDGATE_DURABILITY": options.durability}
        with Gateway(Path(home) / "data", workers=1, environ=environ) as gateway:
            print(report(measure(gateway, options.size * MIB, signed=options.signed), options.size * MIB))


if __name__ == "__main__":
    main()
