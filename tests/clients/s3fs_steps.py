"""What test_s3fs.py does with s3fs, run by the Python of the environment that holds s3fs.

    python s3fs_steps.py STEP BUCKET [ARGUMENT ...]

The endpoint comes from the AWS_* variables. A step fails by raising; its answer is JSON on standard output.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable

import s3fs  # type: ignore[import-not-found]  # lives in an environment of its own

STEPS: dict[str, Callable[..., object]] = {}


def step(function: Callable[..., object]) -> Callable[..., object]:
    STEPS[function.__name__] = function
    return function


def filesystem() -> s3fs.S3FileSystem:
    return s3fs.S3FileSystem(
        endpoint_url=os.environ["AWS_ENDPOINT_URL"],
        client_kwargs={"region_name": os.environ["AWS_REGION"]},
        config_kwargs={"retries": {"total_max_attempts": 1}, "signature_version": "s3v4"},
    )


@step
def put_and_get(bucket: str, key: str, source: str, target: str, part_size: str = "") -> object:
    fs = filesystem()
    # s3fs sends a file in one piece unless it is larger than its part size.
    options = {"chunksize": int(part_size)} if part_size else {}
    fs.put_file(source, f"{bucket}/{key}", **options)
    fs.get_file(f"{bucket}/{key}", target)
    return fs.info(f"{bucket}/{key}")["size"]


@step
def put_tree(bucket: str, source: str, prefix: str) -> object:
    fs = filesystem()
    fs.put(source + "/", f"{bucket}/{prefix}", recursive=True)
    return sorted(fs.find(f"{bucket}/{prefix}"))


@step
def get_tree(bucket: str, prefix: str, target: str) -> object:
    filesystem().get(f"{bucket}/{prefix}/", target, recursive=True)
    return None


@step
def open_file(bucket: str, key: str) -> object:
    fs = filesystem()
    with fs.open(f"{bucket}/{key}", "wb") as sink:
        for number in range(1000):
            sink.write(b"line %d\n" % number)
    with fs.open(f"{bucket}/{key}", "rb", block_size=2000) as source:
        source.seek(5000)
        middle = source.read(20)
        source.seek(0)
        lines = sum(1 for _ in source)
    return {
        "middle": middle.decode(),
        "lines": lines,
        "ranges": fs.cat_file(f"{bucket}/{key}", start=0, end=6).decode(),
    }


@step
def listing(bucket: str) -> object:
    fs = filesystem()
    return {
        "top": {entry["name"].removeprefix(bucket + "/"): entry["type"] for entry in fs.ls(bucket, detail=True)},
        "glob": [name.removeprefix(bucket + "/") for name in fs.glob(f"{bucket}/**/t*")],
        "du": fs.du(bucket),
        "exists": [fs.exists(f"{bucket}/dir"), fs.exists(f"{bucket}/missing")],
    }


@step
def copy_move_and_remove(bucket: str) -> object:
    fs = filesystem()
    fs.copy(f"{bucket}/a b/one+", f"{bucket}/copy/ü%")
    fs.mv(f"{bucket}/a b/one+", f"{bucket}/moved")
    fs.rm([f"{bucket}/dir"], recursive=True)
    return None


@step
def attributes(bucket: str, key: str) -> object:
    fs = filesystem()
    fs.pipe_file(f"{bucket}/{key}", b"data", ContentType="text/x", Metadata={"colour": "red"})
    fs.put_tags(f"{bucket}/{key}", {"a": "b"})
    return {"metadata": fs.metadata(f"{bucket}/{key}"), "tags": fs.get_tags(f"{bucket}/{key}")}


@step
def exclusive_create(bucket: str, key: str) -> object:
    fs = filesystem()
    fs.pipe_file(f"{bucket}/{key}", b"one", mode="create")
    try:
        fs.pipe_file(f"{bucket}/{key}", b"two", mode="create")
    except FileExistsError:
        return "refused"
    return "overwritten"


@step
def buckets(bucket: str) -> object:
    fs = filesystem()
    fs.mkdir(bucket)
    made = bucket in fs.ls("")
    fs.rmdir(bucket)
    fs.invalidate_cache()
    return [made, fs.exists(bucket)]


@step
def signed_url(bucket: str, key: str) -> object:
    return filesystem().sign(f"{bucket}/{key}", expiration=60)


if __name__ == "__main__":
    print(json.dumps(STEPS[sys.argv[1]](*sys.argv[2:])))
