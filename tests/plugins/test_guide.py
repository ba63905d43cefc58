"""Every code block of docs/writing-a-backend.md is true: its files make a project that works, its commands run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.installing import ROOT, SAMPLE, install_sample

GUIDE = (ROOT / "docs" / "writing-a-backend.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(?:<!-- file: (?P<file>\S+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)\n```", re.DOTALL)


def files() -> dict[str, list[str]]:
    """The pieces of each file, in order."""
    pieces: dict[str, list[str]] = {}
    for match in BLOCK.finditer(GUIDE):
        if match["file"]:
            pieces.setdefault(match["file"], []).append(match["text"])
    return pieces


def commands() -> list[str]:
    return [
        line.removeprefix("$ ")
        for match in BLOCK.finditer(GUIDE)
        if match["language"] == "console"
        for line in match["text"].splitlines()
    ]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The guide's project, written from its blocks and installed."""
    source = tmp_path_factory.mktemp("written")
    for name, pieces in files().items():
        (source / name).write_text("\n\n".join(pieces) + "\n", encoding="utf-8")
    return install_sample(tmp_path_factory.mktemp("guide"), source)


def test_every_block_is_part_of_a_file_or_a_command() -> None:
    for match in BLOCK.finditer(GUIDE):
        assert match["file"] or match["language"] == "console", match["text"]
    assert set(files()) == {"pyproject.toml", "shardgate_sqlite.py"}


def test_the_blocks_are_the_sample_project() -> None:
    for name, pieces in files().items():
        sample = (SAMPLE / name).read_text(encoding="utf-8")
        written = [line for piece in pieces for line in piece.splitlines() if line.strip()]
        assert written == [line for line in sample.splitlines() if line.strip()], name


def test_the_commands_are_those_that_are_tested() -> None:
    assert commands() == [
        'pip install ".[test]"',
        "pytest --pyargs backends.testkit --backend sqlite",
        "pytest --pyargs backends.testkit --backend sqlite --gevent",
        "shardgate serve /var/lib/sqlite-store --backend sqlite",
    ]


@pytest.mark.parametrize("command", [line for line in commands() if line.startswith("pytest ")])
def test_the_project_of_the_guide_passes_the_suite(environment: dict[str, str], tmp_path: Path, command: str) -> None:
    # The disk's own speed is nobody's proof here, and most of the time.
    arguments = [*shlex.split(command)[1:], "--backend-relaxed"]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "backends.testkit.plugin", "-p", "no:cacheprovider", "-q", *arguments],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=115, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr


def test_the_options_of_the_table_exist() -> None:
    named = set(re.findall(r"^\| `(--[a-z-]+)", GUIDE, re.MULTILINE))
    from backends.testkit import plugin

    registered = set(re.findall(r'"(--[a-z-]+)"', Path(plugin.__file__).read_text(encoding="utf-8")))
    assert named | {"--gevent"} == registered


def test_the_tables_name_every_capability_and_error() -> None:
    from backends import errors
    from backends.api import Capabilities

    for field in Capabilities.__struct_fields__:
        assert f"| `{field}` |" in GUIDE
    for name, member in vars(errors).items():
        is_error = isinstance(member, type) and issubclass(member, errors.BackendError)
        if is_error and name not in ("BackendError", "NoSuchUpload"):
            assert f"`{name}`" in GUIDE, name
