"""What HAProxy does by the dispatcher's configuration: placement, retries, limits, and what it leaves alone."""

import re
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from xml.etree import ElementTree

import pytest

from dispatcher.fleet import commands
from dispatcher.haproxy import BACKEND
from dispatcher.registry import number_of
from tests.integration.shards_stub import Stub, StubFleet
from tests.support.gateway import wait_until

KEYS = [f"/bucket-{number % 7}/directory/key%20{number}" for number in range(240)]


def stub(name: str) -> Stub:
    return Stub(name, number_of(name))


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Callable[..., StubFleet]]:
    started: list[StubFleet] = []

    def start(*stubs: Stub | str, **settings: object) -> StubFleet:
        made = [stub(one) if isinstance(one, str) else one for one in stubs]
        started.append(StubFleet(tmp_path, made, **settings))
        return started[-1]

    yield start
    for one in started:
        one.close()
        for shard in one.stubs:
            shard.close()


def module_fleet(home: Path, **settings: object) -> Iterator[StubFleet]:
    stubs = [stub("shard-1"), stub("shard-2")]
    made = StubFleet(home, stubs, **settings)
    yield made
    made.close()
    for shard in stubs:
        shard.close()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StubFleet]:
    """Two shards that every test of this module may use."""
    yield from module_fleet(tmp_path_factory.mktemp("pair"), head_timeout="2")


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StubFleet]:
    """Two shards, domains for virtual-host style, and a bound that single requests do not reach.

    With the usual bound a request may spill over when HAProxy still counts the one before it.
    """
    domains = ("s3.example.org", "example.org")
    yield from module_fleet(tmp_path_factory.mktemp("steady"), virtual_host_domains=domains, balance_factor="1000")


def connect(fleet: StubFleet) -> socket.socket:
    return socket.create_connection(("127.0.0.1", fleet.port), timeout=20)


def test_keys_are_spread_and_stay_where_they_are(steady):
    places = steady.places(KEYS)
    counts = Counter(places)
    assert set(counts) == {"shard-1", "shard-2"}
    assert min(counts.values()) > len(KEYS) * 0.3
    assert steady.places(KEYS) == places


@pytest.mark.parametrize(
    ("path", "host", "alike"),
    [
        ("/k/a", "bucket.s3.example.org", "/bucket/k/a"),
        ("/k/a", "Bucket.S3.Example.org.:9000", "/bucket/k/a"),
        ("/k", "with.dots.example.org", "/with.dots/k"),
        ("/", "bucket.s3.example.org", "/bucket"),
        ("/?list-type=2", "", "/"),
        ("/b/k?versionId=1&x=y", "", "/b/k"),
        ("/b/%6B%2b", "", "/b/k+"),
        ("/b", "", "/b/"),
        ("/b/k", "s3.example.org", "/b/k"),
        ("/b/k", "other.example.net", "/b/k"),
    ],
)
def test_both_ways_to_name_a_bucket_have_one_place(steady, path, host, alike):
    def place(path: str, host: str) -> str:
        return steady.ask(path, host=host).headers["x-shard"]

    assert place(path, host) == place(alike, "")


def test_the_place_tells_keys_apart(steady):
    """The equality above would also hold if everything had one place."""
    paths = [f"/k/{number}" for number in range(24)]
    by_host = steady.places(paths, host="bucket.s3.example.org")
    assert set(by_host) == {"shard-1", "shard-2"}
    assert by_host == steady.places([f"/bucket{path}" for path in paths])
    assert by_host != steady.places([f"/tekcub{path}" for path in paths])


def test_a_third_shard_takes_about_a_third_of_the_keys_and_no_others_move(fleet):
    shards = [stub("shard-1"), stub("shard-2"), stub("shard-3")]
    one = fleet(*shards[:2], balance_factor="1000")
    before = one.places(KEYS)
    wanted = {shard.name: shard.server() for shard in shards}
    for text, answer in commands(wanted, one.api.servers(BACKEND)):
        one.api.expect(text, answer)
    one.wait_usable(3)
    after = one.places(KEYS)
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    assert set(moved) == {"shard-3"}
    assert 0.2 < len(moved) / len(KEYS) < 0.47
    assert commands(wanted, one.api.servers(BACKEND)) == []

    # Another dispatcher, started with all three in its file, places every key alike; so does the first one again.
    assert fleet(*reversed(shards), balance_factor="1000").places(KEYS) == after
    for text, answer in commands({shard.name: shard.server() for shard in shards[:2]}, one.api.servers(BACKEND)):
        if not text.startswith("del "):
            one.api.expect(text, answer)
    assert one.places(KEYS) == before
    shards[2].close()


