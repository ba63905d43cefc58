"""The administration calls of the Versity S3 Gateway, so that a site's scripts work here.

A user there is one access key that is its own identity. Here it becomes an account of that name with that one key:
`user` may not create buckets, `userplus` may, `admin` may do everything. A UserID or GroupID of 0 stands for none, as
it does there: nobody becomes root in the storage by a call that leaves it out. Secrets are never told again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from msgspec.structs import replace

from backends.api import NoSuchBucket
from workers.iam.accounts import ROOT_ACCOUNT_ID
from workers.iam.identities import caller_of
from workers.iam.records import AccountRecord, AlreadyExists, Busy, IamError, NotFound, check_secret
from workers.iam.registry import FoundKey, Registry
from workers.operations.buckets import make_bucket
from workers.protocol.documents import parse_create_bucket
from workers.protocol.errors import S3Error
from workers.protocol.names import check_bucket_name
from workers.protocol.xml import Element, Node, document, escape_replacing, parse
from workers.request import Request, Response, xml_response
from workers.routing import Authorization, Handler, Level, Xml, operation

LIMIT: Final = 16 * 1024
OWNER: Final = "x-vgw-owner"
USER, USERPLUS, ADMIN = "user", "userplus", "admin"
_ROLES: Final = (USER, USERPLUS, ADMIN)
_FIELDS: Final = ("Access", "Secret", "Role", "UserID", "GroupID", "ProjectID")
# What the peer's own command sends along since 1.8.0: how a request was made, never part of a stored user.
_SESSION_FIELDS: Final = ("SessionToken", "IsSession", "Arn", "RoleArn")


class _User(NamedTuple):
    """What a document says of a user; None for what it leaves out."""

    access: str | None
    secret: str | None
    role: str | None
    uid: int | None
    gid: int | None


def _call(name: str, path: str, level: Level = Level.BUCKET, **row: object) -> Callable[[Handler], Handler]:
    """Declare an administration call, which its path selects."""
    return operation(name, "PATCH", level, action="", path=path, authorization=Authorization.ADMINISTRATION, **row)


def _parse_user(body: bytes, root: str) -> _User:
    element = parse(body, root, limit=LIMIT)
    element.allow(*_FIELDS, *_SESSION_FIELDS)
    for name in _SESSION_FIELDS:
        if element.find_text(name) not in (None, "", "false"):
            raise S3Error("XAdminInvalidArgument", f"{name} belongs to a session, not to a user.")
    if _number(element, "ProjectID"):
        raise S3Error("XAdminInvalidArgument", "ProjectID is not supported: accounts have no project ids.")
    role = element.find_text("Role") or None
    if role is not None and role not in _ROLES:
        raise S3Error("XAdminInvalidArgument", f"Role is one of {', '.join(_ROLES)}.")
    return _User(
        element.find_text("Access"),
        element.find_text("Secret"),
        role,
        _number(element, "UserID"),
        _number(element, "GroupID"),
    )


def _number(element: Element, name: str) -> int | None:
    text = element.find_text(name)
    return element.find_integer(name) if text else None


def _parse_account(body: bytes) -> _User:
    return _parse_user(body, "Account")


def _parse_changes(body: bytes) -> _User:
    return _parse_user(body, "MutableProps")


@_call("AdminCreateUser", "create-user", writes=True, body=Xml(_parse_account, limit=LIMIT))
def create_user(request: Request) -> Response:
    """Make an account with one access key, both named by `Access`."""
    user: _User = request.payload
    registry = _registry(request)
    if not user.access or not user.secret or not user.role:
        raise S3Error("XAdminInvalidArgument", "Access, Secret and Role are needed.")
    try:
        check_secret(user.secret)
        account = registry.create_account(
            user.access,
            uid=user.uid or None,
            gid=user.gid or None,
            may_create_buckets=user.role != USER,
            admin=user.role == ADMIN,
        )
        try:
            registry.create_key(account.id, access_key=user.access, secret=user.secret)
        except IamError:
            registry.delete_account(account.id, cascade=True)
            raise
    except IamError as error:
        raise _refusal(error) from None
    return Response(201)


@_call("AdminUpdateUser", "update-user", writes=True, body=Xml(_parse_changes, limit=LIMIT))
def update_user(request: Request) -> Response:
    """Change the secret, role or numbers of the account that a key is of; what is left out stays."""
    changes: _User = request.payload
    registry = _registry(request)
    found = _find(request, registry, request.query.get("access", ""))

    def change(account: AccountRecord) -> AccountRecord:
        role = changes.role
        return replace(
            account,
            uid=account.uid if changes.uid is None else changes.uid or None,
            gid=account.gid if changes.gid is None else changes.gid or None,
            may_create_buckets=account.may_create_buckets if role is None else role != USER,
            admin=account.admin if role is None else role == ADMIN,
        )

    try:
        if changes.secret:
            check_secret(changes.secret)
        registry.update_account(found.account.id, change)
        if changes.secret:
            registry.update_key(found.record.access_key, secret=changes.secret)
    except IamError as error:
        raise _refusal(error) from None
    return Response(200)


@_call("AdminDeleteUser", "delete-user", writes=True)
def delete_user(request: Request) -> Response:
    """Delete the account that a key is of. One that has users, groups, roles or policies stays."""
    registry = _registry(request)
    account = _find(request, registry, request.query.get("access", "")).account.id
    if any(collection.all(account) for collection in (registry.users, registry.groups, registry.roles)) or (
        registry.policies.all(account) or registry.providers.all(account)
    ):
        raise S3Error("XAdminInvalidArgument", "The account still has users, groups, roles, policies or providers.")
    try:
        registry.delete_account(account, cascade=True)
    except IamError as error:
        raise _refusal(error) from None
    return Response(200)


@_call("AdminListUsers", "list-users")
def list_users(request: Request) -> Response:
    """The accounts with access keys of their own, one element for each key; without secrets."""
    nodes = [("Accounts", node) for account in _registry(request).accounts() for node in _users(account)]
    return xml_response(document("ListUserAccountsResult", nodes, namespace=None, escaping=escape_replacing))


def _users(account: AccountRecord) -> Iterator[list[Node]]:
    role = ADMIN if account.admin else USERPLUS if account.may_create_buckets else USER
    for access_key in account.access_keys:
        yield [
            ("Access", access_key),
            ("Secret", ""),
            ("Role", role),
            ("UserID", account.uid or 0),
            ("GroupID", account.gid or 0),
            ("ProjectID", 0),
        ]


@_call("AdminListBuckets", "list-buckets")
def list_buckets(request: Request) -> Response:
    """All buckets and their owners, named by an access key where the owner has one."""
    registry = _registry(request)
    names = {account.id: next(iter(account.access_keys), account.name) for account in registry.accounts()}
    names[ROOT_ACCOUNT_ID] = names[""] = request.services.settings.access_key
    buckets = request.services.backend.list_buckets(request.caller)
    nodes: list[Node] = [
        ("Buckets", [("Name", bucket.name), ("Owner", names.get(bucket.owner, bucket.owner))]) for bucket in buckets
    ]
    return xml_response(document("ListBucketsResult", nodes, namespace=None, escaping=escape_replacing))


@_call("AdminChangeBucketOwner", "change-bucket-owner", writes=True)
def change_bucket_owner(request: Request) -> Response:
    """Give a bucket to another account, named by one of its access keys or by its name."""
    bucket = request.query.get("bucket", "")
    check_bucket_name(bucket)
    owner = _owner(request, request.query.get("owner", ""))
    services = request.services
    try:
        services.backend.change_bucket_owner(request.caller, bucket, owner.id)
    except NoSuchBucket:
        raise S3Error("NoSuchBucket", BucketName=bucket) from None
    services.buckets.changed(bucket)
    return Response(200)


@_call(
    "AdminCreateBucket",
    "create",
    Level.OBJECT,
    writes=True,
    body=Xml(parse_create_bucket, limit=64 * 1024, required=False),
)
def create_bucket(request: Request) -> Response:
    """Make a bucket for the account that the header `x-vgw-owner` names, within that account's limits."""
    owner = _owner(request, request.header(OWNER) or "")
    caller = request.caller if owner.id == ROOT_ACCOUNT_ID else caller_of(owner, None, request.access_key)
    response = make_bucket(request, caller, owner.limits.buckets)
    response.status = 201
    return response


