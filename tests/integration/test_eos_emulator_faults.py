"""Section 8.6 of the protocol reference: every fault, and servers that go down."""

import http.client
import json
import re
import socket
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import pytest
import requests

from backends.eos.emulator.faults import KINDS
from backends.eos.proto import namespace_pb2 as rpc
from tests.support.eos import Client, Emulator, eventually, http_request, start_put


@pytest.fixture(scope="module")
def eos(tmp_path_factory):
    with Emulator(tmp_path_factory.mktemp("eos"), mgms=2) as running:
        yield running


@pytest.fixture
def alice(eos):
    with Client(eos, 1000, 1000) as client:
        yield client


@pytest.fixture(autouse=True)
def _clean(eos):
    yield
    eos.clear_faults()


@pytest.fixture
def box(eos, request):
    # Paths of rules are regular expressions.
    name = re.sub(r"\W", "_", request.node.name)
    return eos.directory_at(f"{eos.home('alice')}/{name}", uid=1000, gid=1000, mode="755")


@pytest.fixture
def file(alice, box):
    alice.put(f"{box}/f", b"0123456789")
    return f"{box}/f"


def status_of(call, *arguments, **keywords):
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **keywords)
    return caught.value.code()


def timed(call, *arguments):
    started = time.monotonic()
    result = call(*arguments)
    return result, time.monotonic() - started


class TestRules:
    """Who is hit, how often."""

    def test_path_uid_and_operation_select(self, eos, alice, box):
        alice.put(f"{box}/a", b"x")
        alice.put(f"{box}/b", b"x")
        rule = eos.fault("mgm_error", path=f"{box}/a$", uid=1000, operation=r"grpc\.MD", code=5)
        assert status_of(alice.md, f"{box}/a") is grpc.StatusCode.NOT_FOUND
        assert alice.stat(f"{box}/b")
        assert alice.mgm("HEAD", f"{box}/a").status == 200
        with Client(eos, 1001, 1001) as bob:
            assert bob.stat(f"{box}/a")
        assert eos.hits(rule) == 1
        eos.clear_faults(rule)
        assert alice.stat(f"{box}/a")

    def test_count_and_skip(self, eos, alice, file):
        eos.fault("mgm_error", path=file, operation="mgm.HEAD", status=503, count=2, skip=1)
        assert [alice.mgm("HEAD", file).status for _ in range(5)] == [200, 503, 503, 200, 200]

    def test_probability(self, eos, alice, file):
        rule = eos.fault("mgm_error", path=file, operation="mgm.HEAD", status=503, probability=0.5)
        found = [alice.mgm("HEAD", file).status for _ in range(60)]
        assert 10 < found.count(503) < 50
        assert eos.hits(rule) == found.count(503)

    @pytest.mark.parametrize(
        "rule",
        [
            {"fault": "no such"},
            {"fault": "mgm_error", "path": "["},
            {"fault": "mgm_error", "bytes": 1},
            {"fault": "mgm_latency", "seconds": "long"},
            {},
        ],
    )
    def test_rules_that_are_none(self, eos, rule):
        reply = requests.post(f"{eos.admin_url}/faults", json=rule, timeout=10)
        assert reply.status_code == 400
        assert reply.json()["error"]

    def test_what_the_administration_end_does_not_know(self, eos):
        assert requests.get(f"{eos.admin_url}/nothing", timeout=10).status_code == 404
        assert requests.post(f"{eos.admin_url}/quirks", json={"none": 1}, timeout=10).status_code == 400
        assert requests.post(f"{eos.admin_url}/fst/9", json={"state": "down"}, timeout=10).status_code == 400
        assert requests.post(f"{eos.admin_url}/mgm/0", json={"state": "?"}, timeout=10).status_code == 400

    def test_rules_from_a_file(self, tmp_path):
        (tmp_path / "faults.json").write_text(json.dumps([{"fault": "mgm_error", "status": 418, "path": "x$"}]))
        with Emulator(tmp_path / "eos", "--faults", str(tmp_path / "faults.json")) as one, Client(one) as client:
            assert client.mgm("GET", "/eos/dev/x").status == 418
            assert client.mgm("GET", "/eos/dev/y").status == 404


