"""The sample plugin, installed from its own project. The guide's test runs the same code through the whole suite."""

import subprocess
import sys

import pytest

from tests.plugins.installing import install_sample


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return install_sample(tmp_path_factory.mktemp("sample"))


def test_the_entry_point_is_found_by_its_name(environment: dict[str, str]) -> None:
    program = "from backends import loader; print(loader.load('sqlite').__module__, 'sqlite' in loader.names())"
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.split() == ["shardgate_sqlite", "True"]


@pytest.mark.parametrize(
    ("options", "directory", "said"),
    [
        ({"colour": 1}, "/tmp", "backend_config: Object contains unknown field `colour`"),
        ({}, None, "directory: this backend needs a directory to serve"),
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
