"""Sections 4.1 to 4.6 of the protocol reference: uploads to the emulator's FSTs."""

import hashlib
import random
import socket
import zlib
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from backends.eos.proto import namespace_pb2 as rpc
from tests.support.eos import Client, Emulator, eventually, http_request, start_put

REPLICAS = {"sys.forced.layout": "replica", "sys.forced.nstripes": "2", "sys.altxs": "md5"}


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


def chunked(*chunks):
    return b"".join(b"%x\r\n" % len(chunk) + chunk + b"\r\n" for chunk in chunks) + b"0\r\n\r\n"


def answer(sock):
    """Whatever the server sends until it closes or one head is complete."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65536)
        if not part:
            break
        data += part
    return data


def adler(data):
    return f"{zlib.adler32(data):08x}"


class TestPlainPut:
    """Section 4.1."""

    def test_etag_is_the_checksum_of_what_was_stored(self, alice, box):
        data = random.Random(1).randbytes(3_000_001)
        reply = alice.put(f"{box}/f", data)
        found = alice.stat(f"{box}/f")
        assert (reply.status, reply.reason) == (201, "CREATED")
        assert reply.headers["etag"] == found.etag == f'"{found.inode}:{adler(data)}"'
        assert found.checksums[1].value.decode() == hashlib.md5(data).hexdigest()
        assert alice.get(f"{box}/f").body == data

    def test_a_length_or_chunks_are_needed(self, alice, box):
        assert http_request(alice.location("PUT", f"{box}/f"), "PUT").status == 411

    def test_expect_is_answered_after_the_open(self, alice, box):
        location = alice.location("PUT", f"{box}/f")
        with start_put(location, 5, b"", Expect="100-continue") as sock:
            assert answer(sock) == b"HTTP/1.1 100 Continue\r\n\r\n"
            sock.sendall(b"hello")
            assert answer(sock).startswith(b"HTTP/1.1 201 ")
        with start_put(location.replace("cap.msg", "cap.other"), 5, b"", Expect="100-continue") as sock:
            assert answer(sock).startswith(b"HTTP/1.1 500 ")

    def test_nothing_is_fine(self, alice, box):
        reply = alice.put(f"{box}/f", b"")
        assert (reply.status, reply.headers["etag"]) == (201, alice.stat(f"{box}/f").etag)

    @pytest.mark.parametrize("header", ["x_upload_mtime", "x_oc_mtime"])
    def test_times_can_be_forced(self, alice, box, header):
        reply = alice.put(f"{box}/f", b"x", **{header: "1234567890"})
        found = alice.stat(f"{box}/f")
        assert found.mtime.sec == 1234567890
        assert reply.headers["x-oc-mtime"] == "accepted"
        assert reply.headers["oc-fileid"] == str(found.inode)

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"oc_checksum": "ADLER32:1a0b045d"}, 201),
            ({"x_upload_checksum": "adler32:1a0b045d"}, 201),
            ({"x_upload_checksum": "adler32:1a0b045e"}, 412),
            # Another type than the layout's is not compared.
            ({"x_upload_checksum": "md5:00"}, 201),
        ],
    )
    def test_checksums_in_headers(self, alice, box, headers, status):
        assert alice.put(f"{box}/f", b"hello world", **headers).status == status
        assert alice.missing(f"{box}/f") is (status == 412)

    def test_leading_zeros_are_stripped_from_the_stored_one_only(self, alice, box):
        data = b"\x01"
        assert adler(data) == "00020002"
        assert alice.put(f"{box}/f", data, x_upload_checksum="adler32:00020002").status == 412
        assert alice.put(f"{box}/f", data, x_upload_checksum="adler32:20002").status == 201

    def test_a_booked_size_is_checked(self, alice, box):
        location = alice.location("PUT", f"{box}/f", Content_Length="5", Expect="100-continue")
        assert http_request(location, "PUT", {"Content-Length": "4"}, b"1234").body == b"File close failed\n"
        assert alice.missing(f"{box}/f")

    def test_a_file_that_was_deleted_meanwhile(self, alice, box):
        location = alice.location("PUT", f"{box}/f")
        alice.unlink(f"{box}/f")
        assert http_request(location, "PUT", {"Content-Length": "1"}, b"x").status == 500
        assert alice.missing(f"{box}/f")

    def test_a_client_that_goes_away(self, eos, alice, box):
        alice.put(f"{box}/f", b"old")
        start_put(alice.location("PUT", f"{box}/f"), 100, b"part").close()
        eventually(lambda: alice.missing(f"{box}/f"))
        alice.put(f"{box}/f", b"old")
        start_put(alice.location("PUT", f"{box}/f", "eos.atomic=1"), 100, b"part").close()
        eventually(lambda: alice.names(box) == [f"{box}/f"])
        assert alice.get(f"{box}/f").body == b"old"

    def test_all_replicas_are_written(self, eos, alice, box):
        eos.directory_at(box, xattrs=REPLICAS)
        alice.put(f"{box}/f", b"content")
        assert len(alice.stat(f"{box}/f").locations) == 2
        for number in (0, 1):
            eos.fst(number, "offline")
            try:
                assert alice.get(f"{box}/f").body == b"content"
            finally:
                eos.fst(number, "up")

    def test_other_verbs(self, alice, box):
        assert http_request(alice.location("PUT", f"{box}/f"), "DELETE").status == 501


class TestChunked:
    """Section 4.2."""

    def put(self, location, body, **headers):
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return http_request(location, "PUT", {"Transfer-Encoding": "chunked", **fields}, body)

    def test_without_a_length(self, alice, box):
        reply = self.put(alice.location("PUT", f"{box}/f"), chunked(b"hello ", b"world"))
        assert (reply.status, reply.headers["etag"]) == (201, alice.stat(f"{box}/f").etag)
        assert alice.get(f"{box}/f").body == b"hello world"

    def test_one_that_breaks_off(self, alice, box):
        with start_put(alice.location("PUT", f"{box}/f"), 0, b"") as sock:
            assert answer(sock).startswith(b"HTTP/1.1 201")
        parts = urlsplit(location := alice.location("PUT", f"{box}/g"))
        with socket.create_connection((parts.hostname, parts.port)) as sock:
            target = location.partition(parts.netloc)[2]
            sock.sendall(
                f"PUT {target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n".encode()
            )
        eventually(lambda: alice.missing(f"{box}/g"))

    @pytest.mark.parametrize(
        ("policy", "size", "status"),
        [("mhd", 2 << 20, 201), ("xrootd5", 1 << 20, 201), ("xrootd5", (1 << 20) + 1, 500), ("xrootd6", 5, 400)],
    )
    def test_with_a_length(self, eos, alice, box, policy, size, status):
        alice.put(f"{box}/f", b"")
        headers = {"x_upload_range": f"bytes=0-{size - 1}", "x_upload_totalsize": str(size)}
        location = alice.location("PUT", f"{box}/f", **headers)
        eos.quirks(chunked_with_length=policy)
        try:
            reply = self.put(location, chunked(b"x" * size), content_length=str(size), **headers)
        finally:
            eos.quirks(chunked_with_length="mhd")
        assert reply.status == status
        assert alice.stat(f"{box}/f").size == (size if status == 201 else 0)


class TestRangePut:
    """Sections 4.3, 4.4 and 4.6."""

    @pytest.fixture
    def staged(self, alice, box):
        """A staging file made by a PUT of nothing."""
        assert alice.put(f"{box}/s", b"").status == 201
        return f"{box}/s"

    def test_parts_in_any_order_and_a_last_one(self, alice, staged):
        data = random.Random(2).randbytes(3_000_000)
        empty = alice.stat(staged)
        for part in (2, 0, 1):
            piece = data[part * 1_000_000 : (part + 1) * 1_000_000]
            reply = alice.put_range(staged, piece, part * 1_000_000, 10**13, done=False)
            assert (reply.status, reply.headers["etag"]) == (201, empty.etag)
        found = alice.stat(staged)
        assert (found.id, found.size) == (empty.id, 3_000_000)
        assert found.checksum.value == bytes.fromhex("00000001"), "the checksum stays that of before"
        assert [c.type for c in found.checksums] == ["adler32"]
        reply = alice.put_range(staged, data[-1:], 2_999_999, 3_000_000, done=True)
        found = alice.stat(staged)
        assert reply.headers["etag"] == found.etag == f'"{found.inode}:{adler(data)}"'
        assert found.checksums[1].value.decode() == hashlib.md5(data).hexdigest()
        assert alice.get(staged).body == data

    def test_parallel_writers(self, eos, alice, staged):
        eos.reset_counters()
        eos.fault("fst_slow", operation="fst.PUT", path=staged, close=0.2)
        parts = [bytes([number]) * 100_000 for number in range(6)]
        with ThreadPoolExecutor(6) as pool:
            replies = list(
                pool.map(lambda n: alice.put_range(staged, parts[n], n * 100_000, 10**9, done=False).status, range(6))
            )
        eos.clear_faults()
        assert replies == [201] * 6
        assert eos.counters()["max_writers"] > 1
        assert alice.get(staged).body == b"".join(parts)

    def test_nothing_is_truncated_and_gaps_are_zeros(self, alice, staged):
        alice.put_range(staged, b"end", 7, 100, done=False)
        assert alice.get(staged).body == bytes(7) + b"end"
        alice.put_range(staged, b"be", 0, 2, done=True)
        assert alice.get(staged).body == b"be" + bytes(5) + b"end"

    @pytest.mark.parametrize(
        ("first", "last", "total", "length", "status"),
        [
            (0, 4, 5, 5, 201),
            (0, 4, 1000, 5, 201),
            (0, 4, 1000, 4, 416),
            (6, 10, 5, 5, 416),
            # An end beyond the total is clipped, and then the length does not match.
            (3, 7, 5, 5, 416),
            (3, 7, 5, 2, 201),
        ],
    )
    def test_ranges_and_lengths(self, alice, staged, first, last, total, length, status):
        headers = {"x_upload_range": f"bytes={first}-{last}", "x_upload_totalsize": str(total)}
        reply = alice.put(staged, b"x" * length, **headers)
        assert reply.status == status
        if status == 416:
            assert reply.body.startswith(b"Illegal Range request")
            assert alice.stat(staged).size == 0

    def test_without_a_total_size_the_body_goes_to_the_beginning(self, alice, staged):
        alice.put_range(staged, b"0123456789", 0, 10, done=True)
        assert alice.put(staged, b"ab", x_upload_range="bytes=5-6").status == 201
        assert alice.get(staged).body == b"ab23456789"

    @pytest.mark.parametrize(
        ("done", "offset", "last"), [(None, 0, False), (None, 5, True), (False, 5, False), (True, 0, True)]
    )
    def test_which_one_is_the_last(self, alice, staged, done, offset, last):
        alice.put_range(staged, b"x" * 10, 0, 100, done=False)
        before = alice.stat(staged).checksum.value
        assert alice.put_range(staged, b"01234", offset, 10, done=done).status == 201
        assert (alice.stat(staged).checksum.value != before) is last

    def test_forced_times(self, alice, staged):
        part = alice.put_range(staged, b"x", 0, 10, done=False, x_upload_mtime="1000")
        assert (part.status, "etag" in part.headers) == (201, False)
        assert alice.stat(staged).mtime.sec == 1000
        last = alice.put_range(staged, b"y", 1, 2, done=True, x_upload_mtime="2000")
        found = alice.stat(staged)
        assert (last.status, found.mtime.sec) == (201, 2000)
        assert (last.headers["etag"], last.headers["x-eos-inode"]) == (found.etag, str(found.inode))
        assert "x-eos-checksum" not in last.headers

    def test_a_checksum_is_compared_on_the_last_part_only(self, alice, staged):
        wrong = {"x_upload_checksum": "adler32:1"}
        assert alice.put_range(staged, b"hello ", 0, 11, done=False, **wrong).status == 201
        right = {"x_upload_checksum": "adler32:1a0b045d"}
        reply = alice.put_range(staged, b"world", 6, 11, x_upload_mtime="5", **right)
        assert (reply.status, reply.headers["x-eos-checksum"]) == (201, "1a0b045d")

    def test_a_length_at_the_mgm_fits_only_a_range_from_zero(self, alice, box):
        headers = {"x_upload_range": "bytes=5-9", "x_upload_totalsize": "10"}
        location = alice.location("PUT", f"{box}/n", Content_Length="5", Expect="100-continue", **headers)
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        assert http_request(location, "PUT", {**fields, "Content-Length": "5"}, b"01234").status == 500
        assert alice.missing(f"{box}/n")

    def test_touched_files_may_be_placed_twice(self, alice, box):
        alice.run(touch=rpc.NSRequest.TouchRequest(id=rpc.MDId(path=f"{box}/t".encode())))
        headers = {"x_upload_range": "bytes=0-0", "x_upload_totalsize": "10"}
        ports = {urlsplit(alice.location("PUT", f"{box}/t", **headers)).port for _ in range(4)}
        assert len(ports) == 2
        made = alice.put(f"{box}/z", b"")
        assert made.status == 201
        assert len({urlsplit(alice.location("PUT", f"{box}/z", **headers)).port for _ in range(4)}) == 1

    @pytest.mark.parametrize("kind", ["raid6", "qrain"])
    def test_erasure_coded_files_are_not_updated(self, eos, alice, box, kind):
        eos.directory_at(f"{box}/ec", uid=1000, gid=1000, xattrs={"sys.forced.layout": kind})
        alice.put(f"{box}/ec/f", b"content")
        reply = alice.mgm("PUT", f"{box}/ec/f", x_upload_range="bytes=0-0", x_upload_totalsize="1")
        assert reply.status == 403
        assert b"update RAIN layout file - you have to be a priviledged user for updates" in reply.body
        eos.quirks(rain_update=True)
        try:
            assert alice.put_range(f"{box}/ec/f", b"C", 0, 100, done=False).status == 201
        finally:
            eos.quirks(rain_update=False)

    def test_an_update_needs_all_replicas(self, eos, alice, box):
        eos.directory_at(box, xattrs=REPLICAS)
        alice.put(f"{box}/f", b"content")
        eos.fst(1, "offline")
        try:
            assert alice.mgm("PUT", f"{box}/f", x_upload_range="bytes=0-0", x_upload_totalsize="1").status == 500
        finally:
            eos.fst(1, "up")


class TestCrashes:
    """Sections 4.2 and 4.4: what ends the process of a real FST. It comes back after a while."""

    @pytest.fixture
    def alone(self, tmp_path):
        with Emulator(tmp_path, "--quirk", "crash_seconds=0.3", fsts=1) as running:
            yield running

    @pytest.mark.parametrize(
        ("extra", "fields"),
        [
            ({"x-upload-range": "bytes=0-4", "x-upload-totalsize": "5"}, {"Transfer-Encoding": "chunked"}),
            ({"x-upload-range": "bytes=5-9", "x-upload-totalsize": "5"}, {"Content-Length": "5"}),
        ],
        ids=["a range without a length", "a range at the total size"],
    )
    def test_all_connections_go_and_the_port_is_closed_for_a_while(self, alone, extra, fields):
        with Client(alone) as alice:
            path = f"{alone.home('alice')}/f"
            alice.put(path, b"")
            location = alice.location("PUT", path, **extra)
            with pytest.raises(OSError):
                http_request(location, "PUT", {**extra, **fields}, b"hello")
            with pytest.raises(ConnectionRefusedError):
                http_request(location, "GET")
            assert alone.counters()["fst.crashes"] == 1

            def back():
                try:
                    return alice.put(path, b"x").status == 201
                except OSError:
                    return False

            eventually(back)


class TestDisconnects:
    """Section 4.5."""

    @pytest.fixture
    def staged(self, alice, box):
        alice.put(f"{box}/s", b"")
        alice.put_range(f"{box}/s", b"first part", 0, 1000, done=False)
        return f"{box}/s"

    def begin(self, client, path, offset, length, sent):
        headers = {
            "x_upload_range": f"bytes={offset}-{offset + length - 1}",
            "x_upload_totalsize": "1000",
            "x_upload_done": "false",
        }
        return start_put(client.location("PUT", path, **headers), length, sent, **headers)

    def writers(self, eos, count):
        eventually(lambda: eos.counters()["open_writers"] == count)

    def test_the_only_writer_takes_everything_with_it(self, eos, alice, staged):
        with self.begin(alice, staged, 10, 10, b"abc"):
            self.writers(eos, 1)
        eventually(lambda: alice.missing(staged))

    def test_another_open_writer_protects(self, eos, alice, staged):
        with self.begin(alice, staged, 20, 1, b"") as guard:
            self.writers(eos, 1)
            with self.begin(alice, staged, 10, 10, b"abc"):
                self.writers(eos, 2)
            self.writers(eos, 1)
            assert alice.stat(staged).size == 10
            guard.sendall(b"!")
            assert answer(guard).startswith(b"HTTP/1.1 201")
        assert alice.get(staged).body == b"first partabc" + bytes(7) + b"!"

    def test_a_guard_that_dies_alone_deletes(self, eos, alice, staged):
        with self.begin(alice, staged, 20, 1, b""):
            self.writers(eos, 1)
        eventually(lambda: alice.missing(staged))

    def test_one_that_closed_well_meanwhile_protects(self, eos, alice, staged):
        with self.begin(alice, staged, 20, 10, b"abc"):
            self.writers(eos, 1)
            assert alice.put_range(staged, b"second", 10, 1000, done=False).status == 201
        self.writers(eos, 0)
        assert alice.stat(staged).size >= 16

    def test_of_two_replicas_one_survives(self, eos, alice, box):
        eos.directory_at(box, xattrs=REPLICAS)
        alice.put(f"{box}/s", b"")
        alice.put_range(f"{box}/s", b"first part", 0, 1000, done=False)
        before = list(alice.stat(f"{box}/s").locations)
        with self.begin(alice, f"{box}/s", 10, 10, b"abc"):
            self.writers(eos, 1)
        self.writers(eos, 0)
        eventually(lambda: list(alice.stat(f"{box}/s").locations) == before[1:])
        assert alice.get(f"{box}/s").body.startswith(b"first part")

    def test_an_fst_on_mhd_deletes_nothing(self, eos, alice, staged):
        eos.quirks(delete_on_close="not-ranges")
        try:
            with self.begin(alice, staged, 10, 10, b"abc"):
                self.writers(eos, 1)
            self.writers(eos, 0)
            assert alice.get(staged).body.startswith(b"first part")
        finally:
            eos.quirks(delete_on_close="always")
