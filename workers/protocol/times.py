"""Points in time as S3 writes and reads them.

A time is nanoseconds since the epoch; a name that ends in `_seconds`, or a function that says so, has whole seconds.
"""

import calendar
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_LONG_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS: Final = {name: number for number, name in enumerate(_MONTHS, 1)}
_NANOSECONDS: Final = 1_000_000_000
_LONGEST_DATE: Final = 64


def iso8601(nanoseconds: int) -> str:
    """Return a time as S3 writes it in XML: `2026-01-02T03:04:05.678Z`."""
    seconds, rest = divmod(nanoseconds, _NANOSECONDS)
    minutes, second = divmod(seconds, 60)
    return f"{_to_the_minute(minutes)}:{second:02d}.{rest // 1_000_000:03d}Z"


@lru_cache(maxsize=256)
def _to_the_minute(minutes: int) -> str:
    # PERF: a list has a thousand times, most of them from the same few minutes.
    year, month, day, hour, minute = time.gmtime(minutes * 60)[:5]
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}"


def http_date(nanoseconds: int) -> str:
    """Return a time in the preferred form of RFC 9110 section 5.6.7: `Fri, 02 Jan 2026 03:04:05 GMT`."""
    year, month, day, hour, minute, second, weekday = time.gmtime(nanoseconds // _NANOSECONDS)[:7]
    return f"{_DAYS[weekday]}, {day:02d} {_MONTHS[month - 1]} {year:04d} {hour:02d}:{minute:02d}:{second:02d} GMT"


def parse_http_date(text: str, *, now_seconds: float | None = None) -> int | None:
    """Return the seconds since the epoch of a date in a header, or None when it is not a date.

    Takes the three forms of RFC 9110 section 5.6.7 and ISO 8601, which S3 takes too. A two-digit year is the one
    that is not more than 50 years after `now_seconds` (default: the clock).
    """
    text = text.strip()
    if not text.isascii() or len(text) > _LONGEST_DATE:
        return None
    words = text.split()
    if len(words) == 6 and words[0][:-1] in _DAYS and words[0][-1] == ",":
        return _seconds(words[3], words[2], words[1], words[4]) if _is_zone(words[5]) else None
    if len(words) == 4 and words[0][:-1] in _LONG_DAYS and words[0][-1] == "," and _is_zone(words[3]):
        return _rfc850_seconds(words[1], words[2], time.time() if now_seconds is None else now_seconds)
    if len(words) == 5 and words[0] in _DAYS:
        return _seconds(words[4], words[1], words[2], words[3])
    return _iso8601_seconds(text)


def parse_amz_date(text: str) -> int:
    """Return the seconds since the epoch of an `X-Amz-Date`, `20260102T030405Z`.

    Raises ValueError for anything else.
    """
    if len(text) != 16 or text[8] != "T" or text[15] != "Z":
        raise ValueError(f"not of the form yyyymmddThhmmssZ: {text!r}")
    year, month, day = _number(text[:4]), _number(text[4:6]), _number(text[6:8])
    hour, minute, second = _number(text[9:11]), _number(text[11:13]), _number(text[13:15])
    return _timegm(year, month, day, hour, minute, second)


def _is_zone(word: str) -> bool:
    return word in ("GMT", "UTC", "+0000", "-0000")


def _number(digits: str) -> int:
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"not a number: {digits!r}")
    return int(digits)


def _timegm(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int:
    """Return seconds since the epoch; ValueError when a field is out of its range. A leap second is the next one."""
    if not (1 <= month <= 12 and hour <= 23 and minute <= 59 and second <= 60 and 1 <= year <= 9999):
        raise ValueError("a field of the time is out of its range")
    if not 1 <= day <= calendar.monthrange(year, month)[1]:
        raise ValueError("the month does not have that day")
    return calendar.timegm((year, month, day, hour, minute, second))


def _seconds(year: str, month: str, day: str, clock: str) -> int | None:
    hour, _, rest = clock.partition(":")
    minute, _, second = rest.partition(":")
    try:
        return _timegm(
            _number(year), _MONTH_NUMBERS[month], _number(day), _number(hour), _number(minute), _number(second)
        )
    except (ValueError, KeyError):
        return None


def _rfc850_seconds(date: str, clock: str, now_seconds: float) -> int | None:
    day, _, rest = date.partition("-")
    month, _, year = rest.partition("-")
    if len(year) != 2 or not year.isdigit():
        return None
    this_year = time.gmtime(now_seconds).tm_year
    full_year = this_year // 100 * 100 + int(year)
    if full_year > this_year + 50:
        full_year -= 100
    return _seconds(str(full_year), month, day, clock)


def _iso8601_seconds(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
