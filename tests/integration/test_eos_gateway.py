"""A gateway in front of the emulator, by the commands of the README: what clients see of EOS."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import botocore.exceptions
import pytest
import redis
from click.testing import CliRunner, Result

from dispatcher.cli import cli
from dispatcher.processes import SupervisionError
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
    own = [{"uid": 1001, "path": f"{eos.home('bob')}/s3"}]
    return config_file(eos, eos.directory / "eos.toml", user_roots=own, multipart="offset")


@pytest.fixture(scope="module")
def gateway(eos: Emulator, config: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    home = tmp_path_factory.mktemp("gateway")
    with Gateway(home / "data", "--backend", "eos", "--backend-config", str(config)) as running:
        yield running
        assert "Traceback" not in running.log.read_text()


Shell = Callable[..., Result]


@pytest.fixture(scope="module")
def shell(gateway: Gateway, config: Path) -> Shell:
    """The operator's commands on what the gateway works with."""
    environ = {
        "SHARDGATE_BACKEND": "eos",
        "SHARDGATE_BACKEND_CONFIG": str(config),
        "SHARDGATE_DIRECTORY": str(gateway.directory),
        "SHARDGATE_STATE_DIR": str(gateway.state_dir),
        "SHARDGATE_ACCESS_KEY": gateway.access_key,
        "SHARDGATE_SECRET_KEY": gateway.secret_key,
    }
    return lambda *words: CliRunner().invoke(cli, words, env=environ)


@pytest.fixture(scope="module")
def created(shell: Shell) -> Mapping[str, Any]:
    """Accounts with their keys; nobody knows who stranger is in EOS."""
    numbers = {"alice": 1000, "bob": 1001, "carol": 1002, "stranger": None}
    answers = {}
    for name, number in numbers.items():
        ids = () if number is None else ("--uid", str(number), "--gid", str(number))
        result = shell("accounts", "create", name, *ids, "--key", "--json")
        assert result.exit_code == 0, (result.output, result.exception)
        answers[name] = json.loads(result.output)
    return answers


@pytest.fixture(scope="module")
def accounts(gateway: Gateway, created: Mapping[str, Any]) -> Mapping[str, Any]:
    """A client of each account."""
    return {name: s3_client(gateway.endpoint, made["access_key"], made["secret_key"]) for name, made in created.items()}


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


def test_an_operator_maps_a_tree(eos: Emulator, shell: Shell, s3: Any) -> None:
    tree = f"{eos.home('alice')}/existing"
    with Client(eos) as alice:
        assert alice.mkdir(f"{tree}/deep")[0] == 0
        assert alice.put(f"{tree}/deep/file", b"data").status == 201

    def run(*arguments: str) -> Result:
        return shell("buckets", *arguments)

    mapped = run("map", "existing-tree", tree)
    assert mapped.exit_code == 0, mapped.output
    assert s3.get_object(Bucket="existing-tree", Key="deep/file")["Body"].read() == b"data"
    rows = [json.loads(line) for line in run("list", "--json").stdout.splitlines()]
    assert [row["path"] for row in rows if row["mapped"]] == [tree]
    again = run("map", "existing-tree", tree)
    assert again.exit_code
    assert isinstance(again.exception, SupervisionError)
    assert len(str(again.exception).splitlines()) == 1
    assert run("unmap", "existing-tree").exit_code == 0
    assert run("unmap", "existing-tree").exit_code
    assert eos.entry(f"{tree}/deep/file") is not None


def refusals(**calls: Callable[[], Any]) -> dict[str, str]:
    """The error code of each call, "" for those that went through."""
    codes = {}
    for name, call in calls.items():
        try:
            call()
            codes[name] = ""
        except botocore.exceptions.ClientError as error:
            codes[name] = error.response["Error"]["Code"]
    return codes


