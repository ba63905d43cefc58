"""Prepared HEAD requests, sent by a process of our own: wrk waits for the body that an answer to HEAD announces.

    python -m loadtest.bench.heads HOST PORT CONNECTIONS SECONDS FILE

Prints one line of JSON. About 10 us for a request, as much as wrk with its script.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from loadtest.bench.replay import Replayed, ReplayError
from loadtest.bench.targets import Target

_END = b"\r\n\r\n"
PATIENCE = 30.0


def unpack(packed: bytes) -> list[bytes]:
    """The requests of a file as `replay.pack` makes it."""
    found, start = [], 0
    while start < len(packed):
        size = int(packed[start : start + 8])
        found.append(packed[start + 8 : start + 8 + size])
        start += 8 + size
    return found


def replay_heads(target: Target, packed: bytes, connections: int, seconds: float) -> Replayed:
    """Send HEAD requests in turn for some seconds. Raises `ReplayError` when any of them fails."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(packed)
        file.flush()
        command = [sys.executable, "-m", __name__, target.host, str(target.port), str(connections), str(seconds)]
        process = subprocess.run([*command, file.name], capture_output=True, text=True, check=False)
    if process.returncode:
        raise ReplayError(f"{target.name}: {process.stderr.strip().splitlines()[-1:]}")
    return Replayed(**json.loads(process.stdout))


def send(host: str, port: int, connections: int, seconds: float, requests: list[bytes]) -> Replayed:
    """Keep each connection busy with one request at a time. Raises `ReplayError` and `OSError`."""
    poll = select.epoll()
    sockets: dict[int, socket.socket] = {}
    sent: dict[int, float] = {}
    taken: list[float] = []
    at, clock = 0, time.perf_counter
    used = time.process_time()
    began = clock()
    until = began + seconds
    for _ in range(connections):
        connection = socket.create_connection((host, port), timeout=PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number = connection.fileno()
        sockets[number] = connection
        poll.register(number, select.EPOLLIN)
        sent[number] = clock()
        connection.sendall(requests[at % len(requests)])
        at += 1
    busy = connections
    while busy:
        events = poll.poll(PATIENCE)
        if not events:
            raise ReplayError(f"no answer within {PATIENCE:g} s")
        for number, _ in events:
            connection = sockets[number]
            data = connection.recv(65536)
            while data and _END not in data:
                more = connection.recv(65536)
                data = data + more if more else b""
            if not (data.startswith(b"HTTP/1.1 200") and data.endswith(_END)):
                raise ReplayError(f"the answer is {data[:200]!r}")
            now = clock()
            taken.append(now - sent[number])
            if now > until:
                busy -= 1
                continue
            sent[number] = now
            connection.sendall(requests[at % len(requests)])
            at += 1
    elapsed = clock() - began
    taken.sort()
    count = len(taken)
    return Replayed(count, elapsed, taken[count // 2], taken[count * 99 // 100], time.process_time() - used)


def main() -> None:
    """The process that sends."""
    host, port, connections, seconds, file = sys.argv[1:]
    requests = unpack(Path(file).read_bytes())
    found = send(host, int(port), int(connections), float(seconds), requests)
    print(json.dumps({name: getattr(found, name) for name in Replayed.__dataclass_fields__}))


if __name__ == "__main__":
    main()
