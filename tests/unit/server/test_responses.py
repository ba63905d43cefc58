"""Responses: framing, errors of the application, files, clients that leave."""

import json
import os
import socket
import struct
from pathlib import Path
from urllib.parse import quote

import pytest
from conftest import Start
from serving import Answer, Client, Server, eventually


def request(server: Server, method: str, path: str, version: str = "1.1", *headers: str) -> tuple[Answer, bool]:
    """One request on a connection of its own; the answer, and whether the connection ended after it."""
    with server.connect() as client:
        client.send("\r\n".join([f"{method} {path} HTTP/{version}", "Host: test", *headers, "", ""]).encode())
        return client.answer(method), client.closed(0.2)


def test_one_block_gets_its_length(server: Server) -> None:
    answer, closed = request(server, "GET", "/hello")
    assert (answer.body, answer.headers["content-length"], closed) == (b"hello\n", "6", False)
    assert answer.headers["server"] == "shardgate"
    assert answer.headers["date"].endswith(" GMT")


def test_stream_of_unknown_length_is_chunked(server: Server) -> None:
    answer, closed = request(server, "GET", "/stream/300000")
    assert answer.headers["transfer-encoding"] == "chunked"
    assert (answer.body, answer.whole, closed) == (b"x" * 300000, True, False)


def test_empty_stream_has_length_zero(server: Server) -> None:
    answer, closed = request(server, "GET", "/stream/0")
    assert (answer.headers["content-length"], closed) == ("0", False)


def test_stream_to_http10_ends_with_the_connection(server: Server) -> None:
    answer, closed = request(server, "GET", "/stream/300000", "1.0", "Connection: keep-alive")
    assert "transfer-encoding" not in answer.headers
    assert (answer.body, closed) == (b"x" * 300000, True)


@pytest.mark.parametrize(
    ("version", "header", "kept"),
    [("1.1", "A: b", True), ("1.1", "Connection: close", False), ("1.1", "Connection: Foo, Close", False),
     ("1.0", "A: b", False), ("1.0", "Connection: keep-alive", True), ("1.0", "Connection: close", False)],
)  # fmt: skip
def test_persistence(server: Server, version: str, header: str, kept: bool) -> None:
    answer, closed = request(server, "GET", "/hello", version, header)
    assert closed is not kept
    assert answer.headers.get("connection") == ("close" if not kept else "keep-alive" if version == "1.0" else None)


