"""What FSTs tell the MGM when they close a file: commits, and replicas that are dropped."""

import copy
import errno
import threading
from dataclasses import dataclass, field, replace

from backends.eos.emulator import removal, versions
from backends.eos.emulator.capabilities import Capability
from backends.eos.emulator.entries import SECOND, File
from backends.eos.emulator.failures import EosError, unable_file
from backends.eos.emulator.faults import Call
from backends.eos.emulator.instance import Instance


@dataclass(frozen=True, slots=True)
class Written:
    """What was written. `digest` is None when this close computed no checksum; `mtime` is in nanoseconds."""

    fsids: list[int]
    size: int
    mtime: int
    digest: bytes | None = None
    altxs: dict[str, str] = field(default_factory=dict)


def commit(instance: Instance, capability: Capability, written: Written) -> File:
    """Bring the namespace up to date; an atomic upload gets its name. Returns a copy of the file as it is then.

    Raises `EosError`: ENOENT when the file was deleted meanwhile, EREMCHG when a later atomic upload overtook this
    one, EIO by a fault.
    """
    namespace = instance.namespace
    call = Call("commit", capability.path, capability.uid)
    if instance.faults.take("commit_error", call):
        raise EosError(errno.EIO, "Unable to commit; injected failure")
    with namespace.transaction():
        file = namespace.file(capability.fid)
        if capability.atomic and _overtaken(instance, file, capability):
            raise unable_file("commit - overlapping atomic upload", errno.EREMCHG, capability.path)
        stale = instance.faults.take("stale_stat", call)
        if stale is not None:
            until = instance.clock() + int(stale.parameters["seconds"] * SECOND)
            instance.stale[file.id] = (until, copy.deepcopy(file))
        written = _falsified(instance, call, written)
        with namespace.accounted(file):
            file.size = written.size
        file.mtime = written.mtime
        file.locations += [fsid for fsid in written.fsids if fsid not in file.locations]
        file.xattrs.pop("sys.tmp.etag", None)
        if written.digest is not None:
            file.checksum = written.digest
            _set_altxs(instance, file, written.altxs, call)
        if capability.atomic:
            _reveal(instance, file, capability)
        namespace.changed(file)
        return copy.deepcopy(file)


def _falsified(instance: Instance, call: Call, written: Written) -> Written:
    faults = instance.faults
    short = faults.take("commit_short", call)
    if short is not None:
        written = replace(written, size=max(0, written.size - short.parameters["bytes"]))
    if faults.take("checksum_missing", call):
        written = replace(written, digest=None)
    if faults.take("altxs_missing", call):
        written = replace(written, altxs={})
    return written


def _set_altxs(instance: Instance, file: File, altxs: dict[str, str], call: Call) -> None:
    late = instance.faults.take("altxs_late", call)
    delay = late.parameters["seconds"] if late is not None else instance.quirks.altxs_delay
    if not delay or not altxs:
        file.altxs = altxs
        return
    file.altxs = {}
    digest = file.checksum

    def arrive() -> None:
        with instance.namespace.transaction():
            try:
                found = instance.namespace.file(file.id)
            except EosError:
                return
            if found.checksum == digest and not instance.stopping.is_set():
                found.altxs = altxs
                instance.namespace.changed(found)

    timer = threading.Timer(delay, arrive)
    timer.daemon = True
    timer.start()


def _overtaken(instance: Instance, file: File, capability: Capability) -> bool:
    """Whether somebody opened the same name for an atomic upload later: ids only grow."""
    namespace = instance.namespace
    parent = namespace.container(file.parent)
    visible = namespace.child(parent, capability.atomic)
    if isinstance(visible, File) and visible.id > file.id:
        return True
    return any(fid > file.id for fid in instance.uploads.get((parent.id, capability.atomic), ()))


def _forget(instance: Instance, file: File, capability: Capability) -> None:
    """An atomic upload ended."""
    key = (file.parent, capability.atomic)
    under_way = instance.uploads.get(key)
    if under_way is not None:
        under_way.discard(file.id)
        if not under_way:
            del instance.uploads[key]


def _reveal(instance: Instance, file: File, capability: Capability) -> None:
    """Swap an atomic upload in for what has its name."""
    namespace = instance.namespace
    parent = namespace.container(file.parent)
    in_place = namespace.child(parent, capability.atomic)
    if isinstance(in_place, File):
        if capability.versions:
            versions.keep(instance, in_place, capability.versions)
        else:
            removal.discard(instance, in_place, replaced=True)
    elif in_place is not None:
        raise unable_file("commit - the name is a directory now", errno.EISDIR, capability.path)
    _forget(instance, file, capability)
    ctime = file.ctime
    namespace.move(file, parent, capability.atomic)
    file.ctime = ctime


def drop(instance: Instance, capability: Capability, fsid: int | None = None) -> None:
    """Remove one replica, or all of them; with the last one the entry goes."""
    namespace = instance.namespace
    with namespace.transaction():
        try:
            file = namespace.file(capability.fid)
        except EosError:
            instance.storage.remove(capability.fid, fsid)
            return
        if fsid is not None:
            file.locations = [number for number in file.locations if number != fsid]
            instance.storage.remove(file.id, fsid)
            namespace.changed(file)
            if file.locations:
                return
        _forget(instance, file, capability)
        namespace.remove(file)