@pytest.fixture
def shared(accounts: Mapping[str, Any], created: Mapping[str, Any]) -> str:
    """A bucket of alice's with an object. S3 opens it to all accounts, so that only EOS says no."""
    name = f"shared-{uuid4().hex[:12]}"
    accounts["alice"].create_bucket(Bucket=name)
    accounts["alice"].put_object(Bucket=name, Key="dir/key", Body=b"alice's")
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": [made["arn"] for made in created.values()]},
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"],
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    accounts["alice"].put_bucket_policy(Bucket=name, Policy=policy)
    return name


def uploaded(client: Any, bucket: str, key: str, body: bytes) -> None:
    """A multipart upload of one part."""
    names = {
        "Bucket": bucket,
        "Key": key,
        "UploadId": client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"],
    }
    part = {"PartNumber": 1, "ETag": client.upload_part(**names, PartNumber=1, Body=body)["ETag"]}
    client.complete_multipart_upload(**names, MultipartUpload={"Parts": [part]})


def test_accounts_read_and_write_what_eos_lets_their_uids(
    eos: Emulator, accounts: Mapping[str, Any], shared: str
) -> None:
    bob, tree = accounts["bob"], f"{eos.root}/buckets/{shared}"
    assert bob.get_object(Bucket=shared, Key="dir/key")["Body"].read() == b"alice's"
    assert [item["Key"] for item in bob.list_objects_v2(Bucket=shared)["Contents"]] == ["dir/key"]
    copy = {"Bucket": shared, "Key": "dir/key"}
    tags = {"TagSet": [{"Key": "a", "Value": "b"}]}
    refused = refusals(
        overwrite=lambda: bob.put_object(Bucket=shared, Key="dir/key", Body=b"x"),
        put=lambda: bob.put_object(Bucket=shared, Key="new/key", Body=b"x"),
        put_large=lambda: bob.put_object(Bucket=shared, Key="new", Body=b"x" * (2 << 20)),
        delete=lambda: bob.delete_object(Bucket=shared, Key="dir/key"),
        copy=lambda: bob.copy_object(Bucket=shared, Key="copy", CopySource=copy),
        tags=lambda: bob.put_object_tagging(Bucket=shared, Key="dir/key", Tagging=tags),
        upload=lambda: uploaded(bob, shared, "dir/parts", b"x" * 1000),
        delete_bucket=lambda: bob.delete_bucket(Bucket=shared),
    )
    assert refused.pop("delete_bucket") in ("AccessDenied", "BucketNotEmpty")
    assert set(refused.values()) == {"AccessDenied"}, refused
    answer = bob.delete_objects(Bucket=shared, Delete={"Objects": [{"Key": "dir/key"}]})
    assert [error["Code"] for error in answer["Errors"]] == ["AccessDenied"]

    with Client(eos) as alice:
        assert alice.xattr(f"{tree}/dir", {"sys.acl": b"u:1001:rwx"})[0] == 0
    bob.put_object(Bucket=shared, Key="dir/bobs", Body=b"bob's")
    uploaded(bob, shared, "dir/parts", b"p" * 1000)
    for key in ("dir/bobs", "dir/parts"):
        entry = eos.entry(f"{tree}/{key}")
        assert entry is not None
        assert (entry["uid"], entry["gid"]) == (1001, 1001)
    assert accounts["alice"].get_object(Bucket=shared, Key="dir/parts")["Body"].read() == b"p" * 1000
    bob.put_object_tagging(Bucket=shared, Key="dir/bobs", Tagging=tags)
    still = refusals(
        outside=lambda: bob.put_object(Bucket=shared, Key="elsewhere", Body=b"x"),
        tags=lambda: bob.put_object_tagging(Bucket=shared, Key="dir/key", Tagging=tags),
        carol=lambda: accounts["carol"].put_object(Bucket=shared, Key="dir/carols", Body=b"x"),
    )
    assert set(still.values()) == {"AccessDenied"}, still


