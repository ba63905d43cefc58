"""The whole decision about a request, in the order of AWS.

1.  The owner of a bucket, and root, can always read, replace and remove its policy.
2.  An explicit deny in any document decides.
3.  A bucket with a public policy and RestrictPublicBuckets is closed to other accounts.
4.  Within an account, an identity policy or a grant by the resource is enough; the account itself needs neither. From
    another account both are needed. A grant to the account, not to the user, only lets an identity policy speak.
5.  Boundaries and session policies narrow what identity policies allow; a grant to a user himself passes by his
    boundary, one to a session by both.

The resource's side is the bucket policy and, where ACLs are enabled, the ACL of the bucket or of the object. An object
that belongs to another account than its bucket is opened by its own ACL alone, though the bucket policy can deny it.
Sources: "Policy evaluation logic" in the IAM user guide; "How Amazon S3 authorizes a request" in the S3 user guide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from workers.iam.accounts import account_number
from workers.iam.acl import BUCKET_ACTIONS, OBJECT_ACTIONS, Acl, Ownership, granted
from workers.iam.builtin_policies import OWNER
from workers.iam.policy.compiler import DENY, CompiledPolicy, Rule
from workers.iam.policy.context import RequestContext
from workers.iam.policy.outcome import Decision, Reason
from workers.iam.policy.principals import ACCOUNT, DIRECT, NONE, PARTITION, SESSION, Principal, PrincipalKind
from workers.iam.public_access import NOTHING_BLOCKED, PublicAccessBlock, is_public_policy

__all__ = [
    "EVERY_BUCKET",
    "POLICY_ACTIONS",
    "BucketAccess",
    "Decision",
    "ObjectAccess",
    "Reason",
    "bucket_arn",
    "decide",
    "decide_assume_role",
    "denial_message",
    "object_arn",
]

POLICY_ACTIONS: Final = frozenset(("s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"))
"""What repairs a policy: nothing can deny it to the bucket's owner, and nothing can give it to another account."""

_OF_OBJECT_OWNER: Final = frozenset(
    """s3:GetObject s3:GetObjectVersion s3:GetObjectAcl s3:GetObjectVersionAcl s3:PutObjectAcl s3:PutObjectVersionAcl
    s3:GetObjectAttributes s3:GetObjectVersionAttributes s3:GetObjectTorrent s3:GetObjectVersionTorrent
    s3:RestoreObject""".split()
)
"""What the object's owner grants, not the bucket's. Deleting, tags and locks are the bucket owner's."""

_OF_UPLOAD: Final = frozenset(("s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"))
"""What the account that began an upload can do with it."""

_S3: Final = f"arn:{PARTITION}:s3:::"
EVERY_BUCKET: Final = f"{_S3}*"
"""The resource of ListBuckets."""


def bucket_arn(bucket: str) -> str:
    """The ARN of a bucket."""
    return _S3 + bucket


def object_arn(bucket: str, key: str) -> str:
    """The ARN of an object."""
    return f"{_S3}{bucket}/{key}"


@dataclass(frozen=True, slots=True)
class ObjectAccess:
    """What an object that is there, or an upload, says about access to it.

    Attributes:
        owner: canonical user id, "" for an object that came without the gateway: the bucket owner's.
        acl: None for the private default.
        initiator: for an upload, the account that began it.
    """

    owner: str = ""
    acl: Acl | None = None
    initiator: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketAccess:
    """What a bucket says about access to it. Made once from its documents and kept until one changes.

    Attributes:
        owner: canonical user id.
        acl: None for the private default.
    """

    owner: str
    policy: CompiledPolicy | None = None
    acl: Acl | None = None
    ownership: Ownership = Ownership.BUCKET_OWNER_ENFORCED
    block: PublicAccessBlock = NOTHING_BLOCKED
    owner_number: str = field(init=False)
    acls_disabled: bool = field(init=False)
    restricted: bool = field(init=False)
    """Whether other accounts are kept out: the policy is public, and RestrictPublicBuckets is on."""

    def __post_init__(self) -> None:
        public = self.policy is not None and is_public_policy(self.policy.policy)
        object.__setattr__(self, "restricted", public and self.block.restrict_public_buckets)
        object.__setattr__(self, "owner_number", account_number(self.owner))
        object.__setattr__(self, "acls_disabled", not self.ownership.acls_enabled)


Lookup = Callable[[], ObjectAccess | None]
"""Finds out about the object of a request: asked at most once, and only where ACLs or an upload need it."""

# PERF: decisions that name no statement are the same object each time.
_REPAIR: Final = Decision(True, Reason.REPAIR)
_ROOT: Final = Decision(True, Reason.ROOT)
_OWNER: Final = Decision(True, Reason.OWNER)
_INITIATOR: Final = Decision(True, Reason.INITIATOR)
_BUCKET_ACL: Final = Decision(True, Reason.BUCKET_ACL)
_OBJECT_ACL: Final = Decision(True, Reason.OBJECT_ACL)
_RESTRICTED: Final = Decision(False, Reason.PUBLIC_BUCKET_RESTRICTED)
_NOT_ALLOWED: Final = Decision(False, Reason.NOT_ALLOWED)
_NO_IDENTITY: Final = Decision(False, Reason.NO_IDENTITY_POLICY)
_NO_RESOURCE: Final = Decision(False, Reason.NO_RESOURCE_POLICY)


