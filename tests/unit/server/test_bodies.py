"""Request bodies: 100 Continue, refusals, short and broken bodies, time-outs, memory and neighbours."""

import hashlib
import select
import threading
import time

import pytest
from conftest import Start
from serving import Client, Server, eventually

HEAD = "POST {} HTTP/1.1\r\nHost: test\r\n{}\r\n\r\n"


def head(path: str, *headers: str) -> bytes:
    return HEAD.format(path, "\r\n".join(headers)).encode()


def silent(client: Client, seconds: float = 0.3) -> bool:
    """Whether the server sends nothing for a while."""
    return not select.select([client.sock], [], [], seconds)[0]


def test_continue_is_sent_when_the_application_reads(server: Server) -> None:
    with server.connect() as client:
        client.send(head("/echo", "Content-Length: 5", "Expect: 100-continue"))
        assert client.line_block() == ["HTTP/1.1 100 Continue"]
        client.send(b"hello")
        answer = client.answer()
        assert answer.json()["sha256"] == hashlib.sha256(b"hello").hexdigest()
        assert client.get("/hello").status == 200


def test_continue_is_sent_for_a_chunked_body(server: Server) -> None:
    with server.connect() as client:
        client.send(head("/echo", "Transfer-Encoding: chunked", "Expect: 100-continue"))
        assert client.line_block() == ["HTTP/1.1 100 Continue"]
        client.send(b"5\r\nhello\r\n0\r\n\r\n")
        assert client.answer().json()["length"] == 5


def test_continue_is_left_out_when_the_body_is_here_already(server: Server) -> None:
    with server.connect() as client:
        client.send(head("/echo", "Content-Length: 5", "Expect: 100-continue") + b"hello")
        assert client.answer().interim == []


@pytest.mark.parametrize("framing", ["Content-Length: 5", "Content-Length: 5000000", "Transfer-Encoding: chunked"])
def test_refusal_comes_instead_of_continue_and_ends_the_connection(server: Server, framing: str) -> None:
    with server.connect() as client:
        client.send(head("/refuse", framing, "Expect: 100-continue"))
        answer = client.answer()
        assert (answer.status, answer.interim) == (403, [])
        assert answer.headers["connection"] == "close"
        assert client.closed()


def test_expectation_of_an_empty_body_is_met_as_if_it_had_one(server: Server) -> None:
    with server.connect() as client:
        for _ in range(2):
            client.send(head("/echo", "Content-Length: 0", "Expect: 100-continue"))
            assert client.line_block() == ["HTTP/1.1 100 Continue"]
            assert client.answer().json()["length"] == 0


def test_expectation_without_a_body_is_nothing_to_continue(server: Server) -> None:
    with server.connect() as client:
        answer = client.get("/echo", "Expect: 100-continue")
        assert (answer.status, answer.interim) == (200, [])


def test_refused_small_body_is_read_away_and_the_connection_kept(server: Server) -> None:
    with server.connect() as client:
        client.send(head("/refuse", "Content-Length: 60000"))
        answer = client.answer()
        assert answer.status == 403
        assert "connection" not in answer.headers
        client.send(b"x" * 60000)
        assert client.get("/hello").body == b"hello\n"


