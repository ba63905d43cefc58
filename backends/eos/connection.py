"""One HTTP/1.1 connection to an MGM or an FST, with the bytes of every request in our hands.

A redirect's target is sent exactly as it came: clients that parse URLs quote them anew, and the capability in it no
longer decrypts. An FST may answer before the body was sent, must be asked with `Expect: 100-continue` so that a
transfer can still go elsewhere, and frames its answers in more than one wrong way. No HTTP library leaves all of that
to its caller, so this is the part of the protocol that is needed, over a socket of the standard library (which gevent
makes cooperative in a worker).
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from backends.errors import StorageUnavailable

BLOCK: Final = 1 << 20
"""Bytes that are asked of a socket at a time."""
_HEAD_LIMIT: Final = 1 << 16
_HEAD_BLOCK: Final = 1 << 14
_CHUNK_LINE_LIMIT: Final = 1 << 10
_FINAL_FAILURES: Final = ("CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE", "ACCESS_DENIED", "WRONG_VERSION_NUMBER")
"""Parts of OpenSSL's reasons that tell of settings rather than of the moment. With TLS 1.3 a server's refusal of our
certificate comes after the handshake (RFC 8446 section 4.4.2.4), so with the first answer."""


class NotConnected(StorageUnavailable):
    """No connection came about: nothing was sent."""


class Broken(StorageUnavailable):
    """The connection ended, timed out or carried nonsense: what became of the request is not known."""


class NotTrusted(NotConnected):
    """The TLS handshake failed for good: the peer's certificate is not trusted, or it does not speak TLS."""


class CertificateRefused(Broken):
    """The peer ended the connection because of our certificate, or because it was shown none."""


class Address(NamedTuple):
    """Where a server is."""

    secure: bool
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Answer(NamedTuple):
    """Status and headers (lower-case names; of a repeated one the last counts)."""

    status: int
    reason: str
    headers: Mapping[str, str]


