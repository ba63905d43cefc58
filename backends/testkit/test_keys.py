"""Keys: every legal one is stored, found and listed as it was given."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.api import Backend
from backends.testkit.corpus import KEYS, LONG_SEGMENT
from backends.testkit.harness import Box, Target, temporary_box


def _shown(key: str) -> str:
    return ascii(key) if len(key) <= 24 else f"{key[:16]!a}...{len(key.encode())} bytes"


@pytest.mark.parametrize("key", KEYS, ids=_shown)
def test_a_key_alone_in_its_bucket(box: Box, key: str) -> None:
    stored = box.put(key, key.encode())
    assert box.get(key) == (stored, key.encode())
    assert box.head(key) == stored
    assert box.keys() == [key]
    assert box.keys(prefix=key) == [key]
    assert box.keys(after=key) == []
    updated = box.update(key, lambda record: record.replace(tags={"a": "b"}))
    assert box.get(key) == (updated, key.encode())
    assert box.delete(key) == updated
    assert not box.exists(key)
    assert box.keys() == []


def test_all_keys_side_by_side(box: Box) -> None:
    order = list(KEYS)
    random.Random(1).shuffle(order)
    for key in order:
        box.put(key, key.encode(), metadata={"key": key})
    assert box.keys() == sorted(KEYS)
    for key in KEYS:
        record, data = box.get(key)
        assert data == key.encode(), _shown(key)
        assert record.metadata == {"key": key}, _shown(key)
    random.Random(2).shuffle(order)
    rest = set(KEYS)
    for number, key in enumerate(order):
        assert box.delete(key) is not None, _shown(key)
        rest.remove(key)
        if number % 16 == 0:
            assert box.keys() == sorted(rest)
    assert box.keys() == []
    box.backend.delete_bucket(box.caller, box.name)


def test_keys_that_look_alike_are_not_the_same(box: Box) -> None:
    pairs = [("a", "A"), ("é", "e\u0301"), ("a/b", "a//b"), ("a", "a "), ("a/", "a"), ("%2F", "/"), ("a", "./a")]
    for one, other in pairs:
        box.put(one, b"one")
        assert not box.exists(other), (one, other)
        assert box.delete(other) is None, (one, other)
        box.put(other, b"other")
        assert box.data(one) == b"one", (one, other)
        box.delete(other)
        assert box.data(one) == b"one", (one, other)
        box.delete(one)


def test_keys_do_not_lead_out_of_their_bucket(box: Box) -> None:
    """Neither to other buckets nor to the plugin's own places."""
    neighbours = [record.name for record in box.backend.list_buckets(box.caller)]
    for key in (f"../{box.name}/a", f"../../{box.name}x/a", "/etc/passwd", "../.shardgate/a", "..", "a/../../b"):
        box.put(key, b"data")
    assert [record.name for record in box.backend.list_buckets(box.caller)] == neighbours
    assert len(box.keys()) == 6


_SEGMENTS = st.sampled_from(
    [
        "",
        "",
        "a",
        "b",
        ".",
        "..",
        "...",
        ".a",
        "a.",
        "é",
        "é",
        "😀",
        "%",
        "%2F",
        "=",
        "=2F",
        "\x00",
        "\n",
        "\x7f",
        " ",
        "A",
        LONG_SEGMENT,
        "�",
        "\U0010ffff",
        "a" * 255,
        ".shardgate",
        "~",
        "+",
        "\\",
        "@",
        "_",
        "-",
    ]
)
_KEYS = (
    st.lists(_SEGMENTS, min_size=1, max_size=4).map("/".join)
    | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
    | st.text("a/.%=", min_size=1, max_size=8)
).filter(lambda key: 0 < len(key.encode()) <= 1024)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(keys=st.lists(_KEYS, min_size=1, max_size=10, unique=True), data=st.data())
def test_any_set_of_keys(backend: Backend, target: Target, keys: list[str], data: st.DataObject) -> None:
    with temporary_box(backend, target.caller) as box:
        for key in keys:
            box.put(key, key.encode())
        assert box.keys() == sorted(keys)
        for key in keys:
            assert box.data(key) == key.encode()
        gone = data.draw(st.lists(st.sampled_from(keys), unique=True), label="deleted")
        for key in gone:
            assert box.delete(key) is not None
        assert box.keys() == sorted(set(keys) - set(gone))
        for key in keys:
            assert box.exists(key) == (key not in gone)
