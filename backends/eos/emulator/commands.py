"""Exec: the commands that change the namespace, each with its place in the reply."""

import errno
from collections.abc import Callable
from typing import Final

from backends.eos.emulator import directories, lookups, ownership, paths, removal, renaming
from backends.eos.emulator.failures import EosError, NotFound
from backends.eos.emulator.faults import Call
from backends.eos.emulator.identity import Identity
from backends.eos.emulator.instance import Instance
from backends.eos.proto import namespace_pb2 as rpc

Command = Callable[[Instance, Identity, rpc.NSRequest], rpc.NSResponse]


def done(text: str) -> rpc.NSResponse:
    """Success. Code 0 is not on the wire, the sub-message is."""
    return rpc.NSResponse(error=rpc.NSResponse.ErrorResponse(code=0, msg=text))


def failed(code: int, text: str) -> rpc.NSResponse:
    """A failure of a command that answers by `error`."""
    return rpc.NSResponse(error=rpc.NSResponse.ErrorResponse(code=code, msg=text))


def path_of(instance: Instance, who: Identity, wanted: rpc.MDId, *, kind: int = rpc.STAT) -> bytes:
    """The path that a command is about; ids are looked up as files, as directories or (STAT) as either.

    Raises `EosError`.
    """
    if wanted.path:
        return paths.normalised(wanted.path, privileged=who.is_root)
    if not (wanted.id or wanted.ino):
        raise EosError(errno.EINVAL, "error: path is empty")
    if kind != rpc.CONTAINER:
        try:
            return instance.namespace.path(lookups.find_file(instance, wanted, who))
        except NotFound:
            if kind == rpc.FILE:
                raise
    return instance.namespace.path(lookups.find_container(instance, wanted, who)).rstrip(b"/") or b"/"


def _mkdir(instance: Instance, who: Identity, request: rpc.NSRequest) -> rpc.NSResponse:
    asked = request.mkdir
    path = path_of(instance, who, asked.id)
    return done(directories.mkdir(instance, who, path, asked.mode, recursive=asked.recursive))


def _rmdir(instance: Instance, who: Identity, request: rpc.NSRequest) -> rpc.NSResponse:
    path = path_of(instance, who, request.rmdir.id, kind=rpc.CONTAINER)
    return done(directories.rmdir(instance, who, path))


def _touch(instance: Instance, who: Identity, request: rpc.NSRequest) -> rpc.NSResponse:
    return done(directories.touch(instance, who, path_of(instance, who, request.touch.id)))


def _unlink(instance: Instance, who: Identity, request: rpc.NSRequest) -> rpc.NSResponse:
    # EOS looks the id up among directories only, so this cannot work by id.
    path = path_of(instance, who, request.unlink.id, kind=rpc.CONTAINER)
    return done(removal.unlink(instance, who, path, norecycle=request.unlink.norecycle))


def _rm(instance: Instance, who: Identity, request: rpc.NSRequest) -> rpc.NSResponse:
    asked = request.rm
    try:
        path = path_of(instance, who, asked.id, kind=rpc.FILE if asked.id.type == rpc.FILE else rpc.CONTAINER)
    except NotFound:
        if who.is_root or asked.id.path:
            raise
        # EOS takes an id without a path for a deletion that is pending.
        raise EosError(
            errno.EPERM, "warning: removing a pending deletion is allowed only for the 'root' role"
        ) from None
    # Wildcards count in the path that an id stands for, too.
    globbing = not (asked.noglobbing and instance.quirks.rm_noglobbing)
    return done(
        removal.rm(instance, who, path, recursive=asked.recursive, norecycle=asked.norecycle, globbing=globbing)
    )


def _rename(instance: Instance, who: Identity, request: rpc.NSRequest) -> rpc.NSResponse:
    source = path_of(instance, who, request.rename.id)
    lie = instance.faults.take("mgm_rename_lie", Call("grpc.Exec.rename", source, who.uid))
    if lie is not None:
        return done(lie.parameters["text"])
    target = paths.normalised(request.rename.target, privileged=who.is_root)
    return done(renaming.rename(instance, who, source, target))


def _symlink(instance: Instance, who: Identity, request: rpc.NSRequest) -> rpc.NSResponse:
    path = path_of(instance, who, request.symlink.id)
    return done(directories.symlink(instance, who, path, request.symlink.target))


def _xattr(instance: Instance, who: Identity, request: rpc.NSRequest) -> rpc.NSResponse:
    asked = request.xattr
    return done(
        ownership.set_xattrs(
            instance,
            who,
            path_of(instance, who, asked.id),
            dict(asked.xattrs),
            list(asked.keystodelete),
            recursive=asked.recursive,
            create=asked.create,
        )
    )


def _chown(instance: Instance, who: Identity, request: rpc.NSRequest) -> rpc.NSResponse:
    owner = request.chown.owner
    return done(ownership.chown(instance, who, path_of(instance, who, request.chown.id), owner.uid, owner.gid))


def _chmod(instance: Instance, who: Identity, request: rpc.NSRequest) -> rpc.NSResponse:
    return done(ownership.chmod(instance, who, path_of(instance, who, request.chmod.id), request.chmod.mode))


COMMANDS: Final[dict[str, Command]] = {
    "mkdir": _mkdir,
    "rmdir": _rmdir,
    "touch": _touch,
    "unlink": _unlink,
    "rm": _rm,
    "rename": _rename,
    "symlink": _symlink,
    "xattr": _xattr,
    "chown": _chown,
    "chmod": _chmod,
}
