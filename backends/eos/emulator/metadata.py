"""Entries as the namespace service sends them, and the selection of entries."""

import re

from backends.eos.emulator import layouts
from backends.eos.emulator.entries import SECOND, Container, Entry, File
from backends.eos.emulator.instance import Instance
from backends.eos.proto import namespace_pb2 as rpc


def response(instance: Instance, entry: Entry) -> rpc.MDResponse:
    """The message for an entry."""
    if isinstance(entry, Container):
        return rpc.MDResponse(type=rpc.CONTAINER, cmd=_container(instance, entry))
    return rpc.MDResponse(type=rpc.FILE, fmd=_file(instance, entry))


def _time(nanoseconds: int) -> rpc.Time:
    seconds, rest = divmod(nanoseconds, SECOND)
    return rpc.Time(sec=seconds, n_sec=rest)


def _container(instance: Instance, entry: Container) -> rpc.ContainerMdProto:
    files, containers = instance.namespace.counts(entry)
    return rpc.ContainerMdProto(
        id=entry.id,
        parent_id=entry.parent,
        uid=entry.uid,
        gid=entry.gid,
        mode=entry.mode,
        tree_size=instance.namespace.accounting.tree_size(entry.id),
        name=entry.name or b"/",
        ctime=_time(entry.ctime),
        mtime=_time(entry.mtime),
        stime=_time(entry.stime),
        xattrs=entry.xattrs,
        path=instance.namespace.path(entry),
        etag=layouts.container_etag(entry),
        inode=entry.inode,
        files=files,
        containers=containers,
    )


def _file(instance: Instance, entry: File) -> rpc.FileMdProto:
    path = instance.namespace.path(entry)
    entry = _as_seen(instance, entry)
    default = rpc.Checksum(value=entry.checksum, type=layouts.parsed(entry.layout).checksum)
    alternatives = [rpc.Checksum(value=text.encode(), type=kind) for kind, text in entry.altxs.items()]
    return rpc.FileMdProto(
        id=entry.id,
        cont_id=entry.parent,
        uid=entry.uid,
        gid=entry.gid,
        size=entry.size,
        layout_id=entry.layout,
        flags=entry.mode,
        name=entry.name,
        link_name=entry.link,
        ctime=_time(entry.ctime),
        mtime=_time(entry.mtime),
        checksum=default,
        checksums=[default, *alternatives],
        locations=entry.locations,
        unlink_locations=entry.unlinked,
        xattrs=entry.xattrs,
        path=path,
        etag=layouts.file_etag(entry),
        inode=entry.inode,
    )


def _as_seen(instance: Instance, entry: File) -> File:
    """The file, or what a fault still shows of it."""
    if not instance.stale:
        return entry
    until, before = instance.stale.get(entry.id, (0, entry))
    if until > instance.clock():
        before.name, before.parent = entry.name, entry.parent
        return before
    instance.stale.pop(entry.id, None)
    return entry


class Selection:
    """A compiled MDSelection; without `select` it takes everything."""

    def __init__(self, wanted: rpc.MDSelection) -> None:
        self._wanted = wanted if wanted.select else None
        self._names: dict[type[Entry], re.Pattern[bytes] | None] = {}
        self._impossible = False
        if self._wanted is None:
            return
        for kind, expression in ((File, wanted.regexp_filename), (Container, wanted.regexp_dirname)):
            try:
                self._names[kind] = re.compile(expression, re.DOTALL) if expression else None
            except re.error:
                # EOS filters everything away, without an error.
                self._impossible = True

    def takes(self, instance: Instance, entry: Entry) -> bool:
        """Whether the entry passes all tests."""
        wanted = self._wanted
        if wanted is None:
            return True
        if self._impossible or not self._takes_common(wanted, entry):
            return False
        if isinstance(entry, Container):
            files, containers = instance.namespace.counts(entry)
            tree_size = instance.namespace.accounting.tree_size(entry.id)
            return (
                not wanted.HasField("checksum")
                and not wanted.layoutid
                and not wanted.symlink
                and not wanted.HasField("size")
                and _within(wanted, "stime", entry.stime // SECOND)
                and _within(wanted, "treesize", tree_size)
                and _within(wanted, "children", files + containers)
            )
        return self._takes_file(wanted, entry)

    def _takes_common(self, wanted: rpc.MDSelection, entry: Entry) -> bool:
        name = self._names[type(entry)]
        mode = entry.mode
        return (
            _within(wanted, "ctime", entry.ctime // SECOND)
            and _within(wanted, "mtime", entry.mtime // SECOND)
            # As in EOS, where this filter looks at the mtime.
            and _within(wanted, "locations", entry.mtime // SECOND)
            and (not wanted.flags or wanted.flags == mode)
            and (not wanted.owner or wanted.owner == entry.uid)
            and (not wanted.group or wanted.group == entry.gid)
            and (not wanted.owner_root or entry.uid == 0)
            and (not wanted.group_root or entry.gid == 0)
            and (name is None or name.search(entry.name) is not None)
            and all(
                key in entry.xattrs and (not value or entry.xattrs[key] == value) for key, value in wanted.xattr.items()
            )
        )

    @staticmethod
    def _takes_file(wanted: rpc.MDSelection, entry: File) -> bool:
        kind = layouts.parsed(entry.layout).checksum
        return (
            _within(wanted, "size", entry.size)
            and not any(wanted.HasField(name) for name in ("stime", "treesize", "children"))
            and (not wanted.layoutid or wanted.layoutid == entry.layout)
            and (not wanted.symlink or bool(entry.link))
            and (not wanted.checksum.type or wanted.checksum.type == kind)
            and (not wanted.checksum.value or wanted.checksum.value == entry.checksum)
        )


def _within(wanted: rpc.MDSelection, name: str, value: int) -> bool:
    if not wanted.HasField(name):
        return True
    limit: rpc.Limit = getattr(wanted, name)
    if limit.zero:
        return value == 0
    return bool(limit.min <= value and (not limit.max or value <= limit.max))
