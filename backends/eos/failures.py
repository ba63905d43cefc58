"""EOS's error numbers as the contract's errors."""

from __future__ import annotations

import errno
from typing import Final, NoReturn

from backends.api import (
    BackendError,
    KeyNotStorable,
    PermissionDenied,
    QuotaExceeded,
    StorageFull,
    StorageUnavailable,
)
from backends.eos.interfaces import NotAFile

_REFUSED: Final = frozenset({errno.EPERM, errno.EACCES})
_UNSTORABLE: Final = frozenset({errno.ENAMETOOLONG, errno.EILSEQ, errno.ELOOP})


class Missing(BackendError):
    """There is nothing at the path, or a file in the middle of it."""


class Exists(BackendError):
    """There is something at the path already."""


class NotEmpty(BackendError):
    """The directory holds something."""


class InUse(StorageUnavailable):
    """The directory may not be removed: it is a quota node."""


class NoAttribute(BackendError):
    """The attribute that is to be removed is not there."""


class StateRefused(StorageUnavailable):
    """EOS refuses the gateway's own account what it needs: no client is to blame, and none can help it."""


def raise_for(code: int, text: str) -> NoReturn:
    """Raise what a positive errno of EOS means; `text` is EOS's own, for operators."""
    if code in _REFUSED:
        raise PermissionDenied(text)
    if code in (errno.ENOENT, errno.ENOTDIR):
        raise Missing(text)
    if code == errno.EEXIST:
        raise Exists(text)
    if code == errno.EISDIR:
        raise NotAFile(text)
    if code == errno.ENOTEMPTY:
        raise NotEmpty(text)
    if code == errno.EBUSY:
        raise InUse(text)
    if code == errno.ENODATA:
        raise NoAttribute(text)
    if code == errno.EDQUOT:
        raise QuotaExceeded(text)
    if code == errno.ENOSPC:
        raise StorageFull(text)
    if code in _UNSTORABLE:
        raise KeyNotStorable(text)
    raise StorageUnavailable(f"EOS failed with {errno.errorcode.get(code, code)}: {text}")
