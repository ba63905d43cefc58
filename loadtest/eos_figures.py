"""Figures of the EOS plugin against the emulator: large bodies, uploads in parts, what a completion moves.

    python -m loadtest.eos_figures transfers [--mib 64] [--rounds 5] [--streams 1]
    python -m loadtest.eos_figures calls [--rounds 50]
    python -m loadtest.eos_figures multipart [--gib 5] [--part-mib 64] [--uploads 1] [--streams 4]

Both start an emulator with two FSTs that stores no data (byte i of every file is i modulo 251, so that checksums still
hold) and a gateway of two workers. `transfers` prints the rates of PUT and GET through the gateway and its processor
time for each GiB: of whole objects, whose checksum is computed on the way, and of objects without their first byte, for
which EOS has none. `calls` prints what one request for a small object asks of EOS, by the emulator's counters, and the
gateway's processor time for it. `multipart` prints the times of an upload and of its completion, and what the FSTs took
and gave meanwhile.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from loadtest.eos_servers import Emulator, emulator, gateway, s3_client

MIB = 1 << 20
PERIOD = 251
_FIRST = 400
"""Keys that are written first, so that the files of the locks are there: each is made when it is needed first."""
_PATTERN = bytes(range(PERIOD)) * (MIB // PERIOD + 2)
Call = Callable[[int], object]


def content(offset: int, size: int) -> bytes:
    """What the emulator has at this place of every file."""
    block = _PATTERN[: MIB // PERIOD * PERIOD]
    start = offset % PERIOD
    return (block * ((size + start) // len(block) + 1))[start : start + size]


def moved(eos: Emulator) -> dict[str, int]:
    """Bytes that each FST took and gave so far."""
    counters = eos.admin("GET", "/counters")
    return {name: value for name, value in counters.items() if name.endswith(("bytes_in", "bytes_out"))}


def since(eos: Emulator, before: dict[str, int]) -> str:
    """What moved since then."""
    now = moved(eos)
    return ", ".join(f"{name} {now[name] - before.get(name, 0):,}" for name in sorted(now)) or "nothing"


def processor_time() -> float:
    """Seconds that the gateway's processes have used so far."""
    return sum(
        sum(process.cpu_times()[:2])
        for process in psutil.Process().children(recursive=True)
        if "backends.eos.emulator" not in process.cmdline()
    )


def transfers(eos: Emulator, s3: Any, given: argparse.Namespace) -> None:
    """PUT and GET of one size."""
    size = given.mib * MIB
    body = content(0, size)

    def put(number: int) -> None:
        s3.put_object(Bucket="figures", Key=f"key{number}", Body=body)

    def get(number: int, first: int = 0) -> None:
        part = {"Range": f"bytes={first}-"} if first else {}
        stream = s3.get_object(Bucket="figures", Key=f"key{number}", **part)["Body"]
        received = 0
        while block := stream.read(MIB):
            received += len(block)
        if received != size - first:
            raise RuntimeError(f"{received} bytes of {size - first}")

    calls: tuple[tuple[str, Call], ...] = (("PUT", put), ("GET", get), ("GET of a range", lambda key: get(key, 1)))
    rates: dict[str, list[float]] = {name: [] for name, _ in calls}
    used: dict[str, float] = dict.fromkeys(rates, 0.0)
    with ThreadPoolExecutor(given.streams) as threads:
        for _ in range(given.rounds):
            for name, call in calls:
                started, before = time.monotonic(), processor_time()
                list(threads.map(call, range(given.streams)))
                rates[name].append(given.mib * given.streams / (time.monotonic() - started))
                used[name] += processor_time() - before
    gib = given.mib * given.streams * given.rounds / 1024
    for name, values in rates.items():
        print(
            f"{name} {given.mib} MiB, {given.streams} at a time: median {statistics.median(values):.0f} MiB/s,"
            f" {min(values):.0f} to {max(values):.0f} in {given.rounds} rounds; {used[name] / gib:.2f} s/GiB"
        )


