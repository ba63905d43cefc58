"""The sample plugin, installed from its own project, passes the conformance suite under its entry point's name."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.installing import install_sample


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return install_sample(tmp_path_factory.mktemp("sample"))


@pytest.mark.parametrize("mode", [(), ("--gevent",)], ids=["threads", "gevent"])
def test_the_sample_passes_the_conformance_suite(environment: dict[str, str], tmp_path: Path, mode: tuple) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "backends.testkit.plugin", "-p", "no:cacheprovider", "-q"]
    result = subprocess.run(
        [*command, "--pyargs", "backends.testkit", "--backend", "sqlite", *mode],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=115, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr
    assert " passed" in result.stdout


@pytest.mark.parametrize(
    ("options", "directory", "said"),
    [
        ({"colour": 1}, "/tmp", "sqlite: unknown option colour"),
        ({}, None, "sqlite: the directory is not set"),
    ],
)
def test_the_sample_refuses_what_it_cannot_work_with(
    environment: dict[str, str], options: dict, directory: str | None, said: str
) -> None:
    program = (
        "from backends import loader; from backends.api import BackendConfig, ConfigurationError\n"
        f"try: loader.create('sqlite', BackendConfig(directory={directory!r}, options={options!r}))\n"
        "except ConfigurationError as error: print(error)"
    )
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.strip() == said
