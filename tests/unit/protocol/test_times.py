"""Dates on the wire."""

import calendar
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.protocol.times import http_date, iso8601, parse_amz_date, parse_http_date

MOMENT = 1767323045  # 2026-01-02T03:04:05Z
SECONDS = st.integers(0, calendar.timegm((9999, 12, 31, 23, 59, 59)))


def test_golden_forms() -> None:
    assert iso8601(MOMENT * 10**9 + 678_999_999) == "2026-01-02T03:04:05.678Z"
    assert http_date(MOMENT * 10**9 + 999_999_999) == "Fri, 02 Jan 2026 03:04:05 GMT"


@given(SECONDS)
def test_http_date_is_read_back_by_us_and_by_the_standard_library(seconds: int) -> None:
    text = http_date(seconds * 10**9)
    assert parse_http_date(text) == seconds
    assert text == format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)
    assert parsedate_to_datetime(text).timestamp() == seconds


@given(SECONDS, st.integers(0, 10**9 - 1))
def test_iso8601_is_read_back(seconds: int, rest: int) -> None:
    text = iso8601(seconds * 10**9 + rest)
    assert parse_http_date(text) == seconds
    assert datetime.fromisoformat(text).microsecond == rest // 10**6 * 1000


@given(SECONDS)
def test_amz_date_is_read_back(seconds: int) -> None:
    assert parse_amz_date(datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ").rjust(16, "0")) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "Fri, 02 Jan 2026 03:04:05 GMT",
        "Friday, 02-Jan-26 03:04:05 GMT",
        "Fri Jan  2 03:04:05 2026",
        "2026-01-02T03:04:05Z",
        "2026-01-02T03:04:05.999Z",
        "2026-01-02T04:04:05+01:00",
        "20260102T030405Z",
        "  Fri, 02 Jan 2026 03:04:05 GMT ",
        "Fri, 02 Jan 2026 03:04:05 +0000",
    ],
)
def test_every_form_of_a_date(text: str) -> None:
    assert parse_http_date(text) == MOMENT


@pytest.mark.parametrize(
    ("year", "now", "expected"), [("26", 2026, 2026), ("76", 2026, 2076), ("77", 2026, 1977), ("94", 2026, 1994)]
)
def test_a_two_digit_year_is_at_most_fifty_years_ahead(year: str, now: int, expected: int) -> None:
    now_seconds = calendar.timegm((now, 6, 1, 0, 0, 0))
    seconds = parse_http_date(f"Sunday, 06-Nov-{year} 08:49:37 GMT", now_seconds=now_seconds)
    assert seconds == calendar.timegm((expected, 11, 6, 8, 49, 37))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "yesterday",
        "Fri, 30 Feb 2026 03:04:05 GMT",
        "Fri, 02 Jan 2026 24:04:05 GMT",
        "Fri, 02 Jan 2026 03:04:05 CET",
        "Fri, 02 Foo 2026 03:04:05 GMT",
        "Fri, 02 Jan 2026 03:04 GMT",
        "Friday, 02-Jan-2026 03:04:05 GMT",
        "2026-13-02T03:04:05Z",
        "Fri, 02 Jan ٢٠٢٦ 03:04:05 GMT",
        "Fri, 02 Jan 0000 03:04:05 GMT",
        "x" * 100_000,
    ],
)
def test_what_is_no_date(text: str) -> None:
    assert parse_http_date(text) is None


@given(st.text(alphabet=st.characters(max_codepoint=255)))
def test_any_text_is_a_date_or_none(text: str) -> None:
    seconds = parse_http_date(text)
    assert seconds is None or isinstance(seconds, int)


@pytest.mark.parametrize(
    "text", ["", "20260102T030405", "20261302T030405Z", "20260102 030405Z", "2026010aT030405Z", "20260102T030461Z"]
)
def test_a_malformed_amz_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_amz_date(text)
