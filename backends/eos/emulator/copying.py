"""Copies made inside the instance: console and gRPC `file copy`, and new versions."""

import errno

from backends.eos.emulator import committing, layouts, opening, paths, versions
from backends.eos.emulator.capabilities import Capability
from backends.eos.emulator.entries import Container, File
from backends.eos.emulator.failures import EosError, printable
from backends.eos.emulator.identity import Identity
from backends.eos.emulator.instance import Instance


def copy(
    instance: Instance, who: Identity, source: bytes, target: bytes, *, force: bool = False, clone: bool = False
) -> str:
    """Copy a file's data to a new file, with the layout of the target's directory and without its attributes.

    `force` overwrites; `clone` keeps the source's times, and shares nothing. Returns once the data is copied.
    """
    in_place = instance.namespace.lookup(target)
    if isinstance(in_place, Container):
        target = paths.joined(target, paths.split(source)[1])
        in_place = instance.namespace.lookup(target)
    if in_place is not None and not force:
        raise EosError(errno.EEXIST, f"error: destination file exists '{printable(target)}'")
    file, reading = opening.open_for_reading(instance, who, source)
    capability = opening.open_for_writing(instance, who, target, opening.WriteRequest(size=file.size))
    try:
        _transfer(instance, reading, capability)
    except (OSError, EosError) as error:
        committing.drop(instance, capability)
        raise EosError(errno.EIO, f"error: copy failed: {error}") from error
    if clone:
        with instance.namespace.transaction():
            made = instance.namespace.file(capability.fid)
            made.ctime, made.mtime = file.ctime, file.mtime
            instance.namespace.changed(made)
    return f"success: copied '{printable(source)}' => '{printable(target)}'"


def _transfer(instance: Instance, reading: Capability | None, capability: Capability) -> None:
    kind = layouts.parsed(capability.layout).checksum
    checksum = layouts.hasher(kind)
    alternatives = {name: found for name in capability.altxs if (found := layouts.hasher(name)) is not None}
    size = 0
    replicas = [instance.storage.open(fsid, capability.fid, write=True) for fsid in capability.fsids]
    source = instance.storage.open(reading.fsids[0], reading.fid) if reading is not None else None
    try:
        for block in source.blocks() if source is not None else ():
            for replica in replicas:
                replica.write(block, size)
            for running in (checksum, *alternatives.values()):
                if running is not None:
                    running.update(block)
            size += len(block)
        mtime = replicas[0].modified()
    finally:
        for opened in (*replicas, *([source] if source is not None else [])):
            opened.close()
    if reading is None:
        return
    digest = layouts.committed(checksum.digest()) if checksum is not None else b""
    altxs = {name: running.digest().hex() for name, running in alternatives.items()}
    committing.commit(instance, capability, committing.Written(capability.fsids, size, mtime, digest, altxs))


def create_version(instance: Instance, who: Identity, path: bytes, keep: int) -> str:
    """Copy a file as it is now among its versions; `keep` 0 or less keeps all of them."""
    namespace = instance.namespace
    found = namespace.find(path)
    if not isinstance(found, File):
        raise EosError(errno.EISDIR, "error: only files have versions")
    with namespace.transaction():
        parent = namespace.container(found.parent)
        if not instance.access.updates(who, parent, found, path):
            raise EosError(errno.EPERM, "error: no permission to create a version")
        directory = versions.directory_of(instance, found)
        if directory is None:
            name = paths.VERSION_PREFIX + found.name
            directory = namespace.add_container(parent, name, parent.uid, parent.gid, parent.mode, {})
        made = namespace.add_file(directory, versions.version_name(found), found.uid, found.gid, found.mode)
        made.layout, made.size = found.layout, 0
        fsids = list(found.locations)
    for fsid in fsids:
        source, target = instance.storage.open(fsid, found.id), instance.storage.open(fsid, made.id, write=True)
        try:
            offset = 0
            for block in source.blocks():
                target.write(block, offset)
                offset += len(block)
        finally:
            source.close()
            target.close()
    with namespace.transaction():
        with namespace.accounted(made):
            made.size = found.size
        made.checksum, made.altxs, made.locations, made.mtime = found.checksum, found.altxs, fsids, found.mtime
        if keep > 0:
            versions.purge(instance, directory, keep)
    return f"info: created version of '{printable(path)}'"
