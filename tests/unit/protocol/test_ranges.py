"""Byte ranges against a model that picks bytes one by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.protocol.errors import S3Error
from workers.protocol.ranges import MAX_RANGES, Range, parse_copy_range, parse_range

POSITION = st.integers(0, 30)
SPEC = st.one_of(
    st.tuples(POSITION, POSITION).map(lambda pair: f"{min(pair)}-{max(pair)}"),
    POSITION.map(lambda first: f"{first}-"),
    POSITION.map(lambda count: f"-{count}"),
)


def naive(spec: str, size: int) -> list[int]:
    """Return the positions that one range asks for, tried one by one."""
    start, end = spec.split("-")
    if not start:
        return [position for position in range(size) if position >= size - int(end)]
    return [position for position in range(size) if position >= int(start) and (not end or position <= int(end))]


@given(st.lists(SPEC, min_size=1, max_size=5), st.integers(0, 25))
def test_ranges_ask_for_the_same_bytes_as_the_model(specs: list[str], size: int) -> None:
    header = "bytes=" + ",".join(specs)
    expected = [positions for positions in (naive(spec, size) for spec in specs) if positions]
    if not expected:
        with pytest.raises(S3Error) as caught:
            parse_range(header, size)
        assert caught.value.code == "InvalidRange"
        assert caught.value.status == 416
        assert caught.value.headers["Content-Range"] == f"bytes */{size}"
        assert caught.value.elements == {"RangeRequested": header, "ActualObjectSize": str(size)}
        return
    ranges = parse_range(header, size)
    assert ranges is not None
    assert [list(range(one.first, one.last + 1)) for one in ranges] == expected
    assert [one.length for one in ranges] == [len(positions) for positions in expected]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=a-b",
        "bytes=5",
        "bytes=5-4",
        "bytes=0-1,x",
        "bytes=0-1,9-8",
        "bytes=+1-2",
        "bytes=1 -2",
        "bytes=--1",
        "bytes=1-2-3",
        "bytes=²-3",
        "items=0-1",
        "bytes 0-1",
    ],
)
def test_a_malformed_header_means_the_whole_object(header: str | None) -> None:
    assert parse_range(header, 10) is None


@pytest.mark.parametrize("digits", ["9" * 30, "0" * 5000 + "99", "9" * 6000])
def test_positions_of_any_length_are_numbers(digits: str) -> None:
    assert parse_range(f"bytes=2-{digits}", 10) == (Range(2, 9),)
    assert parse_range(f"bytes=-{digits}", 10) == (Range(0, 9),)
    with pytest.raises(S3Error, match="InvalidRange"):
        parse_range(f"bytes={digits}-", 10)


def test_unit_in_any_case_white_space_and_empty_elements() -> None:
    assert parse_range("Bytes=0-1, ,\t5-6 ,", 10) == (Range(0, 1), Range(5, 6))


def test_overlapping_ranges_are_kept_as_asked() -> None:
    assert parse_range("bytes=5-9,0-6,5-9", 10) == (Range(5, 9), Range(0, 6), Range(5, 9))


def test_more_ranges_than_the_limit_mean_the_whole_object() -> None:
    assert len(parse_range("bytes=" + ",".join(["0-0"] * MAX_RANGES), 10) or ()) == MAX_RANGES
    assert parse_range("bytes=" + ",".join(["0-0"] * (MAX_RANGES + 1)), 10) is None


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=-5", "bytes=0-0"])
def test_an_empty_object_has_no_range(header: str) -> None:
    with pytest.raises(S3Error, match="InvalidRange"):
        parse_range(header, 0)


def test_content_range() -> None:
    assert Range(2, 4).content_range(10) == "bytes 2-4/10"


def test_a_copy_range_within_the_source() -> None:
    assert parse_copy_range("bytes=0-9", 10) == Range(0, 9)


@pytest.mark.parametrize(
    "header",
    ["", "0-2", "bytes=0", "bytes=hello-world", "bytes=0-bar", "bytes=hello-", "bytes=0-2,3-5", "bytes=-5", "bytes=5-",
     "bytes=3-2", "Bytes=0-1", "bytes=²-3"],
)  # fmt: skip
def test_a_malformed_copy_range_is_refused(header: str) -> None:
    with pytest.raises(S3Error) as caught:
        parse_copy_range(header, 10)
    assert caught.value.code == "InvalidArgument"
    assert caught.value.elements == {"ArgumentName": "x-amz-copy-source-range", "ArgumentValue": header}
    assert "must be of the form bytes=first-last" in caught.value.message


@pytest.mark.parametrize(
    ("header", "code"),
    [("bytes=0-10", "InvalidArgument"), ("bytes=10-10", "InvalidRequest"), ("bytes=11-99", "InvalidRequest")],
)
def test_a_copy_range_past_the_source_is_refused(header: str, code: str) -> None:
    with pytest.raises(S3Error) as caught:
        parse_copy_range(header, 10)
    assert caught.value.code == code


@given(st.text(alphabet=st.characters(max_codepoint=255)), st.integers(0, 100))
def test_any_header_is_a_range_or_an_s3_error(text: str, size: int) -> None:
    for header in (text, "bytes=" + text):
        try:
            ranges = parse_range(header, size)
        except S3Error:
            pass
        else:
            assert ranges is None or all(0 <= one.first <= one.last < size for one in ranges)
        try:
            one = parse_copy_range(header, size)
        except S3Error:
            pass
        else:
            assert 0 <= one.first <= one.last < size
