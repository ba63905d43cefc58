"""Responses: WSGI's start_response, the head, and the ways in which a body leaves."""

import errno
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from time import time
from types import TracebackType
from typing import Any, Final

from workers.server.errors import ResponseError
from workers.server.exchange import Exchange
from workers.server.transport import Transport, read_file

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

_LENGTH, _DATE, _SERVER, _CONNECTION, _DROPPED = range(1, 6)
_KINDS: Final = {
    "content-length": _LENGTH, "date": _DATE, "server": _SERVER, "connection": _CONNECTION,
    # The connection is the server's business (PEP 3333, "Other HTTP Features").
    "transfer-encoding": _DROPPED, "keep-alive": _DROPPED, "upgrade": _DROPPED, "te": _DROPPED, "trailer": _DROPPED,
    "proxy-authenticate": _DROPPED, "proxy-authorization": _DROPPED,
}  # fmt: skip
_TOKEN: Final = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PLAIN: Final = bytes(byte for byte in range(256) if byte == 9 or 32 <= byte != 127)
_CRLF: Final = b"\r\n"
_CACHED: Final = 1024
_JOIN_BYTES: Final = 16384  # below it one send of a joined head and body beats sendmsg
_SMALL_FILE_BYTES: Final = 1 << 18  # below it the whole file and the head leave in one send
# What reading says of the file, not of the client.
_FILE_ERRORS: Final = frozenset({errno.EIO, errno.EBADF, errno.EINVAL, errno.ESTALE})
_LAST_CHUNK: Final = b"0\r\n\r\n"


class HeaderKinds(dict[str, int]):
    """Response header names -> how the server treats them (0: as they are). Raises ResponseError for a bad name."""

    def __missing__(self, name: str) -> int:
        if not name or not name.isascii() or name.encode().translate(None, _TOKEN):
            raise ResponseError(f"{name!r} is not a header name")
        kind = _KINDS.get(name.lower(), 0)
        if len(self) < _CACHED:
            self[name] = kind
        return kind


class Dates:
    """The line `Date: ...` of the present second."""

    __slots__ = ("_line", "_second")

    def __init__(self) -> None:
        self._second = -1
        self._line = ""

    def line(self) -> str:
        """Return the header line without its end."""
        second = int(time())
        if second != self._second:
            self._second = second
            self._line = "Date: " + formatdate(second, usegmt=True)
        return self._line


@dataclass(slots=True)
class Context:
    """What the responses of a worker share. `seconds` bound each wait for a reader; `draining` ends keep-alive."""

    seconds: float
    log: logging.Logger
    kinds: HeaderKinds
    dates: Dates
    draining: bool = False


