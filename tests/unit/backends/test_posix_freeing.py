"""Freeing a file's blocks: timed, and in the background where it is slow."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest

from backends.posix import freeing
from backends.posix.freeing import MOST_HELD, MOST_HELD_BYTES, SLOW, SMALL, Freeing


class Clock:
    """Each call that is timed takes `step` seconds."""

    def __init__(self, step: float) -> None:
        self.step = step
        self._now = 0.0

    def __call__(self) -> float:
        self._now += self.step
        return self._now


@pytest.fixture
def offloaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[..., object]]]:
    """What was handed to threads, as in a worker; it runs at once."""
    calls: list[Callable[..., object]] = []
    gevent.sleep(0)  # the loop has descriptors of its own, which are not to be counted

    def offload(function: Callable[..., object], *args: object, **kwargs: object) -> object:
        calls.append(function)
        return function(*args, **kwargs)

    monkeypatch.setattr(freeing, "offload", offload)
    monkeypatch.setattr(freeing, "in_worker", lambda: True)
    yield calls
    gevent.wait(timeout=10)


def make(path: Path, size: int = 1024) -> os.stat_result:
    with path.open("wb") as file:
        file.truncate(size)
    return path.stat()


def slowed(directory: Path) -> Freeing:
    """One that has seen slow calls."""
    found = Freeing(Clock(SLOW * 100))
    found.unlink(str(directory / "first"), make(directory / "first"))
    return found


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_quick_calls_run_in_place(tmp_path: Path, offloaded: list[object]) -> None:
    found = Freeing(Clock(SLOW / 10))
    for number in range(100):
        path = tmp_path / str(number)
        found.unlink(str(path), make(path))
        assert not path.exists()
    assert offloaded == []


def test_after_slow_calls_a_file_loses_its_name_at_once_and_its_blocks_in_a_thread(
    tmp_path: Path, offloaded: list[object]
) -> None:
    found = slowed(tmp_path)
    before = descriptors()
    path = tmp_path / "file"
    found.unlink(str(path), make(path))
    assert not path.exists()
    assert offloaded == []
    assert descriptors() == before + 1
    gevent.wait(timeout=10)
    assert len(offloaded) == 1
    assert descriptors() == before


def test_a_rename_over_a_file_frees_in_the_background_too(tmp_path: Path, offloaded: list[object]) -> None:
    found = slowed(tmp_path)
    before = descriptors()
    old = make(tmp_path / "old")
    (tmp_path / "new").write_bytes(b"new")
    directory = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found.rename(str(tmp_path / "new"), "old", directory, old)
    finally:
        os.close(directory)
    assert (tmp_path / "old").read_bytes() == b"new"
    gevent.wait(timeout=10)
    assert descriptors() == before


def test_quick_calls_again_end_the_background(tmp_path: Path, offloaded: list[object]) -> None:
    clock = Clock(SLOW * 4)
    found = Freeing(clock)
    for number in range(50):
        found.unlink(str(tmp_path / f"slow-{number}"), make(tmp_path / f"slow-{number}"))
    clock.step = SLOW / 100
    for number in range(100):
        found.unlink(str(tmp_path / f"quick-{number}"), make(tmp_path / f"quick-{number}"))
        gevent.wait(timeout=10)
    offloaded.clear()
    found.unlink(str(tmp_path / "last"), make(tmp_path / "last"))
    assert offloaded == []


def test_no_more_files_are_held_than_the_bound(tmp_path: Path, offloaded: list[object]) -> None:
    found = slowed(tmp_path)
    before = descriptors()
    for number in range(MOST_HELD * 2):
        found.unlink(str(tmp_path / str(number)), make(tmp_path / str(number)))
    assert descriptors() == before + MOST_HELD
    gevent.wait(timeout=10)
    assert descriptors() == before


@pytest.mark.parametrize("size", [SMALL + 1, MOST_HELD_BYTES + 1])
def test_who_deletes_a_larger_file_waits_for_its_space(tmp_path: Path, offloaded: list[object], size: int) -> None:
    found = Freeing(Clock(SLOW / 10))
    before = descriptors()
    found.unlink(str(tmp_path / "file"), make(tmp_path / "file", size))
    assert len(offloaded) == 1
    assert descriptors() == before


def test_who_replaces_a_larger_file_does_not_wait(tmp_path: Path, offloaded: list[object]) -> None:
    found = Freeing(Clock(SLOW / 10))
    before = descriptors()
    found.unlink_replaced(str(tmp_path / "file"), make(tmp_path / "file", SMALL + 1))
    assert not (tmp_path / "file").exists()
    assert offloaded == []
    assert descriptors() == before + 1
    gevent.wait(timeout=10)
    assert len(offloaded) == 1
    assert descriptors() == before


def test_no_more_bytes_are_held_than_the_bound(tmp_path: Path, offloaded: list[object]) -> None:
    found = Freeing(Clock(SLOW / 10))
    before = descriptors()
    half = MOST_HELD_BYTES // 2
    for number in range(3):
        found.unlink_replaced(str(tmp_path / str(number)), make(tmp_path / str(number), half))
    assert len(offloaded) == 1
    assert descriptors() == before + 2
    gevent.wait(timeout=10)
    assert descriptors() == before
    # What was given back makes room again.
    found.unlink_replaced(str(tmp_path / "last"), make(tmp_path / "last", MOST_HELD_BYTES))
    assert descriptors() == before + 1
    gevent.wait(timeout=10)


def test_a_call_that_fails_gives_the_file_back(tmp_path: Path, offloaded: list[object]) -> None:
    found = slowed(tmp_path)
    before = descriptors()
    old = make(tmp_path / "old")
    directory = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with pytest.raises(FileNotFoundError):
            found.rename(str(tmp_path / "missing"), "old", directory, old)
    finally:
        os.close(directory)
    gevent.wait(timeout=10)
    assert descriptors() == before
    with pytest.raises(FileNotFoundError):
        found.unlink(str(tmp_path / "missing"), old)
