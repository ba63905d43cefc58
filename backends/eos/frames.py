"""One HTTP/2 connection that carries one server-streaming gRPC call at a time (RFC 9113, gRPC over HTTP/2).

h2 keeps the connection's state: preface, settings, headers, resets. DATA frames are cut out before it sees them: a
Find sends each entry in a frame of its own, and h2 takes 45 us of processor time for a frame where the lines below take
1. GOAWAY is taken out as well: h2 ends the connection with it, but a server that shuts down ends its calls first.
"""

from __future__ import annotations

import socket
import ssl
import struct
import time
from typing import Final
from urllib.parse import unquote_to_bytes

import grpc
import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
from h2.settings import SettingCodes, Settings

_READ: Final = 1 << 18
"""Bytes that are asked of the socket at a time."""
_TRICKLE: Final = 1 << 14
"""Bytes below which a reading was hardly worth its 50 us of waking up. After `_TRICKLES` of them in one call, entries
are left to gather in the kernel for `_PAUSE` seconds."""
_TRICKLES: Final = 16
_PAUSE: Final = 0.002
_HEAD: Final = 9
_LONGEST_FRAME: Final = 1 << 18
_WINDOW: Final = 4 << 20
"""Bytes that a server may send ahead of what was read."""
_CREDIT: Final = _WINDOW // 4
"""Bytes after which it is told that they were read."""
LONGEST_MESSAGE: Final = 16 << 20
"""Bytes of one message, which is one entry with its attributes."""
_PINGS: Final = 2
"""Signs of life that are asked for between two messages: servers refuse those who ask more often (gRPC's
`max_pings_without_data`)."""

_DATA, _GOAWAY = 0, 7
_END_STREAM, _PADDED = 1, 8
_BY_NUMBER: Final = {status.value[0]: status for status in grpc.StatusCode}
_BY_HTTP: Final = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.UNIMPLEMENTED,
    429: grpc.StatusCode.UNAVAILABLE,
    502: grpc.StatusCode.UNAVAILABLE,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.UNAVAILABLE,
}
"""gRPC's `http-grpc-status-mapping`, for answers that come from no gRPC server."""


class StreamFailed(grpc.RpcError):  # type: ignore[misc]
    """A call that did not end with OK, as grpcio would tell it."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(f"{code.name}: {text}")
        self._code = code
        self._text = text

    def code(self) -> grpc.StatusCode:
        """The status."""
        return self._code

    def details(self) -> str:
        """Its text."""
        return self._text


class Clock:
    """How long a call may take, and a silence in it: `seconds` for all of it, `silence` until a sign of life is asked
    for, `patience` until it has to be there."""

    __slots__ = ("end", "patience", "silence")

    def __init__(self, seconds: float, silence: float, patience: float) -> None:
        self.end = time.monotonic() + seconds
        self.silence = silence
        self.patience = patience

    def left(self) -> float:
        """Seconds until the call's end."""
        return self.end - time.monotonic()


