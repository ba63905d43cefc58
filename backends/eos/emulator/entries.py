"""What the namespace consists of."""

import stat
from typing import Final

import msgspec

ROOT_ID: Final = 1
FIRST_FILE_ID: Final = 1
LEGACY_INODE_SHIFT: Final = 28
SECOND: Final = 1_000_000_000


class Container(msgspec.Struct):
    """A directory. Times are nanoseconds since 1970; `mode` has the type bits."""

    id: int
    parent: int
    name: bytes
    uid: int
    gid: int
    mode: int
    ctime: int
    mtime: int
    stime: int
    xattrs: dict[str, bytes] = {}

    @property
    def inode(self) -> int:
        """A directory's inode is its id."""
        return self.id


class File(msgspec.Struct):
    """A file or symbolic link. `mode` has nine permission bits; `checksum` is raw, as commits left it."""

    id: int
    parent: int
    name: bytes
    uid: int
    gid: int
    mode: int
    ctime: int
    mtime: int
    size: int = 0
    layout: int = 0
    link: bytes = b""
    checksum: bytes = b""
    # Alternative checksums: lower-case hexadecimal text by type.
    altxs: dict[str, str] = {}
    locations: list[int] = []
    unlinked: list[int] = []
    xattrs: dict[str, bytes] = {}

    @property
    def inode(self) -> int:
        """The legacy form, which clients get unless the instance was told otherwise."""
        return self.id << LEGACY_INODE_SHIFT


Entry = Container | File


def directory_mode(mode: int) -> int:
    """Permission bits with the type of a directory."""
    return (mode & 0o7777) | stat.S_IFDIR
