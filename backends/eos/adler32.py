"""adler32 of bytes that lie one behind another, from the checksums of its pieces (RFC 1950 section 9)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_BASE: Final = 65521
EMPTY: Final = 1
"""The checksum of no bytes."""


def combined(pieces: Iterable[tuple[int, int]]) -> int:
    """The checksum of all pieces together, each given as its checksum and its length."""
    low, high = 1, 0
    for value, length in pieces:
        # The second sum counts every byte once for each byte from it to the end.
        piece_low, piece_high = value & 0xFFFF, value >> 16
        high = (high + piece_high + (low - 1) * length) % _BASE
        low = (low + piece_low - 1) % _BASE
    return high << 16 | low
