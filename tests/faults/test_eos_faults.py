"""Faults of EOS under traffic: nothing acknowledged is lost or wrong. `loadtest.eos_faults` runs all of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from loadtest import eos_faults
from loadtest.eos_servers import Emulator, emulator, gateway, s3_client
from loadtest.eos_traffic import Traffic

pytestmark = pytest.mark.faults

TOGETHER = (
    "commit_short",
    "fst_down",
    "fst_no_reply",
    "short_body",
    "mgm_rename_lie",
    "grpc_unavailable",
    "cap_expired",
)
CLIENTS = 2


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Emulator, str]]:
    home = tmp_path_factory.mktemp("eos")
    (home / "eos").mkdir()
    with (
        emulator(home / "eos", "--altxs", "md5", mgms=2) as eos,
        gateway(
            home / "gateway", eos.options(**eos_faults.QUICK), "--multipart-min-part-size", "1", workers=1
        ) as endpoint,
    ):
        yield eos, endpoint


def test_every_fault_of_the_emulator_has_a_case(servers: tuple[Emulator, str]) -> None:
    assert not eos_faults.uncovered(servers[0], eos_faults.CASES)


def clients_of(endpoint: str) -> list[Traffic]:
    """Clients in a bucket of their own: what an earlier test left is none of theirs."""
    s3 = s3_client(endpoint)
    bucket = f"faults-{uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)
    return [Traffic(s3, bucket, number) for number in range(CLIENTS)]


def test_nothing_acknowledged_is_lost_while_faults_happen(servers: tuple[Emulator, str]) -> None:
    eos, endpoint = servers
    clients = clients_of(endpoint)
    rules = [case for case in eos_faults.CASES if case.name in TOGETHER]
    assert len(rules) == len(TOGETHER)
    for rule in rules[1:]:
        assert rule.rule is not None
        eos.admin("POST", "/faults", {**rule.rule, "probability": 0.05})
    report = eos_faults.run(eos, clients, rules[0], 3.0)
    assert not report.wrong, report.wrong
    assert not report.lost, report.lost
    assert report.requests > 20
    # Errors were to be retried, none of them was final.
    assert all(code.startswith(("500", "503")) for code in report.errors), report.errors
    assert not eos_faults.leaks(eos)


def test_nothing_acknowledged_is_lost_when_the_mgm_fails_over(servers: tuple[Emulator, str]) -> None:
    eos, endpoint = servers
    clients = clients_of(endpoint)
    (case,) = [case for case in eos_faults.CASES if case.name.startswith("fail-over")]
    report = eos_faults.run(eos, clients, case, 3.0)
    assert not report.wrong, report.wrong
    assert not report.lost, report.lost


def test_users_of_locust_follow_no_redirect_into_clear_text() -> None:
    command = [sys.executable, "-m", "loadtest.eos_faults", "--traffic", "locust", "--clients", "2", "--seconds", "2"]
    done = subprocess.run(
        [*command, "--workers", "1", "--only", "redirect_plain_http"],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    _, fault, hits, requests, _, losses, _ = (cell.strip() for cell in done.stdout.splitlines()[-1].split("|"))
    assert (fault, losses) == ("redirect_plain_http", "0")
    assert int(hits)
    assert int(requests)
    assert "of them failed" in done.stderr
