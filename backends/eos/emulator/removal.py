"""unlink and rm."""

import errno
import fnmatch

from backends.eos.emulator import paths, recycle, versions
from backends.eos.emulator.entries import Container, Entry, File
from backends.eos.emulator.failures import EosError, NotFound, printable, unable
from backends.eos.emulator.identity import Identity
from backends.eos.emulator.instance import Instance
from backends.eos.emulator.permissions import BROWSE, READ

_WILD = b"*?["


def discard(instance: Instance, file: File, *, recycled: bool = True, replaced: bool = False) -> None:
    """Take a file away: to the recycle bin where the directory asks for it. Nothing is checked.

    Its versions go with it, unless another file takes its name at once.
    """
    parent = instance.namespace.container(file.parent)
    if recycled and not file.name.startswith(paths.ATOMIC_PREFIX) and recycle.wanted(instance, parent):
        recycle.put_away(instance, file, with_versions=not replaced)
    else:
        if not replaced:
            versions.drop_all(instance, file)
        instance.namespace.remove(file)


def unlink(instance: Instance, who: Identity, path: bytes, *, norecycle: bool = False) -> str:
    """Remove a file or a symbolic link, by its exact name."""
    namespace = instance.namespace
    with namespace.transaction():
        try:
            found = namespace.find(path, follow=False)
        except EosError as error:
            raise unable("remove", error.code, path) from error
        if isinstance(found, Container):
            raise unable("remove", errno.EISDIR, path)
        if not instance.access.deletes(who, namespace.container(found.parent), path):
            raise unable("remove", errno.EPERM, path)
        discard(instance, found, recycled=not norecycle)
    return f"info: unlinked file '{printable(path)}'"


def rm(
    instance: Instance,
    who: Identity,
    path: bytes,
    *,
    recursive: bool = False,
    norecycle: bool = False,
    globbing: bool = True,
) -> str:
    """Remove as the console does. With a wildcard in the last component every match goes, whatever `recursive` says."""
    recycled = not (norecycle and who.is_root)
    _, name = paths.split(path)
    with instance.namespace.transaction():
        if globbing and any(character in name for character in _WILD):
            return _remove_matches(instance, who, path, recycled=recycled)
        try:
            found = instance.namespace.find(path, follow=False)
        except NotFound:
            raise EosError(errno.ENOENT, f"error: no such file or directory with path '{printable(path)}'") from None
        if isinstance(found, File):
            _remove_file(instance, who, found, path, recycled=recycled)
            return f"info: deleted file '{printable(path)}'"
        if not recursive:
            raise EosError(errno.EISDIR, f"error: unable to remove file/directory '{printable(path)}'")
        _remove_tree(instance, who, found, path, recycled=recycled)
    # The quotation mark is left open in EOS as well.
    return f"info: deleted directory tree '{printable(path)}"


def _remove_file(instance: Instance, who: Identity, file: File, path: bytes, *, recycled: bool) -> None:
    if not instance.access.deletes(who, instance.namespace.container(file.parent), path):
        raise unable("remove", errno.EPERM, path)
    discard(instance, file, recycled=recycled)


def _remove_matches(instance: Instance, who: Identity, path: bytes, *, recycled: bool) -> str:
    parent_path, pattern = paths.split(path)
    parent = instance.namespace.lookup(parent_path)
    entries: list[Entry] = []
    if isinstance(parent, Container):
        entries = [*instance.namespace.files_of(parent), *instance.namespace.directories_of(parent)]
    matches = [
        entry for entry in entries if fnmatch.fnmatchcase(entry.name, pattern) and not paths.is_hidden(entry.name)
    ]
    if not matches:
        raise EosError(errno.ENOENT, f"error: no such file or directory with path '{printable(path)}'")
    for entry in matches:
        match_path = paths.joined(parent_path, entry.name)
        if isinstance(entry, Container):
            raise EosError(errno.EISDIR, f"error: unable to remove file/directory '{printable(match_path)}'")
        _remove_file(instance, who, entry, match_path, recycled=recycled)
    return f"info: deleted {len(matches)} files matching '{printable(path)}'"


def _remove_tree(instance: Instance, who: Identity, top: Container, path: bytes, *, recycled: bool) -> None:
    """As one unit to the recycle bin, or entry by entry from the bottom, which can stop half-way."""
    namespace, access = instance.namespace, instance.access
    entries = list(namespace.below(top))
    if len(entries) > instance.quirks.find_limit and not who.is_root:
        raise EosError(errno.E2BIG, "error: the directory tree has too many entries")
    if top is namespace.root or not access.deletes(who, namespace.container(top.parent), path):
        raise unable("remove", errno.EPERM, path)
    directories = [top, *(entry for entry in entries if isinstance(entry, Container))]
    if any(instance.quota.is_node(directory) for directory in directories):
        raise unable("remove - this is a quota node", errno.EBUSY, path)
    refused = [
        directory
        for directory in directories
        if not access.looks(who, directory, READ | BROWSE, namespace.path(directory))
        or not access.deletes(who, directory, namespace.path(directory))
    ]
    if recycled and recycle.wanted(instance, top):
        if refused:
            raise unable("remove", errno.EPERM, namespace.path(refused[0]))
        recycle.put_away(instance, top)
        return
    failed: bytes = b""
    for entry in reversed(entries):
        parent = namespace.container(entry.parent)
        kept = isinstance(entry, Container) and not namespace.is_empty(entry)
        if kept or any(parent is directory for directory in refused):
            failed = namespace.path(entry)
        else:
            namespace.remove(entry)
    if failed or not namespace.is_empty(top):
        raise unable("remove", errno.EPERM, failed or path)
    namespace.remove(top)
