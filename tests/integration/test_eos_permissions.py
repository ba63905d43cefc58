"""What an account may do by S3 is what EOS lets its uid do: both are asked, for one rule after the other.

`direct` speaks to the emulator as bob and says what EOS allows; `by_s3` does the same by a gateway. The bucket's policy
allows everything, so that only EOS says no.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from uuid import uuid4

import botocore.exceptions
import grpc
import pytest
from click.testing import CliRunner

from backends.eos.proto import namespace_pb2 as rpc
from dispatcher.cli import cli
from tests.support.eos import Client, Emulator
from tests.support.eos_plugin import config_file, prepare
from tests.support.gateway import Gateway, s3_client

OLD = b"alice's"
# mode and group of alice's directory, its sys.acl. bob is 1001:1001.
RULES = [
    ("755", 1000, ""),
    ("700", 1000, ""),
    ("711", 1000, ""),
    ("744", 1000, ""),
    ("733", 1000, ""),
    ("777", 1000, ""),
    ("770", 1001, ""),
    ("750", 1001, ""),
    ("700", 1000, "u:1001:x"),
    ("700", 1000, "u:1001:rx"),
    ("700", 1000, "u:1001:rwx"),
    ("700", 1000, "u:1001:wx"),
    ("700", 1000, "g:1001:rx"),
    ("700", 1000, "z:rx"),
    ("700", 1000, "u:1002:rwx"),
    ("700", 1000, "egroup:readers:rwx"),
    ("777", 1000, "u:1001:!w"),
    ("777", 1000, "u:1001:!d"),
    ("777", 1000, "u:1001:!u"),
    ("777", 1000, "u:1001:!r"),
    ("700", 1000, "u:1001:rwx!d"),
    ("700", 1000, "u:1001:rwx!m"),
    ("700", 1000, "u:1001:rx!w+d"),
    ("700", 1000, "u:1001:rxwo"),
    ("777", 1000, "z:i"),
    ("777", 1000, "u:1002:i"),
]


@pytest.fixture(scope="module")
def eos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with Emulator(tmp_path_factory.mktemp("eos")) as running:
        prepare(running)
        yield running


@pytest.fixture(scope="module")
def accounts(eos: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Any]]:
    """Clients of alice and bob, and their ARNs under their names with `arn:` before."""
    home = tmp_path_factory.mktemp("gateway")
    config = config_file(eos, home / "eos.toml")
    with Gateway(home / "data", "--backend", "eos", "--backend-config", str(config), workers=1) as gateway:
        environ = {
            "SHARDGATE_BACKEND": "eos",
            "SHARDGATE_BACKEND_CONFIG": str(config),
            "SHARDGATE_DIRECTORY": str(gateway.directory),
            "SHARDGATE_STATE_DIR": str(gateway.state_dir),
            "SHARDGATE_ACCESS_KEY": gateway.access_key,
            "SHARDGATE_SECRET_KEY": gateway.secret_key,
        }
        found: dict[str, Any] = {}
        for name, number in (("alice", "1000"), ("bob", "1001")):
            words = ("accounts", "create", name, "--uid", number, "--gid", number, "--key", "--json")
            result = CliRunner().invoke(cli, words, env=environ)
            assert result.exit_code == 0, (result.output, result.exception)
            made = json.loads(result.output)
            found[name] = s3_client(gateway.endpoint, made["access_key"], made["secret_key"])
            found[f"arn:{name}"] = made["arn"]
        yield found
        assert "Traceback" not in gateway.log.read_text()


@pytest.fixture(scope="module")
def bucket(accounts: Mapping[str, Any]) -> str:
    name = f"shared-{uuid4().hex[:12]}"
    accounts["alice"].create_bucket(Bucket=name)
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": accounts["arn:bob"]},
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"],
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    accounts["alice"].put_bucket_policy(Bucket=name, Policy=policy)
    return name


def allowed(call: Callable[[], Any]) -> bool:
    """Whether a call by S3 goes through; the only other answer is AccessDenied."""
    try:
        call()
    except botocore.exceptions.ClientError as error:
        if error.response["Error"]["Code"] in ("AccessDenied", "403"):
            return False
        raise
    return True


def asked(call: Callable[[], Any]) -> bool:
    """Whether a look-up by gRPC goes through; the only other answer is PERMISSION_DENIED."""
    try:
        call()
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.PERMISSION_DENIED:
            return False
        raise
    return True


def direct(bob: Client, directory: str) -> dict[str, bool]:
    looks = asked(lambda: bob.md(f"{directory}/old"))
    found = {
        "list": asked(lambda: bob.find(directory)),
        "head": looks,
        # S3 gives metadata with the data.
        "get": looks and bob.mgm("GET", f"{directory}/old").status == 307,
        "create": bob.mgm("PUT", f"{directory}/direct", "eos.atomic=1").status == 307,
        "overwrite": bob.mgm("PUT", f"{directory}/old", "eos.atomic=1").status == 307,
    }
    # EOS says that it may not chmod what it has made all the same, where `!m` stands.
    bob.mkdir(f"{directory}/sub-direct")
    found["create_below"] = bob.mgm("PUT", f"{directory}/sub-direct/new", "eos.atomic=1").status == 307
    found["delete"] = bob.unlink(f"{directory}/gone-direct")[0] == 0
    return found


def by_s3(bob: Any, bucket: str, name: str) -> dict[str, bool]:
    def listed() -> bool:
        answer = bob.list_objects_v2(Bucket=bucket, Prefix=f"{name}/")
        return f"{name}/old" in [item["Key"] for item in answer.get("Contents", [])]

    found = {
        "list": listed(),
        "head": allowed(lambda: bob.head_object(Bucket=bucket, Key=f"{name}/old")),
        "get": allowed(lambda: bob.get_object(Bucket=bucket, Key=f"{name}/old")["Body"].read()),
        "create": allowed(lambda: bob.put_object(Bucket=bucket, Key=f"{name}/new", Body=b"bob's")),
        "overwrite": allowed(lambda: bob.put_object(Bucket=bucket, Key=f"{name}/old", Body=b"bob's")),
        "create_below": allowed(lambda: bob.put_object(Bucket=bucket, Key=f"{name}/sub-s3/new", Body=b"bob's")),
        "delete": allowed(lambda: bob.delete_object(Bucket=bucket, Key=f"{name}/gone-s3")),
    }
    return found


@pytest.mark.parametrize(("mode", "group", "rules"), RULES)
def test_s3_allows_what_eos_allows(
    eos: Emulator, accounts: Mapping[str, Any], bucket: str, mode: str, group: int, rules: str
) -> None:
    name = f"dir-{uuid4().hex[:8]}"
    directory = f"{eos.root}/buckets/{bucket}/{name}"
    accounts["alice"].put_object(Bucket=bucket, Key=f"{name}/old", Body=OLD)
    with Client(eos) as alice:
        for key in ("gone-s3", "gone-direct"):
            assert alice.put(f"{directory}/{key}", OLD).status == 201
    eos.directory_at(directory, uid=1000, gid=group, mode=mode, xattrs={"sys.acl": rules} if rules else {})
    with Client(eos, 1001, 1001) as bob:
        wanted = direct(bob, directory)
    assert by_s3(accounts["bob"], bucket, name) == wanted
    for made, key in (("create", "new"), ("create_below", "sub-s3/new"), ("overwrite", "old")):
        entry = eos.entry(f"{directory}/{key}")
        if wanted[made]:
            assert entry is not None
            assert (entry["uid"], entry["gid"], entry["size"]) == (1001, 1001, 5)
    if not wanted["overwrite"]:
        entry = eos.entry(f"{directory}/old")
        assert entry is not None
        assert (entry["uid"], entry["size"]) == (1000, len(OLD))


def test_a_quota_is_its_owners_alone(eos: Emulator, accounts: Mapping[str, Any], bucket: str) -> None:
    alice, bob, name = accounts["alice"], accounts["bob"], f"quota-{uuid4().hex[:8]}"
    directory = eos.directory_at(f"{eos.root}/buckets/{bucket}/{name}", uid=1000, gid=1000, mode="777")
    with Client(eos, 0, 0, key=eos.root_key) as root:
        for uid, limit in ((1000, 1_000_000), (1001, 100)):
            quota = rpc.NSRequest.QuotaRequest(
                path=directory.encode(), id=rpc.RoleId(uid=uid), op=rpc.SET, maxbytes=limit, maxfiles=1000
            )
            assert root.exec(quota=quota).quota.code == 0

    def told(call: Callable[[], Any]) -> str:
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            call()
        return str(caught.value.response["Error"]["Code"])

    key = {"Bucket": bucket, "Key": f"{name}/bobs"}
    bob.put_object(**key, Body=b"b" * 100)
    alice.put_object(Bucket=bucket, Key=f"{name}/alices", Body=b"a" * 1000)
    source = {"Bucket": bucket, "Key": f"{name}/alices"}
    upload = {"Bucket": bucket, "Key": f"{name}/parts"}
    assert told(lambda: bob.put_object(Bucket=bucket, Key=f"{name}/more", Body=b"x")) == "InsufficientStorage"
    assert told(lambda: bob.put_object(**key, Body=b"overwritten")) == "InsufficientStorage"
    assert told(lambda: bob.copy_object(Bucket=bucket, Key=f"{name}/copy", CopySource=source)) == "InsufficientStorage"
    assert told(lambda: uploaded(bob, upload, b"part")) == "InsufficientStorage"
    assert bob.get_object(**key)["Body"].read() == b"b" * 100
    uploaded(alice, upload, b"part")
    # Whose it is counts, not who may write: room is made by a deletion.
    bob.delete_object(**key)
    bob.put_object(**key, Body=b"again")
    entry = eos.entry(f"{directory}/bobs")
    assert entry is not None
    assert (entry["uid"], entry["gid"], entry["size"]) == (1001, 1001, 5)


def uploaded(client: Any, names: Mapping[str, str], body: bytes) -> None:
    """A multipart upload of one part."""
    upload = client.create_multipart_upload(**names)["UploadId"]
    part = client.upload_part(**names, UploadId=upload, PartNumber=1, Body=body)
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    client.complete_multipart_upload(**names, UploadId=upload, MultipartUpload=parts)


@pytest.mark.parametrize(("rules", "moves"), [("u:1001:rwx", True), ("u:1001:rwx!d", False), ("u:1001:rxwo", False)])
def test_parts_need_the_right_to_delete_and_copies_do_not(
    eos: Emulator, accounts: Mapping[str, Any], bucket: str, rules: str, moves: bool
) -> None:
    """EOS asks for the right to delete from who renames, and a completion is a rename."""
    bob, name = accounts["bob"], f"dir-{uuid4().hex[:8]}"
    directory = f"{eos.root}/buckets/{bucket}/{name}"
    accounts["alice"].put_object(Bucket=bucket, Key=f"{name}/old", Body=OLD)
    eos.directory_at(directory, uid=1000, gid=1000, mode="700", xattrs={"sys.acl": rules})
    old = {"Bucket": bucket, "Key": f"{name}/old"}
    assert allowed(lambda: bob.copy_object(Bucket=bucket, Key=f"{name}/copy", CopySource=old))
    assert allowed(lambda: uploaded(bob, {"Bucket": bucket, "Key": f"{name}/parts"}, b"part")) == moves
    assert allowed(lambda: uploaded(bob, old, b"part")) == moves
    listed = [item["Key"] for item in bob.list_objects_v2(Bucket=bucket, Prefix=f"{name}/")["Contents"]]
    assert listed == [f"{name}/{key}" for key in ("copy", "old", *(["parts"] if moves else []))]
    for key, size in {"copy": len(OLD), "parts": 4 if moves else 0, "old": 4 if moves else len(OLD)}.items():
        entry = eos.entry(f"{directory}/{key}")
        assert (entry["size"] if entry is not None else 0) == size
        assert entry is None or entry["uid"] == (1000 if key == "old" and not moves else 1001)
