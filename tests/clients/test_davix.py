"""davix, the transfer tools of high-energy physics (the storage layer of gfal2, XRootD and ROOT)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import Store
from tests.clients.content import content
from tests.clients.endpoint import Endpoint
from tests.clients.process import run

Davix = Callable[..., bytes]
KEY = "dir/one two+ü"
QUOTED_KEY = "dir/one%20two%2B%C3%BC"


@pytest.fixture(scope="module")
def davix(endpoint: Endpoint) -> Davix:
    def call(tool: str, *words: str | Path, **options: Any) -> bytes:
        # Without a region davix signs with Signature Version 2; --s3alternate is path style.
        keys = ["--s3accesskey", endpoint.access_key, "--s3secretkey", endpoint.secret_key]
        command = [f"davix-{tool}", *keys, "--s3region", endpoint.region, "--s3alternate", *words]
        return run(command, endpoint.environment(), **options)

    return call


@pytest.fixture
def url(endpoint: Endpoint, store: Store) -> str:
    return f"s3://{endpoint.address}/{store.bucket}"


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_put_and_get(davix: Davix, store: Store, url: str, tmp_path: Path, size: int) -> None:
    (tmp_path / "up").write_bytes(content(size))
    davix("put", tmp_path / "up", f"{url}/{QUOTED_KEY}")
    assert store.keys() == [KEY]
    store.assert_holds(KEY, size)
    davix("get", f"{url}/{QUOTED_KEY}", tmp_path / "down")
    assert (tmp_path / "down").read_bytes() == content(size)


def test_ls_tells_names_and_sizes(davix: Davix, store: Store, url: str) -> None:
    for key in ("dir/one", "dir/sub/two", "top"):
        store.put(key, content(1234))
    assert sorted(davix("ls", f"{url}/").split()) == [b"dir", b"top"]
    lines = sorted(line.split() for line in davix("ls", "-l", f"{url}/dir/").splitlines())
    assert [(line[0][:1], line[-1]) for line in lines] == [(b"-", b"one"), (b"d", b"sub")]
    assert lines[0][2] == b"1234"


def test_range_of_an_object(davix: Davix, store: Store, url: str) -> None:
    store.put("k", content(5000))
    assert davix("http", "-H", "Range: bytes=1000-1999", f"{url}/k") == content(5000)[1000:2000]


def test_rm(davix: Davix, store: Store, url: str) -> None:
    store.put(KEY, b"x")
    davix("rm", f"{url}/{QUOTED_KEY}")
    assert store.keys() == []
    davix("get", f"{url}/{QUOTED_KEY}", expect=None)


def test_buckets_come_and_go(davix: Davix, endpoint: Endpoint, make_bucket: Callable[[], str], store: Store) -> None:
    name = make_bucket()
    url = f"s3://{endpoint.address}/{name}"
    davix("rm", url)
    assert name not in [bucket["Name"] for bucket in store.client.list_buckets()["Buckets"]]
    davix("mkdir", url)
    store.client.head_bucket(Bucket=name)
