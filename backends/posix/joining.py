"""Makes one file of the parts of an upload: of a lane that has them in place, else a new file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from backends.api import PartRecord
from backends.faultpoints import reach
from backends.offload import offload
from backends.posix.failures import translated
from backends.posix.part_log import logged_parts
from backends.posix.part_places import Piece, best_lane, pieces_of, would_lose
from backends.posix.regions import copy_range, lock_region, unlink
from backends.posix.system import close

PUT_TOGETHER: Final = "object-"
"""How the names of files begin that are put together here."""

_LANE_FLAGS: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
_NEW_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_PATIENCE: Final = 2.0
"""Seconds to wait at least for parts that are being written to a lane."""
_SHORT_LOG: Final = 16 << 10
"""Bytes of a log, of some hundred parts, that is read where it is needed: a thread takes longer to do so."""
_COPY_SPEED: Final = 500e6
"""Bytes a second. To wait for as long as copying would take costs at most twice what the better choice had cost."""


@translated
def joined(directory: str, parts: Sequence[PartRecord], mode: int) -> tuple[str, int]:
    """The name and a descriptor of a file of the upload that holds exactly these parts, one behind another.

    The caller holds the upload. The file is locked as long as the descriptor is open, so that nobody writes a part to
    it. The parts stay where they are, too.
    """
    for name in os.listdir(directory):
        if name.startswith(PUT_TOGETHER):
            # A process was killed while it put the object together.
            unlink(f"{directory}/{name}")
    pieces = pieces_of(parts)
    size = sum(piece.length for piece in pieces)
    lane = best_lane(pieces)
    if lane is not None:
        descriptor = _whole_lane(directory, lane, parts, size)
        if descriptor is not None:
            try:
                _fill(directory, descriptor, [piece for piece in pieces if piece.name != lane], size)
            except BaseException:
                close(descriptor)
                raise
            return lane, descriptor
    return _put_together(directory, pieces, size, mode)


def _put_together(directory: str, pieces: Sequence[Piece], size: int, mode: int) -> tuple[str, int]:
    name = f"{PUT_TOGETHER}{os.urandom(8).hex()}"
    descriptor = os.open(f"{directory}/{name}", _NEW_FLAGS, mode)
    try:
        _fill(directory, descriptor, pieces, size)
    except BaseException:
        close(descriptor)
        unlink(f"{directory}/{name}")
        raise
    return name, descriptor


def _whole_lane(directory: str, lane: str, parts: Sequence[PartRecord], size: int) -> int | None:
    """A lane, all of it locked; None where it cannot become the object, or parts are being written to it for long."""
    try:
        descriptor = os.open(f"{directory}/{lane}", _LANE_FLAGS)
    except FileNotFoundError:
        return None
    try:
        usable = lock_region(descriptor, 0, 0, patience=_PATIENCE + size / _COPY_SPEED) and not would_lose(
            lane, _noted(f"{directory}/log"), parts
        )
    except BaseException:
        close(descriptor)
        raise
    if not usable:
        close(descriptor)
        return None
    return descriptor


def _noted(log: str) -> list[PartRecord]:
    """The parts in a log."""
    try:
        short = os.stat(log).st_size <= _SHORT_LOG
    except FileNotFoundError:
        return []
    return logged_parts(log) if short else offload(logged_parts, log)


def _fill(directory: str, descriptor: int, pieces: Sequence[Piece], size: int) -> None:
    """Copy pieces into a file, and give it its size."""
    reach("posix.complete.filling")
    for piece in pieces:
        offload(copy_range, f"{directory}/{piece.name}", piece.offset, descriptor, piece.target, piece.length)
    if os.fstat(descriptor).st_size != size:
        os.ftruncate(descriptor, size)
