"""Limits from the environment."""

import pytest

from workers.server.limits import Limits, limits_from


def test_defaults() -> None:
    assert limits_from({}) == Limits()
    assert limits_from({"SHARDGATE_BODY_TIMEOUT": " "}) == Limits()


def test_values() -> None:
    limits = limits_from({
        "SHARDGATE_BODY_TIMEOUT": "1.5", "SHARDGATE_HEAD_TIMEOUT": "2", "SHARDGATE_KEEPALIVE": "0",
        "SHARDGATE_MAX_HEADER_BYTES": "4096",
    })  # fmt: skip
    assert (limits.body_timeout, limits.head_timeout, limits.keepalive, limits.header_bytes) == (1.5, 2.0, 0.0, 4096)
    assert limits.shortest_timeout == 1.5


@pytest.mark.parametrize(
    ("name", "value"),
    [("BODY_TIMEOUT", "soon"), ("BODY_TIMEOUT", "0"), ("HEAD_TIMEOUT", "-1"), ("HEAD_TIMEOUT", "nan"),
     ("KEEPALIVE", "-1"), ("KEEPALIVE", "inf"), ("MAX_HEADER_BYTES", "1.5"), ("MAX_HEADER_BYTES", "10")],
)  # fmt: skip
def test_bad_value_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"^SHARDGATE_{name}: '{value}' is "):
        limits_from({f"SHARDGATE_{name}": value})
