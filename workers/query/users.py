"""Users, their access keys, and what an account knows of itself."""

from __future__ import annotations

import re
from typing import Final

from msgspec.structs import replace

from workers.iam.policy.principals import PrincipalKind
from workers.iam.records import (
    MAX_ATTACHED,
    MAX_GROUPS,
    MAX_KEYS,
    MAX_MANAGED_POLICY,
    MAX_VERSIONS,
    NotFound,
    UserRecord,
    check_path,
)
from workers.iam.registry import FoundKey
from workers.protocol.query import QueryError
from workers.query.boundaries import bounded, wanted_boundary
from workers.query.caller import account_of, registry_of, user_name
from workers.query.rendering import details, key_nodes, members, paged, reply, user_nodes, when
from workers.query.resources import account_resource, below, iam_operation, key_resource, user_resource
from workers.request import Request, Response

_ALIAS: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,61})[a-z0-9]", re.ASCII)


@iam_operation("CreateUser", user_resource, writes=True)
def create_user(request: Request) -> Response:
    """Make a user of the caller's account."""
    parameters, registry, account = request.payload, registry_of(request), account_of(request)
    boundary = wanted_boundary(request)
    user = registry.users.create(
        account, parameters.require("UserName"), path=parameters.get("Path", "/"), tags=parameters.pairs("Tags")
    )
    user = bounded(registry.users, account, user, boundary, lambda: registry.delete_user(account, user.name))
    return reply(request, [("User", user_nodes(user) + details(user))])


@iam_operation("GetUser", user_resource)
def get_user(request: Request) -> Response:
    """A user, or the caller himself."""
    principal = request.principal
    name = user_name(request)
    if not name:
        if principal.kind is PrincipalKind.ROLE:
            raise QueryError("ValidationError", "Must specify userName when calling with non-User credentials")
        nodes = [
            ("Path", "/"),
            ("UserName", principal.name or "root"),
            ("UserId", principal.account_number),
            ("Arn", principal.arn),
            ("CreateDate", when(_account_created(request))),
        ]
        return reply(request, [("User", nodes)])
    user = registry_of(request).users.get(account_of(request), name)
    return reply(request, [("User", user_nodes(user) + details(user))])


def _account_created(request: Request) -> int:
    account = registry_of(request).account(account_of(request))
    return 0 if account is None else account.created


@iam_operation("ListUsers", below("user"))
def list_users(request: Request) -> Response:
    """The users of the account, in pages."""
    prefix = request.payload.get("PathPrefix", "/")
    users = registry_of(request).users.all(account_of(request), prefix)
    page, more = paged(request.payload, users, lambda user: user.name)
    return reply(request, [("Users", members(user_nodes(user) for user in page)), *more])


@iam_operation("UpdateUser", user_resource, writes=True)
def update_user(request: Request) -> Response:
    """Give a user another path. Names are what policies, keys and groups go by, and stay."""
    parameters = request.payload
    name = parameters.require("UserName")
    if parameters.get("NewUserName", name) != name:
        raise QueryError("NotSupported", "A user cannot be renamed: create another one and move its keys.")
    path = parameters.get("NewPath")

    def change(user: UserRecord) -> UserRecord:
        return replace(user, path=check_path(path)) if path else user

    registry_of(request).users.update(account_of(request), name, change)
    return reply(request)


@iam_operation("DeleteUser", user_resource, writes=True)
def delete_user(request: Request) -> Response:
    """Delete a user who has no keys, policies and groups any more."""
    registry_of(request).delete_user(account_of(request), request.payload.require("UserName"))
    return reply(request)


@iam_operation("PutUserPermissionsBoundary", user_resource, writes=True)
def put_user_permissions_boundary(request: Request) -> Response:
    """Limit a user by a managed policy, whatever else allows him more."""
    parameters = request.payload
    registry_of(request).users.set_boundary(
        account_of(request), parameters.require("UserName"), parameters.require("PermissionsBoundary")
    )
    return reply(request)


@iam_operation("DeleteUserPermissionsBoundary", user_resource, writes=True)
def delete_user_permissions_boundary(request: Request) -> Response:
    """Remove a user's permissions boundary."""
    registry_of(request).users.set_boundary(account_of(request), request.payload.require("UserName"), "")
    return reply(request)


# -- access keys


@iam_operation("CreateAccessKey", user_resource, writes=True)
def create_access_key(request: Request) -> Response:
    """Make an access key of a user, or of the caller; the secret is told this one time."""
    made = registry_of(request).create_key(account_of(request), user_name(request))
    nodes = [*key_nodes(made.record, _holder(request, made.record.user)), ("SecretAccessKey", made.secret)]
    return reply(request, [("AccessKey", nodes)])


