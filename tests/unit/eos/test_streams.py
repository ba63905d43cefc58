"""Streams of gRPC as servers send them, well and badly: `backends.eos.streams` against a scripted HTTP/2 server."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import grpc
import h2.config
import h2.connection
import h2.events
import pytest

from backends.api import BackendConfig
from backends.eos.frames import LONGEST_MESSAGE, StreamFailed
from backends.eos.options import options_of
from backends.eos.streams import Streams

PATIENCE = 30.0
HEADERS = [(":status", "200"), ("content-type", "application/grpc")]
OK = [("grpc-status", "0")]


class Peer:
    """The server's end of one connection, when a request has come."""

    def __init__(self, sock: socket.socket, state: h2.connection.H2Connection) -> None:
        self.sock = sock
        self.state = state
        self.stream = 0
        self.resets: list[int] = []
        self.pings = 0

    def serve(self, script: Callable[[Peer], None]) -> None:
        """Run the script for each request, until the client closes."""
        while data := self.sock.recv(1 << 16):
            for event in self.state.receive_data(data):
                if isinstance(event, h2.events.StreamEnded):
                    self.stream = event.stream_id
                    script(self)
                elif isinstance(event, h2.events.StreamReset):
                    self.resets.append(event.stream_id)
                elif isinstance(event, h2.events.PingReceived):
                    self.pings += 1
            self.flush()

    def flush(self) -> None:
        self.sock.sendall(self.state.data_to_send())

    def headers(self, headers: list[tuple[str, str]], *, end: bool = False) -> None:
        self.state.send_headers(self.stream, headers, end_stream=end)
        self.flush()

    def raw(self, kind: int, payload: bytes, flags: int = 0, stream: int | None = None) -> None:
        """One frame, past the state."""
        head = struct.pack(">I", len(payload))[1:] + bytes([kind, flags])
        self.sock.sendall(head + struct.pack(">I", self.stream if stream is None else stream) + payload)

    def data(self, payload: bytes, flags: int = 0) -> None:
        self.raw(0, payload, flags)


def framed(message: bytes, compressed: int = 0) -> bytes:
    return struct.pack(">BI", compressed, len(message)) + message


@contextmanager
def server(script: Callable[[Peer], None], **options: Any) -> Iterator[tuple[Streams, list[Peer]]]:
    """A server that runs a script for each call, and what calls it. The list fills with its connections."""
    listener = socket.create_server(("127.0.0.1", 0))
    peers: list[Peer] = []

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
            state.initiate_connection()
            peer = Peer(sock, state)
            peers.append(peer)
            threading.Thread(target=quietly, args=(peer,), daemon=True).start()

    def quietly(peer: Peer) -> None:
        with peer.sock:
            try:
                peer.flush()
                peer.serve(script)
            except OSError:
                pass

    threading.Thread(target=accept, daemon=True).start()
    target = f"127.0.0.1:{listener.getsockname()[1]}"
    given = {
        "grpc": [target],
        "mgm": ["http://127.0.0.1:1"],
        "authkey": "key",
        "state": "/eos/x/s3",
        "root": "/eos/x/buckets",
        "service": {"uid": 1, "gid": 1},
        "tls": {"enabled": False},
        **options,
    }
    streams = Streams(target, None, options_of(BackendConfig(options=given)))
    try:
        yield streams, peers
    finally:
        streams.close()
        # Closing alone leaves it listening for as long as a thread waits in accept.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for peer in peers:
            peer.sock.close()


def read(streams: Streams, seconds: float = PATIENCE) -> list[bytes]:
    with closing(streams.call("/eos.rpc.Eos/Find", b"request", seconds)) as found:
        return [message for messages in found for message in messages]


def failure(streams: Streams, seconds: float = PATIENCE) -> StreamFailed:
    with pytest.raises(StreamFailed) as caught:
        read(streams, seconds)
    return caught.value


def proper(peer: Peer, messages: tuple[bytes, ...] = (b"one", b"", b"three")) -> None:
    peer.headers(HEADERS)
    for message in messages:
        peer.data(framed(message))
    peer.headers(OK, end=True)


def test_messages_come_in_order_and_the_connection_serves_again() -> None:
    with server(proper) as (streams, peers):
        for _ in range(5):
            assert read(streams) == [b"one", b"", b"three"]
        assert len(peers) == 1