def decide(
    action: str,
    resource: str,
    principal: Principal,
    context: RequestContext,
    bucket: BucketAccess | None = None,
    lookup: Lookup | None = None,
) -> Decision:
    """Whether a principal may do an action on a resource, and what decided it.

    Args:
        action: "s3:GetObject"; the one for versions when the request names a version.
        resource: its ARN.
        context: the request, for conditions. When its `pending` is set afterwards, a condition asked for what only
            the body tells: a denial stands, an approval has to be repeated with the body's values.
        bucket: of an S3 request; None for one that concerns no existing bucket (ListBuckets, CreateBucket, IAM),
            where the resource belongs to the account that its ARN names, or else to the caller's.
        lookup: gives what the object says, for a request that names one.
    """
    if bucket is not None and action in POLICY_ACTIONS and _owns(principal, bucket):
        return _REPAIR
    policy = None if bucket is None else bucket.policy
    denial, sides = _evaluate(action, resource, principal, context, policy)
    if denial is not None:
        return denial
    if bucket is None:
        return _combine(principal, _owner_by_arn(resource, principal), sides)
    if bucket.restricted and _is_foreign(principal, bucket):
        return _RESTRICTED
    owner = bucket.owner
    if not bucket.acls_disabled or action in _OF_UPLOAD:
        owner = _with_object(action, principal, bucket, lookup, sides)
    return _combine(principal, owner, sides)


def _owner_by_arn(resource: str, principal: Principal) -> str:
    """The account of a resource that is in no bucket: the caller's own unless the ARN names another one.

    What everybody has (`aws` in the account's place) everybody has as his own.
    """
    number = resource.split(":", 5)[4]
    return principal.account_id if number in ("", OWNER, principal.account_number) else ""


def decide_assume_role(
    action: str, role: str, owner: str, trust: CompiledPolicy, principal: Principal, context: RequestContext
) -> Decision:
    """Whether a principal may assume a role: its trust policy has to say so, whoever asks.

    Where it names only the caller's account, or the caller is of another account, his identity policies have to too.

    Args:
        action: "sts:AssumeRole" or "sts:AssumeRoleWithWebIdentity".
        role: its ARN.
        owner: canonical user id of its account.
    """
    denial, sides = _evaluate(action, role, principal, context, trust)
    if denial is not None:
        return denial
    return _combine(principal, owner, sides) if sides.grant else _NO_RESOURCE


class _Sides:
    """What the documents said, none of which denied: the rules that allow, and the resource's grant with its reason."""

    __slots__ = ("boundary", "by", "grant", "identity", "session")

    def __init__(self) -> None:
        self.identity: Rule | None = None
        self.boundary: Rule | None = None
        self.session: Rule | None = None
        self.grant = NONE
        self.by: Decision | None = None

    def add(
        self, acl: Acl | None, permissions: frozenset[str], principal: Principal, ignore_public: bool, by: Decision
    ) -> None:
        """Let an ACL grant more than what is granted so far."""
        if acl is not None and self.grant < DIRECT:
            strength = granted(acl, permissions, principal, ignore_public=ignore_public)
            if strength > self.grant:
                self.grant, self.by = strength, by


def _evaluate(
    action: str,
    resource: str,
    principal: Principal,
    context: RequestContext,
    resource_policy: CompiledPolicy | None,
) -> tuple[Decision | None, _Sides]:
    """The denial of the first document that denies, or what all of them allow."""
    sides = _Sides()
    for policy in principal.policies:
        strength, rule = policy.evaluate(action, resource, principal, context)
        if rule is not None:
            if strength == DENY:
                return rule.decision, sides
            if sides.identity is None:
                sides.identity = rule
    if principal.boundary is not None:
        strength, rule = principal.boundary.evaluate(action, resource, principal, context)
        if rule is not None and strength == DENY:
            return rule.decision, sides
        sides.boundary = rule
    for policy in principal.session or ():
        strength, rule = policy.evaluate(action, resource, principal, context)
        if rule is not None:
            if strength == DENY:
                return rule.decision, sides
            sides.session = rule
    if resource_policy is not None:
        strength, rule = resource_policy.evaluate(action, resource, principal, context)
        if rule is not None:
            if strength == DENY:
                return rule.decision, sides
            sides.grant, sides.by = strength, rule.decision
    return None, sides


def _owns(principal: Principal, bucket: BucketAccess) -> bool:
    """Whether a bucket's policy can never lock him out: the owning account by its own keys, and root."""
    if principal.session is not None:
        return False
    return principal.root or (principal.kind is PrincipalKind.ACCOUNT and principal.account_id == bucket.owner)