def test_a_hot_key_spills_over_by_the_bound(pair):
    with ThreadPoolExecutor(12) as pool:
        places = Counter(pool.map(lambda _: pair.ask("/b/slow").headers["x-shard"], range(36)))
    assert set(places) == {"shard-1", "shard-2"}
    # 150 % of the average: one of two shards may have three quarters of all requests, and a few at the edges.
    assert max(places.values()) <= 36 * 0.75 + 4


def test_head_and_address_arrive_as_the_client_sent_them(pair):
    with connect(pair) as client:
        port = client.getsockname()[1]
        head = (
            "GET //b/a%2Fb%20c/../d?X-Amz-Signature=1&a=%7E&b HTTP/1.1\r\nHost: Bucket.Example.Net:81\r\n"
            "X-Amz-Date: 1\r\nAuthorization: AWS4-HMAC-SHA256 x\r\nAccept-Encoding: identity\r\n\r\n"
        )
        client.sendall(head.encode())
        answer = client.recv(4096).decode()
    assert f"x-client: 127.0.0.1:{port}\r\n" in answer
    assert "x-host: Bucket.Example.Net:81\r\n" in answer
    seen = next(
        head for shard in pair.stubs for head in shard.heads if head.startswith("GET //b/a%2Fb%20c/../d?X-Amz-Sig")
    )
    assert seen.splitlines()[0] == "GET //b/a%2Fb%20c/../d?X-Amz-Signature=1&a=%7E&b HTTP/1.1"
    assert {line.partition(":")[0].lower() for line in seen.splitlines()[1:]} == {
        *("host", "x-amz-date", "authorization", "accept-encoding")
    }


def test_clients_do_not_share_connections_to_a_shard(pair):
    addresses = {pair.ask("/b/k").headers["x-client"] for _ in range(5)}
    assert len(addresses) == 5
    connection = HTTPConnection("127.0.0.1", pair.port, timeout=10)
    reused = set()
    for _ in range(5):
        connection.request("GET", "/b/k")
        answer = connection.getresponse()
        answer.read()
        reused.add(answer.headers["x-client"])
    connection.close()
    assert len(reused) == 1


def test_a_long_presigned_url_passes_and_an_endless_one_does_not(pair):
    assert pair.ask("/b/k?X-Amz-Security-Token=" + "a" * 16000).status == 200
    assert pair.ask("/b/k?" + "a" * 60000).status == 200
    assert pair.ask("/b/k?" + "a" * 80000).status == 400


def test_a_refusal_comes_before_the_body(pair):
    with connect(pair) as client:
        client.sendall(
            b"PUT /b/refuse HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1000000000\r\n\r\n"
        )
        assert client.recv(4096).startswith(b"HTTP/1.1 403 ")


def test_a_refusal_before_the_body_ends_the_connection(pair):
    """Else HAProxy would take the next request on it for the body that was never sent."""
    head = b"PUT %s HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n"
    for path, ends in ((b"/b/refuse", True), (b"/b/k", False)):
        with socket.create_connection(("127.0.0.1", pair.port), timeout=10) as client:
            client.sendall(head % path)
            answer = client.recv(65536)
            assert (b"connection: close" in answer.lower()) is ends


