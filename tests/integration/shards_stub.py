"""Stand-ins for shards, and HAProxy in front of them by the configuration that the dispatcher writes.

A stand-in tells in its answers who it is, who the client is by the PROXY header, and what it received, so that tests
see what HAProxy did. Paths make it misbehave: `/b/break` ends the connection without an answer, `/b/silent` never
answers, `/b/refuse` answers 403 before the body, `/b/slow` takes 0.3 s.
"""

import socket
import struct
import subprocess
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

from dispatcher.haproxy import BACKEND, Place, Server, render
from dispatcher.proxy import find_haproxy
from dispatcher.refusals import lua
from dispatcher.runtime_api import RuntimeApi
from tests.support.gateway import free_port, wait_until
from workers.settings import load_settings

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
READY = b'{"status": "ready", "backend": "ok", "redis": "failed: Timeout"}'


@dataclass(eq=False)
class Stub:
    """One stand-in on a port of its own."""

    name: str
    number: int
    seen: Counter[str] = field(default_factory=Counter)
    heads: list[str] = field(default_factory=list)
    first_bytes: list[float] = field(default_factory=list)
    """When the first byte of each body arrived, by time.monotonic."""
    ready: bytes = READY

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def server(self, *, accepting: bool = True, weight: int = 100, connections: int = 1000) -> Server:
        return Server(self.name, self.number, f"127.0.0.1:{self.port}", weight, connections, accepting)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, EOFError), connection, connection.makefile("rb") as stream:
            client = _proxy_header(stream)
            while self._answer(connection, stream, client):
                pass

    def _answer(self, connection: socket.socket, stream: Any, client: str) -> bool:
        lines = []
        while (line := stream.readline()) not in (b"\r\n", b""):
            lines.append(line.decode("latin-1").strip())
        if not lines:
            return False
        method, target, _ = lines[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if target == "/-/ready":
            connection.sendall(b"HTTP/1.1 503 No\r\ncontent-length: %d\r\n\r\n%s" % (len(self.ready), self.ready))
            return True
        self.heads.append("\n".join(lines))
        path = target.partition("?")[0]
        self.seen[f"{method} {path}"] += 1
        if path.endswith("/break"):
            return False
        if path.endswith("/silent"):
            time.sleep(30)
        if path.endswith("/slow"):
            time.sleep(0.3)
        if path.endswith("/refuse"):
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 4\r\n\r\nno\r\n")
            return False
        if headers.get("expect"):
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        size = int(headers.get("content-length", "0"))
        received = 0
        while received < size:
            data = stream.read1(min(1 << 16, size - received))
            if not data:
                return False
            if not received:
                self.first_bytes.append(time.monotonic())
            received += len(data)
        told = {"x-shard": self.name, "x-client": client, "x-host": headers.get("host", ""), "x-received": received}
        head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        connection.sendall(f"HTTP/1.1 200 OK\r\n{head}content-length: 2\r\n\r\n".encode())
        connection.sendall(b"" if method == "HEAD" else b"ok")
        return True


def _proxy_header(stream: Any) -> str:
    """The client's address as `host:port`; "local" for health checks."""
    head = stream.read(16)
    assert head[:12] == SIGNATURE, head
    rest = stream.read(struct.unpack("!H", head[14:])[0])
    if head[12] == 0x20:
        return "local"
    source, _, port, _ = struct.unpack_from("!4s4sHH", rest)
    return f"{socket.inet_ntoa(source)}:{port}"


class StubFleet:
    """HAProxy in front of stand-ins. `settings` are settings of the gateway."""

    def __init__(self, home: Path, stubs: list[Stub], **settings: Any) -> None:
        self.port = free_port()
        self.stubs = stubs
        home.mkdir(parents=True, exist_ok=True)
        sockets = Path(f"/tmp/shardgate-stub-{self.port}")
        self._socket = sockets.with_suffix(".sock")
        self._settings = load_settings({"state_dir": str(home), **settings}, {})
        self.configuration = home / f"haproxy-{self.port}.cfg"
        self.log = home / f"haproxy-{self.port}.log"
        script = home / "haproxy.lua"
        script.write_text(lua())
        servers = [stub.server() for stub in stubs]
        with self.log.open("wb") as log:
            number = log.fileno()
            place = Place(f"127.0.0.1:{self.port}", self._socket, script=script, log=f"fd@{number}")
            self.configuration.write_text(render(self._settings, place, servers, descriptors=4000))
            self._process = subprocess.Popen(
                [find_haproxy(self._settings), "-db", "-q", "-f", str(self.configuration)],
                stderr=log,
                stdout=log,
                pass_fds=[number],
            )
        self.api = RuntimeApi(self._socket)
        wait_until(self.answers, what="haproxy")
        if stubs:
            self.wait_usable(len(stubs))

    def answers(self) -> bool:
        return self.ask("/-/dispatcher").status in (200, 503)

    def wait_usable(self, count: int) -> None:
        def usable() -> bool:
            states = self.api.servers(BACKEND).values()
            return sum(state.usable for state in states) == count

        wait_until(usable, what=f"{count} usable shards")

    def ask(
        self, path: str, *, method: str = "GET", host: str = "", body: Any = None, headers: dict[str, str] | None = None
    ) -> HTTPResponse:
        """One request on a connection of its own; the answer, with its body in `.text`."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, {"Host": host or f"127.0.0.1:{self.port}", **(headers or {})})
            answer = connection.getresponse()
            answer.text = answer.read().decode()  # type: ignore[attr-defined]
            return answer
        except ConnectionRefusedError:
            answer = HTTPResponse(socket.socket())
            answer.status = 0
            return answer
        finally:
            connection.close()

    def places(self, paths: list[str], **options: Any) -> list[str]:
        """Which shard answers for each path."""
        return [self.ask(path, **options).headers["x-shard"] for path in paths]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._socket.unlink(missing_ok=True)
