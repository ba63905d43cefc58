"""Earlier versions of files, in the hidden directory `.sys.v#.<name>` beside each."""

import errno

from backends.eos.emulator import paths
from backends.eos.emulator.entries import SECOND, Container, File
from backends.eos.emulator.failures import EosError, printable
from backends.eos.emulator.instance import Instance


def version_name(file: File) -> bytes:
    """What a file is called among the versions."""
    return b"%d.%08x" % (file.ctime // SECOND, file.id)


def directory_of(instance: Instance, file: File) -> Container | None:
    """The directory with a file's earlier versions, if there is one."""
    namespace = instance.namespace
    found = namespace.child(namespace.container(file.parent), paths.VERSION_PREFIX + file.name)
    return found if isinstance(found, Container) else None


def keep(instance: Instance, file: File, count: int) -> None:
    """Make a file a version of itself: its name becomes free. The oldest versions beyond `count` go."""
    namespace = instance.namespace
    parent = namespace.container(file.parent)
    directory = directory_of(instance, file)
    if directory is None:
        directory = namespace.add_container(
            parent, paths.VERSION_PREFIX + file.name, parent.uid, parent.gid, parent.mode, {}
        )
    namespace.move(file, directory, version_name(file))
    purge(instance, directory, count)


def purge(instance: Instance, directory: Container, count: int) -> None:
    """Remove the oldest versions beyond `count`."""
    kept = ordered(instance, directory)
    for file in kept[: max(0, len(kept) - count)]:
        instance.namespace.remove(file)


def ordered(instance: Instance, directory: Container) -> list[File]:
    """The versions, oldest first."""
    files = (file for file in instance.namespace.files_of(directory) if file.name.count(b".") == 1)
    return sorted(files, key=lambda file: (file.name.partition(b".")[0].zfill(12), file.id))


def drop_all(instance: Instance, file: File) -> None:
    """Remove a file's versions and their directory."""
    directory = directory_of(instance, file)
    if directory is not None:
        for version in instance.namespace.files_of(directory):
            instance.namespace.remove(version)
        if instance.namespace.is_empty(directory):
            instance.namespace.remove(directory)


def grab(instance: Instance, file: File, name: bytes) -> None:
    """Make an earlier version the current one; the current one takes its place among the versions.

    Raises `EosError` with ENOENT when there is no such version.
    """
    namespace = instance.namespace
    directory = directory_of(instance, file)
    wanted = namespace.child(directory, name) if directory is not None else None
    if directory is None or not isinstance(wanted, File):
        raise EosError(errno.ENOENT, f"error: there is no version '{printable(name)}'")
    parent, current = namespace.container(file.parent), file.name
    namespace.move(file, directory, version_name(file))
    namespace.move(wanted, parent, current)
