"""Multipart uploads of the EOS plugin where the conformance suite does not look: what moves, what breaks, who may."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import pytest

from backends.api import Backend, BucketRecord, ConfigurationError, NoSuchUpload, PermissionDenied, StorageUnavailable
from backends.eos.upload_places import place_of
from backends.eos.upload_states import COMPLETED, Completed
from backends.testkit.harness import Box, all_fine, together
from backends.testkit.sources import content
from backends.testkit.uploading import Upload
from tests.support.eos import Client, Emulator
from tests.support.eos_plugin import ALICE, BOB, opened, prepare

PART = 300_000


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with Emulator(tmp_path_factory.mktemp("eos"), "--layout", "replica:2:adler32") as eos:
        prepare(eos)
        yield eos


@pytest.fixture
def eos(emulator: Emulator) -> Iterator[Emulator]:
    emulator.reset_counters()
    yield emulator
    emulator.clear_faults()
    counters = emulator.counters()
    for name in ("fst.leaked_keys", "fst.leaked_identities", "mgm.body_bytes", "fst.crashes"):
        assert not counters.get(name), (name, counters)


@pytest.fixture(scope="module")
def backend(emulator: Emulator) -> Iterator[Backend]:
    with opened(emulator, data_timeout=3.0, close_timeout=3.0, multipart="offset") as backend:
        backend.create_bucket(ALICE, BucketRecord(name="uploads", created=1))
        yield backend


@pytest.fixture
def upload(backend: Backend, request: pytest.FixtureRequest) -> Iterator[Upload]:
    upload = Upload.begin(Box(backend, ALICE, "uploads"), f"dir/{abs(hash(request.node.name))}")
    yield upload
    upload.abort()


def bodies(count: int) -> list[bytes]:
    return [content(PART, number) for number in range(count - 1)] + [content(1000, 99)]


def data_of(upload: Upload) -> bytes:
    return upload.box.data(upload.record.key)


def bytes_moved(eos: Emulator) -> int:
    return sum(value for name, value in eos.counters().items() if name.endswith(("bytes_in", "bytes_out")))


def test_a_completion_moves_no_data(eos: Emulator, upload: Upload) -> None:
    datas = bodies(6)
    parts = [upload.put(1, datas[0])]
    parts += all_fine(together([partial(upload.put, number, data) for number, data in enumerate(datas[1:], 2)]))
    assert {place_of(part).in_lane for part in parts} == {True}
    assert len({place_of(part).file for part in parts}) == 1
    moved = bytes_moved(eos)
    upload.complete(parts)
    assert bytes_moved(eos) - moved < 100
    assert data_of(upload) == b"".join(datas)


def test_a_part_that_is_sent_again_is_all_that_is_copied(eos: Emulator, upload: Upload) -> None:
    datas = bodies(6)
    parts = upload.put_all(datas)
    replaced, parts[2] = parts[2], upload.put(3, content(PART, 50))
    upload.discard(replaced)
    assert not place_of(parts[2]).in_lane
    moved = bytes_moved(eos)
    upload.complete(parts)
    assert bytes_moved(eos) - moved < 2 * PART + 100
    datas[2] = content(PART, 50)
    assert data_of(upload) == b"".join(datas)


def test_the_object_belongs_to_the_caller_and_has_its_checksum(eos: Emulator, upload: Upload) -> None:
    upload.complete(upload.put_all(bodies(3)))
    path = f"{eos.root}/buckets/uploads/{upload.record.key}"
    entry = eos.entry(path)
    assert entry is not None
    assert entry["uid"] == 1000
    upload.abort()
    directory = path.rpartition("/")[0]
    assert eos.entry(f"{eos.root}/s3/uploads/uploads/{upload.record.id}") is None
    assert eos.entry(directory) is not None


BREAKS: list[tuple[str, dict[str, Any]]] = [
    ("fst_reset", {"bytes": 100_000}), ("fst_no_reply", {"commit": True}), ("fst_no_reply", {"commit": False}),
    ("commit_short", {}), ("close_error", {}), ("fst_down", {}), ("cap_expired", {}), ("mgm_disconnect", {}),
    ("stale_stat", {"seconds": 0.3}), ("checksum_missing", {}), ("enospc_on_last", {}),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "parameters"), BREAKS, ids=str)
def test_faults_that_pass_are_not_seen(eos: Emulator, upload: Upload, fault: str, parameters: dict[str, Any]) -> None:
    datas = bodies(3)
    parts = [upload.put(1, datas[0])]
    eos.fault(fault, operation="PUT|commit", count=1, **parameters)
    parts.append(upload.put(2, datas[1]))
    parts.append(upload.put(3, datas[2]))
    eos.fault(fault, operation="PUT|commit", count=1, **parameters)
    assert upload.load().parts == tuple(parts)
    upload.complete(parts)
    assert data_of(upload) == b"".join(datas)


def test_a_completion_that_cannot_be_finished_can_be_tried_again(eos: Emulator, upload: Upload) -> None:
    parts = upload.put_all(bodies(3))
    lie = eos.fault("mgm_rename_lie")
    with pytest.raises(StorageUnavailable):
        upload.complete(parts)
    assert not upload.box.exists(upload.record.key)
    eos.clear_faults(lie)
    upload.complete(parts)
    assert data_of(upload) == b"".join(bodies(3))


@pytest.mark.parametrize("numbers", [(2, 3), (1, 2, 3)], ids=["joined", "in place"])
def test_a_completion_without_space_leaves_the_old_object_and_the_parts(
    eos: Emulator, upload: Upload, numbers: tuple[int, ...]
) -> None:
    upload.box.put(upload.record.key, b"old")
    parts = upload.put_all(bodies(3))
    chosen = [parts[number - 1] for number in numbers]
    eos.fault("fst_enospc")
    with pytest.raises(StorageUnavailable):
        upload.complete(chosen)
    assert data_of(upload) == b"old"
    eos.clear_faults()
    upload.complete(chosen)
    assert data_of(upload) == b"".join(bodies(3)[number - 1] for number in numbers)


@pytest.mark.parametrize(("then", "numbers"), [("read", (2, 3)), ("abort", (1, 2, 3)), ("complete", (2, 3))])
def test_what_a_rename_that_fails_has_taken_away_comes_back(
    eos: Emulator, upload: Upload, then: str, numbers: tuple[int, ...]
) -> None:
    """EOS's rename replaces nothing: the old object has gone by then."""
    upload.box.put(upload.record.key, b"old")
    parts = upload.put_all(bodies(3))
    chosen = [parts[number - 1] for number in numbers]
    eos.fault("mgm_rename_lie")
    with pytest.raises(StorageUnavailable):
        upload.complete(chosen)
    eos.clear_faults()
    if then == "abort":
        upload.abort()
    elif then == "complete":
        upload.complete(chosen)
    # On a busy machine the lock may run out before the old one is touched.
    left = () if then == "complete" else (b"old",)
    assert data_of(upload) in (b"".join(bodies(3)[number - 1] for number in numbers), *left)