@pytest.mark.parametrize("size", [1, 3, 5, 6, 7, 1000])
def test_messages_need_not_fit_frames(size: int) -> None:
    messages = [bytes([number]) * length for number, length in enumerate((0, 1, 4, 700, 16_000, 0, 2))]
    sent = b"".join(map(framed, messages))

    def script(peer: Peer) -> None:
        peer.headers(HEADERS)
        for start in range(0, len(sent), size):
            peer.data(sent[start : start + size])
        peer.data(b"")
        peer.headers(OK, end=True)

    with server(script) as (streams, _):
        assert read(streams) == messages


def test_padding_is_left_out_and_other_streams_are_not_this_one() -> None:
    def script(peer: Peer) -> None:
        peer.headers(HEADERS)
        payload = framed(b"padded")
        peer.data(bytes([3]) + payload + b"xyz", flags=8)
        peer.raw(0, framed(b"stranger"), stream=peer.stream + 2)
        peer.raw(0xFA, b"unknown kind of frame")
        peer.headers(OK, end=True)

    with server(script) as (streams, _):
        assert read(streams) == [b"padded"]


def test_a_server_may_send_more_than_the_window_and_a_large_message() -> None:
    """It stops by flow control unless it is told that its data were read."""
    large = bytes(range(256)) * (48 << 10)

    def script(peer: Peer) -> None:
        peer.headers(HEADERS)
        # h2 counts the window here, and refuses to exceed it.
        rest = memoryview(framed(large) + framed(b"last"))
        while rest:
            window = min(peer.state.local_flow_control_window(peer.stream), 1 << 18, len(rest))
            if not window:
                peer.state.receive_data(peer.sock.recv(1 << 16))
                continue
            part, rest = rest[:window], rest[window:]
            for start in range(0, window, peer.state.max_outbound_frame_size):
                peer.state.send_data(peer.stream, bytes(part[start : start + peer.state.max_outbound_frame_size]))
            peer.flush()
        peer.headers(OK, end=True)

    with server(script) as (streams, _):
        for _ in range(2):
            assert read(streams) == [large, b"last"]


@pytest.mark.parametrize(
    ("trailers", "code", "text"),
    [
        ([("grpc-status", "7"), ("grpc-message", "denied%3A %C3%A4")], grpc.StatusCode.PERMISSION_DENIED, "denied: ä"),
        ([("grpc-status", "2"), ("grpc-message", "No such file")], grpc.StatusCode.UNKNOWN, "No such file"),
        ([("grpc-status", "20"), ("grpc-message", "Not a directory")], grpc.StatusCode.UNKNOWN, "Not a directory"),
        ([("grpc-status", "14")], grpc.StatusCode.UNAVAILABLE, ""),
        ([("other", "1")], grpc.StatusCode.UNKNOWN, "without gRPC's"),
    ],
)
@pytest.mark.parametrize("only", [False, True])
def test_statuses_are_told_as_grpc_does(
    trailers: list[tuple[str, str]], code: grpc.StatusCode, text: str, only: bool
) -> None:
    def script(peer: Peer) -> None:
        if not only:
            peer.headers(HEADERS)
            peer.data(framed(b"message"))
        peer.headers([*HEADERS, *trailers] if only else trailers, end=True)

    with server(script) as (streams, peers):
        for _ in range(2):
            error = failure(streams)
            assert error.code() is code
            assert text in error.details()
        assert len(peers) == (1 if trailers[0][0] == "grpc-status" else 2)


def test_an_answer_of_no_grpc_server_has_the_status_that_fits() -> None:
    for http, code in (("503", grpc.StatusCode.UNAVAILABLE), ("403", grpc.StatusCode.PERMISSION_DENIED)):

        def script(peer: Peer, http: str = http) -> None:
            peer.headers([(":status", http), ("content-type", "text/html")], end=True)

        with server(script) as (streams, _):
            assert failure(streams).code() is code


def _end_without_trailers(peer: Peer) -> None:
    peer.data(framed(b"two"), flags=1)


def _end_within_a_message(peer: Peer) -> None:
    peer.data(framed(b"two")[:-1])
    peer.headers(OK, end=True)


def _reset(peer: Peer) -> None:
    peer.state.reset_stream(peer.stream, 2)
    peer.flush()


def _close(peer: Peer) -> None:
    peer.sock.shutdown(socket.SHUT_RDWR)


def _close_within_a_frame(peer: Peer) -> None:
    peer.sock.sendall(b"\0\0\x20\0\0\0\0\0\1half")
    _close(peer)


def _go_away(peer: Peer) -> None:
    peer.raw(7, struct.pack(">II", 0, 0) + b"maintenance", stream=0)


