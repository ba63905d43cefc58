"""Fault points: inert without the variable, one strike for each arming."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from backends.faultpoints import VARIABLE, reach
from workers.settings import unknown_variables


def test_without_the_variable_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / "point").write_text("broken")
    reach(f"{tmp_path}/point")
    assert (tmp_path / "point").exists()


@pytest.mark.parametrize(("action", "number"), [("full", errno.ENOSPC), ("broken", errno.EIO)])
def test_an_armed_point_strikes_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str, number: int) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    reach("point")
    (tmp_path / "point").write_text(action)
    reach("another")
    with pytest.raises(OSError, match=r"device|error") as struck:
        reach("point")
    assert struck.value.errno == number
    reach("point")


def test_an_unknown_action_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    (tmp_path / "point").write_text("explode")
    with pytest.raises(ValueError, match="explode"):
        reach("point")


def test_the_gateway_tells_that_it_is_no_setting() -> None:
    (line,) = unknown_variables({VARIABLE: "/somewhere"})
    assert "not a setting" in line
