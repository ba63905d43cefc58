"""`shardgate uploads` and the janitor of a running gateway."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from botocore.exceptions import ClientError

from tests.support.gateway import Gateway, wait_until
from tests.support.multipart import SMALL_PARTS, ClientUpload, left_on_disk, open_uploads, redis_of


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("operators") / "data", *SMALL_PARTS) as gateway:
        yield gateway


def shardgate(gateway: Gateway, *arguments: str) -> subprocess.CompletedProcess[str]:
    where = ("--directory", str(gateway.directory), "--state-dir", str(gateway.state_dir))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SHARDGATE_")}
    command = [sys.executable, "-m", "dispatcher.cli", "uploads", arguments[0], *where, *arguments[1:]]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environ)


@pytest.fixture
def uploads(running: Gateway, request: pytest.FixtureRequest) -> Iterator[list[ClientUpload]]:
    """Three in one bucket, one in another."""
    s3 = running.s3()
    names = [f"op-{abs(hash(request.node.name)) % 10**9}-{number}" for number in (1, 2)]
    for name in names:
        s3.create_bucket(Bucket=name)
    begun = [ClientUpload(s3, names[0], key).begin() for key in ("b", "a", "ä\n")]
    begun.append(ClientUpload(s3, names[1], "z").begin())
    begun[0].put(1, b"12345")
    begun[0].put(2, b"67")
    begun[0].put(1, b"123")
    yield begun
    for name in names:
        s3.delete_bucket(Bucket=name)


def test_open_uploads_are_listed(running: Gateway, uploads: list[ClientUpload]) -> None:
    result = shardgate(running, "list", "--json", "--bucket", uploads[0].bucket)
    assert result.returncode == 0, result.stderr
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(entry["key"], entry["upload_id"], entry["parts"], entry["bytes"]) for entry in found] == [
        ("a", uploads[1].id, 0, 0),
        ("b", uploads[0].id, 2, 5),
        ("ä\n", uploads[2].id, 0, 0),
    ]
    text = shardgate(running, "list").stdout
    assert all(upload.id in text for upload in uploads)
    assert "'ä\\n'" in text
    assert shardgate(running, "list", "--bucket", "no-such-bucket").returncode == 1


def test_an_upload_is_aborted(running: Gateway, uploads: list[ClientUpload]) -> None:
    first = uploads[0]
    result = shardgate(running, "abort", first.bucket, first.key, first.id)
    assert (result.returncode, result.stdout) == (0, "1 aborted\n"), result.stderr
    assert first.id not in {upload_id for _, upload_id in open_uploads(first.s3, first.bucket)}
    with pytest.raises(ClientError):
        first.put(3, b"x")
    again = shardgate(running, "abort", first.bucket, first.key, first.id)
    assert (again.returncode, again.stderr) == (1, "shardgate: there is no such upload\n")


def test_old_uploads_are_aborted(running: Gateway, uploads: list[ClientUpload]) -> None:
    bucket = uploads[0].bucket
    assert shardgate(running, "abort", "--older-than", "3600", bucket).stdout == "0 aborted\n"
    assert shardgate(running, "abort", "--older-than", "0", bucket).stdout == "3 aborted\n"
    assert open_uploads(uploads[0].s3, bucket) == []
    assert open_uploads(uploads[3].s3, uploads[3].bucket) == [("z", uploads[3].id)]


@pytest.mark.parametrize(
    "arguments", [(), ("b",), ("b", "k"), ("b", "k", "id", "--older-than", "1"), ("--older-than", "-1")], ids=str
)
def test_a_wrong_command_line_is_refused(running: Gateway, arguments: tuple[str, ...]) -> None:
    result = shardgate(running, "abort", *arguments)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_without_redis_uploads_are_only_listed(start_gateway: Callable[..., Gateway]) -> None:
    gateway = start_gateway()
    s3 = gateway.s3()
    s3.create_bucket(Bucket="bucket")
    upload = ClientUpload(s3, "bucket", "key").begin()
    gateway.stop()
    assert upload.id in shardgate(gateway, "list").stdout
    result = shardgate(gateway, "abort", "--older-than", "0")
    assert result.returncode == 1
    assert result.stderr.startswith("shardgate: redis does not answer")
    memory = shardgate(gateway, "list", "--backend", "memory")
    assert memory.returncode == 1
    assert memory.stderr.count("\n") == 1


def test_the_janitor_aborts_what_was_abandoned(start_gateway: Callable[..., Gateway]) -> None:
    gateway = start_gateway(*SMALL_PARTS, "--janitor-interval", "1", "--multipart-max-age", "2")
    s3 = gateway.s3()
    s3.create_bucket(Bucket="bucket")
    upload = ClientUpload(s3, "bucket", "key").begin()
    upload.put(1, b"data")
    assert left_on_disk(gateway)
    wait_until(lambda: left_on_disk(gateway) == [], what="the janitor")
    wait_until(lambda: open_uploads(s3, "bucket") == [], what="an empty list")
    with redis_of(gateway) as redis:
        assert redis.keys("shardgate:v1:upload:*") == []
    with pytest.raises(ClientError) as refused:
        upload.complete()
    assert refused.value.response["Error"]["Code"] == "NoSuchUpload"
    assert "the janitor removed" in gateway.log.read_text()