class Connection:
    """A connected socket and the bytes read of it too early.

    `served` counts the requests that were answered on it. `reusable` turns false with everything that leaves its state
    unclear; a connection that is not reusable only waits for `close`.
    """

    __slots__ = ("_buffer", "_seconds", "_sock", "address", "idle_since", "reusable", "served")

    def __init__(self, address: Address, sock: socket.socket, seconds: float) -> None:
        self.address = address
        self.reusable = True
        self.served = 0
        self.idle_since = 0.0
        self._sock = sock
        self._seconds = seconds
        self._buffer = b""

    @classmethod
    def connect(cls, address: Address, context: ssl.SSLContext | None, connect: float, seconds: float) -> Connection:
        """Connect within `connect` seconds; each later wait is bounded by `seconds`. Raises `NotConnected`."""
        try:
            sock = socket.create_connection((address.host, address.port), timeout=connect)
        except OSError as error:
            raise NotConnected(f"{address}: {error}") from None
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if address.secure:
                context = context or ssl.create_default_context()
                sock = context.wrap_socket(sock, server_hostname=address.host)
            sock.settimeout(seconds)
        except OSError as error:
            sock.close()
            if _is_final(error):
                raise NotTrusted(f"{address}: {error}") from None
            raise NotConnected(f"{address}: {error}") from None
        return cls(address, sock, seconds)

    def close(self) -> None:
        """Close the socket."""
        self.reusable = False
        try:
            self._sock.close()
        except OSError:
            pass

    def is_quiet(self) -> bool:
        """Whether nothing has come on an idle connection: its peer neither closed it nor sent what nobody asked for."""
        if self._buffer:
            return False
        try:
            self._sock.settimeout(0.0)
            # TLS has no peeking: a byte that comes now is an end or nonsense either way.
            self._sock.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            self._sock.settimeout(self._seconds)
            return True
        except OSError:
            pass
        return False

    # sending

    def head(self, method: str, target: str, headers: Iterable[tuple[str, str]]) -> bytes:
        """A request's head, with `target` as it is. Raises `Broken` for what no line may hold."""
        host = f"[{self.address.host}]" if ":" in self.address.host else self.address.host
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}:{self.address.port}"]
        lines += [f"{name}: {value}" for name, value in headers]
        head = "\r\n".join(lines)
        if not head.isascii() or head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
            raise Broken(f"{self.address}: a line of the request holds what no line may hold")
        return (head + "\r\n\r\n").encode("ascii")

    def begin(self, method: str, target: str, headers: Iterable[tuple[str, str]]) -> None:
        """Send a request's head. Raises `Broken`."""
        self.send(self.head(method, target, headers))

    def send(self, data: bytes | memoryview) -> None:
        """Send all of it. Raises `Broken`."""
        try:
            self._sock.sendall(data)
        except OSError as error:
            self.reusable = False
            raise Broken(f"{self.address}: {error or 'time-out while sending'}") from None

    # receiving

    def answer(self, seconds: float | None = None) -> Answer:
        """The final answer's head; interim ones are passed over. Raises `Broken`."""
        while (answer := self._head(seconds)).status < 200:
            pass
        return answer

    def invited(self, seconds: float) -> Answer | None:
        """The answer to `Expect: 100-continue`: None when the body may be sent, else the final answer.

        Raises `Broken`, also when there is none within `seconds`: unlike what RFC 9110 section 10.1.1 has to allow for,
        every FST knows the expectation, and one that is silent is better left alone.
        """
        answer = self._head(seconds)
        return None if answer.status < 200 else answer

    def _head(self, seconds: float | None) -> Answer:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > _HEAD_LIMIT:
                self.reusable = False
                raise Broken(f"{self.address}: the answer's head is longer than {_HEAD_LIMIT} bytes")
            block = self._receive(_HEAD_BLOCK, None if self._buffer else seconds)
            if not block:
                self.reusable = False
                raise Broken(f"{self.address}: the connection ended without an answer")
            self._buffer += block
        head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        return self._parsed(head.decode("latin-1"))

    def _parsed(self, head: str) -> Answer:
        first, *lines = head.split("\r\n")
        protocol, _, rest = first.partition(" ")
        number, _, reason = rest.partition(" ")
        if not protocol.startswith("HTTP/1.") or len(number) != 3 or not (number.isascii() and number.isdigit()):
            self.reusable = False
            raise Broken(f"{self.address}: {first[:80]!r} is no status line")
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                # An FST's failures in a chunked upload have a header line without a colon: the status still counts.
                self.reusable = False
                continue
            headers[name.strip().lower()] = value.strip()
        if headers.get("connection", "").lower() == "close" or protocol == "HTTP/1.0":
            self.reusable = False
        return Answer(int(number), reason, headers)

    def body(self, answer: Answer, *, bare: bool = False) -> Body:
        """The answer's body; `bare` for answers that have none, whatever their headers say (to HEAD)."""
        self.served += 1
        if bare or answer.status in (204, 304):
            return Body(self, 0)
        if answer.headers.get("transfer-encoding", "").lower() == "chunked":
            return ChunkedBody(self)
        length = answer.headers.get("content-length")
        if length is None:
            self.reusable = False
            return Body(self, None)
        if not (length.isascii() and length.isdigit()):
            self.reusable = False
            raise Broken(f"{self.address}: {length[:40]!r} is no Content-Length")
        return Body(self, int(length))

    def some(self, size: int) -> bytes:
        """Up to `size` of the bytes that come next, b"" at the connection's end. Raises `Broken`."""
        if self._buffer:
            block, self._buffer = self._buffer[:size], self._buffer[size:]
            return block
        return self._receive(size, None)

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the connection's end; they stay to be read."""
        while len(self._buffer) < size and (block := self._receive(_HEAD_BLOCK, None)):
            self._buffer += block
        return self._buffer[:size]

    def line(self) -> bytes:
        """The next line without its end. Raises `Broken`."""
        while (end := self._buffer.find(b"\r\n")) < 0:
            block = self._receive(_HEAD_BLOCK, None) if len(self._buffer) < _CHUNK_LINE_LIMIT else b""
            if not block:
                self.reusable = False
                raise Broken(f"{self.address}: the body's framing is damaged")
            self._buffer += block
        line, self._buffer = self._buffer[:end], self._buffer[end + 2 :]
        return line

    def _receive(self, size: int, seconds: float | None) -> bytes:
        try:
            if seconds is None:
                return self._sock.recv(size)
            self._sock.settimeout(seconds)
            try:
                return self._sock.recv(size)
            finally:
                self._sock.settimeout(self._seconds)
        except TimeoutError:
            self.reusable = False
            raise Broken(f"{self.address}: no answer within {seconds or self._seconds} s") from None
        except OSError as error:
            self.reusable = False
            if _is_final(error):
                raise CertificateRefused(f"{self.address}: {error}") from None
            raise Broken(f"{self.address}: {error}") from None


