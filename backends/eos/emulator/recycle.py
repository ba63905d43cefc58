"""The recycle bin: `/recycle/uid:<uid>/YYYY/MM/DD/<n>/<path with #:# for />.<id in 16 hex digits>[.d]`."""

import errno
import re
import time
from dataclasses import dataclass
from typing import Final

from backends.eos.emulator import paths, versions
from backends.eos.emulator.entries import SECOND, Container, Entry, File
from backends.eos.emulator.failures import EosError
from backends.eos.emulator.identity import Identity
from backends.eos.emulator.instance import Instance
from backends.eos.emulator.xattrs import recyclable

BIN: Final = b"recycle"
_SEPARATOR: Final = b"#:#"
_NAME: Final = re.compile(rb"(.*)\.([0-9a-f]{16})(\.d)?", re.DOTALL)
# Entries in one of the numbered directories.
_SHELF_SIZE: Final = 10_000
_VERSIONS_KEY: Final = "sys.recycle.version.key"


@dataclass(frozen=True, slots=True)
class Recycled:
    """One entry of the bin."""

    entry: Entry
    key: str
    original: bytes
    deleted: int


def wanted(instance: Instance, container: Container) -> bool:
    """Whether what is deleted from this directory is kept in the bin; the bin's own entries are not."""
    if not recyclable(container):
        return False
    top = instance.namespace.child(instance.namespace.root, BIN)
    return all(above is not top for above in instance.namespace.ancestors(container))


def put_away(instance: Instance, entry: Entry, *, with_versions: bool = True) -> str:
    """Move a file, with its versions, or a whole tree to the bin; returns the key."""
    namespace = instance.namespace
    original = namespace.path(entry).rstrip(b"/")
    if isinstance(entry, File) and with_versions:
        earlier = versions.directory_of(instance, entry)
        if earlier is not None:
            entry.xattrs[_VERSIONS_KEY] = put_away(instance, earlier).encode()
    shelf = _shelf(instance, entry.uid)
    suffix = b".d" if isinstance(entry, Container) else b""
    key = f"{entry.id:016x}{suffix.decode()}"
    namespace.move(entry, shelf, original.replace(b"/", _SEPARATOR) + b"." + key.encode())
    return key


def listed(instance: Instance, who: Identity | None) -> list[Recycled]:
    """Everything in the bin of somebody, or in the whole bin."""
    namespace = instance.namespace
    top = namespace.child(namespace.root, BIN)
    if not isinstance(top, Container):
        return []
    found: list[Recycled] = []
    for owner in namespace.directories_of(top):
        if who is None or owner.name == b"uid:%d" % who.uid:
            for year in namespace.directories_of(owner):
                for month in namespace.directories_of(year):
                    for day in namespace.directories_of(month):
                        for shelf in namespace.directories_of(day):
                            found += _entries(instance, shelf)
    return found


def find(instance: Instance, who: Identity, key: str) -> Recycled:
    """The entry with this key (`0123456789abcdef`, with `.d` or `pxid:` for trees). Raises `EosError` with ENOENT."""
    kind, _, number = key.rpartition(":")
    for found in listed(instance, None if who.is_root else who):
        tree = isinstance(found.entry, Container)
        names = {found.key, found.key.removesuffix(".d")}
        if number in names and (not kind or (kind == "pxid") is tree):
            return found
    raise EosError(errno.ENOENT, f"error: cannot find object referenced by recycle-key={key}")


def restore(
    instance: Instance, who: Identity, key: str, *, force: bool = False, parents: bool = False, earlier: bool = False
) -> str:
    """Put an entry back to where it was; `force` renames what is there now, `parents` makes missing directories.

    Returns the text for the caller. Raises `EosError`.
    """
    namespace = instance.namespace
    found = find(instance, who, key)
    parent_path, name = paths.split(found.original)
    parent = namespace.lookup(parent_path)
    if parent is None and parents:
        parent = _planted(instance, found.entry, parent_path)
    if not isinstance(parent, Container):
        raise EosError(errno.ENOENT, "error: you have to recreate the restore directory before restoring")
    in_place = namespace.child(parent, name)
    if in_place is not None:
        if not force:
            raise EosError(errno.EEXIST, "error: the original path exists already, use force-original-name")
        namespace.move(in_place, parent, in_place.name + b".%x" % in_place.inode)
    versions_key = found.entry.xattrs.pop(_VERSIONS_KEY, b"").decode()
    namespace.move(found.entry, parent, name)
    if earlier and versions_key:
        restore(instance, who, versions_key, force=force)
    return f"success: restored path={found.original.decode('utf-8', 'replace')}"


def purge(instance: Instance, who: Identity, key: str = "") -> int:
    """Delete one entry of the bin, or all of the caller's; returns how many."""
    entries = [find(instance, who, key)] if key else listed(instance, None if who.is_root else who)
    for found in entries:
        remove_tree(instance, found.entry)
    return len(entries)


def remove_tree(instance: Instance, entry: Entry) -> None:
    """Delete an entry with all that is below it, for good."""
    if isinstance(entry, Container):
        for below in reversed(list(instance.namespace.below(entry))):
            instance.namespace.remove(below)
    instance.namespace.remove(entry)


def _entries(instance: Instance, shelf: Container) -> list[Recycled]:
    entries: list[Entry] = [*instance.namespace.files_of(shelf), *instance.namespace.directories_of(shelf)]
    result = []
    for entry in entries:
        match = _NAME.fullmatch(entry.name)
        if match is not None:
            key = (match[2] + (match[3] or b"")).decode()
            result.append(Recycled(entry, key, match[1].replace(_SEPARATOR, b"/"), entry.ctime))
    return result


def _shelf(instance: Instance, uid: int) -> Container:
    now = time.gmtime(instance.clock() // SECOND)
    names = [BIN, b"uid:%d" % uid, b"%04d" % now.tm_year, b"%02d" % now.tm_mon, b"%02d" % now.tm_mday]
    directory = instance.namespace.root
    for name in names:
        directory = _entered(instance, directory, name)
    number = 0
    while True:
        shelf = _entered(instance, directory, b"%d" % number)
        if sum(instance.namespace.counts(shelf)) < _SHELF_SIZE:
            return shelf
        number += 1


def _entered(instance: Instance, parent: Container, name: bytes) -> Container:
    found = instance.namespace.child(parent, name)
    if isinstance(found, Container):
        return found
    return instance.namespace.add_container(parent, name, 0, 0, 0o700, {})


def _planted(instance: Instance, entry: Entry, path: bytes) -> Container:
    directory = instance.namespace.root
    for name in filter(None, path.split(b"/")):
        found = instance.namespace.child(directory, name)
        if isinstance(found, File):
            raise EosError(errno.ENOTDIR, "error: a part of the original path is a file")
        if found is None:
            found = instance.namespace.add_container(directory, name, entry.uid, entry.gid, directory.mode, {})
        directory = found
    return directory
