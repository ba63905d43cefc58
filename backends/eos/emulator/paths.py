"""Paths of the namespace: absolute bytes, without a charset."""

import errno
from typing import Final

from backends.eos.emulator.failures import EosError, unable

MAX_COMPONENTS: Final = 253
VERSION_PREFIX: Final = b".sys.v#."
ATOMIC_PREFIX: Final = b".sys.a#."
ATOMIC_VERSION_PREFIX: Final = b".sys.a#.v#."


def normalised(path: bytes, *, privileged: bool = False) -> bytes:
    """`path` without `//`, `.` and `..`, a sealed `#AND#` turned into `&`; no slash at the end but for the root.

    Raises `EosError`: EINVAL for an empty or relative path and for a NUL, EILSEQ for a line break from anybody but
    root, ENAMETOOLONG for too many components.
    """
    if not path.startswith(b"/") or b"\0" in path:
        raise unable("accept path name - not an absolute path", errno.EINVAL, path)
    path = path.replace(b"#AND#", b"&")
    if not privileged and (b"\n" in path or b"\r" in path):
        raise EosError(errno.EILSEQ, "Unable to accept path name - illegal characters: use only A-Z a-z 0-9 / SPACE")
    parts: list[bytes] = []
    for part in path.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part not in (b"", b"."):
            parts.append(part)
    if len(parts) > MAX_COMPONENTS:
        raise unable("accept path name", errno.ENAMETOOLONG, path)
    return b"/" + b"/".join(parts)


def split(path: bytes) -> tuple[bytes, bytes]:
    """The parent and the last component of a normalised path; the root is its own parent without a name."""
    parent, _, name = path.rpartition(b"/")
    return parent or b"/", name


def joined(parent: bytes, name: bytes) -> bytes:
    """The path of `name` in `parent`."""
    return (b"" if parent == b"/" else parent.rstrip(b"/")) + b"/" + name


def version_directory(path: bytes) -> bytes:
    """Where the earlier versions of a file are kept."""
    parent, name = split(path)
    return joined(parent, VERSION_PREFIX + name)


def is_hidden(name: bytes) -> bool:
    """Whether EOS made this entry for itself: a versions' directory or an atomic upload under way."""
    return name.startswith((VERSION_PREFIX, ATOMIC_PREFIX))
