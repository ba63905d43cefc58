"""The files of deploy/redis are taken by Redis, and its users suffice for a gateway."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from dispatcher.embedded_redis import find_server
from tests.support.gateway import Gateway, free_port, wait_until

REDIS = Path(__file__).resolve().parents[2] / "deploy" / "redis"
PASSWORD = "a-password"


@contextmanager
def server(*arguments: str, port: int, directory: Path) -> Iterator[None]:
    log = directory / "redis.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [find_server(), *arguments, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    try:

        def answers() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                redis.Redis(port=port, socket_timeout=5).ping()
            except redis.AuthenticationError:
                return True
            except redis.RedisError:
                return False
            return True

        wait_until(answers, timeout=30, what="redis")
        yield
    finally:
        process.terminate()
        process.wait(20)


def test_a_gateway_works_with_the_configuration_and_the_user_for_it(
    tmp_path: Path, start_gateway: Callable[..., Gateway]
) -> None:
    users = tmp_path / "users.acl"
    lines = (REDIS / "users.acl").read_text().replace(">REPLACE-ME", f">{PASSWORD}").splitlines()
    users.write_text("\n".join(line for line in lines if not line.startswith("#")) + "\n")
    port = free_port()
    with server(str(REDIS / "redis.conf"), "--aclfile", str(users), port=port, directory=tmp_path):
        url = f"redis://gateway:{PASSWORD}@127.0.0.1:{port}/0"
        gateway = start_gateway(
            workers=1, environ={"SHARDGATE_REDIS_URL": url, "SHARDGATE_MULTIPART_MIN_PART_SIZE": "1"}
        )
        s3 = gateway.s3()
        s3.create_bucket(Bucket="bucket")
        upload = s3.create_multipart_upload(Bucket="bucket", Key="key")["UploadId"]
        name = {"Bucket": "bucket", "Key": "key", "UploadId": upload}
        part = s3.upload_part(**name, PartNumber=1, Body=b"data")
        assert len(s3.list_multipart_uploads(Bucket="bucket")["Uploads"]) == 1
        s3.complete_multipart_upload(**name, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
        assert s3.get_object(Bucket="bucket", Key="key")["Body"].read() == b"data"
        assert "NOPERM" not in gateway.log.read_text()
        gateway.stop()
        with redis.Redis(port=port, username="gateway", password=PASSWORD) as client:
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.config_get("*")
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.get("other")
            assert client.info("memory")["maxmemory_policy"] == "noeviction"
            assert client.info("persistence")["aof_enabled"] == 1


def test_sentinel_watches_the_master_that_the_examples_name(tmp_path: Path) -> None:
    text = (REDIS / "sentinel.conf").read_text()
    master = free_port()
    (url,) = re.findall(r"redis\+sentinel://[^\"\s]+", text)
    name = re.search(r"^sentinel monitor (\S+) (\S+ \d+) 2$", text, re.MULTILINE)
    assert name is not None
    assert url.endswith(f"/{name[1]}/0")
    for example in (REDIS.parent / "examples").glob("three-hosts*.toml"):
        assert f"/{name[1]}/0" in example.read_text()
    configuration = tmp_path / "sentinel.conf"
    # Redis has no name of the example's hosts; everything else is as it stands.
    configuration.write_text(text.replace(name[2], f"127.0.0.1 {master}").replace("/var/lib/redis", str(tmp_path)))
    port = free_port()
    (tmp_path / "master").mkdir()
    with (
        server("--save", "", port=master, directory=tmp_path / "master"),
        server(str(configuration), "--sentinel", port=port, directory=tmp_path),
        redis.Redis(port=port) as client,
    ):
        assert client.sentinel_get_master_addr_by_name(name[1])[1] == master
