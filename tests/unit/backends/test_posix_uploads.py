"""Uploads of the posix plugin: where parts lie, what is copied, what failures and dead processes leave."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from backends.api import (
    BackendConfig,
    BucketRecord,
    Caller,
    NoSuchUpload,
    PartRecord,
    Precondition,
    PreconditionFailed,
    StorageFull,
    StorageUnavailable,
)
from backends.faultpoints import VARIABLE
from backends.posix import PosixBackend, joining, regions, uploads
from backends.testkit.harness import Box, all_fine, meanwhile
from backends.testkit.sources import Body, BodyBroke, BrokenBody, GatedBody, content
from backends.testkit.uploading import Upload, upload_ids

PART = 128 * 1024
Arm = Callable[[str, str], Path]


@pytest.fixture(params=[True, False], ids=["durable", "relaxed"])
def box(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Box]:
    yield from opened_box(tmp_path, durable=request.param)


@pytest.fixture
def relaxed_box(tmp_path: Path) -> Iterator[Box]:
    yield from opened_box(tmp_path, durable=False)


def opened_box(directory: Path, *, durable: bool) -> Iterator[Box]:
    backend = PosixBackend(BackendConfig(directory=str(directory), durable=durable))
    backend.open()
    caller = Caller(account_id="test")
    backend.create_bucket(caller, BucketRecord(name="bucket", created=1))
    yield Box(backend, caller, "bucket")
    backend.close()


@pytest.fixture
def upload(box: Box) -> Upload:
    return Upload.begin(box)


@pytest.fixture
def arm(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Arm:
    """Arms a fault point."""
    directory = tmp_path_factory.mktemp("faults")
    monkeypatch.setenv(VARIABLE, str(directory))

    def arm(name: str, action: str) -> Path:
        path = directory / name
        path.write_text(action)
        return path

    return arm


def home(upload: Upload) -> Path:
    """The upload's directory."""
    assert upload.box.backend.config.directory is not None
    return Path(upload.box.backend.config.directory) / ".shardgate" / "uploads" / "bucket" / upload.record.id


def own_files(upload: Upload) -> int:
    return len(list((home(upload) / "parts").iterdir()))


class Copies:
    """Counts the bytes that are copied."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes = 0
        real = regions.copy_range

        def counted(path: str, offset: int, target: int, target_offset: int, length: int) -> None:
            self.bytes += length
            real(path, offset, target, target_offset, length)

        monkeypatch.setattr(joining, "copy_range", counted)


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> Copies:
    return Copies(monkeypatch)


# -- places


@pytest.mark.parametrize("order", [[1, 2, 3, 4], [3, 1, 4, 2], [2, 4, 3, 1]], ids=str)
def test_a_regular_upload_is_moved_not_copied(upload: Upload, copies: Copies, order: list[int]) -> None:
    datas = {1: content(PART, 1), 2: content(PART, 2), 3: content(PART, 3), 4: content(777)}
    parts = {number: upload.put(number, datas[number]) for number in order}
    inode = (home(upload) / "data").stat().st_ino
    upload.complete([parts[number] for number in sorted(parts)])
    assert copies.bytes == 0
    assert Path(f"{upload.box.backend.config.directory}/bucket/dir/key").stat().st_ino == inode
    assert upload.box.data("dir/key") == b"".join(datas[number] for number in sorted(datas))


def test_only_the_last_part_is_copied_when_it_came_first(upload: Upload, copies: Copies) -> None:
    datas = [content(PART, 1), content(PART, 2), content(PART, 3), content(777)]
    last = upload.put(4, datas[3])
    parts = [upload.put(number, data) for number, data in enumerate(datas[:3], 1)]
    upload.complete([*parts, last])
    assert copies.bytes == 777
    assert upload.box.data("dir/key") == b"".join(datas)


def test_only_a_part_that_was_sent_again_is_copied(upload: Upload, copies: Copies) -> None:
    parts = upload.put_all([content(PART, seed) for seed in range(5)])
    again = upload.put(2, content(PART, 50))
    upload.discard(parts[1])
    assert own_files(upload) == 1
    upload.complete([parts[0], again, *parts[2:]])
    assert copies.bytes == PART


def test_a_part_that_broke_off_leaves_its_place_free(upload: Upload, copies: Copies) -> None:
    upload.put(1, content(PART))
    with pytest.raises(BodyBroke):
        upload.put_body(2, BrokenBody(content(PART), PART // 2, BodyBroke("gone")))
    part = upload.put(2, content(PART, 2))
    assert part.place == f"data:{PART}"
    assert own_files(upload) == 0


def test_a_place_with_the_bytes_of_a_dead_process_is_not_used(upload: Upload) -> None:
    first = upload.put(1, content(PART))
    with (home(upload) / "data").open("r+b") as file:
        file.seek(PART)
        file.write(b"left behind")
    second = upload.put(2, content(PART, 2))
    assert own_files(upload) == 1
    upload.complete([first, second])
    assert upload.box.data("dir/key") == content(PART) + content(PART, 2)


def test_two_parts_never_share_a_place(upload: Upload) -> None:
    body = GatedBody(content(PART, 1))
    with meanwhile(partial(upload.put_body, 1, body)) as outcome:
        assert body.reached.wait(20)
        second = upload.put(1, content(PART, 2))
        body.gate.set()
    (first,) = all_fine(outcome)
    assert first.place == "data:0"
    assert second.place.startswith("file:")


def test_far_places_are_not_used(upload: Upload) -> None:
    """Part 10,000 of a size that would make the file larger than S3's largest object."""
    fallocated = (5 << 40) // 9_999 // 4096 * 4096
    source = Body(b"", announced=fallocated + 4096)
    with pytest.raises(ValueError):
        upload.put_body(10_000, source)
    assert os.readlink(home(upload) / "part-size") == f"{fallocated + 4096}/data"
    assert upload.put(10_000, b"x").place.startswith("file:")


