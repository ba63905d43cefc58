"""A gateway in front of the emulator, by the commands of the README: what clients see of EOS."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import botocore.exceptions
import pytest

from tests.support.eos import Client, Emulator
from tests.support.eos_plugin import config_file, prepare
from tests.support.gateway import Gateway, s3_client


@pytest.fixture(scope="module")
def eos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with Emulator(tmp_path_factory.mktemp("eos")) as running:
        prepare(running)
        yield running


@pytest.fixture(scope="module")
def config(eos: Emulator) -> Path:
    """The plugin's options as a file."""
    return config_file(eos, eos.directory / "eos.toml")


@pytest.fixture(scope="module")
def gateway(eos: Emulator, config: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    home = tmp_path_factory.mktemp("gateway")
    with Gateway(home / "data", "--backend", "eos", "--backend-config", str(config)) as running:
        yield running
        assert "Traceback" not in running.log.read_text()


@pytest.fixture
def s3(gateway: Gateway) -> Any:
    return s3_client(gateway.endpoint, gateway.access_key, gateway.secret_key)


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"bucket-{uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    return name


def test_objects_are_files_and_files_are_objects(eos: Emulator, s3: Any, bucket: str) -> None:
    tree = f"{eos.root}/buckets/{bucket}"
    stored = s3.put_object(Bucket=bucket, Key="dir/key", Body=b"data", Metadata={"a": "b"}, ContentType="text/x")
    entry = eos.entry(f"{tree}/dir/key")
    assert entry is not None
    assert (entry["uid"], entry["size"]) == (1000, 4)
    with Client(eos) as alice:
        assert alice.put(f"{tree}/dir/foreign", b"from elsewhere").status == 201
    found = s3.get_object(Bucket=bucket, Key="dir/key")
    assert (found["Body"].read(), found["Metadata"], found["ContentType"]) == (b"data", {"a": "b"}, "text/x")
    assert found["ETag"] == stored["ETag"]
    assert s3.get_object(Bucket=bucket, Key="dir/foreign", Range="bytes=5-")["Body"].read() == b"elsewhere"
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert [item["Key"] for item in listed] == ["dir/foreign", "dir/key"]
    with pytest.raises(botocore.exceptions.ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="dir/key", Body=b"x", IfNoneMatch="*")


def test_a_multipart_upload_and_a_copy(s3: Any, bucket: str) -> None:
    part = b"p" * (5 << 20)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="large")["UploadId"]
    parts = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(Bucket=bucket, Key="large", UploadId=upload, PartNumber=number, Body=body)["ETag"],
        }
        for number, body in ((1, part), (2, b"last"))
    ]
    s3.complete_multipart_upload(Bucket=bucket, Key="large", UploadId=upload, MultipartUpload={"Parts": parts})
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/large")
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == part + b"last"
    assert [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["copy", "large"]


def test_what_eos_refuses_is_access_denied_and_a_full_quota_is_told(eos: Emulator, s3: Any, bucket: str) -> None:
    directory = f"{eos.root}/buckets/{bucket}/bobs"
    eos.directory_at(directory, uid=1001, gid=1001, mode="700")
    with Client(eos, 1001, 1001) as bob:
        assert bob.put(f"{directory}/key", b"bob's").status == 201
    for refused in (
        lambda: s3.put_object(Bucket=bucket, Key="bobs/key", Body=b"x"),
        lambda: s3.get_object(Bucket=bucket, Key="bobs/key"),
    ):
        with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
            refused()
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    rule = eos.fault("quota", path=f"/{bucket}/")
    with pytest.raises(botocore.exceptions.ClientError, match="InsufficientStorage"):
        s3.put_object(Bucket=bucket, Key="key", Body=b"x")
    eos.clear_faults(rule)


def test_an_operator_maps_a_tree(eos: Emulator, gateway: Gateway, config: Path, s3: Any) -> None:
    tree = f"{eos.home('alice')}/existing"
    with Client(eos) as alice:
        assert alice.mkdir(f"{tree}/deep")[0] == 0
        assert alice.put(f"{tree}/deep/file", b"data").status == 201

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        where = ["--backend", "eos", "--backend-config", str(config), "--state-dir", str(gateway.state_dir)]
        command = [sys.executable, "-m", "dispatcher.cli", "buckets", *arguments, *where]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert run("map", "existing-tree", tree).returncode == 0
    assert s3.get_object(Bucket="existing-tree", Key="deep/file")["Body"].read() == b"data"
    rows = [json.loads(line) for line in run("list", "--json").stdout.splitlines()]
    assert [row["path"] for row in rows if row["mapped"]] == [tree]
    again = run("map", "existing-tree", tree)
    assert again.returncode
    assert len(again.stderr.splitlines()) == 1
    assert run("unmap", "existing-tree").returncode == 0
    assert run("unmap", "existing-tree").returncode
    assert eos.entry(f"{tree}/deep/file") is not None
