"""The locks of the posix plugin within one process; test_posix_races.py has them between processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backends.api import StorageUnavailable
from backends.posix import locks as module
from backends.posix.locks import Locks


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "locks"


@pytest.fixture
def locks(file: Path, monkeypatch: pytest.MonkeyPatch) -> Locks:
    monkeypatch.setattr(module, "PATIENCE", 0.02)
    return Locks(str(file))


def is_taken(locks: Locks, number: int) -> bool:
    try:
        with locks.hold(number):
            return False
    except StorageUnavailable:
        return True


def test_a_lock_excludes_others_of_its_number_alone(locks: Locks, file: Path) -> None:
    other = Locks(str(file))
    with locks.hold(7):
        assert is_taken(locks, 7)
        assert is_taken(other, 7)
        assert not is_taken(locks, 8)
    assert not is_taken(locks, 7)
    assert not is_taken(other, 7)


def test_nothing_stays_open(locks: Locks) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with locks.hold(7, 8, 9):
        pass
    assert set(os.listdir("/proc/self/fd")) == before


def test_one_number_twice_is_one_lock(locks: Locks) -> None:
    with locks.hold(7, 7):
        assert is_taken(locks, 7)
    assert not is_taken(locks, 7)


def test_what_fails_half_way_lets_go_of_the_rest(locks: Locks) -> None:
    with locks.hold(9):
        with pytest.raises(StorageUnavailable), locks.hold(8, 9):
            pass
        assert not is_taken(locks, 8)
