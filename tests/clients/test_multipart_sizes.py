"""Multipart uploads as small as they can be, and parts in any order: every client that can be made to send them.

What a client decides by itself is moved by its own settings. s5cmd and the high-level interfaces of minio-py and
lib-storage send a body that fits one part as a plain PUT, whatever they are told, and their smallest part has 5 MiB:
for s5cmd two parts are the least, the two others can send each step of an upload by itself. The order of parts is the
client's own matter wherever it sends them itself; test_multipart.py has those, in parallel.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from urllib.parse import urlsplit

import boto3.s3.transfer
import minio
import minio.datatypes
import pytest

from tests.clients.conftest import Store
from tests.clients.content import MIB, content, digest
from tests.clients.endpoint import Endpoint
from tests.clients.process import run
from tests.clients.test_awscrt import Crt
from tests.clients.tools import node_project, program

KEY = "dir/with space+ü.bin"
ORDERS = {"one part": ([1], [1]), "out of order": ([5 * MIB, 5 * MIB, 1], [3, 1, 2])}
"""Sizes of the parts, and the order in which they are sent."""


@pytest.fixture(params=ORDERS)
def parts(request: pytest.FixtureRequest) -> list[tuple[int, bytes]]:
    """The numbers and bytes of parts, in the order in which they are sent."""
    sizes, order = ORDERS[request.param]
    return [(number, content(sizes[number - 1], seed=number)) for number in order]


def assert_joined(store: Store, parts: list[tuple[int, bytes]]) -> None:
    whole = b"".join(data for _, data in sorted(parts))
    assert digest(store.get(KEY)) == digest(whole)
    assert_parts(store, len(parts))


def assert_parts(store: Store, count: int) -> None:
    """The object came in so many parts, and no upload is left."""
    assert store.client.head_object(Bucket=store.bucket, Key=KEY)["ETag"].strip('"').endswith(f"-{count}")
    assert "Uploads" not in store.client.list_multipart_uploads(Bucket=store.bucket)


# -- each step by itself, parts in an order of ours


def test_boto3(store: Store, parts: list[tuple[int, bytes]]) -> None:
    name = {"Bucket": store.bucket, "Key": KEY}
    name["UploadId"] = store.client.create_multipart_upload(**name)["UploadId"]
    etags = {number: store.client.upload_part(**name, PartNumber=number, Body=data)["ETag"] for number, data in parts}
    listed = [{"PartNumber": number, "ETag": etags[number]} for number in sorted(etags)]
    store.client.complete_multipart_upload(**name, MultipartUpload={"Parts": listed})
    assert_joined(store, parts)


def test_aws_cli(endpoint: Endpoint, store: Store, parts: list[tuple[int, bytes]], tmp_path: Path) -> None:
    name = ["--bucket", store.bucket, "--key", KEY]

    def s3api(*arguments: str | Path) -> dict[str, str]:
        command = [program("awscli", "aws"), "s3api", *arguments, "--output", "json"]
        answer: dict[str, str] = json.loads(run(command, endpoint.environment()))
        return answer

    name += ["--upload-id", s3api("create-multipart-upload", *name)["UploadId"]]
    listed = []
    for number, data in parts:
        (tmp_path / "part").write_bytes(data)
        answer = s3api("upload-part", *name, "--part-number", str(number), "--body", tmp_path / "part")
        listed.append({"PartNumber": number, "ETag": answer["ETag"]})
    listed.sort(key=lambda part: part["PartNumber"])
    s3api("complete-multipart-upload", *name, "--multipart-upload", json.dumps({"Parts": listed}))
    assert_joined(store, parts)


def test_minio(endpoint: Endpoint, store: Store, parts: list[tuple[int, bytes]]) -> None:
    client = minio.Minio(
        endpoint.address,
        access_key=endpoint.access_key,
        secret_key=endpoint.secret_key,
        secure=urlsplit(endpoint.url).scheme == "https",
        region=endpoint.region,
    )
    upload = client._create_multipart_upload(store.bucket, KEY, {})
    etags = {number: client._upload_part(store.bucket, KEY, data, None, upload, number) for number, data in parts}
    listed = [minio.datatypes.Part(number, etags[number]) for number in sorted(etags)]
    client._complete_multipart_upload(store.bucket, KEY, upload, listed)
    assert_joined(store, parts)


def test_javascript(endpoint: Endpoint, store: Store, parts: list[tuple[int, bytes]], tmp_path: Path) -> None:
    arguments: list[str | Path] = []
    for number, data in parts:
        (tmp_path / str(number)).write_bytes(data)
        arguments.append(tmp_path / str(number))
    variables = {**endpoint.environment(), "NODE_PATH": str(node_project() / "node_modules")}
    steps: list[str | Path] = [program("commands", "node"), Path(__file__).parent / "js" / "steps.cjs"]
    run([*steps, "putPartsInOrder", store.bucket, KEY, *arguments], variables)
    assert_joined(store, parts)


# -- the client's own uploads, forced to be multipart


def test_boto3_below_its_part_size(store: Store) -> None:
    config = boto3.s3.transfer.TransferConfig(multipart_threshold=1)
    store.client.upload_fileobj(io.BytesIO(content(1)), store.bucket, KEY, Config=config)
    store.assert_holds(KEY, 1)
    assert_parts(store, 1)


def test_aws_cli_below_its_part_size(endpoint: Endpoint, store: Store, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[default]\ns3 =\n  multipart_threshold = 1\n")
    (tmp_path / "up").write_bytes(content(1))
    variables = {**endpoint.environment(), "AWS_CONFIG_FILE": str(tmp_path / "config")}
    run([program("awscli", "aws"), "s3", "cp", tmp_path / "up", f"s3://{store.bucket}/{KEY}"], variables)
    store.assert_holds(KEY, 1)
    assert_parts(store, 1)


@pytest.mark.parametrize("size", [0, 1, 5 * MIB, 5 * MIB + 1])
def test_rclone_without_a_cutoff(endpoint: Endpoint, store: Store, tmp_path: Path, size: int) -> None:
    variables = {
        **endpoint.environment(),
        "RCLONE_CONFIG": str(tmp_path / "none.conf"),
        "RCLONE_CONFIG_S_TYPE": "s3",
        "RCLONE_CONFIG_S_PROVIDER": "Other",
        "RCLONE_CONFIG_S_ENV_AUTH": "true",
        "RCLONE_CONFIG_S_ENDPOINT": endpoint.url,
        "RCLONE_S3_UPLOAD_CUTOFF": "0",
        "RCLONE_RETRIES": "1",
    }
    (tmp_path / "up").write_bytes(content(size))
    run([program("commands", "rclone"), "copyto", tmp_path / "up", f"s:{store.bucket}/{KEY}"], variables)
    store.assert_holds(KEY, size)
    assert_parts(store, max(1, -(-size // (5 * MIB))))


@pytest.mark.parametrize("size", [2, 5 * MIB, 5 * MIB + 1])
def test_awscrt_above_one_byte(endpoint: Endpoint, store: Store, size: int) -> None:
    crt = Crt(endpoint, part_size=5 * MIB, threshold=1)
    crt.put(store.bucket, KEY, content(size))
    store.assert_holds(KEY, size)
    assert_parts(store, -(-size // (5 * MIB)))


def test_s5cmd_with_its_least(endpoint: Endpoint, store: Store, tmp_path: Path) -> None:
    size = 5 * MIB + 1
    (tmp_path / "up").write_bytes(content(size))
    s5cmd: list[str | Path] = [program("commands", "s5cmd"), "--endpoint-url", endpoint.url, "--retry-count", "0"]
    command = [*s5cmd, "cp", "--part-size", "5", tmp_path / "up", f"s3://{store.bucket}/{KEY}"]
    run(command, endpoint.environment())
    store.assert_holds(KEY, size)
    assert_parts(store, 2)