def test_100_continue_comes_from_the_shard(pair):
    with connect(pair) as client:
        client.sendall(b"PUT /b/k HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert client.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"body")
        assert b"x-received: 4\r\n" in client.recv(4096)


def test_bodies_are_not_held(pair):
    """The shard has the first part of a body long before the client has sent the rest."""
    for shard in pair.stubs:
        shard.first_bytes.clear()
    with connect(pair) as client:
        client.sendall(b"PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: 4000000\r\n\r\n" + b"x" * 1000)
        time.sleep(0.5)
        before = time.monotonic()
        assert [arrived for shard in pair.stubs for arrived in shard.first_bytes if arrived < before]
        client.sendall(b"x" * 3_999_000)
        assert b"x-received: 4000000\r\n" in client.recv(4096)


def test_only_methods_that_change_nothing_are_tried_again(pair):
    for shard in pair.stubs:
        shard.seen.clear()
    seen = lambda name: sum((shard.seen[f"{name} /b/break"] for shard in pair.stubs), 0)  # noqa: E731
    for method, attempts in (("GET", 4), ("HEAD", 4), ("PUT", 1), ("POST", 1), ("DELETE", 1)):
        answer = pair.ask("/b/break", method=method, body=b"x" if method in ("PUT", "POST") else None)
        assert answer.status == 502
        assert seen(method) == attempts, method
    assert min(shard.seen["GET /b/break"] for shard in pair.stubs) >= 1, "it was not tried elsewhere"


def test_a_shard_that_is_gone_is_not_noticed(fleet):
    one = fleet("shard-1", "shard-2")
    one.stubs[1].close()
    for number in range(30):
        assert one.ask(f"/b/{number}", method="PUT", body=b"body").headers["x-shard"] == "shard-1"


@pytest.mark.parametrize(("path", "status", "code"), [("/b/break", 502, "InternalError")])
def test_own_errors_are_documents_of_s3(pair, path, status, code):
    answer = pair.ask(path)
    assert answer.status == status
    assert_document(answer, code)


def assert_document(answer, code):
    assert answer.headers["content-type"] == "application/xml"
    document = ElementTree.fromstring(answer.text)
    assert document.tag == "Error"
    assert document.findtext("Code") == code
    assert document.findtext("Message")
    assert re.fullmatch(r"[0-9A-F]{10,}", document.findtext("RequestId") or "")
    assert document.findtext("RequestId") == answer.headers["x-amz-request-id"]


def test_no_shard_is_503_slow_down(fleet):
    one = fleet()
    answer = one.ask("/b/k", method="PUT", body=b"x")
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
    assert_document(answer, "SlowDown")
    assert one.ask("/-/dispatcher").status == 503


def test_a_shard_that_does_not_answer_is_504(fleet):
    one = fleet("shard-1", response_timeout="1")
    answer = one.ask("/b/silent")
    assert answer.status == 504
    assert_document(answer, "ServiceUnavailable")


def exchange(fleet: StubFleet, *pieces: bytes) -> HTTPResponse:
    """The last answer on one connection to pieces that are sent one after the other."""
    with connect(fleet) as client:
        for piece in pieces:
            if piece:
                client.sendall(piece)
            answer = HTTPResponse(client, method="GET")
            answer.begin()
            answer.text = answer.read().decode()  # type: ignore[attr-defined]
        return answer


HEAD = b"GET /b/k HTTP/1.1\r\nHost: h\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"GET\r\n\r\n",
        b"GET /b k HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /b/\xff HTTP/1.1\r\nHost: h\r\n\r\n",
        HEAD + b"x y: 1\r\n\r\n",
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        HEAD + b"Host: other\r\n\r\n",
        HEAD + b"x: " + b"a" * 100_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    ],
    ids=["one-word", "blank", "raw", "name", "lengths", "hosts", "endless", "tls"],
)
def test_what_is_no_request_gets_a_document(pair, head):
    answer = exchange(pair, head)
    assert answer.status == 400
    assert answer.headers["connection"] == "close"
    assert_document(answer, "BadRequest")
    assert pair.ask("/b/k").status == 200


@pytest.mark.parametrize("begin", [b"", b"GET /b/k HT"])
def test_a_slow_head_is_given_up(pair, begin):
    began = time.monotonic()
    answer = exchange(pair, begin)
    assert answer.status == 408
    assert_document(answer, "RequestTimeout")
    assert 1 < time.monotonic() - began < 6


def test_a_head_that_drips_is_given_up(pair):
    with connect(pair) as client:
        client.sendall(HEAD)
        for _ in range(100):
            client.sendall(b"a: b\r\n")
            if select.select([client], [], [], 0.2)[0]:
                break
        assert client.recv(100).startswith(b"HTTP/1.1 408 ")


