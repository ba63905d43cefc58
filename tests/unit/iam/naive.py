"""A second reading of the policy language: slow, literal, on the JSON document itself, sharing nothing with the engine.

It speaks of requests as plain dictionaries: `keys` maps every condition key that applies to its value, and `names` the
caller's names in the spelling of policies to how much a grant to that name is worth.
"""

from __future__ import annotations

import datetime
import ipaddress
from typing import Any

Json = dict[str, Any]
Value = str | list[str] | None


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def like(pattern: list[str], text: str) -> bool:
    """Whether a pattern of characters, of which "\\*" and "\\?" are the wildcards, matches."""
    reachable = {0}
    for symbol in pattern:
        following: set[int] = set()
        for position in reachable:
            if symbol == "\\*":
                following.update(range(position, len(text) + 1))
            elif position < len(text) and symbol in ("\\?", text[position]):
                following.add(position + 1)
        reachable = following
    return len(text) in reachable


def expand_text(text: str, keys: dict[str, Value], variables: bool, wildcards: bool) -> list[str] | None:
    """The characters of a text with its variables replaced; None when one has no value."""
    symbols: list[str] = []
    position = 0
    while position < len(text):
        if variables and text.startswith("${", position):
            end = text.index("}", position)
            inside = text[position + 2 : end]
            position = end + 1
            if inside in ("*", "?", "$"):
                symbols.append(inside)
                continue
            name, comma, default = inside.partition(",")
            value = keys.get(name.strip().lower())
            if not isinstance(value, str):
                if not comma:
                    return None
                value = default.strip()[1:-1]
            symbols.extend(value)
            continue
        character = text[position]
        symbols.append("\\" + character if wildcards and character in "*?" else character)
        position += 1
    return symbols


def sections_of(symbols: list[str]) -> list[list[str]]:
    sections: list[list[str]] = [[]]
    for symbol in symbols:
        if symbol == ":" and len(sections) < 6:
            sections.append([])
        else:
            sections[-1].append(symbol)
    return sections


def arn_like(symbols: list[str], text: str) -> bool:
    if symbols == ["\\*"]:
        return True
    patterns, parts = sections_of(symbols), text.split(":", 5)
    return len(patterns) == len(parts) == 6 and all(map(like, patterns, parts))


def resource_matches(statement: Json, resource: str, keys: dict[str, Value], variables: bool) -> bool:
    negated = "NotResource" in statement
    unknown = False
    for pattern in as_list(statement["NotResource" if negated else "Resource"]):
        symbols = expand_text(pattern, keys, variables, True)
        if symbols is None:
            unknown = True
        elif arn_like(symbols, resource):
            return not negated
    if negated and unknown:
        return statement["Effect"] == "Deny"
    return negated


def action_matches(statement: Json, action: str) -> bool:
    negated = "NotAction" in statement
    patterns = as_list(statement["NotAction" if negated else "Action"])
    symbols = [["\\" + c if c in "*?" else c for c in pattern.lower()] for pattern in patterns]
    return any(like(pattern, action.lower()) for pattern in symbols) is not negated


def principal_worth(statement: Json, names: dict[str, int]) -> int:
    """How much the statement is worth to a caller with these names: 2 for everyone, 0 for not being meant."""
    negated = "NotPrincipal" in statement
    if not negated and "Principal" not in statement:
        return 2
    element = statement["NotPrincipal" if negated else "Principal"]
    entries = ["*"] if element == "*" else [entry for kind in element for entry in as_list(element[kind])]
    if negated:
        return 0 if "*" in entries or any(names.get(entry, 0) >= 2 for entry in entries) else 2
    worth = max((names.get(entry, 0) for entry in entries), default=0)
    return 2 if "*" in entries else worth


