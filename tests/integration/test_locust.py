"""The users of loadtest find a gateway in order, and a faulty server out.

locust patches the process that imports it, so all runs are made in one process of their own, one after the other.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.integration.test_bench import answering
from tests.support.gateway import Gateway

RUNS = """
import contextlib, io, json, sys
from loadtest import locust_run

for arguments in json.load(sys.stdin):
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        status = locust_run.main(arguments)
    print(json.dumps([status, errors.getvalue()]))
"""
SMALL = ("--users", "4", "--pace", "200", "--seconds", "60", "--objects", "12", "--part-size", "2048", "--retries", "1")
# Enough requests that each operation named has its turn, which is a tenth of the tasks or a twentieth for the last one.
PROFILES = {
    "get-heavy": (150, ["GetObject", "GetObject range"]),
    "put-heavy": (150, ["PutObject", "GetObject", "DeleteObject", "HeadObject gone"]),
    "mixed": (200, ["GetObject", "PutObject", "HeadObject", "ListObjectsV2"]),
    "listing": (150, ["ListObjectsV2", "PutObject"]),
    "multipart": (100, ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "GetObject"]),
    "tenants": (300, ["CreateBucket", "PutObject", "GetObject", "ListObjectsV2", "GetObject of others"]),
}
UNREACHABLE = {"refused": "http://K:S@127.0.0.1:1", "nonsense": "nonsense"}


@dataclass(frozen=True)
class Run:
    """What a run left."""

    status: int
    errors: str
    output: Path

    @property
    def report(self) -> dict[str, Any]:
        """The report, empty when there is none."""
        path = self.output / "report.json"
        return json.loads(path.read_text()) if path.exists() else {}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """All runs by name."""
    home = tmp_path_factory.mktemp("locust")
    environ = {"SHARDGATE_DURABILITY": "relaxed", "SHARDGATE_MULTIPART_MIN_PART_SIZE": "1"}
    with (
        Gateway(home / "data", workers=1, environ=environ) as gateway,
        answering(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong") as faulty,
    ):
        secret = gateway.secret_key.replace("/", "%2F").replace("+", "%2B")
        url = f"http://{gateway.access_key}:{secret}@127.0.0.1:{gateway.port}"
        asked = {profile: (profile, url, count) for profile, (count, _) in PROFILES.items()}
        asked["faulty"] = ("get-heavy", f"http://K:S@127.0.0.1:{faulty.port}", 20)
        asked |= {name: ("mixed", endpoint, 20) for name, endpoint in UNREACHABLE.items()}
        commands = [
            [profile, "--endpoint", endpoint, "--requests", str(count), "--output", str(home / name), *SMALL]
            for name, (profile, endpoint, count) in asked.items()
        ]
        done = subprocess.run(
            [sys.executable, "-c", RUNS], input=json.dumps(commands), capture_output=True, text=True, timeout=170
        )
        assert done.returncode == 0, done.stderr
        found = [json.loads(line) for line in done.stdout.splitlines()]
        assert gateway.s3().list_buckets()["Buckets"] == []
        iam = boto3.client(
            "iam",
            endpoint_url=gateway.endpoint,
            region_name=gateway.region,
            aws_access_key_id=gateway.access_key,
            aws_secret_access_key=gateway.secret_key,
        )
        assert iam.list_users()["Users"] == []
    return {name: Run(*one, home / name) for name, one in zip(asked, found, strict=True)}


@pytest.mark.parametrize("profile", PROFILES)
def test_users_find_a_gateway_in_order(runs: dict[str, Run], profile: str) -> None:
    run = runs[profile]
    assert (run.report.get("failures"), run.status) == ([], 0), run.errors
    rows = {row["operation"]: row for row in run.report["rows"]}
    assert rows["total"]["failures"] == 0
    for operation in PROFILES[profile][1]:
        assert rows[operation]["requests"] > 0
        assert f"| {operation} |" in (run.output / "report.md").read_text()
    assert (run.output / "report.svg").read_text().startswith("<?xml")


def test_other_content_than_was_written_fails_the_run(runs: dict[str, Run]) -> None:
    run = runs["faulty"]
    assert run.status == 1
    assert any("GetObject: " in failure and "other content" in failure for failure in run.report["failures"])


@pytest.mark.parametrize("name", UNREACHABLE)
def test_without_a_gateway_there_is_one_line(runs: dict[str, Run], name: str) -> None:
    run = runs[name]
    assert (run.status, run.report) == (2, {})
    assert run.errors.count("\n") == 1