def _frame_too_long(peer: Peer) -> None:
    peer.sock.sendall(b"\xff\xff\xff\0\0" + struct.pack(">I", peer.stream))


def _nonsense(peer: Peer) -> None:
    peer.raw(4, b"no settings", stream=0)


def _all_padding(peer: Peer) -> None:
    peer.data(b"\xff\0\0", flags=8)


@pytest.mark.parametrize(
    "end",
    [
        _end_without_trailers, _end_within_a_message, _reset, _close, _close_within_a_frame, _go_away, _frame_too_long,
        _nonsense, _all_padding,
    ],
)  # fmt: skip
def test_a_stream_that_breaks_off_is_never_a_short_list(end: Callable[[Peer], None]) -> None:
    calls = []

    def script(peer: Peer) -> None:
        calls.append(peer)
        peer.headers(HEADERS)
        peer.data(framed(b"one"))
        if len(calls) == 1:
            end(peer)
        else:
            peer.headers(OK, end=True)

    with server(script) as (streams, _):
        assert failure(streams).code() is grpc.StatusCode.UNAVAILABLE
        # What follows has another connection where the first one is of no use any more.
        assert read(streams) == [b"one"]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (framed(b"x", compressed=1), grpc.StatusCode.INTERNAL),
        (struct.pack(">BI", 0, LONGEST_MESSAGE + 1), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
def test_messages_that_nobody_asked_for_are_refused(message: bytes, code: grpc.StatusCode) -> None:
    def script(peer: Peer) -> None:
        peer.headers(HEADERS)
        peer.data(message)

    with server(script) as (streams, _):
        assert failure(streams).code() is code


def test_a_server_that_goes_away_ends_its_calls_first() -> None:
    def script(peer: Peer) -> None:
        peer.raw(7, struct.pack(">II", 2**31 - 1, 0), stream=0)
        proper(peer)

    with server(script) as (streams, peers):
        for _ in range(2):
            assert read(streams) == [b"one", b"", b"three"]
        assert len(peers) == 2


def test_a_connection_that_was_closed_while_it_was_idle_is_replaced() -> None:
    def refused(peer: Peer) -> None:
        if peer.stream == 1:
            proper(peer)
        else:
            _close(peer)

    with server(refused) as (streams, peers):
        # The second call of a connection gets no answer at all: a third one is made anew.
        assert read(streams) == read(streams)
        assert len(peers) == 2
    with server(proper) as (streams, peers):
        assert read(streams)
        _close(peers[0])
        assert read(streams)
        assert len(peers) == 2


def test_who_has_enough_resets_the_call_and_keeps_the_connection() -> None:
    def script(peer: Peer) -> None:
        peer.headers(HEADERS)
        peer.data(framed(b"one"))
        if peer.stream != 1:
            peer.headers(OK, end=True)

    with server(script) as (streams, peers):
        stream = streams.call("/eos.rpc.Eos/Find", b"request", PATIENCE)
        assert next(stream) == [b"one"]
        stream.close()
        # What the server still sends of the first call is none of the second's.
        peers[0].raw(0, framed(b"late"), stream=1)
        assert read(streams) == [b"one"]
        assert [peer.resets for peer in peers] == [[1]]


def test_deadlines_hold_for_silence_and_for_trickles() -> None:
    def silent(peer: Peer) -> None:
        peer.headers(HEADERS)

    def trickling(peer: Peer) -> None:
        peer.headers(HEADERS)
        for _ in range(1000):
            peer.data(framed(b"x"))
            time.sleep(0.02)

    for script in (silent, trickling):
        with server(script) as (streams, _):
            assert failure(streams, 0.3).code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_silent_server_is_asked_for_a_sign_of_life() -> None:
    def slow(peer: Peer) -> None:
        peer.headers(HEADERS)

        def later() -> None:
            end = time.monotonic() + PATIENCE
            while peer.pings < 2 and time.monotonic() < end:
                time.sleep(0.01)
            peer.headers(OK, end=True)

        threading.Thread(target=later, daemon=True).start()

    with server(slow, keepalive=0.05, call_timeout=20) as (streams, peers):
        assert read(streams) == []
        assert peers[0].pings == 2
    dead = threading.Event()
    with server(lambda peer: bool(dead.wait(PATIENCE)) or None, keepalive=0.05, call_timeout=0.2) as (streams, _):
        error = failure(streams)
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert "sign of life" in error.details()
        dead.set()


def test_a_server_that_is_away_is_told_as_grpc_does() -> None:
    with server(proper) as (streams, _):
        pass
    error = failure(streams)
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "failed to connect" in error.details()