def _is_foreign(principal: Principal, bucket: BucketAccess) -> bool:
    return principal.account_id != bucket.owner and not principal.root and principal.kind is not PrincipalKind.SERVICE


def _with_object(action: str, principal: Principal, bucket: BucketAccess, lookup: Lookup | None, sides: _Sides) -> str:
    """Add to the grant what ACLs and the initiator of an upload add; the account that owns the resource."""
    ignore = bucket.block.ignore_public_acls
    if action in _OF_UPLOAD:
        upload = lookup() if lookup is not None and sides.grant < ACCOUNT else None
        if upload is not None and upload.initiator and upload.initiator == principal.account_id:
            direct = principal.kind is PrincipalKind.ACCOUNT
            sides.grant, sides.by = (DIRECT if direct else ACCOUNT), _INITIATOR
    elif action in BUCKET_ACTIONS:
        sides.add(bucket.acl, BUCKET_ACTIONS[action], principal, ignore, _BUCKET_ACL)
    elif action in _OF_OBJECT_OWNER and lookup is not None:
        found = lookup()
        if found is None:
            return bucket.owner
        if found.owner and found.owner != bucket.owner:
            # The bucket's owner cannot give away what is not his.
            sides.grant, sides.by = NONE, None
        if action in OBJECT_ACTIONS:
            sides.add(found.acl, OBJECT_ACTIONS[action], principal, ignore, _OBJECT_ACL)
        return found.owner or bucket.owner
    return bucket.owner


_WITHOUT_POLICIES: Final = (PrincipalKind.ANONYMOUS, PrincipalKind.SERVICE, PrincipalKind.WEB_IDENTITY)


def _combine(principal: Principal, owner: str, sides: _Sides) -> Decision:
    kind = principal.kind
    if kind in _WITHOUT_POLICIES:
        return sides.by if sides.by is not None and sides.grant >= DIRECT else _NOT_ALLOWED
    if principal.session is not None and sides.session is None and not _passes_session(principal, owner, sides):
        return Decision(False, Reason.SESSION_POLICY, principal.session[0].name if principal.session else "")
    if principal.root:
        return _ROOT
    if principal.account_id == owner:
        return _within_account(principal, sides)
    if sides.grant < ACCOUNT or sides.by is None:
        return _NOT_ALLOWED if sides.identity is None else _NO_RESOURCE
    if kind is PrincipalKind.ACCOUNT:
        return _bounded(principal, sides, sides.by)
    if sides.identity is None:
        return _NO_IDENTITY
    return _bounded(principal, sides, sides.by)


def _passes_session(principal: Principal, owner: str, sides: _Sides) -> bool:
    """Whether the resource names the very session, which a session policy does not limit within the account."""
    return sides.grant == SESSION and principal.account_id == owner


def _within_account(principal: Principal, sides: _Sides) -> Decision:
    kind = principal.kind
    if kind is PrincipalKind.ACCOUNT:
        return _bounded(principal, sides, _OWNER)
    if sides.by is not None and (sides.grant == SESSION or (sides.grant == DIRECT and kind is PrincipalKind.USER)):
        return sides.by
    if sides.by is not None and sides.grant == DIRECT:
        return _bounded(principal, sides, sides.by)
    if sides.identity is None:
        return _NO_IDENTITY if sides.grant else _NOT_ALLOWED
    return _bounded(principal, sides, sides.identity.decision)


def _bounded(principal: Principal, sides: _Sides, allowed: Decision) -> Decision:
    if principal.boundary is not None and sides.boundary is None:
        return Decision(False, Reason.BOUNDARY, principal.boundary.name)
    return allowed


def denial_message(decision: Decision, principal: Principal, action: str, resource: str) -> str:
    """The text of an AccessDenied for those who may know: callers of the account that owns the resource.

    The words are those of AWS: "Troubleshoot access denied error messages" in the IAM user guide.
    """
    who = principal.arn or "anonymous"
    text = f'User: {who} is not authorized to perform: {action} on resource: "{resource}"'
    if decision.reason is Reason.EXPLICIT_DENY:
        return f"{text} with an explicit deny in {_denying(decision.document, principal)}"
    lacking = _LACKING.get(decision.reason)
    if lacking is not None:
        return f"{text} because no {lacking} allows the {action} action"
    return f"{text} because the RestrictPublicBuckets block public access setting keeps other accounts out"


_LACKING: Final = {
    Reason.NOT_ALLOWED: "identity-based policy",
    Reason.NO_IDENTITY_POLICY: "identity-based policy",
    Reason.NO_RESOURCE_POLICY: "resource-based policy",
    Reason.BOUNDARY: "permissions boundary",
    Reason.SESSION_POLICY: "session policy",
}


def _denying(document: str, principal: Principal) -> str:
    """The kind of a policy that denied, in the order in which they are asked."""
    if any(policy.name == document for policy in principal.policies):
        return "an identity-based policy"
    if principal.boundary is not None and principal.boundary.name == document:
        return "a permissions boundary"
    if any(policy.name == document for policy in principal.session or ()):
        return "a session policy"
    return "a resource-based policy"