class TestMgm:
    def test_boot_blocks_all_but_ping(self, eos, alice, file):
        rule = eos.fault("mgm_boot")
        assert alice.stub.Ping(rpc.PingRequest(message=b"x"), timeout=5).message == b"x"
        request = rpc.MDRequest(type=rpc.STAT, id=rpc.MDId(path=file.encode()), authkey=alice.key, role=alice.role)
        assert status_of(lambda: list(alice.stub.MD(request, timeout=0.3))) is grpc.StatusCode.DEADLINE_EXCEEDED
        threading.Timer(0.3, eos.clear_faults, (rule,)).start()
        found, elapsed = timed(alice.stat, file)
        assert found.size == 10
        assert elapsed > 0.2

    def test_hang(self, eos, alice, file):
        eos.fault("grpc_hang", operation="Exec")
        request = rpc.NSRequest(
            authkey=alice.key, role=alice.role, unlink=rpc.NSRequest.UnlinkRequest(id=rpc.MDId(path=file.encode()))
        )
        assert status_of(alice.stub.Exec, request, timeout=0.3) is grpc.StatusCode.DEADLINE_EXCEEDED
        time.sleep(0.3)
        eos.clear_faults()
        assert alice.stat(file), "a call that was given up does nothing later"

    def test_latency(self, eos, alice, file):
        eos.fault("mgm_latency", path=file, seconds=0.3)
        assert timed(alice.stat, file)[1] > 0.3
        assert timed(alice.mgm, "HEAD", file)[1] > 0.3

    def test_errors(self, eos, alice, file):
        eos.fault("mgm_error", path=file, code=5)
        assert alice.unlink(file) == (5, "injected failure")
        assert alice.mgm("GET", file).status == 500
        assert status_of(alice.find, file) is grpc.StatusCode.NOT_FOUND

    def test_disconnect(self, eos, alice, file):
        eos.fault("mgm_disconnect", path=file)
        with pytest.raises(OSError):
            alice.mgm("GET", file)

    def test_stall(self, eos, alice, file):
        eos.fault("mgm_stall_http", path=file, status=501)
        put, get = alice.mgm("PUT", file), alice.mgm("GET", file)
        assert (put.status, put.body, get.status) == (503, b"Access limit reached\n", 501)
        assert alice.mgm("HEAD", file).status == 200

    def test_a_rename_that_lies(self, eos, alice, file):
        eos.fault("mgm_rename_lie", path=file)
        code, text = alice.rename(file, f"{file}2")
        assert (code, text.startswith("info: renamed")) == (0, False)
        assert alice.stat(file)
        assert alice.missing(f"{file}2")

    def test_quota(self, eos, alice, box):
        eos.fault("quota", path=box)
        assert alice.mgm("PUT", f"{box}/g").status == 507
        assert alice.missing(f"{box}/g")

    def test_revoked_key_and_unknown_user(self, eos, alice, box):
        eos.fault("user_unknown", path=box)
        assert alice.mgm("PUT", f"{box}/g").status == 403
        eos.clear_faults()
        eos.fault("key_revoked", path=box)
        assert alice.mgm("PUT", f"{box}/g").status == 403
        assert alice.mkdir(f"{box}/d")[0] == 1

    def test_a_state_from_before(self, eos, alice, file):
        eos.fault("stale_stat", path=file, seconds=0.5)
        old = alice.stat(file)
        alice.put_range(file, b"more", 10, 14, done=True)
        assert alice.stat(file).size == old.size
        assert alice.stat(file).etag == old.etag
        eventually(lambda: alice.stat(file).size == 14)

    def test_streams_that_break_off(self, eos, alice, box):
        for number in range(4):
            alice.put(f"{box}/{number}", b"")
        eos.fault("find_abort", path=box, entries=2, status=14)
        request = rpc.FindRequest(
            type=rpc.LISTING, id=rpc.MDId(path=box.encode()), authkey=alice.key, role=alice.role, maxdepth=1
        )
        seen = []
        with pytest.raises(grpc.RpcError) as caught:
            seen.extend(alice.stub.Find(request))
        assert (len(seen), caught.value.code()) == (2, grpc.StatusCode.UNAVAILABLE)

    def test_streams_that_are_slow(self, eos, alice, box):
        for number in range(4):
            alice.put(f"{box}/{number}", b"")
        eos.fault("find_slow", path=box, seconds=0.1)
        assert timed(alice.names, box)[1] > 0.4

    def test_unavailable(self, eos, alice, file):
        eos.fault("grpc_unavailable", path=file, count=1)
        assert status_of(alice.md, file) is grpc.StatusCode.UNAVAILABLE
        assert alice.stat(file)

    def test_a_server_that_drops_its_connections(self, eos, alice, file):
        eos.fault("grpc_reset", path=file, count=1)
        assert status_of(alice.md, file) in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)

        def back():
            try:
                return alice.stat(file)
            except grpc.RpcError:
                return None

        assert eventually(back).size == 10


