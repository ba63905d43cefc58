"""What a page of a list costs, by its position and by the size of the bucket.

    python -m loadtest.listing_scale                          # flat and tree, 20,000 and 200,000 keys
    python -m loadtest.listing_scale --keys 1000 --page 100

The files are made in the data directory itself, beside a running gateway of one worker: they are objects all the same.
The first walk through a bucket is cold; the pages that are then measured are warm, each the median of `--repeat` tries.
Times are those of whole requests in milliseconds, signing and reading included; beside them stands the CPU time of the
worker, which a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from tests.support.fast_client import Client
from tests.support.gateway import Gateway

POSITIONS = (("front", 0.0), ("middle", 0.5), ("end", 1.0))


def flat(count: int) -> Iterator[str]:
    """Keys without a slash."""
    return (f"object-{number:08d}.dat" for number in range(count))


def tree(count: int) -> Iterator[str]:
    """Keys in directories of 100, those in directories of 100."""
    return (f"{number // 10_000:04d}/{number // 100 % 100:02d}/object-{number:08d}.dat" for number in range(count))


SHAPES: dict[str, Callable[[int], Iterator[str]]] = {"flat": flat, "tree": tree}


def fill(directory: Path, keys: list[str]) -> None:
    """Make an empty file for each key."""
    made: set[str] = set()
    for key in keys:
        parent = os.path.dirname(key)
        if parent not in made:
            os.makedirs(directory / parent, exist_ok=True)
            made.add(parent)
        os.close(os.open(f"{directory}/{key}", os.O_CREAT | os.O_WRONLY))


def page_cost(
    client: Client, worker: psutil.Process, bucket: str, after: str, page: int, repeat: int
) -> tuple[float, float]:
    """Milliseconds of a page that begins after a key: the median of the requests, and the worker's mean CPU time."""
    taken = []
    before = sum(worker.cpu_times()[:2])
    for _ in range(repeat):
        began = time.perf_counter()
        reply = client.list_page(bucket, max_keys=str(page), start_after=after)
        taken.append((time.perf_counter() - began) * 1000)
        assert reply.status == 200, reply
    used = sum(worker.cpu_times()[:2]) - before
    return statistics.median(taken), used / repeat * 1000


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="What a page of a list costs.")
    parser.add_argument("--keys", type=int, nargs="+", default=[20_000, 200_000], help="keys of a bucket")
    parser.add_argument("--page", type=int, default=1000, help="keys of a page (default: 1000)")
    parser.add_argument("--repeat", type=int, default=25, help="tries of each page (default: 25)")
    parser.add_argument("--directory", type=Path, help="where to put the data (default: a temporary directory)")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=options.directory) as home,
        Gateway(Path(home) / "data", workers=1) as gateway,
        Client(gateway) as client,
    ):
        columns = "".join(f"{name + ' (CPU)':>16}" for name, _ in POSITIONS)
        print(f"{'bucket':>12} {'walk, cold':>11} {'warm':>9}  {columns}")
        for shape, make in SHAPES.items():
            for count in options.keys:
                print(row(gateway, client, shape, list(make(count)), options.page, options.repeat), flush=True)


def row(gateway: Gateway, client: Client, shape: str, keys: list[str], page: int, repeat: int) -> str:
    """The figures of one bucket: both walks in seconds, the pages in milliseconds."""
    bucket = f"{shape}-{len(keys)}"
    client.create_bucket(bucket)
    fill(gateway.directory / bucket, keys)
    client.close()  # it was idle for longer than the gateway keeps such a connection
    walks = []
    for _ in range(2):
        began = time.perf_counter()
        found = sum(len(keys) for keys in client.list_pages(bucket, page))
        walks.append(time.perf_counter() - began)
        assert found == len(keys), f"{found} keys of {len(keys)} were listed"
    worker = psutil.Process(gateway.worker_pids()[0])
    columns = ""
    for _, share in POSITIONS:
        start = int((len(keys) - page) * share)
        after = keys[start - 1] if start > 0 else ""
        median, used = page_cost(client, worker, bucket, after, page, repeat)
        columns += f"{median:8.1f} ({used:5.1f})"
    return f"{bucket:>12} {walks[0]:9.2f} s {walks[1]:7.2f} s  {columns}"


if __name__ == "__main__":
    main()
