"""The public access block of a bucket, and what counts as public.

Source: "Blocking public access to your Amazon S3 storage", section "The meaning of public", in the S3 user guide.
"""

from __future__ import annotations

from typing import Final

import msgspec

from workers.iam.acl import Acl
from workers.iam.policy.model import EVERYONE, Condition, Effect, Policy, Statement
from workers.iam.policy.operators import ANY_VALUE, Operator, parse_operator
from workers.iam.policy.values import Network, network
from workers.protocol.errors import S3Error
from workers.protocol.xml import Node, parse

_LIMIT: Final = 64 * 1024

_ELEMENTS: Final = (
    ("BlockPublicAcls", "block_public_acls"),
    ("IgnorePublicAcls", "ignore_public_acls"),
    ("BlockPublicPolicy", "block_public_policy"),
    ("RestrictPublicBuckets", "restrict_public_buckets"),
)


class PublicAccessBlock(msgspec.Struct, frozen=True, omit_defaults=True):
    """The four switches.

    Attributes:
        block_public_acls: requests that set a public ACL are refused.
        ignore_public_acls: what ACLs grant to everyone or to every account does not count.
        block_public_policy: a public bucket policy is refused.
        restrict_public_buckets: a bucket with a public policy is open only to its own account.
    """

    block_public_acls: bool = False
    ignore_public_acls: bool = False
    block_public_policy: bool = False
    restrict_public_buckets: bool = False

    def encode(self) -> bytes:
        """The record form, JSON."""
        return msgspec.json.encode(self)

    def nodes(self) -> list[Node]:
        """The content of a PublicAccessBlockConfiguration document."""
        return [(element, getattr(self, name)) for element, name in _ELEMENTS]


NOTHING_BLOCKED: Final = PublicAccessBlock()
EVERYTHING_BLOCKED: Final = PublicAccessBlock(True, True, True, True)
"""What a new bucket has on AWS."""


def decode_public_access_block(record: bytes) -> PublicAccessBlock:
    """The switches from their record form. Raises msgspec.DecodeError for what is none."""
    return msgspec.json.decode(record, type=PublicAccessBlock)


def parse_public_access_block(body: bytes) -> PublicAccessBlock:
    """The switches of a PublicAccessBlockConfiguration document; one that is not named is off.

    Raises `S3Error` MalformedXML.
    """
    root = parse(body, "PublicAccessBlockConfiguration", limit=_LIMIT)
    root.allow(*(element for element, _ in _ELEMENTS))
    return PublicAccessBlock(**{name: root.find_boolean(element) or False for element, name in _ELEMENTS})


def policy_status_nodes(policy: Policy | None) -> list[Node]:
    """The content of a PolicyStatus document."""
    return [("IsPublic", policy is not None and is_public_policy(policy))]


def check_policy(policy: Policy, block: PublicAccessBlock) -> None:
    """Raise `S3Error` AccessDenied for a bucket policy that BlockPublicPolicy does not let in."""
    if block.block_public_policy and is_public_policy(policy):
        raise S3Error(
            "AccessDenied",
            "Access Denied because public policies are blocked by the BlockPublicPolicy block public access setting.",
        )


def check_acl(acl: Acl | None, block: PublicAccessBlock, *, creating: bool = False) -> None:
    """Raise `S3Error` for an ACL that BlockPublicAcls does not let in; `creating`: of a bucket that is being made."""
    if acl is None or not block.block_public_acls or not acl.is_public:
        return
    if creating:
        raise S3Error("InvalidBucketAclWithBlockPublicAccessError")
    raise S3Error(
        "AccessDenied",
        "Access Denied because public access control lists (ACLs) are blocked by the BlockPublicAcls block public "
        "access setting.",
    )


# What makes a grant to everyone one to somebody: a condition that holds one of these to fixed values. The rest of
# AWS's list has no value here, so that the parser refuses it.
_FIXING_KEYS: Final = frozenset(
    """aws:principalaccount aws:principalarn aws:principalservicename aws:sourceaccount aws:sourcearn aws:sourceip
    aws:userid s3:x-amz-server-side-encryption-aws-kms-key-id""".split()
)
_FIXING_OPERATORS: Final = frozenset(
    "StringEquals StringEqualsIgnoreCase StringLike ArnEquals ArnLike IpAddress".split()
)
_WIDEST: Final = {32: 8, 128: 32}
"""Bits of an address -> the shortest prefix that still counts as somebody's."""
_PRIVATE: Final = tuple(
    block for block in map(network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")) if block is not None
)


def is_public_policy(policy: Policy) -> bool:
    """Whether a bucket policy grants anything to everyone.

    It does unless each statement that allows names its principals, or holds a key that tells callers apart to fixed
    values: without wildcards, without variables, and no network wider than /8 (IPv6: /32) but the private ones.
    """
    return any(_is_public(statement, policy.variables) for statement in policy.statements)


def _is_public(statement: Statement, variables: bool) -> bool:
    if statement.effect is not Effect.ALLOW or statement.principals is None:
        return False
    if EVERYONE not in statement.principals and not statement.not_principal:
        return False
    return not any(_is_fixed(condition, variables) for condition in statement.conditions)


def _is_fixed(condition: Condition, variables: bool) -> bool:
    operator = parse_operator(condition.operator)
    if operator is None or not _decides(operator) or condition.key not in _FIXING_KEYS:
        return False
    if operator.family == "address":
        return all(_is_narrow(block) for block in map(network, condition.values))
    wild = operator.base not in ("StringEquals", "StringEqualsIgnoreCase")
    return not any(
        (wild and ("*" in value or "?" in value)) or (variables and "${" in value) for value in condition.values
    )


def _decides(operator: Operator) -> bool:
    """Whether a condition of the operator fails for those whom its values do not name."""
    return operator.base in _FIXING_OPERATORS and not operator.if_exists and operator.quantifier in ("", ANY_VALUE)


def _is_narrow(block: Network | None) -> bool:
    if block is None:
        return False
    return block.prefix >= _WIDEST[block.bits] or any(
        block.bits == private.bits and block.mask >= private.mask and block.base & private.mask == private.base
        for private in _PRIVATE
    )