def test_a_file_system_without_holes_is_served_too(
    upload: Upload, copies: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a one says that everything before a file's end is data."""
    monkeypatch.setattr(uploads, "is_hole", lambda descriptor, offset, length: offset >= os.fstat(descriptor).st_size)
    monkeypatch.setattr(uploads, "punch_hole", lambda *range: False)
    datas = [content(PART, seed) for seed in range(5)]
    with pytest.raises(BodyBroke):
        upload.put_body(1, BrokenBody(content(PART), PART, BodyBroke("gone")))
    parts = {number: upload.put(number, datas[number - 1]) for number in (3, 1, 5, 2, 4)}
    upload.complete([parts[number] for number in sorted(parts)])
    assert upload.box.data("dir/key") == b"".join(datas)


def test_a_file_system_that_cannot_copy_by_itself_is_served_too(
    upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: int) -> int:
        raise OSError(errno.EXDEV, "no")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    datas = [content(10, 1), content(3 << 20, 2), content(PART, 3)]
    upload.complete(upload.put_all(datas))
    assert upload.box.data("dir/key") == b"".join(datas)


# -- completion beside parts


def test_a_completion_waits_for_a_part_that_is_being_written(
    upload: Upload, copies: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = upload.put(1, content(PART))
    body = GatedBody(content(PART, 2))
    with meanwhile(partial(upload.put_body, 2, body)) as late:
        assert body.reached.wait(20)
        with meanwhile(partial(upload.complete, [part])) as outcome:
            body.gate.set()
    assert outcome[0].error is None, outcome
    assert upload.box.data("dir/key") == content(PART)
    # The part was stored before the completion, which therefore must not cut it off, or it came too late.
    assert late[0].error is None or isinstance(late[0].error, NoSuchUpload)


def test_a_completion_does_not_wait_for_ever(upload: Upload, copies: Copies, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "_PATIENCE", 0.05)
    parts = upload.put_all([content(PART, 1), content(PART, 2)])
    body = GatedBody(content(PART, 3))
    with meanwhile(partial(upload.put_body, 3, body)) as late:
        assert body.reached.wait(20)
        upload.complete(parts)
        assert upload.box.data("dir/key") == content(PART, 1) + content(PART, 2)
        body.gate.set()
    assert isinstance(late[0].error, NoSuchUpload)
    assert copies.bytes == 2 * PART
    assert upload.box.data("dir/key") == content(PART, 1) + content(PART, 2)


def test_a_part_that_is_noted_late_is_not_cut_off_by_a_failed_completion(upload: Upload, arm: Arm) -> None:
    """Between the last byte of a part and its note a completion fails: the part must be whole afterwards."""
    upload.box.put("dir/key", b"in the way")
    first = upload.put(1, content(PART, 1))
    armed = arm("posix.part.logging", "pause")
    with meanwhile(partial(upload.put, 2, content(PART, 2))) as outcome:
        while armed.exists():
            pass
        with meanwhile(partial(upload.complete, [first], Precondition(if_none_match=("*",)))) as completion:
            Path(f"{armed}.go").touch()
    assert isinstance(completion[0].error, PreconditionFailed)
    (second,) = all_fine(outcome)
    upload.complete([first, second])
    assert upload.box.data("dir/key") == content(PART, 1) + content(PART, 2)


def test_the_upload_is_held_while_it_is_completed(upload: Upload, arm: Arm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_PATIENCE", 0.05)
    parts = upload.put_all([content(PART, 1), content(9)])
    armed = arm("posix.complete.noted", "pause")
    with meanwhile(partial(upload.complete, parts)) as outcome:
        while armed.exists():
            pass
        for call in (upload.abort, partial(upload.complete, parts)):
            with pytest.raises(StorageUnavailable):
                call()
        assert upload.load().completed is None
        Path(f"{armed}.go").touch()
    assert outcome[0].error is None
    upload.abort()
    assert upload.box.data("dir/key") == content(PART, 1) + content(9)


# -- failures


POINTS = ["posix.complete.filling", "posix.complete.joined", "posix.complete.noted"]


@pytest.mark.parametrize("action", ["full", "broken"])
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("sizes", [[PART, PART, 5], [5, PART, 70, PART]], ids=["regular", "irregular"])
def test_a_completion_that_fails_half_way_can_be_repeated(
    upload: Upload, arm: Arm, sizes: list[int], point: str, action: str
) -> None:
    upload.box.put("dir/key", b"old")
    datas = [content(size, seed) for seed, size in enumerate(sizes)]
    parts = upload.put_all(datas)
    arm(point, action)
    with pytest.raises(StorageFull if action == "full" else StorageUnavailable):
        upload.complete(parts)
    assert upload.box.data("dir/key") == b"old"
    assert upload.load().completed is None
    assert list(home(upload).glob("object-*")) == []
    published = upload.complete(parts)
    assert upload.load().completed == published
    assert upload.box.data("dir/key") == b"".join(datas)


def test_a_failure_behind_the_publication_does_not_undo_it(upload: Upload, arm: Arm) -> None:
    parts = upload.put_all([content(PART, 1), content(9)])
    arm("posix.complete.published", "broken")
    with pytest.raises(StorageUnavailable):
        upload.complete(parts)
    published = upload.load().completed
    assert published is not None
    assert upload.complete(parts) == published
    assert upload.box.head("dir/key") == published


@pytest.mark.parametrize("point", ["posix.part.written", "posix.part.logging"])
@pytest.mark.parametrize("announced", [-1, None], ids=["in place", "in a file"])
def test_a_part_that_cannot_be_stored_does_not_count(
    upload: Upload, arm: Arm, point: str, announced: int | None
) -> None:
    if (point, announced) == ("posix.part.written", None):
        point = "posix.part.logging"
    good = upload.put(1, content(PART, 1))
    arm(point, "full")
    with pytest.raises(StorageFull):
        upload.put(2, content(PART, 2), announced=announced)
    assert upload.load().parts == (good,)
    second = upload.put(2, content(PART, 3))
    upload.complete([good, second])
    assert upload.box.data("dir/key") == content(PART, 1) + content(PART, 3)


def test_an_upload_that_cannot_begin_leaves_nothing(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(uploads, "write_file", full)
    with pytest.raises(StorageFull):
        Upload.begin(box)
    assert upload_ids(box) == set()
    assert list(Path(f"{box.backend.config.directory}/.shardgate/staging").iterdir()) == []


# -- dead processes


def test_half_a_line_in_the_log_is_no_part(upload: Upload) -> None:
    part = upload.put(1, content(PART))
    log = home(upload) / "log"
    whole = log.read_bytes()
    with log.open("ab") as file:
        file.write(whole[:-20])
    assert upload.load().parts == (part,)
    second = upload.put(2, b"tail")
    assert upload.load().parts == (part, second)


def test_a_logged_part_whose_file_is_gone_is_no_part(upload: Upload) -> None:
    first = upload.put(1, content(PART))
    second = upload.put(1, content(PART, 2))
    next((home(upload) / "parts").iterdir()).unlink()
    assert upload.load().parts == (first,)
    assert second not in upload.load().parts


def dead_after(upload: Upload, parts: list[PartRecord], point: str) -> int:
    """Complete in a process that is killed at a point; its status."""
    directory = Path(os.environ[VARIABLE])
    (directory / point).write_text("kill")
    child = os.fork()
    if child == 0:
        try:
            upload.complete(parts)
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1]


@pytest.mark.parametrize("sizes", [[PART, PART, 5], [5, PART, 70, PART]], ids=["regular", "irregular"])
@pytest.mark.parametrize("point", [*POINTS, "posix.complete.published"])
def test_a_process_killed_while_it_completes(upload: Upload, arm: Arm, point: str, sizes: list[int]) -> None:
    upload.box.put("dir/key", b"old")
    datas = [content(size, seed) for seed, size in enumerate(sizes)]
    parts = upload.put_all(datas)
    assert dead_after(upload, parts, point) == 9
    done = upload.load().completed
    assert upload.box.data("dir/key") == (b"".join(datas) if done else b"old")
    assert (done is not None) == (point == "posix.complete.published")
    published = upload.complete(parts)
    assert done is None or published == done
    assert upload.box.data("dir/key") == b"".join(datas)
    upload.abort()
    assert not home(upload).exists()


@pytest.mark.parametrize("point", POINTS)
def test_an_upload_can_be_aborted_after_its_completer_was_killed(upload: Upload, arm: Arm, point: str) -> None:
    parts = upload.put_all([content(5), content(PART)])
    assert dead_after(upload, parts, point) == 9
    upload.abort()
    assert upload_ids(upload.box) == set()
    assert not upload.box.exists("dir/key")


def test_the_exchanged_predecessor_does_not_hide_the_publication(upload: Upload, arm: Arm) -> None:
    """Without durability the new object and the old one change places; a process may die before the old one goes."""
    upload.box.put("dir/key", b"old", tags={"a": "b"})
    parts = upload.put_all([content(PART), b"x"])
    published = upload.complete(parts)
    left = home(upload) / "data"
    left.write_bytes(b"old")
    assert upload.load().completed == published
    assert upload.complete(parts) == published


def test_a_note_that_cannot_be_read_is_an_error(upload: Upload) -> None:
    parts = upload.put_all([content(PART)])
    (home(upload) / "completed").write_text(json.dumps({"file": 3}))
    with pytest.raises(StorageUnavailable):
        upload.complete(parts)


def test_directories_that_are_no_uploads_are_swept(box: Box, upload: Upload) -> None:
    stray = home(upload).with_name("f" * 48)
    (stray / "parts").mkdir(parents=True)
    assert box.backend.sweep_uploads(box.caller, 3600) == 0
    assert box.backend.sweep_uploads(box.caller, -1) == 1
    assert upload_ids(box) == {upload.record.id}
    assert not stray.exists()


def test_the_uploads_of_a_bucket_go_with_it(box: Box, upload: Upload) -> None:
    upload.put(1, content(PART))
    box.backend.delete_bucket(box.caller, box.name)
    assert not home(upload).parent.exists()
    assert list(Path(f"{box.backend.config.directory}/.shardgate/staging").iterdir()) == []


def test_a_lock_that_hangs_is_told(upload: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    from backends.posix import part_log

    monkeypatch.setattr(part_log, "_PATIENCE", 0.05)
    with (home(upload) / "log").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(StorageUnavailable):
            upload.put(1, content(PART))


def test_ids_and_places_never_become_other_paths(box: Box, upload: Upload) -> None:
    with pytest.raises(NoSuchUpload):
        box.backend.load_upload(box.caller, box.name, "../../staging")
    part = upload.put(1, content(PART))
    for place in ("file:../upload", "data-../../x:0", "data:x", "log:0", "upload", "file:"):
        wrong = PartRecord(number=1, size=part.size, etag=part.etag, place=place)
        with pytest.raises(StorageUnavailable):
            upload.complete([wrong])


# -- 10,000 parts


def test_ten_thousand_parts(relaxed_box: Box, copies: Copies) -> None:
    upload = Upload.begin(relaxed_box)
    datas = [b"%06d" % number for number in range(1, 10_001)]
    parts = upload.put_all(datas)
    assert len(upload.load().parts) == 10_000
    published = upload.complete(parts)
    assert published.parts is not None
    assert published.parts.count == 10_000
    assert copies.bytes == 0
    assert relaxed_box.data("dir/key") == b"".join(datas)
