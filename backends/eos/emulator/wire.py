"""HTTP/1.1 on a connection, as closely as faults and quirks need it.

No server library gives this emulator what it has to do: take a request that has a Content-Length and is chunked, leave
a body unread so that it is taken for the next request, answer with a malformed header line, count the bytes of a body
that broke off, send less than was announced, reset the connection at a byte. WSGI hides all of these. So each
connection is a thread with a reader of its own over the socket.
"""

import contextlib
import os
import re
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from typing import Final, Protocol

from backends.eos.emulator.storage import BLOCK

MAX_HEAD: Final = 64 * 1024
MALFORMED: Final = 'Malformed header line. Hint: ensure the line finishes with "\\r\\n"'
REASONS: Final = {
    100: "Continue",
    200: "OK",
    201: "CREATED",
    204: "NO_CONTENT",
    206: "PARTIAL_CONTENT",
    207: "MULTI_STATUS",
    304: "NOT_MODIFIED",
    307: "TEMPORARY_REDIRECT",
    400: "BAD_REQUEST",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    409: "CONFLICT",
    411: "LENGTH_REQUIRED",
    412: "PRECONDITION_FAILED",
    415: "UNSUPPORTED_MEDIA_TYPE",
    416: "REQUESTED_RANGE_NOT_SATISFIABLE",
    422: "UNPROCESSABLE_ENTITY",
    500: "INTERNAL_SERVER_ERROR",
    501: "NOT_IMPLEMENTED",
    503: "SERVICE_UNAVAILABLE",
}
_REQUEST_LINE: Final = re.compile(rb"([A-Z]+) (\S.*) HTTP/1\.([01])")
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Disconnected(Exception):
    """The client went away, or the connection was broken on purpose."""


class BadRequest(Exception):
    """What came is not HTTP; the connection is answered 400 and closed."""


class Request:
    """A request's head. `target` is as it was sent; header names are lower case, the last of several values counts."""

    def __init__(self, method: str, target: str, minor: int, headers: dict[str, str]) -> None:
        self.method = method
        self.target = target
        self.minor = minor
        self.headers = headers
        self.path, _, self.query = target.partition("?")

    @property
    def chunked(self) -> bool:
        """Whether the body is chunked."""
        return self.headers.get("transfer-encoding", "").lower() == "chunked"

    @property
    def length(self) -> int | None:
        """The announced length. Raises `BadRequest` when it is no number."""
        text = self.headers.get("content-length", "").strip()
        if not text:
            return None
        if not text.isdigit():
            raise BadRequest(MALFORMED)
        return int(text)

    @property
    def keeps_alive(self) -> bool:
        """Whether the client wants to go on."""
        wish = self.headers.get("connection", "").lower()
        return wish != "close" if self.minor else wish == "keep-alive"


class Body(Protocol):
    """A request's body."""

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, nothing at the end. Raises `Disconnected` when it breaks off, or `BadRequest`."""


class Connection:
    """One client. Reads are buffered here, so that what a handler leaves unread is still there for the next request."""

    def __init__(self, sock: socket.socket, *, secure: bool, timeout: float) -> None:
        self._socket = sock
        self.secure = secure
        self.peer = str(sock.getpeername()[0])
        self._buffer = bytearray()
        self._expects = False
        self.closed = False
        self.sent = 0
        sock.settimeout(timeout)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # Reading

    def _more(self) -> bool:
        try:
            data = self._socket.recv(BLOCK)
        except (OSError, ValueError) as error:
            raise Disconnected(str(error)) from error
        self._buffer += data
        return bool(data)

    def take(self, size: int) -> bytes:
        """Between 1 and `size` bytes. Raises `Disconnected` at the end."""
        if not self._buffer:
            try:
                data = self._socket.recv(min(size, BLOCK))
            except (OSError, ValueError) as error:
                raise Disconnected(str(error)) from error
            if not data:
                raise Disconnected("end of stream")
            return data
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def line(self) -> bytes:
        """A line without its end. Raises `Disconnected`, or `BadRequest` when it is too long."""
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > MAX_HEAD:
                raise BadRequest("line too long")
            if not self._more():
                raise Disconnected("end of stream")
        data = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        return data.rstrip(b"\r\n")

    def request(self) -> Request | None:
        """The next request, None when the client is done. Raises `BadRequest`, `Disconnected`."""
        try:
            first = self.line()
        except Disconnected:
            return None
        match = _REQUEST_LINE.fullmatch(first)
        if match is None:
            raise BadRequest("Malformed request line")
        headers: dict[str, str] = {}
        size = len(first)
        while line := self.line():
            size += len(line)
            name, colon, value = line.partition(b":")
            if not colon or _NAME.fullmatch(name) is None or size > MAX_HEAD:
                raise BadRequest(MALFORMED)
            headers[name.decode("ascii").lower()] = value.strip().decode("utf-8", "surrogateescape")
        self._expects = headers.get("expect", "").lower() == "100-continue"
        target = match[2].decode("utf-8", "surrogateescape")
        return Request(match[1].decode(), target, int(match[3]), headers)

    def body(self, request: Request) -> Body:
        """The body; chunked wins over a length."""
        return ChunkedBody(self) if request.chunked else SizedBody(self, request.length or 0)

    def invite(self) -> None:
        """Answer `Expect: 100-continue`."""
        if self._expects:
            self._expects = False
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    @property
    def waits(self) -> bool:
        """Whether the client holds its body back until it is invited."""
        return self._expects

    # Writing

    def send(self, data: bytes | memoryview) -> None:
        """Send bytes. Raises `Disconnected`."""
        try:
            self._socket.sendall(data)
        except (OSError, ValueError) as error:
            raise Disconnected(str(error)) from error
        self.sent += len(data)

    def send_file(self, descriptor: int, offset: int, size: int) -> int:
        """Send a part of a file without copying it, where there is no TLS; returns how many bytes there were."""
        done = 0
        while done < size:
            try:
                count = os.sendfile(self._socket.fileno(), descriptor, offset + done, min(size - done, BLOCK))
            except BlockingIOError:
                self._writable()
                continue
            except (OSError, ValueError) as error:
                raise Disconnected(str(error)) from error
            if not count:
                break
            done += count
        self.sent += done
        return done

    def _writable(self) -> None:
        # Not select(), which ends at 1,024 descriptors.
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        if not poll.poll((self._socket.gettimeout() or 300.0) * 1000):
            raise Disconnected("the client reads no more")

    def head(self, status: int, headers: Iterable[tuple[str, str]]) -> bytes:
        """A response's head."""
        reason = REASONS.get(status, "UNKNOWN_RESPONSE_CODE")
        lines = [f"HTTP/1.1 {status} {reason}"]
        lines += [f"{name}: {value}" for name, value in headers]
        lines.append(f"Connection: {'Close' if self.closed else 'Keep-Alive'}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")

    def respond(
        self, status: int, headers: Iterable[tuple[str, str]] = (), body: bytes = b"", *, bare: bool = False
    ) -> None:
        """Send a whole response; `bare` leaves the body out, and its length if none is given, as for HEAD."""
        fields = [("Date", formatdate(usegmt=True)), *headers]
        if not bare and status not in (204, 304) and not any(name == "Content-Length" for name, _ in fields):
            fields.append(("Content-Length", str(len(body))))
        self.send(self.head(status, fields) + (b"" if bare else body))

    def close(self) -> None:
        """No further requests after this one."""
        self.closed = True

    def drain(self) -> None:
        """Say goodbye and read what still comes, so that the last answer is not lost by a reset."""
        with contextlib.suppress(OSError, ValueError):
            self._socket.settimeout(0.5)
            self._socket.shutdown(socket.SHUT_WR)
            for _ in range(64):
                if not self._socket.recv(BLOCK):
                    break

    def abort(self) -> None:
        """Reset the connection."""
        self.closed = True
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            self._socket.close()


