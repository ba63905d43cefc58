"""FileInsert and ContainerInsert: metadata with given ids and paths, as importers of other namespaces use."""

import errno
from collections.abc import Callable

from backends.eos.emulator import paths, xattrs
from backends.eos.emulator.entries import SECOND, Container
from backends.eos.emulator.failures import EosError, NotFound, unable
from backends.eos.emulator.instance import Instance
from backends.eos.proto import namespace_pb2 as rpc


def container(instance: Instance, item: rpc.ContainerMdProto, *, inherit: bool) -> None:
    """Register a directory; `inherit` gives it its parent's attributes. Raises `EosError`."""
    with instance.namespace.transaction():
        parent, name = _free(instance, item.path)
        if item.id and _taken(lambda: instance.namespace.container(item.id)):
            raise unable("insert container - the id is taken", errno.EINVAL, item.path)
        attributes = {**(xattrs.inherited(parent) if inherit else {}), **item.xattrs}
        made = instance.namespace.add_container(
            parent, name, item.uid, item.gid, item.mode or parent.mode, attributes, item.id
        )
        made.ctime = _time(item.ctime) or made.ctime
        made.mtime = _time(item.mtime) or made.mtime


def file(instance: Instance, item: rpc.FileMdProto) -> None:
    """Register a file, without data. Raises `EosError`."""
    namespace = instance.namespace
    with namespace.transaction():
        parent, name = _free(instance, item.path)
        if item.id and _taken(lambda: namespace.file(item.id)):
            raise unable("insert file - the id is taken", errno.EINVAL, item.path)
        made = namespace.add_file(parent, name, item.uid, item.gid, item.flags, item.id)
        made.layout, made.link, made.locations = item.layout_id, item.link_name, list(item.locations)
        made.checksum = item.checksum.value
        made.xattrs.update(item.xattrs)
        made.ctime = _time(item.ctime) or made.ctime
        made.mtime = _time(item.mtime) or made.mtime
        with namespace.accounted(made):
            made.size = item.size


def _free(instance: Instance, path: bytes) -> tuple[Container, bytes]:
    parent_path, name = paths.split(paths.normalised(path, privileged=True).rstrip(b"/"))
    try:
        parent = instance.namespace.directory(parent_path)
    except EosError as error:
        raise unable("insert", error.code, path) from error
    if not name or instance.namespace.child(parent, name) is not None:
        raise unable("insert", errno.EEXIST, path)
    return parent, name


def _taken(look: Callable[[], object]) -> bool:
    try:
        look()
    except NotFound:
        return False
    return True


def _time(value: rpc.Time) -> int:
    return value.sec * SECOND + value.n_sec