class StreamConnection:
    """A connected socket; `close` it when a call was left before its end.

    Attributes:
        answered: whether anything of the current call's answer has come.
        reusable: whether another call can be made on it.
    """

    __slots__ = (
        "_arrived", "_authority", "_credit", "_ended", "_h2", "_headers", "_messages", "_missing", "_part", "_pings",
        "_scheme", "_sock", "_stream", "_trickles", "answered", "idle_since", "reusable",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, authority: str) -> None:
        self._sock = sock
        self._authority = authority
        self._scheme = "https" if isinstance(sock, ssl.SSLSocket) else "http"
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self._h2.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW,
                SettingCodes.MAX_FRAME_SIZE: _LONGEST_FRAME,
            },
        )
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_WINDOW)
        self._arrived = b""
        self._stream = 0
        self._credit = 0
        self.idle_since = 0.0
        self.reusable = True
        self._reset()

    @classmethod
    def connect(cls, target: str, context: ssl.SSLContext | None, name: str, seconds: float) -> StreamConnection:
        """Connect to `HOST:PORT`, whose certificate bears `name`. Raises `StreamFailed`."""
        host, _, port = target.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        sock = None
        try:
            sock = socket.create_connection((host, int(port)), timeout=seconds)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None:
                sock = context.wrap_socket(sock, server_hostname=name or host)
            connection = cls(sock, target)
            connection._send()
        except OSError as error:
            if sock is not None:
                sock.close()
            raise StreamFailed(grpc.StatusCode.UNAVAILABLE, f"failed to connect to {target}: {error}") from None
        return connection

    def close(self) -> None:
        """Close the socket."""
        self.reusable = False
        try:
            self._sock.close()
        except OSError:
            pass

    def _reset(self) -> None:
        self._messages: list[bytes] = []
        self._part = bytearray()
        self._missing = 0
        self._headers: dict[str, str] = {}
        self._ended: StreamFailed | bool = False
        self._pings = 0
        self._trickles = 0
        self.answered = False

    # -- a call

    def begin(self, path: str, message: bytes, clock: Clock) -> None:
        """Send a request. Raises `StreamFailed`."""
        self._reset()
        try:
            self._stream = self._h2.get_next_available_stream_id()
            headers = [
                (":method", "POST"),
                (":scheme", self._scheme),
                (":path", path),
                (":authority", self._authority),
                ("te", "trailers"),
                ("content-type", "application/grpc+proto"),
                ("grpc-timeout", f"{max(1, min(int(clock.left() * 1000), 99_999_999))}m"),
                ("user-agent", "grpc-shardgate"),
            ]
            self._h2.send_headers(self._stream, headers)
            framed = struct.pack(">BI", 0, len(message)) + message
            step = self._h2.max_outbound_frame_size
            for start in range(0, len(framed), step):
                part = framed[start : start + step]
                self._h2.send_data(self._stream, part, end_stream=start + step >= len(framed))
            self._sock.settimeout(max(clock.left(), 0.001))
            self._send()
        except (OSError, h2.exceptions.H2Error) as error:
            raise self._broken(f"{error or 'time-out while sending'}") from None

    def next(self, clock: Clock) -> list[bytes] | None:
        """Messages that came, or None at the stream's proper end. Raises `StreamFailed`."""
        while True:
            if self._messages:
                messages, self._messages = self._messages, []
                self._pings = 0
                return messages
            if self._ended is True:
                return None
            if self._ended:
                raise self._ended
            self._receive(clock)

    def leave(self) -> None:
        """Tell the server that nobody wants the rest of the call's answer; what is on its way is passed over."""
        if self._ended or not self.reusable:
            return
        self._ended = True
        try:
            self._h2.reset_stream(self._stream, h2.errors.ErrorCodes.CANCEL)
            self._send()
        except (OSError, h2.exceptions.H2Error):
            self.close()

    def is_quiet(self) -> bool:
        """Whether an idle connection can still be used; what has come meanwhile is dealt with."""
        try:
            self._sock.settimeout(0.0)
            self._take(self._sock.recv(_READ))
            self._send()
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except (OSError, StreamFailed):
            return False
        return self.reusable

    def _receive(self, clock: Clock) -> None:
        asked = False
        while True:
            left = clock.left()
            if left <= 0:
                self.close()
                raise StreamFailed(grpc.StatusCode.DEADLINE_EXCEEDED, f"{self._authority}: deadline exceeded")
            wait = clock.patience if asked else clock.silence
            try:
                self._sock.settimeout(min(left, wait) if asked or self._pings < _PINGS else left)
                if self._trickles > _TRICKLES:
                    time.sleep(_PAUSE)
                data = self._sock.recv(_READ)
                self._trickles += 1 if len(data) < _TRICKLE else -1
                self._take(data)
                self._send()
                return
            except TimeoutError:
                if clock.left() <= 0:
                    continue
                if asked:
                    raise self._broken("no sign of life") from None
            except OSError as error:
                raise self._broken(str(error)) from None
            asked = True
            self._pings += 1
            self._h2.ping(b"shardgat")
            try:
                self._send()
            except OSError as error:
                raise self._broken(str(error)) from None

    def _send(self) -> None:
        data = self._h2.data_to_send()
        if self._credit >= _CREDIT:
            # Of what the connection may send, and the stream. h2 has not seen the data that used it up.
            for stream in (0, self._stream):
                data += struct.pack(">HBBBII", 0, 4, 8, 0, stream, self._credit)
            self._credit = 0
        if data:
            self._sock.sendall(data)

    def _broken(self, reason: str) -> StreamFailed:
        self.close()
        return StreamFailed(grpc.StatusCode.UNAVAILABLE, f"{self._authority}: {reason}")

    # -- frames

    def _take(self, data: bytes) -> None:
        """Deal with what was received."""
        if not data:
            raise self._broken("Socket closed")
        if self._arrived:
            data = self._arrived + data
        position, size = 0, len(data)
        while size - position >= _HEAD:
            length = int.from_bytes(data[position : position + 3], "big")
            if length > _LONGEST_FRAME:
                raise self._broken(f"a frame of {length} bytes")
            end = position + _HEAD + length
            if end > size:
                break
            kind = data[position + 3]
            if kind == _DATA:
                self._take_data(data, position, end)
            elif kind == _GOAWAY:
                self._take_goaway(data[position + _HEAD : end])
            else:
                self._take_other(data[position:end])
            position = end
        self._arrived = data[position:]

    def _take_data(self, data: bytes, position: int, end: int) -> None:
        self._credit += end - position - _HEAD
        stream = int.from_bytes(data[position + 5 : position + _HEAD], "big")
        if stream != self._stream or self._ended:
            # Of a call that was left.
            return
        flags = data[position + 4]
        start = position + _HEAD
        if flags & _PADDED:
            padding = data[start] if start < end else 0
            start, last = start + 1, end - padding
            if start > last:
                raise self._broken("a frame that is all padding")
            end = last
        self._take_messages(data, start, end)
        if flags & _END_STREAM:
            self.close()
            self._end(StreamFailed(grpc.StatusCode.UNAVAILABLE, f"{self._authority}: the stream ended without status"))

    def _take_messages(self, data: bytes, start: int, end: int) -> None:
        """Cut messages out of a frame: five bytes of head before each; they need not begin or end with frames."""
        if self._part:
            self._part += data[start:end]
            if len(self._part) < self._missing:
                return
            data, start, end = bytes(self._part), 0, len(self._part)
            self._part.clear()
        while end - start >= 5:
            size = int.from_bytes(data[start + 1 : start + 5], "big")
            if data[start]:
                raise self._refused(grpc.StatusCode.INTERNAL, "a compressed message that nobody asked for")
            if size > LONGEST_MESSAGE:
                raise self._refused(grpc.StatusCode.RESOURCE_EXHAUSTED, f"a message of {size} bytes")
            after = start + 5 + size
            if after > end:
                break
            self._messages.append(data[start + 5 : after])
            start = after
        if start < end:
            self._part += data[start:end]
            size = int.from_bytes(self._part[1:5], "big") if end - start >= 5 else 0
            self._missing = 5 + size

    def _refused(self, code: grpc.StatusCode, text: str) -> StreamFailed:
        self.close()
        return StreamFailed(code, f"{self._authority}: {text}")

    def _take_goaway(self, payload: bytes) -> None:
        self.reusable = False
        if int.from_bytes(payload[:4], "big") & 0x7FFFFFFF < self._stream and not self._ended:
            text = payload[8:200].decode("latin-1")
            self._end(self._broken(f"the server goes away {text}".rstrip()))

    def _take_other(self, frame: bytes) -> None:
        try:
            events = self._h2.receive_data(frame)
        except (h2.exceptions.H2Error, UnicodeDecodeError) as error:
            raise self._broken(f"no proper HTTP/2: {error}") from None
        for event in events:
            if getattr(event, "stream_id", None) != self._stream:
                continue
            if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                self.answered = True
                self._headers.update((str(name), str(value)) for name, value in event.headers)
            elif isinstance(event, h2.events.StreamEnded):
                self._end(self._outcome())
            elif isinstance(event, h2.events.StreamReset):
                self._end(self._broken(f"the stream was reset ({event.error_code!s})"))

    def _end(self, outcome: StreamFailed | bool) -> None:
        self._ended = self._ended or outcome

    def _outcome(self) -> StreamFailed | bool:
        """What the headers and trailers say: True for a stream that ended well."""
        status = self._headers.get("grpc-status", "")
        text = unquote_to_bytes(self._headers.get("grpc-message", "")).decode("utf-8", "replace")
        if not status.isdigit():
            http = self._headers.get(":status", "")
            code = _BY_HTTP.get(int(http) if http.isdigit() else 0, grpc.StatusCode.UNKNOWN)
            self.reusable = False
            return StreamFailed(code, f"{self._authority}: HTTP status {http} without gRPC's")
        if status != "0":
            return StreamFailed(_BY_NUMBER.get(int(status), grpc.StatusCode.UNKNOWN), text)
        if self._part:
            return self._broken("the stream ended within a message")
        return True
