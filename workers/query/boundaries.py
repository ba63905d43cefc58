"""Permissions boundaries of users and roles that are made with one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from msgspec.structs import replace

from workers.iam.entities import Roles, Users
from workers.iam.records import NotFound, RoleRecord, UserRecord
from workers.query.caller import account_of, registry_of
from workers.request import Request

R = TypeVar("R", UserRecord, RoleRecord)


def wanted_boundary(request: Request) -> str:
    """The ARN of the boundary that a new user or role is to have, "" for none. Raises `NotFound`."""
    arn: str = request.payload.get("PermissionsBoundary")
    if arn and registry_of(request).policies.by_arn(account_of(request), arn) is None:
        raise NotFound(f"Scope ARN: {arn[:600]} does not exist or is not attachable.")
    return arn


def bounded(collection: Users | Roles, account: str, made: R, boundary: str, undo: Callable[[], object]) -> R:
    """What was just made, under its boundary; `undo` unmakes it when the policy has gone meanwhile.

    Raises `NotFound`.
    """
    if not boundary:
        return made
    try:
        collection.set_boundary(account, made.name, boundary)
    except NotFound:
        undo()
        raise
    return replace(made, boundary=boundary)
