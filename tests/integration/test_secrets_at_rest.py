"""After a busy session nothing that the gateway leaves behind holds a secret: no file, no attribute, no log, no Redis.

What must hold one is the file with the generated root credentials and that with the master key; neither is in use here
but the latter.
"""

import base64
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from dispatcher.embedded_redis import embedded_url
from tests.support.gateway import Gateway, s3_client
from tests.support.secret_search import leaks, signing_keys, texts_of_files, texts_of_redis
from workers.state.redis import connect

POLICY = json.dumps(
    {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::*"}}
)
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}},
    }
)
KEPT = ("master-key",)


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Gateway]:
    options = ("--log-level", "debug", "--access-log", str(tmp_path / "access.log"))
    with Gateway(
        tmp_path / "data", *options, workers=2, config="budgets = true\naccount_requests = 100000\n"
    ) as gateway:
        yield gateway


def client(gateway: Gateway, service: str, access_key: str, secret: str, token: str | None = None) -> Any:
    return boto3.session.Session().client(
        service,
        endpoint_url=gateway.endpoint,
        region_name=gateway.region,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=Config(retries={"total_max_attempts": 2}, s3={"addressing_style": "path"}),
    )


def command(gateway: Gateway, *words: str) -> Any:
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SHARDGATE_")},
        "SHARDGATE_DIRECTORY": str(gateway.directory),
        "SHARDGATE_STATE_DIR": str(gateway.state_dir),
        "SHARDGATE_ACCESS_KEY": gateway.access_key,
        "SHARDGATE_SECRET_KEY": gateway.secret_key,
    }
    found = subprocess.run(
        [sys.executable, "-m", "dispatcher.cli", *words, "--json"], env=environ, capture_output=True, check=False
    )
    assert found.returncode == 0, found.stderr.decode()
    return json.loads(found.stdout)


def use(s3: Any, gateway: Gateway) -> None:
    """Reads, writes and mistakes of a client."""
    bucket = f"b{time.monotonic_ns()}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x" * 1000, Metadata={"a": "b"}, Tagging="a=b")
    s3.get_object(Bucket=bucket, Key="k")["Body"].read()
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="m", UploadId=upload, PartNumber=1, Body=b"y" * 1000)
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    for target in (url, url.replace("X-Amz-Signature=", "X-Amz-Signature=0")):
        connection = http.client.HTTPConnection(gateway.host, gateway.port, timeout=30)
        # A page that was reached by a presigned URL is named by the next request.
        connection.request(
            "GET", target.removeprefix(gateway.endpoint), headers={"Referer": url, "Connection": "close"}
        )
        connection.getresponse().read()
        connection.close()


def session(gateway: Gateway) -> dict[str, str | bytes]:
    """Make all kinds of identities and use them; the secrets that came up."""
    secrets: dict[str, str | bytes] = {"root's secret": gateway.secret_key}
    account = command(gateway, "accounts", "create", "alice", "--key")
    secrets["an account's secret"] = account["secret_key"]
    iam = client(gateway, "iam", account["access_key"], account["secret_key"])
    iam.create_user(UserName="bob")
    iam.put_user_policy(UserName="bob", PolicyName="all", PolicyDocument=POLICY)
    trust = POLICY.replace('"s3:*"', '"sts:AssumeRole"').replace(
        '"Resource": "arn:aws:s3:::*"', '"Principal": {"AWS": "*"}'
    )
    role = iam.create_role(RoleName="reader", AssumeRolePolicyDocument=trust)["Role"]
    iam.put_role_policy(RoleName="reader", PolicyName="all", PolicyDocument=POLICY)
    key = iam.create_access_key(UserName="bob")["AccessKey"]
    secrets["a user's secret"] = key["SecretAccessKey"]
    rotated = command(gateway, "keys", "rotate", account["access_key"])
    secrets["a rotated secret"] = rotated["secret_key"]
    use(s3_client(gateway.endpoint, account["access_key"], account["secret_key"]), gateway)
    use(s3_client(gateway.endpoint, key["AccessKeyId"], key["SecretAccessKey"]), gateway)
    sts = client(gateway, "sts", key["AccessKeyId"], key["SecretAccessKey"])
    own = client(gateway, "sts", account["access_key"], account["secret_key"])
    for name, answer in (
        ("a session", sts.get_session_token()),
        ("a role", own.assume_role(RoleArn=role["Arn"], RoleSessionName="session")),
    ):
        found = answer["Credentials"]
        secrets[f"the secret of {name}"] = found["SecretAccessKey"]
        secrets[f"the token of {name}"] = found["SessionToken"]
        use(client(gateway, "s3", found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"]), gateway)
    # Mistakes that put a secret where it does not belong.
    wrong = s3_client(gateway.endpoint, account["access_key"], "not the secret of this key")
    with pytest.raises(wrong.exceptions.ClientError):
        wrong.list_buckets()
    connection = http.client.HTTPConnection(gateway.host, gateway.port, timeout=30)
    basic = base64.b64encode(f"{account['access_key']}:{account['secret_key']}".encode()).decode()
    connection.request("GET", "/", headers={"Authorization": f"Basic {basic}", "Connection": "close"})
    connection.getresponse().read()
    connection.close()
    return secrets


def test_nothing_that_is_left_behind_holds_a_secret(busy: Gateway, tmp_path: Path) -> None:
    secrets = session(busy)
    secrets["the master key"] = (busy.state_dir / "master-key").read_text().strip()
    date = time.strftime("%Y%m%d", time.gmtime())
    for name in ("root's secret", "an account's secret", "a user's secret"):
        derived = signing_keys(str(secrets[name]), date, busy.region, "s3")
        secrets |= {f"a signing key of {name} ({step})": key for step, key in enumerate(derived)}
    assert len(secrets) >= 20
    redis = connect(embedded_url(busy.state_dir))
    kept = list(texts_of_redis(redis))
    redis.save()
    redis.close()
    assert any("iam" in where for where, _ in kept), "the session was to fill Redis"
    assert leaks(iter(kept), secrets) == []
    busy.stop()
    assert (tmp_path / "access.log").read_text().count("\n") > 30
    assert leaks(texts_of_files(tmp_path, without=KEPT), secrets) == []


def test_the_search_finds_what_is_hidden(tmp_path: Path) -> None:
    secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    raw = secret.encode()
    hidden = [
        *(raw, raw.hex().encode(), base64.b64encode(raw), base64.urlsafe_b64encode(b"user:" + raw)),
        *(base64.b64encode(b"1" + raw + b"2"), b"key=" + raw.replace(b"/", b"%2F").replace(b"+", b"%2B")),
    ]
    for number, data in enumerate(hidden):
        (tmp_path / str(number)).write_bytes(b"before" + data + b"after")
    assert {line.partition(":")[0] for line in leaks(texts_of_files(tmp_path), {"it": secret})} == {
        str(tmp_path / str(number)) for number in range(len(hidden))
    }
