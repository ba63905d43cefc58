"""The posix plugin remembers directories, and yet every change is in the next listing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.api import BackendConfig, BucketRecord, Caller
from backends.posix import PosixBackend, listing
from backends.posix.mounts import file_system, is_local
from backends.posix.watching import Watcher
from backends.testkit.harness import Box

CALLER = Caller(account_id="test")
Open = Callable[..., Box]
LARGE = 1500


@pytest.fixture
def open_box(tmp_path: Path) -> Iterator[Open]:
    """Opens the plugin with options, as another worker each time."""
    opened: list[PosixBackend] = []

    def open_box(**options: Any) -> Box:
        backend = PosixBackend(BackendConfig(directory=str(tmp_path), durable=False, options=options))
        backend.open()
        opened.append(backend)
        if not (tmp_path / "bucket").exists():
            backend.create_bucket(CALLER, BucketRecord(name="bucket", created=1))
        return Box(backend, CALLER, "bucket")

    yield open_box
    for backend in opened:
        backend.close()


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each directory that is read."""
    seen: list[int] = []
    original = listing.Directories._names

    def counted(self: listing.Directories, descriptor: int) -> Any:
        seen.append(descriptor)
        return original(self, descriptor)

    monkeypatch.setattr(listing.Directories, "_names", counted)
    return seen


def _fill(directory: Path, count: int = LARGE, time: int = 10**18) -> set[str]:
    directory.mkdir(parents=True, exist_ok=True)
    names = {f"a-rather-long-file-name-{number:05}" for number in range(count)}
    for name in names:
        (directory / name).touch()
    os.utime(directory, ns=(time, time))
    return names


@pytest.mark.parametrize("watch", [True, False])
@pytest.mark.parametrize("count", [3, LARGE])
def test_every_change_of_another_worker_is_in_the_next_listing(
    open_box: Open, tmp_path: Path, watch: bool, count: int
) -> None:
    reader, writer = open_box(watch=watch), open_box()
    expected = _fill(tmp_path / "bucket", count)
    for turn in range(60):
        key = f"{'a' if turn % 2 else 'z'}{turn // 2 % 20}"
        if turn % 3 == 2:
            expected.discard(key)
            writer.delete(key)
        elif turn % 7 == 3:
            writer.put(key + "/below")
            expected.add(key + "/below")
        else:
            writer.put(key)
            expected.add(key)
        assert reader.keys() == sorted(expected)


def test_an_unchanged_directory_is_read_once(open_box: Open, tmp_path: Path, readings: list[int]) -> None:
    box = open_box(watch=False)
    _fill(tmp_path / "bucket", 5)
    box.keys()
    assert len(readings) == 1
    # Its ctime is fresh, so what was read may miss a change within the same step of the clock.
    box.keys()
    assert len(readings) == 2