class TestRedirects:
    @pytest.mark.parametrize(("mode", "port"), [("self", 0), ("two", 1)])
    def test_loops(self, eos, alice, file, mode, port):
        eos.fault("redirect_loop", path=file, mode=mode)
        location = alice.location("GET", file)
        assert location.startswith(eos.mgm_urls[port])
        assert "encURI" not in location
        assert http_request(location, "GET", alice.headers).status == 307

    def test_a_port_where_nobody_listens(self, eos, alice, file):
        eos.fault("fst_down", path=file)
        with pytest.raises(ConnectionRefusedError):
            http_request(alice.location("GET", file))

    @pytest.mark.parametrize("fault", ["cap_expired", "cap_bad"])
    def test_capabilities_that_do_not_work(self, eos, alice, file, fault):
        eos.fault(fault, path=file, count=1)
        assert alice.get(file).status == 500
        assert alice.get(file).status == 200

    def test_replicas_that_are_offline(self, eos, alice, file):
        eos.fault("replica_offline", path=file)
        assert alice.mgm("GET", file).status == 500
        assert alice.mgm("PUT", file, x_upload_range="bytes=0-0", x_upload_totalsize="5").status == 500

    def test_an_erasure_coded_layout(self, eos, alice, file):
        eos.fault("rain_layout", path=file)
        assert alice.mgm("PUT", file, x_upload_range="bytes=0-0", x_upload_totalsize="5").status == 403


