"""How long CompleteMultipartUpload takes on the posix backend, for objects of 50 MiB, 500 MiB and 5 GiB of 8 MiB parts.

    python loadtest/multipart_completion.py [--directory DIR] [--rounds 3] [--durability commit] [--workers 4]

Starts a gateway of its own on DIR (a temporary directory by default; 6 GiB of space), fills uploads by UploadPartCopy
from one object, and prints a table of the completions' times, the space before and after, and the bytes that the
completion wrote.
"""

from __future__ import annotations

import argparse
import http.client
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

MIB = 1 << 20
PART = 8 * MIB
SIZES = {"50 MiB": 50 * MIB, "500 MiB": 500 * MIB, "5 GiB": 5 << 30}
KEYS = {"SHARDGATE_ACCESS_KEY": "loadtest", "SHARDGATE_SECRET_KEY": "loadtest-secret"}


@contextmanager
def gateway(home: Path, workers: int, durability: str) -> Iterator[str]:
    """A gateway on `home/data`; its endpoint."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "dispatcher.cli", "serve", str(home / "data"), "--port", str(port)]
    command += ["--workers", str(workers), "--durability", durability, "--log-level", "warning"]
    process = subprocess.Popen(command, env={**os.environ, **KEYS}, stdout=subprocess.DEVNULL)
    try:
        for _ in range(300):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=2):
                    break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def used(path: Path) -> int:
    """Bytes that files below a directory take on the disk."""
    return sum(file.stat().st_blocks * 512 for file in path.rglob("*") if file.is_file())


def complete(s3: Any, name: dict[str, str], parts: list[dict[str, Any]]) -> float:
    """Complete by a plain request, because boto3 takes longer to write its document than the gateway to complete."""
    items = "".join(f"<Part><PartNumber>{p['PartNumber']}</PartNumber><ETag>{p['ETag']}</ETag></Part>" for p in parts)
    body = f"<CompleteMultipartUpload>{items}</CompleteMultipartUpload>".encode()
    url = urlsplit(s3.generate_presigned_url("complete_multipart_upload", Params=name))
    connection = http.client.HTTPConnection(url.netloc, timeout=300)
    connection.connect()
    began = time.perf_counter()
    connection.request("POST", f"{url.path}?{url.query}", body)
    response = connection.getresponse()
    answer = response.read()
    seconds = time.perf_counter() - began
    connection.close()
    if b"<CompleteMultipartUploadResult" not in answer:
        raise RuntimeError(f"{response.status}: {answer!r}")
    return seconds


def measure(s3: Any, data: Path, size: int) -> tuple[float, int, int]:
    """Upload an object by copies of parts and complete it: seconds, and the space before and after."""
    upload = s3.create_multipart_upload(Bucket="loadtest", Key="object")["UploadId"]
    name = {"Bucket": "loadtest", "Key": "object", "UploadId": upload}

    def copy(number: int) -> dict[str, Any]:
        length = min(PART, size - (number - 1) * PART)
        part = s3.upload_part_copy(
            **name,
            PartNumber=number,
            CopySource={"Bucket": "loadtest", "Key": "source"},
            CopySourceRange=f"bytes=0-{length - 1}",
        )
        return {"PartNumber": number, "ETag": part["CopyPartResult"]["ETag"]}

    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(copy, range(1, -(-size // PART) + 1)))
    before = used(data)
    # The kernel still frees the object before this one, and writes journals: not what is to be measured.
    time.sleep(2)
    seconds = complete(s3, name, parts)
    after = used(data)
    assert s3.head_object(Bucket="loadtest", Key="object")["ContentLength"] == size
    s3.delete_object(Bucket="loadtest", Key="object")
    return seconds, before, after


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, help="where to work; removed afterwards")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--durability", choices=("commit", "relaxed"), default="commit")
    asked = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="shardgate-multipart-", dir=asked.directory))
    try:
        with gateway(home, asked.workers, asked.durability) as endpoint:
            s3 = boto3.client(
                "s3",
                endpoint_url=endpoint,
                region_name="us-east-1",
                aws_access_key_id=KEYS["SHARDGATE_ACCESS_KEY"],
                aws_secret_access_key=KEYS["SHARDGATE_SECRET_KEY"],
                config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, read_timeout=300),
            )
            s3.create_bucket(Bucket="loadtest")
            s3.put_object(Bucket="loadtest", Key="source", Body=os.urandom(PART))
            print(f"durability {asked.durability}, {asked.workers} workers, {asked.rounds} rounds, parts of 8 MiB")
            print("  object  parts    median   fastest   slowest  space before     after")
            for label, size in SIZES.items():
                found = [measure(s3, home / "data", size) for _ in range(asked.rounds)]
                times = [seconds * 1000 for seconds, _, _ in found]
                before, after = (max(row[index] for row in found) / MIB for index in (1, 2))
                print(
                    f"{label:>8} {-(-size // PART):>6} {statistics.median(times):>6.1f} ms {min(times):>6.1f} ms "
                    f"{max(times):>6.1f} ms {before:>9.0f} MiB {after:>5.0f} MiB",
                    flush=True,
                )
    finally:
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
