"""The small benchmarks of loadtest/ still run; what they measure means nothing here."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("authorization_cost", "refusing a wrong signature by an unknown key"),
        ("profile_pipeline", "list of 1000"),
    ],
)
def test_a_benchmark_runs(name: str, line: str) -> None:
    command = [sys.executable, f"loadtest/{name}.py", "--rounds", "1", "--count", "1"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert found.returncode == 0, found.stderr
    assert line in found.stdout