class SizedBody:
    """A body of a known length."""

    def __init__(self, connection: Connection, size: int) -> None:
        self._connection = connection
        self._left = size

    def read(self, size: int) -> bytes:
        if not self._left:
            return b""
        self._connection.invite()
        data = self._connection.take(min(size, self._left))
        self._left -= len(data)
        return data


class ChunkedBody:
    """A chunked body; extensions and trailers are skipped."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._left = 0
        self._ended = False

    def read(self, size: int) -> bytes:
        if self._ended:
            return b""
        self._connection.invite()
        if not self._left:
            text = self._connection.line().partition(b";")[0].strip()
            try:
                self._left = int(text, 16)
            except ValueError as error:
                raise BadRequest("Malformed chunk") from error
            if not self._left:
                while self._connection.line():
                    pass
                self._ended = True
                return b""
        data = self._connection.take(min(size, self._left))
        self._left -= len(data)
        if not self._left and self._connection.line():
            raise BadRequest("Malformed chunk")
        return data


class HttpServer:
    """Listens at one port; `handle` serves one request on its connection. It can be taken down and brought back."""

    def __init__(
        self,
        host: str,
        port: int,
        handle: Callable[[Connection, Request], None],
        *,
        tls: ssl.SSLContext | None = None,
        body_timeout: float = 300.0,
    ) -> None:
        self._host = host
        self.port = port
        self._handle = handle
        self._tls = tls
        self._timeout = body_timeout
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._connections: set[socket.socket] = set()

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{self._host}:{self.port}"

    @property
    def listening(self) -> bool:
        """Whether the port is open."""
        return self._listener is not None

    def start(self) -> None:
        """Open the port. Raises `OSError`."""
        with self._lock:
            if self._listener is not None:
                return
            listener = socket.create_server((self._host, self.port), backlog=512)
            self.port = listener.getsockname()[1]
            self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), name=f"http {self.port}", daemon=True).start()

    def stop(self) -> None:
        """Close the port and reset all connections."""
        with self._lock:
            listener, self._listener = self._listener, None
            connections = list(self._connections)
        if listener is not None:
            # Wakes the thread that accepts.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for sock in connections:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def wait(self, seconds: float) -> None:
        """Wait until the last request has ended, at most so long."""
        end = time.monotonic() + seconds
        while self._connections and time.monotonic() < end:
            time.sleep(0.01)

    def _accept(self, listener: socket.socket) -> None:
        while self._listener is listener:
            try:
                sock, _ = listener.accept()
            except OSError:
                # The port was closed, or too many files are open for a moment.
                time.sleep(0.01)
                continue
            threading.Thread(target=self._serve, args=(sock,), name=f"http {self.port}", daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with self._lock:
            self._connections.add(sock)
        plain = sock
        try:
            sock.settimeout(self._timeout)
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
            self._requests(Connection(sock, secure=self._tls is not None, timeout=self._timeout))
        except (Disconnected, OSError):
            # Nobody is left to be told.
            pass
        finally:
            with self._lock:
                self._connections.discard(plain)
            with contextlib.suppress(OSError):
                sock.close()

    def _requests(self, connection: Connection) -> None:
        while not connection.closed:
            try:
                request = connection.request()
                if request is None:
                    return
                if not request.keeps_alive:
                    connection.close()
                self._handle(connection, request)
            except BadRequest as error:
                connection.close()
                connection.respond(400, [("Content-Type", "text/html")], f"{error}\n".encode())
                connection.drain()
