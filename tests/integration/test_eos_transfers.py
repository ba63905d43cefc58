"""Transfers of the EOS plugin against the emulator: both legs, ranges, framings, and what faults do to them."""

import os
import time
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from backends.api import (
    BackendConfig,
    BackendError,
    ConfigurationError,
    NoSuchObject,
    PermissionDenied,
    QuotaExceeded,
    StorageUnavailable,
)
from backends.eos.connection import Address
from backends.eos.data import HttpData
from backends.eos.interfaces import CloseFailed, Entry, EntryChanged, MissingParent, NotAFile, Role, Unanswered
from backends.eos.mgm import parsed_address
from backends.eos.options import options_of
from tests.support.eos import Client, Emulator

ALICE = Role(1000, 1000, "alice")
BOB = Role(1001, 1001, "bob")
MIB = 1 << 20


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with Emulator(tmp_path_factory.mktemp("eos"), mgms=2) as eos:
        yield eos


@pytest.fixture
def eos(emulator: Emulator) -> Iterator[Emulator]:
    emulator.reset_counters()
    yield emulator
    emulator.clear_faults()
    emulator.quirks(get_framing="content-length")
    # A test that found a leak fails, whatever else it looked at.
    counters = emulator.counters()
    for name in ("fst.leaked_keys", "fst.leaked_tokens", "fst.leaked_identities", "mgm.body_bytes", "fst.crashes"):
        assert not counters.get(name), (name, counters)


def made(emulator: Emulator, **options: Any) -> HttpData:
    settings = {
        "grpc": emulator.grpc_targets,
        "mgm": emulator.mgm_urls,
        "state": f"{emulator.root}/s3",
        "root": f"{emulator.root}/buckets",
        "service": {"uid": 900, "gid": 900},
        "authkey": emulator.key,
        "connect_timeout": 2.0,
        "data_timeout": 2.0,
        "close_timeout": 3.0,
        **options,
    }
    data = HttpData(options_of(BackendConfig(options=settings)))
    data.open()
    return data


@pytest.fixture(scope="module")
def data(emulator: Emulator) -> Iterator[HttpData]:
    data = made(emulator)
    yield data
    data.close()


@pytest.fixture(scope="module")
def client(emulator: Emulator) -> Iterator[Client]:
    with Client(emulator) as client:
        yield client


@pytest.fixture
def path(emulator: Emulator, request: pytest.FixtureRequest) -> str:
    return f"{emulator.home('alice')}/{abs(hash(request.node.name))} ü+%#&?"


def entry_of(client: Client, path: str) -> Entry:
    found = client.stat(path)
    return Entry(
        path=path,
        id=found.id,
        directory=False,
        uid=found.uid,
        gid=found.gid,
        size=found.size,
        etag=found.etag.strip('"'),
        checksum=(found.checksum.type, found.checksum.value[:4].hex()),
        attributes=dict(found.xattrs),
    )


def put(data: HttpData, path: str, body: bytes, *, announced: bool = True, role: Role = ALICE) -> int:
    writing = data.begin_write(role, path, length=len(body) if announced else None)
    try:
        for start in range(0, len(body), MIB):
            writing.write(body[start : start + MIB])
        return writing.finish().fid
    finally:
        writing.abort()


def get(data: HttpData, entry: Entry, offset: int = 0, length: int | None = None) -> bytes:
    download = data.open_read(ALICE, entry)
    try:
        return b"".join(download.read(offset, entry.size - offset if length is None else length))
    finally:
        download.close()


# -- both legs


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("size", [0, 1, 1000, MIB, 3 * MIB + 1])
def test_a_body_comes_back(
    eos: Emulator, data: HttpData, client: Client, path: str, size: int, announced: bool
) -> None:
    body = os.urandom(size)
    writing = data.begin_write(
        ALICE, path, length=size if announced else None, attributes={"user.a": "eA", "user.b": ""}
    )
    assert client.missing(path)
    for start in range(0, size, MIB):
        writing.write(body[start : start + MIB])
    written = writing.finish()
    entry = entry_of(client, path)
    assert (entry.id, entry.size) == (written.fid, size)
    assert entry.checksum == ("adler32", written.adler32)
    assert written.adler32 == f"{zlib.adler32(body):08x}"
    assert entry.attributes["user.a"] == b"eA"
    assert get(data, entry) == body
    if size > 10:
        assert get(data, entry, 3, size - 5) == body[3:-2]
        assert get(data, entry, size - 1, 1) == body[-1:]


