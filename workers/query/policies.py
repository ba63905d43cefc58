"""Managed policies and their versions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from workers.iam.builtin_policies import BUILTIN
from workers.iam.records import GroupRecord, NotFound, PolicyRecord, RoleRecord, UserRecord
from workers.iam.registry import Registry
from workers.protocol.query import QueryError
from workers.protocol.xml import Node
from workers.query.caller import account_of, registry_of
from workers.query.rendering import encoded, members, paged, policy_nodes, reply, tag_nodes, when
from workers.query.resources import below, iam_operation, policy_arn_resource, policy_resource
from workers.request import Request, Response

Holder = UserRecord | GroupRecord | RoleRecord


def own_policy(request: Request) -> PolicyRecord:
    """The policy that PolicyArn names, for a change. Raises `NotFound`; `QueryError` for one that is nobody's."""
    found = the_policy(request)
    if found.arn in BUILTIN:
        raise QueryError("AccessDenied", f"{found.arn} is the same for all accounts and cannot be changed.")
    return found


def the_policy(request: Request) -> PolicyRecord:
    """The policy that PolicyArn names. Raises `NotFound`."""
    arn = request.payload.require("PolicyArn")
    found = registry_of(request).policies.by_arn(account_of(request), arn)
    if found is None:
        raise NotFound(f"Policy {arn[:600]} was not found.")
    return found


class _Uses:
    """How often each policy of an account is attached, and how often it is a boundary."""

    def __init__(self, registry: Registry, account: str) -> None:
        holders: list[Holder] = []
        holders += registry.users.all(account)
        holders += registry.groups.all(account)
        holders += registry.roles.all(account)
        self.attached = [arn for one in holders for arn in one.attached]
        self.boundaries = [getattr(one, "boundary", "") for one in holders]

    def nodes(self, policy: PolicyRecord) -> list[Node]:
        return policy_nodes(policy, self.attached.count(policy.arn), self.boundaries.count(policy.arn))


@iam_operation("CreatePolicy", policy_resource, writes=True)
def create_policy(request: Request) -> Response:
    """Make a managed policy of the caller's account."""
    parameters = request.payload
    policy = registry_of(request).policies.create(
        account_of(request),
        parameters.require("PolicyName"),
        parameters.require("PolicyDocument"),
        path=parameters.get("Path", "/"),
        description=parameters.get("Description"),
        tags=parameters.pairs("Tags"),
    )
    return reply(request, [("Policy", policy_nodes(policy, 0, 0) + _details(policy))])


@iam_operation("GetPolicy", policy_arn_resource)
def get_policy(request: Request) -> Response:
    """A managed policy, without its text."""
    policy = the_policy(request)
    uses = _Uses(registry_of(request), account_of(request))
    return reply(request, [("Policy", uses.nodes(policy) + _details(policy))])


def _name_and_owner(policy: PolicyRecord) -> str:
    """A unique text, in the order of names: an account may have a policy that is called like one of all accounts."""
    return f"{policy.name} {policy.arn}"


def _details(policy: PolicyRecord) -> list[Node]:
    return [
        ("Description", policy.description or None),
        ("Tags", tag_nodes(policy.tags) if policy.tags else None),
    ]


@iam_operation("ListPolicies", below("policy"))
def list_policies(request: Request) -> Response:
    """The managed policies of the account, and those that all accounts have, in pages."""
    parameters, registry, account = request.payload, registry_of(request), account_of(request)
    scope = parameters.choice("Scope", ("AWS", "Local"), "All")
    filtered = parameters.choice("PolicyUsageFilter", ("PermissionsPolicy", "PermissionsBoundary"), "")
    uses = _Uses(registry, account)
    prefix = parameters.get("PathPrefix", "/")
    policies: list[PolicyRecord] = [] if scope == "AWS" else list(registry.policies.all(account, prefix))
    if scope != "Local":
        policies += [policy for policy in BUILTIN.values() if policy.path.startswith(prefix)]
    if parameters.boolean("OnlyAttached"):
        policies = [policy for policy in policies if policy.arn in uses.attached]
    if filtered:
        names = uses.boundaries if filtered == "PermissionsBoundary" else uses.attached
        policies = [policy for policy in policies if policy.arn in names]
    page, more = paged(parameters, sorted(policies, key=_name_and_owner), _name_and_owner)
    return reply(request, [("Policies", members(map(uses.nodes, page))), *more])


