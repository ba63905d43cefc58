"""Groups and who is in them."""

from __future__ import annotations

from msgspec.structs import replace

from workers.iam.records import GroupRecord, check_path
from workers.protocol.query import QueryError
from workers.query.caller import account_of, registry_of
from workers.query.rendering import group_nodes, members, paged, reply, user_nodes
from workers.query.resources import below, group_resource, iam_operation, user_resource
from workers.request import Request, Response


@iam_operation("CreateGroup", group_resource, writes=True)
def create_group(request: Request) -> Response:
    """Make a group of the caller's account."""
    parameters = request.payload
    group = registry_of(request).groups.create(
        account_of(request), parameters.require("GroupName"), path=parameters.get("Path", "/")
    )
    return reply(request, [("Group", group_nodes(group))])


@iam_operation("GetGroup", group_resource)
def get_group(request: Request) -> Response:
    """A group and its members, in pages."""
    registry = registry_of(request)
    group = registry.groups.get(account_of(request), request.payload.require("GroupName"))
    page, more = paged(request.payload, registry.users.members(group), lambda user: user.name)
    return reply(request, [("Group", group_nodes(group)), ("Users", members(map(user_nodes, page))), *more])


@iam_operation("ListGroups", below("group"))
def list_groups(request: Request) -> Response:
    """The groups of the account, in pages."""
    groups = registry_of(request).groups.all(account_of(request), request.payload.get("PathPrefix", "/"))
    page, more = paged(request.payload, groups, lambda group: group.name)
    return reply(request, [("Groups", members(map(group_nodes, page))), *more])


@iam_operation("UpdateGroup", group_resource, writes=True)
def update_group(request: Request) -> Response:
    """Give a group another path. Its name stays, which memberships go by."""
    parameters = request.payload
    name = parameters.require("GroupName")
    if parameters.get("NewGroupName", name) != name:
        raise QueryError("NotSupported", "A group cannot be renamed: create another one and move its members.")
    path = parameters.get("NewPath")

    def change(group: GroupRecord) -> GroupRecord:
        return replace(group, path=check_path(path)) if path else group

    registry_of(request).groups.update(account_of(request), name, change)
    return reply(request)


@iam_operation("DeleteGroup", group_resource, writes=True)
def delete_group(request: Request) -> Response:
    """Delete a group that has no members and no policies any more."""
    registry_of(request).delete_group(account_of(request), request.payload.require("GroupName"))
    return reply(request)


@iam_operation("AddUserToGroup", group_resource, writes=True)
def add_user_to_group(request: Request) -> Response:
    """Make a user a member of a group."""
    parameters = request.payload
    registry_of(request).users.join(
        account_of(request), parameters.require("UserName"), parameters.require("GroupName")
    )
    return reply(request)


@iam_operation("RemoveUserFromGroup", group_resource, writes=True)
def remove_user_from_group(request: Request) -> Response:
    """End a membership."""
    parameters, registry = request.payload, registry_of(request)
    registry.groups.get(account_of(request), parameters.require("GroupName"))
    registry.users.leave(account_of(request), parameters.require("UserName"), parameters.require("GroupName"))
    return reply(request)


@iam_operation("ListGroupsForUser", user_resource)
def list_groups_for_user(request: Request) -> Response:
    """The groups that a user is in, in pages."""
    registry, account = registry_of(request), account_of(request)
    user = registry.users.get(account, request.payload.require("UserName"))
    found = (registry.groups.find(account, name) for name in user.member_of)
    groups = sorted(
        (group for group in found if group is not None and group.id == user.member_of.get(group.name)),
        key=lambda group: group.name,
    )
    page, more = paged(request.payload, groups, lambda group: group.name)
    return reply(request, [("Groups", members(map(group_nodes, page))), *more])
