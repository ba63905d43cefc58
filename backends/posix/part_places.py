"""Where the parts of an upload lie, and what of them an object can be made of without copying.

A lane is a file in which every part number has a place: part n begins at (n - 1) * P. The first lane is `data`; its P
is the length of the part that came first. Normally all parts but the last have one length, so that all of them fit.
Where a longer part comes later (the last one came first, or the sizes are irregular), a second lane for its length
takes the parts from then on, and what lies in the first one is copied at the end.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from backends.api import PartRecord, PartSource, StorageUnavailable

FIRST_LANE: Final = "data"
_LANE: Final = "data-"
_FILE: Final = "file:"
_CURRENT: Final = "part-size"
"""A symbolic link whose target is the current lane, "P/NAME": made or replaced with its content in one step."""


class Lane(NamedTuple):
    """A file in which part n begins at (n - 1) * `part_size`."""

    part_size: int
    name: str


class Piece(NamedTuple):
    """`length` bytes at `offset` of the file `name` of the upload, which belong at `target` of the object."""

    name: str
    offset: int
    length: int
    target: int


def lane_for(directory: str, length: int) -> Lane | None:
    """The lane for a part of that many bytes; None when the upload is gone. Raises `OSError`."""
    link = f"{directory}/{_CURRENT}"
    try:
        return _lane_for(link, directory, length)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _lane_for(link: str, directory: str, length: int) -> Lane:
    try:
        current = os.readlink(link)
    except FileNotFoundError:
        try:
            os.symlink(f"{length}/{FIRST_LANE}", link)
            return Lane(length, FIRST_LANE)
        except FileExistsError:
            current = os.readlink(link)
    part_size, _, name = current.partition("/")
    if length <= int(part_size):
        return Lane(int(part_size), name)
    # Two who do this at once may leave the shorter one current; the next longer part puts that right.
    wider = Lane(length, f"{_LANE}{length}")
    fresh = f"{link}-{os.urandom(8).hex()}"
    os.symlink(f"{length}/{wider.name}", fresh)
    os.rename(fresh, link)
    return wider


def lane_place(name: str, offset: int) -> str:
    """The place of a part in a lane."""
    return f"{name}:{offset}"


def file_place(name: str) -> str:
    """The place of a part in a file of its own."""
    return _FILE + name


def own_file(place: str) -> str | None:
    """The path, from the upload's directory, of a part's own file; None when it lies in a lane."""
    return f"parts/{_checked(place.removeprefix(_FILE))}" if place.startswith(_FILE) else None


def location(place: str) -> tuple[str, int]:
    """The path of a part's file, from the upload's directory, and the part's offset. Raises `StorageUnavailable`."""
    own = own_file(place)
    if own is not None:
        return own, 0
    name, colon, offset = place.partition(":")
    if not colon or not offset.isdecimal() or not (name == FIRST_LANE or name.startswith(_LANE)):
        raise StorageUnavailable("a part's record names no place")
    return _checked(name), int(offset)


def _checked(name: str) -> str:
    if not name.replace("-", "").isalnum():
        raise StorageUnavailable("a part's record names no place")
    return name


def pieces_of(parts: Sequence[PartRecord]) -> list[Piece]:
    """Where the bytes of an object come from that consists of these parts, in order."""
    return list(_pieces(parts))


def _pieces(parts: Sequence[PartRecord]) -> Iterator[Piece]:
    target = 0
    for part in parts:
        if part.size:
            name, offset = location(part.place)
            yield Piece(name, offset, part.size, target)
            target += part.size


def best_lane(pieces: Iterable[Piece]) -> str | None:
    """The lane that holds most of an object's bytes where the object needs them; None when there is none."""
    in_place: dict[str, int] = {}
    misplaced: set[str] = set()
    for piece in pieces:
        if piece.name.startswith("parts/"):
            continue
        if piece.offset == piece.target:
            in_place[piece.name] = in_place.get(piece.name, 0) + piece.length
        else:
            # It would be overwritten by what belongs there before it is copied.
            misplaced.add(piece.name)
    return max((name for name in in_place if name not in misplaced), key=in_place.__getitem__, default=None)


def would_lose(lane: str, stored: Iterable[PartRecord], named: Iterable[PartRecord]) -> bool:
    """Whether a part in the lane is no part of the object, and lost if the completion failed after all.

    One that was replaced by a part of the same number is lost already.
    """
    numbers = {part.number for part in named}
    return any(part.number not in numbers for part in stored if part.place.startswith(lane + ":"))


def placed(source: PartSource, received: int, place: str) -> PartRecord:
    """The record of a part whose body has ended. Raises `ValueError` for another length than was announced."""
    if source.length is not None and source.length != received:
        raise ValueError(f"{source.length} bytes were announced and {received} came")
    return msgspec.structs.replace(source.record(), place=place)
