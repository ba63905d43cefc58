"""Who asks, as operations of the query protocol see him."""

from __future__ import annotations

from workers.iam.policy.principals import PrincipalKind
from workers.iam.registry import Registry
from workers.protocol.query import QueryError
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
