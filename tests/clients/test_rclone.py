"""rclone, once with the habits it has for AWS and once with those for other services.

For AWS it lists with version 2 and asks for url-encoded keys, and sends unsigned bodies with a trailing
checksum, which its SDK only does over TLS. For others it lists with version 1 and signs the bodies.
"""

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
from tests.clients.tls import TlsFront
from tests.clients.tools import program

Rclone = Callable[..., bytes]


@pytest.fixture(scope="module", params=["AWS", "Other"])
def rclone(
    request: pytest.FixtureRequest, endpoint: Endpoint, tls_front: TlsFront, tmp_path_factory: pytest.TempPathFactory
) -> Rclone:
    command = program("commands", "rclone")
    variables = {
        **endpoint.environment(),
        "RCLONE_CONFIG": str(tmp_path_factory.mktemp("rclone") / "empty.conf"),
        "RCLONE_CONFIG_S_TYPE": "s3",
        "RCLONE_CONFIG_S_PROVIDER": request.param,
        "RCLONE_CONFIG_S_ENDPOINT": tls_front.url if request.param == "AWS" else endpoint.url,
        "RCLONE_CA_CERT": str(tls_front.authority),
        "RCLONE_CONFIG_S_REGION": endpoint.region,
        "RCLONE_CONFIG_S_ACCESS_KEY_ID": endpoint.access_key,
        "RCLONE_CONFIG_S_SECRET_ACCESS_KEY": endpoint.secret_key,
        "RCLONE_CONFIG_S_FORCE_PATH_STYLE": "true",
        "RCLONE_RETRIES": "1",
        "RCLONE_LOW_LEVEL_RETRIES": "1",
    }
    Path(variables["RCLONE_CONFIG"]).touch()

    def call(*words: str | Path, **options: Any) -> bytes:
        return run([command, *words], variables, **options)

    return call


@pytest.mark.parametrize("size", SIZES)
def test_copyto_up_and_down(rclone: Rclone, store: Store, tmp_path: Path, size: int) -> None:
    (tmp_path / "up").write_bytes(content(size))
    rclone("copyto", tmp_path / "up", f"s:{store.bucket}/dir/object")
    store.assert_holds("dir/object", size)
    assert digest(rclone("cat", f"s:{store.bucket}/dir/object")) == digest(content(size))


@pytest.mark.timeout(180)
def test_sync_of_a_tree_both_ways(rclone: Rclone, store: Store, tmp_path: Path) -> None:
    source, down = tmp_path / "source", tmp_path / "down"
    digests = make_tree(source, 300)
    remote = f"s:{store.bucket}/base dir+"
    rclone("sync", source, remote, "--transfers", "8")
    assert store.digests() == {f"base dir+/{name}": sha for name, sha in digests.items()}
    rclone("check", source, remote)  # compares the ETags with MD5 sums of the files
    rclone("sync", remote, down, "--transfers", "8")
    assert read_tree(down) == digests

    (source / "plain.txt").unlink()
    (source / "with space.txt").write_bytes(b"changed")
    rclone("sync", source, remote)
    assert sorted(store.keys()) == sorted(f"base dir+/{name}" for name in digests if name != "plain.txt")
    assert store.get("base dir+/with space.txt") == b"changed"
    rclone("check", source, remote, "--download")


def test_modification_times_survive(rclone: Rclone, store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"data")
    rclone("copyto", tmp_path / "file", f"s:{store.bucket}/file")
    rclone("touch", "--timestamp", "2001-02-03T04:05:06", f"s:{store.bucket}/file")  # a copy onto itself
    (entry,) = json.loads(rclone("lsjson", f"s:{store.bucket}"))
    assert (entry["Name"], entry["Size"], entry["ModTime"][:19]) == ("file", 4, "2001-02-03T04:05:06")
    assert store.get("file") == b"data"


def test_listing_by_directory(rclone: Rclone, store: Store) -> None:
    for key in ("top +", "dir/one", "dir/sub/two", "ü/three"):
        store.put(key, key.encode())
    entries = json.loads(rclone("lsjson", f"s:{store.bucket}"))
    assert {entry["Name"]: entry["IsDir"] for entry in entries} == {"top +": False, "dir": True, "ü": True}
    assert sorted(rclone("lsf", "-R", "--files-only", f"s:{store.bucket}").decode().splitlines()) == sorted(
        store.keys()
    )
    assert json.loads(rclone("size", "--json", f"s:{store.bucket}"))["count"] == 4


def test_server_side_move_and_purge(rclone: Rclone, store: Store) -> None:
    store.put("a b/one+", content(5000))
    rclone("moveto", f"s:{store.bucket}/a b/one+", f"s:{store.bucket}/c/two%")
    assert store.keys() == ["c/two%"]
    store.assert_holds("c/two%", 5000)
    rclone("mkdir", f"s:{store.bucket}-made")
    made = Store(store.client, f"{store.bucket}-made")
    made.put("k", b"")
    rclone("purge", f"s:{made.bucket}")
    assert made.bucket not in [entry["Name"] for entry in store.client.list_buckets()["Buckets"]]


def test_streamed_upload_and_ranged_read(rclone: Rclone, store: Store) -> None:
    rclone("rcat", f"s:{store.bucket}/k", stdin=content(60_000))
    store.assert_holds("k", 60_000)
    piece = rclone("cat", "--offset", "1000", "--count", "500", f"s:{store.bucket}/k")
    assert piece == content(60_000)[1000:1500]


def test_presigned_link(rclone: Rclone, store: Store, tls_front: TlsFront) -> None:
    store.put("pre signed+", content(1000))
    url = rclone("link", "--expire", "1m", f"s:{store.bucket}/pre signed+").decode().strip()
    assert digest(requests.get(url, timeout=30, verify=str(tls_front.authority)).content) == digest(content(1000))