def calls(eos: Emulator, s3: Any, given: argparse.Namespace) -> None:
    """What small requests ask of EOS."""
    named = {"Bucket": "figures", "Key": "dir/key"}
    body = content(0, 1024)
    tags = {"TagSet": [{"Key": "a", "Value": "b"}]}
    requests: dict[str, Callable[[int], object]] = {
        "PutObject, 1 KiB": lambda number: s3.put_object(Bucket="figures", Key=f"dir/new{number}", Body=body),
        "PutObject, 1 KiB, overwriting": lambda _: s3.put_object(**named, Body=body),
        "PutObject, 1 KiB, If-None-Match": lambda number: s3.put_object(
            Bucket="figures", Key=f"dir/once{number}", Body=body, IfNoneMatch="*"
        ),
        "PutObject, 2 MiB": lambda _: s3.put_object(**named, Body=content(0, 2 * MIB)),
        "GetObject, 2 MiB": lambda _: s3.get_object(**named)["Body"].read(),
        "GetObject, 1 KiB": lambda _: s3.get_object(Bucket="figures", Key="dir/new0")["Body"].read(),
        "HeadObject": lambda _: s3.head_object(**named),
        "PutObjectTagging": lambda _: s3.put_object_tagging(**named, Tagging=tags),
        "CopyObject, 1 KiB": lambda _: s3.copy_object(
            Bucket="figures", Key="dir/copy", CopySource={"Bucket": "figures", "Key": "dir/new0"}
        ),
        "ListObjectsV2, one directory": lambda _: s3.list_objects_v2(Bucket="figures", Prefix="dir/", Delimiter="/"),
        "DeleteObject": lambda number: s3.delete_object(Bucket="figures", Key=f"dir/new{number}"),
    }
    for number in range(_FIRST):
        s3.put_object(Bucket="figures", Key=f"warm/{number}", Body=body)
    for name, request in requests.items():
        if not name.startswith("DeleteObject"):
            request(0)
        eos.admin("DELETE", "/counters")
        before = processor_time()
        for number in range(1, given.rounds + 1):
            request(number)
        used = (processor_time() - before) / given.rounds
        counted = {call: value / given.rounds for call, value in eos.admin("GET", "/counters").items()}
        asked = ", ".join(
            f"{value:.3g} {call}"
            for call, value in sorted(counted.items())
            if value >= 0.2 and ("bytes" not in call) and call.startswith(("grpc.", "mgm.", "fst"))
        )
        print(f"{name}: {used * 1000:.2f} ms; {asked}")


def multipart(eos: Emulator, s3: Any, given: argparse.Namespace) -> None:
    """Uploads in parts, at the same time, and their completions, one after another."""
    part, size = given.part_mib * MIB, given.gib << 30
    count = -(-size // part)
    uploads = [{"Bucket": "figures", "Key": f"large{number}"} for number in range(given.uploads)]
    for upload in uploads:
        upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]

    def send(task: tuple[int, int]) -> dict[str, Any]:
        number, index = task
        body = content((number - 1) * part, min(part, size - (number - 1) * part))
        answer = s3.upload_part(**uploads[index], PartNumber=number, Body=body)
        return {"PartNumber": number, "ETag": answer["ETag"]}

    tasks = [(number, index) for number in range(1, count + 1) for index in range(given.uploads)]
    before, started = moved(eos), time.monotonic()
    with ThreadPoolExecutor(given.streams) as threads:
        sent = list(threads.map(send, tasks))
    seconds = time.monotonic() - started
    rate = given.uploads * size / MIB / seconds
    print(f"{given.uploads} x {count} parts, {given.streams} at a time: {seconds:.1f} s, {rate:.0f} MiB/s")
    print(f"    {since(eos, before)}; most writers of one file: {eos.admin('GET', '/counters')['max_writers']}")
    for index, upload in enumerate(uploads):
        parts = sent[index :: given.uploads]
        before, started = moved(eos), time.monotonic()
        s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
        print(f"completion: {time.monotonic() - started:.2f} s\n    {since(eos, before)}")
        found = s3.head_object(Bucket="figures", Key=upload["Key"])["ContentLength"]
        if found != size:
            raise RuntimeError(f"{found} bytes of {size}")


def main() -> None:
    """Start the servers and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["transfers", "calls", "multipart"])
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gib", type=int, default=5)
    parser.add_argument("--uploads", type=int, default=1)
    parser.add_argument("--part-mib", type=int, default=64)
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--finalize", choices=["true", "false"], default="true")
    parser.add_argument("--part-buffer-mib", type=int, default=64)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="eos-figures-") as home:
        directory = Path(home)
        (directory / "eos").mkdir()
        options = {"finalize": given.finalize == "true", "part_buffer": given.part_buffer_mib * MIB}
        with (
            emulator(directory / "eos", "--quirk", "data=null", "--layout", "replica:2:adler32") as eos,
            gateway(directory / "gateway", eos.options(**options)) as endpoint,
        ):
            s3 = s3_client(endpoint, seconds=600, connections=given.streams + 1)
            s3.create_bucket(Bucket="figures")
            {"transfers": transfers, "calls": calls, "multipart": multipart}[given.what](eos, s3, given)


if __name__ == "__main__":
    main()