@pytest.mark.parametrize("path", ["/hello", "/stream/100", "/promise/10/10", "/environ", "/raise/before"])
def test_head_has_no_body(server: Server, path: str) -> None:
    with server.connect() as client:
        client.send(f"HEAD {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        answer = client.answer("HEAD")
        if answer.status == 500:
            assert client.closed()
        else:
            assert client.get("/hello").body == b"hello\n"


@pytest.mark.parametrize("status", ["204", "204 No Content", "304 Not Modified"])
def test_bodiless_status_has_no_body(server: Server, status: str) -> None:
    for query in ("", "?length"):
        with server.connect() as client:
            answer = client.get(f"/status/{status.replace(' ', '+')}{query}")
            assert str(answer.status) == status[:3]
            assert ("content-length" in answer.headers) == (status[:3] == "304" and bool(query))
            assert client.get("/hello").body == b"hello\n"


def test_write_callable(server: Server) -> None:
    assert request(server, "GET", "/write")[0].body == b"one two three"


def test_body_longer_than_promised_is_cut(server: Server) -> None:
    for path in ("/promise/5/10", "/promise/5/10?iter"):
        with server.connect() as client:
            assert client.get(path).body == b"yyyyy"
            assert client.get("/hello").body == b"hello\n"
    assert "longer than its Content-Length" in server.log()


@pytest.mark.parametrize(
    "path", ["/promise/10/5", "/promise/10/5?iter", "/raise/later", "/raise/disk", "/restart/after"]
)
def test_broken_response_never_looks_whole(server: Server, path: str) -> None:
    answer, closed = request(server, "GET", path)
    assert (answer.status, answer.whole, closed) == (200, False, True)


def receive_all(client: Client) -> None:
    while client.sock.recv(65536):
        pass


def test_broken_response_to_http10_is_a_reset(server: Server) -> None:
    with server.connect() as client:
        client.send(b"GET /raise/later HTTP/1.0\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            receive_all(client)


@pytest.mark.parametrize(
    "path",
    ["/raise/before", "/raise/first", "/raise/timeout", "/raise/exit", "/restart/twice", "/restart/never",
     "/status/20+Bad", "/status/2000+Bad", "/status/200+a%0d%0ab:c",
     *("/headers/" + kind for kind in ("crlf", "lf", "name", "nul", "wide", "bytes", "length"))],
)  # fmt: skip
def test_application_error_before_the_head_is_an_internal_error(server: Server, path: str) -> None:
    answer, closed = request(server, "GET", path)
    assert (answer.status, answer.code, closed) == (500, "InternalError", True)
    assert "set-cookie" not in answer.headers
    assert b"Traceback" not in answer.body
    assert b"own error" not in answer.body


def test_application_error_is_logged_with_its_traceback(server: Server) -> None:
    request(server, "GET", "/raise/before")
    assert eventually(lambda: "RuntimeError: the test's own error" in server.log())
    assert "Error handling request GET '/raise/before'" in server.log()


def test_exc_info_replaces_a_head_that_was_not_sent(server: Server) -> None:
    answer, _ = request(server, "GET", "/restart/before")
    assert (answer.status, answer.body) == (503, b"replaced")


def test_connection_headers_are_the_servers(server: Server) -> None:
    answer, closed = request(server, "GET", "/headers/hop")
    assert "transfer-encoding" not in answer.headers
    assert "keep-alive" not in answer.headers
    assert (answer.body, closed) == (b"hello", False)
    assert request(server, "GET", "/headers/close")[1]


def test_date_and_server_of_the_application_stay(server: Server) -> None:
    answer, _ = request(server, "GET", "/headers/own")
    assert (answer.headers["date"], answer.headers["server"]) == ("today", "me")


def files(path: Path, *wanted: tuple[str, int, int]) -> str:
    return f"/files{path}?{quote(json.dumps(wanted))}"


@pytest.mark.parametrize("size", [0, 1, 16000, 262144, 262145, 3_000_000, 50 << 20])
def test_file_segments_send_the_file(server: Server, tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    content = (os.urandom(1021) * (size // 1021 + 1))[:size]
    path.write_bytes(content)
    with server.connect() as client:
        answer = client.get(files(path, ("", 0, size)))
        assert answer.headers["content-length"] == str(size)
        assert answer.body == content
        assert client.get("/hello").status == 200


def test_file_segments_with_prefixes(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "file"
    content = os.urandom(900_000)
    path.write_bytes(content)
    for size in (10, 400_000):
        with server.connect() as client:
            answer = client.get(files(path, ("one", 5, size), ("two", 500_000, size), ("end", 0, 0)))
            assert answer.body == b"one" + content[5 : 5 + size] + b"two" + content[500_000 : 500_000 + size] + b"end"
            assert client.get("/hello").status == 200


def test_file_segments_are_closed_and_not_sent_for_head(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1000)
    before = server.get("/log").json()
    answer, closed = request(server, "HEAD", files(path, ("", 0, 1000)))
    assert (answer.status, closed) == (200, False)
    after = server.get("/log").json()
    assert after["closed"] == before["closed"] + 1
    assert after["fds"] <= before["fds"]


@pytest.mark.parametrize("size", [1000, 2_000_000])
def test_file_that_became_shorter_breaks_the_response_off(server: Server, tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)
    answer, closed = request(server, "GET", files(path, ("", 0, size + 10)))
    # The reset may overtake a part of what was sent; what counts is that the client cannot take it for the whole.
    assert (answer.status, answer.whole, closed) == (200, False, True)
    assert len(answer.body) <= size


def test_finish_tells_of_a_whole_download(server: Server) -> None:
    assert request(server, "GET", "/watched/100001")[0].whole
    assert eventually(
        lambda: {"path": "/watched/100001", "sent": 100001, "gone": False} in server.get("/log").json()["finished"]
    )
    assert "Error in a request's on_finish" in server.log()


def aborted(server: Server, path: str, client: Client) -> dict:
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sock.close()
    found: list[dict] = []

    def there() -> bool:
        found[:] = [entry for entry in server.get("/log").json()["finished"] if entry["path"] == path]
        return bool(found)

    assert eventually(there)
    assert len(found) == 1
    return found[0]


def test_aborted_download_is_noticed_and_the_iterable_closed(server: Server) -> None:
    before = server.get("/log").json()["closed"]
    client = server.connect()
    client.send(b"GET /watched/1000000001 HTTP/1.1\r\nHost: test\r\n\r\n")
    client.sock.recv(1000)
    entry = aborted(server, "/watched/1000000001", client)
    assert entry["gone"]
    assert 0 < entry["sent"] < 1_000_000_001
    assert server.get("/log").json()["closed"] == before + 1


def test_slow_reader_is_given_up(start: Start) -> None:
    server = start(SHARDGATE_BODY_TIMEOUT="0.3")
    with server.connect() as client:
        client.send(b"GET /watched/1000000002 HTTP/1.1\r\nHost: test\r\n\r\n")
        assert eventually(lambda: server.get("/log").json()["finished"])
        assert server.get("/log").json()["finished"][0]["gone"]
        assert not client.answer().whole