class TestPut:
    @pytest.mark.parametrize(
        ("fault", "parameters", "status"),
        [
            ("bad_checksum", {}, 412),
            ("close_error", {}, 500),
            ("commit_error", {}, 500),
            ("fst_enospc", {"bytes": 5}, 500),
        ],
    )
    def test_failures_at_the_end_leave_nothing(self, eos, alice, box, fault, parameters, status):
        eos.fault(fault, path=box, **parameters)
        assert alice.put(f"{box}/g", b"0123456789").status == status
        assert alice.missing(f"{box}/g")
        eos.clear_faults()
        alice.put(f"{box}/g", b"old")
        eos.fault(fault, path=box, **parameters)
        assert alice.put(f"{box}/g", b"0123456789", "eos.atomic=1").status == status
        assert alice.get(f"{box}/g").body == b"old"
        assert alice.names(box) == [f"{box}/g"]

    def test_an_open_that_fails_leaves_the_entry(self, eos, alice, box):
        eos.fault("fst_open_error", path=box, status=500)
        assert alice.put(f"{box}/g", b"x").status == 500
        assert alice.stat(f"{box}/g").size == 0

    @pytest.mark.parametrize("count", [0, 5])
    def test_resets(self, eos, alice, box, count):
        eos.fault("fst_reset", path=box, bytes=count)
        with pytest.raises(OSError):
            alice.put(f"{box}/g", b"0123456789")
        eventually(lambda: alice.missing(f"{box}/g"))

    def test_silence(self, eos, alice, box):
        rule = eos.fault("fst_silence", path=box)
        with start_put(alice.location("PUT", f"{box}/g"), 3, b"abc") as sock:
            sock.settimeout(0.3)
            with pytest.raises(TimeoutError):
                sock.recv(1)
            eos.clear_faults(rule)
            sock.settimeout(10)
            with pytest.raises(ConnectionResetError):
                sock.recv(1)

    @pytest.mark.parametrize("commit", [True, False])
    def test_no_answer_after_the_whole_body(self, eos, alice, box, commit):
        eos.fault("fst_no_reply", path=box, commit=commit)
        with pytest.raises(OSError):
            alice.put(f"{box}/g", b"0123456789")
        if commit:
            assert alice.stat(f"{box}/g").size == 10
        else:
            eventually(lambda: alice.missing(f"{box}/g"))

    def test_slow_ones(self, eos, alice, box):
        eos.fault("fst_slow", path=box, write_rate=1_000_000, latency=0.1, close=0.1)
        reply, elapsed = timed(alice.put, f"{box}/g", b"x" * 300_000)
        assert reply.status == 201
        assert elapsed > 0.45

    def test_a_committed_size_that_is_too_small(self, eos, alice, box):
        eos.fault("commit_short", path=box, bytes=3)
        assert alice.put(f"{box}/g", b"0123456789").status == 201
        assert alice.stat(f"{box}/g").size == 7

    def test_checksums_that_are_missing_or_late(self, eos, alice, box):
        eos.fault("checksum_missing", path=f"{box}/a")
        alice.put(f"{box}/a", b"0123456789")
        assert alice.stat(f"{box}/a").checksum.value == bytes.fromhex("00000001")
        eos.fault("altxs_missing", path=f"{box}/b")
        alice.put(f"{box}/b", b"0123456789")
        assert len(alice.stat(f"{box}/b").checksums) == 1
        eos.fault("altxs_late", path=f"{box}/c", seconds=0.4)
        alice.put(f"{box}/c", b"0123456789")
        assert len(alice.stat(f"{box}/c").checksums) == 1
        eventually(lambda: len(alice.stat(f"{box}/c").checksums) == 2)

    def test_a_last_part_without_space(self, eos, alice, box):
        alice.put(f"{box}/s", b"")
        eos.fault("enospc_on_last", path=box)
        assert alice.put_range(f"{box}/s", b"01", 0, 100, done=False).status == 201
        assert alice.put_range(f"{box}/s", b"2", 2, 3, done=True).status == 500

    def test_a_malformed_answer(self, eos, alice, box):
        eos.fault("malformed_500", path=box)
        parts = urlsplit(location := alice.location("PUT", f"{box}/g"))
        with socket.create_connection((parts.hostname, parts.port)) as sock:
            target = location.partition(parts.netloc)[2]
            sock.sendall(f"PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
            data = b"".join(iter(lambda: sock.recv(4096), b""))
        assert data.startswith(b"HTTP/1.1 500 ")
        assert b"\r\nduring chunk upload\r\n" in data


class TestGet:
    def test_bodies_that_are_too_short(self, eos, alice, file):
        eos.fault("short_body", path=file, bytes=3, count=1)
        with pytest.raises(http.client.IncompleteRead):
            alice.get(file)
        eos.fault("wrong_length", path=file, bytes=5, count=1)
        with pytest.raises(http.client.IncompleteRead):
            alice.get(file)
        assert alice.get(file).body == b"0123456789"

    def test_a_byte_that_is_wrong(self, eos, alice, file):
        eos.fault("corrupt_body", path=file, offset=4)
        body = alice.get(file).body
        assert (body[:4], body[5:], body[4]) == (b"0123", b"56789", ord("4") ^ 0xFF)

    def test_framings(self, eos, alice, file):
        eos.fault("chunked_body", path=file, count=1)
        assert alice.get(file).headers["transfer-encoding"] == "chunked"
        eos.fault("buggy206", path=file, count=1)
        assert alice.get(file, Range="bytes=0-4").body == b"5\r\n01"

    def test_a_reset_within_the_body(self, eos, alice, file):
        eos.fault("fst_reset", path=file, bytes=5)
        with pytest.raises(OSError):
            alice.get(file)

    def test_slow_ones(self, eos, alice, box):
        alice.put(f"{box}/big", b"x" * 300_000)
        eos.fault("fst_slow", path=box, read_rate=1_000_000)
        reply, elapsed = timed(alice.get, f"{box}/big")
        assert len(reply.body) == 300_000
        assert elapsed > 0.15


class TestServers:
    """Servers that go down, with or without the MGM knowing."""

    def test_an_fst_that_is_down(self, eos, alice, box):
        location = alice.location("PUT", f"{box}/f")
        number = eos.fst_ports.index(urlsplit(location).port)
        eos.fst(number, "down")
        try:
            with pytest.raises(ConnectionRefusedError):
                http_request(location, "PUT", {"Content-Length": "1"}, b"x")
        finally:
            eos.fst(number, "up")
        assert http_request(location, "PUT", {"Content-Length": "1"}, b"x").status == 201

    def test_an_fst_that_is_known_to_be_offline(self, eos, alice, box):
        eos.fst(0, "offline")
        try:
            ports = {urlsplit(alice.location("PUT", f"{box}/{n}")).port for n in range(4)}
            assert ports == {eos.fst_ports[1]}
            eos.fst(1, "offline")
            reply = alice.mgm("PUT", f"{box}/x")
            assert (reply.status, reply.body[:39]) == (507, b"Unable to get free physical space /eos/")
        finally:
            eos.fst(0, "up")
            eos.fst(1, "up")

    def test_one_that_comes_back_by_itself(self, eos, alice, file):
        location = alice.location("GET", file)
        eos.fst(eos.fst_ports.index(urlsplit(location).port), "down", seconds=0.3)

        def back():
            try:
                return http_request(location).status == 200
            except OSError:
                return False

        assert not back()
        eventually(back)

    def test_a_slave_redirects_writes_and_serves_reads(self, eos, box, alice, file):
        with Client(eos, 1000, 1000, mgm=1) as slave:
            assert slave.stat(file).size == 10
            assert slave.get(file).body == b"0123456789"
            location = slave.location("PUT", f"{box}/g")
            assert location.startswith(eos.mgm_urls[0])
            assert "encURI" not in location
            assert http_request(location, "PUT", {**slave.headers, "Content-Length": "0"}).status == 307
            assert slave.mkdir(f"{box}/d")[0] == 30

    def test_fail_over(self, eos, box, alice, file):
        with Client(eos, 1000, 1000, mgm=1) as other:
            assert other.mkdir(f"{box}/d")[0] == 30
            assert eos.fail_over() == 1
            try:
                assert status_of(alice.md, file) is grpc.StatusCode.UNAVAILABLE
                with pytest.raises(ConnectionRefusedError):
                    alice.mgm("GET", file)
                assert other.mkdir(f"{box}/d")[0] == 0
                assert other.put(f"{box}/d/f", b"x").status == 201
            finally:
                eos.mgm(0, "up")
                eos.admin("POST", "/master/0")

        def back():
            try:
                return alice.stat(f"{box}/d/f").size == 1
            except grpc.RpcError:
                return False

        eventually(back, 15)


def test_every_fault_has_a_test():
    text = Path(__file__).read_text(encoding="utf-8")
    # By HTTPS, in test_eos_emulator_command.py.
    elsewhere = {"redirect_plain_http"}
    assert [name for name in KINDS if f'"{name}"' not in text and name not in elsewhere] == []
