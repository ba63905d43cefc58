"""Parts of a directory: which names EOS is asked for, as POSIX extended regular expressions.

EOS sends a directory in no order and from its beginning; what it can do is choose names by an expression. A directory
that was read before has a form that is known, although its entries have changed since: of that form a part is chosen
which holds about the names that a page needs, and bounds are put around it. Whatever lies between the bounds is read
anew, however many entries they are by now.

Expressions may choose more than is meant, never less. They are made of signs that mean themselves, in names on disk as
well as in keys (`backends/hierarchy/names.py`: whatever is escaped begins with "%"). A sign from outside that set is
never excluded.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

import msgspec

_SIGNS: Final = "!" + ",0123456789:;=@ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~ " + "-"
"""Those that mean themselves; "-" last, where brackets take it for itself."""
_PLAIN: Final = re.compile(r"(?:[A-Za-z0-9_=@,:;!~ -][A-Za-z0-9_.=@,:;!~ -]*)?")
_LONGEST: Final = 32
"""Signs of a lower bound behind what all names have in common: each becomes two alternatives."""
NAMES: Final = 2000
"""Names of a part: a page of 1,000 and what may have gone."""


class Part(msgspec.Struct, frozen=True, gc=False):
    """Names that are asked for: all names between the asked start and `end` (exclusive; None: to the end).

    `expected` is how many there were when the directory was read before.
    """

    pattern: str
    end: str | None = None
    expected: int = 0


def beginning_with(prefix: str) -> Part | None:
    """The names with a prefix; None where no expression says so."""
    return Part("^" + _meant(prefix)) if prefix and _PLAIN.fullmatch(prefix) else None


def part_of(names: Sequence[str], prefix: str, start: str) -> Part:
    """About `NAMES` names from `start` on and with `prefix`, of a directory that once had these sorted `names`."""
    last = bisect_left(names, prefix) + NAMES
    if (last >= len(names) or not names[last].startswith(prefix)) and (all_of_them := beginning_with(prefix)):
        return all_of_them
    low = max(start, prefix)
    first = bisect_left(names, low)
    last = first + NAMES
    if last >= len(names) or not names[last].startswith(prefix):
        expected = sum(name.startswith(prefix) for name in names[first:last])
        return Part(_pattern(low, _plain(prefix), None), expected=expected)
    common = _plain(_common(names[first], names[last]))
    bound = names[last][len(common)]
    return Part(_pattern(low, common, bound), common + chr(ord(bound) + 1), NAMES)


def _pattern(low: str, high: str, bound: str | None) -> str:
    """Names that are not below `low`, and not above all that begin with `high` and a sign up to `bound`.

    Two ladders: what leaves `low` upwards at some sign, and what leaves `high` downwards; they part where the two do.
    A directory sorts with a "/" behind its name, so above some names that it is a beginning of: beginnings are chosen
    too.
    """
    same = len(_common(low, high))
    low = low[:same] + _plain("x" + low[same:])[1 : _LONGEST + 1]
    alternatives = [_meant(low[:same]) + "$"]
    for position in range(same, len(low)):
        below = high[position : position + 1] if position == same else ""
        upto = bound if position == same == len(high) else None
        alternatives.append(_meant(low[:position]) + _signs(low[position], below, upto))
        alternatives.append(_meant(low[: position + 1]) + "$")
    if len(low) > same:
        alternatives.append(_meant(low))
    else:
        alternatives.append(_meant(low) + _signs("", high[same : same + 1], bound if same == len(high) else None))
    for position in range(same + 1, len(high) + 1):
        alternatives.append(_meant(high[:position]) + "$")
        below, upto = (high[position], None) if position < len(high) else ("", bound)
        alternatives.append(_meant(high[:position]) + _signs("", below, upto))
    return f"^({'|'.join(alternatives)})"


def _signs(above: str, below: str, upto: str | None) -> str:
    """One sign between two, or up to one; signs that are not plain always fit."""
    excluded = [
        sign
        for sign in _SIGNS
        if (above and sign <= above) or (below and sign >= below) or (upto is not None and sign > upto)
    ]
    return f"[^{''.join(excluded)}]" if excluded else "."


def _common(one: str, other: str) -> str:
    length = 0
    while one[length : length + 1] == other[length : length + 1] != "":
        length += 1
    return one[:length]


def _plain(text: str) -> str:
    """As much of a text's beginning as means itself."""
    found = _PLAIN.match(text)
    return found.group() if found else ""


def _meant(text: str) -> str:
    return text.replace(".", "[.]")
