"""HAProxy's Runtime API: commands over its stats socket (management guide, section 9.3)."""

import csv
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_RECV_BYTES: Final = 65536


class RuntimeApiError(Exception):
    """HAProxy does not answer, or refused a command. The text is one line."""


class CommandRefused(RuntimeApiError):
    """HAProxy answered, and did not do what it was told."""


@dataclass(frozen=True, slots=True)
class ServerState:
    """A server as HAProxy has it. `status` is "UP", "DOWN", "DRAIN", "MAINT", or one of those with details."""

    name: str
    number: int
    address: str
    status: str
    weight: int
    requests: int
    connections: int

    @property
    def accepting(self) -> bool:
        """Whether an administrator's state lets it have requests, if its health does."""
        return not self.status.startswith(("DRAIN", "MAINT"))

    @property
    def usable(self) -> bool:
        """Whether it gets requests now."""
        return self.status.startswith(("UP", "no check"))


class RuntimeApi:
    """A client of one stats socket. Every command is a connection of its own, so that it survives restarts."""

    def __init__(self, path: Path, *, timeout: float = 2.0) -> None:
        self.path = path
        self._timeout = timeout

    def command(self, text: str) -> str:
        """Send one command, or one with a payload; the answer without the blank lines around it.

        Raises RuntimeApiError when there is no answer in time.
        """
        parts = []
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
                channel.settimeout(self._timeout)
                channel.connect(str(self.path))
                channel.sendall(text.encode() + b"\n")
                while data := channel.recv(_RECV_BYTES):
                    parts.append(data)
        except OSError as error:
            raise RuntimeApiError(f"HAProxy does not answer at {self.path}: {error}") from None
        return b"".join(parts).decode("utf-8", "replace").strip()

    def expect(self, text: str, answer: str = "") -> None:
        """Send a command whose success is silence, or an answer that begins so.

        Raises RuntimeApiError, and CommandRefused for another answer.
        """
        found = self.command(text)
        if not (found.startswith(answer) if answer else not found):
            first = text.partition("\n")[0]
            raise CommandRefused(f"HAProxy refused {first!r}: {' '.join(found.split())}")

    def information(self) -> dict[str, str]:
        """What `show info` tells: Version, Pid, Uptime_sec, CurrConns and many more."""
        pairs = (line.partition(":") for line in self.command("show info").splitlines())
        return {name: value.strip() for name, found, value in pairs if found}

    def servers(self, backend: str) -> dict[str, ServerState]:
        """The servers of a backend by name. Raises RuntimeApiError, also when there is no such backend."""
        return {
            row["svname"]: ServerState(
                name=row["svname"],
                number=int(row["sid"]),
                address=row["addr"],
                status=row["status"],
                weight=int(row["weight"] or 0),
                requests=int(row["scur"] or 0),
                connections=int(row["slim"] or 0),
            )
            for row in self._rows(f"show stat {backend} 4 -1")
        }

    def statistics(self) -> list[dict[str, str]]:
        """What `show stat` tells of frontends and backends, a mapping of columns for each. Raises RuntimeApiError."""
        return self._rows("show stat -1 3 -1")

    def _rows(self, command: str) -> list[dict[str, str]]:
        lines = self.command(command).removeprefix("# ").splitlines()
        if lines and "svname" not in lines[0]:
            raise RuntimeApiError(f"HAProxy refused 'show stat': {lines[0]}")
        return list(csv.DictReader(lines))
