"""pyarrow's S3FileSystem: the AWS SDK for C++, as data frames and Parquet files use it."""

from __future__ import annotations

from urllib.parse import urlsplit

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.dataset  # type: ignore[import-untyped]
import pyarrow.fs  # type: ignore[import-untyped]
import pyarrow.parquet  # type: ignore[import-untyped]
import pytest

from tests.clients.conftest import Store
from tests.clients.content import SIZES, content, digest
from tests.clients.endpoint import Endpoint


@pytest.fixture(scope="module")
def filesystem(endpoint: Endpoint) -> pyarrow.fs.S3FileSystem:
    return pyarrow.fs.S3FileSystem(
        access_key=endpoint.access_key,
        secret_key=endpoint.secret_key,
        region=endpoint.region,
        endpoint_override=endpoint.address,
        scheme=urlsplit(endpoint.url).scheme,
        allow_bucket_creation=True,
        allow_bucket_deletion=True,
        # Small files are then sent by one PutObject instead of a multipart upload of one part.
        allow_delayed_open=True,
        retry_strategy=pyarrow.fs.AwsStandardS3RetryStrategy(max_attempts=1),
    )


@pytest.mark.parametrize("size", SIZES)
def test_streams(filesystem: pyarrow.fs.S3FileSystem, store: Store, size: int) -> None:
    path = f"{store.bucket}/dir/with space+ü"
    with filesystem.open_output_stream(path) as stream:
        stream.write(content(size))
    store.assert_holds("dir/with space+ü", size)
    with filesystem.open_input_stream(path) as stream:
        assert digest(stream.read()) == digest(content(size))


def test_random_access(filesystem: pyarrow.fs.S3FileSystem, store: Store) -> None:
    data = content(200_000)
    store.put("k", data)
    with filesystem.open_input_file(f"{store.bucket}/k") as file:
        assert file.size() == len(data)
        assert file.read_at(100, 150_000) == data[150_000:150_100]
        file.seek(199_990)
        assert file.read() == data[-10:]


def test_file_information_and_directories(filesystem: pyarrow.fs.S3FileSystem, store: Store) -> None:
    for key in ("top", "dir/one", "dir/sub/two", "ü +/three"):
        store.put(key, key.encode())
    selector = pyarrow.fs.FileSelector(store.bucket, recursive=True)
    found = {info.path.removeprefix(store.bucket + "/"): info for info in filesystem.get_file_info(selector)}
    assert {name for name, info in found.items() if info.type == pyarrow.fs.FileType.File} == set(store.keys())
    assert {name for name, info in found.items() if info.type == pyarrow.fs.FileType.Directory} == {
        "dir",
        "dir/sub",
        "ü +",
    }
    assert found["dir/sub/two"].size == len("dir/sub/two")
    missing = filesystem.get_file_info(f"{store.bucket}/missing")
    assert missing.type == pyarrow.fs.FileType.NotFound

    filesystem.create_dir(f"{store.bucket}/made/deep")
    assert filesystem.get_file_info(f"{store.bucket}/made/deep").type == pyarrow.fs.FileType.Directory
    filesystem.delete_dir(f"{store.bucket}/dir")
    assert not any(key.startswith("dir") for key in store.digests())


def test_copy_move_and_delete(filesystem: pyarrow.fs.S3FileSystem, store: Store) -> None:
    store.put("a b/one+", content(5000))
    filesystem.copy_file(f"{store.bucket}/a b/one+", f"{store.bucket}/copy%")
    filesystem.move(f"{store.bucket}/a b/one+", f"{store.bucket}/moved")
    # The SDK keeps the old directory alive with an empty object.
    digests = {key: sha for key, sha in store.digests().items() if not key.endswith("/")}
    assert digests == {"copy%": digest(content(5000)), "moved": digest(content(5000))}
    filesystem.delete_file(f"{store.bucket}/moved")
    assert "moved" not in store.digests()


def test_metadata(filesystem: pyarrow.fs.S3FileSystem, store: Store) -> None:
    with filesystem.open_output_stream(f"{store.bucket}/k", metadata={"Content-Type": "text/x"}) as stream:
        stream.write(b"data")
    assert store.client.head_object(Bucket=store.bucket, Key="k")["ContentType"] == "text/x"


def test_parquet_dataset(filesystem: pyarrow.fs.S3FileSystem, store: Store) -> None:
    table = pa.table({"number": list(range(10_000)), "part": [number % 3 for number in range(10_000)]})
    pyarrow.dataset.write_dataset(
        table, f"{store.bucket}/data set", filesystem=filesystem, format="parquet", partitioning=["part"]
    )
    assert len([key for key in store.digests() if key.endswith(".parquet")]) == 3
    dataset = pyarrow.dataset.dataset(f"{store.bucket}/data set", filesystem=filesystem, partitioning=["part"])
    filtered = dataset.to_table(filter=pyarrow.dataset.field("part") == 1)
    assert sorted(filtered["number"].to_pylist()) == list(range(1, 10_000, 3))


def test_buckets(filesystem: pyarrow.fs.S3FileSystem, store: Store) -> None:
    name = f"{store.bucket}-made"
    filesystem.create_dir(name)
    assert filesystem.get_file_info(name).type == pyarrow.fs.FileType.Directory
    filesystem.delete_dir(name)
    assert filesystem.get_file_info(name).type == pyarrow.fs.FileType.NotFound
