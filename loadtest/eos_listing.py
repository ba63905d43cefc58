"""What a page of a list costs on EOS, by the size of the directory: the plugin against the emulator, without the front.

    python -m loadtest.eos_listing                       # flat and tree, 1,000, 10,000 and 100,000 files
    python -m loadtest.eos_listing --keys 1000 --page 100

Files are registered in the emulator's namespace without data. The first page of a directory is cold: it reads the whole
directory by one Find. Then a page at the front, in the middle and at the end is measured, the median of `--repeat`
tries, and last, each time after the directory has changed, a page behind a prefix and one in the middle, whose entries
EOS chooses. The processor time of a cold reading and of the page in the middle stands beside it: this process's, which
is the worker's part, and the emulator's.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from gevent import monkey

if __name__ == "__main__":
    monkey.patch_all()

import psutil

from backends.api import BucketRecord, ListQuery
from backends.eos.backend import EosBackend
from backends.eos.proto import namespace_pb2 as rpc
from tests.support.eos import Client, Emulator
from tests.support.eos_plugin import ALICE, opened, prepare

POSITIONS = (("front", 0.0), ("middle", 0.5), ("end", 1.0))
_BATCH = 2000


def flat(count: int) -> Iterator[str]:
    """Keys without a slash."""
    return (f"object-{number:08d}.dat" for number in range(count))


def tree(count: int) -> Iterator[str]:
    """Keys in directories of 100, those in directories of 100."""
    return (f"{number // 10_000:04d}/{number // 100 % 100:02d}/object-{number:08d}.dat" for number in range(count))


SHAPES: dict[str, Callable[[int], Iterator[str]]] = {"flat": flat, "tree": tree}


def fill(client: Client, root: str, keys: list[str]) -> None:
    """Register an empty file for each key."""
    directories = sorted({key.rpartition("/")[0] for key in keys} - {""})
    for directory in directories:
        client.mkdir(f"{root}/{directory}")
    for start in range(0, len(keys), _BATCH):
        files = [
            rpc.FileMdProto(path=f"{root}/{key}".encode(), uid=1000, gid=1000, flags=0o644, size=number)
            for number, key in enumerate(keys[start : start + _BATCH])
        ]
        reply = client.stub.FileInsert(rpc.FileInsertRequest(files=files, authkey=client.key), timeout=120)
        if any(reply.retc):
            raise SystemExit(f"the emulator refuses a file: {next(filter(None, reply.message))}")


def timed(backend: EosBackend, bucket: str, query: ListQuery) -> tuple[float, int]:
    """Milliseconds of a page, and how many objects it shows."""
    before = time.perf_counter()
    page = backend.list_objects(ALICE, bucket, query)
    return (time.perf_counter() - before) * 1000, len(page.objects)


def watched(eos: Emulator, work: Callable[[], tuple[float, int]]) -> str:
    """Time of a page, and the processor time of both sides meanwhile."""
    assert eos.process is not None
    processes = (psutil.Process(), psutil.Process(eos.process.pid))
    before = [sum(process.cpu_times()[:2]) for process in processes]
    milliseconds, shown = work()
    used = [sum(process.cpu_times()[:2]) - start for process, start in zip(processes, before, strict=True)]
    return f"{milliseconds:9.1f} ms, {shown} shown; processor: worker {used[0]:.2f} s, emulator {used[1]:.2f} s"


def measure(backend: EosBackend, eos: Emulator, client: Client, shape: str, count: int, page: int, repeat: int) -> None:
    """One bucket, and a line for each thing that is measured."""
    bucket = f"{shape}-{count}"
    backend.create_bucket(ALICE, BucketRecord(name=bucket, created=1))
    keys = list(SHAPES[shape](count))
    fill(client, f"{eos.root}/buckets/{bucket}", keys)
    line = watched(eos, lambda: timed(backend, bucket, ListQuery(limit=page)))
    print(f"{shape:<5} {count:>7} cold {line}", flush=True)
    for name, position in POSITIONS:
        first = max(0, int((len(keys) - page) * position))
        query = ListQuery(after=keys[first - 1] if first else "", limit=page)
        timed(backend, bucket, query)
        tries = [timed(backend, bucket, query)[0] for _ in range(repeat)]
        print(f"{shape:<5} {count:>7} {name:<6} {statistics.median(tries):7.1f} ms", flush=True)
    beside = f"{keys[-1].rpartition('/')[0]}/zzz".lstrip("/")
    fill(client, f"{eos.root}/buckets/{bucket}", [beside])
    chosen, shown = timed(backend, bucket, ListQuery(prefix=keys[len(keys) // 2][:-5], limit=page))
    print(f"{shape:<5} {count:>7} prefix after a change {chosen:7.1f} ms, {shown} shown", flush=True)
    fill(client, f"{eos.root}/buckets/{bucket}", [f"{beside}z"])
    line = watched(eos, lambda: timed(backend, bucket, ListQuery(after=keys[len(keys) // 2], limit=page)))
    print(f"{shape:<5} {count:>7} middle after a change {line}", flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--shapes", nargs="+", choices=sorted(SHAPES), default=sorted(SHAPES))
    parser.add_argument("--page", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="eos-listing-") as home,
        Emulator(Path(home)) as eos,
        Client(eos) as client,
    ):
        prepare(eos)
        with opened(eos, listing_cache=3600.0, find_timeout=600.0) as backend:
            for shape in given.shapes:
                for count in given.keys:
                    measure(backend, eos, client, shape, count, given.page, given.repeat)


if __name__ == "__main__":
    main()