# -- steps


def _registry(request: Request) -> Registry:
    registry = request.services.registry
    if registry is None:
        raise S3Error("NotImplemented", "This gateway keeps no accounts.")
    return registry


def _find(request: Request, registry: Registry, access_key: str) -> FoundKey:
    """The account that an access key is of. Raises `S3Error`; keys of users and of root are none of these calls'."""
    if not access_key:
        raise S3Error("XAdminInvalidArgument", "The parameter access, a user's access key, is missing.")
    if access_key == request.services.settings.access_key:
        raise S3Error("XAdminInvalidArgument", "The root account comes from the configuration.")
    found = registry.find_key(access_key)
    if found is None or found.user is not None:
        raise S3Error("XAdminUserNotFound")
    return found


def _owner(request: Request, name: str) -> AccountRecord:
    """The account of an access key of its own, or of a name. Raises `S3Error` XAdminUserNotFound."""
    if not name:
        raise S3Error("XAdminInvalidRequest", "The owner's access key is missing.")
    registry = _registry(request)
    if name == request.services.settings.access_key:
        return registry.existing(ROOT_ACCOUNT_ID)
    found = registry.find_key(name)
    account = found.account if found is not None and found.user is None else registry.find_account(name)
    if account is None:
        raise S3Error("XAdminUserNotFound")
    return account


def _refusal(error: IamError) -> S3Error:
    """What these calls answer for an error of the registry."""
    if isinstance(error, AlreadyExists):
        return S3Error("XAdminUserExists")
    if isinstance(error, NotFound):
        return S3Error("XAdminUserNotFound")
    if isinstance(error, Busy):
        return S3Error("OperationAborted")
    return S3Error("XAdminInvalidArgument", str(error))
