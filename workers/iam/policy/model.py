"""A policy document as data, after it was checked."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

VERSION_2008: Final = "2008-10-17"
VERSION_2012: Final = "2012-10-17"
"""The version that has variables; in the older one `${` is plain text."""

EVERYONE: Final = "*"


class Kind(enum.Enum):
    """What a policy is attached to, which decides what it may say."""

    BUCKET = "bucket policy"
    IDENTITY = "identity policy"
    """Of a user, group or role, and equally a session policy or a permissions boundary."""
    TRUST = "trust policy"
    """Who may assume a role."""


class Effect(enum.Enum):
    """What a statement does."""

    ALLOW = "Allow"
    DENY = "Deny"


@dataclass(frozen=True, slots=True)
class Condition:
    """One key of one operator; `values` are alternatives. `key` is in lower case but for a tag's name."""

    operator: str
    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement.

    Attributes:
        index: its place in the document, from 0.
        principals: the names as `principal_names` of `workers.iam.policy.principals` gives them, EVERYONE among
            them for `*`; None in an identity policy.
        not_principal, not_action, not_resource: whether the list says whom or what the statement is not about.
        actions: patterns in lower case.
        resources: ARN patterns as written; empty in a trust policy.
    """

    index: int
    sid: str
    effect: Effect
    principals: frozenset[str] | None
    not_principal: bool
    actions: tuple[str, ...]
    not_action: bool
    resources: tuple[str, ...]
    not_resource: bool
    conditions: tuple[Condition, ...]

    @property
    def label(self) -> str:
        """How messages name it: its Sid, or its place."""
        return self.sid or f"Statement[{self.index}]"


@dataclass(frozen=True, slots=True)
class Policy:
    """A checked document."""

    kind: Kind
    version: str
    id: str
    statements: tuple[Statement, ...]

    @property
    def variables(self) -> bool:
        """Whether `${...}` in it is a variable."""
        return self.version == VERSION_2012
