"""chmod, chown, extended attributes and access control lists."""

import errno
import stat

from backends.eos.emulator import acl, xattrs
from backends.eos.emulator.entries import Container, Entry, directory_mode
from backends.eos.emulator.failures import EosError, printable, unable
from backends.eos.emulator.identity import Identity
from backends.eos.emulator.instance import Instance


def chmod(instance: Instance, who: Identity, path: bytes, mode: int) -> str:
    """Change the mode; files keep nine bits, set-uid is dropped."""
    with instance.namespace.transaction():
        entry = found(instance, path, "chmod")
        if not instance.access.changes_mode(who, entry):
            raise unable("chmod", errno.EPERM, path)
        if isinstance(entry, Container):
            entry.mode = directory_mode(mode & ~stat.S_ISUID)
        else:
            entry.mode = mode & 0o777
        entry.ctime = instance.clock()
        instance.namespace.changed(entry)
    return f"info: chmod on '{printable(path)}'"


def chown(instance: Instance, who: Identity, path: bytes, uid: int, gid: int) -> str:
    """Change owner and group; the group only by administrators."""
    namespace = instance.namespace
    with namespace.transaction():
        entry = found(instance, path, "chown")
        if not instance.access.changes_owner(who, entry, group=gid != entry.gid):
            raise unable("chown", errno.EPERM, path)
        if isinstance(entry, Container):
            entry.uid, entry.gid = uid, gid
        else:
            with namespace.accounted(entry):
                entry.uid, entry.gid = uid, gid
        entry.ctime = instance.clock()
        namespace.changed(entry)
    return f"info: chown on '{printable(path)}'"


def set_xattrs(
    instance: Instance,
    who: Identity,
    path: bytes,
    values: dict[str, bytes],
    remove: list[str],
    *,
    recursive: bool = False,
    create: bool = False,
) -> str:
    """Set and remove extended attributes; `recursive` includes the directories below."""
    namespace = instance.namespace
    with namespace.transaction():
        entry = found(instance, path, "setxattr")
        entries: list[Entry] = [entry]
        if recursive and isinstance(entry, Container):
            entries += [below for below in namespace.below(entry) if isinstance(below, Container)]
        only_acl = not remove and set(values) <= {"sys.acl"}
        for one in entries:
            if not instance.access.changes_xattrs(who, one, acl_key=only_acl, path=path):
                raise unable("setxattr", errno.EPERM, path)
            namespace.changed(one)
            one.ctime = instance.clock()
            xattrs.apply(one, path, values, remove, create=create, directory=instance.identities.directory)
    return f"info: setxattr {'recursively' if recursive else ''} on '{printable(path)}'"


def list_acl(instance: Instance, who: Identity, path: bytes, *, system: bool) -> str:
    """The rules of a directory. Raises `EosError` with ENODATA when there are none."""
    with instance.namespace.transaction():
        entry = found(instance, path, "acl")
        if not instance.access.looks(who, instance.access.directory_of(entry), 1, path):
            raise unable("acl", errno.EPERM, path)
        text = entry.xattrs.get("sys.acl" if system else "user.acl", b"").decode("utf-8", "replace")
    if not text:
        raise EosError(errno.ENODATA, "error: No data available")
    return text


def modify_acl(
    instance: Instance,
    who: Identity,
    path: bytes,
    rule: str,
    *,
    position: int = 0,
    recursive: bool = False,
    system: bool = True,
) -> str:
    """Change the rules of a directory, and of those below if `recursive`; returns the resulting list."""
    key = "sys.acl" if system else "user.acl"
    with instance.namespace.transaction():
        entry = found(instance, path, "acl")
        if not system and "sys.eval.useracl" not in entry.xattrs:
            raise EosError(errno.EINVAL, "error: unable to set user.acl, missing sys.eval.useracl")
        rules = acl.parsed(entry.xattrs.get(key, b"").decode("utf-8", "replace"))
        text = acl.formatted(acl.modified(rules, rule, position))
        values, remove = ({key: text.encode()}, []) if text else ({}, [key] if key in entry.xattrs else [])
        set_xattrs(instance, who, path, values, remove, recursive=recursive)
        return entry.xattrs.get(key, b"").decode("utf-8", "replace")


def found(instance: Instance, path: bytes, operation: str) -> Entry:
    """The entry at a path, links followed. Raises `EosError` with the operation's text."""
    try:
        return instance.namespace.find(path)
    except EosError as error:
        raise unable(operation, error.code, path) from error
