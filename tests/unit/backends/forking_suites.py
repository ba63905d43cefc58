"""Runs pytest again and again, each time in a fork of this process: what takes longest is to import it all.

A line of standard input is a JSON list of arguments, a line of standard output [exit status, output].
"""

from __future__ import annotations

import json
import os
import sys
import tempfile

import hypothesis.extra  # noqa: F401 -- before the forks
import pytest

import backends.testkit.conftest
import backends.testkit.harness
import backends.testkit.plugin  # noqa: F401 -- before the forks

# Plain assertions, because where CI is set pytest takes a minute to compare two megabytes that it then does not show.
ALWAYS = ["-q", "-p", "backends.testkit.plugin", "-p", "no:cacheprovider", "-p", "no:xdist", "--assert=plain"]


def main() -> None:
    """Serve standard input."""
    for line in sys.stdin:
        arguments = json.loads(line)
        with tempfile.TemporaryFile("w+") as output:
            child = os.fork()
            if not child:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                status = pytest.main([*ALWAYS, *arguments])
                sys.stdout.flush()
                os._exit(status)
            _, code = os.waitpid(child, 0)
            output.seek(0)
            print(json.dumps([os.waitstatus_to_exitcode(code), output.read()]), flush=True)


if __name__ == "__main__":
    main()