def test_an_attribute_set_by_id_is_published_with_the_last_byte(data: HttpData, client: Client, path: str) -> None:
    from backends.eos.proto import namespace_pb2 as rpc

    put(data, path, b"old")
    writing = data.begin_write(ALICE, path, length=3)
    writing.write(b"ne")
    request = rpc.NSRequest.SetXAttrRequest(id=rpc.MDId(id=writing.fid, type=rpc.FILE), xattrs={"user.late": b"yes"})
    assert client.run(xattr=request)[0] == 0
    assert "user.late" not in entry_of(client, path).attributes
    writing.write(b"w")
    writing.finish()
    entry = entry_of(client, path)
    assert entry.attributes["user.late"] == b"yes"
    assert get(data, entry) == b"new"


@pytest.mark.parametrize("sent", [0, 1, 5000])
def test_a_put_that_is_given_up_changes_nothing(data: HttpData, client: Client, path: str, sent: int) -> None:
    put(data, path, b"old")
    writing = data.begin_write(ALICE, path, length=2 * MIB)
    writing.write(b"x" * sent)
    writing.abort()
    assert get(data, entry_of(client, path)) == b"old"


def test_another_length_than_announced_is_refused(data: HttpData, client: Client, path: str) -> None:
    with pytest.raises(ValueError):
        data.begin_write(ALICE, path, length=4).write(b"12345")
    writing = data.begin_write(ALICE, path, length=4)
    writing.write(b"123")
    with pytest.raises(ValueError):
        writing.finish()
    assert client.missing(path)


def test_refusals_are_told_apart(data: HttpData, client: Client, eos: Emulator, path: str) -> None:
    with pytest.raises(MissingParent):
        data.begin_write(ALICE, f"{path}/none/such", length=1)
    with pytest.raises(NotAFile):
        data.begin_write(ALICE, eos.home("alice"), length=1)
    with pytest.raises(PermissionDenied):
        data.begin_write(BOB, path, length=1)
    eos.fault("quota", count=1)
    with pytest.raises(QuotaExceeded):
        data.begin_write(ALICE, path, length=1)
    put(data, path, b"data")
    entry = entry_of(client, path)
    client.unlink(path)
    with pytest.raises(NoSuchObject):
        data.open_read(ALICE, entry)
    put(data, path, b"atad")
    with pytest.raises(EntryChanged):
        data.open_read(ALICE, entry)


def test_an_open_file_is_read_on_when_its_name_is_taken(data: HttpData, client: Client, path: str) -> None:
    body = os.urandom(8 * MIB)
    put(data, path, body)
    download = data.open_read(ALICE, entry_of(client, path))
    blocks = download.read(0, len(body))
    first = next(blocks)
    put(data, path, b"new")
    assert first + b"".join(blocks) == body
    try:
        # Another transfer finds the old file where an FST has not removed it yet, and never the new one.
        assert b"".join(download.read(5, 10)) == body[5:15]
    except StorageUnavailable:
        pass
    download.close()


def test_ranges_write_a_file_and_a_last_one_gives_it_its_checksum(data: HttpData, client: Client, path: str) -> None:
    fid = data.create_empty(ALICE, path)
    data.write_range(ALICE, path, [b"b" * 400, b"c" * 100], 500, 500, 1 << 40, fid)
    data.write_range(ALICE, path, [b"a" * 500], 500, 0, 1 << 40, fid)
    body = b"a" * 500 + b"b" * 400 + b"c" * 100
    assert entry_of(client, path).checksum != ("adler32", f"{zlib.adler32(body):08x}")
    data.write_range(ALICE, path, [b"c"], 1, 999, 1000, fid, last=True)
    entry = entry_of(client, path)
    assert entry.checksum == ("adler32", f"{zlib.adler32(body):08x}")
    assert get(data, entry) == body


def test_commands_answer_with_their_code(data: HttpData, client: Client, path: str) -> None:
    put(data, path, b"a & b")
    put(data, path + "2", b"old")
    command = {"mgm.cmd": "file", "mgm.subcmd": "rename", "mgm.path": path, "mgm.file.target": path + "2"}
    assert data.run(ALICE, command)[0] == 0
    code, text = data.run(ALICE, command)
    assert (code, "No such file" in text) == (2, True)
    assert get(data, entry_of(client, path + "2")) == b"a & b"


