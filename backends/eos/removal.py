"""Removing the directories of an empty bucket."""

from __future__ import annotations

import time
from typing import Final

from backends.api import BucketNotEmpty
from backends.eos.failures import Missing
from backends.eos.interfaces import Role
from backends.eos.namespace import Namespace

_UPLOAD: Final = ".sys.a#."
_ABANDONED: Final = 24 * 3600 * 1_000_000_000
"""Age in nanoseconds at which an atomic upload that never ended is taken for dead; a capability lasts an hour."""


def remove_tree(namespace: Namespace, role: Role, path: str) -> None:
    """Remove a directory that holds no file, with the empty ones below. Raises `BucketNotEmpty`.

    An upload under way is a hidden file, so that its directory cannot be removed; one that begins later finds no
    directory. Either it or the removal fails, never neither.
    """
    try:
        # Asked first, because it ends with the first file, however many there are.
        if namespace.holds(role, path, ignoring=(_UPLOAD,)):
            raise BucketNotEmpty(path)
        entries = namespace.find(role, path)
    except Missing:
        return
    for entry in entries:
        if entry.directory:
            remove_tree(namespace, role, entry.path)
        elif _is_abandoned(entry.path, entry.mtime):
            namespace.unlink(role, entry.path)
        else:
            raise BucketNotEmpty(path)
    if not namespace.remove_directory(role, path) and namespace.stat(role, path) is not None:
        raise BucketNotEmpty(path)


def _is_abandoned(path: str, modified: int) -> bool:
    return path.rpartition("/")[2].startswith(_UPLOAD) and modified < time.time_ns() - _ABANDONED
