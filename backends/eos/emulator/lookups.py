"""MD and Find."""

import errno
from collections.abc import Iterator

import grpc

from backends.eos.emulator import metadata, paths
from backends.eos.emulator.entries import LEGACY_INODE_SHIFT, Container, Entry, File
from backends.eos.emulator.failures import EosError, NotFound
from backends.eos.emulator.faults import Call
from backends.eos.emulator.identity import Identity
from backends.eos.emulator.instance import Instance
from backends.eos.emulator.permissions import BROWSE, READ
from backends.eos.proto import namespace_pb2 as rpc

_NEW_INODE = 1 << 63


class LookupFailed(Exception):
    """A look-up that ends with a gRPC status."""

    def __init__(self, status: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def _failed(error: EosError) -> LookupFailed:
    """EOS puts the errno in the place of the status; what is no status of gRPC becomes UNKNOWN, as ENOENT is (2)."""
    return LookupFailed(status_of(error.code), error.text)


def status_of(code: int) -> grpc.StatusCode:
    """The gRPC status with this number."""
    found = next((status for status in grpc.StatusCode if status.value[0] == code), None)
    return grpc.StatusCode.UNKNOWN if found is None or found is grpc.StatusCode.OK else found


def _denied(text: str) -> LookupFailed:
    return LookupFailed(grpc.StatusCode.PERMISSION_DENIED, text)


def file_id(inode: int) -> int:
    """The file id of an inode of either scheme."""
    return inode & ~_NEW_INODE if inode & _NEW_INODE else inode >> LEGACY_INODE_SHIFT


def find_file(instance: Instance, wanted: rpc.MDId, who: Identity) -> File:
    """The file that an MDId means: by inode, else by id, else by path. Raises `EosError`."""
    if wanted.ino:
        return instance.namespace.file(file_id(wanted.ino))
    if wanted.id:
        return instance.namespace.file(wanted.id)
    found = instance.namespace.find(paths.normalised(wanted.path, privileged=who.is_root))
    if not isinstance(found, File):
        raise NotFound(errno.ENOENT, "No such file or directory")
    return found


def find_container(instance: Instance, wanted: rpc.MDId, who: Identity) -> Container:
    """The directory that an MDId means."""
    if wanted.ino or wanted.id:
        return instance.namespace.container(wanted.ino or wanted.id)
    found = instance.namespace.find(paths.normalised(wanted.path, privileged=who.is_root))
    if not isinstance(found, Container):
        raise NotFound(errno.ENOENT, "No such file or directory")
    return found


def entry(instance: Instance, who: Identity, request: rpc.MDRequest) -> Iterator[rpc.MDResponse]:
    """The answer to MD of type FILE, CONTAINER or STAT: one entry or none."""
    by_path = not (request.id.ino or request.id.id)
    try:
        found: Entry = _wanted(instance, who, request)
    except EosError as error:
        if request.type == rpc.FILE or (request.type == rpc.CONTAINER and by_path):
            return
        raise _failed(error) from error
    asked: Container
    if isinstance(found, File):
        asked, text = instance.namespace.container(found.parent), "access to parent container denied"
    elif request.type == rpc.STAT:
        asked, text = found, "access to container denied"
    else:
        asked, text = instance.namespace.container(found.parent), "access to parent container denied"
    if not instance.access.looks(who, asked, BROWSE, instance.namespace.path(found)):
        raise _denied(text)
    if metadata.Selection(request.selection).takes(instance, found):
        yield metadata.response(instance, found)


def _wanted(instance: Instance, who: Identity, request: rpc.MDRequest) -> Entry:
    if request.type == rpc.FILE:
        return find_file(instance, request.id, who)
    if request.type == rpc.CONTAINER:
        return find_container(instance, request.id, who)
    try:
        return find_file(instance, request.id, who)
    except NotFound:
        return find_container(instance, request.id, who)


def find(
    instance: Instance,
    who: Identity,
    wanted: rpc.MDId,
    kind: int,
    depth: int,
    selection: rpc.MDSelection,
    call: Call,
) -> Iterator[rpc.MDResponse]:
    """The entries of a tree, level by level: of each directory its files, then its subdirectories."""
    namespace = instance.namespace
    try:
        start = find_container(instance, wanted, who)
    except EosError as error:
        if depth == 0:
            return
        raise _failed(error) from error
    chosen = metadata.Selection(selection)
    paced = _Paced(instance, call)
    if kind != rpc.FILE and chosen.takes(instance, start):
        yield paced.next(start)
    level = [start] if depth else []
    expanded = 0
    while level and expanded < depth:
        expanded += 1
        below: list[Container] = []
        for directory in level:
            files, directories = _children(instance, who, directory)
            for file in files if kind != rpc.CONTAINER else ():
                # What is gone by now is left out silently.
                if namespace.child(directory, file.name) is file and chosen.takes(instance, file):
                    yield paced.next(file)
            for subdirectory in directories if kind != rpc.FILE else ():
                alive = namespace.child(directory, subdirectory.name) is subdirectory
                if alive and chosen.takes(instance, subdirectory):
                    yield paced.next(subdirectory)
            below += directories
        level = below


def _children(instance: Instance, who: Identity, directory: Container) -> tuple[list[File], list[Container]]:
    namespace = instance.namespace
    with namespace.transaction():
        try:
            namespace.container(directory.id)
        except EosError as error:
            raise _failed(error) from error
        if not instance.access.looks(who, directory, READ | BROWSE, namespace.path(directory)):
            raise _denied("access to read directory denied")
        return namespace.files_of(directory), namespace.directories_of(directory)


class _Paced:
    """Makes messages, with the faults of slow and broken streams."""

    def __init__(self, instance: Instance, call: Call) -> None:
        self._instance = instance
        self._abort = instance.faults.take("find_abort", call)
        self._slow = instance.faults.take("find_slow", call)
        self._sent = 0

    def next(self, found: Entry) -> rpc.MDResponse:
        if self._abort is not None and self._sent >= self._abort.parameters["entries"]:
            raise LookupFailed(status_of(self._abort.parameters["status"]), "injected failure")
        if self._slow is not None:
            self._slow.released.wait(self._slow.parameters["seconds"])
        self._sent += 1
        with self._instance.namespace.transaction():
            return metadata.response(self._instance, found)
