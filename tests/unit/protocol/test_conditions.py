"""Conditional requests."""

from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.protocol.conditions import (
    Outcome,
    ReadConditions,
    WriteConditions,
    copy_source_conditions,
    delete_conditions,
    deletion_of,
    evaluate_read,
    if_range_holds,
    parse_etag_list,
    read_conditions,
    write_conditions,
)
from workers.protocol.errors import S3Error
from workers.protocol.times import http_date

MODIFIED = 1767323045


def getter(**headers: str) -> Callable[[str], str | None]:
    return {name.replace("_", "-"): value for name, value in headers.items()}.get


def date(seconds: int) -> str:
    return http_date(seconds * 10**9)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("*", "*"),
        (" * ", "*"),
        ('"abc"', ("abc",)),
        ("abc", ("abc",)),
        ('"a", "b"', ("a", "b")),
        ('"a","b"', ("a", "b")),
        ("a, b", ("a", "b")),
        ('W/"a"', ("W/a",)),
        ('W/"a", "b"', ("W/a", "b")),
        ('"a,b"', ("a,b",)),
        ('"a,b", c', ("a,b", "c")),
        (',, "a" ,', ("a",)),
        ('"a', ("a",)),
        ('"', ("",)),
        ("", ()),
        ("  ", ()),
        ('""', ("",)),
    ],
)
def test_etag_lists(header: str, expected: object) -> None:
    assert parse_etag_list(header) == expected


@given(st.lists(st.text(alphabet="abc0-9,; ").filter(lambda tag: tag.strip() == tag != ""), min_size=1))
def test_a_list_of_quoted_etags_is_read_back(tags: list[str]) -> None:
    assert parse_etag_list(", ".join(f'"{tag}"' for tag in tags)) == tuple(tags)


@given(st.text(alphabet=st.characters(max_codepoint=255)))
def test_any_text_is_a_list_of_etags(text: str) -> None:
    parsed = parse_etag_list(text)
    assert parsed == "*" or isinstance(parsed, tuple)


# Each condition: absent, true or false.
MATCH = {None: None, True: '"other", "tag"', False: '"other"'}
NONE_MATCH = {None: None, True: '"other"', False: '"other", "tag"'}
MODIFIED_SINCE = {None: None, True: date(MODIFIED - 1), False: date(MODIFIED)}
UNMODIFIED_SINCE = {None: None, True: date(MODIFIED), False: date(MODIFIED - 1)}
STATES = (None, True, False)


def rfc_outcome(match: object, none_match: object, modified: object, unmodified: object) -> str:
    """The order of RFC 9110 section 13.2.2, as text."""
    if match is False or (match is None and unmodified is False):
        return "failed"
    if none_match is False or (none_match is None and modified is False):
        return "not modified"
    return "ok"


@pytest.mark.parametrize("states", list(product(STATES, repeat=4)))
@pytest.mark.parametrize("copy_source", [False, True])
def test_truth_table(states: tuple[bool | None, ...], copy_source: bool) -> None:
    match, none_match, modified, unmodified = states
    conditions = ReadConditions(
        MATCH[match], NONE_MATCH[none_match], MODIFIED_SINCE[modified], UNMODIFIED_SINCE[unmodified], copy_source
    )
    expected = rfc_outcome(*states)
    if copy_source and expected == "not modified":
        expected = "failed"
    if expected == "failed":
        with pytest.raises(S3Error) as caught:
            evaluate_read(conditions, "tag", MODIFIED)
        assert (caught.value.code, caught.value.status) == ("PreconditionFailed", 412)
        assert caught.value.elements["Condition"].startswith("x-amz-copy-source-If-" if copy_source else "If-")
    else:
        assert evaluate_read(conditions, "tag", MODIFIED).value == expected


@pytest.mark.parametrize(
    ("conditions", "name"),
    [
        (ReadConditions(if_match="x"), "If-Match"),
        (ReadConditions(if_unmodified_since=date(1)), "If-Unmodified-Since"),
        (ReadConditions(if_none_match="*", copy_source=True), "x-amz-copy-source-If-None-Match"),
        (ReadConditions(if_modified_since=date(MODIFIED), copy_source=True), "x-amz-copy-source-If-Modified-Since"),
    ],
)
def test_the_error_names_the_condition(conditions: ReadConditions, name: str) -> None:
    with pytest.raises(S3Error) as caught:
        evaluate_read(conditions, "tag", MODIFIED)
    assert caught.value.elements == {"Condition": name}