def test_a_file_that_eos_has_deleted_is_not_taken_for_the_object(
    eos: Emulator, backend: Backend, upload: Upload
) -> None:
    parts = upload.put_all(bodies(3))
    states = backend._uploads._states  # type: ignore[attr-defined]
    (lane,) = states.whole("uploads", upload.record.id).lanes
    # A process that was killed right before the rename.
    note = Completed(lane.file, lane.fid, upload.record.draft)
    states.set("uploads", upload.record.id, {COMPLETED: msgspec.json.encode(note)})
    with Client(eos) as alice:
        hidden = f"{eos.root}/buckets/uploads/dir/.sys.shardgate.{upload.record.id}.{lane.file}"
        assert alice.unlink(hidden)[0] == 0
    with pytest.raises(NoSuchUpload):
        upload.complete(parts)
    assert upload.load().completed is None
    assert upload.load().parts == ()
    upload.complete(upload.put_all(bodies(3)))
    assert data_of(upload) == b"".join(bodies(3))


def test_a_completion_goes_on_where_the_last_range_keeps_failing(eos: Emulator, upload: Upload) -> None:
    parts = upload.put_all(bodies(3))
    eos.fault("enospc_on_last")
    upload.complete(parts)
    assert data_of(upload) == b"".join(bodies(3))


@pytest.mark.parametrize("numbers", [(2,), (1, 2)], ids=["joined", "in place"])
def test_a_completed_object_is_never_cut_short(eos: Emulator, upload: Upload, numbers: tuple[int, ...]) -> None:
    datas = bodies(3)
    parts = upload.put_all(datas)
    short = eos.fault("commit_short", operation="commit", count=1)
    upload.complete([parts[number - 1] for number in numbers])
    assert eos.hits(short) == 1
    assert data_of(upload) == b"".join(datas[number - 1] for number in numbers)


def test_parts_of_a_file_that_eos_has_deleted_are_gone_and_can_be_sent_again(
    eos: Emulator, backend: Backend, upload: Upload
) -> None:
    """What an interrupted range PUT does to a file with one replica."""
    parts = upload.put_all(bodies(3))
    lane = place_of(parts[0]).file
    path = f"{eos.root}/buckets/uploads/dir/.sys.shardgate.{upload.record.id}.{lane}"
    assert eos.entry(path) is not None
    backend._namespace.unlink(backend._identities.role(ALICE), path)  # type: ignore[attr-defined]
    assert upload.load().parts == ()
    with pytest.raises(NoSuchUpload):
        upload.complete(parts)
    again = upload.put_all(bodies(3))
    assert eos.entry(path) is None
    upload.complete(again)
    assert data_of(upload) == b"".join(bodies(3))


