"""The operators of conditions, each compiled to a function of the request.

An operator with `Not` in its name holds when no value of the policy matches, so also when the key is absent; the other
ones never hold for an absent key. `...IfExists` holds for an absent key, `ForAllValues:` asks for every value of the
request, `ForAnyValue:` for one of them.
Source: "IAM JSON policy elements: Condition operators" and "Multivalued context keys" in the IAM user guide.
"""

from __future__ import annotations

import base64
import binascii
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from workers.iam.policy.context import PENDING, Pending, RequestContext
from workers.iam.policy.keys import find_key
from workers.iam.policy.model import Condition
from workers.iam.policy.values import Network, address, arn_sections, date, network, number
from workers.iam.policy.variables import Reader, Template, parse_template, split_arn
from workers.iam.policy.wildcards import Matcher

Check = Callable[[RequestContext], bool]
"""Whether a condition holds for a request."""

Test = Callable[[str, RequestContext], bool | None]
"""Whether one value of the request matches one of the policy's; None when it matches none, but a variable among them
has no value, so that nobody knows."""

ALL_VALUES: Final = "ForAllValues"
ANY_VALUE: Final = "ForAnyValue"
_IF_EXISTS: Final = "IfExists"


class ValueRefusedError(ValueError):
    """A value that its operator cannot use; the text is the message."""


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator's name taken apart."""

    base: str
    quantifier: str = ""
    if_exists: bool = False

    @property
    def family(self) -> str:
        """What kind of values it compares."""
        return _FAMILIES[self.base]

    @property
    def negated(self) -> bool:
        """Whether it holds when nothing matches."""
        return self.base in _NEGATED

    @property
    def variables(self) -> bool:
        """Whether its values can contain variables."""
        return self.family in ("string", "arn")


_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "Equals": operator.eq,
    "NotEquals": operator.eq,
    "LessThan": operator.lt,
    "LessThanEquals": operator.le,
    "GreaterThan": operator.gt,
    "GreaterThanEquals": operator.ge,
}

_FAMILIES: Final[dict[str, str]] = {
    **dict.fromkeys(
        """StringEquals StringNotEquals StringEqualsIgnoreCase StringNotEqualsIgnoreCase StringLike
        StringNotLike""".split(),
        "string",
    ),
    **{f"Numeric{name}": "number" for name in _COMPARISONS},
    **{f"Date{name}": "date" for name in _COMPARISONS},
    **dict.fromkeys(("ArnEquals", "ArnNotEquals", "ArnLike", "ArnNotLike"), "arn"),
    "Bool": "boolean",
    "BinaryEquals": "binary",
    "IpAddress": "address",
    "NotIpAddress": "address",
    "Null": "null",
}

_NEGATED: Final = frozenset(
    """StringNotEquals StringNotEqualsIgnoreCase StringNotLike NumericNotEquals DateNotEquals ArnNotEquals ArnNotLike
    NotIpAddress""".split()
)


def parse_operator(text: str) -> Operator | None:
    """An operator by its name in a policy; None when there is no such."""
    quantifier, colon, rest = text.rpartition(":")
    if colon and quantifier not in (ALL_VALUES, ANY_VALUE):
        return None
    base = rest.removesuffix(_IF_EXISTS)
    if base not in _FAMILIES or (base == "Null" and (colon or base != rest)):
        return None
    return Operator(base, quantifier, base != rest)


def check_values(condition: Condition, *, variables: bool) -> None:
    """Raise ValueRefusedError, or VariableError, for a value that the condition's operator cannot use."""
    found = parse_operator(condition.operator)
    assert found is not None  # noqa: S101 -- the parser asked before
    for value in condition.values:
        _check_value(found, value, variables)


def _check_value(found: Operator, value: str, variables: bool) -> None:
    family = found.family
    if family == "string":
        parse_template(value, wildcards=False, variables=variables)
    elif family == "arn":
        pieces = parse_template(value, wildcards=True, variables=variables)
        if value != "*" and split_arn(pieces) is None:
            raise ValueRefusedError("Invalid ARN in Conditions")
    elif family == "address":
        if network(value) is None:
            raise ValueRefusedError("Invalid IP address in Conditions")
    elif family == "number":
        if number(value) is None:
            raise ValueRefusedError("Invalid number in Conditions")
    elif family == "date":
        if date(value) is None:
            raise ValueRefusedError("Invalid date in Conditions")
    elif family == "binary":
        if _binary(value) is None:
            raise ValueRefusedError("Invalid base64 data in Conditions")
    elif value.lower() not in ("true", "false"):
        raise ValueRefusedError("Invalid Boolean value in Conditions")


def compile_condition(condition: Condition, action: str, *, variables: bool, deny: bool, claims: bool) -> Check:
    """The function of a checked condition, for requests of one action.

    Args:
        variables: whether `${...}` is a variable.
        deny: whether the statement denies. A statement that denies holds where a missing variable leaves open whether
            something differs; one that allows does not.
        claims: whether claims of a token are keys.
    """
    found = parse_operator(condition.operator)
    assert found is not None  # noqa: S101 -- the parser asked before
    read = _reader(condition.key, action, claims)
    if found.family == "null":
        return _null(read, {value.lower() == "true" for value in condition.values}, deny)
    fast = _clock(found, condition)
    if fast is not None:
        return fast
    test = _test(found, condition, variables, lambda key: _reader(key.lower(), action, claims))
    return _quantified(found, read, test, deny)


def _reader(key: str, action: str, claims: bool) -> Reader:
    found = find_key(key, claims=claims)
    read = None if found is None else found.reader(action)
    return _absent if read is None else read


def _absent(_context: RequestContext) -> None:
    return None