def test_star_matches_and_weak_tags_match_only_if_none_match() -> None:
    assert evaluate_read(ReadConditions(if_match="*"), "tag", MODIFIED) is Outcome.OK
    assert evaluate_read(ReadConditions(if_none_match="*"), "tag", MODIFIED) is Outcome.NOT_MODIFIED
    assert evaluate_read(ReadConditions(if_none_match='W/"tag"'), "tag", MODIFIED) is Outcome.NOT_MODIFIED
    with pytest.raises(S3Error, match="PreconditionFailed"):
        evaluate_read(ReadConditions(if_match='W/"tag"'), "tag", MODIFIED)


@pytest.mark.parametrize("text", ["yesterday", "", "Fri, 99 Jan 2026 03:04:05 GMT"])
def test_a_date_that_is_none_is_ignored(text: str) -> None:
    conditions = ReadConditions(if_modified_since=text, if_unmodified_since=text)
    assert evaluate_read(conditions, "tag", MODIFIED) is Outcome.OK


def test_conditions_are_taken_from_their_headers() -> None:
    assert read_conditions(getter()) is None
    assert copy_source_conditions(getter(if_match="a")) is None
    headers = getter(if_match="1", if_none_match="2", if_modified_since="3", if_unmodified_since="4")
    assert read_conditions(headers) == ReadConditions("1", "2", "3", "4")
    headers = getter(
        x_amz_copy_source_if_match="1",
        x_amz_copy_source_if_none_match="2",
        x_amz_copy_source_if_modified_since="3",
        x_amz_copy_source_if_unmodified_since="4",
    )
    assert copy_source_conditions(headers) == ReadConditions("1", "2", "3", "4", copy_source=True)


@pytest.mark.parametrize(
    ("header", "holds"),
    [
        ('"tag"', True),
        ("tag", True),
        ('"other"', False),
        ('W/"tag"', False),
        (date(MODIFIED), True),
        (date(MODIFIED - 1), False),
        (date(MODIFIED + 1), False),
        ("", False),
    ],
)
def test_if_range(header: str, holds: bool) -> None:
    assert if_range_holds(header, "tag", MODIFIED) is holds


def test_write_conditions() -> None:
    assert write_conditions(getter()) is None
    assert write_conditions(getter(if_none_match="*")) == WriteConditions(if_none_match=True)
    assert write_conditions(getter(if_match='"a"')) == WriteConditions(if_match=("a",))
    assert write_conditions(getter(if_match="*")) == WriteConditions(if_match=("*",))
    assert write_conditions(getter(if_match='"a", b')) == WriteConditions(if_match=("a", "b"))


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"if_none_match": '"tag"'}, "If-None-Match"),
        ({"if_none_match": ""}, "If-None-Match"),
        ({"if_none_match": "*", "if_match": "*"}, "If-None-Match"),
        ({"if_modified_since": date(1)}, "If-Modified-Since"),
        ({"if_unmodified_since": date(1), "if_match": "*"}, "If-Unmodified-Since"),
    ],
)
def test_other_write_conditions_are_not_implemented(headers: dict[str, str], name: str) -> None:
    with pytest.raises(S3Error) as caught:
        write_conditions(getter(**headers))
    assert caught.value.code == "NotImplemented"
    assert caught.value.elements == {"Header": name}


def test_delete_conditions() -> None:
    assert delete_conditions(getter()) is None
    headers = getter(if_match='"a"', x_amz_if_match_last_modified_time=date(MODIFIED), x_amz_if_match_size="12")
    assert delete_conditions(headers) == WriteConditions(if_match=("a",), modified_seconds=MODIFIED, size=12)
    assert delete_conditions(getter(x_amz_if_match_size="0")) == WriteConditions(size=0)
    assert deletion_of(None, None, None) is None
    assert deletion_of("*", "2026-01-02T03:04:05.000Z", None) == WriteConditions(("*",), modified_seconds=MODIFIED)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"if_none_match": "*"}, "NotImplemented"),
        ({"x_amz_if_match_size": "-1"}, "InvalidArgument"),
        ({"x_amz_if_match_size": "many"}, "InvalidArgument"),
        ({"x_amz_if_match_size": "9" * 5000}, "InvalidArgument"),
        ({"x_amz_if_match_last_modified_time": "noon"}, "InvalidArgument"),
    ],
)
def test_malformed_delete_conditions_are_refused(headers: dict[str, str], code: str) -> None:
    with pytest.raises(S3Error) as caught:
        delete_conditions(getter(**headers))
    assert caught.value.code == code


def test_an_entry_of_a_bulk_deletion_names_its_element() -> None:
    with pytest.raises(S3Error) as caught:
        deletion_of(None, None, "x")
    assert caught.value.elements == {"ArgumentName": "Size", "ArgumentValue": "x"}
