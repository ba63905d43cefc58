"""The ARN that an operation of IAM acts on, from its parameters; and the declaration of such operations.

An identity that is there has its own path; one that is not, the path that the request names, or none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from workers.iam.accounts import account_number
from workers.iam.entities import Groups, Policies, Roles, Users
from workers.iam.policy.principals import PARTITION
from workers.iam.registry import Registry
from workers.protocol.query import QueryError
from workers.query.caller import account_of, registry_of, user_name
from workers.request import Request, Response
from workers.routing import IAM, Level, Resource, operation

H = TypeVar("H", bound=Callable[[Request], Response])

Find = Callable[[Registry], Users | Groups | Roles | Policies]
EVERYTHING: Final = "*"


def iam_operation(name: str, resource: Resource, *, writes: bool = False, **row: Any) -> Callable[[H], H]:
    """Declare the decorated function to be an operation of IAM, whose action has the same name."""
    row.setdefault("action", f"iam:{name}")
    return operation(name, "POST", Level.SERVICE, service=IAM, resource=resource, writes=writes, **row)


def arn_of(request: Request, rest: str) -> str:
    """The ARN of what belongs to the caller's account."""
    return f"arn:{PARTITION}:iam::{account_number(account_of(request))}:{rest}"


def account_resource(request: Request) -> str:
    """Of an operation that is about the account as a whole."""
    return arn_of(request, EVERYTHING)


def below(kind: str) -> Resource:
    """The ARN that a list of entities is about: their common path."""
    return lambda request: arn_of(request, kind + request.payload.get("PathPrefix", "/"))


def named(kind: str, parameter: str, find: Find) -> Resource:
    """The ARN of the entity that a parameter names."""

    def resource(request: Request) -> str:
        name = user_name(request) if kind == "user" else request.payload.get(parameter)
        if not name:
            # An account's own keys: AWS asks for the permission on the root user, which no policy can give.
            return arn_of(request, "root")
        found = find(registry_of(request)).find(account_of(request), name)
        if found is not None:
            return found.arn
        path = request.payload.get("Path", "/") if request.operation.name.startswith("Create") else "/"
        return arn_of(request, f"{kind}{path}{name}")

    return resource


user_resource: Final = named("user", "UserName", lambda registry: registry.users)
group_resource: Final = named("group", "GroupName", lambda registry: registry.groups)
role_resource: Final = named("role", "RoleName", lambda registry: registry.roles)
policy_resource: Final = named("policy", "PolicyName", lambda registry: registry.policies)


def policy_arn_resource(request: Request) -> str:
    """The managed policy that PolicyArn names."""
    arn: str = request.payload.require("PolicyArn")
    if not arn.startswith(f"arn:{PARTITION}:iam::") or arn.count(":") < 5:
        raise QueryError("ValidationError", f"ARN {arn[:600]} is not valid.")
    return arn


def key_resource(request: Request) -> str:
    """The user whose access key a request names, for an operation that is not told the user."""
    key = registry_of(request).find_key(request.payload.require("AccessKeyId"))
    if key is None or key.account.id != account_of(request):
        return arn_of(request, "user/*")
    return arn_of(request, "root") if key.user is None else key.user.arn
