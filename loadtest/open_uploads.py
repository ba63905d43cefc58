"""What 100,000 open multipart uploads in one bucket cost: lists, new uploads, completions and aborts beside them.

    python -m loadtest.open_uploads [--uploads 100000] [--directory DIR]

Starts a Redis and a gateway of its own on DIR (a temporary directory by default; some 5 inodes an upload). The uploads
are begun by the gateway's own state layer, in this process, on the storage and the Redis of the gateway; everything
that is timed goes through the gateway. The figures are medians, first with one upload in the bucket, then with all. At
the end Redis is emptied, and the first list rebuilds the index from the storage. Redis logs every command that takes
longer than `--slow` milliseconds: their number and the slowest of them are the last lines.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backends.api import BackendConfig, Caller, ObjectRecord, UploadRecord
from backends.posix import PosixBackend
from tests.support.fast_client import Client, Reply
from tests.support.gateway import Gateway, RedisServer
from workers.state.epoch import Epoch
from workers.state.redis import connect
from workers.state.uploads import Uploads, new_upload_id

BUCKET = "open-uploads"
PAGE = 1000
_ID = re.compile(rb"<UploadId>([0-9a-f]+)</UploadId>")


def key_of(number: int) -> str:
    """Keys in a hundred folders, in the order of their numbers."""
    return f"folder-{number // 1000:04}/object-{number:07}"


def begin(uploads: Uploads, first: int, count: int) -> None:
    """Begin uploads of keys of their own."""
    caller = Caller(account_id="loadtest")
    for number in range(first, first + count):
        now = time.time_ns()
        upload = UploadRecord(
            id=new_upload_id(now), key=key_of(number), initiated=now, draft=ObjectRecord(size=0, etag="")
        )
        uploads.create(caller, BUCKET, upload)


class Timer:
    """Times requests of one client, which all have to succeed."""

    def __init__(self, client: Client, rounds: int) -> None:
        self._client = client
        self._rounds = rounds

    def request(self, method: str, query: dict[str, str], key: str = "", body: bytes = b"") -> Reply:
        """One request."""
        reply = self._client.request(method, f"/{BUCKET}{key and '/' + key}", query, body=body)
        assert reply.status in (200, 204), (reply.status, reply.body)
        return reply

    def milliseconds(self, call: Callable[[], object]) -> float:
        """The median of some rounds."""
        times = []
        for _ in range(self._rounds):
            began = time.perf_counter()
            call()
            times.append((time.perf_counter() - began) * 1000)
        return statistics.median(times)

    def page(self, **query: str) -> float:
        """A page of the list."""
        asked = {"uploads": ""} | {name.replace("_", "-"): value for name, value in query.items()}
        return self.milliseconds(lambda: self.request("GET", asked))

    def life(self) -> dict[str, float]:
        """Each step of an upload of one small part, and of one that is aborted."""
        times: dict[str, list[float]] = {"create": [], "part": [], "complete": [], "abort": []}

        def timed(step: str, *arguments: Any) -> Reply:
            began = time.perf_counter()
            reply = self.request(*arguments)
            times[step].append((time.perf_counter() - began) * 1000)
            return reply

        for number in range(self._rounds):
            key = f"life/{number}"
            name = {"uploadId": _id(timed("create", "POST", {"uploads": ""}, key))}
            etag = timed("part", "PUT", {"partNumber": "1", **name}, key, b"x" * 1024).headers["etag"]
            part = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
            document = f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()
            timed("complete", "POST", name, key, document)
            name = {"uploadId": _id(self.request("POST", {"uploads": ""}, key))}
            timed("abort", "DELETE", name, key)
        return {step: statistics.median(found) for step, found in times.items()}


def _id(reply: Reply) -> str:
    found = _ID.search(reply.body)
    assert found is not None, reply.body
    return found[1].decode()


def measure(gateway: Gateway, rounds: int, count: int) -> None:
    """Print the figures with so many uploads in the bucket."""
    middle, end = key_of(count // 2), key_of(max(0, count - PAGE - 1))
    with Client(gateway) as client:
        timer = Timer(client, rounds)
        found = {
            "page front": timer.page(),
            "page middle": timer.page(key_marker=middle),
            "page end": timer.page(key_marker=end),
            "page of a prefix": timer.page(prefix=middle.partition("/")[0] + "/"),
            "page of 100 prefixes": timer.page(delimiter="/"),
            **timer.life(),
        }
    text = ", ".join(f"{name} {value:.1f}" for name, value in found.items())
    print(f"{count:,} open uploads (ms): {text}", flush=True)


def run(home: Path, count: int, rounds: int, slow: float) -> None:
    """Everything, in a directory."""
    redis = RedisServer(home)
    epoch = Epoch()
    client = connect(redis.url, epoch=epoch, timeout=60)
    backend = PosixBackend(BackendConfig(directory=str(home / "data"), durable=False))
    environ = {"SHARDGATE_DURABILITY": "relaxed", "SHARDGATE_JANITOR_INTERVAL": "86400"}
    try:
        with Gateway(home / "data", "--redis-url", redis.url, environ=environ) as gateway:
            with Client(gateway) as requests:
                requests.create_bucket(BUCKET)
            client.config_set("slowlog-log-slower-than", int(slow * 1000))
            client.config_set("slowlog-max-len", 10_000)
            client.slowlog_reset()
            backend.open()
            uploads = Uploads(client, epoch, backend)
            begin(uploads, 0, 1)
            measure(gateway, rounds, 1)
            began = time.perf_counter()
            begin(uploads, 1, count - 1)
            print(f"{(time.perf_counter() - began) / max(1, count - 1) * 1000:.2f} ms to begin each of the others")
            measure(gateway, rounds, count)
            found = client.slowlog_get(10_000)
            client.flushall(asynchronous=True)
            client.slowlog_reset()
            with Client(gateway) as requests:
                milliseconds = Timer(requests, 1).page()
            print(f"{milliseconds / 1000:.1f} s for the first list after Redis was emptied")
            found += client.slowlog_get(10_000)
            print(f"{len(found)} commands of Redis took longer than {slow:g} ms")
            for entry in sorted(found, key=lambda entry: -entry["duration"])[:5]:
                print(f"  {entry['duration'] / 1000:.1f} ms  {entry['command'][:60]!r}")
    finally:
        backend.close()
        client.close()
        redis.close()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uploads", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--slow", type=float, default=2.0, help="milliseconds (default: 2)")
    parser.add_argument("--directory", type=Path, help="where to work; removed afterwards")
    asked = parser.parse_args()
    if asked.uploads < 2:
        sys.exit("--uploads: at least 2")
    with tempfile.TemporaryDirectory(dir=asked.directory) as name:
        run(Path(name), asked.uploads, asked.rounds, asked.slow)


if __name__ == "__main__":
    main()
