"""Installs the sample plugin as its author's users would, without a network."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = Path(__file__).with_name("sample")


def install_sample(directory: Path, source: Path = SAMPLE) -> dict[str, str]:
    """Install the project in `source` under `directory`; the environment that makes it importable."""
    project = directory / "project"
    site = directory / "site"
    # A copy, because a build writes beside its sources.
    shutil.copytree(source, project, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run(
        [*command, "--disable-pip-version-check", "--target", str(site), str(project)],
        check=True, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}
