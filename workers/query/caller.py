"""Who asks, as operations of the query protocol see him."""

from __future__ import annotations

from collections.abc import Mapping

from workers.iam.policy.context import RequestContext, Value
from workers.iam.policy.principals import Principal, PrincipalKind
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


def keys_of(parameters: Parameters) -> dict[str, Value]:
    """What conditions can ask of the parameters, by the names of condition keys in lower case."""
    found: dict[str, Value] = {
        key: parameters.get(name)
        for key, name in (
            ("iam:policyarn", "PolicyArn"),
            ("iam:permissionsboundary", "PermissionsBoundary"),
            ("sts:externalid", "ExternalId"),
            ("sts:rolesessionname", "RoleSessionName"),
            ("sts:sourceidentity", "SourceIdentity"),
        )
        if name in parameters
    }
    tags = parameters.pairs("Tags")
    names = (*tags, *parameters.texts("TagKeys"))
    if names:
        found["aws:tagkeys"] = names
    found |= {f"aws:requesttag/{name}": value for name, value in tags.items()}
    return found
