"""What conditions can ask about a request. Nothing is computed before a condition asks for it."""

from __future__ import annotations

import copy
import enum
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from workers.iam.policy.principals import ANONYMOUS, Principal


class Pending(enum.Enum):
    """The value of a key that the request's body will tell, which nobody has read yet."""

    PENDING = "pending"


PENDING: Final = Pending.PENDING

Value = str | tuple[str, ...] | None | Pending
"""The value of a condition key: text, several texts, none, or not known yet."""

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


def _no_header(_name: str) -> str | None:
    return None


class RequestContext:
    """One request as conditions see it. Everything but the principal may be left out.

    Attributes:
        principal: who asks.
        now: seconds since the epoch.
        source_ip: the client's address, not that of a proxy.
        secure: whether the client's connection is encrypted.
        header: gives a request header by its lower-case name; for a form upload, a field of the form.
        query: the parsed query.
        region: of the gateway.
        resource_account: number of the account that owns the bucket, "" where there is none.
        auth_type: REST-HEADER, REST-QUERY-STRING or POST; "" for an unsigned request.
        signed_at: when the request was signed, in seconds since the epoch.
        tls_version: such as "1.3", "" for unknown.
        version_id: the version that is asked for.
        object_tags: gives the tags of the object that is there, None when there is none. Called at most once for
            each condition that asks.
        body_values: keys that only the body tells, by their names in lower case: `s3:locationconstraint`,
            `s3:object-lock-mode`, `s3:object-lock-retain-until-date`, `s3:object-lock-legal-hold`.
            None as long as the body has not been read.
        body_tags: the tags of PutObjectTagging; None as long as the body has not been read.
        claims: further keys by their names in lower case: claims of an OIDC token (`host/path:aud`), and
            `aws:sourcearn` and `aws:sourceaccount` of a service.
        pending: set when a condition asked for what only the body tells. A request that was allowed so far has to be
            decided again when its body is known; one that was denied is denied.
    """

    __slots__ = (
        "auth_type",
        "body_tags",
        "body_values",
        "claims",
        "header",
        "now",
        "object_tags",
        "pending",
        "principal",
        "query",
        "region",
        "resource_account",
        "secure",
        "signed_at",
        "source_ip",
        "tls_version",
        "version_id",
    )

    def __init__(
        self,
        principal: Principal = ANONYMOUS,
        *,
        now: float = 0.0,
        source_ip: str = "",
        secure: bool = False,
        header: Callable[[str], str | None] = _no_header,
        query: Mapping[str, str] = _NOTHING,
        region: str = "",
        resource_account: str = "",
        auth_type: str = "",
        signed_at: float | None = None,
        tls_version: str = "",
        version_id: str | None = None,
        object_tags: Callable[[], Mapping[str, str] | None] | None = None,
        body_values: Mapping[str, str] | None = None,
        body_tags: Mapping[str, str] | None = None,
        claims: Mapping[str, Value] = _NOTHING,
    ) -> None:
        self.principal = principal
        self.now = now
        self.source_ip = source_ip
        self.secure = secure
        self.header = header
        self.query = query
        self.region = region
        self.resource_account = resource_account
        self.auth_type = auth_type
        self.signed_at = signed_at
        self.tls_version = tls_version
        self.version_id = version_id
        self.object_tags = object_tags
        self.body_values = body_values
        self.body_tags = body_tags
        self.claims = claims
        self.pending = False

    def for_object(
        self,
        version_id: str | None,
        object_tags: Callable[[], Mapping[str, str] | None] | None,
        resource_account: str | None = None,
    ) -> RequestContext:
        """The same request looking at another object: one key of DeleteObjects, or the source of a copy."""
        other = copy.copy(self)
        other.version_id = version_id
        other.object_tags = object_tags
        if resource_account is not None:
            other.resource_account = resource_account
        other.pending = False
        return other