def test_refused_chunked_body_that_is_here_keeps_the_connection(server: Server) -> None:
    with server.connect() as client:
        client.send(head("/refuse", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n")
        assert client.answer().status == 403
        assert client.get("/hello").body == b"hello\n"


def test_partly_read_chunked_body_keeps_the_connection(server: Server) -> None:
    with server.connect() as client:
        client.send(head("/part/5", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n")
        assert client.answer().body == b"enough\n"
        assert client.get("/hello").body == b"hello\n"


def test_refusal_of_a_large_upload_reaches_a_client_that_sends_without_looking(server: Server) -> None:
    with server.connect() as client:
        client.send(head("/refuse", "Content-Length: 10000000000"))
        for _ in range(16):
            client.send(b"x" * (1 << 20))
        answer = client.answer()
        assert answer.status == 403
        assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("framing", ["Content-Length: 100", "Transfer-Encoding: chunked"])
def test_short_body_is_an_error(server: Server, framing: str) -> None:
    for path, expected in (("/caught", b"ShortBody"), ("/echo", b"IncompleteBody")):
        with server.connect() as client:
            client.send(head(path, framing) + (b"5\r\nhel" if "chunked" in framing else b"hello"))
            client.sock.shutdown(1)
            answer = client.answer()
            assert answer.status == 400
            assert expected in answer.body
            assert answer.headers["connection"] == "close"


def test_short_large_block_is_an_error(server: Server) -> None:
    with server.connect() as client:
        client.send(head("/caught", "Content-Length: 1000000") + b"x" * 300000)
        client.sock.shutdown(1)
        assert client.answer().body == b"ShortBody"


def test_bad_chunk_is_an_error_the_application_sees(server: Server) -> None:
    with server.connect() as client:
        client.send(head("/caught", "Transfer-Encoding: chunked") + b"5\r\nhello!\r\n")
        answer = client.answer()
        assert answer.body == b"BadChunk"
        assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("framing", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
def test_silent_body_times_out(start: Start, framing: str) -> None:
    server = start(SHARDGATE_BODY_TIMEOUT="0.3")
    for path, expected in (("/caught", b"BodyTimeout"), ("/echo", b"RequestTimeout")):
        with server.connect() as client:
            client.send(head(path, framing) + b"5\r\nhello\r\n")
            answer = client.answer()
            assert answer.status == 400
            assert expected in answer.body


def test_slow_body_that_makes_progress_does_not_time_out(start: Start) -> None:
    server = start(SHARDGATE_BODY_TIMEOUT="0.6")
    with server.connect() as client:
        client.send(head("/echo", "Content-Length: 8"))
        for _ in range(8):
            time.sleep(0.15)
            client.send(b"x")
        assert client.answer().json()["length"] == 8


def test_line_methods_of_the_input(server: Server) -> None:
    body = b"first line\nabcdef\n\nlast"
    for framing, data in (
        (f"Content-Length: {len(body)}", body),
        ("Transfer-Encoding: chunked", b"7\r\nfirst l\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body) - 7, body[7:])),
    ):
        with server.connect() as client:
            client.send(head("/lines", framing) + data)
            assert client.answer().json() == ["first line\n", "abc", "d", ["ef\n", "\n", "last"]]


def chunks(data: bytes, size: int) -> bytes:
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


@pytest.mark.parametrize("size", [1, 7, 4096, 65535, 65536, 1000000, 3000000])
def test_chunk_sizes(server: Server, size: int) -> None:
    data = bytes(range(256)) * (8 if size < 10 else 9000)
    with server.connect() as client:
        client.send(head("/echo", "Transfer-Encoding: chunked") + chunks(data, size))
        assert client.answer().json()["sha256"] == hashlib.sha256(data).hexdigest()
        assert client.get("/hello").status == 200


@pytest.mark.parametrize("size", [1, 65535, 65536, 1 << 20, (1 << 20) + 1, 5_000_000])
def test_body_lengths(server: Server, size: int) -> None:
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    with server.connect() as client:
        client.send(head("/echo", f"Content-Length: {size}") + data + head("/echo", "Content-Length: 2") + b"hi")
        answer = client.answer().json()
        assert answer == {
            "length": size,
            "sha256": hashlib.sha256(data).hexdigest(),
            "received": size,
            "complete": True,
        }
        assert client.answer().json()["length"] == 2


def upload(client: Client, mebibytes: int) -> None:
    client.send(head("/echo", f"Content-Length: {mebibytes << 20}"))
    block = b"x" * (1 << 20)
    for _ in range(mebibytes):
        client.send(block)


def test_memory_does_not_grow_with_the_body(start: Start) -> None:
    server = start()
    with server.connect() as client:
        upload(client, 8)
        client.answer()
        before = client.get("/memory").json()["peak_kib"]
        upload(client, 256)
        assert client.answer().json()["length"] == 256 << 20
        assert client.get("/memory").json()["peak_kib"] - before < 32 << 10


def test_neighbours_are_served_during_a_fast_upload(server: Server) -> None:
    with server.connect() as client, server.connect() as neighbour:
        sender = threading.Thread(target=upload, args=(client, 300))
        sender.start()
        served = 0
        while sender.is_alive():
            assert neighbour.get("/hello").status == 200
            served += 1
        sender.join()
        assert client.answer().json()["length"] == 300 << 20
        assert served >= 10  # a starved neighbour gets one or two


def test_client_that_leaves_during_its_upload_is_forgotten(server: Server) -> None:
    before = server.get("/log").json()["fds"]
    for _ in range(5):
        with server.connect() as client:
            client.send(head("/echo", "Content-Length: 1000000") + b"x" * 1000)
    assert eventually(lambda: server.get("/log").json()["fds"] <= before)
    assert silent(server.connect(), 0.05)