@iam_operation("ListAccessKeys", user_resource)
def list_access_keys(request: Request) -> Response:
    """The access keys of a user, or of the caller."""
    holder = user_name(request)
    keys = sorted(registry_of(request).keys(account_of(request), holder), key=lambda key: key.access_key)
    page, more = paged(request.payload, keys, lambda key: key.access_key)
    shown = _holder(request, holder)
    return reply(request, [("AccessKeyMetadata", members(key_nodes(key, shown) for key in page)), *more])


@iam_operation("UpdateAccessKey", user_resource, writes=True)
def update_access_key(request: Request) -> Response:
    """Enable or disable an access key."""
    key = _own_key(request)
    status = request.payload.choice("Status", ("Active", "Inactive"), "")
    if not status:
        raise QueryError("ValidationError", "Status must be Active or Inactive")
    registry_of(request).update_key(key.record.access_key, enabled=status == "Active")
    return reply(request)


@iam_operation("DeleteAccessKey", user_resource, writes=True)
def delete_access_key(request: Request) -> Response:
    """Delete an access key."""
    registry_of(request).delete_key(_own_key(request).record.access_key)
    return reply(request)


@iam_operation("GetAccessKeyLastUsed", key_resource)
def get_access_key_last_used(request: Request) -> Response:
    """When an access key was last used, to within minutes."""
    key = registry_of(request).find_key(request.payload.require("AccessKeyId"))
    if key is None or key.account.id != account_of(request):
        # AWS does not tell whose key it is not; the code is the one that it gives here.
        raise QueryError("AccessDenied", "User is not authorized to perform: iam:GetAccessKeyLastUsed")
    used = key.record.last_used
    last = [
        ("LastUsedDate", when(used) if used else None),
        ("ServiceName", "s3" if used else "N/A"),
        ("Region", request.services.settings.region if used else "N/A"),
    ]
    return reply(request, [("UserName", _holder(request, key.record.user)), ("AccessKeyLastUsed", last)])


def _own_key(request: Request) -> FoundKey:
    """The access key that a request names, which must be that of the user whom it names. Raises `NotFound`."""
    access_key = request.payload.require("AccessKeyId")
    key = registry_of(request).find_key(access_key)
    holder = user_name(request)
    if key is None or key.account.id != account_of(request) or key.record.user.lower() != holder.lower():
        raise NotFound(f"The Access Key with id {access_key[:128]} cannot be found.")
    return key


def _holder(request: Request, user: str) -> str:
    """How answers call the holder of a key: the account by its name."""
    return user or request.principal.name or "root"


# -- the account


@iam_operation("GetAccountSummary", account_resource)
def get_account_summary(request: Request) -> Response:
    """How much an account has of what, and how much it may have."""
    registry, account = registry_of(request), account_of(request)
    policies = registry.policies.all(account)
    record = registry.account(account)
    counts = {
        "Users": len(registry.users.all(account)),
        "Groups": len(registry.groups.all(account)),
        "Roles": len(registry.roles.all(account)),
        "Policies": len(policies),
        "PolicyVersionsInUse": sum(len(policy.versions) for policy in policies),
        "Providers": len(registry.providers.all(account)),
        "AccountAccessKeysPresent": 1 if record is not None and record.access_keys else 0,
        "AccountMFAEnabled": 0,
        "MFADevices": 0,
        "MFADevicesInUse": 0,
        "ServerCertificates": 0,
        "InstanceProfiles": 0,
        "AccessKeysPerUserQuota": MAX_KEYS,
        "GroupsPerUserQuota": MAX_GROUPS,
        "AttachedPoliciesPerUserQuota": MAX_ATTACHED,
        "AttachedPoliciesPerGroupQuota": MAX_ATTACHED,
        "AttachedPoliciesPerRoleQuota": MAX_ATTACHED,
        "VersionsPerPolicyQuota": MAX_VERSIONS,
        "PolicySizeQuota": MAX_MANAGED_POLICY,
        "UserPolicySizeQuota": 2048,
        "GroupPolicySizeQuota": 5120,
    }
    entries = [("entry", [("key", name), ("value", count)]) for name, count in counts.items()]
    return reply(request, [("SummaryMap", entries)])


@iam_operation("ListAccountAliases", account_resource)
def list_account_aliases(request: Request) -> Response:
    """The account's name, where it can be an alias."""
    account = registry_of(request).account(account_of(request))
    aliases = [account.name] if account is not None and _ALIAS.fullmatch(account.name) else []
    return reply(request, [("AccountAliases", members(aliases)), ("IsTruncated", False)])
