"""The access log: one JSON object a line, one line a request."""

from __future__ import annotations

import os
import sys
from typing import Final

import gevent
import msgspec

from workers.telemetry.exchange import Exchange

FLUSH_SECONDS: Final = 0.5
FLUSH_BYTES: Final = 64 * 1024


class AccessLog:
    """Appends to a file, or standard output for "-"; follows the file when it was renamed by log rotation.

    Lines are gathered for half a second, so that a request does not pay for a system call; a killed worker loses at
    most those. Each write is one append of whole lines: workers may share a file.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._descriptor = -1
        self._lines: list[bytes] = []
        self._size = 0
        self._encoder = msgspec.json.Encoder()
        self._open()
        self._flusher = gevent.spawn(self._flush_regularly)

    def record(self, exchange: Exchange) -> None:
        """Take up one request."""
        line = self._encoder.encode(exchange)
        self._lines.append(line)
        self._size += len(line)
        if self._size >= FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered. A full disk loses lines, never requests."""
        if not self._lines:
            return
        data = b"\n".join(self._lines) + b"\n"
        self._lines.clear()
        self._size = 0
        try:
            self._follow()
            os.write(self._descriptor, data)
        except OSError as error:
            print(f"shardgate: access log {self._target}: {error}", file=sys.stderr)  # noqa: T201 -- the log is what failed

    def close(self) -> None:
        """Write the rest and stop."""
        self._flusher.kill()
        self.flush()
        if self._descriptor > 2:
            os.close(self._descriptor)

    def _open(self) -> None:
        if self._target == "-":
            self._descriptor = 1
        else:
            self._descriptor = os.open(self._target, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def _follow(self) -> None:
        """Open the file anew when its name stands for another one now."""
        if self._target == "-":
            return
        try:
            same = os.path.samestat(os.stat(self._target), os.fstat(self._descriptor))
        except FileNotFoundError:
            same = False
        if not same:
            before = self._descriptor
            self._open()
            os.close(before)

    def _flush_regularly(self) -> None:
        while True:
            gevent.sleep(FLUSH_SECONDS)
            self.flush()
