"""Connections: keep-alive, pipelining, time-outs, the life of a worker, TLS, unix sockets, the PROXY protocol."""

import os
import socket
import ssl
import struct
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from conftest import Start
from serving import Client, Server, eventually

GET = b"GET %s HTTP/1.1\r\nHost: test\r\n\r\n"
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def test_many_requests_on_one_connection(server: Server) -> None:
    with server.connect() as client:
        for _ in range(200):
            assert client.get("/hello").body == b"hello\n"


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    with server.connect() as client:
        client.send(b"".join(GET % (b"/promise/%d/%d" % (n, n)) for n in range(1, 100)))
        assert [len(client.answer().body) for _ in range(1, 100)] == list(range(1, 100))


def test_pipelining_is_not_read_ahead_without_bound(server: Server) -> None:
    """A client that only sends is stopped by its window while the server works on the first request."""
    with server.connect() as client:
        client.sock.setblocking(False)
        client.sock.send(GET % b"/slow/1.5")
        sent = 0
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            try:
                sent += client.sock.send(GET % b"/hello" * 1000)
            except BlockingIOError:
                time.sleep(0.05)
        assert sent < 32 << 20
        assert server.get("/memory").status == 200


def test_one_pipelining_client_does_not_starve_another(server: Server) -> None:
    with server.connect() as greedy, server.connect() as neighbour:
        greedy.send(GET % b"/hello" * 500)
        assert neighbour.get("/hello").status == 200
        assert sum(greedy.answer().status == 200 for _ in range(500)) == 500


def test_slow_head_times_out_with_an_answer(start: Start) -> None:
    server = start(SHARDGATE_HEAD_TIMEOUT="0.4")
    with server.connect() as client:
        client.send(b"GET /hello HTTP/1.1\r\n")
        answer = client.send_until_answered(b"A: b\r\n")  # progress does not help: the whole head has one time limit
        assert (answer.status, answer.code) == (400, "RequestTimeout")
        assert client.closed()


def test_silent_connection_is_closed_without_an_answer(start: Start) -> None:
    server = start(SHARDGATE_HEAD_TIMEOUT="0.3")
    with server.connect() as client:
        assert client.closed()


def test_idle_connection_is_closed(start: Start) -> None:
    server = start(SHARDGATE_KEEPALIVE="0.3")
    with server.connect() as client:
        assert client.get("/hello").status == 200
        assert client.closed()


def test_keepalive_zero_closes_after_each_answer(start: Start) -> None:
    server = start(SHARDGATE_KEEPALIVE="0")
    with server.connect() as client:
        assert client.get("/hello").headers["connection"] == "close"
        assert client.closed()


def test_limits_may_be_set_on_the_worker_class(start: Start) -> None:
    server = start(
        "from workers.server.limits import Limits\nfrom workers.server.worker import ShardgateWorker\n"
        "class Own(ShardgateWorker):\n    limits = Limits(header_bytes=2000)\nworker_class = Own\n"
    )
    assert server.get("/hello", "A: " + "b" * 1000).status == 200
    assert server.get("/hello", "A: " + "b" * 3000).code == "RequestHeaderSectionTooLarge"


def test_bad_limit_stops_the_worker_with_its_name(start: Start) -> None:
    server = start(SHARDGATE_BODY_TIMEOUT="soon")
    assert server.process.wait(20) == 3
    assert "SHARDGATE_BODY_TIMEOUT: 'soon' is not a number" in server.log()


def test_graceful_stop_finishes_a_transfer_and_ends_idle_connections(start: Start) -> None:
    server = start()
    with server.connect() as idle, server.connect() as busy:
        assert idle.get("/hello").status == 200
        busy.send(GET % b"/drip/30")  # 1.5 s
        assert busy.more()
        server.terminate()
        assert idle.closed(1)
        answer = busy.answer()
        assert (len(answer.body), answer.whole) == (30000, True)
        assert busy.closed()
    assert server.process.wait(20) == 0


def test_answers_while_draining_say_close(start: Start) -> None:
    server = start()
    assert server.get("/hello").status == 200
    with server.connect() as client:
        client.send(GET % b"/slow/1")
        time.sleep(0.3)
        server.terminate()
        answer = client.answer()
        assert (answer.body, answer.headers["connection"]) == (b"slept\n", "close")
        assert client.closed()


def test_graceful_stop_finishes_an_upload(start: Start) -> None:
    server = start()
    assert server.get("/hello").status == 200
    with server.connect() as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 20\r\n\r\n")
        for n in range(20):
            client.send(b"x")
            time.sleep(0.05)
            if n == 5:
                server.terminate()
        assert client.answer().json()["length"] == 20
    assert server.process.wait(20) == 0


