"""What the posix plugin has on disk, and what it makes of files that came without it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.api import (
    BackendConfig,
    BucketExists,
    BucketNotEmpty,
    BucketRecord,
    Caller,
    ConfigurationError,
    KeyNotStorable,
    NoSuchBucket,
    NoSuchObject,
    Precondition,
    StorageUnavailable,
)
from backends.posix import PosixBackend
from backends.testkit.harness import Box, Boxes
from backends.testkit.sources import content

CALLER = Caller(account_id="test")
Make = Callable[..., Box]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir()
    return path


@pytest.fixture
def make(root: Path) -> Iterator[Make]:
    """Opens the plugin with options and gives the bucket "bucket" there."""
    opened: list[PosixBackend] = []

    def make(durable: bool = False, **options: Any) -> Box:
        backend = PosixBackend(BackendConfig(directory=str(root), durable=durable, options=options))
        backend.open()
        opened.append(backend)
        if not (root / "bucket").exists():
            backend.create_bucket(CALLER, BucketRecord(name="bucket", created=1, owner="me"))
        return Box(backend, CALLER, "bucket")

    yield make
    for backend in opened:
        backend.close()


@pytest.fixture
def box(make: Make) -> Box:
    return make()


def _files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _staged(root: Path) -> list[str]:
    return os.listdir(root / ".shardgate/staging")


# -- layout


def test_objects_are_files_under_their_natural_names(box: Box, root: Path) -> None:
    box.put("a/b c/100%.txt", b"one")
    box.put("ü", b"two")
    assert _files(root / "bucket") == {"a/b c/100%.txt": b"one", "ü": b"two"}
    assert _staged(root) == []


def test_an_object_beside_its_directory_is_displaced(box: Box, root: Path) -> None:
    box.put("a", b"first")
    box.put("a/b", b"below")
    assert _files(root / "bucket") == {"a%object": b"first", "a/b": b"below"}
    box.put("a", b"second")
    assert _files(root / "bucket") == {"a%object": b"second", "a/b": b"below"}
    box.delete("a/b")
    assert _files(root / "bucket") == {"a%object": b"second"}
    assert box.data("a") == b"second"
    box.put("a", b"third")
    assert _files(root / "bucket") == {"a": b"third"}


def test_a_half_finished_return_to_the_natural_name_is_harmless(box: Box, root: Path) -> None:
    """The state between the two last steps of the test above: the natural name counts, and a delete removes both."""
    box.put("d/a", b"new")
    (root / "bucket/d/a%object").write_bytes(b"old")
    assert box.data("d/a") == b"new"
    assert box.keys() == ["d/a"]
    assert [entry.key for entry in box.page().objects] == ["d/a"]
    box.put("d/a/b", b"below")
    assert _files(root / "bucket") == {"d/a%object": b"new", "d/a/b": b"below"}
    box.delete("d/a/b")
    (root / "bucket/d/a").write_bytes(b"newer")
    assert box.delete("d/a") is not None
    assert not box.exists("d/a")
    assert list((root / "bucket").iterdir()) == []


@pytest.mark.parametrize("length", [249, 250, 255, 256, 600])
def test_long_segments_are_displaced_too(box: Box, root: Path, length: int) -> None:
    key = "d/" + "x" * length
    box.put(key, b"object")
    box.put(key + "/y", b"below")
    assert box.keys() == [key, key + "/y"]
    assert box.data(key) == b"object"
    box.delete(key + "/y")
    box.put(key, b"again")
    box.delete(key)
    assert list((root / "bucket").iterdir()) == []


def test_a_bucket_without_objects_is_an_empty_directory(box: Box, root: Path) -> None:
    keys = ["a/b/c", "a//b", "a/b", "/", "../..", "x" * 600 + "/y", "z"]
    for key in keys:
        box.put(key)
    for key in keys:
        box.delete(key)
    assert list((root / "bucket").iterdir()) == []


def test_directories_of_others_are_no_objects(box: Box, root: Path) -> None:
    (root / "bucket/empty/deep").mkdir(parents=True)
    assert box.keys() == []
    assert box.page(delimiter="/").prefixes == ()
    box.backend.delete_bucket(CALLER, "bucket")
    assert not (root / "bucket").exists()


def test_the_plugins_own_directory_is_no_bucket(box: Box) -> None:
    assert [record.name for record in box.backend.list_buckets(CALLER)] == ["bucket"]
    for name in (".shardgate", "..", ".", "", "bucket/..", "BUCKET", "a..b", "bucket\0"):
        with pytest.raises(NoSuchBucket):
            box.backend.get_bucket(CALLER, name)
        with pytest.raises(NoSuchBucket):
            box.backend.get_object(CALLER, name, "staging")
        with pytest.raises(NoSuchBucket):
            box.backend.delete_bucket(CALLER, name)
        with pytest.raises(NoSuchBucket):
            list(box.backend.scan(CALLER, name, "", ""))
        with pytest.raises(NoSuchBucket):
            box.backend.put_document(name, "policy", b"")


def test_modes_are_as_configured(make: Make, root: Path) -> None:
    before = os.umask(0)
    try:
        box = make(file_mode="0640", directory_mode="750")
        box.put("d/a", b"x")
    finally:
        os.umask(before)
    assert (root / "bucket/d/a").stat().st_mode & 0o777 == 0o640
    assert (root / "bucket/d").stat().st_mode & 0o777 == 0o750
    assert (root / ".shardgate").stat().st_mode & 0o777 == 0o700


def test_data_and_record_are_one_inode(box: Box, root: Path) -> None:
    stored = box.put("a", b"data", tags={"k": "v"}, modified=1_600_000_000_123_456_789)
    os.rename(root / "bucket/a", root / "bucket/renamed by hand")
    assert box.get("renamed by hand") == (stored, b"data")
    assert (root / "bucket/renamed by hand").stat().st_mtime_ns == stored.modified == 1_600_000_000_123_456_789


def test_an_open_object_outlives_its_key(box: Box) -> None:
    first = box.put("a", content(3_000_000))
    opened = box.open("a")
    box.put("a", b"other")
    box.delete("a")
    assert opened.record == first
    assert os.pread(opened.fileno() or -1, 10, 0) == content(3_000_000)[:10]
    assert b"".join(opened.read(0, 3_000_000)) == content(3_000_000)
    opened.close()


# -- files of others


def test_files_of_others_are_objects(box: Box, root: Path) -> None:
    for name in ("plain", "dir/deep/file", "%41", "new\nline", "100%"):
        path = root / "bucket" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"foreign")
    assert box.keys() == ["%41", "100%", "dir/deep/file", "new\nline", "plain"]
    record, data = box.get("dir/deep/file")
    assert data == b"foreign"
    assert "-" in record.etag
    assert (record.size, record.owner, record.headers, record.checksums) == (7, "", {}, {})
    assert record.modified == (root / "bucket/dir/deep/file").stat().st_mtime_ns
    assert [entry.record for entry in box.scan("dir/")] == [record]
    updated = box.update("dir/deep/file", lambda r: r.replace(tags={"a": "b"}))
    assert updated == record.replace(tags={"a": "b"}) == box.head("dir/deep/file")
    with pytest.raises(BucketNotEmpty):
        box.backend.delete_bucket(CALLER, "bucket")


def test_a_file_that_others_changed_keeps_only_what_is_still_true(box: Box, root: Path) -> None:
    stored = box.put("a", b"data", metadata={"m": "v"}, checksums={"CRC32": "AAAAAA=="}, checksum_type="FULL_OBJECT")
    with open(root / "bucket/a", "ab") as file:
        file.write(b" and more")
    record, data = box.get("a")
    assert data == b"data and more"
    assert (record.size, record.metadata, record.checksums, record.checksum_type) == (13, {"m": "v"}, {}, "")
    assert record.etag != stored.etag
    assert "-" in record.etag
    assert [entry.record for entry in box.scan()] == [record]
    os.utime(root / "bucket/a", ns=(1, 1))
    assert box.head("a").etag != record.etag
    assert box.update("a", lambda r: r.replace(tags={"x": "y"})).etag == box.head("a").etag


def test_names_that_are_not_utf8_are_left_alone(box: Box, root: Path) -> None:
    os.mkdir(os.fsencode(root / "bucket") + b"/\xff")
    Path(os.fsdecode(os.fsencode(root / "bucket") + b"/\xfe")).write_bytes(b"x")
    box.put("a")
    assert box.keys() == ["a"]
    box.delete("a")
    with pytest.raises(BucketNotEmpty):
        box.backend.delete_bucket(CALLER, "bucket")


def test_what_is_no_file_is_no_object(box: Box, root: Path) -> None:
    bucket = root / "bucket"
    os.mkfifo(bucket / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(bucket / "socket"))
        os.symlink("/etc/passwd", bucket / "link")
        os.symlink("missing", bucket / "dangling")
        for name in ("fifo", "socket", "link", "dangling", "fifo/below", "link/below"):
            assert not box.exists(name)
            assert box.delete(name) is None
            with pytest.raises(KeyNotStorable):
                box.put(name, b"x")
        assert box.keys() == []
        assert sorted(os.listdir(bucket)) == ["dangling", "fifo", "link", "socket"]
    assert _staged(root) == []


def test_symbolic_links_lead_nowhere(box: Box, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    os.symlink(outside, root / "bucket/link")
    os.symlink(outside, root / "linked-bucket")
    assert not box.exists("link/secret")
    assert box.keys() == []
    assert box.page(delimiter="/").prefixes == ()
    assert box.delete("link/secret") is None
    with pytest.raises(KeyNotStorable):
        box.put("link/new", b"x")
    with pytest.raises(KeyNotStorable):
        box.put("link/deep/new", b"x")
    with pytest.raises(NoSuchBucket):
        box.backend.get_bucket(CALLER, "linked-bucket")
    with pytest.raises(NoSuchBucket):
        Box(box.backend, CALLER, "linked-bucket").put("x")
    assert os.listdir(outside) == ["secret"]
    with pytest.raises(BucketNotEmpty):
        box.backend.delete_bucket(CALLER, "bucket")
    assert os.listdir(outside) == ["secret"]


def test_symbolic_links_are_followed_on_demand(make: Make, root: Path, tmp_path: Path) -> None:
    box = make(follow_symlinks=True)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"data")
    os.symlink(outside, root / "bucket/link")
    os.symlink(outside / "file", root / "bucket/one")
    assert box.keys() == ["link/file", "one"]
    assert box.data("link/file") == box.data("one") == b"data"
    box.put("one", b"new")
    assert (outside / "file").read_bytes() == b"data"
    assert box.data("one") == b"new"


def test_a_directory_of_others_is_a_bucket_that_nobody_owns(box: Box, root: Path) -> None:
    (root / "foreign").mkdir()
    (root / "not_a_bucket").mkdir()
    (root / "file").write_bytes(b"")
    assert [record.name for record in box.backend.list_buckets(CALLER)] == ["bucket", "foreign"]
    record = box.backend.get_bucket(CALLER, "foreign")
    assert record.owner == ""
    assert record.created > 0
    with pytest.raises(BucketExists):
        box.backend.create_bucket(CALLER, BucketRecord(name="foreign", created=1))
    with pytest.raises(BucketExists):
        box.backend.create_bucket(CALLER, BucketRecord(name="file", created=1))
    box.backend.put_document("foreign", "policy", b"x")
    box.backend.delete_bucket(CALLER, "foreign")
    assert not (root / ".shardgate/buckets/foreign").exists()


def test_hard_links_are_renamed_apart(box: Box, root: Path) -> None:
    box.put("a", b"data")
    os.link(root / "bucket/a", root / "bucket/b")
    box.backend.rename_object(CALLER, "bucket", "a", "b")
    assert box.keys() == ["b"]


def test_a_rename_can_change_what_is_below_what(box: Box, root: Path) -> None:
    box.put("a", b"data")
    box.backend.rename_object(CALLER, "bucket", "a", "a/b/c")
    assert _files(root / "bucket") == {"a/b/c": b"data"}
    box.backend.rename_object(CALLER, "bucket", "a/b/c", "a")
    assert box.keys() == ["a"]
    assert box.data("a") == b"data"
    box.delete("a")
    assert list((root / "bucket").iterdir()) == []


def test_a_document_edited_by_hand_has_another_revision(box: Box, root: Path) -> None:
    revision = box.backend.put_document("bucket", "policy/x", b"data")
    path = root / ".shardgate/buckets/bucket/documents/policy%x"
    path.write_bytes(path.read_bytes().replace(b"data", b"DATA"))
    document = box.backend.get_document("bucket", "policy/x")
    assert document is not None
    assert document.data == b"DATA"
    assert document.revision != revision
    path.write_bytes(b"garbage")
    with pytest.raises(StorageUnavailable):
        box.backend.get_document("bucket", "policy/x")


@pytest.mark.parametrize("name", ["", "Upper", "/x", "../x", "a b", "x" * 201, "a%b", "a\n"])
def test_names_that_no_document_has_are_refused(box: Box, name: str) -> None:
    with pytest.raises(ValueError):
        box.backend.put_document(None, name, b"")


def test_a_removed_bucket_leaves_nothing_to_the_next_of_its_name(box: Box, root: Path) -> None:
    box.backend.put_document("bucket", "policy", b"x")
    os.rmdir(root / "bucket")
    box.backend.create_bucket(CALLER, BucketRecord(name="bucket", created=2, owner="you"))
    assert box.backend.get_document("bucket", "policy") is None
    assert box.backend.get_bucket(CALLER, "bucket").owner == "you"


# -- without what newer kernels and better file systems have


def test_it_works_without_nameless_files(box: Box, root: Path) -> None:
    box.backend._nameless = False  # type: ignore[attr-defined]
    box.put("a", b"one")
    box.put("a/b", b"two")
    box.put("a", b"three", Precondition(if_match=("*",)))
    box.put("a/b", b"four")
    with pytest.raises(NoSuchBucket):
        Box(box.backend, CALLER, "missing").put("a")
    assert _files(root / "bucket") == {"a%object": b"three", "a/b": b"four"}
    assert _staged(root) == []


def test_it_works_without_exchange(box: Box, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr("backends.posix.publishing.exchange", refuse)
    box.put("a", b"one")
    box.put("a", b"two")
    assert box.data("a") == b"two"
    assert _staged(root) == []


def test_it_works_without_openat2(make: Make, root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("backends.posix.system._has_openat2", lambda: False)
    box = make()
    box.put("d/a", b"one")
    assert box.data("d/a") == b"one"
    assert box.keys() == ["d/a"]
    (tmp_path / "secret").write_bytes(b"secret")
    os.symlink(tmp_path, root / "bucket/link")
    os.symlink(tmp_path / "secret", root / "bucket/one")
    assert not box.exists("link/secret")
    assert not box.exists("one")
    with pytest.raises(KeyNotStorable):
        box.put("link/x", b"")


@pytest.mark.parametrize("errno", [95, 22, 18])
def test_copies_without_the_kernels_help(box: Box, monkeypatch: pytest.MonkeyPatch, errno: int) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno, os.strerror(errno))

    monkeypatch.setattr("backends.posix.staging.clone", lambda *_: False)
    monkeypatch.setattr("os.copy_file_range", refuse)
    data = content(3_000_001)
    box.put("a", data)
    opened = box.open("a")
    box.backend.copy_object(CALLER, opened, "bucket", "b", opened.record)
    opened.close()
    assert box.data("b") == data


# -- configuration


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"nonsense": 1}, "nonsense"),
        ({"follow_symlinks": "yes"}, "follow_symlinks"),
        ({"file_mode": "0999"}, "file_mode"),
        ({"directory_mode": 755}, "directory_mode"),
        ({"cached_names": -1}, "cached_names"),
        ({"check_timeout": 0}, "check_timeout"),
    ],
)
def test_wrong_options_are_named(root: Path, options: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigurationError, match=word):
        PosixBackend(BackendConfig(directory=str(root), options=options))


def test_a_directory_has_to_be_given_and_to_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="directory"):
        PosixBackend(BackendConfig())
    with pytest.raises(ConfigurationError, match="800"):
        PosixBackend(BackendConfig(directory="/" + "x" * 900))
    for path in (tmp_path / "missing", tmp_path / "file"):
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(ConfigurationError, match="directory"):
            PosixBackend(BackendConfig(directory=str(path))).open()


def test_boxes_clean_up(make: Make) -> None:
    box = make(durable=True)
    boxes = Boxes(box.backend, CALLER)
    made = boxes.make()
    made.put("a/b", b"x")
    made.put("a", b"x")
    boxes.remove_all()
    with pytest.raises(NoSuchBucket):
        made.put("a")
    with pytest.raises(NoSuchBucket):
        made.delete("a")
    with pytest.raises(NoSuchBucket):
        made.update("a", lambda record: record)
    with pytest.raises(NoSuchObject):
        box.backend.rename_object(CALLER, "bucket", "a", "b")
    with pytest.raises(NoSuchBucket):
        box.backend.rename_object(CALLER, made.name, "a", "b")
