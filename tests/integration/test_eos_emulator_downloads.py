"""Section 4.7 of the protocol reference: downloads from the emulator's FSTs."""

import random
import socket
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from tests.support.eos import Client, Emulator, http_request


@pytest.fixture(scope="module")
def eos(tmp_path_factory):
    with Emulator(tmp_path_factory.mktemp("eos")) as running:
        yield running


@pytest.fixture
def alice(eos):
    with Client(eos, 1000, 1000) as client:
        yield client


@pytest.fixture
def box(eos, request):
    return eos.directory_at(f"{eos.home('alice')}/{request.node.name}", uid=1000, gid=1000, mode="755")


def adler(data):
    return f"{zlib.adler32(data):08x}"


class TestGet:
    """Section 4.7."""

    @pytest.fixture
    def file(self, alice, box):
        alice.put(f"{box}/f.txt", b"0123456789")
        return f"{box}/f.txt"

    def test_headers(self, alice, file):
        reply = alice.get(file, want_digest="adler32")
        found = alice.stat(file)
        assert (reply.status, reply.body) == (200, b"0123456789")
        assert reply.headers["content-type"] == "text/plain"
        assert reply.headers["etag"] == found.etag
        value = adler(b"0123456789").lstrip("0")
        assert reply.headers["oc-checksum"] == f"Adler32:{value}"
        assert reply.headers["digest"] == f"Adler32={value}"
        assert reply.headers["accept-ranges"] == "bytes"

    @pytest.mark.parametrize(
        ("header", "status", "body", "content"),
        [
            ("bytes=0-0", 206, b"0", "bytes 0-0/10"),
            ("bytes=5-", 206, b"56789", "bytes 5-9/10"),
            ("bytes=8-100", 206, b"89", "bytes 8-9/10"),
            ("bytes=-3", 206, b"789", "bytes 7-9/10"),
            ("bytes=10-", 416, None, None),
            # EOS computes a negative start here.
            ("bytes=-11", 500, None, None),
            ("lines=1-2", 200, b"0123456789", None),
            ("bytes=0-3,2-5", 206, b"012345", "bytes 0-5/10"),
        ],
    )
    def test_one_range(self, alice, file, header, status, body, content):
        reply = alice.get(file, Range=header)
        assert (reply.status, reply.headers.get("content-range")) == (status, content)
        if body is not None:
            assert reply.body == body

    def test_several_ranges(self, alice, file):
        reply = alice.get(file, Range="bytes=6-7,0-1")
        assert reply.status == 206
        assert reply.headers["content-type"] == "multipart/byteranges; boundary=EOSMULTIPARTBOUNDARY"
        assert b"\r" not in reply.body
        assert reply.body.index(b"bytes 0-1/10\n\n01\n") < reply.body.index(b"bytes 6-7/10\n\n67\n")

    def test_head(self, alice, file):
        reply = http_request(alice.location("GET", file), "HEAD")
        assert (reply.status, reply.headers["content-length"], reply.body) == (200, "10", b"")

    @pytest.mark.parametrize(("delay", "status"), [(0.0, 404), (30.0, 200)])
    def test_what_was_deleted_after_the_redirect_is_read_until_an_fst_removes_it(self, eos, alice, file, delay, status):
        former = eos.quirks()["deletion_delay"]
        try:
            eos.quirks(deletion_delay=delay)
            location = alice.location("GET", file)
            alice.unlink(file)
            assert http_request(location).status == status
        finally:
            eos.quirks(deletion_delay=former)

    def test_framings(self, eos, alice, file):
        try:
            eos.quirks(get_framing="chunked")
            reply = alice.get(file)
            assert (reply.body, reply.headers["transfer-encoding"]) == (b"0123456789", "chunked")
            assert "content-length" not in reply.headers
            eos.quirks(get_framing="buggy206")
            broken = alice.get(file, Range="bytes=0-4")
            assert (broken.headers["content-length"], broken.body) == ("5", b"5\r\n01")
        finally:
            eos.quirks(get_framing="content-length")

    def test_many_readers_at_once(self, alice, box):
        data = random.Random(3).randbytes(2_000_000)
        alice.put(f"{box}/big", data)
        with ThreadPoolExecutor(8) as pool:
            assert all(body == data for body in pool.map(lambda _: alice.get(f"{box}/big").body, range(16)))


def test_data_that_is_not_stored(tmp_path):
    with Emulator(tmp_path, "--quirk", "data=null") as eos, Client(eos) as alice:
        path = f"{eos.home('alice')}/f"
        assert alice.put(path, b"x" * 3_000_000).status == 201
        assert alice.stat(path).size == 3_000_000
        assert alice.get(path, Range="bytes=2000000-2000004").body == bytes(n % 251 for n in range(2000000, 2000005))
        assert len(alice.get(path).body) == 3_000_000


def test_a_reader_slower_than_the_server(eos, alice, box):
    """More than the sockets' buffers hold: the server has to wait for room."""
    data = random.Random(4).randbytes(20_000_000)
    alice.put(f"{box}/big", data)
    parts = urlsplit(location := alice.location("GET", f"{box}/big"))
    with socket.create_connection((parts.hostname, parts.port)) as sock:
        sock.sendall(f"GET {location.partition(parts.netloc)[2]} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        time.sleep(0.3)
        received = b"".join(_received(sock, len(data)))
    assert received.partition(b"\r\n\r\n")[2] == data


def _received(sock, size):
    """Blocks until a head and `size` bytes of body have come."""
    done, head = 0, b""
    while done < size:
        block = sock.recv(1 << 20)
        assert block
        if b"\r\n\r\n" not in head:
            head += block
            done = len(head.partition(b"\r\n\r\n")[2])
        else:
            done += len(block)
        yield block