def test_where_the_layout_refuses_ranges_parts_get_files(eos: Emulator, upload: Upload) -> None:
    first = upload.put(1, content(PART))
    eos.fault("rain_layout")
    second, third = upload.put(2, content(PART, 1)), upload.put(3, content(10, 2))
    assert [place_of(part).in_lane for part in (first, second, third)] == [True, False, False]
    upload.complete([first, second, third])
    assert data_of(upload) == content(PART) + content(PART, 1) + content(10, 2)


@pytest.mark.parametrize(("layout", "ranges"), [("plain", False), ("replica:2:adler32", True), ("replica:1", False)])
def test_by_default_ranges_are_used_where_an_interrupted_one_loses_nothing(
    tmp_path_factory: pytest.TempPathFactory, layout: str, ranges: bool
) -> None:
    with Emulator(tmp_path_factory.mktemp("other"), "--layout", layout) as eos:
        prepare(eos)
        with opened(eos) as backend:
            backend.create_bucket(ALICE, BucketRecord(name="uploads", created=1))
            upload = Upload.begin(Box(backend, ALICE, "uploads"))
            parts = upload.put_all(bodies(3))
            assert {place_of(part).in_lane for part in parts} == {ranges}
            upload.complete(parts)
            assert data_of(upload) == b"".join(bodies(3))


def test_large_parts_are_spooled_to_disk(emulator: Emulator, backend: Backend, tmp_path_factory: Any) -> None:
    spool = tmp_path_factory.mktemp("spool")
    with opened(emulator, multipart="offset", part_buffer=1000, spool=str(spool)) as other:
        upload = Upload.begin(Box(other, ALICE, "uploads"), "spooled")
        upload.complete(upload.put_all(bodies(3)))
        assert data_of(upload) == b"".join(bodies(3))
        upload.abort()
    assert not list(spool.iterdir())
    with opened(emulator, multipart="offset", part_buffer=1000, spool="/nowhere") as other:
        upload = Upload.begin(Box(other, ALICE, "uploads"), "spooled")
        with pytest.raises(StorageUnavailable, match="spool"):
            upload.put(1, content(PART))
        upload.abort()


def test_who_may_not_write_to_the_directory_may_not_write_parts(upload: Upload) -> None:
    upload.put(1, content(PART))
    theirs = replace(upload, box=replace(upload.box, caller=BOB))
    with pytest.raises(PermissionDenied):
        theirs.put(2, content(PART))
    with pytest.raises(PermissionDenied):
        theirs.put(1, content(PART))
    assert len(upload.load().parts) == 1


def test_what_eos_refuses_the_gateway_itself_is_no_refusal_of_the_client(eos: Emulator, upload: Upload) -> None:
    parts = upload.put_all(bodies(2))
    eos.fault("find_abort", path="/s3/uploads/", status=7)
    with pytest.raises(StorageUnavailable, match="the gateway's own account"):
        upload.complete(parts)
    eos.clear_faults()
    upload.complete(parts)
    assert data_of(upload) == b"".join(bodies(2))


def test_what_is_left_of_an_upload_that_was_being_removed_is_swept(eos: Emulator, backend: Backend) -> None:
    upload = Upload.begin(Box(backend, ALICE, "uploads"), "dir/left")
    part = upload.put(1, content(PART))
    path = f"{eos.root}/buckets/uploads/dir/.sys.shardgate.{upload.record.id}.{place_of(part).file}"
    # A process that is killed after the first step of an abortion.
    backend._uploads._states.set("uploads", upload.record.id, remove=("user.upload",))  # type: ignore[attr-defined]
    with pytest.raises(NoSuchUpload):
        upload.load()
    assert eos.entry(path) is not None
    assert backend.sweep_uploads(ALICE, 0) >= 1
    assert eos.entry(path) is None
    assert eos.entry(f"{eos.root}/s3/uploads/uploads/{upload.record.id}") is None


def test_data_requests_may_bear_tokens_of_the_user(eos: Emulator, backend: Backend) -> None:
    with opened(eos, multipart="offset", tokens=True) as other:
        box = Box(other, ALICE, "uploads")
        stored = box.put("tokens/a/key", content(PART), tags={"a": "b"})
        assert box.get("tokens/a/key") == (stored, content(PART))
        upload = Upload.begin(box, "tokens/b/key")
        upload.complete(upload.put_all(bodies(3)))
        assert data_of(upload) == b"".join(bodies(3))
        upload.abort()
        with pytest.raises(PermissionDenied):
            replace(box, caller=BOB).put("tokens/a/key", b"theirs")
        for key in ("tokens/a/key", "tokens/b/key"):
            box.delete(key)
    assert not eos.counters().get("fst.leaked_tokens")


def test_an_instance_without_tokens_stops_the_start(eos: Emulator) -> None:
    eos.quirks(token_generation=0)
    try:
        with pytest.raises(ConfigurationError, match="tokens"), opened(eos, tokens=True):
            pass
    finally:
        eos.quirks(token_generation=1)
