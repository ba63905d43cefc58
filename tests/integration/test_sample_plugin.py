"""A gateway over a plugin from another project, and over the two small ones of ours."""

from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.plugins.installing import install_sample


def test_the_installed_sample_serves_s3_from_two_workers(start_gateway, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    installed = install_sample(tmp_path / "install")
    gateway = start_gateway(
        "--backend", "sqlite", directory=store, workers=2, environ={"PYTHONPATH": installed["PYTHONPATH"]}
    )
    client = gateway.s3()
    client.create_bucket(Bucket="sample-bucket")
    bodies = {f"dir{n % 3}/key {n} ü": bytes([n]) * (n * 5000) for n in range(12)}
    for key, body in bodies.items():
        client.put_object(Bucket="sample-bucket", Key=key, Body=body, Metadata={"n": "x"}, ContentType="text/x-test")
    for key, body in bodies.items():
        answer = client.get_object(Bucket="sample-bucket", Key=key)
        assert answer["Body"].read() == body
        assert answer["ContentType"] == "text/x-test"
        assert answer["Metadata"] == {"n": "x"}
    page = client.list_objects_v2(Bucket="sample-bucket", Delimiter="/")
    assert [group["Prefix"] for group in page["CommonPrefixes"]] == ["dir0/", "dir1/", "dir2/"]
    with pytest.raises(ClientError) as caught:
        client.put_object(Bucket="sample-bucket", Key="dir1/key 1 ü", Body=b"x", IfNoneMatch="*")
    assert caught.value.response["Error"]["Code"] == "PreconditionFailed"
    client.copy_object(
        Bucket="sample-bucket", Key="copy", CopySource={"Bucket": "sample-bucket", "Key": "dir1/key 1 ü"}
    )
    assert client.get_object(Bucket="sample-bucket", Key="copy", Range="bytes=1-3")["Body"].read() == b"\x01\x01\x01"
    with pytest.raises(ClientError) as caught:
        client.delete_bucket(Bucket="sample-bucket")
    assert caught.value.response["Error"]["Code"] == "BucketNotEmpty"

    assert gateway.stop() == 0
    assert (store / "objects.sqlite").is_file()
    gateway.start()
    client = gateway.s3()
    keys = [entry["Key"] for entry in client.list_objects_v2(Bucket="sample-bucket")["Contents"]]
    assert keys == sorted([*bodies, "copy"])
    for key in keys:
        client.delete_object(Bucket="sample-bucket", Key=key)
    client.delete_bucket(Bucket="sample-bucket")
    assert client.list_buckets()["Buckets"] == []


def test_the_memory_plugin_serves_s3_from_one_worker(start_gateway) -> None:
    gateway = start_gateway("--backend", "memory", workers=1)
    client = gateway.s3()
    client.create_bucket(Bucket="memory-bucket")
    for number in range(20):
        client.put_object(Bucket="memory-bucket", Key=f"key{number:02}", Body=b"%d" % number)
    listed = client.list_objects_v2(Bucket="memory-bucket", MaxKeys=7)
    assert [entry["Key"] for entry in listed["Contents"]] == [f"key{number:02}" for number in range(7)]
    assert client.get_object(Bucket="memory-bucket", Key="key11")["Body"].read() == b"11"


def test_the_noop_plugin_answers_zeros(start_gateway, tmp_path: Path) -> None:
    options = tmp_path / "noop.toml"
    options.write_text("size = 5000\n", encoding="utf-8")
    gateway = start_gateway("--backend", "noop", "--backend-config", str(options), workers=1)
    client = gateway.s3()
    client.put_object(Bucket="any-bucket", Key="key", Body=b"dropped")
    assert client.get_object(Bucket="any-bucket", Key="key")["Body"].read() == bytes(5000)
    assert client.list_objects_v2(Bucket="any-bucket")["KeyCount"] == 0