class Response:
    """The response of one request.

    `head_sent` and `broken` tell how far it came: begun, and ended by the loss of the connection.
    `keep_alive` is the server's wish, made a fact when the head is built; `settle` is asked once, at that moment,
    whether the request's body allows it.
    """

    __slots__ = (
        "_bodiless",
        "_chunked",
        "_context",
        "_declared",
        "_exchange",
        "_head_only",
        "_headers",
        "_http11",
        "_remaining",
        "_seconds",
        "_settle",
        "_status",
        "_transport",
        "broken",
        "head_sent",
        "keep_alive",
    )  # fmt: skip

    def __init__(
        self,
        transport: Transport,
        exchange: Exchange,
        settle: Callable[[], bool],
        *,
        method: str,
        http11: bool,
        keep_alive: bool,
        context: Context,
    ) -> None:
        self._transport = transport
        self._exchange = exchange
        self._settle = settle
        self._head_only = method == "HEAD"
        self._http11 = http11
        self.keep_alive = keep_alive
        self._context = context
        self._seconds = context.seconds
        self._status: str | None = None
        self._headers: Sequence[tuple[str, str]] = ()
        self.head_sent = False
        self.broken = False
        self._bodiless = False
        self._chunked = False
        self._declared: int | None = None
        self._remaining = -1  # body bytes still promised, -1 when nothing was promised

    # WSGI

    def start_response(
        self, status: str, headers: Sequence[tuple[str, str]], exc_info: _ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """PEP 3333's start_response. Raises ResponseError for a second call without `exc_info`."""
        if exc_info is not None:
            try:
                if self.head_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self._status is not None:
            raise ResponseError("start_response was called twice")
        if len(status) < 3 or not (status[:3].isascii() and status[:3].isdigit()) or status[3:4].strip():
            raise ResponseError(f"{status!r} is not a status line")
        self._status = status if len(status) > 3 else status + " "  # RFC 9112 section 4: the blank stays
        self._headers = headers
        return self.write

    def write(self, data: bytes) -> None:
        """PEP 3333's write callable: send the head, when it has not been sent, and `data`."""
        self._send_block(data)

    def send(self, result: Iterable[bytes]) -> None:
        """Send what the application returned. Raises ResponseError, OSError of the socket, Expired, and its errors."""
        if self.head_sent:  # write() was used
            self._send_all(result)
        elif type(result) is list and len(result) <= 1:
            self._send_only(result[0] if result else b"")
        else:
            segments = getattr(result, "file_segments", None)
            if segments is not None:
                self._send_files(segments)
            else:
                self._send_all(result)

    # the head

    def _head(self, known: int | None) -> bytes:
        """Build the head; `known` is the body's length when the server knows it. Decides framing and persistence."""
        status = self._status
        if status is None:
            raise ResponseError("start_response was not called")
        number = status[:3]
        self._bodiless = self._head_only or number in ("204", "304") or number[0] == "1"
        keep = self.keep_alive and not self._context.draining and self._settle()
        self._declared = None
        lines = ["HTTP/1.1 " + status]
        kinds = self._context.kinds
        dated = named = False
        for name, value in self._headers:
            kind = kinds[name]
            if kind:
                if kind == _LENGTH:
                    self._declare(value)
                    if number == "204" or number[0] == "1":
                        continue  # RFC 9110 section 8.6
                elif kind == _DATE:
                    dated = True
                elif kind == _SERVER:
                    named = True
                else:
                    keep = keep and not (kind == _CONNECTION and "close" in value.lower())
                    continue
            lines.append(name + ": " + value)
        if not named:
            lines.append("Server: shardgate")
        if not dated:
            lines.append(self._context.dates.line())
        self._chunked = False
        if not self._bodiless:
            length = self._declared
            if length is None:
                length = known
                if known is not None:
                    lines.append(f"Content-Length: {known}")
                elif self._http11:
                    self._chunked = True
                    lines.append("Transfer-Encoding: chunked")
                else:
                    keep = False
            self._remaining = -1 if length is None else length
        if not keep:
            lines.append("Connection: close")
        elif not self._http11:
            lines.append("Connection: keep-alive")
        self.keep_alive = keep
        lines.append("\r\n")
        head = "\r\n".join(lines).encode("latin-1")
        # One pass in C finds every control character; what is left has to be our own line ends.
        if head.translate(None, _PLAIN) != _CRLF * len(lines):
            raise ResponseError("a control character in a response header")
        return head

    def _declare(self, value: str) -> None:
        if not (value.isascii() and value.isdigit()) or self._declared is not None:
            raise ResponseError(f"Content-Length {value!r} is malformed or repeated")
        self._declared = int(value)

    # bodies

    def _transmit(self, parts: Sequence[bytes | bytearray], size: int, before: int) -> None:
        """Send the parts, of which `size` bytes are body, behind `before` bytes of head and framing."""
        self.head_sent = True
        try:
            self._transport.send_parts(parts, self._seconds)
        except OSError:
            self._exchange.bytes_sent += max(0, min(size, self._transport.accepted - before))
            self.broken = True
            raise
        self._exchange.bytes_sent += size

    def _send_only(self, block: bytes) -> None:
        """Send a response whose body is one block: the usual case, in one system call."""
        size = len(block)
        head = self._head(size)
        if self._bodiless:
            block = b""
            size = 0
        elif self._remaining != size:
            block = self._cut(block)
            size = len(block)
        self._remaining -= size
        if size <= _JOIN_BYTES:
            self.head_sent = True
            try:
                self._transport.send(head + block, self._seconds)
            except OSError:
                self._exchange.bytes_sent = max(0, self._transport.accepted - len(head))
                self.broken = True
                raise
            self._exchange.bytes_sent = size
        else:
            self._transmit([head, block], size, len(head))
        self._check_promise()

    def _send_block(self, block: bytes) -> None:
        """Send a block of a body whose end is not known, with the head in front of the first."""
        parts: list[bytes] = []
        before = 0
        if not self.head_sent:
            head = self._head(None)
            parts.append(head)
            before = len(head)
        if block and not self._bodiless:
            if self._remaining >= 0:
                block = self._cut(block)
                self._remaining -= len(block)
            if self._chunked:
                framing = b"%x\r\n" % len(block)
                parts += (framing, block, _CRLF)
                before += len(framing)
            else:
                parts.append(block)
            self._transmit(parts, len(block), before)
        elif parts:
            self._transmit(parts, 0, before)

    def _send_all(self, result: Iterable[bytes]) -> None:
        for block in result:
            if block:
                self._send_block(block)
                if self._bodiless:
                    break
        if not self.head_sent:
            self._send_only(b"")
        elif self._chunked:
            self._transmit([_LAST_CHUNK], 0, len(_LAST_CHUNK))
        else:
            self._check_promise()

    def _cut(self, block: bytes) -> bytes:
        """Return what of `block` the announced length still covers; the application's mistake goes to the log."""
        if len(block) > self._remaining:
            self._context.log.error("The response body is longer than its Content-Length: cut off")
            return block[: self._remaining]
        return block

    def _check_promise(self) -> None:
        if self._remaining > 0:
            raise ResponseError(f"the response body is {self._remaining} bytes shorter than its Content-Length")

    def _send_files(self, segments: Sequence[tuple[bytes, int, int, int]]) -> None:
        total = sum(len(prefix) + length for prefix, _, _, length in segments)
        head = self._head(total)
        if self._bodiless:
            self._transmit([head], 0, len(head))
            return
        if self._remaining != total:
            raise ResponseError(f"{total} bytes of file segments do not fit Content-Length {self._remaining}")
        if total <= _SMALL_FILE_BYTES:
            self._send_small_files(head, segments, total)
        else:
            for prefix, fd, offset, length in segments:
                if head or prefix:
                    self._transmit([head, prefix] if head else [prefix], len(prefix), len(head))
                    self._remaining -= len(prefix)
                    head = b""
                if length:
                    self._send_file(fd, offset, length)
        self._check_promise()

    def _send_small_files(self, head: bytes, segments: Sequence[tuple[bytes, int, int, int]], total: int) -> None:
        parts: list[bytes | bytearray] = [head]
        hub = self._transport.hub
        for prefix, fd, offset, length in segments:
            if prefix:
                parts.append(prefix)
            data = read_file(fd, offset, length, hub)
            parts.append(data)
            if len(data) < length:  # the file became shorter: send what there is, then break off
                break
        block = b"".join(parts[1:]) if len(parts) > 2 else parts[1]
        self._remaining = total - len(block)
        self._transmit([head, block], len(block), len(head))

    def _send_file(self, fd: int, offset: int, length: int) -> None:
        try:
            sent = self._transport.send_file(fd, offset, length, self._seconds)
        except OSError as error:
            self._exchange.bytes_sent += self._transport.accepted
            self.broken = error.errno not in _FILE_ERRORS
            raise
        self._exchange.bytes_sent += sent
        self._remaining -= sent
        if sent < length:
            self._check_promise()


class FileWrapper:
    """wsgi.file_wrapper: reads a file-like object in blocks that suit the network, whatever size is asked for."""

    _LEAST = 1 << 18

    def __init__(self, filelike: Any, block_size: int = _LEAST) -> None:
        self._filelike = filelike
        self._block_size = max(block_size, self._LEAST)

    def __iter__(self) -> "FileWrapper":
        return self

    def __next__(self) -> bytes:
        data: bytes = self._filelike.read(self._block_size)
        if not data:
            raise StopIteration
        return data

    def close(self) -> None:
        """Close the file."""
        close = getattr(self._filelike, "close", None)
        if close is not None:
            close()
