"""rename, with EOS's way of moving into directories."""

import errno

from backends.eos.emulator import paths, removal, versions
from backends.eos.emulator.entries import Container, Entry, File
from backends.eos.emulator.failures import EosError, printable, unable
from backends.eos.emulator.identity import Identity
from backends.eos.emulator.instance import Instance


def rename(instance: Instance, who: Identity, source: bytes, target: bytes, *, overwrite: bool = False) -> str:
    """Give an entry another path. A target that is a directory is moved into; an existing file is EEXIST.

    `overwrite` removes an existing target file first, as the console's `file rename` and HTTP do.
    """
    namespace = instance.namespace
    text = f"info: renamed '{printable(source)}' to '{printable(target)}'"
    with namespace.transaction():
        try:
            entry = namespace.find(source, follow=False)
        except EosError as error:
            raise unable("rename - source access failure", error.code, source) from error
        if source == target:
            return text
        in_place = namespace.lookup(target, follow=False)
        if isinstance(in_place, Container) and in_place is not entry:
            target = paths.joined(target, entry.name)
            in_place = namespace.lookup(target, follow=False)
        if in_place is entry:
            return text
        parent = _target_parent(instance, target)
        _check(instance, who, entry, source, parent, target)
        if in_place is not None:
            _make_room(instance, in_place, target, overwrite=overwrite)
        earlier = versions.directory_of(instance, entry) if isinstance(entry, File) else None
        name = paths.split(target)[1]
        namespace.move(entry, parent, name)
        if earlier is not None:
            versions_of_target = namespace.child(parent, paths.VERSION_PREFIX + name)
            if versions_of_target is None:
                namespace.move(earlier, parent, paths.VERSION_PREFIX + name)
    return text


def _target_parent(instance: Instance, target: bytes) -> Container:
    try:
        return instance.namespace.directory(paths.split(target)[0])
    except EosError as error:
        raise unable("rename - target access failure", error.code, target) from error


def _check(instance: Instance, who: Identity, entry: Entry, source: bytes, parent: Container, target: bytes) -> None:
    namespace = instance.namespace
    if isinstance(entry, Container):
        if any(above is entry for above in namespace.ancestors(parent)):
            raise unable("rename - the target is below the source", errno.EINVAL, target)
        nodes = [entry, *(below for below in namespace.below(entry) if isinstance(below, Container))]
        if any(instance.quota.is_node(node) for node in nodes):
            raise unable("rename - the source holds a quota node", errno.EACCES, source)
    if not instance.access.deletes(who, namespace.container(entry.parent), source):
        raise unable("rename", errno.EPERM, source)
    if not instance.access.creates(who, parent, target):
        raise unable("rename", errno.EPERM, target)


def _make_room(instance: Instance, in_place: Entry, target: bytes, *, overwrite: bool) -> None:
    if isinstance(in_place, Container):
        if not instance.namespace.is_empty(in_place):
            raise unable("rename - target directory is not empty", errno.ENOTEMPTY, target)
        instance.namespace.remove(in_place)
    elif overwrite:
        removal.discard(instance, in_place)
    else:
        raise unable("rename - target file name exists", errno.EEXIST, target)
