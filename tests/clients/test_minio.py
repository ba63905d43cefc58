"""minio-py: signs bodies in one piece over plain HTTP and parses the XML with a parser of its own."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import minio
import minio.commonconfig
import minio.deleteobjects
import minio.error
import pytest
import requests
import urllib3

from tests.clients.conftest import Store
from tests.clients.content import FILE_NAMES, SIZES, content, digest
from tests.clients.endpoint import Endpoint


@pytest.fixture(scope="module")
def client(endpoint: Endpoint) -> minio.Minio:
    return minio.Minio(
        endpoint.address,
        access_key=endpoint.access_key,
        secret_key=endpoint.secret_key,
        secure=urlsplit(endpoint.url).scheme == "https",
        region=endpoint.region,
        http_client=urllib3.PoolManager(retries=False, timeout=60),
    )


def read(client: minio.Minio, bucket: str, key: str, offset: int = 0, length: int = 0) -> bytes:
    response = client.get_object(bucket, key, offset=offset, length=length)
    try:
        data: bytes = response.read()
        return data
    finally:
        response.close()
        response.release_conn()


@pytest.mark.parametrize("size", SIZES)
def test_put_and_get(client: minio.Minio, store: Store, size: int) -> None:
    client.put_object(store.bucket, "k", io.BytesIO(content(size)), size)
    store.assert_holds("k", size)
    assert digest(read(client, store.bucket, "k")) == digest(content(size))
    assert client.stat_object(store.bucket, "k").size == size


def test_body_of_unknown_length(client: minio.Minio, store: Store) -> None:
    client.put_object(store.bucket, "k", io.BytesIO(content(70_000)), -1, part_size=5 * 1024 * 1024)
    store.assert_holds("k", 70_000)


def test_files_and_awkward_names(client: minio.Minio, store: Store, tmp_path: Path) -> None:
    for number, key in enumerate(FILE_NAMES):
        (tmp_path / "up").write_bytes(content(500, seed=number))
        client.fput_object(store.bucket, key, str(tmp_path / "up"), content_type="text/x")
        store.assert_holds(key, 500, seed=number)
    listed = [entry.object_name for entry in client.list_objects(store.bucket, recursive=True)]
    assert listed == sorted(FILE_NAMES, key=str.encode)
    client.fget_object(store.bucket, FILE_NAMES[1], str(tmp_path / "down"))
    assert (tmp_path / "down").read_bytes() == content(500, seed=1)


@pytest.mark.parametrize("use_api_v1", [False, True])
def test_listing_by_prefix(client: minio.Minio, store: Store, use_api_v1: bool) -> None:
    for key in ("a", "dir/one", "dir/sub/two", "ü +/three"):
        store.put(key, key.encode())
    top = [entry.object_name for entry in client.list_objects(store.bucket, use_api_v1=use_api_v1)]
    assert sorted(top) == ["a", "dir/", "ü +/"]
    below = list(client.list_objects(store.bucket, prefix="dir/", recursive=True, use_api_v1=use_api_v1))
    assert [(entry.object_name, entry.size) for entry in below] == [("dir/one", 7), ("dir/sub/two", 11)]


def test_metadata_tags_and_ranges(client: minio.Minio, store: Store) -> None:
    tags = minio.commonconfig.Tags.new_object_tags()
    tags["colour"] = "dark red"
    client.put_object(store.bucket, "k", io.BytesIO(content(9000)), 9000, metadata={"Origin": "here"}, tags=tags)
    stat = client.stat_object(store.bucket, "k")
    assert stat.metadata is not None
    assert stat.metadata["x-amz-meta-origin"] == "here"
    assert client.get_object_tags(store.bucket, "k") == {"colour": "dark red"}
    assert read(client, store.bucket, "k", 100, 50) == content(9000)[100:150]
    client.delete_object_tags(store.bucket, "k")
    assert not client.get_object_tags(store.bucket, "k")


def test_server_side_copy(client: minio.Minio, store: Store) -> None:
    store.put("a b/one+", content(5000))
    client.copy_object(store.bucket, "copy/ü%", minio.commonconfig.CopySource(store.bucket, "a b/one+"))
    store.assert_holds("copy/ü%", 5000)
    missing = minio.commonconfig.CopySource(store.bucket, "a b/one+", match_etag="0123")
    with pytest.raises(minio.error.S3Error) as caught:
        client.copy_object(store.bucket, "other", missing)
    assert caught.value.code == "PreconditionFailed"


def test_removal_of_many(client: minio.Minio, store: Store) -> None:
    keys = [f"dir/k {number}&<" for number in range(30)]
    for key in [*keys, "kept"]:
        store.put(key, b"")
    doomed = [minio.deleteobjects.DeleteObject(key) for key in keys]
    assert list(client.remove_objects(store.bucket, doomed)) == []
    assert store.keys() == ["kept"]


def test_presigned_urls(client: minio.Minio, store: Store) -> None:
    url = client.presigned_put_object(store.bucket, "pre signed+", expires=timedelta(minutes=1))
    assert requests.put(url, data=content(1000), timeout=30).status_code == 200
    store.assert_holds("pre signed+", 1000)
    url = client.presigned_get_object(store.bucket, "pre signed+", expires=timedelta(minutes=1))
    assert digest(requests.get(url, timeout=30).content) == digest(content(1000))


def test_buckets(client: minio.Minio, make_bucket: Callable[[], str]) -> None:
    name = make_bucket()
    assert client.bucket_exists(name)
    assert name in [entry.name for entry in client.list_buckets()]
    tags = minio.commonconfig.Tags.new_bucket_tags()
    tags["team"] = "storage"
    client.set_bucket_tags(name, tags)
    assert client.get_bucket_tags(name) == {"team": "storage"}
    client.delete_bucket_tags(name)
    assert client.get_bucket_tags(name) is None
    client.remove_bucket(name)
    assert not client.bucket_exists(name)


def test_errors_carry_their_codes(client: minio.Minio, store: Store) -> None:
    with pytest.raises(minio.error.S3Error) as caught:
        client.get_object(store.bucket, "missing")
    assert (caught.value.code, caught.value.object_name) == ("NoSuchKey", "missing")
