"""The AWS command line interface with iam, sts and s3 together: users, groups, keys, policies, roles."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.clients.endpoint import Endpoint
from tests.clients.process import run
from tests.clients.tools import program

Aws = Callable[..., Any]
PATIENCE = 30.0


@pytest.fixture(scope="module")
def aws(endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Aws:
    """Runs `aws`; gives the JSON that it prints, or what it says on standard error where it may fail."""
    command = program("awscli", "aws")
    settings = tmp_path_factory.mktemp("aws") / "config"
    settings.write_text("[default]\noutput = json\nretry_mode = standard\nmax_attempts = 1\n")

    def call(*words: str | Path, keys: dict[str, str] | None = None, fails: bool = False) -> Any:
        variables = {**endpoint.environment(), "AWS_CONFIG_FILE": str(settings), **(keys or {})}
        if fails:
            line = [str(word) for word in (command, *words)]
            return subprocess.run(line, env=variables, capture_output=True, timeout=100, check=False).stderr
        printed = run([command, *words], variables)
        return json.loads(printed) if printed.startswith(b"{") else printed

    return call


def keys_of(found: dict[str, str]) -> dict[str, str]:
    variables = {"AWS_ACCESS_KEY_ID": found["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": found["SecretAccessKey"]}
    return variables | ({"AWS_SESSION_TOKEN": found["SessionToken"]} if "SessionToken" in found else {})


def allow(action: str, resource: str = "*") -> str:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


@pytest.mark.timeout(300)
def test_users_groups_roles_and_objects(aws: Aws, make_bucket: Callable[[], str], tmp_path: Path) -> None:
    bucket, mark = make_bucket(), uuid4().hex[:8]
    (tmp_path / "up").write_bytes(b"data")
    aws("s3", "cp", tmp_path / "up", f"s3://{bucket}/k")
    user = aws("iam", "create-user", "--user-name", f"ann-{mark}", "--tags", "Key=team,Value=atlas")["User"]
    key = aws("iam", "create-access-key", "--user-name", user["UserName"])["AccessKey"]
    own = keys_of(key)
    assert aws("sts", "get-caller-identity", keys=own)["Arn"] == user["Arn"]
    aws("iam", "create-group", "--group-name", f"readers-{mark}")
    aws("iam", "add-user-to-group", "--group-name", f"readers-{mark}", "--user-name", user["UserName"])
    policy = aws("iam", "create-policy", "--policy-name", f"read-{mark}", "--policy-document", allow("s3:GetObject"))[
        "Policy"
    ]
    aws("iam", "attach-group-policy", "--group-name", f"readers-{mark}", "--policy-arn", policy["Arn"])
    deadline = time.monotonic() + PATIENCE
    get = ("s3api", "get-object", "--bucket", bucket, "--key", "k", tmp_path / "down")
    while b"AccessDenied" in aws(*get, keys=own, fails=True):
        assert time.monotonic() < deadline
    assert (tmp_path / "down").read_bytes() == b"data"
    refused = aws("s3api", "put-object", "--bucket", bucket, "--key", "k2", keys=own, fails=True)
    assert b"AccessDenied" in refused
    trust = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": {"Effect": "Allow", "Principal": {"AWS": user["Arn"]}, "Action": "sts:AssumeRole"},
        }
    )
    role = aws("iam", "create-role", "--role-name", f"writer-{mark}", "--assume-role-policy-document", trust)["Role"]
    aws(
        *("iam", "put-role-policy", "--role-name", role["RoleName"], "--policy-name", "write"),
        *("--policy-document", allow("s3:PutObject")),
    )
    assumed = aws("sts", "assume-role", "--role-arn", role["Arn"], "--role-session-name", "work", keys=own)
    acting = keys_of(assumed["Credentials"])
    aws("s3api", "put-object", "--bucket", bucket, "--key", "k2", keys=acting)
    assert b"DeleteConflict" in aws("iam", "delete-user", "--user-name", user["UserName"], fails=True)
