"""The AWS command line interface: `aws s3` for trees of files, `aws s3api` for single operations."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.clients.conftest import Store, empty_bucket
from tests.clients.content import FILE_NAMES, SIZES, content, digest, make_tree, read_tree
from tests.clients.endpoint import Endpoint
from tests.clients.process import run
from tests.clients.tools import program

TREE_SIZE = 2000

Aws = Callable[..., bytes]


@pytest.fixture(scope="module")
def aws(endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Aws:
    command = program("awscli", "aws")
    settings = tmp_path_factory.mktemp("aws") / "config"
    settings.write_text("[default]\ns3 =\n  signature_version = s3v4\n")  # else version 1 presigns with SigV2
    variables = {**endpoint.environment(), "AWS_CONFIG_FILE": str(settings)}

    def call(*words: str | Path, **options: Any) -> bytes:
        return run([command, *words], variables, **options)

    return call


def s3api(aws: Aws, *words: str | Path) -> dict[str, Any]:
    """The JSON answer of `aws s3api`; empty when it prints none."""
    printed = aws("s3api", *words, "--output", "json")
    answer: dict[str, Any] = json.loads(printed) if printed.strip() else {}
    return answer


@pytest.mark.parametrize("size", SIZES)
def test_cp_up_and_down(aws: Aws, store: Store, tmp_path: Path, size: int) -> None:
    (tmp_path / "up").write_bytes(content(size))
    aws("s3", "cp", tmp_path / "up", f"s3://{store.bucket}/dir/object")
    store.assert_holds("dir/object", size)
    aws("s3", "cp", f"s3://{store.bucket}/dir/object", tmp_path / "down")
    assert digest((tmp_path / "down").read_bytes()) == digest(content(size))


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_cp_with_a_checksum_algorithm(aws: Aws, store: Store, tmp_path: Path, algorithm: str) -> None:
    (tmp_path / "up").write_bytes(content(10_000))
    target = f"s3://{store.bucket}/k"
    aws("s3", "cp", tmp_path / "up", target, "--checksum-algorithm", algorithm)
    aws("s3", "cp", target, tmp_path / "down", "--checksum-mode", "ENABLED")
    assert digest((tmp_path / "down").read_bytes()) == digest(content(10_000))
    head = store.client.head_object(Bucket=store.bucket, Key="k", ChecksumMode="ENABLED")
    assert f"Checksum{algorithm}" in head


def test_cp_through_standard_input_and_output(aws: Aws, store: Store) -> None:
    aws("s3", "cp", "-", f"s3://{store.bucket}/k", stdin=content(70_000))
    store.assert_holds("k", 70_000)
    assert digest(aws("s3", "cp", f"s3://{store.bucket}/k", "-")) == digest(content(70_000))


@pytest.mark.timeout(240)
def test_sync_of_a_tree_up_and_down_with_delete(aws: Aws, store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    digests = make_tree(source, TREE_SIZE)
    assert len(digests) == TREE_SIZE
    url = f"s3://{store.bucket}/base dir+/"
    aws("s3", "sync", source, url, "--only-show-errors")
    assert store.digests() == {f"base dir+/{name}": sha for name, sha in digests.items()}
    assert aws("s3", "sync", source, url) == b"", "a second pass has nothing to send"

    down = tmp_path / "down"
    aws("s3", "sync", url, down, "--only-show-errors")
    assert read_tree(down) == digests
    assert aws("s3", "sync", url, down) == b"", "a second pass has nothing to fetch"

    # Take a part of the names away, change one file and add one: both sides have to follow.
    shutil.rmtree(source / "group 003+")
    (source / "plain.txt").write_bytes(b"changed, and of another length")
    (source / "added # one").write_bytes(b"new")
    wanted = read_tree(source)
    assert len(digests) > len(wanted) > TREE_SIZE - 2 * len(FILE_NAMES)
    aws("s3", "sync", source, url, "--delete", "--only-show-errors")
    assert sorted(store.keys()) == sorted(f"base dir+/{name}" for name in wanted)
    assert store.get("base dir+/plain.txt") == b"changed, and of another length"
    aws("s3", "sync", url, down, "--delete", "--only-show-errors")
    assert read_tree(down) == wanted


def test_ls_shows_prefixes_names_and_sizes(aws: Aws, store: Store) -> None:
    for key in ("top level", "dir/one", "dir/two", "ü/three"):
        store.put(key, key.encode())
    lines = [line.split(maxsplit=3) for line in aws("s3", "ls", f"s3://{store.bucket}").decode().splitlines()]
    assert [words for words in lines if words[0] == "PRE"] == [["PRE", "dir/"], ["PRE", "ü/"]]
    assert [words[2:] for words in lines if words[0] != "PRE"] == [["9", "top level"]]
    listed = store.keys()
    recursive = aws("s3", "ls", "--recursive", "--summarize", f"s3://{store.bucket}").decode()
    assert "Total Objects: 4" in recursive
    assert f"Total Size: {sum(len(key.encode()) for key in listed)}" in recursive
    assert store.bucket in aws("s3", "ls").decode()


def test_mv_and_rm(aws: Aws, store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"data")
    url = f"s3://{store.bucket}"
    aws("s3", "mv", tmp_path / "file", f"{url}/a b")
    assert not (tmp_path / "file").exists()
    aws("s3", "mv", f"{url}/a b", f"{url}/c+d")
    assert store.digests() == {"c+d": digest(b"data")}
    store.put("e/f", b"1")
    aws("s3", "rm", "--recursive", f"{url}/", "--exclude", "e/*")
    assert store.keys() == ["e/f"]


def test_mb_and_rb(aws: Aws, store: Store) -> None:
    name = store.bucket + "-made"
    aws("s3", "mb", f"s3://{name}")
    made = Store(store.client, name)
    made.put("k", b"data")
    aws("s3", "rb", f"s3://{name}", expect=None)
    assert made.get("k") == b"data"
    aws("s3", "rb", "--force", f"s3://{name}")
    assert name not in [entry["Name"] for entry in store.client.list_buckets()["Buckets"]]


def test_presign(aws: Aws, store: Store) -> None:
    store.put("pre signed+", content(1000))
    url = aws("s3", "presign", f"s3://{store.bucket}/pre signed+", "--expires-in", "60").decode().strip()
    answer = requests.get(url, timeout=30)
    assert (answer.status_code, digest(answer.content)) == (200, digest(content(1000)))


def test_s3api_object_operations(aws: Aws, store: Store, tmp_path: Path) -> None:
    data = content(20_000)
    body = tmp_path / "body"
    body.write_bytes(data)
    target = ("--bucket", store.bucket, "--key", "dir/k ü")
    sha256 = base64.b64encode(hashlib.sha256(data).digest()).decode()
    put = s3api(aws, "put-object", *target, "--body", body, "--metadata", "a=1,b=2", "--checksum-algorithm", "SHA256")
    assert (put["ETag"], put["ChecksumSHA256"]) == (f'"{hashlib.md5(data).hexdigest()}"', sha256)

    head = s3api(aws, "head-object", *target, "--checksum-mode", "ENABLED")
    assert (head["ContentLength"], head["Metadata"], head["ChecksumSHA256"]) == (20_000, {"a": "1", "b": "2"}, sha256)
    attributes = s3api(aws, "get-object-attributes", *target, "--object-attributes", "ObjectSize", "ETag")
    assert attributes["ObjectSize"] == 20_000

    part = tmp_path / "part"
    got = s3api(aws, "get-object", *target, "--range", "bytes=100-199", part)
    assert (got["ContentRange"], part.read_bytes()) == ("bytes 100-199/20000", data[100:200])

    s3api(aws, "put-object-tagging", *target, "--tagging", "TagSet=[{Key=colour,Value=red}]")
    assert s3api(aws, "get-object-tagging", *target)["TagSet"] == [{"Key": "colour", "Value": "red"}]

    source = f"{store.bucket}/dir/k ü"
    s3api(aws, "copy-object", "--bucket", store.bucket, "--key", "copy", "--copy-source", source)
    assert digest(store.get("copy")) == digest(data)
    doomed = json.dumps({"Objects": [{"Key": "copy"}, {"Key": "dir/k ü"}]})
    deleted = s3api(aws, "delete-objects", "--bucket", store.bucket, "--delete", doomed)
    assert sorted(entry["Key"] for entry in deleted["Deleted"]) == ["copy", "dir/k ü"]
    assert store.keys() == []


def test_s3api_bucket_operations(aws: Aws, store: Store) -> None:
    bucket = ("--bucket", store.bucket)
    assert s3api(aws, "get-bucket-location", *bucket)["LocationConstraint"] is None
    assert s3api(aws, "get-bucket-versioning", *bucket) == {}
    s3api(aws, "put-bucket-tagging", *bucket, "--tagging", "TagSet=[{Key=a,Value=b}]")
    assert s3api(aws, "get-bucket-tagging", *bucket)["TagSet"] == [{"Key": "a", "Value": "b"}]
    s3api(aws, "wait", "bucket-exists", *bucket)
    for number in range(5):
        store.put(f"k{number}", b"")
    first = s3api(aws, "list-objects-v2", *bucket, "--max-items", "2", "--page-size", "2")
    rest = s3api(aws, "list-objects-v2", *bucket, "--starting-token", first["NextToken"], "--page-size", "2")
    keys = [entry["Key"] for page in (first, rest) for entry in page["Contents"]]
    assert keys == [f"k{number}" for number in range(5)]
    empty_bucket(store.client, store.bucket)
    s3api(aws, "delete-bucket", *bucket)
    aws("s3api", "head-bucket", *bucket, expect=255)
