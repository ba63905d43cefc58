"""The client's HTTP/1.1: bytes as they are, and answers that are wrong."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from backends.eos.connection import Address, Broken, Connection, NotConnected
from backends.eos.pool import Pool


@contextmanager
def answering(*answers: bytes, hold: bool = False) -> Iterator[tuple[Connection, list[bytes]]]:
    """A connection to a server that reads heads and answers each with the next of these bytes, then closes."""
    heads: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Address(False, "127.0.0.1", listener.getsockname()[1])

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                for answer in answers:
                    head = b""
                    while b"\r\n\r\n" not in head and (data := peer.recv(65536)):
                        head += data
                    heads.append(head)
                    peer.sendall(answer)
                if hold:
                    peer.recv(65536)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        connection = Connection.connect(address, None, 5, 5)
        try:
            yield connection, heads
        finally:
            connection.close()
            thread.join(10)


def test_a_target_is_sent_as_it_is() -> None:
    target = "/a%2fb%2F+'~\"{}?encURI=cap.msg%3DA%2B%2b/=&x"
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (connection, heads):
        connection.begin("GET", target, [("Range", "bytes=0-1")])
        assert connection.answer().status == 200
    assert heads[0].startswith(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:".encode())
    assert heads[0].endswith(b"\r\nRange: bytes=0-1\r\n\r\n")


@pytest.mark.parametrize(("target", "value"), [("/a\r\nX: y", "v"), ("/a", "v\r\nX: y"), ("/ä", "v"), ("/a", "v\nX")])
def test_no_line_may_hold_another(target: str, value: str) -> None:
    with answering() as (connection, _), pytest.raises(Broken):
        connection.begin("GET", target, [("X-A", value)])


def test_interim_answers_are_passed_over_and_header_names_are_lower_case() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 X\r\nA: b\r\n\r\n"
    answer = interim + b'HTTP/1.1 200\r\nETag:  "x" \r\nContent-Length: 3\r\n\r\nabc'
    with answering(answer) as (connection, _):
        connection.begin("GET", "/", [])
        got = connection.answer()
        assert (got.status, got.headers["etag"]) == (200, '"x"')
        body = connection.body(got)
        assert (body.read(2), body.read(2), body.read(2)) == (b"ab", b"c", b"")
        assert body.finished


def test_a_header_line_without_a_colon_does_not_hide_the_status() -> None:
    with answering(b"HTTP/1.1 500 X\r\nduring chunk upload\r\nContent-Length: 0\r\n\r\n") as (connection, _):
        connection.begin("GET", "/", [])
        assert connection.answer().status == 500
        assert not connection.reusable


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"HTTP/1.1 200 OK\r\n", b"nonsense\r\n\r\n", b"HTTP/2 200 OK\r\n\r\n", b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n", b"HTTP/1.1 \xb2\xb2\xb2 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
    ],
)  # fmt: skip
def test_what_is_no_answer_breaks_the_connection(answer: bytes) -> None:
    with answering(answer) as (connection, _):
        connection.begin("GET", "/", [])
        with pytest.raises(Broken):
            connection.answer()
        assert not connection.reusable


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BODIES = {
    "short": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
    "no number": b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nabcde",
    "negative": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabcde",
    "no last chunk": CHUNKED + b"3\r\nabc\r\n",
    "cut in a chunk": CHUNKED + b"3\r\nab",
    "a longer chunk": CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
    "no chunk size": CHUNKED + b"xyz\r\nabc\r\n0\r\n\r\n",
    "a negative chunk size": CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n",
    "a line without end": CHUNKED + b"3" * 2000,
}


@pytest.mark.parametrize("case", BODIES)
def test_a_body_that_is_not_whole_is_an_error(case: str) -> None:
    with answering(BODIES[case]) as (connection, _):
        connection.begin("GET", "/", [])
        answer = connection.answer()
        with pytest.raises(Broken):
            read_all(connection, answer)
        assert not connection.reusable


def read_all(connection: Connection, answer: object) -> bytes:
    body = connection.body(answer)  # type: ignore[arg-type]
    data = b""
    while block := body.read():
        data += block
    return data


def test_chunks_are_read_to_the_end_of_the_trailer() -> None:
    answer = CHUNKED + b"3;x=y\r\nabc\r\nA\r\n0123456789\r\n000\r\nX: y\r\n\r\n"
    second = b"HTTP/1.1 204 X\r\n\r\n"
    with answering(answer, second) as (connection, _):
        connection.begin("GET", "/", [])
        assert read_all(connection, connection.answer()) == b"abc0123456789"
        connection.begin("GET", "/", [])
        got = connection.answer()
        assert read_all(connection, got) == b""
        assert connection.reusable


@pytest.mark.parametrize("extra", [b"", b"HTTP/1.1 408 X\r\n\r\n"])
def test_a_connection_on_which_something_came_is_not_used_again(extra: bytes) -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + extra) as (connection, _):
        connection.begin("GET", "/", [])
        read_all(connection, connection.answer())
        pool = Pool(None, connect=0.5, seconds=5, limit=4)
        pool.give(connection)
        # The server has gone: there is nothing to connect to.
        deadline = threading.Event()
        deadline.wait(0.2)
        assert not connection.is_quiet()


def test_an_idle_connection_is_used_again() -> None:
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with answering(ok, ok, hold=True) as (connection, heads):
        pool = Pool(None, connect=5, seconds=5, limit=4)
        for _ in range(2):
            connection.begin("GET", "/", [])
            read_all(connection, connection.answer())
            pool.give(connection)
            assert pool.take(connection.address) is connection
        assert len(heads) == 2


def test_a_server_that_is_not_there_is_told_as_such() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NotConnected):
        Connection.connect(Address(False, "127.0.0.1", port), None, 1, 1)
