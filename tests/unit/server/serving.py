"""Starts the real worker under a real gunicorn, and speaks to it byte by byte."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


@dataclass
class Answer:
    """One response as received; `whole` is false when the connection ended inside it."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes
    whole: bool = True
    interim: list[int] = field(default_factory=list)

    def json(self) -> object:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The error code of an S3 error document."""
        return self.body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode()


class Client:
    """A raw connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = b""

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def get(self, path: str, *headers: str) -> Answer:
        lines = [f"GET {path} HTTP/1.1", "Host: test", *headers, "", ""]
        self.send("\r\n".join(lines).encode())
        return self.answer()

    def more(self) -> bytes:
        try:
            data = self.sock.recv(1 << 20)
        except ConnectionResetError:
            data = b""
        self.buffer += data
        return data

    def closed(self, within: float = 20) -> bool:
        """Whether the server ends the connection without another byte, within less than its default time limits."""
        self.sock.settimeout(within)
        try:
            return not self.buffer and not self.more()
        except TimeoutError:
            return False

    def send_until_answered(self, piece: bytes, most: int = 200) -> Answer:
        """Send `piece` every 100 ms until there is an answer, or a reset."""
        for _ in range(most):
            if select.select([self.sock], [], [], 0.1)[0]:
                return self.answer()
            try:
                self.send(piece)
            except ConnectionError:
                return self.answer()
        raise AssertionError(f"no answer to {most} times {piece!r}")

    def line_block(self) -> list[str] | None:
        while b"\r\n\r\n" not in self.buffer:
            if not self.more():
                return None
        block, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        return block.decode("latin-1").split("\r\n")

    def answer(self, method: str = "GET") -> Answer:
        """Receive one response (past the 1xx ones)."""
        interim = []
        while True:
            lines = self.line_block()
            if lines is None:
                raise EOFError(f"no answer, but {self.buffer!r}")
            _, number, reason = lines[0].split(" ", 2)
            if number[0] != "1":
                break
            interim.append(int(number))
        names = [line.partition(":")[0].lower() for line in lines[1:]]
        assert len(names) == len(set(names)), f"repeated header in {lines}"
        headers = {name: line.partition(":")[2].strip() for name, line in zip(names, lines[1:], strict=True)}
        body, whole = b"", True
        if method == "HEAD" or number in ("204", "304"):
            pass
        elif headers.get("transfer-encoding") == "chunked":
            body, whole = self._chunks()
        elif "content-length" in headers:
            body, whole = self._exactly(int(headers["content-length"]))
        else:
            while self.more():
                pass
            body, self.buffer = self.buffer, b""
        return Answer(int(number), reason, headers, body, whole, interim)

    def _exactly(self, size: int) -> tuple[bytes, bool]:
        pieces, have = [self.buffer], len(self.buffer)
        self.buffer = b""
        while have < size and self.more():
            pieces.append(self.buffer)
            have += len(self.buffer)
            self.buffer = b""
        data = b"".join(pieces)
        self.buffer = data[size:]
        return data[:size], have >= size

    def _chunks(self) -> tuple[bytes, bool]:
        pieces = []
        while True:
            while b"\r\n" not in self.buffer:
                if not self.more():
                    return b"".join(pieces), False
            size, _, self.buffer = self.buffer.partition(b"\r\n")
            data, whole = self._exactly(int(size, 16) + 2)
            pieces.append(data[:-2])
            if not whole or size == b"0":
                return b"".join(pieces), whole


class Server:
    """A gunicorn master with one worker. `settings` go to its configuration file, `variables` to its environment."""

    def __init__(self, folder: Path, settings: str = "", unix: bool = False, **variables: str) -> None:
        self.log_path = folder / "gunicorn.log"
        self.path = folder / "worker.sock"
        self.address: tuple[str, int] | str
        listener = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(str(self.path) if unix else ("127.0.0.1", 0))
        listener.listen(128)
        self.address = listener.getsockname()
        configuration = folder / "gunicorn.conf.py"
        configuration.write_text(
            'worker_class = "workers.server.worker.ShardgateWorker"\ncontrol_socket_disable = True\n'
            f"bind = 'fd://{listener.fileno()}'\ngraceful_timeout = 10\n{settings}\n"
        )
        self.log_file = self.log_path.open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-c", str(configuration), "wire_app:application"],
            cwd=HERE, stdout=self.log_file, stderr=subprocess.STDOUT, pass_fds=[listener.fileno()],
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}", **variables},
        )  # fmt: skip
        listener.close()

    def connect(self, timeout: float = 20) -> Client:
        sock = socket.socket(socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET)
        sock.settimeout(timeout)
        sock.connect(self.address)
        return Client(sock)

    def get(self, path: str, *headers: str) -> Answer:
        with self.connect() as client:
            return client.get(path, *headers)

    def log(self) -> str:
        return self.log_path.read_text()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.terminate()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.log_file.close()


def eventually(check: object, seconds: float = 30) -> bool:
    """Whether `check()` becomes true within the time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if check():  # type: ignore[operator]
            return True
        time.sleep(0.02)
    return False
