"""Files that are renamed over others, in steps that whoever comes next can end.

EOS's rename replaces nothing, so what is in the way is unlinked first. What is about to happen is noted in the key's
lock before that: readers who find nothing look there and wait, and whoever takes a dead holder's lock away ends it.
"""

from __future__ import annotations

import msgspec

from backends.api import StorageUnavailable
from backends.eos.interfaces import Role
from backends.eos.namespace import Namespace


class Unfinished(StorageUnavailable):
    """A move that may have taken the old object away and has no end yet: its file must stay for whoever ends it."""


class Move(msgspec.Struct, frozen=True):
    """The note in a lock: a file that is being renamed over another one, and who does it.

    `root` is the directory of the bucket.
    """

    source: str
    target: str
    uid: int
    gid: int
    root: str = ""

    def text(self) -> bytes:
        """As it stands in a lock."""
        return msgspec.json.encode(self)


def finish(namespace: Namespace, note: bytes) -> None:
    """End the move of a holder that died: its object is there under its old name only."""
    try:
        move = msgspec.json.decode(note, type=Move)
    except msgspec.DecodeError:
        return
    role = Role(move.uid, move.gid)
    if namespace.stat(role, move.target) is None and namespace.stat(role, move.source) is not None:
        if move.root:
            # Who deletes another object meanwhile may find the directory empty.
            namespace.make_directories(role, move.target.rpartition("/")[0], below=move.root)
        namespace.rename(role, move.source, move.target)