# -- framings


def test_a_body_that_looks_like_a_chunk_is_not_taken_for_one(data: HttpData, client: Client, path: str) -> None:
    body = b"1\r\n5\r\n2\r\n" * 100
    put(data, path, body)
    entry = entry_of(client, path)
    for offset in range(10):
        for length in (1, 2, 3, 4, 100):
            assert get(data, entry, offset, length) == body[offset : offset + length]


@pytest.mark.parametrize("framing", ["chunked", "buggy206"])
def test_framings_of_other_releases(eos: Emulator, data: HttpData, client: Client, path: str, framing: str) -> None:
    body = os.urandom(MIB + 5)
    put(data, path, body)
    entry = entry_of(client, path)
    eos.quirks(get_framing=framing)
    fresh = made(eos)
    try:
        for offset, length in ((0, None), (1, 1), (1, 2), (1, 17), (5, MIB), (MIB, 5)):
            end = len(body) if length is None else offset + length
            assert get(fresh, entry, offset, length) == body[offset:end]
    finally:
        fresh.close()


# -- faults: what passes by itself is not seen, and what stays is told


ONCE = [
    ("fst_down", {}), ("cap_expired", {}), ("cap_bad", {}), ("fst_open_error", {}), ("malformed_500", {}),
    ("mgm_disconnect", {}), ("mgm_stall_http", {"status": 503}), ("mgm_error", {}), ("redirect_loop", {}),
    ("redirect_loop", {"mode": "two"}), ("fst_reset", {"bytes": 0}),
]  # fmt: skip
READS = [
    ("fst_reset", {"bytes": 300_000}), ("short_body", {"bytes": 1}), ("short_body", {"bytes": 500_000}),
    ("wrong_length", {}), ("chunked_body", {}), ("corrupt_body", {"offset": 5}), ("fst_silence", {}),
    ("replica_offline", {}),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "parameters"), [*ONCE, *READS], ids=str)
def test_a_read_goes_on_after_a_fault_that_passes(
    eos: Emulator, data: HttpData, client: Client, path: str, fault: str, parameters: dict[str, Any]
) -> None:
    body = os.urandom(MIB)
    put(data, path, body)
    rule = eos.fault(fault, operation="GET", count=1, **parameters)
    assert get(data, entry_of(client, path)) == body
    assert eos.hits(rule) == 1


@pytest.mark.parametrize("fault", ["fst_reset", "short_body"])
def test_a_long_read_goes_on_where_it_broke_off(
    eos: Emulator, data: HttpData, client: Client, path: str, fault: str
) -> None:
    body = os.urandom(5 * MIB)
    put(data, path, body)
    eos.fault(fault, operation="fst.GET", count=3, bytes=MIB)
    assert get(data, entry_of(client, path)) == body


def test_damage_in_a_long_body_keeps_its_end_back(eos: Emulator, data: HttpData, client: Client, path: str) -> None:
    body = os.urandom(3 * MIB)
    put(data, path, body)
    eos.fault("corrupt_body", operation="fst.GET", offset=MIB)
    download = data.open_read(ALICE, entry_of(client, path))
    received: list[bytes] = []
    with pytest.raises(StorageUnavailable, match="damaged"):
        received.extend(download.read(0, len(body)))
    download.close()
    assert 0 < sum(map(len, received)) < len(body)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(("fault", "parameters"), ONCE, ids=str)
def test_a_put_begins_elsewhere_after_a_fault_that_passes(
    eos: Emulator, data: HttpData, client: Client, path: str, fault: str, parameters: dict[str, Any], large: bool
) -> None:
    body = os.urandom(2 * MIB if large else 1000)
    rule = eos.fault(fault, operation="PUT", count=1, **parameters)
    # A small body is on its way with the head: whoever has it sends it again.
    for _ in range(2):
        try:
            put(data, path, body)
            break
        except (StorageUnavailable, CloseFailed, Unanswered):
            assert not large or fault in ("fst_reset",)
    assert eos.hits(rule) == 1
    assert get(data, entry_of(client, path)) == body


