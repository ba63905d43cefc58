"""Policies made ready for evaluation: one table of rules for each action, made when the action is first asked for.

PERF: a request evaluates only the rules that name its action; a rule's resources are one `str.startswith` of all its
prefixes and one set of exact names; conditions are closures over values that were parsed once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from workers.iam.policy.actions import expand
from workers.iam.policy.context import RequestContext
from workers.iam.policy.keys import find_key, normal_key
from workers.iam.policy.model import EVERYONE, Effect, Kind, Policy, Statement
from workers.iam.policy.operators import Check, compile_condition
from workers.iam.policy.outcome import Decision, Reason
from workers.iam.policy.parser import MAX_POLICY_BYTES, parse_policy
from workers.iam.policy.principals import DIRECT, NONE, Principal, PrincipalKey
from workers.iam.policy.variables import Reader, Template, TemplatePiece, parse_template, split_arn
from workers.iam.policy.wildcards import Wild

DENY: Final = -1
"""The strength of an explicit deny; the others are in `workers.iam.policy.principals`."""

_GRANTS: Final = {
    Kind.BUCKET: Reason.BUCKET_POLICY,
    Kind.IDENTITY: Reason.IDENTITY_POLICY,
    Kind.TRUST: Reason.TRUST_POLICY,
}

ResourceTest = Callable[[str, RequestContext], bool | None]
"""Whether an ARN matches a pattern; None when a variable of the pattern has no value."""


class Rule:
    """One statement, for the requests of one action.

    Attributes:
        decision: what is decided when the rule does: the same object each time.
    """

    __slots__ = (
        "_conditions",
        "_deny",
        "_everyone",
        "_exact",
        "_not_principal",
        "_not_resource",
        "_prefixes",
        "_principals",
        "_tests",
        "decision",
        "statement",
    )

    def __init__(self, document: str, policy: Policy, statement: Statement, action: str) -> None:
        self.statement = statement
        self._deny = statement.effect is Effect.DENY
        reason = Reason.EXPLICIT_DENY if self._deny else _GRANTS[policy.kind]
        self.decision = Decision(not self._deny, reason, document, statement.label)
        principals = statement.principals
        self._everyone = principals is None or (EVERYONE in principals and not statement.not_principal)
        self._principals = principals or frozenset()
        self._not_principal = statement.not_principal
        self._not_resource = statement.not_resource
        self._exact: frozenset[str] = frozenset()
        self._prefixes: tuple[str, ...] = ()
        self._tests: tuple[ResourceTest, ...] = ()
        self._compile_resources(policy, action)
        self._conditions: tuple[Check, ...] = tuple(
            compile_condition(
                condition,
                action,
                variables=policy.variables,
                deny=self._deny,
                claims=policy.kind is Kind.TRUST,
            )
            for condition in statement.conditions
        )

    def _compile_resources(self, policy: Policy, action: str) -> None:
        if policy.kind is Kind.TRUST:
            self._prefixes = ("",)
            return
        exact: list[str] = []
        prefixes: list[str] = []
        tests: list[ResourceTest] = []
        for resource in self.statement.resources:
            pieces = parse_template(resource, wildcards=True, variables=policy.variables)
            plain = _has_plain_sections(pieces)
            if len(pieces) == 1 and isinstance(pieces[0], str):
                exact.append(pieces[0])
            elif pieces == [Wild.ANY]:
                prefixes.append("")
            elif plain and len(pieces) == 2 and isinstance(pieces[0], str) and pieces[1] is Wild.ANY:
                prefixes.append(pieces[0])
            elif plain:
                tests.append(_whole_test(pieces, action, skip=not self._not_resource))
            else:
                tests.append(_section_test(pieces, action))
        self._exact, self._prefixes, self._tests = frozenset(exact), tuple(prefixes), tuple(tests)

    def strength(self, resource: str, principal: Principal, context: RequestContext) -> int:
        """How strongly the rule speaks of the request: NONE when it does not apply.

        For a rule that denies, anything but NONE is a denial.
        """
        matched = resource.startswith(self._prefixes) or resource in self._exact
        if self._tests and not matched:
            matched = self._tested(resource, context)
        if matched is self._not_resource:
            return NONE
        strength = DIRECT if self._everyone else self._named(principal)
        if strength:
            for check in self._conditions:
                if not check(context):
                    return NONE
        return strength

    def _tested(self, resource: str, context: RequestContext) -> bool:
        """Whether one of the patterns matches that need a test of their own."""
        known = True
        for test in self._tests:
            matched = test(resource, context)
            if matched:
                return True
            if matched is None:
                known = False
        # A statement that excludes what nobody can name denies the rest, but does not allow it.
        return not known and self._not_resource and not self._deny

    def _named(self, principal: Principal) -> int:
        names = self._principals
        for name, strength in principal.names:
            if name in names:
                if not self._not_principal:
                    return strength
                # The account of a user being excepted does not except the user.
                if strength >= DIRECT:
                    return NONE
        if self._not_principal:
            return NONE if EVERYONE in names else DIRECT
        return NONE


Row = tuple[tuple[Rule, ...], tuple[Rule, ...]]
"""The rules that deny an action and those that allow it."""


class CompiledPolicy:
    """A policy that can be evaluated. Immutable to its users.

    Attributes:
        name: how decisions call the document.
        policy: what it was made from.
    """

    __slots__ = ("_names_principals", "_rows", "name", "policy")

    def __init__(self, policy: Policy, name: str) -> None:
        self.policy = policy
        self.name = name
        self._names_principals = policy.kind is not Kind.IDENTITY
        self._rows: dict[str, Row] = {}

    def evaluate(
        self, action: str, resource: str, principal: Principal, context: RequestContext
    ) -> tuple[int, Rule | None]:
        """What the document says of a request: DENY, NONE, or the strength of its best grant; and which rule said it.

        Args:
            action: such as "s3:GetObject".
            resource: a whole ARN.
        """
        row = self._rows.get(action)
        if row is None:
            row = self._row(action)
        for rule in row[0]:
            if rule.strength(resource, principal, context):
                return DENY, rule
        best, found = NONE, None
        strongest = principal.strongest if self._names_principals else DIRECT
        for rule in row[1]:
            strength = rule.strength(resource, principal, context)
            if strength > best:
                best, found = strength, rule
                if strength == strongest:
                    break
        return best, found

    def applying(
        self, action: str, resource: str, principal: Principal, context: RequestContext
    ) -> list[tuple[Statement, int]]:
        """All statements that apply to a request with their strengths, in their order: for explanations."""
        rules = (rule for row in self._row(action) for rule in row)
        found = [(rule.statement, rule.strength(resource, principal, context)) for rule in rules]
        return sorted(((s, strength) for s, strength in found if strength), key=lambda pair: pair[0].index)

    def _row(self, action: str) -> Row:
        """The rules of an action; kept, since there are only so many actions."""
        denies: list[Rule] = []
        allows: list[Rule] = []
        for statement in self.policy.statements:
            if any(action in expand(pattern) for pattern in statement.actions) is not statement.not_action:
                rules = denies if statement.effect is Effect.DENY else allows
                rules.append(Rule(self.name, self.policy, statement, action))
        row = tuple(denies), tuple(allows)
        self._rows[action] = row
        return row


def compile_policy(
    document: str | bytes,
    kind: Kind,
    name: str,
    *,
    bucket: str = "",
    principal_key: PrincipalKey | None = None,
    limit: int = MAX_POLICY_BYTES,
) -> CompiledPolicy:
    """Read, check and compile a document. Raises what `parse_policy` raises."""
    policy = parse_policy(document, kind, bucket=bucket, principal_key=principal_key, limit=limit)
    return CompiledPolicy(policy, name)


def _has_plain_sections(pieces: Sequence[TemplatePiece]) -> bool:
    """Whether the sections of an ARN before the resource have no wildcards, so that the text can be matched whole."""
    return isinstance(pieces[0], str) and pieces[0].count(":") >= 5


def _reader(action: str) -> Callable[[str], Reader]:
    def find(key: str) -> Reader:
        found = find_key(normal_key(key))
        read = None if found is None else found.reader(action)
        return (lambda context: None) if read is None else read

    return find


def _whole_test(pieces: Sequence[TemplatePiece], action: str, *, skip: bool) -> ResourceTest:
    """The test of a pattern as one text.

    `skip`: a text that begins otherwise need not be looked at, since nobody asks whether its variables have values.
    """
    template = Template(pieces, _reader(action))
    fixed = template.fixed
    if fixed is not None:
        return lambda resource, context: fixed(resource)
    prefix = str(pieces[0]) if skip else ""

    def test(resource: str, context: RequestContext) -> bool | None:
        if not resource.startswith(prefix):
            return False
        matches = template.bind(context)
        return None if matches is None else matches(resource)

    return test


def _section_test(pieces: Sequence[TemplatePiece], action: str) -> ResourceTest:
    """A wildcard in one section of an ARN does not reach into the next."""
    templates = [Template(section, _reader(action)) for section in split_arn(pieces) or ()]

    def test(resource: str, context: RequestContext) -> bool | None:
        sections = resource.split(":", 5)
        matchers = [template.bind(context) for template in templates]
        if len(sections) != len(matchers):
            return False
        for matches, section in zip(matchers, sections, strict=True):
            if matches is None:
                return None
            if not matches(section):
                return False
        return True

    return test
