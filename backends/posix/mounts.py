"""Which kind of file system a directory is on."""

from __future__ import annotations

import os
import re
from typing import Final

LOCAL: Final = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "tmpfs", "zfs", "f2fs", "bcachefs", "jfs", "ramfs"})
"""File systems that nobody changes but this host's kernel, which therefore knows of every change and sets its time."""

_OCTAL: Final = re.compile(r"\\([0-7]{3})")


def is_local(path: str) -> bool:
    """Whether this host alone changes what is at `path`. False when in doubt."""
    return file_system(path) in LOCAL


def file_system(path: str) -> str:
    """The type of the file system at `path`, "" when it cannot be told (proc(5), mountinfo)."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            lines = file.readlines()
    except OSError:
        return ""
    path = os.path.realpath(path)
    best, kind = "", ""
    for line in lines:
        head, _, tail = line.partition(" - ")
        point = _OCTAL.sub(lambda match: chr(int(match[1], 8)), head.split(" ")[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        # Of several mounts on one point the last one is what is seen.
        if inside and len(point) >= len(best):
            best, kind = point, tail.split(" ")[0]
    return kind
