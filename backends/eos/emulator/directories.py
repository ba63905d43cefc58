"""mkdir, rmdir, touch and symlink."""

import errno
import stat

from backends.eos.emulator import ownership, paths, xattrs
from backends.eos.emulator.entries import Container, Entry, File
from backends.eos.emulator.failures import EosError, NotFound, printable, unable
from backends.eos.emulator.identity import Identity
from backends.eos.emulator.instance import Instance


def mkdir(instance: Instance, who: Identity, path: bytes, mode: int, *, recursive: bool) -> str:
    """Make a directory, then chmod it to `mode`; `recursive` makes those above too and takes an existing one.

    The chmod is done to an existing directory as well, so it fails for one of somebody else's. Returns the text.
    """
    parent_path, name = paths.split(path)
    with instance.namespace.transaction():
        parent = _parent(instance, who, path, parent_path, recursive=recursive)
        found = instance.namespace.child(parent, name) if name else instance.namespace.root
        if found is not None and (not recursive or not isinstance(found, Container)):
            raise unable("mkdir", errno.EEXIST, path)
        if found is None:
            make(instance, who, parent, name)
        # Whom `sys.owner.auth` makes the owner is the owner for the chmod, too.
        ownership.chmod(instance, instance.access.acting(who, parent), path, mode)
    return f"info: created directory '{printable(path)}'"


def make(instance: Instance, who: Identity, parent: Container, name: bytes) -> Container:
    """A new directory with its parent's mode and attributes; nothing is checked."""
    owner = instance.access.acting(who, parent)
    attributes = {} if name.startswith(paths.VERSION_PREFIX) else xattrs.inherited(parent)
    now = instance.clock()
    attributes["sys.eos.btime"] = b"%d.%09d" % divmod(now, 1_000_000_000)
    return instance.namespace.add_container(parent, name, owner.uid, owner.gid, parent.mode & ~stat.S_ISVTX, attributes)


def _parent(instance: Instance, who: Identity, path: bytes, parent_path: bytes, *, recursive: bool) -> Container:
    """The directory to make `path` in, made itself if need be. Rights are asked of the lowest that exists."""
    namespace = instance.namespace
    missing: list[bytes] = []
    at = parent_path
    while True:
        try:
            found = namespace.directory(at)
            break
        except NotFound:
            if not recursive:
                raise unable("mkdir", errno.ENOENT, path) from None
            at, name = paths.split(at)
            missing.append(name)
        except EosError as error:
            raise unable("mkdir", error.code, path) from error
    if not instance.access.creates(who, found, path):
        if instance.access.forbids_writing(who, found):
            raise unable("create directory - forbidden by ACL", errno.EPERM, path)
        operation = "create parent directory" if missing else "access(XW) parent directory"
        raise unable(operation, errno.EPERM, at)
    for name in reversed(missing):
        found = make(instance, who, found, name)
    return found


def rmdir(instance: Instance, who: Identity, path: bytes) -> str:
    """Remove an empty directory."""
    namespace = instance.namespace
    with namespace.transaction():
        found = _found(instance, path, "rmdir", follow=False)
        if not isinstance(found, Container):
            raise unable("rmdir", errno.ENOENT, path)
        if instance.quota.is_node(found):
            raise unable("rmdir - this is a quota node", errno.EBUSY, path)
        parent = namespace.container(found.parent)
        if found is namespace.root or not instance.access.deletes(who, parent, path):
            raise unable("rmdir", errno.EPERM, path)
        if not namespace.is_empty(found):
            raise unable("rmdir - Directory not empty", errno.ENOTEMPTY, path)
        namespace.remove(found)
    return f"info: deleted directory '{printable(path)}'"


def touch(instance: Instance, who: Identity, path: bytes) -> str:
    """Make a file without layout and replicas, or set the times of an existing one to now."""
    namespace = instance.namespace
    with namespace.transaction():
        parent_path, name = paths.split(path)
        found = _found_or_none(instance, path, "touch")
        if isinstance(found, Container):
            raise EosError(errno.EISDIR, "")
        parent = namespace.container(found.parent) if found is not None else _directory(instance, parent_path, path)
        if not instance.access.creates(who, parent, path):
            raise unable("touch", errno.EPERM, path)
        if found is None:
            owner = instance.access.acting(who, parent)
            namespace.add_file(parent, name, owner.uid, owner.gid, 0)
        else:
            found.mtime = found.ctime = instance.clock()
            namespace.changed(found)
    return f"info: touched file: '{printable(path)}'"


def symlink(instance: Instance, who: Identity, path: bytes, target: bytes) -> str:
    """Make a symbolic link at `path`."""
    namespace = instance.namespace
    with namespace.transaction():
        parent_path, name = paths.split(path)
        parent = _directory(instance, parent_path, path)
        if not name or namespace.child(parent, name) is not None:
            raise unable("symlink", errno.EEXIST, path)
        if not target or b"\0" in target:
            raise unable("symlink", errno.EINVAL, path)
        if not instance.access.creates(who, parent, path):
            raise unable("symlink", errno.EPERM, path)
        owner = instance.access.acting(who, parent)
        made = namespace.add_file(parent, name, owner.uid, owner.gid, 0o777)
        made.link = target
    return f"info: symlinked '{printable(path)}' to '{printable(target)}'"


def _found(instance: Instance, path: bytes, operation: str, *, follow: bool) -> Entry:
    try:
        return instance.namespace.find(path, follow=follow)
    except EosError as error:
        raise unable(operation, error.code, path) from error


def _found_or_none(instance: Instance, path: bytes, operation: str) -> Container | File | None:
    try:
        return _found(instance, path, operation, follow=True)
    except EosError as error:
        if error.code == errno.ENOENT:
            return None
        raise


def _directory(instance: Instance, parent_path: bytes, path: bytes) -> Container:
    try:
        return instance.namespace.directory(parent_path)
    except EosError as error:
        raise unable("access parent directory", error.code, path) from error
