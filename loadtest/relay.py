"""What passing bytes from one socket to another costs a worker: in blocks, with their adler32, and by splice.

    python -m loadtest.relay [--mib 1024] [--repeat 2]

Two processes of their own send and take zeros over loopback; this one, under gevent, passes them on and counts its own
processor time. Beside it the digests that a body needs, of 1 GiB each.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Callable

from gevent import monkey

if __name__ == "__main__":
    monkey.patch_all()

from gevent.socket import wait_read, wait_write

BLOCK = 1 << 18
GIB = 1 << 30
_PIPE = 1 << 20
_SPLICE = 3
"""SPLICE_F_MOVE and SPLICE_F_NONBLOCK."""


def ends(role: str) -> None:
    """One of the two processes: `source` or `sink`. Prints its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    zeros, buffer = bytes(_PIPE), bytearray(_PIPE)
    while True:
        sock, _ = listener.accept()
        try:
            while role == "source":
                sock.sendall(zeros)
            while sock.recv_into(buffer):
                pass
        except OSError:
            pass


def blocks(source: socket.socket, sink: socket.socket, size: int) -> None:
    """Through Python."""
    while size:
        data = source.recv(min(BLOCK, size))
        size -= len(data)
        sink.sendall(data)


def verified(source: socket.socket, sink: socket.socket, size: int) -> None:
    """Through Python, with the checksum of what passes."""
    value = 1
    while size:
        data = source.recv(min(BLOCK, size))
        size -= len(data)
        value = zlib.adler32(data, value)
        sink.sendall(data)


def spliced(source: socket.socket, sink: socket.socket, size: int) -> None:
    """Through a pipe in the kernel."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE)
    held = 0
    while size or held:
        if not held:
            try:
                held = os.splice(source.fileno(), writing, min(_PIPE, size), flags=_SPLICE)
            except BlockingIOError:
                wait_read(source.fileno())
                continue
            size -= held
        try:
            held -= os.splice(reading, sink.fileno(), held, flags=_SPLICE)
        except BlockingIOError:
            wait_write(sink.fileno())
    os.close(reading)
    os.close(writing)


def measured(work: Callable[[], object], gib: float) -> str:
    """Processor time and rate of moving so many GiB."""
    started, used = time.monotonic(), time.process_time()
    work()
    seconds, processor = time.monotonic() - started, time.process_time() - used
    return f"{processor / gib:.2f} s/GiB, {gib * 1024 / seconds:.0f} MiB/s"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--role", choices=["source", "sink"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.role:
        ends(given.role)
    command = [sys.executable, "-m", "loadtest.relay", "--role"]
    processes = [subprocess.Popen([*command, role], stdout=subprocess.PIPE) for role in ("source", "sink")]
    try:
        ports = [int(process.stdout.readline()) for process in processes if process.stdout is not None]
        for _ in range(given.repeat):
            for relay in (blocks, verified, spliced):
                with (
                    socket.create_connection(("127.0.0.1", ports[0])) as source,
                    socket.create_connection(("127.0.0.1", ports[1])) as sink,
                ):
                    size = given.mib << 20
                    print(f"{relay.__name__}: {measured(lambda: relay(source, sink, size), size / GIB)}", flush=True)  # noqa: B023 -- called at once
    finally:
        for process in processes:
            process.terminate()
            process.wait()
    block = bytes(range(256)) * (BLOCK // 256)
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    digests: dict[str, Callable[[bytes], object]] = {
        "adler32": zlib.adler32,
        "crc32": zlib.crc32,
        "md5": md5.update,
        "sha256": sha256.update,
    }
    for name, digest in digests.items():
        print(f"{name}: {measured(lambda: [digest(block) for _ in range(GIB // BLOCK)], 1.0)}", flush=True)  # noqa: B023 -- called at once


if __name__ == "__main__":
    main()
