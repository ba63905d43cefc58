"""Objects above the size at which clients switch to multipart uploads: every client, up and down, bytes compared."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import awscrt.s3
import minio
import obstore
import pyarrow.fs  # type: ignore[import-untyped]
import pytest
from boto3.s3.transfer import TransferConfig
from obstore.store import S3Store

from tests.clients.conftest import Store
from tests.clients.content import MIB, content, digest
from tests.clients.endpoint import Endpoint
from tests.clients.process import run
from tests.clients.test_awscrt import Crt
from tests.clients.tools import node_project, program

SIZE = 17 * MIB + 12_345  # three parts of 8 MiB, four of 5 MiB, the last one short
KEY = "dir/with space+ü.bin"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "up"
    path.write_bytes(content(SIZE))
    return path


def assert_stored_in_parts(store: Store) -> None:
    """The object holds the content, and its ETag tells that it came in parts."""
    store.assert_holds(KEY, SIZE)
    etag = store.client.head_object(Bucket=store.bucket, Key=KEY)["ETag"].strip('"')
    assert int(etag.rpartition("-")[2]) > 1
    assert "Uploads" not in store.client.list_multipart_uploads(Bucket=store.bucket)


@pytest.mark.parametrize("algorithm", [None, "CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_boto3(store: Store, algorithm: str | None) -> None:
    extra = {} if algorithm is None else {"ChecksumAlgorithm": algorithm}
    config = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=5 * MIB)
    store.client.upload_fileobj(io.BytesIO(content(SIZE)), store.bucket, KEY, Config=config, ExtraArgs=extra)
    assert_stored_in_parts(store)
    sink = io.BytesIO()
    store.client.download_fileobj(store.bucket, KEY, sink, Config=config)
    assert digest(sink.getvalue()) == digest(content(SIZE))


def test_boto3_copy_by_parts(store: Store) -> None:
    store.put("source", content(SIZE))
    config = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=6 * MIB)
    store.client.copy({"Bucket": store.bucket, "Key": "source"}, store.bucket, KEY, Config=config)
    assert_stored_in_parts(store)


def test_aws_cli(endpoint: Endpoint, store: Store, source: Path, tmp_path: Path) -> None:
    aws = program("awscli", "aws")
    url = f"s3://{store.bucket}/{KEY}"
    run([aws, "s3", "cp", source, url], endpoint.environment())
    assert_stored_in_parts(store)
    run([aws, "s3", "cp", url, f"{url}.copy"], endpoint.environment())
    run([aws, "s3", "cp", f"{url}.copy", tmp_path / "down"], endpoint.environment())
    assert digest((tmp_path / "down").read_bytes()) == digest(content(SIZE))


def test_rclone(endpoint: Endpoint, store: Store, source: Path, tmp_path: Path) -> None:
    variables = {
        **endpoint.environment(),
        "RCLONE_CONFIG": str(tmp_path / "none.conf"),
        "RCLONE_CONFIG_S_TYPE": "s3",
        "RCLONE_CONFIG_S_PROVIDER": "Other",
        "RCLONE_CONFIG_S_ENV_AUTH": "true",
        "RCLONE_CONFIG_S_ENDPOINT": endpoint.url,
        "RCLONE_S3_UPLOAD_CUTOFF": "8Mi",
        "RCLONE_S3_COPY_CUTOFF": "8Mi",
        "RCLONE_RETRIES": "1",
    }
    rclone = program("commands", "rclone")
    run([rclone, "copyto", source, f"s:{store.bucket}/{KEY}"], variables)
    assert_stored_in_parts(store)
    run([rclone, "copyto", f"s:{store.bucket}/{KEY}", f"s:{store.bucket}/copy"], variables)
    assert digest(run([rclone, "cat", f"s:{store.bucket}/copy"], variables)) == digest(content(SIZE))


def test_s5cmd(endpoint: Endpoint, store: Store, source: Path, tmp_path: Path) -> None:
    s5cmd: list[str | Path] = [program("commands", "s5cmd"), "--endpoint-url", endpoint.url, "--retry-count", "0"]
    url = f"s3://{store.bucket}/{KEY}"
    run([*s5cmd, "cp", "--part-size", "5", source, url], endpoint.environment())
    assert_stored_in_parts(store)
    run([*s5cmd, "cp", "--part-size", "5", url, tmp_path / "down"], endpoint.environment())
    assert digest((tmp_path / "down").read_bytes()) == digest(content(SIZE))


def test_s3cmd(endpoint: Endpoint, store: Store, source: Path, tmp_path: Path) -> None:
    settings = tmp_path / "s3cfg"
    settings.write_text(
        f"[default]\nhost_base = {endpoint.address}\nhost_bucket = {endpoint.address}\nuse_https = False\n"
        f"access_key = {endpoint.access_key}\nsecret_key = {endpoint.secret_key}\nmultipart_chunk_size_mb = 6\n"
    )
    s3cmd: list[str | Path] = [
        program("commands", "python"),
        program("commands", "s3cmd"),
        "--config",
        settings,
        "--no-progress",
    ]
    url = f"s3://{store.bucket}/{KEY}"
    run([*s3cmd, "put", source, url], endpoint.environment())
    assert_stored_in_parts(store)
    run([*s3cmd, "get", url, tmp_path / "down"], endpoint.environment())
    assert digest((tmp_path / "down").read_bytes()) == digest(content(SIZE))


def test_minio(endpoint: Endpoint, store: Store) -> None:
    client = minio.Minio(
        endpoint.address,
        access_key=endpoint.access_key,
        secret_key=endpoint.secret_key,
        secure=urlsplit(endpoint.url).scheme == "https",
        region=endpoint.region,
    )
    client.put_object(store.bucket, KEY, io.BytesIO(content(SIZE)), -1, part_size=5 * MIB)
    assert_stored_in_parts(store)


def test_obstore(endpoint: Endpoint, store: Store) -> None:
    remote = S3Store(
        store.bucket,
        endpoint=endpoint.url,
        access_key_id=endpoint.access_key,
        secret_access_key=endpoint.secret_key,
        region=endpoint.region,
        client_options={"allow_http": urlsplit(endpoint.url).scheme == "http"},
    )
    obstore.put(remote, KEY, content(SIZE), use_multipart=True, chunk_size=5 * MIB)
    assert_stored_in_parts(store)
    assert digest(bytes(obstore.get(remote, KEY).bytes())) == digest(content(SIZE))


def test_pyarrow(endpoint: Endpoint, store: Store) -> None:
    filesystem = pyarrow.fs.S3FileSystem(
        access_key=endpoint.access_key,
        secret_key=endpoint.secret_key,
        region=endpoint.region,
        endpoint_override=endpoint.address,
        scheme=urlsplit(endpoint.url).scheme,
    )
    with filesystem.open_output_stream(f"{store.bucket}/{KEY}") as stream:
        for first in range(0, SIZE, MIB):
            stream.write(content(SIZE)[first : first + MIB])
    assert_stored_in_parts(store)
    with filesystem.open_input_stream(f"{store.bucket}/{KEY}") as stream:
        assert digest(stream.read()) == digest(content(SIZE))


@pytest.mark.parametrize("checksums", [False, True])
def test_awscrt(endpoint: Endpoint, store: Store, checksums: bool) -> None:
    config: dict[str, Any] = {}
    if checksums:
        config["checksum_config"] = awscrt.s3.S3ChecksumConfig(
            algorithm=awscrt.s3.S3ChecksumAlgorithm.CRC64NVME, location=awscrt.s3.S3ChecksumLocation.TRAILER
        )
    crt = Crt(endpoint)
    crt.put(store.bucket, KEY, content(SIZE), **config)
    assert_stored_in_parts(store)
    validated = awscrt.s3.S3ChecksumConfig(validate_response=True)
    assert digest(crt.get(store.bucket, KEY, checksum_config=validated)) == digest(content(SIZE))


def test_s3fs(endpoint: Endpoint, store: Store, source: Path, tmp_path: Path) -> None:
    steps: list[str | Path] = [program("s3fs", "python"), Path(__file__).with_name("s3fs_steps.py")]
    command: list[str | Path] = [*steps, "put_and_get", store.bucket, KEY, source, tmp_path / "down", str(6 * MIB)]
    assert json.loads(run(command, endpoint.environment())) == SIZE
    assert_stored_in_parts(store)
    assert digest((tmp_path / "down").read_bytes()) == digest(content(SIZE))


def test_javascript(endpoint: Endpoint, store: Store, source: Path) -> None:
    variables = {**endpoint.environment(), "NODE_PATH": str(node_project() / "node_modules")}
    steps: list[str | Path] = [program("commands", "node"), Path(__file__).parent / "js" / "steps.cjs"]
    answer = json.loads(run([*steps, "putParts", store.bucket, KEY, source, str(5 * MIB)], variables))
    assert answer == {"parts": 4, "sha256": digest(content(SIZE))}
    assert_stored_in_parts(store)
