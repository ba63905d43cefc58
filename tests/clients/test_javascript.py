"""The AWS SDK for JavaScript, version 3, on Node.js (see js/steps.cjs)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import Store
from tests.clients.content import FILE_NAMES, MIB, SIZES, content, digest
from tests.clients.endpoint import Endpoint
from tests.clients.process import run
from tests.clients.test_boto3 import CHECKSUMS, checksum
from tests.clients.tools import node_project, program

Step = Callable[..., Any]


@pytest.fixture(scope="module")
def step(endpoint: Endpoint) -> Step:
    variables = {**endpoint.environment(), "NODE_PATH": str(node_project() / "node_modules")}
    command = [program("commands", "node"), Path(__file__).parent / "js" / "steps.cjs"]

    def call(name: str, bucket: str, *arguments: str | Path) -> Any:
        return json.loads(run([*command, name, bucket, *arguments], variables))

    return call


@pytest.mark.parametrize("size", SIZES)
def test_buffers(step: Step, store: Store, tmp_path: Path, size: int) -> None:
    (tmp_path / "up").write_bytes(content(size))
    answer = step("putBuffer", store.bucket, "dir/with space+ü", tmp_path / "up")
    assert answer == {"etag": f'"{hashlib.md5(content(size)).hexdigest()}"', "sha256": digest(content(size))}
    store.assert_holds("dir/with space+ü", size)


@pytest.mark.parametrize("algorithm", CHECKSUMS)
def test_streams_with_a_checksum_in_the_trailer(step: Step, store: Store, tmp_path: Path, algorithm: str) -> None:
    data = content(300_001)
    (tmp_path / "up").write_bytes(data)
    answer = step("putStream", store.bucket, "k", tmp_path / "up", tmp_path / "down", algorithm)
    assert answer["coding"] == "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    assert answer["checksum"] == checksum(algorithm, data)
    assert answer["encoding"] in (None, "")
    assert digest((tmp_path / "down").read_bytes()) == digest(data)
    store.assert_holds("k", 300_001)


def test_generated_stream(step: Step, store: Store) -> None:
    assert step("webStream", store.bucket, "k") is True


def test_awkward_keys(step: Step, store: Store) -> None:
    answer = step("keys", store.bucket, *FILE_NAMES)
    assert answer["listed"] == sorted(FILE_NAMES, key=str.encode)
    assert (sorted(answer["deleted"]), answer["errors"]) == (sorted(FILE_NAMES[1:]), [])
    assert store.keys() == [FILE_NAMES[0]]


def test_metadata_and_tags(step: Step, store: Store) -> None:
    answer = step("metadata", store.bucket, "k")
    assert answer["metadata"] == {"colour": "red", "empty": ""}
    assert answer["type"] == "text/x"
    assert answer["tags"] == [[{"Key": "a", "Value": "b"}], [{"Key": "c", "Value": "d e"}]]


def test_conditions_and_errors(step: Step, store: Store) -> None:
    assert step("conditions", store.bucket, "k") == {
        "create": ["PreconditionFailed", 412],
        "match": ["PreconditionFailed", 412],
        "unchanged": ["Unknown", 304],
        "missing": ["NoSuchKey", 404],
        "headMissing": ["NotFound", 404],
        "held": "one",
    }


def test_ranges_copies_and_presigned_urls(step: Step, store: Store) -> None:
    store.put("a b/one+ü", content(5000))
    wanted = {"range": "bytes 100-199/5000", "sha256": digest(content(5000)[100:200])}
    assert step("ranges", store.bucket, "a b/one+ü") == wanted
    assert step("copyAndDelete", store.bucket, "a b/one+ü", "moved %") == digest(content(5000))
    assert store.keys() == ["moved %"]
    assert step("presign", store.bucket, "pre signed+") == {"put": 200, "get": 200, "text": "signed data"}
    assert store.get("pre signed+") == b"signed data"


@pytest.mark.parametrize("size", [0, 1000, 5 * MIB, 5 * MIB + 1, 22 * MIB + 3])
def test_managed_uploads(step: Step, store: Store, tmp_path: Path, size: int) -> None:
    data = content(size)
    (tmp_path / "up").write_bytes(data)
    answer = step("upload", store.bucket, "dir/managed ü", tmp_path / "up", str(5 * MIB))
    parts = [hashlib.md5(data[at : at + 5 * MIB]).digest() for at in range(0, size, 5 * MIB)]
    joined = f"{hashlib.md5(b''.join(parts)).hexdigest()}-{len(parts)}"
    etag = joined if len(parts) > 1 else hashlib.md5(data).hexdigest()
    assert answer == {
        "etag": f'"{etag}"',
        "sent": size,
        "sha256": digest(data),
        "type": "text/x",
        "metadata": {"colour": "red"},
    }
    store.assert_holds("dir/managed ü", size)


def test_a_managed_upload_that_is_given_up_leaves_nothing(step: Step, store: Store, tmp_path: Path) -> None:
    (tmp_path / "up").write_bytes(content(16 * MIB))
    answer = step("abortUpload", store.bucket, "k", tmp_path / "up", str(5 * MIB))
    assert answer == {"outcome": "AbortError", "uploads": 0, "object": ["NotFound", 404]}


def test_buckets(step: Step, store: Store) -> None:
    name = f"{store.bucket}-made"
    assert step("buckets", name) == {"listed": [name], "after": ["NotFound", 404]}
