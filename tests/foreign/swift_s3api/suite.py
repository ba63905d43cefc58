"""Runs the S3 suite of OpenStack Swift (`test/s3api` of its source distribution) against an endpoint.

The suite is black-box and was written to hold for AWS as well. It runs with the Python of an environment of its own
(see tests/clients/tools.py), and lists and deletes all buckets named ``s3api-test-*``: give it a gateway of its own.
"""

from __future__ import annotations

import os
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from pathlib import Path

from tests.clients.endpoint import Endpoint
from tests.clients.tools import program, swift_suite
from tests.foreign.swift_s3api.lists import FAILED, PASSED, SKIPPED, Outcome

_PACKAGE = "test.s3api."
_NOTHING_RAN_OR_BROKE = frozenset({2, 3, 4, 5})  # pytest's exit statuses other than "passed" and "some failed"


class SuiteError(AssertionError):
    """The suite could not be run at all; the text holds its output."""


def run_suite(
    endpoint: Endpoint, directory: Path, *, without: Iterable[str] = (), timeout: float = 300
) -> dict[str, Outcome]:
    """Run every test but those named in *without*; name (``module.Class.test``) -> outcome.

    *directory* takes the configuration and the report, *timeout* is in seconds.
    """
    source = swift_suite()
    settings = directory / "test.conf"
    settings.write_text(
        "[s3api_test]\n"
        f"endpoint = {endpoint.url}\n"
        f"region = {endpoint.region}\n"
        f"access_key1 = {endpoint.access_key}\n"
        f"secret_key1 = {endpoint.secret_key}\n"
        "s3_acl_tests_enabled = false\n"
    )
    report = directory / "report.xml"
    command = [str(program("swift", "python")), "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    for name in without:
        module, case, test = name.split(".")
        command.append(f"--deselect=test/s3api/{module}.py::{case}::{test}")
    result = subprocess.run(
        [*command, "test/s3api"],
        cwd=source,
        env={**_inherited(), "SWIFT_TEST_CONFIG_FILE": str(settings), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout,
        check=False,
    )
    if result.returncode in _NOTHING_RAN_OR_BROKE or result.returncode < 0 or not report.exists():
        said = result.stdout[-4000:].decode(errors="replace")
        raise SuiteError(f"the suite ended with status {result.returncode}:\n{said}")
    return read_report(report)


def read_report(path: Path) -> dict[str, Outcome]:
    """The outcomes in a JUnit report. An error while cleaning up counts as a failure of its test."""
    outcomes: dict[str, Outcome] = {}
    for case in ElementTree.parse(path).iter("testcase"):
        name = f"{case.get('classname', '').removeprefix(_PACKAGE)}.{case.get('name')}"
        outcome = Outcome(PASSED)
        for child in case:
            if child.tag in {"failure", "error"}:
                outcome = Outcome(FAILED, _shortened(child))
            elif child.tag == "skipped" and outcome.kind != FAILED:
                outcome = Outcome(SKIPPED, _shortened(child))
        # A test whose tear-down breaks is reported twice, the second time with the error.
        if name not in outcomes or outcome.kind == FAILED:
            outcomes[name] = outcome
    return outcomes


def _shortened(element: ElementTree.Element) -> str:
    return " ".join((element.get("message") or element.text or "").split())[:400]


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SWIFT_", "PYTEST_"))}
