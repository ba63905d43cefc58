"""The condition keys: where each value comes from, and which actions it applies to.

A key that does not apply to an action has no value there, whatever the request carries: a GetObject with
`?prefix=home/` must not pass for the listing of a home directory.
Source: "AWS global condition context keys" in the IAM user guide; "Actions, resources, and condition keys for Amazon
S3" in the service authorization reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

from workers.iam.policy.actions import VERSION_ACTIONS
from workers.iam.policy.context import PENDING, RequestContext, Value
from workers.iam.policy.principals import PrincipalKind
from workers.iam.policy.variables import Reader
from workers.protocol.errors import S3Error
from workers.protocol.names import parse_tagging_header
from workers.protocol.times import iso8601, parse_http_date

ALL: Final[frozenset[str]] = frozenset()
"""Stands for: the key applies to every action."""


@dataclass(frozen=True, slots=True)
class ConditionKey:
    """One key.

    Attributes:
        read: its value in a request.
        actions: those that it applies to, ALL for every one.
        body_actions: those of them where the value is in the body: read by `read_body`.
        several: whether it can have several values, so that it cannot be a variable.
    """

    read: Reader
    actions: frozenset[str] = ALL
    body_actions: frozenset[str] = ALL
    read_body: Reader | None = None
    several: bool = False

    def reader(self, action: str) -> Reader | None:
        """What reads the key's value in a request for an action; None where it does not apply."""
        if action in self.body_actions:
            return self.read_body
        if self.actions and action not in self.actions:
            return None
        return self.read


def _set(*names: str) -> frozenset[str]:
    return frozenset(f"s3:{name}" for name in names)


def _with_versions(*names: str) -> frozenset[str]:
    plain = _set(*names)
    return plain | {VERSION_ACTIONS[action] for action in plain if action in VERSION_ACTIONS}


_LISTS: Final = _set("ListBucket", "ListBucketVersions")
_PUTS: Final = _set("PutObject")
_CREATES: Final = _set("CreateBucket")
_ACLS: Final = _with_versions("PutObject", "PutObjectAcl") | _set("CreateBucket", "PutBucketAcl")
_LOCKS: Final = _set("PutObject", "PutObjectRetention", "BypassGovernanceRetention")
_HOLDS: Final = _set("PutObject", "PutObjectLegalHold")
_TAGS_OF_REQUEST: Final = _with_versions("PutObject", "PutObjectTagging")
_TAGS_IN_BODY: Final = _with_versions("PutObjectTagging")
_TAGS_OF_OBJECT: Final = _with_versions(
    "GetObject",
    "GetObjectAcl",
    "GetObjectAttributes",
    "GetObjectTagging",
    "PutObjectAcl",
    "PutObjectTagging",
    "DeleteObjectTagging",
)
_VERSIONS: Final = frozenset(VERSION_ACTIONS.values()) | _set(
    "GetObjectRetention", "PutObjectRetention", "GetObjectLegalHold", "PutObjectLegalHold"
)


def _header(name: str) -> Reader:
    return lambda context: context.header(name)


def _query(name: str) -> Reader:
    return lambda context: context.query.get(name)


def _text(value: bool) -> str:
    return "true" if value else "false"


def _iso(seconds: float) -> str:
    return iso8601(int(seconds) * 1_000_000_000)[:19] + "Z"


def _user_name(context: RequestContext) -> Value:
    principal = context.principal
    return principal.name if principal.kind is PrincipalKind.USER else None


def _principal_arn(context: RequestContext) -> Value:
    """The role and not its session; policies are written for roles."""
    principal = context.principal
    return principal.role_arn or principal.arn or None


def _principal_account(context: RequestContext) -> Value:
    principal = context.principal
    if principal.kind is PrincipalKind.ANONYMOUS:
        return "anonymous"
    return principal.account_number or None


def _service_name(context: RequestContext) -> Value:
    principal = context.principal
    return principal.name if principal.kind is PrincipalKind.SERVICE else None


