"""Where the parts of an object lie that was uploaded in parts."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from backends.api import ObjectRecord, PartRecord, PartTable
from workers.protocol.checksums import ALGORITHMS
from workers.protocol.ranges import Range


def part_range(record: ObjectRecord, number: int) -> Range | None:
    """The bytes of a part by its number, None when there is none. Without a part table all is part 1."""
    if record.parts is None:
        return Range(0, record.size - 1) if number == 1 else None
    offset = 0
    for first, count, size in record.parts.runs:
        if first <= number < first + count:
            start = offset + (number - first) * size
            return Range(start, start + size - 1)
        offset += count * size
    return None


def parts_after(table: PartTable, marker: int) -> Iterator[PartRecord]:
    """The parts with a greater number than `marker`, in order, with their checksums."""
    algorithm = ALGORITHMS.get(table.algorithm)
    index = 0
    for first, count, size in table.runs:
        for number in range(first, first + count):
            if number > marker:
                checksums = {}
                if algorithm is not None:
                    digest = table.digests[index * algorithm.size : (index + 1) * algorithm.size]
                    checksums[algorithm.name] = base64.b64encode(digest).decode()
                yield PartRecord(number=number, size=size, etag="", checksums=checksums)
            index += 1