def test_what_eos_closes_is_closed_to_the_owner_of_the_bucket_too(
    eos: Emulator, accounts: Mapping[str, Any], shared: str
) -> None:
    alice, bob = accounts["alice"], accounts["bob"]
    directory = eos.directory_at(f"{eos.root}/buckets/{shared}/bobs", uid=1001, gid=1001, mode="700")
    bob.put_object(Bucket=shared, Key="bobs/key", Body=b"bob's")
    assert [item["Key"] for item in bob.list_objects_v2(Bucket=shared)["Contents"]] == ["bobs/key", "dir/key"]
    assert [item["Key"] for item in alice.list_objects_v2(Bucket=shared)["Contents"]] == ["dir/key"]
    refused = refusals(
        get=lambda: alice.get_object(Bucket=shared, Key="bobs/key"),
        put=lambda: alice.put_object(Bucket=shared, Key="bobs/key", Body=b"x"),
        delete=lambda: alice.delete_object(Bucket=shared, Key="bobs/key"),
    )
    assert set(refused.values()) == {"AccessDenied"}, refused
    with Client(eos, 1001, 1001) as client:
        assert client.get(f"{directory}/key").status == 200


def test_the_policies_of_s3_come_first(eos: Emulator, accounts: Mapping[str, Any], shared: str) -> None:
    """EOS would let everybody read what is mode 755."""
    accounts["alice"].delete_bucket_policy(Bucket=shared)
    refused = refusals(
        get=lambda: accounts["bob"].get_object(Bucket=shared, Key="dir/key"),
        listing=lambda: accounts["bob"].list_objects_v2(Bucket=shared),
    )
    assert set(refused.values()) == {"AccessDenied"}, refused


def test_accounts_make_buckets_where_eos_lets_them(eos: Emulator, accounts: Mapping[str, Any], shared: str) -> None:
    bob, name = accounts["bob"], f"bobs-{uuid4().hex[:12]}"
    bob.create_bucket(Bucket=name)
    bob.copy_object(Bucket=name, Key="copy", CopySource={"Bucket": shared, "Key": "dir/key"})
    entry = eos.entry(f"{eos.home('bob')}/s3/{name}/copy")
    assert entry is not None
    assert entry["uid"] == 1001
    assert name in [item["Name"] for item in bob.list_buckets()["Buckets"]]
    assert name not in [item["Name"] for item in accounts["carol"].list_buckets()["Buckets"]]
    refused = refusals(
        carol=lambda: accounts["carol"].create_bucket(Bucket=f"carols-{uuid4().hex[:12]}"),
        stranger=lambda: accounts["stranger"].create_bucket(Bucket=f"strangers-{uuid4().hex[:12]}"),
        stranger_reads=lambda: accounts["stranger"].get_object(Bucket=shared, Key="dir/key"),
    )
    assert set(refused.values()) == {"AccessDenied"}, refused


def test_an_upload_goes_on_when_redis_lost_everything(gateway: Gateway, s3: Any, bucket: str) -> None:
    """All that was acknowledged is in EOS: between two parts, and before the completion."""
    names = {"Bucket": bucket, "Key": "dir/large"}
    names["UploadId"] = s3.create_multipart_upload(**names, Metadata={"a": "b"})["UploadId"]
    bodies = {number: bytes([number]) * ((5 << 20) + number) for number in (1, 2, 3)}
    parts = []
    with redis.Redis(unix_socket_path=str(gateway.state_dir / "run" / "redis.sock")) as client:
        for number, body in bodies.items():
            etag = s3.upload_part(**names, PartNumber=number, Body=body)["ETag"]
            parts.append({"PartNumber": number, "ETag": etag})
            assert client.dbsize() > 0
            client.flushall()
    listed = s3.list_parts(**names)["Parts"]
    assert [(item["PartNumber"], item["ETag"], item["Size"]) for item in listed] == [
        (part["PartNumber"], part["ETag"], len(bodies[part["PartNumber"]])) for part in parts
    ]
    s3.complete_multipart_upload(**names, MultipartUpload={"Parts": parts})
    found = s3.get_object(Bucket=bucket, Key="dir/large")
    assert (found["Body"].read(), found["Metadata"]) == (b"".join(bodies.values()), {"a": "b"})
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
