"""Which actions a request needs beside the one of its operation.

Source: "Required permissions for Amazon S3 API operations" in the S3 user guide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from workers.iam.policy.actions import VERSION_ACTIONS

Header = Callable[[str], str | None]

_ACL_HEADERS: Final = (
    "x-amz-acl",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-read-acp",
    "x-amz-grant-write",
    "x-amz-grant-write-acp",
)
_BY_HEADER: Final = {
    "s3:PutObject": (
        (_ACL_HEADERS, ("s3:PutObjectAcl",)),
        (("x-amz-tagging",), ("s3:PutObjectTagging",)),
        (("x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date"), ("s3:PutObjectRetention",)),
        (("x-amz-object-lock-legal-hold",), ("s3:PutObjectLegalHold",)),
    ),
    "s3:CreateBucket": (
        (_ACL_HEADERS, ("s3:PutBucketAcl",)),
        (("x-amz-object-ownership",), ("s3:PutBucketOwnershipControls",)),
        (
            ("x-amz-bucket-object-lock-enabled",),
            ("s3:PutBucketObjectLockConfiguration", "s3:PutBucketVersioning"),
        ),
    ),
}
EXTRA_HEADERS: Final = frozenset(name for rules in _BY_HEADER.values() for headers, _ in rules for name in headers)
"""The headers with which a request needs more than its operation's action."""

_READS: Final = {
    "s3:GetObjectAttributes": ("s3:GetObjectAttributes", "s3:GetObject"),
    "s3:GetObjectVersionAttributes": ("s3:GetObjectVersionAttributes", "s3:GetObjectVersion"),
}


def required_actions(action: str, header: Header, *, version_named: bool = False) -> tuple[str, ...]:
    """All actions that a request needs on its resource, that of its operation first.

    Args:
        action: of the operation's row.
        header: gives a request header by its lower-case name.
        version_named: whether the request names a version.
    """
    if version_named:
        action = VERSION_ACTIONS.get(action, action)
    rules = _BY_HEADER.get(action)
    if rules is None:
        return _READS.get(action) or (action,)
    found = [action]
    for headers, actions in rules:
        if any(header(name) is not None for name in headers):
            found += actions
    return tuple(found)


def plain_actions(action: str) -> tuple[str, ...]:
    """The actions that a request needs which names no version and has none of `EXTRA_HEADERS`."""
    return _READS.get(action) or (action,)


def headers_matter(action: str) -> bool:
    """Whether headers of a request can ask for more than an operation's action."""
    return action in _BY_HEADER


def copy_source_actions(*, version_named: bool, tags_copied: bool = False) -> tuple[str, ...]:
    """The actions that CopyObject and UploadPartCopy need on their source.

    `tags_copied`: the source has tags, and they are copied with it.
    """
    plain = ("s3:GetObject", "s3:GetObjectTagging") if tags_copied else ("s3:GetObject",)
    return tuple(VERSION_ACTIONS[action] for action in plain) if version_named else plain
