"""Whether a shard serves: only by reports that are not older than what is asked about."""

import dataclasses
import math

import pytest

from dispatcher.registry import DRAIN, LEFT, REMOVE, UP, Dispatcher, Face, Fleet, Pulse, Shard
from dispatcher.serving import present, remembrance, serves, state_of
from workers.settings import load_settings

SETTINGS = load_settings({"shard_expiry": "10"}, {})
FACE = Face(address="10.0.0.1:9000", host="here", weight=100, connections=10, state=UP)
SHARD = Shard("a", 7, FACE, Pulse(), "", 0.5)
REPORT = Dispatcher("front", 0.5, 12, haproxy="2.6", servers={"a": {"status": "UP", "requests": 0}})


def fleet(*reports: Dispatcher, shard: Shard = SHARD) -> Fleet:
    return Fleet(12, (shard,), reports)


@pytest.mark.parametrize(
    ("changes", "since", "expected"),
    [
        ({}, 0, True),
        ({}, 12, True),
        # What it saw before it heard of the change.
        ({}, 13, False),
        # HAProxy did not answer: nobody knows.
        ({"haproxy": "", "servers": {}}, 0, False),
        ({"servers": {"a": {"status": "DOWN", "requests": 0}}}, 0, False),
        ({"servers": {"a": {"status": "DRAIN", "requests": 0}}}, 0, False),
        # A dispatcher of another host does not reach this shard's socket.
        ({"servers": {}}, 0, True),
        # A dispatcher that is gone has no say.
        ({"servers": {"a": {"status": "DOWN", "requests": 0}}, "silence": 11.0}, 0, True),
    ],
)
def test_reports(changes, since, expected):
    report = dataclasses.replace(REPORT, **changes)
    assert serves(SHARD, fleet(report), SETTINGS, since=since) is expected
    assert serves(SHARD, fleet(REPORT, report), SETTINGS, since=since) is expected


def test_states():
    assert state_of(SHARD, fleet(REPORT), SETTINGS) == "up"
    assert state_of(dataclasses.replace(SHARD, wish=DRAIN), fleet(REPORT), SETTINGS) == "drained"
    assert state_of(dataclasses.replace(SHARD, silence=11.0), fleet(REPORT), SETTINGS) == "silent"
    assert state_of(SHARD, fleet(dataclasses.replace(REPORT, haproxy="")), SETTINGS) == "unusable"
    assert [
        one.id for one in present(fleet(REPORT, dataclasses.replace(REPORT, id="late", silence=9.0)), SETTINGS)
    ] == [
        "front",
        "late",
    ]


def test_a_drained_shard_is_never_forgotten_others_are():
    left = dataclasses.replace(SHARD, face=dataclasses.replace(FACE, state=LEFT))
    assert remembrance(left, SETTINGS) == remembrance(dataclasses.replace(SHARD, wish=REMOVE), SETTINGS) == 10
    assert remembrance(SHARD, SETTINGS) == 3600
    # Stopped for a repair, or lost: what the operator wanted holds when it comes back.
    assert remembrance(dataclasses.replace(left, wish=DRAIN), SETTINGS) == math.inf
    assert remembrance(dataclasses.replace(SHARD, wish=DRAIN), SETTINGS) == math.inf
