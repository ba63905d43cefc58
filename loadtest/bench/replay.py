"""Prepared requests, signed in advance and sent by wrk, so that the client's cost is that of sending alone."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from loadtest.bench.targets import Target

# Each request stands in the file behind its length in eight digits. `limit` 0 goes round until the time is up; else wrk
# is interrupted after so many answers, since its main thread sleeps for the whole duration otherwise. Its threads
# look at that every 100 ms, so the times of the first request and the last answer are taken here.
SCRIPT = """
local ffi = require("ffi")
ffi.cdef[[
    typedef struct { long seconds; long nanoseconds; } bench_time;
    int clock_gettime(int clock, bench_time *time);
    int getpid(void);
    int kill(int pid, int signal);
]]
local requests, threads = {}, {}
local at, answers = 0, 0
started, finished, limit = 0, 0, 0

local function now()
    local time = ffi.new("bench_time")
    ffi.C.clock_gettime(1, time)
    return tonumber(time.seconds) * 1e6 + tonumber(time.nanoseconds) / 1e3
end

function setup(thread)
    threads[#threads + 1] = thread
end

function init(args)
    local file = assert(io.open(args[1], "rb"))
    local text = file:read("*a")
    file:close()
    limit = tonumber(args[2])
    local start = 1
    while start <= #text do
        local size = tonumber(text:sub(start, start + 7))
        requests[#requests + 1] = text:sub(start + 8, start + 7 + size)
        start = start + 8 + size
    end
    if limit > 0 then
        response = function()
            answers = answers + 1
            if answers == limit then
                finished = now()
                ffi.C.kill(ffi.C.getpid(), 2)
            end
        end
    end
end

function request()
    if started == 0 then started = now() end
    at = at % #requests + 1
    return requests[at]
end

function done(summary, latency, requests)
    local errors = summary.errors
    local thread = threads[1]
    local count, duration = summary.requests, summary.duration
    if thread:get("finished") > 0 then
        count, duration = thread:get("limit"), thread:get("finished") - thread:get("started")
    end
    io.write(string.format("RESULT %d %d %d %d %d %d\\n", count, duration,
        errors.connect + errors.read + errors.write + errors.timeout, errors.status,
        latency:percentile(50), latency:percentile(99)))
end
"""
_RESULT = re.compile(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)")
LONGEST = 60
"""Seconds that a run of a number of requests may take."""


class ReplayError(RuntimeError):
    """Requests failed, or wrk did."""


@dataclass(frozen=True)
class Replayed:
    """A run. Times in seconds; `client_cpu` is what wrk used."""

    requests: int
    seconds: float
    median: float
    p99: float
    client_cpu: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def pack(requests: Iterable[bytes]) -> bytes:
    """Requests as the script reads them."""
    return b"".join(b"%08d" % len(request) + request for request in requests)


def find_wrk() -> str:
    """The program. Raises `ReplayError`."""
    found = shutil.which("wrk")
    if found is None:
        raise ReplayError("there is no wrk: install the Debian package of that name")
    return found


def replay(target: Target, packed: bytes, connections: int, *, seconds: float = 0, count: int = 0) -> Replayed:
    """Send requests in turn for some seconds, or `count` of them. Raises `ReplayError` when any of them fails.

    wrk counts whole seconds.
    """
    with tempfile.TemporaryDirectory() as name:
        script, requests = Path(name, "replay.lua"), Path(name, "requests")
        script.write_text(SCRIPT)
        requests.write_bytes(packed)
        command = [find_wrk(), "--threads", "1", "--connections", str(connections), "--timeout", "30s"]
        command += ["--duration", f"{LONGEST if count else max(1, round(seconds))}s", "--script", str(script)]
        before = _children_cpu()
        process = subprocess.run(
            [*command, target.url, "--", str(requests), str(count)], capture_output=True, text=True, check=False
        )
        used = _children_cpu() - before
    found = _RESULT.search(process.stdout)
    if found is None:
        raise ReplayError(f"wrk: {process.stdout}{process.stderr}")
    total, microseconds, broken, refused, median, p99 = map(int, found.groups())
    if broken or refused or not total:
        raise ReplayError(f"{target.name}: of {total} requests {refused} were refused and {broken} broke")
    if count and total < count:
        raise ReplayError(f"{target.name}: {total} of {count} requests in {LONGEST} s")
    return Replayed(total, microseconds / 1e6, median / 1e6, p99 / 1e6, used)


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))
