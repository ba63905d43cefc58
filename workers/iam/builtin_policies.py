"""The managed policies that every account finds without making them, under the names that AWS gives them.

They cannot be changed, and belong to no account: their ARNs have `aws` in its place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from workers.iam.policy.principals import PARTITION
from workers.iam.records import PolicyRecord, PolicyVersion

OWNER: Final = "aws"
_MADE: Final = 1_423_000_000_000_000_000
"""Nanoseconds since the epoch: the same everywhere, so that tools see no change."""


class BuiltinPolicy(PolicyRecord, frozen=True, kw_only=True):
    """A managed policy of no account."""

    @property
    def arn(self) -> str:
        """The policy's ARN."""
        return f"arn:{PARTITION}:iam::{OWNER}:policy{self.path}{self.name}"


_ACTIONS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "AdministratorAccess": ("Everything in the account.", ("*",)),
    "AmazonS3FullAccess": ("Everything with buckets and objects.", ("s3:*",)),
    "AmazonS3ReadOnlyAccess": ("Reading of buckets and objects.", ("s3:Get*", "s3:List*")),
    "IAMFullAccess": ("Everything with users, groups, roles and policies.", ("iam:*",)),
    "IAMReadOnlyAccess": ("Reading of users, groups, roles and policies.", ("iam:Get*", "iam:List*")),
}


def _made() -> dict[str, BuiltinPolicy]:
    found = {}
    for number, (name, (description, actions)) in enumerate(_ACTIONS.items()):
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        policy = BuiltinPolicy(
            id=f"ANPABUILTIN{number:010d}",
            account="",
            name=name,
            created=_MADE,
            versions={"v1": PolicyVersion(text=text, created=_MADE)},
            description=description,
        )
        found[policy.arn] = policy
    return found


BUILTIN: Final[Mapping[str, BuiltinPolicy]] = MappingProxyType(_made())
"""By ARN, ordered by name."""
