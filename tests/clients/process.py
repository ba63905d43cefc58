"""Runs a client program and shows what it said when it fails."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class ClientFailed(AssertionError):
    """A client program's exit status was not the expected one; the text holds its output."""


def run(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    *,
    cwd: Path | None = None,
    stdin: bytes | None = None,
    expect: int | None = 0,
    timeout: float = 100.0,
) -> bytes:
    """Run *command* and return its standard output.

    *expect* is the exit status wanted; None means any but zero. *timeout* is in seconds.
    """
    words = [str(word) for word in command]
    result = subprocess.run(
        words,
        env=dict(environment),
        cwd=cwd,
        input=stdin if stdin is not None else b"",
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    if result.returncode != expect if expect is not None else result.returncode == 0:
        said = (result.stderr + b"\n" + result.stdout)[-6000:].decode(errors="replace")
        raise ClientFailed(f"exit status {result.returncode} from {' '.join(words)}\n{said}")
    return result.stdout