def _null(read: Reader, wanted: set[bool], deny: bool) -> Check:
    def check(context: RequestContext) -> bool:
        value = read(context)
        if value is PENDING:
            context.pending = True
            return not deny
        return (value is None or value == ()) in wanted

    return check


def _clock(found: Operator, condition: Condition) -> Check | None:
    """A comparison with the time of the request, which needs no text in between."""
    if found.quantifier or condition.key not in ("aws:currenttime", "aws:epochtime"):
        return None
    if found.family not in ("date", "number"):
        return None
    compare = _COMPARISONS[found.base.removeprefix("Date").removeprefix("Numeric")]
    convert = date if found.family == "date" else number
    limits = [convert(value) for value in condition.values]
    if found.family == "number" and condition.key == "aws:currenttime":
        return None
    negated = found.negated
    return lambda context: any(compare(int(context.now), limit) for limit in limits) is not negated


def _quantified(found: Operator, read: Reader, test: Test, deny: bool) -> Check:
    negated = found.negated
    absent = found.if_exists or (negated and found.quantifier != ANY_VALUE) or found.quantifier == ALL_VALUES
    every = found.quantifier == ALL_VALUES or (negated and found.quantifier != ANY_VALUE)

    def holds(value: str, context: RequestContext) -> bool:
        matched = test(value, context)
        if not negated:
            return matched is True
        return deny if matched is None else not matched

    def seldom(value: tuple[str, ...] | Pending | None, context: RequestContext) -> bool:
        if value is None or value == ():
            return absent
        if value is PENDING:
            context.pending = True
            return not deny
        if every:
            return all(holds(one, context) for one in value)
        return any(holds(one, context) for one in value)

    # PERF: most values are one text, and most operators are not negated.
    def check(context: RequestContext) -> bool:
        value = read(context)
        return test(value, context) is True if isinstance(value, str) else seldom(value, context)

    def check_negated(context: RequestContext) -> bool:
        value = read(context)
        return holds(value, context) if isinstance(value, str) else seldom(value, context)

    return check_negated if negated else check


def _test(found: Operator, condition: Condition, variables: bool, reader: Callable[[str], Reader]) -> Test:
    values = condition.values
    family = found.family
    if family == "string":
        return _string_test(found.base, values, variables, reader)
    if family == "arn":
        return _arn_test(values, variables, reader)
    if family == "address":
        return _address_test([block for block in map(network, values) if block is not None])
    if family == "boolean":
        wanted = {value.lower() for value in values}
        return lambda value, context: value.lower() in wanted
    if family == "binary":
        data = {_binary(value) for value in values}
        return lambda value, context: _binary(value) in data
    compare = _COMPARISONS[found.base.removeprefix("Date").removeprefix("Numeric")]
    return _ordered_test(compare, date if family == "date" else number, values)


def _string_test(base: str, values: Sequence[str], variables: bool, reader: Callable[[str], Reader]) -> Test:
    fold, like = base.endswith("IgnoreCase"), base.endswith("Like")
    templates = [
        Template(parse_template(value, wildcards=like, variables=variables), reader, fold=fold) for value in values
    ]
    if any(template.fixed is None for template in templates):
        return _bound_test(templates, fold)
    if not like:
        texts = frozenset(
            piece.casefold() if fold else piece
            for value in values
            for piece in ("".join(map(str, parse_template(value, wildcards=False, variables=variables))),)
        )
        if fold:
            return lambda value, context: value.casefold() in texts
        return lambda value, context: value in texts
    matchers = [template.fixed for template in templates if template.fixed is not None]
    return lambda value, context: any(matches(value) for matches in matchers)


def _bound_test(templates: Sequence[Template], fold: bool) -> Test:
    def test(value: str, context: RequestContext) -> bool | None:
        text = value.casefold() if fold else value
        known = True
        for template in templates:
            matches = template.bind(context)
            if matches is None:
                known = False
            elif matches(text):
                return True
        return False if known else None

    return test


def _arn_test(values: Sequence[str], variables: bool, reader: Callable[[str], Reader]) -> Test:
    patterns = [
        None
        if value == "*"
        else [
            Template(section, reader)
            for section in split_arn(parse_template(value, wildcards=True, variables=variables)) or ()
        ]
        for value in values
    ]

    def test(value: str, context: RequestContext) -> bool | None:
        sections = arn_sections(value)
        known = True
        for pattern in patterns:
            if pattern is None:
                return True
            matchers = [template.bind(context) for template in pattern]
            if None in matchers:
                known = False
            elif sections is not None and _all_match(matchers, sections):
                return True
        return False if known else None

    return test


def _all_match(matchers: Sequence[Matcher | None], sections: Sequence[str]) -> bool:
    return all(matches is not None and matches(section) for matches, section in zip(matchers, sections, strict=True))


def _address_test(blocks: Sequence[Network]) -> Test:
    if len(blocks) == 1:
        bits, base, mask = blocks[0]

        def test_one(value: str, context: RequestContext) -> bool:
            found = address(value)
            return found is not None and found[1] & mask == base and found[0] == bits

        return test_one

    def test(value: str, context: RequestContext) -> bool:
        found = address(value)
        if found is None:
            return False
        bits, wanted = found
        return any(block.bits == bits and wanted & block.mask == block.base for block in blocks)

    return test


def _ordered_test(
    compare: Callable[[Any, Any], bool], convert: Callable[[str], int | float | None], values: Sequence[str]
) -> Test:
    limits = [convert(value) for value in values]

    def test(value: str, context: RequestContext) -> bool:
        found = convert(value)
        return found is not None and any(compare(found, limit) for limit in limits)

    return test


def _binary(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
