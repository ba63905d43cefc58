"""Removing the directories of an empty bucket, and a file that may have been replaced meanwhile."""

from __future__ import annotations

import time
from typing import Final

from backends.api import BucketNotEmpty, StorageUnavailable
from backends.eos.failures import Exists, Missing
from backends.eos.interfaces import Entry, Role
from backends.eos.layout import COPY, STAGING, WITHDRAWN
from backends.eos.namespace import Namespace

_UPLOAD: Final = ".sys.a#."
_WILDCARDS: Final = frozenset("*?[]{}\\!^")
_TRIES: Final = 8
_PAUSE: Final = 0.05
_ABANDONED: Final = 24 * 3600 * 1_000_000_000
"""Age in nanoseconds at which an upload or a copy that never ended is taken for dead; a capability lasts an hour."""


def remove_tree(namespace: Namespace, role: Role, path: str) -> None:
    """Remove a directory that holds no file, with the empty ones below. Raises `BucketNotEmpty`.

    An upload under way is a hidden file, so that its directory cannot be removed; one that begins later finds no
    directory. Either it or the removal fails, never neither.
    """
    passing = (_UPLOAD, COPY) if path.endswith(f"/{STAGING}") else (_UPLOAD,)
    try:
        # Asked first, because it ends with the first file, however many there are.
        if namespace.holds(role, path, ignoring=passing):
            raise BucketNotEmpty(path)
        entries = namespace.find(role, path)
    except Missing:
        return
    for entry in entries:
        if entry.directory:
            remove_tree(namespace, role, entry.path)
        elif is_abandoned(entry):
            namespace.unlink(role, entry.path)
        else:
            raise BucketNotEmpty(path)
    if not namespace.remove_directory(role, path) and namespace.stat(role, path) is not None:
        raise BucketNotEmpty(path)


def is_abandoned(entry: Entry) -> bool:
    """Whether a file is what a dead process has left of an upload or a copy."""
    directory, _, name = entry.path.rpartition("/")
    unfinished = name.startswith(_UPLOAD) or (name.startswith(COPY) and directory.endswith(f"/{STAGING}"))
    return unfinished and entry.mtime < time.time_ns() - _ABANDONED


def remove_file(namespace: Namespace, role: Role, entry: Entry) -> None:
    """Remove this very file: what has its path by now, if that is another one, stays.

    By its id, which the MGM looks up in the same step. A name with wildcards it would expand, by whatever it was asked:
    such a file is set aside first, and put back when it turns out to be another one.
    """
    directory, _, name = entry.path.rpartition("/")
    if not set(name) & _WILDCARDS:
        namespace.remove_by_id(role, entry.id)
        return
    aside = f"{directory}/{WITHDRAWN}{entry.id:x}"
    try:
        namespace.rename(role, entry.path, aside)
    except Missing:
        return
    held = namespace.stat(role, aside)
    if held is not None and held.id != entry.id:
        _put_back(namespace, role, aside, entry.path)
    else:
        namespace.unlink(role, aside)


def _put_back(namespace: Namespace, role: Role, aside: str, path: str) -> None:
    for attempt in range(_TRIES):
        try:
            namespace.rename(role, aside, path)
        except Exists:
            # Overwritten once more: then it would be gone by now anyway.
            namespace.unlink(role, aside)
        except StorageUnavailable:
            if attempt == _TRIES - 1:
                raise
            time.sleep(_PAUSE * 2**attempt)
            continue
        return
