"""Request bodies as WSGI's `wsgi.input`: none, of a known length, or chunked.

Bodies bypass llhttp: a body of known length is only counted, straight from the socket, and a chunked one has a decoder
of its own whose end is known to the byte, so that the next pipelined request starts where this one ended.
"""

from collections.abc import Iterator
from time import monotonic
from typing import Final

from workers.server.errors import BadChunk, BodyError, BodyTimeout, ClientDisconnected, Expired, ShortBody
from workers.server.limits import Limits
from workers.server.transport import Transport

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_MAX_RECV: Final = 1 << 20
_FILL_BYTES: Final = 1 << 16
_LINE_BYTES: Final = 1024  # one chunk header or trailer line
_EXTENSION_BYTES: Final = 16384  # all chunk extensions of one body
_TRAILER_BYTES: Final = 8192
_CHUNK_DIGITS: Final = 16
_CHUNK_COST: Final = 512  # work of one chunk, in bytes of copying
_HEX: Final = frozenset(b"0123456789abcdefABCDEF")
_TOKEN: Final = bytes(sorted(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))
_PLAIN: Final = bytes(byte for byte in range(256) if byte == 9 or 32 <= byte != 127)
# RFC 9110 section 6.5.1: fields that steer framing, routing or authentication cannot come after the body.
_NOT_IN_TRAILER: Final = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"trailer", b"authorization", b"te", b"connection", b"expect"}
)


class NoBody:
    """The input of a request without a body, and what the other kinds share: the file methods of PEP 3333.

    `received` counts the body's bytes (without chunk framing), `complete` tells that all were read, `broken` that the
    rest cannot be read.
    """

    received = 0
    complete = True
    broken = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Return `size` bytes, fewer only at the end of the body; all of it without a size.

        Raises BodyTimeout, ShortBody, BadChunk or ClientDisconnected.
        """
        return b""

    def read1(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes as they come, b"" only at the end of the body. Raises as read."""
        return b""

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return the bytes to the next line feed or the end, `size` at the most. Raises as read."""
        return b""

    def readlines(self, hint: int | None = None, /) -> list[bytes]:
        """Return the lines that begin within the next `hint` bytes, all without a hint. Raises as read."""
        lines: list[bytes] = []
        total = 0
        while (line := self.readline()) and (not hint or total < hint):
            lines.append(line)
            total += len(line)
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def head_is_sent(self) -> None:
        """Take note that the final answer began: 100 Continue must not follow it."""

    def settle(self) -> bool:
        """Tell, before the answer's head is built, whether the connection can go on after this request."""
        return True

    def drain(self) -> bool:
        """Read the rest away, after the answer and within `settle`'s bounds; tell whether the end was reached."""
        return True

    def rest(self) -> bytes:
        """Return what was received beyond the body: the beginning of the next request."""
        return b""


EMPTY: Final = NoBody()


