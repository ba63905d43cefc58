"""obstore: the object_store library of Apache Arrow in Rust, with conditional puts and its own XML parser."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

import obstore
import pytest
import requests
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import S3Store

from tests.clients.conftest import Store
from tests.clients.content import SIZES, content, digest
from tests.clients.endpoint import Endpoint

# object_store has paths, not keys: it encodes characters that it finds unsafe itself, in a way of its own.
PATHS = ("plain.txt", "with space.txt", "plus+sign", "single'quote", "amp&ersand", "ünïcödé/дом.txt", "a/b/c/d.bin")


@pytest.fixture
def remote(endpoint: Endpoint, store: Store) -> S3Store:
    return S3Store(
        store.bucket,
        endpoint=endpoint.url,
        access_key_id=endpoint.access_key,
        secret_access_key=endpoint.secret_key,
        region=endpoint.region,
        virtual_hosted_style_request=False,
        client_options={"allow_http": urlsplit(endpoint.url).scheme == "http"},
        retry_config={"max_retries": 0},
    )


@pytest.mark.parametrize("size", SIZES)
def test_put_and_get(remote: S3Store, store: Store, size: int) -> None:
    obstore.put(remote, "dir/object", content(size), use_multipart=False)
    store.assert_holds("dir/object", size)
    assert digest(bytes(obstore.get(remote, "dir/object").bytes())) == digest(content(size))
    assert obstore.head(remote, "dir/object")["size"] == size


def test_paths_and_listings(remote: S3Store, store: Store) -> None:
    for number, path in enumerate(PATHS):
        obstore.put(remote, path, content(300, seed=number), use_multipart=False)
        store.assert_holds(path, 300, seed=number)
    listed = [entry["path"] for batch in obstore.list(remote, chunk_size=3) for entry in batch]
    assert listed == sorted(PATHS, key=str.encode)
    level = obstore.list_with_delimiter(remote)
    assert sorted(level["common_prefixes"]) == ["a", "ünïcödé"]
    assert len(level["objects"]) == len(PATHS) - 2
    after = [entry["path"] for batch in obstore.list(remote, offset="plain.txt") for entry in batch]
    assert after == [path for path in listed if path > "plain.txt"]


def test_conditional_puts(remote: S3Store, store: Store) -> None:
    first = obstore.put(remote, "k", b"one", mode="create", use_multipart=False)
    with pytest.raises(AlreadyExistsError):
        obstore.put(remote, "k", b"two", mode="create", use_multipart=False)
    obstore.put(remote, "k", b"three", mode={"e_tag": first["e_tag"]}, use_multipart=False)
    with pytest.raises(PreconditionError):
        obstore.put(remote, "k", b"four", mode={"e_tag": first["e_tag"]}, use_multipart=False)
    assert store.get("k") == b"three"


def test_ranges(remote: S3Store, store: Store) -> None:
    data = content(100_000)
    store.put("k", data)
    assert bytes(obstore.get_range(remote, "k", start=10, end=20)) == data[10:20]
    pieces = obstore.get_ranges(remote, "k", starts=[0, 50_000, 99_990], ends=[5, 50_100, 100_000])
    assert [bytes(piece) for piece in pieces] == [data[:5], data[50_000:50_100], data[99_990:]]
    tail = obstore.get(remote, "k", options={"range": {"suffix": 100}})
    assert bytes(tail.bytes()) == data[-100:]


def test_attributes_and_tags(remote: S3Store, store: Store) -> None:
    attributes = {"Content-Type": "text/x", "Cache-Control": "no-cache", "colour": "red"}
    obstore.put(remote, "k", b"data", attributes=attributes, tags={"a": "b c"}, use_multipart=False)
    head = store.client.head_object(Bucket=store.bucket, Key="k")
    assert (head["ContentType"], head["CacheControl"], head["Metadata"]) == ("text/x", "no-cache", {"colour": "red"})
    assert store.client.get_object_tagging(Bucket=store.bucket, Key="k")["TagSet"] == [{"Key": "a", "Value": "b c"}]
    assert obstore.get(remote, "k").attributes["colour"] == "red"


def test_copy_rename_and_delete(remote: S3Store, store: Store) -> None:
    store.put("a b/one+", content(5000))
    obstore.copy(remote, "a b/one+", "copy/two")
    obstore.rename(remote, "a b/one+", "moved/ü")
    assert store.digests() == {"copy/two": digest(content(5000)), "moved/ü": digest(content(5000))}
    obstore.delete(remote, ["copy/two", "moved/ü"])
    assert store.keys() == []
    with pytest.raises(FileNotFoundError):
        obstore.get(remote, "copy/two")


def test_signed_urls(remote: S3Store, store: Store) -> None:
    put_url = obstore.sign(remote, "PUT", "signed+ one", timedelta(minutes=1))
    assert requests.put(put_url, data=content(1000), timeout=30).status_code == 200
    store.assert_holds("signed+ one", 1000)
    get_url = obstore.sign(remote, "GET", "signed+ one", timedelta(minutes=1))
    assert digest(requests.get(get_url, timeout=30).content) == digest(content(1000))
