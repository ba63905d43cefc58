"""Where the parts of an object lie that was uploaded in parts."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Final

from backends.api import ObjectRecord, PartRecord, PartTable
from workers.protocol.checksums import ALGORITHMS
from workers.protocol.ranges import Range

PART_RANGE: Final = "Part number must be an integer between 1 and 10000, inclusive"


def part_numbers(table: PartTable) -> Iterator[int]:
    """The numbers that the parts were uploaded under, in order."""
    for first, count, _ in table.runs:
        yield from range(first, first + count)


def part_range(record: ObjectRecord, number: int) -> Range | None:
    """The bytes of a part by its place from 1, None when there is none. Without a part table all is part 1.

    The parts of a finished object count without gaps, whatever their numbers were, as with AWS.
    """
    if record.parts is None:
        return Range(0, record.size - 1) if number == 1 else None
    offset = 0
    before = 0
    for _, count, size in record.parts.runs:
        if before < number <= before + count:
            start = offset + (number - before - 1) * size
            return Range(start, start + size - 1)
        before += count
        offset += count * size
    return None


def part_checksums(record: ObjectRecord, found: Range) -> dict[str, str]:
    """The checksums, by algorithm, of a range that is exactly one part of an object with a composite checksum.

    They are kept for such objects only. AWS gives them for `partNumber` and for a range that aligns with one part:
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
    """
    table = record.parts
    if table is None or record.checksum_type != "COMPOSITE":
        return {}
    offset = 0
    before = 0
    for _, count, size in table.runs:
        if found.first < offset + count * size:
            index, rest = divmod(found.first - offset, size)
            return _checksums(table, before + index + 1) if not rest and found.length == size else {}
        offset += count * size
        before += count
    return {}


def parts_after(table: PartTable, marker: int) -> Iterator[PartRecord]:
    """The parts behind the place `marker`, in order and by their places, with their checksums."""
    place = 0
    for _, count, size in table.runs:
        for _ in range(count):
            place += 1
            if place > marker:
                yield PartRecord(number=place, size=size, etag="", checksums=_checksums(table, place))


def _checksums(table: PartTable, place: int) -> dict[str, str]:
    algorithm = ALGORITHMS.get(table.algorithm)
    if algorithm is None:
        return {}
    digest = table.digests[(place - 1) * algorithm.size : place * algorithm.size]
    return {algorithm.name: base64.b64encode(digest).decode()}
