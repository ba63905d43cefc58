"""The S3 suite of OpenStack Swift, held to lists.toml: what must pass passes, and nothing else does unnoticed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.clients.endpoint import Endpoint, external_endpoint
from tests.foreign.swift_s3api.lists import FAILED, PASSED, SKIPPED, Entry, Lists, ListsError, Outcome
from tests.foreign.swift_s3api.suite import read_report, run_suite
from tests.support.gateway import Gateway

LISTS = Path(__file__).with_name("lists.toml")


@pytest.mark.slow
@pytest.mark.clients
@pytest.mark.timeout(600)  # the first run installs the suite
def test_suite_agrees_with_its_lists(tmp_path: Path) -> None:
    lists = Lists.load(LISTS)
    external = external_endpoint(os.environ)
    if external is not None:
        outcomes = run_suite(external, tmp_path, without=lists.not_run())
    else:
        with Gateway(tmp_path / "data") as gateway:
            endpoint = Endpoint(gateway.endpoint, gateway.access_key, gateway.secret_key, gateway.region)
            outcomes = run_suite(endpoint, tmp_path, without=lists.not_run())
    complaints = lists.complaints(outcomes)
    assert not complaints, f"{len(complaints)} of {len(outcomes)}:\n" + "\n".join(complaints)


LISTED = Lists(
    [
        Entry("must_pass", "m.C.good"),
        Entry("not_yet", "m.C.*", "a later milestone"),
        Entry("out_of_scope", "m.Old.*", "never"),
        Entry("not_yet", "m.Slow.slow", "waits", run=False),
    ]
)
EXPECTED = {"m.C.good": Outcome(PASSED), "m.C.bad": Outcome(FAILED), "m.Old.x": Outcome(SKIPPED)}


def test_lists_that_agree_bring_no_complaint() -> None:
    assert LISTED.complaints(EXPECTED) == []
    assert LISTED.not_run() == ["m.Slow.slow"]


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"m.C.good": Outcome(FAILED, "why")}, "m.C.good must pass, failed: why"),
        ({"m.C.good": Outcome(SKIPPED, "why")}, "m.C.good must pass, skipped: why"),
        ({"m.C.bad": Outcome(PASSED)}, "m.C.bad passes now: take it out of not_yet (a later milestone)"),
        ({"m.Old.x": Outcome(PASSED)}, "m.Old.x passes now: take it out of out_of_scope (never)"),
        ({"m.New.x": Outcome(PASSED)}, "m.New.x is in no list (passed: )"),
    ],
)
def test_every_difference_from_the_lists_is_a_complaint(changed: dict[str, Outcome], complaint: str) -> None:
    assert LISTED.complaints({**EXPECTED, **changed}) == [complaint]


def test_a_listed_test_that_the_suite_has_no_more_is_a_complaint() -> None:
    outcomes = {name: outcome for name, outcome in EXPECTED.items() if name != "m.Old.x"}
    assert LISTED.complaints(outcomes) == ["m.Old.* is listed and not in the suite"]


@pytest.mark.parametrize(
    "entries",
    [
        [Entry("must_pass", "m.C.x"), Entry("not_yet", "m.C.x", "why")],
        [Entry("must_pass", "m.C.*")],
        [Entry("not_yet", "m.C.x")],
        [Entry("not_yet", "m.C.*", "why", run=False)],
    ],
)
def test_lists_that_contradict_themselves_are_refused(entries: list[Entry]) -> None:
    with pytest.raises(ListsError):
        Lists(entries)


def test_report_with_a_broken_tear_down_counts_as_failed(tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text(
        '<testsuites><testsuite><testcase classname="test.s3api.m.C" name="x"/>'
        '<testcase classname="test.s3api.m.C" name="x"><error message="tear  down"/></testcase>'
        '<testcase classname="test.s3api.m.C" name="y"><skipped message="no"/></testcase></testsuite></testsuites>'
    )
    assert read_report(tmp_path / "report.xml") == {
        "m.C.x": Outcome(FAILED, "tear down"),
        "m.C.y": Outcome(SKIPPED, "no"),
    }
