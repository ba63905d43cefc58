"""Access control lists: their XML, their headers, their record form, and what they grant.

An ACL names an owner and up to a hundred grants to accounts or to groups. A grant to an account is the account's to
pass on to its users; a grant to a group is to everyone in it.
Source: "Access control list (ACL) overview" in the S3 user guide.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NoReturn

import msgspec

from workers.iam.policy.principals import ACCOUNT, DIRECT, NONE, Principal, PrincipalKind
from workers.protocol.errors import S3Error
from workers.protocol.xml import XSI, Element, Node, parse

ALL_USERS: Final = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED_USERS: Final = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
LOG_DELIVERY: Final = "http://acs.amazonaws.com/groups/s3/LogDelivery"
GROUPS: Final = frozenset((ALL_USERS, AUTHENTICATED_USERS, LOG_DELIVERY))
PUBLIC_GROUPS: Final = frozenset((ALL_USERS, AUTHENTICATED_USERS))

LOG_DELIVERY_SERVICE: Final = "logging.s3.amazonaws.com"
"""The service principal that is the LogDelivery group."""

FULL_CONTROL: Final = "FULL_CONTROL"
PERMISSIONS: Final = ("FULL_CONTROL", "READ", "WRITE", "READ_ACP", "WRITE_ACP")
MAX_GRANTS: Final = 100
ACL_LIMIT: Final = 64 * 1024
"""Bytes of an AccessControlPolicy: a hundred grants with display names."""


class Ownership(enum.Enum):
    """A bucket's ownership controls: who owns what is put into it, and whether ACLs count."""

    BUCKET_OWNER_ENFORCED = "BucketOwnerEnforced"
    BUCKET_OWNER_PREFERRED = "BucketOwnerPreferred"
    OBJECT_WRITER = "ObjectWriter"

    @property
    def acls_enabled(self) -> bool:
        """Whether ACLs grant anything."""
        return self is not Ownership.BUCKET_OWNER_ENFORCED


class Grant(msgspec.Struct, frozen=True, array_like=True):
    """A permission for a canonical user id or a group's URI."""

    grantee: str
    permission: str

    @property
    def is_group(self) -> bool:
        """Whether the grantee is a group."""
        return self.grantee in GROUPS


class Acl(msgspec.Struct, frozen=True):
    """An ACL. `owner` is a canonical user id."""

    owner: str
    grants: tuple[Grant, ...] = ()

    @property
    def is_public(self) -> bool:
        """Whether it grants anything to everyone, or to every account: what AWS calls a public ACL."""
        return any(grant.grantee in PUBLIC_GROUPS for grant in self.grants)

    @property
    def is_private(self) -> bool:
        """Whether it grants nothing to others than the owner."""
        return all(grant.grantee == self.owner for grant in self.grants)

    def encode(self) -> str:
        """The record form, JSON: for `ObjectRecord.acl` and for the bucket's document."""
        return msgspec.json.encode(self).decode()


def decode_acl(record: str) -> Acl:
    """An ACL from its record form. Raises msgspec.DecodeError for what is none."""
    return msgspec.json.decode(record, type=Acl)


def private_acl(owner: str) -> Acl:
    """What a bucket or object has when nobody said otherwise."""
    return Acl(owner, (Grant(owner, FULL_CONTROL),))


# What a permission is worth, by the table "Mapping of ACL permissions and access policy permissions". As there,
# a bucket's WRITE includes deleting, and a version is the owner's alone to remove.
_ON_BUCKET: Final = {
    "READ": ("ListBucket", "ListBucketVersions", "ListBucketMultipartUploads"),
    "WRITE": ("PutObject", "DeleteObject"),
    "READ_ACP": ("GetBucketAcl",),
    "WRITE_ACP": ("PutBucketAcl",),
}
_ON_OBJECT: Final = {
    "READ": ("GetObject", "GetObjectVersion", "GetObjectTorrent", "GetObjectVersionTorrent"),
    "READ_ACP": ("GetObjectAcl", "GetObjectVersionAcl"),
    "WRITE_ACP": ("PutObjectAcl", "PutObjectVersionAcl"),
}


