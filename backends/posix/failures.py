"""The operating system's errors as the contract's."""

from __future__ import annotations

import errno
import functools
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from backends.api import (
    BackendError,
    KeyNotStorable,
    PermissionDenied,
    QuotaExceeded,
    StorageFull,
    StorageUnavailable,
)

P = ParamSpec("P")
T = TypeVar("T")

_KINDS: Final[dict[int, type[BackendError]]] = {
    errno.ENOSPC: StorageFull,
    errno.EDQUOT: QuotaExceeded,
    errno.EFBIG: StorageFull,
    errno.EACCES: PermissionDenied,
    errno.EPERM: PermissionDenied,
    errno.EROFS: PermissionDenied,
    errno.ENAMETOOLONG: KeyNotStorable,
    errno.EILSEQ: KeyNotStorable,
}

MISSING: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG, errno.EILSEQ)
"""What opening a path says when no object is there: nothing, a file in the way, a link, a socket, no such name."""


def failure(error: OSError) -> BackendError:
    """The contract's error for one of the operating system. Its text tells the error but no path."""
    text = error.strerror or str(error)
    return _KINDS.get(error.errno or 0, StorageUnavailable)(text)


def translated(function: Callable[P, T]) -> Callable[P, T]:
    """Let `function` raise the contract's errors.

    For functions that only work on the storage: what bodies and callbacks of the gateway raise must pass unchanged.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except OSError as error:
            raise failure(error) from error

    return wrapper
