"""Where the parts of an upload lie, and what of them an object can be made of without moving data.

A lane is one file into which parts are written at their offset: part n begins at (n - 1) * P, P being the length of
the part that came first; all parts but the last normally have it. Where a longer part comes later (the last one came
first, or the sizes are irregular), a second lane for its length takes the parts from then on.

A part that has no place in a lane has a file of its own: one that was sent again (what was acknowledged is never
written over before it is replaced), and all of them where the layout does not allow ranges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from backends.api import PartRecord, StorageUnavailable
from backends.eos import adler32

_LANE: Final = "lane"
_FILE: Final = "file"


class PartPlace(NamedTuple):
    """`file` is the random end of a file's name, `offset` the part's in it; `checksum` adler32 of the part."""

    in_lane: bool
    file: str
    offset: int
    checksum: int

    def text(self) -> str:
        """As it stands in a part's record."""
        return f"{_LANE if self.in_lane else _FILE}:{self.file}:{self.offset:x}:{self.checksum:08x}"


def place_of(part: PartRecord) -> PartPlace:
    """Where a part lies. Raises `StorageUnavailable` for a record that does not say."""
    kind, _, rest = part.place.partition(":")
    try:
        file, offset, checksum = rest.split(":")
        if kind not in (_LANE, _FILE) or not file.isalnum():
            raise ValueError
        return PartPlace(kind == _LANE, file, int(offset, 16), int(checksum, 16))
    except ValueError:
        raise StorageUnavailable("a part's record names no place") from None


class Claim(msgspec.Struct, frozen=True, gc=False):
    """The place of a part number in a lane, taken for `length` bytes; `done` once an FST has acknowledged them.

    One that is not done is being written, or was given up: nobody knows what is there, or will be.
    """

    number: int
    length: int
    done: bool


class Lane(NamedTuple):
    """A file in which part n begins at (n - 1) * `part_size`; `fid` is its id, `claims` what is taken in it."""

    part_size: int
    file: str
    fid: int
    claims: tuple[Claim, ...] = ()


class Piece(NamedTuple):
    """A part's bytes in an object: they lie at `place`, and belong at `target`."""

    number: int
    place: PartPlace
    length: int
    target: int


def pieces_of(parts: Sequence[PartRecord]) -> list[Piece]:
    """Where the bytes of an object come from that consists of these parts, in order; empty parts left out."""
    pieces = []
    target = 0
    for part in parts:
        if part.size:
            pieces.append(Piece(part.number, place_of(part), part.size, target))
            target += part.size
    return pieces


def checksum_of(pieces: Iterable[Piece]) -> int:
    """adler32 of the object."""
    return adler32.combined((piece.place.checksum, piece.length) for piece in pieces)


def best_lane(pieces: Sequence[Piece], lanes: Iterable[Lane]) -> Lane | None:
    """The lane that becomes the object, after the pieces from other files were copied into it; None for none.

    It has to hold its own pieces where the object needs them, and nothing behind the object's end: EOS cannot shorten
    a file by HTTP. Nobody may still be writing into it. What is copied in may write over nothing but what is replaced
    by it: a completion that fails leaves all other parts as they were.
    """
    total = sum(piece.length for piece in pieces)
    sizes: dict[str, int] = {}
    for piece in pieces:
        if piece.place.in_lane:
            sizes[piece.place.file] = sizes.get(piece.place.file, 0) + piece.length
    fitting = [lane for lane in lanes if lane.file in sizes and _fits(lane, pieces, total)]
    return max(fitting, key=lambda lane: sizes[lane.file], default=None)


def _fits(lane: Lane, pieces: Sequence[Piece], total: int) -> bool:
    for claim in lane.claims:
        if not claim.done or (claim.number - 1) * lane.part_size + claim.length > total:
            return False
    regions = {claim.number: claim.length for claim in lane.claims}
    for piece in pieces:
        if piece.place.in_lane and piece.place.file == lane.file:
            if piece.place.offset != piece.target:
                return False
        elif _taken_by_others(lane, regions, piece):
            return False
    return True


def _taken_by_others(lane: Lane, regions: Mapping[int, int], piece: Piece) -> bool:
    first = piece.target // lane.part_size + 1
    last = (piece.target + piece.length - 1) // lane.part_size + 1
    for number in range(first, last + 1):
        begins, taken = (number - 1) * lane.part_size, regions.get(number, 0)
        overlaps = begins < piece.target + piece.length and begins + taken > piece.target
        if taken and overlaps and number != piece.number:
            return True
    return False