def compare(operator: str, wanted: str, value: str, keys: dict[str, Value], variables: bool) -> bool | None:
    """Whether one value matches one of the policy's, as the operator without its Not; None for unknown."""
    if operator in ("StringEquals", "StringEqualsIgnoreCase", "StringLike"):
        symbols = expand_text(wanted, keys, variables, operator == "StringLike")
        if symbols is None:
            return None
        if operator == "StringEqualsIgnoreCase":
            return "".join(symbols).casefold() == value.casefold()
        return like(symbols, value)
    if operator in ("ArnEquals", "ArnLike"):
        symbols = expand_text(wanted, keys, variables, True)
        return None if symbols is None else arn_like(symbols, value)
    if operator == "Bool":
        return wanted.lower() == value.lower()
    if operator == "IpAddress":
        try:
            return ipaddress.ip_address(value) in ipaddress.ip_network(wanted, strict=False)
        except ValueError:
            return False
    kind = "Numeric" if operator.startswith("Numeric") else "Date"
    try:
        left, right = (float(value), float(wanted)) if kind == "Numeric" else (seconds(value), seconds(wanted))
    except ValueError:
        return False
    relation = operator.removeprefix(kind)
    return {
        "Equals": left == right,
        "LessThan": left < right,
        "LessThanEquals": left <= right,
        "GreaterThan": left > right,
        "GreaterThanEquals": left >= right,
    }[relation]


def seconds(text: str) -> float:
    if text.isdigit():
        return float(text)
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


POSITIVE = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NotIpAddress": "IpAddress",
}


def condition_holds(
    operator: str, key: str, wanted: list[Any], keys: dict[str, Value], variables: bool, effect: str
) -> bool:
    quantifier, _, name = operator.rpartition(":")
    optional = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    value = keys.get(key.lower())
    texts = [str(one).lower() if isinstance(one, bool) else str(one) for one in wanted]
    absent = value is None or value == []
    if name == "Null":
        return any((text.lower() == "true") == absent for text in texts)
    negated = name in POSITIVE
    if absent:
        if optional or quantifier == "ForAllValues":
            return True
        return negated and quantifier == ""

    def one_holds(one: str) -> bool:
        results = [compare(POSITIVE.get(name, name), text, one, keys, variables) for text in texts]
        if True in results:
            return not negated
        if negated and None in results:
            return effect == "Deny"
        return negated

    values = value if isinstance(value, list) else [value or ""]
    if quantifier == "ForAllValues" or (negated and quantifier == ""):
        return all(map(one_holds, values))
    return any(map(one_holds, values))


def statement_worth(
    statement: Json, version: str, action: str, resource: str, names: dict[str, int], keys: dict[str, Value]
) -> int:
    """What a statement is worth for a request, 0 when it does not apply."""
    variables = version == "2012-10-17"
    if not action_matches(statement, action) or not resource_matches(statement, resource, keys, variables):
        return 0
    for operator, block in statement.get("Condition", {}).items():
        for key, wanted in block.items():
            if not condition_holds(operator, key, as_list(wanted), keys, variables, statement["Effect"]):
                return 0
    return principal_worth(statement, names)


def evaluate(document: Json, action: str, resource: str, names: dict[str, int], keys: dict[str, Value]) -> int:
    """-1 for an explicit deny, else the worth of the best statement that allows."""
    version = document.get("Version", "2008-10-17")
    best = 0
    for statement in document["Statement"]:
        worth = statement_worth(statement, version, action, resource, names, keys)
        if worth and statement["Effect"] == "Deny":
            return -1
        best = max(best, worth)
    return best


def decide(documents: dict[str, Any], caller: Json, owner: str, ask: tuple[str, str, dict[str, Value]]) -> bool:
    """Whether a request is allowed, by the flow chart of the user guide.

    `documents` has `identity`, `boundary`, `session` and `bucket`, each a document or None; `caller` has `kind`,
    `account` and `names`.
    """
    action, resource, keys = ask
    said = {
        kind: None if found is None else evaluate(found, action, resource, caller["names"], keys)
        for kind, found in documents.items()
    }
    if -1 in said.values():
        return False
    grant = said["bucket"] or 0
    if caller["kind"] == "Anonymous":
        return grant == 2
    bounded = said["boundary"] is None or said["boundary"] > 0
    in_session = said["session"] is None or said["session"] > 0
    identity = bool(said["identity"])
    if caller["account"] != owner:
        ceiling = bounded and in_session
        return grant > 0 and ceiling and (caller["kind"] == "Account" or identity)
    if caller["kind"] == "Account":
        return bounded and in_session
    if grant == 3:
        return True
    if grant == 2 and caller["kind"] == "User" and in_session:
        return True
    return (identity or grant == 2) and bounded and in_session