def test_connection_opened_before_the_stop_is_answered_after_it(start: Start) -> None:
    server = start()
    assert server.get("/hello").status == 200
    with server.connect() as fresh, server.connect() as silent, server.connect() as busy:
        busy.send(GET % b"/slow/1.5")
        time.sleep(0.2)
        server.terminate()
        time.sleep(0.4)
        assert fresh.get("/hello").headers["connection"] == "close"
        assert silent.closed()
        assert busy.answer().status == 200


def test_transfer_beyond_the_graceful_time_is_reset(start: Start) -> None:
    server = start("graceful_timeout = 1")
    with server.connect() as client:
        client.send(GET % b"/drip/1000")
        assert client.more()
        server.terminate()
        assert not client.answer().whole
    assert server.process.wait(20) == 0


def test_max_requests_replaces_the_worker(start: Start) -> None:
    server = start("max_requests = 5")
    first = server.get("/log").json()["pid"]
    with server.connect() as client:
        for _ in range(3):
            assert "connection" not in client.get("/hello").headers
        assert client.get("/hello").headers["connection"] == "close"
        assert client.closed()
    assert eventually(lambda: server.get("/log").json()["pid"] != first)


def test_worker_hooks_run(start: Start) -> None:
    server = start(
        "def post_worker_init(worker): worker.log.info('hook: begun')\n"
        "def worker_exit(server, worker): worker.log.info('hook: ended')\n"
    )
    assert server.get("/hello").status == 200
    assert server.stop() == 0
    assert "hook: begun" in server.log()
    assert "hook: ended" in server.log()


def test_heartbeat_keeps_the_worker_alive(start: Start) -> None:
    server = start("timeout = 1")
    first = server.get("/log").json()["pid"]
    with server.connect() as client:
        client.send(GET % b"/slow/2.5")
        assert client.answer().body == b"slept\n"
    assert server.get("/log").json()["pid"] == first


def test_connections_leave_no_descriptors(server: Server) -> None:
    before = server.get("/log").json()["fds"]
    for number in range(60):
        with server.connect() as client:
            if number % 3 == 0:
                client.get("/hello")
            elif number % 3 == 1:
                client.send(b"GET /hello HTT")
            else:
                client.send(b"nonsense\r\n\r\n")
                client.answer()
    assert eventually(lambda: server.get("/log").json()["fds"] <= before)


def test_worker_is_gone_after_the_stop(start: Start) -> None:
    server = start()
    with server.connect() as client:
        worker = psutil.Process(client.get("/log").json()["pid"])
    assert server.stop() == 0
    assert eventually(lambda: not worker.is_running())