def test_a_settled_directory_is_not_read_again(
    open_box: Open, tmp_path: Path, readings: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SETTLED", -(10**9))
    box = open_box(watch=False)
    _fill(tmp_path / "bucket", 5)
    for _ in range(3):
        box.keys()
    assert len(readings) == 1
    box.put("b")
    assert box.keys("b") == ["b"]
    assert len(readings) == 2


def test_a_large_directory_under_change_is_read_once(open_box: Open, tmp_path: Path, readings: list[int]) -> None:
    reader, writer = open_box(), open_box()
    expected = _fill(tmp_path / "bucket")
    assert reader.keys() == sorted(expected)
    for turn in range(30):
        writer.put(f"new{turn}")
        expected.add(f"new{turn}")
        gone = sorted(expected)[turn]
        writer.delete(gone)
        expected.discard(gone)
        assert reader.keys() == sorted(expected)
    assert len(readings) == 1
    # Names that depend on others make it read again.
    writer.put("new1/below")
    expected.add("new1/below")
    assert reader.keys() == sorted(expected)
    writer.put("x//y")
    assert reader.keys() == sorted({*expected, "x//y"})


def test_a_directory_that_is_replaced_or_moved_is_read_again(open_box: Open, tmp_path: Path) -> None:
    box = open_box()
    _fill(tmp_path / "bucket/d")
    assert len(box.keys("d/")) == LARGE
    os.rename(tmp_path / "bucket/d", tmp_path / "bucket/e")
    assert box.keys("d/") == []
    assert len(box.keys("e/")) == LARGE
    (tmp_path / "bucket/d").mkdir()
    (tmp_path / "bucket/d/only").touch()
    assert box.keys("d/") == ["d/only"]
    (tmp_path / "bucket/e/zzz").touch()
    assert len(box.keys("e/")) == LARGE + 1


def test_an_overflow_of_the_kernels_queue_forgets_everything(
    open_box: Open, tmp_path: Path, readings: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    box = open_box()
    _fill(tmp_path / "bucket")
    box.keys()
    box.keys()
    assert len(readings) == 1
    monkeypatch.setattr(Watcher, "changes", lambda self: iter([(None, None)]))
    box.keys()
    assert len(readings) == 2


def test_too_many_changes_make_it_read_again(
    open_box: Open, tmp_path: Path, readings: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_MANY_CHANGES", 5)
    box = open_box()
    expected = _fill(tmp_path / "bucket")
    box.keys()
    for turn in range(6):
        (tmp_path / f"bucket/n{turn}").touch()
        expected.add(f"n{turn}")
    assert box.keys() == sorted(expected)
    assert len(readings) == 2


def test_what_is_remembered_is_bounded(open_box: Open, tmp_path: Path, readings: list[int]) -> None:
    box = open_box(cached_names=2 * LARGE + 10)
    for name in "abc":
        _fill(tmp_path / "bucket" / name)
    for name in "abc":
        box.keys(f"{name}/")
    assert len(readings) == 3
    box.keys("c/")
    box.keys("b/")
    assert len(readings) == 3
    box.keys("a/")
    assert len(readings) == 4
    directories = box.backend._directories  # type: ignore[attr-defined]
    assert directories._size <= 2 * LARGE + 10
    assert len(directories._watcher._watches) == len(directories._remembered) == 2


def test_without_watches_to_be_had_it_still_works(
    open_box: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.posix.watching._add_watch", lambda *_: -1)
    reader, writer = open_box(), open_box()
    expected = _fill(tmp_path / "bucket")
    assert reader.keys() == sorted(expected)
    writer.put("new")
    assert reader.keys() == sorted({*expected, "new"})


def test_a_scan_that_goes_on_while_others_write(open_box: Open, tmp_path: Path) -> None:
    """What was there all the time is seen exactly once, in order, whatever comes and goes."""
    reader, writer = open_box(), open_box()
    kept = _fill(tmp_path / "bucket")
    seen: list[str] = []
    for number, entry in enumerate(reader.backend.scan(CALLER, "bucket", "", "")):
        seen.append(entry.key)
        if number % 50 == 0:
            writer.put(f"b{number}")
            writer.delete(f"b{number - 100}")
            reader.page(limit=1)
    assert seen == sorted(set(seen))
    assert kept <= set(seen)


def test_an_object_that_changes_its_path_is_not_missed(open_box: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the reading of a name and that of its record, the object may be displaced or come back."""
    box = open_box()
    box.put("a", b"object")
    original = listing.BucketTree.records

    def after(change: Callable[[], object]) -> list[str]:
        def records(self: listing.BucketTree, paths: Any) -> Any:
            change()
            return original(self, paths)

        with monkeypatch.context() as patch:
            patch.setattr(listing.BucketTree, "records", records)
            return [entry.key for entry in box.page().objects]

    assert after(lambda: box.put("a/b")) == ["a"]
    assert after(lambda: (box.delete("a/b"), box.put("a", b"again"))) == ["a"]


def test_one_damaged_record_hides_no_others(open_box: Open, tmp_path: Path) -> None:
    box = open_box()
    box.put("a")
    box.put("b")
    os.setxattr(tmp_path / "bucket/a", "user.shardgate", b"1 {damaged")
    assert box.keys() == ["a", "b"]
    with pytest.raises(Exception, match="damaged"):
        box.head("a")


def test_which_file_systems_are_local(tmp_path: Path) -> None:
    assert file_system("/proc/self") == "proc"
    assert not is_local("/proc/self")
    assert file_system("/missing/below") == file_system("/")
