"""What was decided about a request, and why."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Reason(enum.Enum):
    """What decided."""

    # Allowed by:
    IDENTITY_POLICY = "identity policy"
    BUCKET_POLICY = "bucket policy"
    BUCKET_ACL = "bucket ACL"
    OBJECT_ACL = "object ACL"
    OWNER = "the account owns the resource"
    ROOT = "root of the gateway"
    REPAIR = "the owner can always repair a bucket policy"
    INITIATOR = "the account began the upload"
    TRUST_POLICY = "trust policy"
    # Denied by:
    EXPLICIT_DENY = "explicit deny"
    NOT_ALLOWED = "no policy allows it"
    NO_IDENTITY_POLICY = "no identity policy allows it"
    NO_RESOURCE_POLICY = "no resource policy and no ACL allows it"
    BOUNDARY = "the permissions boundary does not allow it"
    SESSION_POLICY = "the session policy does not allow it"
    PUBLIC_BUCKET_RESTRICTED = "RestrictPublicBuckets keeps other accounts out"


class Decision(NamedTuple):
    """Whether a request is allowed, and what decided it.

    Attributes:
        document: the name of the policy that decided, "" where none did.
        statement: its Sid or place in that document, "" where none did.
    """

    allowed: bool
    reason: Reason
    document: str = ""
    statement: str = ""

    def __str__(self) -> str:
        verdict = "allowed" if self.allowed else "denied"
        place = ", ".join(text for text in (self.statement, self.document) if text)
        return f"{verdict}: {self.reason.value}" + (f" ({place})" if place else "")
