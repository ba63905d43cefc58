"""Reads a policy document and refuses what is not understood, before anybody relies on it.

Every refusal is `S3Error` MalformedPolicy with the message that AWS gives for the same fault, and an element Detail
that names the place in the document.
Source: "Grammar of the IAM JSON policy language" in the IAM user guide; "Bucket policies" in the S3 user guide.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from typing import Any, Final, NoReturn

from workers.iam.policy.actions import ACTIONS, BUCKET, OBJECT, SERVICES, expand
from workers.iam.policy.keys import find_key, is_variable, normal_key
from workers.iam.policy.model import (
    EVERYONE,
    VERSION_2008,
    VERSION_2012,
    Condition,
    Effect,
    Kind,
    Policy,
    Statement,
)
from workers.iam.policy.operators import ValueRefusedError, check_values, parse_operator
from workers.iam.policy.principals import PARTITION, PrincipalKey, principal_name
from workers.iam.policy.variables import TemplatePiece, VariableError, parse_template, split_arn, variables_of
from workers.iam.policy.wildcards import Wild, compile_pieces
from workers.protocol.errors import S3Error

MAX_POLICY_BYTES: Final = 20 * 1024
MAX_KEPT_BYTES: Final = 2 * MAX_POLICY_BYTES
"""Of a bucket policy as it is kept: an id of 22 bytes stands with ARNs of 32 and more."""

_TOP_LEVEL: Final = frozenset({"Version", "Id", "Statement"})
_STATEMENT: Final = frozenset(
    """Sid Effect Principal NotPrincipal Action NotAction Resource NotResource Condition""".split()
)
_PRINCIPAL_KINDS: Final = ("AWS", "CanonicalUser", "Federated", "Service")
_SID: Final = re.compile(r"[0-9A-Za-z]*", re.ASCII)
_S3_PREFIX: Final = f"arn:{PARTITION}:s3:::"
_LONGEST_NAME: Final = 256
"""Characters of an action or condition key; longer ones would fill the caches of what was read before."""
_SHOWN: Final = 256
"""Characters of the document that an error shows."""


def parse_policy(
    document: str | bytes,
    kind: Kind,
    *,
    bucket: str = "",
    principal_key: PrincipalKey | None = None,
    limit: int = MAX_POLICY_BYTES,
) -> Policy:
    """Read and check a document. Raises `S3Error` MalformedPolicy, and nothing else.

    Args:
        bucket: the bucket that a bucket policy is for; all its resources are in it.
        principal_key: looks for the principals that the policy names; None takes every well-formed one.
        limit: bytes; a policy that is kept is longer than it was when it was saved.
    """
    root = _load(document, limit)
    _only(root, _TOP_LEVEL, "")
    version = root.get("Version", VERSION_2008)
    if version not in (VERSION_2008, VERSION_2012):
        _refuse("The policy must contain a valid version string", "Version")
    identifier = root.get("Id", "")
    if not isinstance(identifier, str):
        _refuse("Id must be a string", "Id")
    if "Statement" not in root:
        _refuse("Missing required field Statement", "Statement")
    entries = root["Statement"]
    if isinstance(entries, dict):
        entries = [entries]
    if not isinstance(entries, list) or not entries:
        _refuse("Could not parse the policy: Statement is empty!", "Statement")
    reader = _StatementReader(kind, version == VERSION_2012, bucket, principal_key)
    statements = tuple(reader.read(entry, index) for index, entry in enumerate(entries))
    sids = [statement.sid for statement in statements if statement.sid]
    if len(set(sids)) != len(sids):
        _refuse("Statement IDs (SID) in a single policy must be unique.", "Sid")
    return Policy(kind, version, identifier, statements)


def _refuse(message: str, where: str, text: object = None) -> NoReturn:
    detail = where if text is None else f"{where}: {str(text)[:_SHOWN]}"
    raise S3Error("MalformedPolicy", message, Detail=detail)


def _load(document: str | bytes, limit: int) -> dict[str, Any]:
    """The document as a dictionary without anything that JSON allows and a policy does not."""
    try:
        data = document.encode() if isinstance(document, str) else document
        text = data.decode()
    except UnicodeError:
        _refuse("This policy contains invalid Json", "document", "not UTF-8")
    if len(data) > limit:
        _refuse("Policy exceeds the maximum allowed document size.", "document", f"{limit} bytes at most")
    if not text.startswith("{"):
        _refuse("Policies must be valid JSON and the first byte must be '{'", "document")
    try:
        root = json.loads(text, object_pairs_hook=_unique, parse_constant=_constant)
        # Half of a surrogate pair, as an escape may give it, is no text that anything could match or store.
        json.dumps(root, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        _refuse("This policy contains invalid Json", "document")
    if not isinstance(root, dict):
        _refuse("This policy contains invalid Json", "document")
    return root


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        # Readers differ in which one counts: what was reviewed may not be what is evaluated.
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        _refuse("This policy contains invalid Json", twice, "given twice")
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(name)


def _only(found: dict[str, Any], allowed: Collection[str], where: str) -> None:
    for name in found:
        if name not in allowed:
            _refuse(f"Unknown field {name[:_SHOWN]}", f"{where}{name}"[:_SHOWN])


class _StatementReader:
    """Reads the statements of one document."""

    def __init__(self, kind: Kind, variables: bool, bucket: str, principal_key: PrincipalKey | None) -> None:
        self._kind = kind
        self._variables = variables
        self._bucket = bucket
        self._principal_key = principal_key
        self._where = ""

    def read(self, entry: object, index: int) -> Statement:
        """One statement."""
        self._where = f"Statement[{index}]."
        if not isinstance(entry, dict):
            _refuse("This policy contains invalid Json", f"Statement[{index}]")
        _only(entry, _STATEMENT, self._where)
        effect = self._effect(entry)
        principals, not_principal = self._principals(entry, effect)
        actions, not_action = self._actions(entry)
        resources, not_resource = self._resources(entry)
        conditions = self._conditions(entry)
        statement = Statement(
            index=index,
            sid=self._sid(entry),
            effect=effect,
            principals=principals,
            not_principal=not_principal,
            actions=actions,
            not_action=not_action,
            resources=resources,
            not_resource=not_resource,
            conditions=conditions,
        )
        if self._kind is Kind.BUCKET:
            self._check_combination(statement)
        return statement

    def _sid(self, entry: dict[str, Any]) -> str:
        sid = entry.get("Sid", "")
        if not isinstance(sid, str) or (self._kind is not Kind.BUCKET and not _SID.fullmatch(sid)):
            _refuse("Statement IDs (SID) must be alpha-numeric.", f"{self._where}Sid", sid)
        return sid

    def _effect(self, entry: dict[str, Any]) -> Effect:
        if "Effect" not in entry:
            _refuse("Missing required field Effect", f"{self._where}Effect")
        effect = entry["Effect"]
        if effect not in ("Allow", "Deny"):
            _refuse(f"Invalid effect: {str(effect)[:_SHOWN]}", f"{self._where}Effect")
        return Effect(effect)

    def _choice(self, entry: dict[str, Any], name: str) -> tuple[str, bool]:
        """Which of `name` and `Not<name>` the statement has."""
        if name in entry and f"Not{name}" in entry:
            _refuse(f"Statement can't contain both {name} and Not{name}", f"{self._where}{name}")
        negated = f"Not{name}" in entry
        if not negated and name not in entry:
            _refuse(f"Missing required field {name}", f"{self._where}{name}")
        return (f"Not{name}" if negated else name), negated

    def _texts(self, entry: dict[str, Any], name: str, message: str) -> tuple[str, ...]:
        value = entry[name]
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not values:
            _refuse(message, f"{self._where}{name}", "empty" if values in ([], None) else value)
        for text in values:
            if not isinstance(text, str) or not text:
                _refuse(message, f"{self._where}{name}", text)
        return tuple(values)

    def _principals(self, entry: dict[str, Any], effect: Effect) -> tuple[frozenset[str] | None, bool]:
        if self._kind is Kind.IDENTITY:
            for name in ("Principal", "NotPrincipal"):
                if name in entry:
                    _refuse("Policy document should not specify a principal.", f"{self._where}{name}")
            return None, False
        name, negated = self._choice(entry, "Principal")
        where = f"{self._where}{name}"
        if negated and effect is Effect.ALLOW:
            _refuse("Allow with NotPrincipal is not allowed.", where)
        value = entry[name]
        if value == EVERYONE:
            return frozenset((EVERYONE,)), negated
        if not isinstance(value, dict):
            _refuse("Invalid principal in policy", where, value)
        if not value:
            _refuse("Missing required field Principal cannot be empty!", where)
        return frozenset(self._principal_names(value, where)), negated

    def _principal_names(self, value: dict[str, Any], where: str) -> Iterable[str]:
        for kind, texts in value.items():
            if kind not in _PRINCIPAL_KINDS:
                _refuse("Invalid principal in policy", f"{where}.{kind}"[:_SHOWN])
            entries = [texts] if isinstance(texts, str) else texts
            if not isinstance(entries, list) or not entries:
                _refuse("Invalid principal in policy", f"{where}.{kind}", texts)
            for text in entries:
                if kind == "AWS" and text == EVERYONE:
                    yield EVERYONE
                    continue
                name = principal_name(kind, text) if isinstance(text, str) else None
                if name is None or (self._principal_key is not None and self._principal_key(name) is None):
                    _refuse("Invalid principal in policy", f"{where}.{kind}", text)
                yield name

    def _actions(self, entry: dict[str, Any]) -> tuple[tuple[str, ...], bool]:
        name, negated = self._choice(entry, "Action")
        message = "Policy has invalid action"
        actions = tuple(action.lower() for action in self._texts(entry, name, message))
        for action in actions:
            if len(action) > _LONGEST_NAME or not self._services_of(expand(action), action):
                _refuse(message, f"{self._where}{name}", action)
        return actions, negated

    def _services_of(self, found: frozenset[str], pattern: str) -> bool:
        """Whether a pattern names something that this kind of policy can speak of."""
        if self._kind is Kind.BUCKET:
            return pattern == "*" or (bool(found) and all(action.startswith("s3:") for action in found))
        if self._kind is Kind.TRUST:
            return bool(found) and all(action.startswith("sts:") for action in found)
        return bool(found)

    def _resources(self, entry: dict[str, Any]) -> tuple[tuple[str, ...], bool]:
        if self._kind is Kind.TRUST:
            for name in ("Resource", "NotResource"):
                if name in entry:
                    _refuse("AssumeRole policy must not contain resources.", f"{self._where}{name}")
            return (), False
        name, negated = self._choice(entry, "Resource")
        message = "Policy has invalid resource"
        resources = self._texts(entry, name, message)
        for resource in resources:
            pieces = self._template(resource, f"{self._where}{name}", wildcards=True)
            sound = self._in_bucket(resource, pieces) if self._kind is Kind.BUCKET else _is_resource(pieces)
            if not sound:
                _refuse(message, f"{self._where}{name}", resource)
        return resources, negated

    def _in_bucket(self, resource: str, pieces: list[TemplatePiece]) -> bool:
        if not resource.startswith(_S3_PREFIX) or not isinstance(pieces[0], str):
            return False
        literal = pieces[0].removeprefix(_S3_PREFIX)
        bucket, slash, _ = literal.partition("/")
        if slash:
            return bucket == self._bucket
        return literal == self._bucket and (len(pieces) == 1 or pieces[1] is Wild.ANY)

    def _template(self, text: str, where: str, *, wildcards: bool) -> list[TemplatePiece]:
        """The pieces of a text whose variables are all known."""
        try:
            if self._variables:
                for key in variables_of(text):
                    if not is_variable(normal_key(key)):
                        _refuse("Policy has an invalid variable", where, key)
            return parse_template(text, wildcards=wildcards, variables=self._variables)
        except VariableError as error:
            _refuse("Policy has an invalid variable", where, error)

    def _conditions(self, entry: dict[str, Any]) -> tuple[Condition, ...]:
        block = entry.get("Condition", {})
        where = f"{self._where}Condition"
        if not isinstance(block, dict):
            _refuse("This policy contains invalid Json", where)
        conditions: list[Condition] = []
        for operator, keys in block.items():
            if parse_operator(operator) is None:
                _refuse(f"Invalid Condition type : {operator[:_SHOWN]}", where)
            if not isinstance(keys, dict) or not keys:
                _refuse("This policy contains invalid Json", f"{where}.{operator}")
            for key, values in keys.items():
                conditions.append(self._condition(operator, key, values, f"{where}.{operator}"))
        return tuple(conditions)

    def _condition(self, operator: str, key: str, values: object, where: str) -> Condition:
        normal = normal_key(key)
        if len(key) > _LONGEST_NAME or find_key(normal, claims=self._kind is Kind.TRUST) is None:
            _refuse("Policy has an invalid condition key", where, key)
        where = f"{where}.{key}"
        entries = values if isinstance(values, list) else [values]
        if not entries:
            _refuse("This policy contains invalid Json", where, "empty")
        condition = Condition(operator, normal, tuple(_condition_text(value, where) for value in entries))
        found = parse_operator(operator)
        try:
            check_values(condition, variables=self._variables)
        except VariableError as error:
            _refuse("Policy has an invalid variable", where, error)
        except ValueRefusedError as error:
            _refuse(str(error), where, entries)
        if found is not None and found.variables:
            for value in condition.values:
                self._template(value, where, wildcards=False)
        return condition

    def _check_combination(self, statement: Statement) -> None:
        """Every action acts on a resource of the statement, and every S3 key applies to every action.

        A pattern such as `s3:*` counts as one action, and the key has to apply to something that it stands for.
        """
        if statement.not_resource:
            levels = {BUCKET, OBJECT}
        else:
            levels = {level for resource in statement.resources for level in self._levels(resource)}
        named: list[set[str]] = []
        for pattern in () if statement.not_action else statement.actions:
            fitting = {action for action in expand(pattern) if ACTIONS[action] in levels}
            if not fitting:
                _refuse("Action does not apply to any resource(s) in statement", f"{self._where}Action", pattern)
            named.append(fitting)
        if statement.not_action:
            excluded = {action for pattern in statement.actions for action in expand(pattern)}
            named.append({action for action, level in ACTIONS.items() if level in levels} - excluded)
        for condition in statement.conditions:
            key = find_key(condition.key)
            if key is not None and not all(any(map(key.reader, actions)) for actions in named):
                _refuse(
                    "Conditions do not apply to combination of actions and resources in statement",
                    f"{self._where}Condition.{condition.operator}.{condition.key}",
                )

    def _levels(self, resource: str) -> set[str]:
        bucket, slash, _ = resource.removeprefix(_S3_PREFIX).partition("/")
        if "*" in bucket:
            return {BUCKET, OBJECT}
        return {OBJECT} if slash else {BUCKET}


def _condition_text(value: object, where: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    _refuse("This policy contains invalid Json", where, value)


def _is_resource(pieces: list[TemplatePiece]) -> bool:
    """Whether an identity policy can name this: `*`, or an ARN of a service that is here."""
    if pieces == [Wild.ANY]:
        return True
    sections = split_arn(pieces)
    if sections is None or not sections[5]:
        return False
    _, partition, service, region, account, _ = sections
    if not _may_be(partition, (PARTITION,)) or not _may_be(service, SERVICES):
        return False
    if service == ["s3"]:
        # Buckets have neither region nor account in their names; what has them, such as an access point, is not here.
        return _may_be(region, ("",)) and _may_be(account, ("",))
    return _may_be(region, ("",))


def _may_be(section: list[TemplatePiece], values: Iterable[str]) -> bool:
    plain = [piece for piece in section if isinstance(piece, str | Wild)]
    return len(plain) == len(section) and any(map(compile_pieces(plain), values))
