"""Exec: acl, version, recycle and file."""

import errno
from typing import Final

from backends.eos.emulator import (
    copying,
    directories,
    opening,
    ownership,
    paths,
    recycle,
    renaming,
    versions,
)
from backends.eos.emulator.commands import Command, path_of
from backends.eos.emulator.entries import SECOND, Container, File
from backends.eos.emulator.failures import EosError, printable
from backends.eos.emulator.identity import Identity
from backends.eos.emulator.instance import Instance
from backends.eos.proto import console_pb2 as console
from backends.eos.proto import namespace_pb2 as rpc

_UNKNOWN: Final = "error: command not supported"


def _acl(instance: Instance, who: Identity, request: rpc.NSRequest) -> rpc.NSResponse:
    asked = request.acl
    system = asked.type == rpc.NSRequest.AclRequest.SYS_ACL
    reply = rpc.NSResponse.AclResponse()
    try:
        path = path_of(instance, who, asked.id)
        if asked.cmd == rpc.NSRequest.AclRequest.LIST:
            reply.rule = ownership.list_acl(instance, who, path, system=system)
        elif asked.cmd == rpc.NSRequest.AclRequest.MODIFY:
            reply.rule = ownership.modify_acl(
                instance, who, path, asked.rule, position=asked.position, recursive=asked.recursive, system=system
            )
        else:
            raise EosError(errno.EINVAL, _UNKNOWN)
    except EosError as error:
        reply.code, reply.msg = error.code, error.text
    return rpc.NSResponse(acl=reply)


def _version(instance: Instance, who: Identity, request: rpc.NSRequest) -> rpc.NSResponse:
    asked = request.version
    kinds = rpc.NSRequest.VersionRequest
    reply = rpc.NSResponse.VersionResponse()
    try:
        path = path_of(instance, who, asked.id)
        if asked.cmd == kinds.LIST:
            _list_versions(instance, path, reply)
        elif asked.cmd == kinds.CREATE:
            _create_version(instance, who, path, asked.maxversion, reply)
        elif asked.cmd not in (kinds.PURGE, kinds.GRAB):
            raise EosError(errno.EINVAL, _UNKNOWN)
        else:
            with instance.namespace.transaction():
                file = _own_file(instance, who, path)
                if asked.cmd == kinds.GRAB:
                    versions.grab(instance, file, asked.grabversion.encode("utf-8", "surrogateescape"))
                else:
                    directory = versions.directory_of(instance, file)
                    if directory is not None:
                        versions.purge(instance, directory, max(0, asked.maxversion))
    except EosError as error:
        reply.code, reply.msg = error.code, error.text
    return rpc.NSResponse(version=reply)


def _create_version(
    instance: Instance, who: Identity, path: bytes, keep: int, reply: rpc.NSResponse.VersionResponse
) -> None:
    try:
        reply.msg = copying.create_version(instance, who, path, keep)
    except (EosError, OSError) as error:
        code = error.code if isinstance(error, EosError) else errno.EIO
        # EOS gives this one negative.
        reply.code, reply.msg = -code, f"Creation failed: {error}"


def _list_versions(instance: Instance, path: bytes, reply: rpc.NSResponse.VersionResponse) -> None:
    with instance.namespace.transaction():
        found = instance.namespace.lookup(path)
        directory = versions.directory_of(instance, found) if isinstance(found, File) else None
        for file in versions.ordered(instance, directory) if directory is not None else ():
            seconds, rest = divmod(file.mtime, SECOND)
            reply.versions.add(
                id=rpc.MDId(path=paths.VERSION_PREFIX + paths.split(path)[1] + b"/" + file.name, id=file.id),
                mtime=rpc.Time(sec=seconds, n_sec=rest),
            )


def _own_file(instance: Instance, who: Identity, path: bytes) -> File:
    """The file at a path that somebody may replace."""
    found = ownership.found(instance, path, "access versions")
    if not isinstance(found, File):
        raise EosError(errno.EISDIR, "error: only files have versions")
    if not instance.access.updates(who, instance.namespace.container(found.parent), found, path):
        raise EosError(errno.EPERM, f"error: no permission to change versions of '{printable(path)}'")
    return found


def _recycle(instance: Instance, who: Identity, request: rpc.NSRequest) -> rpc.NSResponse:
    asked = request.recycle
    reply = rpc.NSResponse.RecycleResponse()
    kind = asked.WhichOneof("subcmd")
    try:
        with instance.namespace.transaction():
            if kind == "ls":
                everybody = who.is_root and asked.ls.type == console.RecycleProto.ALL
                _list_bin(instance, None if everybody else who, asked.ls.Maxentries, reply)
            elif kind == "restore":
                reply.msg = recycle.restore(
                    instance,
                    who,
                    asked.restore.Key,
                    force=asked.restore.ForceOrigName,
                    parents=asked.restore.MakePath,
                    earlier=asked.restore.RestoreVersions,
                )
            elif kind == "purge":
                reply.msg = f"success: purged {recycle.purge(instance, who, asked.purge.Key)} entries"
            else:
                raise EosError(errno.EINVAL, _UNKNOWN)
    except EosError as error:
        reply.code, reply.msg = error.code, error.text
    return rpc.NSResponse(recycle=reply)