def _by_action(table: Mapping[str, Sequence[str]]) -> Mapping[str, frozenset[str]]:
    return MappingProxyType(
        {
            f"s3:{action}": frozenset((permission, FULL_CONTROL))
            for permission, actions in table.items()
            for action in actions
        }
    )


BUCKET_ACTIONS: Final = _by_action(_ON_BUCKET)
"""Action -> the permissions of a bucket's ACL that grant it."""
OBJECT_ACTIONS: Final = _by_action(_ON_OBJECT)
"""Action -> the permissions of an object's ACL that grant it."""


def granted(acl: Acl, permissions: frozenset[str], principal: Principal, *, ignore_public: bool = False) -> int:
    """How strongly an ACL grants one of several permissions: NONE, ACCOUNT or DIRECT.

    Args:
        ignore_public: leaves out what everyone or every account is granted (IgnorePublicAcls).
    """
    best = NONE
    for grant in acl.grants:
        if grant.permission in permissions:
            strength = _strength(grant.grantee, principal, ignore_public)
            if strength == DIRECT:
                return DIRECT
            best = max(best, strength)
    return best


def _strength(grantee: str, principal: Principal, ignore_public: bool) -> int:
    if grantee == ALL_USERS:
        return NONE if ignore_public else DIRECT
    if grantee == AUTHENTICATED_USERS:
        return NONE if ignore_public or principal.kind is PrincipalKind.ANONYMOUS else DIRECT
    if grantee == LOG_DELIVERY:
        logs = principal.kind is PrincipalKind.SERVICE and principal.name == LOG_DELIVERY_SERVICE
        return DIRECT if logs else NONE
    if not principal.account_id or grantee != principal.account_id:
        return NONE
    return DIRECT if principal.kind is PrincipalKind.ACCOUNT else ACCOUNT


# Canned ACLs.

_CANNED_GROUPS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = MappingProxyType(
    {
        "private": (),
        "public-read": ((ALL_USERS, "READ"),),
        "public-read-write": ((ALL_USERS, "READ"), (ALL_USERS, "WRITE")),
        "authenticated-read": ((AUTHENTICATED_USERS, "READ"),),
        # Grants a reader of machine images that only AWS has; here it comes to the private one.
        "aws-exec-read": (),
        "log-delivery-write": ((LOG_DELIVERY, "WRITE"), (LOG_DELIVERY, "READ_ACP")),
        "bucket-owner-read": (),
        "bucket-owner-full-control": (),
    }
)
_FOR_BUCKET_OWNER: Final = {"bucket-owner-read": "READ", "bucket-owner-full-control": FULL_CONTROL}
BUCKET_OWNER_FULL_CONTROL: Final = "bucket-owner-full-control"


def canned_acl(name: str, owner: str, *, bucket_owner: str | None = None) -> Acl:
    """The ACL that `x-amz-acl` names. Raises `S3Error` InvalidArgument.

    Args:
        owner: of the bucket or object.
        bucket_owner: of the bucket in which an object is; None for the ACL of a bucket.
    """
    groups = _CANNED_GROUPS.get(name)
    if groups is None or (name == "log-delivery-write" and bucket_owner is not None):
        raise S3Error("InvalidArgument", ArgumentName="x-amz-acl", ArgumentValue=name[:64])
    grants = [Grant(owner, FULL_CONTROL)]
    grants += [Grant(group, permission) for group, permission in groups]
    if name in _FOR_BUCKET_OWNER and bucket_owner is not None and bucket_owner != owner:
        grants.append(Grant(bucket_owner, _FOR_BUCKET_OWNER[name]))
    return Acl(owner, tuple(grants))


# Grantees, and where they are looked up.


@dataclass(frozen=True, slots=True)
class Directory:
    """What is known of accounts when an ACL names them.

    Attributes:
        exists: whether there is an account of a canonical user id.
        by_email: the canonical user ids of the accounts with an e-mail address.
        display_name: the name that is shown for a canonical user id, "" for none.
    """

    exists: Callable[[str], bool]
    by_email: Callable[[str], Sequence[str]]
    display_name: Callable[[str], str] = lambda account: ""


def _account(directory: Directory, value: str) -> str:
    if not directory.exists(value):
        raise S3Error("InvalidArgument", "Invalid id", ArgumentName="CanonicalUser/ID", ArgumentValue=value[:128])
    return value