def test_unix_socket(start: Start) -> None:
    server = start(unix=True)
    with server.connect() as client:
        seen = client.get("/environ").json()
        assert (seen["REMOTE_ADDR"], seen["SERVER_NAME"], seen["SERVER_PORT"]) == ("127.0.0.1", "localhost", "80")
        assert len(client.get("/stream/3000000").body) == 3_000_000


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "server.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-keyout", str(path), "-out", str(tmp_path / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_text(path.read_text() + (tmp_path / "cert.pem").read_text())
    return path


def test_tls(start: Start, certificate: Path, tmp_path: Path) -> None:
    server = start(f"certfile = {str(certificate)!r}\n", SHARDGATE_HEAD_TIMEOUT="1")
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    context.set_alpn_protocols(["h2", "http/1.1"])
    path = tmp_path / "file"
    path.write_bytes(os.urandom(1 << 20))
    with server.connect() as plain:
        secure = context.wrap_socket(plain.sock, server_hostname="localhost")
        assert secure.selected_alpn_protocol() == "http/1.1"
        client = Client(secure)  # type: ignore[arg-type]
        assert client.get("/environ").json()["wsgi.url_scheme"] == "https"
        client.send(b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3_000_000)
        assert client.answer().json()["length"] == 3_000_000
        client.send(GET % b"/hello" * 20)
        assert [client.answer().status for _ in range(20)] == [200] * 20
        client.send(b"POST /refuse HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        assert client.answer().status == 403
        wanted = "%5B%5B%22a%22%2C0%2C1048576%5D%5D"
        assert client.get(f"/files{path}?{wanted}").body == b"a" + path.read_bytes()
        secure.close()
    with server.connect() as silent:
        assert silent.closed()  # no handshake: the head's time limit holds
    with server.connect() as plain:
        plain.send(GET % b"/hello")
        with pytest.raises(EOFError):
            plain.answer()


def test_tls_idle_connections_end_with_the_worker(start: Start, certificate: Path) -> None:
    server = start(f"certfile = {str(certificate)!r}\n")
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    with server.connect() as plain, context.wrap_socket(plain.sock) as secure:
        client = Client(secure)  # type: ignore[arg-type]
        assert client.get("/hello").status == 200
        server.terminate()
        assert client.closed(8)  # less than the graceful time
        assert server.process.wait(20) == 0


def peer(client: Client) -> tuple[str, str]:
    seen = client.get("/environ").json()
    return seen["REMOTE_ADDR"], seen["REMOTE_PORT"]


def version2(command: int, family: int, addresses: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", 0x20 | command, family, len(addresses)) + addresses


INET = socket.inet_aton("10.1.2.3") + socket.inet_aton("10.0.0.1") + struct.pack("!HH", 4321, 80)
INET6 = socket.inet_pton(socket.AF_INET6, "2001:db8::5") * 2 + struct.pack("!HH", 4322, 80)


@pytest.mark.parametrize(
    ("header", "expected"),
    [(b"PROXY TCP4 10.1.2.3 10.0.0.1 4321 80\r\n", ("10.1.2.3", "4321")),
     (b"PROXY TCP6 2001:db8::5 2001:db8::1 4322 80\r\n", ("2001:db8::5", "4322")),
     (b"PROXY UNKNOWN\r\n", None), (version2(1, 0x11, INET), ("10.1.2.3", "4321")),
     (version2(1, 0x11, INET + b"\x04\0\1x"), ("10.1.2.3", "4321")),
     (version2(1, 0x21, INET6), ("2001:db8::5", "4322")),
     (version2(0, 0, b""), None), (b"", None)],
)  # fmt: skip
def test_proxy_header(proxied: Server, header: bytes, expected: tuple[str, str] | None) -> None:
    for bytewise in (False, True):
        with proxied.connect() as client:
            own = ("127.0.0.1", str(client.sock.getsockname()[1]))
            for piece in [header[n : n + 1] for n in range(len(header))] if bytewise else [header]:
                client.send(piece)
            assert peer(client) == (expected or own)
            assert peer(client) == (expected or own)


def option(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


def tls(client: int, *inner: bytes) -> bytes:
    return INET + option(1, b"h2") + option(0x20, struct.pack("!BI", client, 0) + b"".join(inner))


@pytest.mark.parametrize(
    ("block", "scheme"),
    [
        (tls(1, option(0x23, b"cipher"), option(0x21, b"TLSv1.3")), "https TLSv1.3"),
        (tls(7), "https TLS"),
        # Not the client's own connection, or none.
        (tls(2, option(0x21, b"TLSv1.3")), "http "),
        (INET, "http "),
    ],
)
def test_proxy_header_tells_of_tls(proxied: Server, block: bytes, scheme: str) -> None:
    with proxied.connect() as client:
        client.send(version2(1, 0x11, block))
        seen = client.get("/environ").json()
        assert f"{seen['wsgi.url_scheme']} {seen.get('shardgate.tls', '')}" == scheme


@pytest.mark.parametrize(
    "header",
    [version2(1, 0x11, INET + b"\x20\0"), version2(1, 0x11, INET + b"\x20\0\x09\1"),
     version2(1, 0x11, tls(1, b"\x21\0\5")),
     b"PROXY TCP4 10.1.2.3 10.0.0.1 4321\r\n", b"PROXY TCP4 10.1.2.300 10.0.0.1 1 2\r\n", b"PROXY TCP4 ::1 ::1 1 2\r\n",
     b"PROXY TCP4 10.1.2.3 10.0.0.1 65536 80\r\n", b"PROXY TCP4 10.1.2.3 10.0.0.1 +1 80\r\n", b"PROXY UDP4 a b 1 2\r\n",
     b"PROXY " + b"x" * 200, b"PROXY \r\n", version2(2, 0x11, INET), version2(1, 0x12, INET),
     version2(1, 0x11, INET[:-1]), SIGNATURE + b"\x11\x11\0\0", SIGNATURE + b"\x21\x11\xff\xff"],
)  # fmt: skip
def test_malformed_proxy_header_is_refused(proxied: Server, header: bytes) -> None:
    with proxied.connect() as client:
        client.send(header + GET % b"/hello")
        assert client.answer().status == 400
        assert client.closed()


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> object:
    server = Server(tmp_path_factory.mktemp("proxied"), "proxy_protocol = 'auto'")
    yield server
    assert server.stop() == 0


def test_proxy_header_of_a_stranger_is_refused(start: Start) -> None:
    server = start("proxy_protocol = 'auto'\nproxy_allow_ips = '10.9.9.9'")
    with server.connect() as client:
        client.send(b"PROXY TCP4 10.1.2.3 10.0.0.1 4321 80\r\n" + GET % b"/hello")
        assert client.answer().code == "AccessDenied"
        assert client.closed()
    assert server.get("/hello").status == 200


def test_proxy_header_without_the_setting_is_no_request(server: Server) -> None:
    with server.connect() as client:
        client.send(b"PROXY TCP4 10.1.2.3 10.0.0.1 4321 80\r\n" + GET % b"/hello")
        assert client.answer().status == 400
