"""Records as nodes of answers, pages of lists, and the answer itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar
from urllib.parse import quote

from workers.iam.records import (
    AccessKeyRecord,
    GroupRecord,
    PolicyRecord,
    RoleRecord,
    UserRecord,
)
from workers.operations.tokens import open_token, seal_token
from workers.protocol.errors import S3Error
from workers.protocol.query import Parameters, QueryError, render_answer
from workers.protocol.xml import Node
from workers.query.constraints import MAX_ITEMS
from workers.request import Request, Response

T = TypeVar("T")

REQUEST_ID: Final = "x-amzn-requestid"
"""Where the SDKs look for a request's id in the answers of the query protocol."""


def reply(request: Request, result: Iterable[Node] | None = None) -> Response:
    """The answer to a request; `result` is None for an operation that has none."""
    operation = request.operation
    document = render_answer(operation.name, operation.service.namespace, request.id, result)
    return Response(200, {"content-type": "text/xml", REQUEST_ID: request.id}, document)


def paged(parameters: Parameters, items: Iterable[T], name: Callable[[T], str]) -> tuple[list[T], tuple[Node, ...]]:
    """The page that a request asks for, and the nodes that tell whether there are more.

    `items` are ordered by `name`, which is unique. Raises `QueryError` ValidationError.
    """
    limit = parameters.integer("MaxItems", 100, 1, MAX_ITEMS)
    try:
        after = open_token(parameters.get("Marker") or None)
    except S3Error:
        raise QueryError("ValidationError", "Invalid Marker.") from None
    rest = [item for item in items if name(item) > after]
    page = rest[:limit]
    if len(rest) > limit:
        return page, (("IsTruncated", True), ("Marker", seal_token(name(page[-1]))))
    return page, (("IsTruncated", False),)


def members(nodes: Iterable[object]) -> list[Node]:
    """A list of structures or texts."""
    return [("member", node) for node in nodes]


def when(nanoseconds: int) -> str:
    """A time as IAM writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(nanoseconds // 1_000_000_000))


def encoded(policy: str) -> str:
    """A policy as answers carry it: percent-encoded by RFC 3986."""
    return quote(policy, safe="")


def tag_nodes(tags: Mapping[str, str]) -> list[Node]:
    """Tags, ordered by name."""
    return members([("Key", name), ("Value", value)] for name, value in sorted(tags.items()))


def user_nodes(user: UserRecord) -> list[Node]:
    """A user without his tags, as lists have it."""
    return [
        ("Path", user.path),
        ("UserName", user.name),
        ("UserId", user.id),
        ("Arn", user.arn),
        ("CreateDate", when(user.created)),
    ]


def group_nodes(group: GroupRecord) -> list[Node]:
    """A group."""
    return [
        ("Path", group.path),
        ("GroupName", group.name),
        ("GroupId", group.id),
        ("Arn", group.arn),
        ("CreateDate", when(group.created)),
    ]


def role_nodes(role: RoleRecord, trust: str) -> list[Node]:
    """A role without its tags, as lists have it; `trust` is its trust policy as readers see it."""
    return [
        ("Path", role.path),
        ("RoleName", role.name),
        ("RoleId", role.id),
        ("Arn", role.arn),
        ("CreateDate", when(role.created)),
        ("AssumeRolePolicyDocument", encoded(trust)),
        ("Description", role.description or None),
        ("MaxSessionDuration", role.max_session),
    ]


def details(record: UserRecord | RoleRecord) -> list[Node]:
    """What only the answers about a single user or role have."""
    boundary = [("PermissionsBoundaryType", "PermissionsBoundaryPolicy"), ("PermissionsBoundaryArn", record.boundary)]
    return [
        # When a role was used is not noted; the element is there for readers who count on it, as with AWS.
        ("RoleLastUsed", [] if isinstance(record, RoleRecord) else None),
        ("PermissionsBoundary", boundary if record.boundary else None),
        ("Tags", tag_nodes(record.tags) if record.tags else None),
    ]


def policy_nodes(policy: PolicyRecord, attachments: int, boundaries: int) -> list[Node]:
    """A managed policy without its description and tags, as lists have it."""
    return [
        ("PolicyName", policy.name),
        ("PolicyId", policy.id),
        ("Arn", policy.arn),
        ("Path", policy.path),
        ("DefaultVersionId", policy.default),
        ("AttachmentCount", attachments),
        ("PermissionsBoundaryUsageCount", boundaries),
        ("IsAttachable", not policy.condemned),
        ("CreateDate", when(policy.created)),
        ("UpdateDate", when(max(version.created for version in policy.versions.values()))),
    ]


def key_nodes(key: AccessKeyRecord, holder: str) -> list[Node]:
    """An access key without its secret."""
    return [
        ("UserName", holder),
        ("AccessKeyId", key.access_key),
        ("Status", "Active" if key.enabled else "Inactive"),
        ("CreateDate", when(key.created)),
    ]
