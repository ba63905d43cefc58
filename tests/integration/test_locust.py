"""The users of loadtest find a gateway in order, and a faulty server out.

locust patches the process that imports it, so it gets one of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.integration.test_bench import answering
from tests.support.gateway import Gateway


def run(profile: str, endpoint: str, output: Path, *more: str) -> tuple[int, dict[str, Any], str]:
    """Exit status, report and standard error."""
    small = ("--users", "4", "--seconds", "2", "--objects", "20", "--part-size", "2048", "--retries", "1")
    command = [sys.executable, "-m", "loadtest.locust_run", profile, "--endpoint", endpoint, "--output", str(output)]
    done = subprocess.run([*command, *small, *more], capture_output=True, text=True, check=False, timeout=110)
    report = output / "report.json"
    return done.returncode, json.loads(report.read_text()) if report.exists() else {}, done.stderr


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Any:
    environ = {"SHARDGATE_DURABILITY": "relaxed", "SHARDGATE_MULTIPART_MIN_PART_SIZE": "1"}
    with Gateway(tmp_path_factory.mktemp("locust") / "data", workers=1, environ=environ) as gateway:
        secret = gateway.secret_key.replace("/", "%2F").replace("+", "%2B")
        yield f"http://{gateway.access_key}:{secret}@127.0.0.1:{gateway.port}"
        assert gateway.s3().list_buckets()["Buckets"] == []
        iam = boto3.client(
            "iam",
            endpoint_url=gateway.endpoint,
            region_name=gateway.region,
            aws_access_key_id=gateway.access_key,
            aws_secret_access_key=gateway.secret_key,
        )
        assert iam.list_users()["Users"] == []


@pytest.mark.parametrize(
    ("profile", "operation"),
    [("mixed", "GetObject"), ("tenants", "GetObject of others")],
)
def test_users_find_a_gateway_in_order(endpoint: str, tmp_path: Path, profile: str, operation: str) -> None:
    status, report, errors = run(profile, endpoint, tmp_path)
    assert (status, report.get("failures")) == (0, []), errors
    rows = {row["operation"]: row for row in report["rows"]}
    assert rows[operation]["requests"] > 0
    assert rows["total"]["failures"] == 0
    assert f"| {operation} |" in (tmp_path / "report.md").read_text()
    assert (tmp_path / "report.svg").read_text().startswith("<?xml")


def test_other_content_than_was_written_fails_the_run(tmp_path: Path) -> None:
    with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong") as target:
        status, report, _ = run("get-heavy", f"http://K:S@127.0.0.1:{target.port}", tmp_path, "--requests", "20")
    assert status == 1
    assert any("GetObject: " in failure and "other content" in failure for failure in report["failures"])


@pytest.mark.parametrize("endpoint", ["http://K:S@127.0.0.1:1", "nonsense"])
def test_without_a_gateway_there_is_one_line(tmp_path: Path, endpoint: str) -> None:
    status, report, errors = run("mixed", endpoint, tmp_path)
    assert (status, report) == (2, {})
    assert errors.count("\n") == 1
