"""Access control lists as EOS keeps them in `sys.acl` and `user.acl`."""

import errno
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from backends.eos.emulator.failures import EosError

# Longest first: `wo` is one permission, `w` followed by `o` would be none.
_PERMISSION: Final = re.compile(r"wo|[!+][a-zA-Z]|[rwxmducqiaAXpt]")
_DENIABLE: Final = frozenset("rwxmdu")
_EXTENSIBLE: Final = frozenset("du")


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry: whom it is about (`u`, `g`, `egroup`, `k`, `z`), which one of them, and what they may."""

    kind: str
    name: str
    permissions: tuple[str, ...]

    def __str__(self) -> str:
        granted = "".join(self.permissions)
        return f"z:{granted}" if self.kind == "z" else f"{self.kind}:{self.name}:{granted}"


def _permissions(text: str) -> tuple[str, ...]:
    found: list[str] = []
    position = 0
    while position < len(text):
        match = _PERMISSION.match(text, position)
        if match is None or (match[0][0] == "!" and match[0][1] not in _DENIABLE):
            raise ValueError(f"no permission at {text[position:]!r}")
        if match[0][0] == "+" and match[0][1] not in _EXTENSIBLE:
            raise ValueError(f"no permission at {text[position:]!r}")
        found.append(match[0])
        position = match.end()
    return tuple(dict.fromkeys(found))


def parsed(text: str) -> list[Rule]:
    """The rules of a list. Raises `EosError` with EINVAL when it is not one."""
    rules = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        fields = part.split(":")
        try:
            if fields[0] == "z" and len(fields) == 2:
                rules.append(Rule("z", "", _permissions(fields[1])))
            elif fields[0] in ("u", "g", "egroup", "k") and len(fields) == 3 and fields[1]:
                rules.append(Rule(fields[0], fields[1], _permissions(fields[2])))
            else:
                raise ValueError("unknown form")
        except ValueError as error:
            raise EosError(errno.EINVAL, f"error: invalid ACL entry '{part}'") from error
    return rules


def formatted(rules: Iterable[Rule]) -> str:
    """The text of a list."""
    return ",".join(str(rule) for rule in rules)


def numeric(rules: Iterable[Rule], user: Callable[[str], int | None], group: Callable[[str], int | None]) -> list[Rule]:
    """The rules with names turned into ids. Raises `EosError` with EINVAL for a name that nobody has."""
    result = []
    for rule in rules:
        if rule.kind in ("u", "g") and not rule.name.isdigit():
            number = user(rule.name) if rule.kind == "u" else group(rule.name)
            if number is None:
                raise EosError(errno.EINVAL, f"error: failed to convert the name in ACL entry '{rule}'")
            rule = Rule(rule.kind, str(number), rule.permissions)
        result.append(rule)
    return result


def modified(rules: list[Rule], change: str, position: int) -> list[Rule]:
    """The rules after `WHOM=PERMISSIONS`, `WHOM:+PERMISSIONS` or `WHOM:-PERMISSIONS`, several joined by commas.

    A new entry goes to `position` (from 1), or to the end for 0. Raises `EosError` with EINVAL.
    """
    for part in filter(None, change.split(",")):
        whom, operator, granted = _parts(part)
        kind, _, name = whom.partition(":")
        try:
            asked = _permissions(granted)
        except ValueError as error:
            raise EosError(errno.EINVAL, f"error: invalid ACL rule '{part}'") from error
        index = next((i for i, rule in enumerate(rules) if (rule.kind, rule.name) == (kind, name)), None)
        before = rules[index].permissions if index is not None else ()
        if operator == "=":
            after = asked
        elif operator == "+":
            after = tuple(dict.fromkeys((*before, *asked)))
        else:
            after = tuple(permission for permission in before if permission not in asked)
        rules = [rule for i, rule in enumerate(rules) if i != index]
        if after:
            place = position - 1 if position else (index if index is not None else len(rules))
            rules.insert(place, Rule(kind, name, after))
    return rules


def _parts(change: str) -> tuple[str, str, str]:
    match = re.fullmatch(r"(z|(?:u|g|egroup|k):[^:=]+)(=|:[+-]?|(?=[+-])[+-])(.*)", change)
    if match is None:
        raise EosError(errno.EINVAL, f"error: invalid ACL rule '{change}'")
    operator = match[2].lstrip(":") or "="
    return match[1], operator, match[3]


@dataclass(frozen=True, slots=True)
class Rights:
    """What a list says about one identity."""

    permissions: frozenset[str] = frozenset()

    def denies(self, permission: str) -> bool:
        """Whether `!permission` stands and no `+permission` lifts it."""
        return f"!{permission}" in self.permissions and f"+{permission}" not in self.permissions

    def grants(self, permission: str) -> bool:
        """Whether the permission stands and is not denied."""
        return permission in self.permissions and not self.denies(permission)

    @property
    def write_once(self) -> bool:
        """Whether new files may be made but existing ones neither changed nor deleted."""
        return "wo" in self.permissions and "w" not in self.permissions
