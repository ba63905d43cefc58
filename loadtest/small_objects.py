"""Small signed requests per second, and what each costs the workers, measured by wrk.

    python -m loadtest.small_objects                          # 1 and 2 workers, both durabilities
    python -m loadtest.small_objects --workers 2 --durability relaxed --seconds 10

For each combination a gateway is started on a directory of its own, and wrk (a Debian package) sends GETs and PUTs of
1 KiB over 32 keep-alive connections. All requests are signed in advance, in the Authorization header, and replayed by a
Lua script: GETs of 1,000 objects in turn; PUTs of keys of their own, which repeat after `--keys`, so that later ones
replace. Prints requests per second, CPU microseconds per request of all workers together, and the latency's median and
99th percentile.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.fast_client import Client, path_of, spread
from tests.support.gateway import Gateway

BUCKET = "small-objects"
SIZE = 1024
CONNECTIONS = 32
OBJECTS = 1000
SCRIPT = """
local requests = {}
local at = 0
function init(args)
    local file = assert(io.open(args[1], "rb"))
    local text = file:read("*a")
    file:close()
    local start = 1
    while start <= #text do
        local size = tonumber(text:sub(start, start + 7))
        requests[#requests + 1] = text:sub(start + 8, start + 7 + size)
        start = start + 8 + size
    end
end
function request()
    at = at % #requests + 1
    return requests[at]
end
function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format("RESULT %d %d %d %d %d %d\\n", summary.requests, summary.duration,
        errors.connect + errors.read + errors.write + errors.timeout, errors.status,
        latency:percentile(50), latency:percentile(99)))
end
"""
_RESULT = re.compile(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)")


@dataclass(frozen=True)
class Figures:
    """One run of wrk."""

    per_second: float
    cpu_microseconds: float
    median_milliseconds: float
    p99_milliseconds: float


def signed_requests(gateway: Gateway, method: str, count: int) -> bytes:
    """So many requests behind one another, each with its length in eight digits in front."""
    body = bytes(SIZE) if method == "PUT" else b""
    digest = hashlib.sha256(body).hexdigest()
    kind = "new" if method == "PUT" else "old"
    client = Client(gateway)
    found = []
    for number in range(count):
        head = client.head_of(method, path_of(BUCKET, f"{kind}/{number}"), length=len(body) or None, payload=digest)
        found.append(b"%08d" % (len(head) + len(body)) + head + body)
    return b"".join(found)


def run(gateway: Gateway, home: Path, method: str, count: int, seconds: int) -> Figures:
    """Replay requests for some seconds. Raises `AssertionError` when any of them fails."""
    script, requests = home / "replay.lua", home / "requests"
    script.write_text(SCRIPT)
    requests.write_bytes(signed_requests(gateway, method, count))
    command = ["wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds}s"]
    workers = [psutil.Process(pid) for pid in gateway.worker_pids()]
    before = cpu_seconds(workers)
    output = subprocess.run(
        [*command, "--script", str(script), gateway.url(), "--", str(requests)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    used = cpu_seconds(workers) - before
    found = _RESULT.search(output)
    assert found is not None, output
    total, microseconds, broken, refused, median, p99 = map(int, found.groups())
    assert total > 0, output
    assert (broken, refused) == (0, 0), output
    return Figures(total / microseconds * 1e6, used / total * 1e6, median / 1000, p99 / 1000)


def cpu_seconds(workers: list[psutil.Process]) -> float:
    """User and system time that the processes have used."""
    return float(sum(times.user + times.system for times in (worker.cpu_times() for worker in workers)))


def store(client: Client, number: int) -> int:
    """Make an object that is read later; the answer's status."""
    return client.put(BUCKET, f"old/{number}", bytes(SIZE)).status


def measure(workers: int, durability: str, count: int, seconds: int, directory: Path | None) -> list[str]:
    """Lines of the table: GET, then PUT."""
    environ = {"SHARDGATE_DURABILITY": durability}
    lines = []
    with tempfile.TemporaryDirectory(dir=directory) as name:
        home = Path(name)
        with Gateway(home / "data", workers=workers, environ=environ) as gateway:
            with Client(gateway) as client:
                client.create_bucket(BUCKET)
            assert set(spread(gateway, 2, store, range(OBJECTS))) == {200}
            for method, requests in (("GET", OBJECTS), ("PUT", count)):
                found = run(gateway, home, method, requests, seconds)
                lines.append(
                    f"{workers:7} {durability:>10} {method:>6} {found.per_second:11,.0f} "
                    f"{found.cpu_microseconds:10.0f} {found.median_milliseconds:9.2f} {found.p99_milliseconds:9.2f}"
                )
    return lines


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Small signed requests per second.")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--durability", nargs="+", choices=("relaxed", "commit"), default=["relaxed", "commit"])
    parser.add_argument("--seconds", type=int, default=8, help="of each run (default: 8)")
    parser.add_argument("--keys", type=int, default=100_000, help="keys that PUTs write (default: 100,000)")
    parser.add_argument("--directory", type=Path, help="where to put the data (default: a temporary directory)")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.error("there is no wrk: install the Debian package of that name")
    print("workers durability method  requests/s  CPU us/rq    p50 ms    p99 ms")
    for durability in options.durability:
        for workers in options.workers:
            for line in measure(workers, durability, options.keys, options.seconds, options.directory):
                print(line, flush=True)


if __name__ == "__main__":
    main()