def _by_email(directory: Directory, value: str) -> str:
    found = directory.by_email(value)
    if len(found) != 1:
        code = "AmbiguousGrantByEmailAddress" if found else "UnresolvableGrantByEmailAddress"
        raise S3Error(code, EmailAddress=value[:256])
    return found[0]


def _group(value: str) -> str:
    if value not in GROUPS:
        raise S3Error("InvalidArgument", "Invalid group uri", ArgumentName="uri", ArgumentValue=value[:256])
    return value


# Headers.

GRANT_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {f"x-amz-grant-{permission.lower().replace('_', '-')}": permission for permission in PERMISSIONS}
)
"""Header -> the permission that it grants."""

Header = Callable[[str], str | None]


def acl_of_headers(header: Header, owner: str, directory: Directory, *, bucket_owner: str | None = None) -> Acl | None:
    """The ACL that a request's headers ask for, None when they ask for none.

    Raises `S3Error` InvalidRequest for a canned ACL beside grants, InvalidArgument, UnresolvableGrantByEmailAddress,
    AmbiguousGrantByEmailAddress. `bucket_owner` as for `canned_acl`.
    """
    canned = header("x-amz-acl")
    values = [(permission, header(name), name) for name, permission in GRANT_HEADERS.items()]
    named = [(permission, value, name) for permission, value, name in values if value is not None]
    if canned is not None:
        if named:
            raise S3Error("InvalidRequest", "Specifying both Canned ACLs and Header Grants is not allowed")
        return canned_acl(canned, owner, bucket_owner=bucket_owner)
    if not named:
        return None
    grants = [
        Grant(grantee, permission) for permission, value, name in named for grantee in _grantees(value, name, directory)
    ]
    return Acl(owner, _limited(grants))


def _grantees(value: str, name: str, directory: Directory) -> list[str]:
    """The grantees of `id="…", uri="…", emailAddress="…"`."""
    found = []
    for entry in value.split(","):
        kind, equals, text = entry.strip().partition("=")
        text = text.strip()
        if len(text) >= 2 and text[0] == text[-1] == '"':
            text = text[1:-1]
        kind = kind.strip().lower()
        if not equals or not text or kind not in ("id", "uri", "emailaddress"):
            raise S3Error(
                "InvalidArgument", "Argument format not recognized", ArgumentName=name, ArgumentValue=value[:256]
            )
        if kind == "id":
            found.append(_account(directory, text))
        elif kind == "uri":
            found.append(_group(text))
        else:
            found.append(_by_email(directory, text))
    return found


def _limited(grants: Iterable[Grant]) -> tuple[Grant, ...]:
    """The grants without repetitions, of which there may be a hundred."""
    found = tuple(dict.fromkeys(grants))
    if len(found) > MAX_GRANTS:
        raise S3Error("InvalidRequest", f"The access control list has more than {MAX_GRANTS} grants")
    return found


# XML.


def parse_acl(body: bytes, owner: str, directory: Directory) -> Acl:
    """The ACL of an AccessControlPolicy document.

    Raises `S3Error` MalformedACLError for a document that is none, AccessDenied when it names another owner (an owner
    cannot be changed), InvalidArgument, UnresolvableGrantByEmailAddress, AmbiguousGrantByEmailAddress.
    """
    try:
        root = parse(body, "AccessControlPolicy", limit=ACL_LIMIT)
        root.allow("Owner", "AccessControlList")
        named = root.get("Owner")
        named.allow("ID", "DisplayName")
        given = named.get_text("ID").strip()
        entries = root.get("AccessControlList")
        entries.allow("Grant")
        grants = [_grant(element, directory) for element in entries.all("Grant")]
    except S3Error as error:
        if error.code == "MalformedXML":
            raise S3Error("MalformedACLError") from None
        raise
    if given != owner:
        raise S3Error("AccessDenied")
    return Acl(owner, _limited(grants))


