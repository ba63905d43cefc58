"""Reading an object or a version of it, on whichever storage."""

from __future__ import annotations

from backends.api import NULL_VERSION, Backend, Caller, NoSuchVersion, ObjectRecord, VersionedBackend


def head_named(backend: Backend, caller: Caller, bucket: str, key: str, version: str | None) -> ObjectRecord:
    """The record of an object, or of a version of it.

    Raises `NoSuchBucket`, `NoSuchObject`, `NoSuchVersion`.
    """
    if version is not None and isinstance(backend, VersionedBackend):
        return backend.head_object(caller, bucket, key, version_id=version)
    record = backend.head_object(caller, bucket, key)
    if version not in (None, NULL_VERSION):
        raise NoSuchVersion(version)
    return record