def _old_recycle(instance: Instance, who: Identity, request: rpc.NSRequest) -> rpc.NSResponse:
    """The form before November 2025."""
    asked = request.old_recycle
    kinds = rpc.NSRequest.RecycleRequest
    current = console.RecycleProto()
    if asked.cmd == kinds.LIST:
        current.ls.Maxentries = asked.listflag.maxentries
        everybody = asked.listflag.display == kinds.ALL
        current.ls.type = console.RecycleProto.ALL if everybody else console.RecycleProto.UID
    elif asked.cmd == kinds.PURGE:
        current.purge.Key = asked.key
    else:
        flags = asked.restoreflag
        current.restore.Key = asked.key
        current.restore.ForceOrigName = flags.force
        current.restore.MakePath = flags.mkpath
        current.restore.RestoreVersions = flags.versions
    return _recycle(instance, who, rpc.NSRequest(recycle=current))


def _list_bin(instance: Instance, who: Identity | None, limit: int, reply: rpc.NSResponse.RecycleResponse) -> None:
    found = recycle.listed(instance, who)
    for item in found[: limit or len(found)]:
        tree = isinstance(item.entry, Container)
        seconds, rest = divmod(item.deleted, SECOND)
        owner = instance.identities.directory.numbered(item.entry.uid)
        size = (
            instance.namespace.accounting.tree_size(item.entry.id)
            if isinstance(item.entry, Container)
            else item.entry.size
        )
        info = rpc.NSResponse.RecycleResponse.RecycleInfo
        reply.recycles.add(
            id=rpc.MDId(path=item.original, id=item.entry.id, type=rpc.CONTAINER if tree else rpc.FILE),
            owner=rpc.RoleId(uid=item.entry.uid, gid=item.entry.gid, username=owner.name if owner else ""),
            dtime=rpc.Time(sec=seconds, n_sec=rest),
            size=size,
            type=info.TREE if tree else info.FILE,
            key=item.key,
        )


def _file(instance: Instance, who: Identity, request: rpc.NSRequest) -> rpc.NSResponse:
    reply = rpc.NSResponse.FileResponse()
    try:
        reply.msg = _file_command(instance, who, request.file)
    except EosError as error:
        reply.code, reply.msg = error.code, error.text
    return rpc.NSResponse(file=reply)


def _file_command(instance: Instance, who: Identity, asked: console.FileProto) -> str:
    wanted = rpc.MDId(path=asked.md.path, id=asked.md.id, ino=asked.md.ino)
    kind = asked.WhichOneof("FileCommand")
    path = path_of(instance, who, wanted)
    if kind == "copy":
        target = _path(asked.copy.dst, who)
        return copying.copy(instance, who, path, target, force=asked.copy.force, clone=asked.copy.clone)
    if kind == "rename":
        return renaming.rename(instance, who, path, _path(asked.rename.new_path, who), overwrite=True)
    if kind == "touch":
        return _file_touch(instance, who, path, asked.touch)
    if kind == "symlink":
        return directories.symlink(instance, who, path, asked.symlink.target_path)
    if kind == "version" and not asked.version.create_folder:
        return copying.create_version(instance, who, path, asked.version.purge_version)
    if kind == "versions" and asked.versions.grab_version:
        with instance.namespace.transaction():
            versions.grab(instance, _own_file(instance, who, path), asked.versions.grab_version.encode())
        return f"info: restored version '{asked.versions.grab_version}'"
    raise EosError(errno.EINVAL, _UNKNOWN)


def _file_touch(instance: Instance, who: Identity, path: bytes, asked: console.FileTouchProto) -> str:
    """With a layout and a place, unlike the command `touch`; an existing file is emptied by `truncate`."""
    if asked.parents:
        directories.mkdir(instance, who, paths.split(path)[0], 0o755, recursive=True)
    if asked.nolayout or (instance.namespace.lookup(path) is not None and not asked.truncate):
        return directories.touch(instance, who, path)
    opening.open_for_writing(instance, who, path, opening.WriteRequest())
    return f"info: touched file: '{printable(path)}'"


def _path(text: str, who: Identity) -> bytes:
    return paths.normalised(text.encode("utf-8", "surrogateescape"), privileged=who.is_root)


COMMANDS: Final[dict[str, Command]] = {
    "acl": _acl,
    "version": _version,
    "recycle": _recycle,
    "old_recycle": _old_recycle,
    "file": _file,
}
