"""Who asks, as operations of the query protocol see him."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from workers.iam.policy.context import RequestContext, Value
from workers.iam.policy.principals import Principal, PrincipalKind
from workers.iam.records import RoleRecord, UserRecord
from workers.iam.registry import Registry
from workers.protocol.query import Parameters, QueryError
from workers.request import Request


def account_of(request: Request) -> str:
    """The canonical user id of the account whose identities a request is about: the caller's own."""
    return request.principal.account_id


def registry_of(request: Request) -> Registry:
    """The registry of identities. Raises `QueryError` NotSupported where the gateway has none."""
    registry = request.services.registry
    if registry is None:
        raise QueryError("NotSupported", "This gateway keeps no identities.")
    return registry


def user_name(request: Request, parameter: str = "UserName") -> str:
    """The user that a request names, or the one who asks; "" for an account's own keys."""
    named: str = request.payload.get(parameter)
    if named:
        return named
    principal = request.principal
    if principal.kind is PrincipalKind.ROLE:
        # Not the account's own: a role is none of its users, and must not get at the account's keys.
        raise QueryError("ValidationError", "Must specify userName when calling with non-User credentials")
    return principal.name if principal.kind is PrincipalKind.USER else ""


def context_of(request: Request, principal: Principal, claims: Mapping[str, Value]) -> RequestContext:
    """A request as conditions see it; `claims` are the keys of its parameters and of a token."""
    return RequestContext(
        principal,
        now=request.now,
        source_ip=request.environ.get("REMOTE_ADDR", ""),
        secure=request.environ.get("wsgi.url_scheme") == "https",
        header=request.header,
        region=request.services.settings.region,
        claims=claims,
    )


_ATTACHING: Final = frozenset(
    f"{verb}{kind}Policy" for verb in ("Attach", "Detach") for kind in ("User", "Group", "Role")
)
_BOUNDING: Final = frozenset(("CreateUser", "CreateRole", "PutUserPermissionsBoundary", "PutRolePermissionsBoundary"))
_BOUNDED: Final = frozenset(
    f"{verb}{kind}{what}"
    for kind in ("User", "Role")
    for verb, what in (
        ("Attach", "Policy"),
        ("Detach", "Policy"),
        ("Put", "Policy"),
        ("Delete", "Policy"),
        ("Delete", "PermissionsBoundary"),
    )
)
_TAGGED: Final = frozenset(
    f"{verb}{kind}"
    for verb in ("Create", "Tag", "Untag")
    for kind in ("User", "Role", "Policy", "OpenIDConnectProvider")
) | {"AssumeRole"}
_SESSIONS: Final = frozenset(("AssumeRole", "AssumeRoleWithWebIdentity"))

_PARAMETERS: Final[Mapping[str, tuple[str, frozenset[str]]]] = MappingProxyType(
    {
        "iam:policyarn": ("PolicyArn", _ATTACHING),
        "iam:permissionsboundary": ("PermissionsBoundary", _BOUNDING),
        "sts:externalid": ("ExternalId", frozenset(("AssumeRole",))),
        "sts:rolesessionname": ("RoleSessionName", _SESSIONS),
        "sts:sourceidentity": ("SourceIdentity", frozenset(("AssumeRole",))),
    }
)
"""Condition keys, the parameter that tells each, and the operations that have that parameter.

A parameter that an operation does not have is no condition key either: whoever may put policies on users with a certain
boundary could name that boundary in a request that has no use for it.
Source: "Actions, resources, and condition keys" for IAM and for STS in the service authorization reference.
"""


def keys_of(request: Request) -> dict[str, Value]:
    """What conditions can ask of a request's parameters, by the names of condition keys in lower case."""
    parameters: Parameters = request.payload
    operation = request.operation.name
    found: dict[str, Value] = {
        key: parameters.get(name)
        for key, (name, operations) in _PARAMETERS.items()
        if operation in operations and name in parameters
    }
    if operation in _BOUNDED and (boundary := _present_boundary(request)):
        found["iam:permissionsboundary"] = boundary
    if operation in _TAGGED:
        tags = parameters.pairs("Tags")
        names = (*tags, *parameters.texts("TagKeys"))
        if names:
            found["aws:tagkeys"] = names
        # The case of a tag's name tells nothing apart, neither here nor where the tag is asked for later.
        found |= {f"aws:requesttag/{name.lower()}": value for name, value in tags.items()}
    return found


def _present_boundary(request: Request) -> str:
    """The permissions boundary of the user or role that an operation changes, "" for none."""
    parameters: Parameters = request.payload
    registry, account = registry_of(request), account_of(request)
    holder: UserRecord | RoleRecord | None = None
    if "RoleName" in parameters:
        holder = registry.roles.find(account, parameters.get("RoleName"))
    elif "UserName" in parameters:
        holder = registry.users.find(account, parameters.get("UserName"))
    return "" if holder is None else holder.boundary
