"""Byte ranges of requests (RFC 9110 section 14)."""

from typing import Final, NamedTuple

from workers.protocol.errors import S3Error

MAX_RANGES: Final = 1024
"""A header with more ranges is ignored: the whole object is sent. High enough for vector reads of physics files."""

_UNIT: Final = "bytes="
_MAX_DIGITS: Final = 19
_FAR: Final = 10**_MAX_DIGITS


class Range(NamedTuple):
    """Bytes `first` to `last`, both included."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.last - self.first + 1

    def content_range(self, size: int) -> str:
        """Return the value of `Content-Range` for an object of `size` bytes."""
        return f"bytes {self.first}-{self.last}/{size}"


def parse_range(header: str | None, size: int) -> tuple[Range, ...] | None:
    """Return the ranges that a `Range` header asks of an object of `size` bytes, in its order; None: the whole object.

    A malformed header, another unit, or more than MAX_RANGES ranges are ignored, as RFC 9110 section 14.2 allows and
    S3 does. Ranges past the end are left out; when none is left, S3Error InvalidRange (416). A `last` past the end
    is brought back to it.
    """
    if header is None:
        return None
    # PERF: one plain `bytes=a-b` is nearly all that clients send, and takes the same path as a list of one.
    if header[:6].lower() != _UNIT:
        return None
    specs = header[6:].split(",")
    # White space belongs to the commas alone (RFC 9110 section 5.6.1): `bytes= -1` is none of the forms.
    if len(specs) > MAX_RANGES or header[6:7] in (" ", "\t"):
        return None
    ranges: list[Range] = []
    asked = False
    for spec in specs:
        spec = spec.strip(" \t")
        if not spec:  # An empty list element is legal (RFC 9110 section 5.6.1.2).
            continue
        start, dash, end = spec.partition("-")
        if not dash:
            return None
        bounds = _bounds(start, end, size)
        if bounds is None:
            return None
        asked = True
        if bounds.first <= bounds.last:
            ranges.append(bounds)
    if not asked:
        return None
    if not ranges:
        raise S3Error(
            "InvalidRange",
            headers={"Content-Range": f"bytes */{size}"},
            RangeRequested=header,
            ActualObjectSize=str(size),
        )
    return tuple(ranges)


def parse_copy_range(header: str, size: int) -> Range:
    """Return the range that `x-amz-copy-source-range` asks of a source of `size` bytes.

    Only `bytes=first-last` is allowed, and it has to lie within the source: unlike a read, a copy is never cut
    short. Raises S3Error InvalidArgument or InvalidRequest.
    """
    start, dash, end = header[6:].partition("-")
    first, last = _position(start), _position(end)
    if not header.startswith(_UNIT) or not dash or first is None or last is None or first > last:
        raise S3Error(
            "InvalidArgument",
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
            "zero-based offsets of the first and last bytes to copy",
            ArgumentName="x-amz-copy-source-range",
            ArgumentValue=header,
        )
    if first >= size:
        raise S3Error("InvalidRequest", "The specified copy range is invalid for the source object size")
    if last >= size:
        raise S3Error(
            "InvalidArgument",
            f"Range specified is not valid for source object of size: {size}",
            ArgumentName="x-amz-copy-source-range",
            ArgumentValue=header,
        )
    return Range(first, last)


def _bounds(start: str, end: str, size: int) -> Range | None:
    """Return one range cut to `size`; `first > last` when it cannot be satisfied; None when it is malformed."""
    if not start:
        count = _position(end)
        return None if count is None else Range(max(size - count, 0), size - 1 if count else -1)
    first = _position(start)
    if first is None:
        return None
    if not end:
        return Range(first, size - 1)
    last = _position(end)
    if last is None or last < first:
        return None
    return Range(first, min(last, size - 1))


def _position(digits: str) -> int | None:
    """Return a position, or None when it is not one. Positions beyond any object are all the same one."""
    if not (digits.isascii() and digits.isdigit()):
        return None
    if len(digits) > _MAX_DIGITS:  # int() of thousands of digits is slow, and refused beyond 4300.
        digits = digits.lstrip("0")
        return int(digits or "0") if len(digits) <= _MAX_DIGITS else _FAR
    return int(digits)
