"""iam, sts and s3 driven together: who may do what with objects, and that changes are seen."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dispatcher.cli import cli
from tests.integration.identities.conftest import Clients, User
from tests.integration.identities.test_sts import session_of, trust
from tests.integration.identities.test_users import new, refused
from tests.support.gateway import Gateway

PATIENCE = 20.0


def soon(call: Callable[[], Any], code: str = "") -> Any:
    """Repeat a call until it is answered as it should be: with success, or with an error code."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            answer, found = call(), ""
        except ClientError as error:
            answer, found = error, error.response["Error"]["Code"]
        if found == code:
            return answer
        assert time.monotonic() < deadline, f"{found or 'success'} instead of {code or 'success'}"


def statement(bucket: str, *actions: str, effect: str = "Allow") -> str:
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    document = {
        "Version": "2012-10-17",
        "Statement": {"Effect": effect, "Action": list(actions), "Resource": resources},
    }
    return json.dumps(document)


@pytest.fixture
def bucket(client_of: Clients) -> str:
    """A bucket of root's with one object."""
    name = new("together")
    root = client_of("s3")
    root.create_bucket(Bucket=name)
    root.put_object(Bucket=name, Key="k", Body=b"data")
    return name


def test_user_with_policies(iam: Any, client_of: Clients, user: User, bucket: str) -> None:
    s3 = client_of("s3", user)
    assert refused(s3.get_object, Bucket=bucket, Key="k") == ("AccessDenied", 403)
    iam.put_user_policy(UserName=user.name, PolicyName="own", PolicyDocument=statement(bucket, "s3:GetObject"))
    assert soon(lambda: s3.get_object(Bucket=bucket, Key="k"))["Body"].read() == b"data"
    assert refused(s3.put_object, Bucket=bucket, Key="k") == ("AccessDenied", 403)
    group, arn = (
        new("group"),
        iam.create_policy(PolicyName=new("write"), PolicyDocument=statement(bucket, "s3:PutObject"))["Policy"]["Arn"],
    )
    iam.create_group(GroupName=group)
    iam.attach_group_policy(GroupName=group, PolicyArn=arn)
    iam.add_user_to_group(GroupName=group, UserName=user.name)
    soon(lambda: s3.put_object(Bucket=bucket, Key="k2", Body=b""))
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=statement(bucket, "s3:Get*"), SetAsDefault=True)
    soon(lambda: s3.put_object(Bucket=bucket, Key="k2", Body=b""), "AccessDenied")
    boundary = iam.create_policy(PolicyName=new("bound"), PolicyDocument=statement("other", "s3:*"))["Policy"]["Arn"]
    iam.put_user_permissions_boundary(UserName=user.name, PermissionsBoundary=boundary)
    soon(lambda: s3.get_object(Bucket=bucket, Key="k"), "AccessDenied")
    iam.delete_user_permissions_boundary(UserName=user.name)
    soon(lambda: s3.get_object(Bucket=bucket, Key="k"))
    iam.update_access_key(UserName=user.name, AccessKeyId=user.access_key, Status="Inactive")
    soon(lambda: s3.get_object(Bucket=bucket, Key="k"), "InvalidAccessKeyId")


def test_role_for_a_bucket(iam: Any, client_of: Clients, user: User, bucket: str) -> None:
    role = new("role")
    arn = iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust({"AWS": user.arn}))["Role"]["Arn"]
    iam.put_role_policy(RoleName=role, PolicyName="own", PolicyDocument=statement(bucket, "s3:*"))
    sts = client_of("sts", user)
    session = session_of(
        sts.assume_role(RoleArn=arn, RoleSessionName="x1", Policy=statement(bucket, "s3:GetObject", "s3:ListBucket"))
    )
    s3 = client_of("s3", session, session_token=session.token)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"data"
    assert refused(s3.put_object, Bucket=bucket, Key="k") == ("AccessDenied", 403)
    iam.delete_role_policy(RoleName=role, PolicyName="own")
    soon(lambda: s3.get_object(Bucket=bucket, Key="k"), "AccessDenied")


def test_bucket_policy_names_a_role(iam: Any, client_of: Clients, user: User, bucket: str) -> None:
    arn = iam.create_role(RoleName=new("role"), AssumeRolePolicyDocument=trust({"AWS": user.arn}))["Role"]["Arn"]
    document = json.loads(statement(bucket, "s3:GetObject"))
    document["Statement"]["Principal"] = {"AWS": arn}
    document["Statement"]["Resource"] = f"arn:aws:s3:::{bucket}/*"
    client_of("s3").put_bucket_policy(Bucket=bucket, Policy=json.dumps(document))
    session = session_of(client_of("sts", user).assume_role(RoleArn=arn, RoleSessionName="x1"))
    s3 = client_of("s3", session, session_token=session.token)
    assert soon(lambda: s3.get_object(Bucket=bucket, Key="k"))["Body"].read() == b"data"


def test_command_line_works_beside_the_running_gateway(
    iam_gateway: Gateway, client_of: Clients, iam: Any, user: User, bucket: str
) -> None:
    from click.testing import CliRunner

    def shell(*words: str, text: str | None = None) -> Any:
        place = ["--directory", str(iam_gateway.directory), "--state-dir", str(iam_gateway.state_dir)]
        result = CliRunner().invoke(cli, [*words, *place], input=text)
        assert result.exit_code == 0, (result.output, result.exception)
        return result.output

    account = new("acc")
    made = json.loads(shell("accounts", "create", account, "--key", "--json"))
    holder = User(account, made["arn"], made["access_key"], made["secret_key"])
    s3 = client_of("s3", holder)
    own = new("own")
    s3.create_bucket(Bucket=own)
    assert [one["Name"] for one in s3.list_buckets()["Buckets"]] == [own]
    assert refused(s3.get_object, Bucket=bucket, Key="k") == ("AccessDenied", 403)
    # Its own users, by the API with the account's key.
    mine = client_of("iam", holder)
    mine.create_user(UserName="bob")
    assert [one["UserName"] for one in mine.list_users()["Users"]] == ["bob"]
    assert mine.get_user()["User"]["Arn"] == made["arn"]
    shell("policies", "put-inline", "read", "-", "--user", user.name, text=statement(bucket, "s3:GetObject"))
    reader = client_of("s3", user)
    soon(lambda: reader.get_object(Bucket=bucket, Key="k"))
    shell("keys", "disable", user.access_key)
    soon(lambda: reader.get_object(Bucket=bucket, Key="k"), "InvalidAccessKeyId")
    role = new("role")
    arn = iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust({"AWS": made["arn"]}))["Role"]["Arn"]
    session = session_of(client_of("sts", holder).assume_role(RoleArn=arn, RoleSessionName="x1"))
    acting = client_of("sts", session, session_token=session.token)
    acting.get_caller_identity()
    shell("roles", "revoke-sessions", role)
    soon(acting.get_caller_identity, "ExpiredToken")
    shell("accounts", "disable", account)
    soon(s3.list_buckets, "InvalidAccessKeyId")