def _grant(element: Element, directory: Directory) -> Grant:
    element.allow("Grantee", "Permission")
    permission = element.get_text("Permission").strip()
    if permission not in PERMISSIONS:
        raise S3Error("MalformedACLError")
    grantee = element.get("Grantee")
    grantee.allow("ID", "DisplayName", "EmailAddress", "URI")
    kind = grantee.attributes.get(f"{XSI} type")
    if kind == "CanonicalUser":
        return Grant(_account(directory, _only(grantee, "ID")), permission)
    if kind == "Group":
        return Grant(_group(_only(grantee, "URI")), permission)
    if kind == "AmazonCustomerByEmail":
        return Grant(_by_email(directory, _only(grantee, "EmailAddress")), permission)
    _malformed()


def _only(grantee: Element, name: str) -> str:
    """The text of the element that this kind of grantee has; the other kinds' elements may not stand beside it."""
    if any(child.name not in (name, "DisplayName") for child in grantee.children):
        _malformed()
    return grantee.get_text(name).strip()


def _malformed() -> NoReturn:
    raise S3Error("MalformedACLError")


def acl_nodes(acl: Acl, display_name: Callable[[str], str] = lambda account: "") -> list[Node]:
    """The content of an AccessControlPolicy document."""
    grants: list[Node] = []
    for grant in acl.grants:
        if grant.is_group:
            content, kind = [("URI", grant.grantee)], "Group"
        else:
            content, kind = _named(grant.grantee, display_name), "CanonicalUser"
        grantee: Any = ("Grantee", content, {"xmlns:xsi": XSI, "xsi:type": kind})
        grants.append(("Grant", [grantee, ("Permission", grant.permission)]))
    return [("Owner", _named(acl.owner, display_name)), ("AccessControlList", grants)]


def _named(account: str, display_name: Callable[[str], str]) -> list[tuple[str, str]]:
    name = display_name(account)
    return [("ID", account), ("DisplayName", name)] if name else [("ID", account)]


# What ownership controls make of ACLs.


def check_ownership(acl: Acl | None, ownership: Ownership, bucket_owner: str, *, creating: bool = False) -> None:
    """Raise `S3Error` when a request sets an ACL that a bucket with disabled ACLs does not take.

    Only what would change nothing is taken: full control for the bucket's owner, and for nobody else beside the
    writer. `creating` tells that a bucket is being made with the ACL, where S3 gives another error.
    """
    if acl is None or ownership.acls_enabled:
        return
    changes = any(
        grant.permission != FULL_CONTROL or grant.grantee not in (bucket_owner, acl.owner) for grant in acl.grants
    )
    full = any(grant == Grant(bucket_owner, FULL_CONTROL) for grant in acl.grants)
    if changes or not full:
        raise S3Error("InvalidBucketAclWithObjectOwnership" if creating else "AccessControlListNotSupported")


def owner_of_new_object(ownership: Ownership, writer: str, bucket_owner: str, acl: Acl | None) -> str:
    """The canonical user id that will own an object that is being written.

    Args:
        writer: the account that writes; "" for an anonymous caller.
        acl: what its request asks for.
    """
    if ownership is Ownership.BUCKET_OWNER_ENFORCED or not writer:
        return bucket_owner
    if ownership is Ownership.BUCKET_OWNER_PREFERRED and acl is not None:
        full = Grant(bucket_owner, FULL_CONTROL)
        if full in acl.grants:
            return bucket_owner
    return writer


def parse_ownership_controls(body: bytes) -> Ownership:
    """The setting of an OwnershipControls document. Raises `S3Error` MalformedXML."""
    root = parse(body, "OwnershipControls", limit=ACL_LIMIT)
    root.allow("Rule")
    rule = root.get("Rule")
    rule.allow("ObjectOwnership")
    return parse_ownership(rule.get_text("ObjectOwnership").strip(), "MalformedXML")


def parse_ownership(text: str, code: str = "InvalidArgument") -> Ownership:
    """A setting by its name, as in `x-amz-object-ownership`. Raises `S3Error` of the given code."""
    try:
        return Ownership(text)
    except ValueError:
        if code == "InvalidArgument":
            raise S3Error(
                code,
                f"Invalid x-amz-object-ownership header: {text[:64]}",
                ArgumentName="x-amz-object-ownership",
                ArgumentValue=text[:64],
            ) from None
        raise S3Error(code) from None


def ownership_nodes(ownership: Ownership) -> list[Node]:
    """The content of an OwnershipControls document."""
    return [("Rule", [("ObjectOwnership", ownership.value)])]
