"""Matching with `*` and `?`, in time that grows with pattern times text at most.

A regular expression with several `.*` would let the author of a policy stop the worker that evaluates it; here the
stretches between the stars are looked for one after the other, leftmost first, which needs no going back.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

Matcher = Callable[[str], bool]


class Wild(enum.Enum):
    """A wildcard of a pattern: any text, or any one character."""

    ANY = "*"
    ONE = "?"


Piece = str | Wild
"""Literal text or a wildcard."""

_WILDS: Final = {"*": Wild.ANY, "?": Wild.ONE}
_PARTS: Final = re.compile(r"([*?])")


def split_wildcards(text: str) -> list[Piece]:
    """The pieces of a pattern in which every `*` and `?` is a wildcard."""
    return [_WILDS.get(part, part) for part in _PARTS.split(text) if part]


def compile_pieces(pieces: Iterable[Piece]) -> Matcher:
    """A function that tells whether a whole text matches."""
    stretches = [_stretch(stretch) for stretch in _stretches(pieces)]
    first, last = stretches[0], stretches[-1]
    if len(stretches) == 1:
        if isinstance(first, str):
            return first.__eq__
        return lambda text: first.pattern.fullmatch(text) is not None
    middle = [stretch for stretch in stretches[1:-1] if stretch != ""]
    if not middle and isinstance(first, str) and last == "":
        return (lambda text: True) if not first else (lambda text: text.startswith(first))
    return _search(first, middle, last)


def compile_wildcards(text: str) -> Matcher:
    """`compile_pieces` of a pattern in which every `*` and `?` is a wildcard."""
    return compile_pieces(split_wildcards(text))


class _Expression(NamedTuple):
    """A stretch with single-character wildcards: an expression that matches `width` characters."""

    width: int
    pattern: re.Pattern[str]


Stretch = str | _Expression
"""What stands between two stars."""


def _stretches(pieces: Iterable[Piece]) -> list[list[Piece]]:
    stretches: list[list[Piece]] = [[]]
    for piece in pieces:
        if piece is Wild.ANY:
            stretches.append([])
        else:
            stretches[-1].append(piece)
    return stretches


def _stretch(pieces: Sequence[Piece]) -> Stretch:
    if Wild.ONE not in pieces:
        return "".join(str(piece) for piece in pieces)
    source = "".join("." if piece is Wild.ONE else re.escape(str(piece)) for piece in pieces)
    return _Expression(sum(1 if piece is Wild.ONE else len(str(piece)) for piece in pieces), _compiled(source))


@lru_cache(maxsize=1024)
def _compiled(source: str) -> re.Pattern[str]:
    return re.compile(source, re.DOTALL)


def _search(first: Stretch, middle: Sequence[Stretch], last: Stretch) -> Matcher:
    def matches(text: str) -> bool:
        start = _match_start(first, text)
        if start < 0:
            return False
        end = _match_end(last, text)
        if end < start:
            return False
        for stretch in middle:
            if isinstance(stretch, str):
                found = text.find(stretch, start, end)
                if found < 0:
                    return False
                start = found + len(stretch)
            else:
                match = stretch.pattern.search(text, start, end)
                if match is None:
                    return False
                start = match.end()
        return True

    return matches


def _match_start(stretch: Stretch, text: str) -> int:
    """Where the stretch ends that a text begins with, -1 when it does not."""
    if isinstance(stretch, str):
        return len(stretch) if text.startswith(stretch) else -1
    return stretch.width if stretch.pattern.match(text) else -1


def _match_end(stretch: Stretch, text: str) -> int:
    """Where the stretch begins that a text ends with, -1 when it does not."""
    if isinstance(stretch, str):
        return len(text) - len(stretch) if text.endswith(stretch) else -1
    begin = len(text) - stretch.width
    return begin if begin >= 0 and stretch.pattern.fullmatch(text, begin) else -1
