"""Roles and their trust policies."""

from __future__ import annotations

from msgspec.structs import replace

from workers.iam.directory import AccountDirectory, trust_policy
from workers.iam.records import RoleRecord, check_description
from workers.protocol.xml import Node
from workers.query.boundaries import bounded, wanted_boundary
from workers.query.caller import account_of, registry_of
from workers.query.rendering import details, members, paged, reply, role_nodes
from workers.query.resources import below, iam_operation, role_resource
from workers.request import Request, Response


@iam_operation("CreateRole", role_resource, writes=True)
def create_role(request: Request) -> Response:
    """Make a role of the caller's account."""
    parameters, registry, account = request.payload, registry_of(request), account_of(request)
    boundary = wanted_boundary(request)
    role = registry.roles.create(
        account,
        parameters.require("RoleName"),
        parameters.require("AssumeRolePolicyDocument"),
        path=parameters.get("Path", "/"),
        description=parameters.get("Description"),
        max_session=parameters.integer("MaxSessionDuration", 3600, 3600, 43200),
        tags=parameters.pairs("Tags"),
        principal_key=AccountDirectory(registry).principal_key,
    )
    role = bounded(registry.roles, account, role, boundary, lambda: registry.roles.remove(account, role.name))
    return reply(request, [("Role", _nodes(request, role) + details(role))])


@iam_operation("GetRole", role_resource)
def get_role(request: Request) -> Response:
    """A role."""
    role = registry_of(request).roles.get(account_of(request), request.payload.require("RoleName"))
    return reply(request, [("Role", _nodes(request, role) + details(role))])


@iam_operation("ListRoles", below("role"))
def list_roles(request: Request) -> Response:
    """The roles of the account, in pages."""
    roles = registry_of(request).roles.all(account_of(request), request.payload.get("PathPrefix", "/"))
    page, more = paged(request.payload, roles, lambda role: role.name)
    return reply(request, [("Roles", members(_nodes(request, role) for role in page)), *more])


@iam_operation("UpdateRole", role_resource, writes=True)
def update_role(request: Request) -> Response:
    """Change a role's description and the longest time of its sessions."""
    parameters = request.payload
    seconds = parameters.integer("MaxSessionDuration", 3600, 3600, 43200)

    def change(role: RoleRecord) -> RoleRecord:
        # What is not sent goes back to its default, as with AWS.
        return replace(role, max_session=seconds, description=check_description(parameters.get("Description")))

    registry_of(request).roles.update(account_of(request), parameters.require("RoleName"), change)
    return reply(request, [])


@iam_operation("UpdateRoleDescription", role_resource, writes=True)
def update_role_description(request: Request) -> Response:
    """Change a role's description."""
    parameters = request.payload
    text = check_description(parameters.get("Description"))
    role = registry_of(request).roles.update(
        account_of(request), parameters.require("RoleName"), lambda role: replace(role, description=text)
    )
    return reply(request, [("Role", _nodes(request, role) + details(role))])


@iam_operation("UpdateAssumeRolePolicy", role_resource, writes=True)
def update_assume_role_policy(request: Request) -> Response:
    """Replace the policy that says who may assume a role."""
    parameters, registry = request.payload, registry_of(request)
    registry.roles.set_trust(
        account_of(request),
        parameters.require("RoleName"),
        parameters.require("PolicyDocument"),
        AccountDirectory(registry).principal_key,
    )
    return reply(request)


@iam_operation("DeleteRole", role_resource, writes=True)
def delete_role(request: Request) -> Response:
    """Delete a role that has no policies any more; its sessions end."""
    registry_of(request).roles.remove(account_of(request), request.payload.require("RoleName"))
    return reply(request)


@iam_operation("PutRolePermissionsBoundary", role_resource, writes=True)
def put_role_permissions_boundary(request: Request) -> Response:
    """Limit a role by a managed policy, whatever else allows it more."""
    parameters = request.payload
    registry_of(request).roles.set_boundary(
        account_of(request), parameters.require("RoleName"), parameters.require("PermissionsBoundary")
    )
    return reply(request)


@iam_operation("DeleteRolePermissionsBoundary", role_resource, writes=True)
def delete_role_permissions_boundary(request: Request) -> Response:
    """Remove a role's permissions boundary."""
    registry_of(request).roles.set_boundary(account_of(request), request.payload.require("RoleName"), "")
    return reply(request)


def _nodes(request: Request, role: RoleRecord) -> list[Node]:
    return role_nodes(role, trust_policy(registry_of(request), role))
