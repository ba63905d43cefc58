"""Texts of a policy with `${variables}`: in resources, and in the values of string and ARN conditions.

`${key}` stands for the value of a condition key, `${key, 'text'}` has a default, `${*}`, `${?}` and `${$}` are the
characters themselves. What a variable is replaced with is never a wildcard.
Source: "IAM policy elements: Variables and tags" in the IAM user guide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from workers.iam.policy.context import RequestContext, Value
from workers.iam.policy.values import ARN_SECTIONS
from workers.iam.policy.wildcards import Matcher, Piece, compile_pieces, split_wildcards

Reader = Callable[[RequestContext], Value]
"""Reads the value of one condition key."""

_KEPT: Final = 64
"""Matchers that a template keeps, each for other values of its variables."""
_VARIABLE: Final = re.compile(r"\$\{(?:([*?$])|\s*([^\s,'{}]+)\s*(?:,\s*'((?:[^']|'')*)'\s*)?)\}")


class VariableError(ValueError):
    """A `${` that begins no variable, or a variable that there is not."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A place for the value of a condition key."""

    key: str
    default: str | None = None


TemplatePiece = Piece | Variable


def parse_template(text: str, *, wildcards: bool, variables: bool) -> list[TemplatePiece]:
    """The pieces of a text of a policy. Raises VariableError.

    Args:
        wildcards: whether `*` and `?` are any text and any character.
        variables: whether `${` begins a variable, as it does in documents of the newer version.
    """
    pieces: list[TemplatePiece] = []
    if not variables or "${" not in text:
        return [*split_wildcards(text)] if wildcards else [text]
    end = 0
    for match in _matches(text):
        pieces += _plain(text[end : match.start()], wildcards)
        literal, key, default = match.groups()
        if literal:
            pieces.append(literal)
        else:
            pieces.append(Variable(key, None if default is None else default.replace("''", "'")))
        end = match.end()
    return [*pieces, *_plain(text[end:], wildcards)]


def variables_of(text: str) -> list[str]:
    """The keys of a text's variables. Raises VariableError."""
    return [piece.key for piece in parse_template(text, wildcards=False, variables=True) if isinstance(piece, Variable)]


def _matches(text: str) -> Iterator[re.Match[str]]:
    start = text.find("${")
    while start >= 0:
        match = _VARIABLE.match(text, start)
        if match is None:
            raise VariableError(text[start : start + 64])
        yield match
        start = text.find("${", match.end())


def _plain(text: str, wildcards: bool) -> list[Piece]:
    if not text:
        return []
    return split_wildcards(text) if wildcards else [text]


def split_arn(pieces: Sequence[TemplatePiece]) -> list[list[TemplatePiece]] | None:
    """The sections of an ARN that is a template, None when there are not six. The last one keeps its colons."""
    sections: list[list[TemplatePiece]] = [[]]
    for piece in pieces:
        if not isinstance(piece, str):
            sections[-1].append(piece)
            continue
        first, *others = piece.split(":", ARN_SECTIONS - len(sections))
        sections[-1].append(first)
        sections += [[other] for other in others]
    found = [[piece for piece in section if piece != ""] for section in sections]
    return found if len(found) == ARN_SECTIONS and found[0] == ["arn"] else None


class Template:
    """A text that a value is compared with.

    `fixed` is the matcher of a template without variables; another one is bound to each request by `bind`, which gives
    None when a variable has no single value there.
    """

    __slots__ = ("_bound", "_pieces", "_variables", "fixed")

    fixed: Matcher | None

    def __init__(self, pieces: Sequence[TemplatePiece], reader: Callable[[str], Reader], *, fold: bool = False) -> None:
        """
        Args:
            reader: gives what reads a variable's key.
            fold: whether upper and lower case are the same; the matcher is then given folded text.
        """
        self._pieces: list[Piece | None] = []
        self._variables: list[tuple[Reader, str | None]] = []
        self._bound: dict[tuple[str, ...], Matcher] = {}
        plain: list[Piece] = []
        for piece in pieces:
            if isinstance(piece, Variable):
                variable = reader(piece.key), piece.default
                self._variables.append(_folding(variable) if fold else variable)
                self._pieces.append(None)
            else:
                folded = piece.casefold() if fold and isinstance(piece, str) else piece
                plain.append(folded)
                self._pieces.append(folded)
        self.fixed = None if self._variables else compile_pieces(plain)

    def bind(self, context: RequestContext) -> Matcher | None:
        """The matcher for one request, None when a variable has no value."""
        if self.fixed is not None:
            return self.fixed
        values: list[str] = []
        for read, default in self._variables:
            value = read(context)
            if isinstance(value, str):
                values.append(value)
            elif default is not None:
                values.append(default)
            else:
                return None
        # PERF: the variables of a user's policy have the same values in each of his requests.
        key = tuple(values)
        bound = self._bound.get(key)
        if bound is None:
            if len(self._bound) >= _KEPT:
                self._bound.clear()
            rest = iter(values)
            bound = compile_pieces([next(rest) if piece is None else piece for piece in self._pieces])
            self._bound[key] = bound
        return bound


def _folding(piece: tuple[Reader, str | None]) -> tuple[Reader, str | None]:
    read, default = piece

    def read_folded(context: RequestContext) -> Value:
        value = read(context)
        return value.casefold() if isinstance(value, str) else None

    return read_folded, None if default is None else default.casefold()