def _issued(context: RequestContext) -> Value:
    issued = context.principal.token_issued
    return None if issued is None else _iso(issued)


def _multi_factor_present(context: RequestContext) -> Value:
    """Only temporary credentials tell; with long-term keys the key is absent, as on AWS."""
    principal = context.principal
    return None if principal.token_issued is None else _text(principal.multi_factor is not None)


def _multi_factor_age(context: RequestContext) -> Value:
    since = context.principal.multi_factor
    return None if since is None else str(max(0, int(context.now - since)))


def _signature_age(context: RequestContext) -> Value:
    """Milliseconds since the request was signed."""
    signed = context.signed_at
    return None if signed is None else str(max(0, int((context.now - signed) * 1000)))


def _copy_source(context: RequestContext) -> Value:
    """The source as bucket/key, decoded, so that no spelling of it passes by a condition."""
    value = context.header("x-amz-copy-source")
    if value is None:
        return None
    path, mark, version = value.removeprefix("/").partition("?versionId=")
    return unquote(path, errors="replace") + mark + version


def _lock_days(until: str | None, now: float) -> str | None:
    seconds = parse_http_date(until) if until else None
    return None if seconds is None else str(max(0, int(seconds - now) // 86_400))


def _body(name: str) -> Reader:
    def read(context: RequestContext) -> Value:
        values = context.body_values
        return PENDING if values is None else values.get(name)

    return read


def _remaining_days_in_header(context: RequestContext) -> Value:
    return _lock_days(context.header("x-amz-object-lock-retain-until-date"), context.now)


def _remaining_days_in_body(context: RequestContext) -> Value:
    values = context.body_values
    if values is None:
        return PENDING
    return _lock_days(values.get("s3:object-lock-retain-until-date"), context.now)


def _tags_in_header(context: RequestContext) -> Mapping[str, str] | None:
    value = context.header("x-amz-tagging")
    if not value:
        return None
    try:
        return parse_tagging_header(value)
    except S3Error:
        # The operation will refuse it; until then it holds no tag that a statement could allow.
        return None


def _tag_keys_in_header(context: RequestContext) -> Value:
    tags = _tags_in_header(context)
    return tuple(tags) if tags else None


def _tag_keys_in_body(context: RequestContext) -> Value:
    tags = context.body_tags
    return PENDING if tags is None else tuple(tags) or None


def _locked(name: str, header: str, actions: frozenset[str], body_actions: frozenset[str]) -> ConditionKey:
    return ConditionKey(_header(header), actions, body_actions, _body(name))


_GLOBAL: Final[dict[str, ConditionKey]] = {
    "aws:currenttime": ConditionKey(lambda context: _iso(context.now)),
    "aws:epochtime": ConditionKey(lambda context: str(int(context.now))),
    "aws:federatedprovider": ConditionKey(lambda context: context.principal.provider or None),
    "aws:multifactorauthage": ConditionKey(_multi_factor_age),
    "aws:multifactorauthpresent": ConditionKey(_multi_factor_present),
    "aws:principalaccount": ConditionKey(_principal_account),
    "aws:principalarn": ConditionKey(_principal_arn),
    "aws:principalisawsservice": ConditionKey(lambda context: _text(context.principal.kind is PrincipalKind.SERVICE)),
    "aws:principalservicename": ConditionKey(_service_name),
    "aws:principaltype": ConditionKey(lambda context: context.principal.kind.value),
    "aws:referer": ConditionKey(_header("referer")),
    "aws:requestedregion": ConditionKey(lambda context: context.region or None),
    "aws:resourceaccount": ConditionKey(lambda context: context.resource_account or None),
    "aws:securetransport": ConditionKey(lambda context: _text(context.secure)),
    "aws:sourceaccount": ConditionKey(lambda context: context.claims.get("aws:sourceaccount")),
    "aws:sourcearn": ConditionKey(lambda context: context.claims.get("aws:sourcearn")),
    "aws:sourceip": ConditionKey(lambda context: context.source_ip or None),
    "aws:tokenissuetime": ConditionKey(_issued),
    "aws:useragent": ConditionKey(_header("user-agent")),
    "aws:userid": ConditionKey(lambda context: context.principal.user_id or None),
    "aws:username": ConditionKey(_user_name),
    "aws:viaawsservice": ConditionKey(lambda context: "false"),
}

_ENCRYPTION: Final = "x-amz-server-side-encryption"
_RETENTION_BODY: Final = _set("PutObjectRetention")
_HOLD_BODY: Final = _set("PutObjectLegalHold")

_S3: Final[dict[str, ConditionKey]] = {
    "s3:authtype": ConditionKey(lambda context: context.auth_type or None),
    "s3:delimiter": ConditionKey(_query("delimiter"), _LISTS),
    "s3:if-match": ConditionKey(_header("if-match"), _set("PutObject", "DeleteObject")),
    "s3:if-none-match": ConditionKey(_header("if-none-match"), _PUTS),
    "s3:locationconstraint": ConditionKey(_body("s3:locationconstraint"), _CREATES),
    "s3:max-keys": ConditionKey(_query("max-keys"), _LISTS),
    "s3:object-lock-legal-hold": _locked(
        "s3:object-lock-legal-hold", "x-amz-object-lock-legal-hold", _HOLDS, _HOLD_BODY
    ),
    "s3:object-lock-mode": _locked("s3:object-lock-mode", "x-amz-object-lock-mode", _LOCKS, _RETENTION_BODY),
    "s3:object-lock-remaining-retention-days": ConditionKey(
        _remaining_days_in_header, _LOCKS, _RETENTION_BODY, _remaining_days_in_body
    ),
    "s3:object-lock-retain-until-date": _locked(
        "s3:object-lock-retain-until-date", "x-amz-object-lock-retain-until-date", _LOCKS, _RETENTION_BODY
    ),
    "s3:prefix": ConditionKey(_query("prefix"), _LISTS),
    "s3:requestobjecttagkeys": ConditionKey(
        _tag_keys_in_header, _TAGS_OF_REQUEST, _TAGS_IN_BODY, _tag_keys_in_body, several=True
    ),
    "s3:resourceaccount": ConditionKey(lambda context: context.resource_account or None),
    "s3:signatureage": ConditionKey(_signature_age),
    "s3:signatureversion": ConditionKey(lambda context: "AWS4-HMAC-SHA256" if context.auth_type else None),
    "s3:tlsversion": ConditionKey(lambda context: context.tls_version or None),
    "s3:versionid": ConditionKey(lambda context: context.version_id, _VERSIONS),
    "s3:x-amz-acl": ConditionKey(_header("x-amz-acl"), _ACLS),
    "s3:x-amz-content-sha256": ConditionKey(_header("x-amz-content-sha256")),
    "s3:x-amz-copy-source": ConditionKey(_copy_source, _PUTS),
    "s3:x-amz-grant-full-control": ConditionKey(_header("x-amz-grant-full-control"), _ACLS),
    "s3:x-amz-grant-read": ConditionKey(_header("x-amz-grant-read"), _ACLS),
    "s3:x-amz-grant-read-acp": ConditionKey(_header("x-amz-grant-read-acp"), _ACLS),
    "s3:x-amz-grant-write": ConditionKey(_header("x-amz-grant-write"), _ACLS),
    "s3:x-amz-grant-write-acp": ConditionKey(_header("x-amz-grant-write-acp"), _ACLS),
    "s3:x-amz-metadata-directive": ConditionKey(_header("x-amz-metadata-directive"), _PUTS),
    "s3:x-amz-object-ownership": ConditionKey(_header("x-amz-object-ownership"), _CREATES),
    f"s3:{_ENCRYPTION}": ConditionKey(_header(_ENCRYPTION), _PUTS),
    f"s3:{_ENCRYPTION}-aws-kms-key-id": ConditionKey(_header(f"{_ENCRYPTION}-aws-kms-key-id"), _PUTS),
    f"s3:{_ENCRYPTION}-customer-algorithm": ConditionKey(_header(f"{_ENCRYPTION}-customer-algorithm"), _PUTS),
    "s3:x-amz-storage-class": ConditionKey(_header("x-amz-storage-class"), _PUTS),
    "s3:x-amz-website-redirect-location": ConditionKey(_header("x-amz-website-redirect-location"), _PUTS),
}


def _parameter(key: str, *, several: bool = False) -> ConditionKey:
    """A key that a parameter of the request tells."""
    return ConditionKey(lambda context: context.claims.get(key), several=several)


_OF_PARAMETERS: Final = {
    key: _parameter(key)
    for key in (
        "iam:permissionsboundary",
        "iam:policyarn",
        "sts:externalid",
        "sts:rolesessionname",
        "sts:sourceidentity",
    )
} | {key: _parameter(key, several=True) for key in ("aws:tagkeys", "sts:transitivetagkeys")}
"""Those of IAM and STS."""

KEYS: Final[Mapping[str, ConditionKey]] = MappingProxyType({**_GLOBAL, **_S3, **_OF_PARAMETERS})
"""All keys with a fixed name, by the name in lower case."""


def _principal_tag(name: str) -> ConditionKey:
    folded = name.lower()
    return ConditionKey(lambda context: context.principal.tags.get(folded))


def _existing_tag(name: str) -> ConditionKey:
    def read(context: RequestContext) -> Value:
        tags = None if context.object_tags is None else context.object_tags()
        return None if tags is None else tags.get(name)

    return ConditionKey(read, _TAGS_OF_OBJECT)


def _request_tag(name: str) -> ConditionKey:
    def read(context: RequestContext) -> Value:
        tags = _tags_in_header(context)
        return None if tags is None else tags.get(name)

    def read_body(context: RequestContext) -> Value:
        tags = context.body_tags
        return PENDING if tags is None else tags.get(name)

    return ConditionKey(read, _TAGS_OF_REQUEST, _TAGS_IN_BODY, read_body)


_TAGGED: Final[Mapping[str, Callable[[str], ConditionKey]]] = MappingProxyType(
    {
        "aws:principaltag": _principal_tag,
        "aws:requesttag": lambda name: _parameter(f"aws:requesttag/{name.lower()}"),
        "s3:existingobjecttag": _existing_tag,
        "s3:requestobjecttag": _request_tag,
    }
)

_CLAIM: Final = re.compile(r"(?:[a-z0-9-]+\.)+[a-z0-9-]+(?::\d{1,5})?(?:/[^\s:]*)?:[a-z0-9_.:/-]+", re.ASCII)
_LOCAL_CLAIM: Final = re.compile(r"localhost(?::\d{1,5})?(?:/[^\s:]*)?:[a-z0-9_.:/-]+", re.ASCII)


def normal_key(text: str) -> str:
    """A key's name in the form that everything here uses: lower case, but for the name of a tag."""
    name, slash, tag = text.partition("/")
    lowered = name.lower()
    return f"{lowered}/{tag}" if slash and lowered in _TAGGED else text.lower()


@lru_cache(maxsize=4096)
def find_key(key: str, *, claims: bool = False) -> ConditionKey | None:
    """The key of a normal name, None for one that this gateway does not know.

    Args:
        claims: whether claims of an OIDC token (`host/path:aud`) are keys too, as they are in trust policies.
    """
    found = KEYS.get(key)
    if found is not None:
        return found
    name, slash, tag = key.partition("/")
    if slash and tag and name in _TAGGED:
        return _TAGGED[name](tag)
    if claims and (_CLAIM.fullmatch(key) or _LOCAL_CLAIM.fullmatch(key)):
        return ConditionKey(lambda context: context.claims.get(key), several=True)
    return None


def is_variable(key: str) -> bool:
    """Whether a key of a normal name can be a variable: it has one value, known before the body is read."""
    found = find_key(key)
    return found is not None and not found.several and found.read_body is None and key != "s3:locationconstraint"


__all__ = ["ALL", "KEYS", "ConditionKey", "find_key", "is_variable", "normal_key"]