@iam_operation("DeletePolicy", policy_arn_resource, writes=True)
def delete_policy(request: Request) -> Response:
    """Delete a managed policy that is attached nowhere and has no other versions."""
    registry_of(request).delete_policy(account_of(request), own_policy(request).name)
    return reply(request)


@iam_operation("ListEntitiesForPolicy", policy_arn_resource)
def list_entities_for_policy(request: Request) -> Response:
    """The users, groups and roles that a managed policy is attached to, or that it bounds."""
    parameters, registry, account = request.payload, registry_of(request), account_of(request)
    arn = the_policy(request).arn
    kinds = ("User", "Role", "Group")
    wanted = parameters.choice("EntityFilter", (*kinds, "LocalManagedPolicy", "AWSManagedPolicy"), "")
    usage = parameters.choice("PolicyUsageFilter", ("PermissionsPolicy", "PermissionsBoundary"), "")
    prefix = parameters.get("PathPrefix", "/")
    found: dict[str, Sequence[Holder]] = {
        "Group": registry.groups.all(account, prefix),
        "User": registry.users.all(account, prefix),
        "Role": registry.roles.all(account, prefix),
    }
    rows = [
        (kind, one)
        for kind, holders in found.items()
        if wanted in ("", kind)
        for one in holders
        if (usage != "PermissionsBoundary" and arn in one.attached)
        or (usage != "PermissionsPolicy" and getattr(one, "boundary", "") == arn)
    ]
    page, more = paged(parameters, sorted(rows, key=_place), _place)
    lists: list[Node] = [(f"Policy{kind}s", members(_entities(page, kind))) for kind in found]
    return reply(request, [*lists, *more])


def _place(row: tuple[str, Holder]) -> str:
    """The unique name of a row, in the order of kinds and names."""
    return f"{row[0]} {row[1].name}"


def _entities(page: Iterable[tuple[str, Holder]], kind: str) -> Iterator[list[Node]]:
    for found, one in page:
        if found == kind:
            yield [(f"{kind}Name", one.name), (f"{kind}Id", one.id)]


# -- versions


@iam_operation("CreatePolicyVersion", policy_arn_resource, writes=True)
def create_policy_version(request: Request) -> Response:
    """Add a version to a managed policy, in force at once with SetAsDefault."""
    parameters, registry, account = request.payload, registry_of(request), account_of(request)
    policy = own_policy(request)
    version = registry.policies.add_version(
        account, policy.name, parameters.require("PolicyDocument"), default=parameters.boolean("SetAsDefault")
    )
    nodes = _version_nodes(registry.policies.get(account, policy.name), version, text=False)
    return reply(request, [("PolicyVersion", nodes)])


@iam_operation("GetPolicyVersion", policy_arn_resource)
def get_policy_version(request: Request) -> Response:
    """A version of a managed policy with its text."""
    policy, version = the_policy(request), request.payload.require("VersionId")
    if version not in policy.versions:
        raise NotFound(f"Policy {policy.arn} version {version[:16]} does not exist or is not attachable.")
    return reply(request, [("PolicyVersion", _version_nodes(policy, version, text=True))])


@iam_operation("ListPolicyVersions", policy_arn_resource)
def list_policy_versions(request: Request) -> Response:
    """The versions of a managed policy, newest first."""
    policy = the_policy(request)
    versions = sorted(policy.versions, key=lambda version: -int(version[1:]))
    # Markers are texts that grow: the newest version has to have the smallest.
    page, more = paged(request.payload, versions, lambda version: f"{10**9 - int(version[1:]):010d}")
    return reply(request, [("Versions", members(_version_nodes(policy, one, text=False) for one in page)), *more])


@iam_operation("SetDefaultPolicyVersion", policy_arn_resource, writes=True)
def set_default_policy_version(request: Request) -> Response:
    """Put a version of a managed policy in force."""
    registry_of(request).policies.set_default(
        account_of(request), own_policy(request).name, request.payload.require("VersionId")
    )
    return reply(request)


@iam_operation("DeletePolicyVersion", policy_arn_resource, writes=True)
def delete_policy_version(request: Request) -> Response:
    """Delete a version of a managed policy that is not in force."""
    registry_of(request).policies.delete_version(
        account_of(request), own_policy(request).name, request.payload.require("VersionId")
    )
    return reply(request)


def _version_nodes(policy: PolicyRecord, version: str, *, text: bool) -> list[Node]:
    found = policy.versions[version]
    return [
        ("Document", encoded(found.text) if text else None),
        ("VersionId", version),
        ("IsDefaultVersion", version == policy.default),
        ("CreateDate", when(found.created)),
    ]
