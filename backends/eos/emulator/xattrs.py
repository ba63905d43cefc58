"""Rules of extended attributes."""

import errno
from typing import Final

from backends.eos.emulator import acl
from backends.eos.emulator.entries import Container, Entry
from backends.eos.emulator.failures import EosError, unable
from backends.eos.emulator.identity import Directory

ACL_KEYS: Final = frozenset({"sys.acl", "user.acl"})


def value_of(key: str, value: bytes, directory: Directory) -> bytes:
    """A value as it is stored: cut at the first NUL; lists checked and their names turned into ids.

    Raises `EosError` with EINVAL for a list that does not parse.
    """
    value = value.partition(b"\0")[0]
    if key in ACL_KEYS and value:
        rules = acl.numeric(acl.parsed(value.decode("utf-8", "replace")), directory.uid_of, directory.gid_of)
        return acl.formatted(rules).encode()
    return value


def apply(
    entry: Entry, path: bytes, values: dict[str, bytes], remove: list[str], *, create: bool, directory: Directory
) -> None:
    """Set attributes one by one, then delete others. Those set before a failure stay set.

    Raises `EosError`: EEXIST for `create` of one that exists, ENODATA for the deletion of one that does not.
    """
    for key, value in values.items():
        if not key:
            raise unable("setxattr", errno.EINVAL, path)
        if create and key in entry.xattrs:
            raise unable("setxattr", errno.EEXIST, path)
        entry.xattrs[key] = value_of(key, value, directory)
    for key in remove:
        if key not in entry.xattrs:
            raise unable("rmxattr", errno.ENODATA, path)
        del entry.xattrs[key]


def inherited(parent: Container) -> dict[str, bytes]:
    """What a new directory takes from its parent: everything but the parent's own birth time."""
    return {key: value for key, value in parent.xattrs.items() if key != "sys.eos.btime"}


def from_query(text: str) -> dict[str, bytes]:
    """The attributes of `eos.xattr=user.a=1#user.b=2`; whatever is not `user.` is left out."""
    pairs = (part.partition("=") for part in text.split("#"))
    return {
        key: value.encode("utf-8", "surrogateescape")
        for key, found, value in pairs
        if found and key.startswith("user.") and key != "user.acl"
    }


def number(container: Container, name: str) -> int:
    """The number in an attribute `sys.NAME`, or in `user.NAME`; 0 when there is none."""
    for key in (f"sys.{name}", f"user.{name}"):
        if key in container.xattrs:
            text = container.xattrs[key]
            return int(text) if text.isdigit() else 0
    return 0


def forced(container: Container, name: str) -> str:
    """A policy of the directory: `sys.forced.NAME`, or `user.forced.NAME`; empty when there is none."""
    value = container.xattrs.get(f"sys.forced.{name}")
    if value is None and "sys.forced.nouserlayout" not in container.xattrs:
        value = container.xattrs.get(f"user.forced.{name}")
    return "" if value is None else value.decode("utf-8", "replace")


def recyclable(container: Container) -> bool:
    """Whether what is deleted from this directory goes to the recycle bin."""
    return "sys.recycle" in container.xattrs


def not_found(path: bytes) -> EosError:
    """The answer for attributes of something missing."""
    return unable("setxattr", errno.ENOENT, path)
