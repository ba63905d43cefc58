"""s3fs and fsspec on aiobotocore, in an environment of their own (see s3fs_steps.py)."""

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

Step = Callable[..., Any]


@pytest.fixture(scope="module")
def step(endpoint: Endpoint) -> Step:
    command = [program("s3fs", "python"), Path(__file__).with_name("s3fs_steps.py")]

    def call(name: str, bucket: str, *arguments: str | Path) -> Any:
        return json.loads(run([*command, name, bucket, *arguments], endpoint.environment()))

    return call


@pytest.mark.parametrize("size", SIZES)
def test_put_and_get_file(step: Step, store: Store, tmp_path: Path, size: int) -> None:
    (tmp_path / "up").write_bytes(content(size))
    assert step("put_and_get", store.bucket, "dir/with space+ü", tmp_path / "up", tmp_path / "down") == size
    store.assert_holds("dir/with space+ü", size)
    assert digest((tmp_path / "down").read_bytes()) == digest(content(size))


def test_tree_up_and_down(step: Step, store: Store, tmp_path: Path) -> None:
    # fsspec strips names and takes '*', '?' and '[' for patterns, so this tree has tame names.
    source = tmp_path / "source"
    for number in range(120):
        path = source / f"dir {number % 7}" / f"ü+{number:03}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(200, seed=number))
    digests = read_tree(source)
    found = step("put_tree", store.bucket, source, "base+dir")
    assert found == sorted(f"{store.bucket}/base+dir/{name}" for name in digests)
    assert store.digests() == {f"base+dir/{name}": sha for name, sha in digests.items()}
    step("get_tree", store.bucket, "base+dir", tmp_path / "down")
    assert read_tree(tmp_path / "down") == digests


def test_files_are_written_and_read_by_ranges(step: Step, store: Store) -> None:
    text = b"".join(b"line %d\n" % number for number in range(1000))
    answer = step("open_file", store.bucket, "k")
    assert answer == {"middle": text[5000:5020].decode(), "lines": 1000, "ranges": "line 0"}
    assert store.get("k") == text


def test_listing_glob_and_du(step: Step, store: Store) -> None:
    for key in ("top", "dir/one", "dir/two", "ü/three"):
        store.put(key, key.encode())
    answer = step("listing", store.bucket)
    assert answer["top"] == {"top": "file", "dir": "directory", "ü": "directory"}
    assert sorted(answer["glob"]) == ["dir/two", "top", "ü/three"]
    assert (answer["du"], answer["exists"]) == (25, [True, False])


def test_copy_move_and_remove(step: Step, store: Store) -> None:
    store.put("a b/one+", content(5000))
    for number in range(20):
        store.put(f"dir/k {number}&<", b"")
    step("copy_move_and_remove", store.bucket)
    assert store.digests() == {"copy/ü%": digest(content(5000)), "moved": digest(content(5000))}


def test_metadata_and_tags(step: Step, store: Store) -> None:
    assert step("attributes", store.bucket, "k") == {"metadata": {"colour": "red"}, "tags": {"a": "b"}}
    assert store.client.head_object(Bucket=store.bucket, Key="k")["ContentType"] == "text/x"


def test_exclusive_create(step: Step, store: Store) -> None:
    assert step("exclusive_create", store.bucket, "k") == "refused"
    assert store.get("k") == b"one"


def test_buckets(step: Step, store: Store) -> None:
    assert step("buckets", f"{store.bucket}-made") == [True, False]


def test_signed_url(step: Step, store: Store) -> None:
    store.put("signed+ one", content(1000))
    url = step("signed_url", store.bucket, "signed+ one")
    assert digest(requests.get(url, timeout=30).content) == digest(content(1000))


def test_awkward_tree_of_single_objects(step: Step, store: Store, tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", 5)
    for name in read_tree(tmp_path / "tree"):
        if name == name.strip():
            step("put_and_get", store.bucket, name, tmp_path / "tree" / name, tmp_path / "down")
            assert store.get(name) == (tmp_path / "tree" / name).read_bytes() == (tmp_path / "down").read_bytes()