FATAL: list[tuple[str, dict[str, Any], type[BackendError]]] = [
    ("bad_checksum", {}, CloseFailed), ("close_error", {}, CloseFailed), ("commit_error", {}, CloseFailed),
    ("fst_no_reply", {"commit": False}, Unanswered), ("fst_enospc", {"bytes": 1000}, BackendError),
    ("fst_reset", {"bytes": 1_500_000}, BackendError), ("fst_silence", {}, BackendError),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "parameters", "error"), FATAL, ids=str)
def test_a_put_that_fails_leaves_what_was_there(
    eos: Emulator,
    data: HttpData,
    client: Client,
    path: str,
    fault: str,
    parameters: dict[str, Any],
    error: type[BackendError],
) -> None:
    put(data, path, b"old")
    impatient = made(eos, retries=0, data_timeout=1.0, close_timeout=1.0)
    try:
        eos.fault(fault, operation="fst.PUT|commit", **parameters)
        with pytest.raises(error):
            put(impatient, path, os.urandom(2 * MIB if fault in ("fst_reset", "fst_enospc") else 1000))
        eos.clear_faults()
        assert get(impatient, entry_of(client, path)) == b"old"
    finally:
        impatient.close()


def test_a_put_that_was_not_answered_may_have_been_done(
    eos: Emulator, data: HttpData, client: Client, path: str
) -> None:
    eos.fault("fst_no_reply", count=1, commit=True)
    with pytest.raises(Unanswered) as caught:
        put(data, path, b"data")
    assert entry_of(client, path).id == caught.value.fid


@pytest.mark.parametrize("mode", ["self", "two"])
def test_redirects_do_not_go_round_for_ever(eos: Emulator, path: str, mode: str) -> None:
    eos.fault("redirect_loop", mode=mode)
    bounded = made(eos, retries=2)
    try:
        with pytest.raises(StorageUnavailable):
            put(bounded, path, b"data")
        assert eos.counters()["mgm.PUT"] == 3
    finally:
        bounded.close()


def test_an_mgm_that_is_down_is_passed_over(eos: Emulator, client: Client, path: str) -> None:
    data = made(eos)
    try:
        put(data, path, b"before")
        eos.fail_over()
        put(data, path, b"after")
        eos.mgm(0, "up")
        assert get(data, entry_of(Client(eos, mgm=1), path)) == b"after"
    finally:
        eos.mgm(0, "up")
        eos.admin("POST", "/master/0")
        data.close()


def test_idle_connections_are_used_again_and_dead_ones_are_not(
    eos: Emulator, data: HttpData, client: Client, path: str
) -> None:
    put(data, path, b"data")
    for number in (0, 1):
        eos.fst(number, "down")
        eos.fst(number, "up")
    assert get(data, entry_of(client, path)) == b"data"


def test_silence_is_bounded(eos: Emulator, client: Client, path: str) -> None:
    quick = made(eos, retries=0, data_timeout=0.5)
    try:
        put(quick, path, b"data")
        entry = entry_of(client, path)
        eos.fault("fst_silence")
        started = time.monotonic()
        with pytest.raises(StorageUnavailable):
            get(quick, entry)
        assert time.monotonic() - started < 30
    finally:
        quick.close()


# -- parts of it


@pytest.mark.parametrize(
    ("url", "address", "target"),
    [
        ("http://h:1/a%2Fb?encURI=x%3D", Address(False, "h", 1), "/a%2Fb?encURI=x%3D"),
        ("https://h/a", Address(True, "h", 443), "/a"),
        ("http://[::1]:8001/a", Address(False, "::1", 8001), "/a"),
        ("http://[::1]", Address(False, "::1", 80), "/"),
        ("http://h?x=/:5", Address(False, "h", 80), "?x=/:5"),
    ],
)
def test_locations_are_taken_apart_and_not_changed(url: str, address: Address, target: str) -> None:
    assert parsed_address(url) == (address, target)


@pytest.mark.parametrize("url", ["ftp://h/", "/a", "http://", "http://u@h/", "http://h:x/"])
def test_what_is_no_location_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        parsed_address(url)


def test_a_certificate_that_is_not_there_stops_the_start(emulator: Emulator) -> None:
    with pytest.raises(ConfigurationError, match="http_tls"):
        made(emulator, http_tls={"ca": "/nowhere"})