class _Body(NoBody):
    """A body that comes from a transport; `pending` is what was received together with the head."""

    def __init__(self, transport: Transport, limits: Limits, pending: bytes, *, expected: bool) -> None:
        self._transport = transport
        self._limits = limits
        self._pending = pending
        # A client that is sending already does not wait for 100 Continue (RFC 9110 section 10.1.1).
        self._expected = expected and not pending
        self._held = b""  # read for readline, not yet given out
        self._timeout = limits.body_timeout
        self.received = 0
        self.complete = False
        self.broken = False

    def _some(self, size: int) -> bytes:
        """Return up to `size` (> 0) bytes of the body, b"" at its end."""
        raise NotImplementedError

    def _wait_over(self) -> float:
        if self._expected:
            self._expected = False
            self._transport.send(CONTINUE, self._timeout)
        return monotonic() + self._timeout

    def _next(self, size: int) -> bytes:
        if self.complete:
            return b""
        if self.broken:
            raise ClientDisconnected("the request body broke off earlier")
        try:
            data = self._some(size)
        except BodyError:
            self.broken = True
            raise
        except Expired:
            self.broken = True
            raise BodyTimeout(f"no byte of the request body came within {self._timeout:g} s") from None
        except OSError as error:
            self.broken = True
            raise ClientDisconnected(str(error)) from error
        self.received += len(data)
        return data

    def read1(self, size: int = -1, /) -> bytes:
        """See NoBody."""
        if size == 0:
            return b""
        size = min(size, _MAX_RECV) if size > 0 else _FILL_BYTES
        if self._held:
            data, self._held = self._held[:size], self._held[size:]
            return data
        return self._next(size)

    def read(self, size: int | None = -1, /) -> bytes:
        """See NoBody."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read1(_MAX_RECV), b""))
        data = self.read1(size)
        if len(data) == size or not data:
            return data
        parts = [data]
        missing = size - len(data)
        while missing and (data := self.read1(missing)):
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)

    def readline(self, size: int | None = -1, /) -> bytes:
        """See NoBody."""
        most = size if size is not None and size >= 0 else -1
        parts: list[bytes] = []
        while most != 0:
            block = self.read1(_FILL_BYTES)
            end = block.find(b"\n") + 1 or len(block)
            if most > 0:
                end = min(end, most)
                most -= end
            parts.append(block[:end])
            if end < len(block):
                self._held = block[end:]
                break
            if not block or block[end - 1] == 10:
                break
        return b"".join(parts)

    def head_is_sent(self) -> None:
        """See NoBody."""
        self._expected = False

    def rest(self) -> bytes:
        """See NoBody."""
        return self._pending


class LengthBody(_Body):
    """A body with Content-Length, `length` > 0."""

    def __init__(self, transport: Transport, limits: Limits, pending: bytes, length: int, *, expected: bool) -> None:
        super().__init__(transport, limits, pending, expected=expected)
        self._missing = length

    def _some(self, size: int) -> bytes:
        size = min(size, self._missing)
        if self._pending:
            data, self._pending = self._pending[:size], self._pending[size:]
        else:
            data = self._transport.recv(size, self._wait_over())
            if not data:
                raise ShortBody(f"the request body ended {self._missing} bytes early")
        self._missing -= len(data)
        self.complete = not self._missing
        return data

    def read(self, size: int | None = -1, /) -> bytes:
        """See NoBody. A large block is received in place: the common case of an upload."""
        if size is None or not _FILL_BYTES <= size <= _MAX_RECV or self._held or self._pending or self.broken:
            return super().read(size)
        data = self.read1(size)
        size = min(size, len(data) + self._missing)
        if len(data) >= size:
            return data
        block = bytearray(size)
        filled = len(data)
        block[:filled] = data
        with memoryview(block) as view:
            while filled < size:
                try:
                    got = self._transport.recv_into(view[filled:], monotonic() + self._timeout)
                except Expired:
                    self.broken = True
                    raise BodyTimeout(f"no byte of the request body came within {self._timeout:g} s") from None
                except OSError as error:
                    self.broken = True
                    raise ClientDisconnected(str(error)) from error
                if not got:
                    self.broken = True
                    raise ShortBody(f"the request body ended {self._missing} bytes early")
                filled += got
                self.received += got
                self._missing -= got
        self.complete = not self._missing
        return bytes(block)

    def settle(self) -> bool:
        """See NoBody: true when little is missing and the client sends it without being told to."""
        return self.complete or (not self.broken and not self._expected and self._missing <= self._limits.drain_bytes)

    def drain(self) -> bool:
        """See NoBody."""
        self._timeout = self._limits.drain_timeout
        try:
            while self._next(_FILL_BYTES):
                pass
        except BodyError:
            return False
        return self.complete


class ChunkedBody(_Body):
    """A body with `Transfer-Encoding: chunked`, as strict as RFC 9112 section 7.1 allows."""

    def __init__(self, transport: Transport, limits: Limits, pending: bytes, *, expected: bool) -> None:
        super().__init__(transport, limits, pending, expected=expected)
        self._at = 0  # where the unread part of `_pending` begins
        self._chunk = 0  # missing bytes of the present chunk
        self._first = True
        self._extensions = 0
        self._now = False  # take only what is here

    def rest(self) -> bytes:
        """See NoBody."""
        return self._pending[self._at :]

    def _fill(self) -> None:
        """Append received bytes to `_pending`."""
        if self._now:
            data = self._transport.recv_now(_FILL_BYTES)
            if data is None:
                raise Expired("nothing there")
        else:
            data = self._transport.recv(_FILL_BYTES, self._wait_over())
        if not data:
            raise ShortBody("the request body ended inside its chunked encoding")
        self._pending = self._pending[self._at :] + data
        self._at = 0

    def _line(self) -> bytes:
        """Return the next line without its CRLF."""
        while True:
            end = self._pending.find(b"\n", self._at)
            if end >= 0:
                line = self._pending[self._at : end]
                if line[-1:] != b"\r" or b"\r" in line[:-1]:
                    raise BadChunk("a line of the chunked encoding does not end with CRLF")
                if len(line) <= _LINE_BYTES:
                    self._at = end + 1
                    return line[:-1]
            if end >= 0 or len(self._pending) - self._at > _LINE_BYTES:
                raise BadChunk("a line of the chunked encoding is too long")
            self._fill()

    def _chunk_size(self) -> int:
        """Read the next chunk's header (and the CRLF that ends the chunk before)."""
        if not self._first and self._line():
            raise BadChunk("chunk data does not end where its size tells")
        self._first = False
        digits, semicolon, extension = self._line().partition(b";")
        if semicolon:
            digits = digits.rstrip(b" \t")  # RFC 9112 section 7.1.1 has "bad" whitespace before the semicolon
            self._extensions += len(extension) + 1
            if self._extensions > _EXTENSION_BYTES or extension.translate(None, _PLAIN):
                raise BadChunk("chunk extension is too long or has control characters")
        if not 0 < len(digits) <= _CHUNK_DIGITS or not _HEX.issuperset(digits):
            raise BadChunk("chunk size is not a hexadecimal number")
        self._transport.yield_after(_CHUNK_COST)
        return int(digits, 16)

    def _trailers(self) -> None:
        """Read to the empty line; the fields are checked and thrown away (RFC 9110 section 6.5.1 allows it)."""
        total = 0
        while line := self._line():
            total += len(line)
            name, colon, value = line.partition(b":")
            if not colon or not name or name.translate(None, _TOKEN) or value.translate(None, _PLAIN):
                raise BadChunk("malformed trailer field")
            if total > _TRAILER_BYTES or name.lower() in _NOT_IN_TRAILER:
                raise BadChunk("trailer fields are too long or forbidden")

    def _some(self, size: int) -> bytes:
        if not self._chunk:
            self._chunk = self._chunk_size()
            if not self._chunk:
                self._trailers()
                self.complete = True
                return b""
        size = min(size, self._chunk)
        if self._at == len(self._pending):
            if size >= _FILL_BYTES and not self._now:  # large chunks pass without a copy
                data = self._transport.recv(size, self._wait_over())
                if not data:
                    raise ShortBody("the request body ended inside a chunk")
                self._chunk -= len(data)
                return data
            self._fill()
        data = self._pending[self._at : self._at + size]
        self._at += len(data)
        self._chunk -= len(data)
        return data

    def settle(self) -> bool:
        """See NoBody: true when the end is here already, as when a decoder on top stopped at its own last chunk."""
        if self.complete or self.broken or self._expected:
            return self.complete
        self._now = True
        taken = 0
        try:
            while taken <= self._limits.drain_bytes and (data := self._next(_FILL_BYTES)):
                taken += len(data)
        except BodyError:
            # Nothing more is here, or it is wrong: either way the connection ends after the answer.
            self.broken = True
        return self.complete
