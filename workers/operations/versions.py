"""Versions of objects, as a client names them and on whichever storage they are asked of.

The one place that knows what a version id means on a storage without versions: `null` is the object itself, and there
are no others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from backends.api import (
    ALWAYS,
    NULL_VERSION,
    DeleteOutcome,
    NoSuchVersion,
    ObjectRecord,
    OpenObject,
    Precondition,
    VersionedBackend,
)
from workers.protocol.errors import S3Error
from workers.request import Request
from workers.versioned import head_named

MAX_VERSION_ID: Final = 1024


def version_id(request: Request) -> str | None:
    """The version that a request names. Raises `S3Error` InvalidArgument for an empty or overlong one."""
    value = request.query.get("versionId") if request.query else None
    if value is None:
        return None
    return checked_version_id(value)


def checked_version_id(value: str) -> str:
    """A version id as a client sent it. Raises `S3Error` InvalidArgument."""
    if value == "":
        raise S3Error("InvalidArgument", "Version id cannot be the empty string", ArgumentName="versionId")
    if value != NULL_VERSION and (len(value) > MAX_VERSION_ID or not (value.isascii() and value.isprintable())):
        raise S3Error(
            "InvalidArgument", "Invalid version id specified", ArgumentName="versionId", ArgumentValue=value[:64]
        )
    return value


def open_version(request: Request, bucket: str, key: str, version: str | None) -> OpenObject:
    """Open an object, or a version of it. Raises `NoSuchBucket`, `NoSuchObject`, `NoSuchVersion`."""
    backend = request.services.backend
    if version is not None and isinstance(backend, VersionedBackend):
        return backend.get_object(request.caller, bucket, key, version_id=version)
    opened = backend.get_object(request.caller, bucket, key)
    if version not in (None, NULL_VERSION):
        opened.close()
        raise NoSuchVersion(version)
    return opened


def head_version(request: Request) -> ObjectRecord:
    """The record of the object, or version of it, that a request names. Raises like `open_version`."""
    return head_named(request.services.backend, request.caller, request.bucket, request.key, version_id(request))


def update_version(request: Request, change: Callable[[ObjectRecord], ObjectRecord]) -> ObjectRecord:
    """Change the record of what a request names. Raises like `open_version`."""
    backend = request.services.backend
    version = version_id(request)
    if version is not None and isinstance(backend, VersionedBackend):
        return backend.update_object(request.caller, request.bucket, request.key, change, version_id=version)
    if version not in (None, NULL_VERSION):
        head_version(request)
    return backend.update_object(request.caller, request.bucket, request.key, change)


def delete_version(
    request: Request, key: str, version: str | None, precondition: Precondition = ALWAYS
) -> DeleteOutcome:
    """Delete an object, or a version of it. Raises `NoSuchBucket`, `NoSuchVersion` and what the precondition raises."""
    backend = request.services.backend
    if version is not None and isinstance(backend, VersionedBackend):
        return backend.delete_object(request.caller, request.bucket, key, precondition, version_id=version)
    if version not in (None, NULL_VERSION):
        backend.get_bucket(request.caller, request.bucket)
        raise NoSuchVersion(version)
    return backend.delete_object(request.caller, request.bucket, key, precondition)
