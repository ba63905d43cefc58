"""s5cmd, the client for many small objects (AWS SDK for Go, version 1)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.clients.conftest import Store
from tests.clients.content import SIZES, content, digest, make_tree, read_tree
from tests.clients.endpoint import Endpoint
from tests.clients.process import run
from tests.clients.tools import program

S5cmd = Callable[..., bytes]


@pytest.fixture(scope="module")
def s5cmd(endpoint: Endpoint) -> S5cmd:
    command = program("commands", "s5cmd")

    def call(*words: str | Path, **options: Any) -> bytes:
        base: list[str | Path] = [command, "--endpoint-url", endpoint.url, "--retry-count", "0", "--numworkers", "16"]
        return run([*base, *words], endpoint.environment(), **options)

    return call


@pytest.mark.parametrize("size", SIZES)
def test_cp_up_and_down(s5cmd: S5cmd, store: Store, tmp_path: Path, size: int) -> None:
    (tmp_path / "up").write_bytes(content(size))
    s5cmd("cp", tmp_path / "up", f"s3://{store.bucket}/dir/object")
    store.assert_holds("dir/object", size)
    s5cmd("cp", f"s3://{store.bucket}/dir/object", tmp_path / "down")
    assert digest((tmp_path / "down").read_bytes()) == digest(content(size))


def test_tree_up_and_down(s5cmd: S5cmd, store: Store, tmp_path: Path) -> None:
    source, down = tmp_path / "source", tmp_path / "down"
    digests = make_tree(source, 1000)
    s5cmd("cp", f"{source}/", f"s3://{store.bucket}/base dir+/")
    assert store.keys() == sorted((f"base dir+/{name}" for name in digests), key=str.encode)
    s5cmd("cp", f"s3://{store.bucket}/base dir+/*", f"{down}/")
    assert read_tree(down) == digests


def test_sync_with_delete(s5cmd: S5cmd, store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    make_tree(source, 56)
    s5cmd("sync", f"{source}/", f"s3://{store.bucket}/")
    (source / "plain.txt").unlink()
    (source / "with space.txt").write_bytes(b"changed")
    s5cmd("sync", "--delete", f"{source}/", f"s3://{store.bucket}/")
    assert store.digests() == read_tree(source)


def test_ls_du_and_cat(s5cmd: S5cmd, store: Store) -> None:
    for key in ("top +", "dir/one", "dir/two", "ü/three"):
        store.put(key, key.encode())
    lines = s5cmd("--json", "ls", f"s3://{store.bucket}/").decode().splitlines()
    listed = {entry["key"].removeprefix(f"s3://{store.bucket}/"): entry["type"] for entry in map(json.loads, lines)}
    assert listed == {"dir/": "directory", "ü/": "directory", "top +": "file"}
    usage = json.loads(s5cmd("--json", "du", f"s3://{store.bucket}/*"))
    assert (usage["count"], usage["size"]) == (4, _stored_bytes(store))
    assert s5cmd("cat", f"s3://{store.bucket}/dir/two") == b"dir/two"


def test_server_side_copies_and_moves(s5cmd: S5cmd, store: Store) -> None:
    store.put("a b/one+", content(5000))
    s5cmd("cp", f"s3://{store.bucket}/a b/one+", f"s3://{store.bucket}/copy/two%")
    s5cmd("mv", f"s3://{store.bucket}/a b/one+", f"s3://{store.bucket}/moved/ü")
    assert store.digests() == {"copy/two%": digest(content(5000)), "moved/ü": digest(content(5000))}


def test_rm_of_many_objects(s5cmd: S5cmd, store: Store) -> None:
    for number in range(120):
        store.put(f"dir/k {number}&", b"")
    store.put("kept", b"")
    s5cmd("rm", f"s3://{store.bucket}/dir/*")
    assert store.keys() == ["kept"]


def test_metadata_and_content_type(s5cmd: S5cmd, store: Store, tmp_path: Path) -> None:
    (tmp_path / "file.html").write_bytes(b"<p>")
    s5cmd(
        "cp", "--metadata", "colour=red", "--cache-control", "max-age=5", tmp_path / "file.html", f"s3://{store.bucket}"
    )
    head = json.loads(s5cmd("head", f"s3://{store.bucket}/file.html"))
    assert (head["content_type"].split(";")[0], head["metadata"]) == ("text/html", {"colour": "red"})
    assert store.client.head_object(Bucket=store.bucket, Key="file.html")["CacheControl"] == "max-age=5"


def test_buckets_and_presigned_urls(s5cmd: S5cmd, store: Store) -> None:
    name = f"{store.bucket}-made"
    s5cmd("mb", f"s3://{name}")
    assert f"s3://{name}" in s5cmd("ls").decode()
    s5cmd("rb", f"s3://{name}")
    store.put("pre signed+", content(1000))
    url = s5cmd("presign", "--expire", "1m", f"s3://{store.bucket}/pre signed+").decode().strip()
    assert digest(requests.get(url, timeout=30).content) == digest(content(1000))


def test_missing_object_is_an_error(s5cmd: S5cmd, store: Store, tmp_path: Path) -> None:
    s5cmd("cp", f"s3://{store.bucket}/missing", tmp_path / "down", expect=1)
    assert not (tmp_path / "down").exists()


def _stored_bytes(store: Store) -> int:
    listed = store.keys()
    return sum(len(key.encode()) for key in listed)  # each of these objects holds its own key