def test_heads_behind_the_first_are_refused_too(pair):
    """By HAProxy's HTTP itself, which has no documents."""
    with connect(pair) as client:
        client.sendall(HEAD + b"\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
        client.sendall(b"GET\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 400 ")


def test_the_log_has_what_haproxy_answered_itself(fleet):
    one = fleet("shard-1", requests_per_client="1")
    assert one.ask("/b/fine?X-Amz-Signature=secret").status == 200
    broken = one.ask("/b/break?X-Amz-Signature=secret")
    refused = exchange(one, b"GET\r\n\r\n")
    connect(one).close()  # asks for nothing
    assert one.ask("/-/dispatcher").status == 200
    limited = [one.ask("/b/many") for _ in range(10)][-1]

    def line_of(answer: HTTPResponse) -> str:
        wanted = f"id={answer.headers['x-amz-request-id']}"
        found = [line for line in one.log.read_text().splitlines() if line.endswith(wanted)]
        return found[0] if found else ""

    wait_until(lambda: line_of(limited), what="the last line")
    assert re.match(r"proxy: 127\.0\.0\.1:\d+ GET /b/break 502 SH shard=shard-1 ", line_of(broken))
    assert re.match(r"proxy: 127\.0\.0\.1:\d+ - - 400 no request ", line_of(refused))
    assert re.match(r"proxy: 127\.0\.0\.1:\d+ GET /b/many 503 PR ", line_of(limited))
    text = one.log.read_text()
    assert all(line.startswith("proxy: ") for line in text.splitlines()), text
    for word in ("fine", "secret", "/-/"):
        assert word not in text
    assert text.count("- - 400") == 1


def test_one_address_gets_so_many_connections(fleet):
    one = fleet("shard-1", connections_per_client="10")
    held = [connect(one) for _ in range(10)]
    for client in held:
        client.sendall(b"GET /b/k HTTP/1.1\r\nHost: h\r\n\r\n")
        assert client.recv(100)
    with pytest.raises(ConnectionError):
        one.ask("/b/k")
    held.pop().close()
    time.sleep(0.3)
    assert one.ask("/b/k").status == 200
    for client in held:
        client.close()


def test_one_address_gets_so_many_requests(fleet):
    one = fleet("shard-1", requests_per_client="3")
    answers = [one.ask("/b/k") for _ in range(20)]
    statuses = Counter(answer.status for answer in answers)
    assert statuses[200] <= 15
    assert statuses[200] + statuses[503] == 20
    assert answers[-1].headers["retry-after"] == "1"
    assert_document(answers[-1], "SlowDown")
    assert one.ask("/-/dispatcher").status == 200


def test_only_the_storage_takes_a_shard_out(fleet):
    """Redis is shared by all: a shard that misses it still serves, and so the stand-ins say all the time."""
    one = fleet("shard-1", "shard-2")
    one.stubs[0].ready = b'{"status": "not ready", "backend": "failed: BackendUnavailable", "redis": "ok"}'
    one.wait_usable(1)
    assert set(one.places(KEYS[:20])) == {"shard-2"}
    one.stubs[0].ready = one.stubs[1].ready
    one.wait_usable(2)


def test_when_every_check_fails_all_shards_are_asked(fleet):
    """What fails for all at once is what they share, or a busy host: refusing everything helps nobody."""
    one = fleet("shard-1", "shard-2")
    for shard in one.stubs:
        shard.ready = b'{"status": "not ready", "backend": "failed: no answer in time", "redis": "ok"}'
    one.wait_usable(0)
    assert set(one.places(KEYS[:20])) == {"shard-1", "shard-2"}
    assert one.ask("/-/dispatcher").status == 503
    one.api.expect("set server any-shard/shard-1 state drain")
    assert set(one.places(KEYS[:20])) == {"shard-2"}


def test_many_slow_heads_do_not_stop_others(fleet):
    one = fleet("shard-1", head_timeout="20")
    slow = []
    for _ in range(400):
        client = connect(one)
        client.sendall(b"PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Le")
        slow.append(client)
    began = time.monotonic()
    threads = [threading.Thread(target=one.places, args=(KEYS[:10],)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert time.monotonic() - began < 10
    assert sum(one.stubs[0].seen.values()) == 50
    for client in slow:
        client.close()