def _is_final(error: OSError) -> bool:
    """Whether TLS failed by how either side is configured."""
    reason = error.reason if isinstance(error, ssl.SSLError) else ""
    return any(sign in (reason or "") for sign in _FINAL_FAILURES)


class Body:
    """A body of a known length, or (None) up to the connection's end."""

    __slots__ = ("_connection", "_rest")

    def __init__(self, connection: Connection, length: int | None) -> None:
        self._connection = connection
        self._rest = length

    @property
    def length(self) -> int | None:
        """Bytes that are left, where that is known."""
        return self._rest

    def read(self, size: int = BLOCK) -> bytes:
        """The next bytes, b"" at the end. Raises `Broken`, also when the body is shorter than was announced."""
        if self._rest is None:
            return self._connection.some(size)
        if not self._rest:
            return b""
        block = self._connection.some(min(size, self._rest))
        if not block:
            self._connection.reusable = False
            raise Broken(f"{self._connection.address}: the body ended {self._rest} bytes early")
        self._rest -= len(block)
        return block

    @property
    def finished(self) -> bool:
        """Whether it was read to its end, so that the connection can take another request."""
        return self._rest == 0

    def text(self, limit: int = 4096) -> str:
        """The beginning of it, for messages; a short body is read to its end. Never raises."""
        data = b""
        try:
            while len(data) < limit and (block := self.read(limit - len(data))):
                data += block
        except Broken:
            pass
        return data.decode("utf-8", "replace").strip()


class ChunkedBody(Body):
    """A body in chunks, its length unknown."""

    __slots__ = ("_ended", "_left")

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, None)
        self._left = 0
        self._ended = False

    def read(self, size: int = BLOCK) -> bytes:
        """See `Body`."""
        if self._ended:
            return b""
        connection = self._connection
        if not self._left:
            self._left = self._size_of(connection.line())
            if not self._left:
                while connection.line():
                    pass
                self._ended = True
                return b""
        block = connection.some(min(size, self._left))
        if not block:
            connection.reusable = False
            raise Broken(f"{connection.address}: the body ended within a chunk")
        self._left -= len(block)
        if not self._left and connection.line():
            connection.reusable = False
            raise Broken(f"{connection.address}: a chunk is longer than announced")
        return block

    def _size_of(self, line: bytes) -> int:
        digits = line.partition(b";")[0].strip()
        try:
            if not digits or len(digits) > 16 or digits.strip(b"0123456789abcdefABCDEF"):
                raise ValueError
            return int(digits, 16)
        except ValueError:
            self._connection.reusable = False
            raise Broken(f"{self._connection.address}: {line[:40]!r} is no chunk's size") from None

    @property
    def finished(self) -> bool:
        """See `Body`."""
        return self._ended
