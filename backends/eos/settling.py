"""Whether EOS came to what an FST acknowledged.

An FST answers after its commit at the MGM, and yet the namespace may show another size: commits race (section 4.4 of
the protocol notes), and look-ups may lag. So every file, whatever it becomes, is compared with what was sent before
anything is acknowledged: an object after its atomic upload, a file that is to be renamed into an object's place (parts
that were joined, a lane, a copy made by EOS) before its rename, a part, a document. What stays wrong is mended by
writing the last byte again as the last range of the file, which makes the FST commit the size and the checksum of what
it has.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from backends.api import StorageUnavailable
from backends.eos.data import HttpData, WrongFile
from backends.eos.failures import Missing
from backends.eos.interfaces import CloseFailed, Entry, Role, Unanswered, Written
from backends.eos.namespace import Namespace

_VISIBLE: Final = 1.5
"""Seconds for which look-ups may lag behind a commit."""
_MENDED: Final = 3
_FIRST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 0.2
STRONG: Final = 2
"""Replicas that a file must have for a range PUT to break off without loss."""
NOT_COMPUTED: Final = ("", "00000001")
"""What EOS shows in the place of an adler32 that it has not computed."""


class Damaged(StorageUnavailable):
    """EOS has other bytes than were sent."""


def differs(entry: Entry, size: int, adler32: str) -> str:
    """What is wrong with a file of which so many bytes with this checksum were written; "" for nothing."""
    if entry.size != size:
        return f"EOS has {entry.size} bytes of {size}"
    kind, digest = entry.checksum
    if adler32 and kind == "adler32" and digest != adler32 and not (size and digest in NOT_COMPUTED):
        return f"EOS has the checksum {digest}, and {adler32} was sent"
    return ""


class Settler:
    """Compares what EOS shows with what was sent, and mends it. With `verify` also the checksum."""

    def __init__(self, namespace: Namespace, data: HttpData, *, verify: bool) -> None:
        self._namespace: Final = namespace
        self._data: Final = data
        self._verify: Final = verify

    def differs(self, entry: Entry, size: int, adler32: str) -> str:
        """What is wrong with a file; "" for nothing."""
        return differs(entry, size, adler32 if self._verify else "")

    def awaited(self, look: Callable[[], Entry | None], written: Written) -> tuple[Entry | None, str]:
        """Look until the file is as it was written, for as long as look-ups may lag: the file, and what is wrong.

        None when there is another file by now, or none.
        """
        end = time.monotonic() + _VISIBLE
        pause = _FIRST_PAUSE
        while True:
            entry = look()
            if entry is None or entry.id != written.fid:
                return None, ""
            wrong = self.differs(entry, written.size, written.adler32)
            if not wrong or time.monotonic() > end:
                return entry, wrong
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def require(self, role: Role, path: str, written: Written) -> None:
        """See that the file at a path is what was written. Raises `Missing`, `StorageUnavailable`."""
        entry, wrong = self.awaited(lambda: self._namespace.stat(role, path), written)
        if entry is None:
            raise Missing(path)
        if wrong:
            raise StorageUnavailable(f"{path} is not what was written: {wrong}", retry_after=1)

    def settle_file(self, role: Role, path: str, written: Written, last: bytes) -> None:
        """The same, and mend what is wrong with a file of our own, which nobody misses when it goes.

        `last` is its last byte. Raises `Missing`, `Damaged`, `StorageUnavailable`.
        """
        if self.settle(role, lambda: self._namespace.stat(role, path), written, last, replicas=1) is None:
            raise Missing(path)

    def settle(
        self,
        role: Role,
        look: Callable[[], Entry | None],
        written: Written,
        last: bytes,
        *,
        replicas: int = STRONG,
    ) -> Entry | None:
        """See that EOS shows what was written, whose last byte is `last`: the file; None when another one has its name.

        What has less than so many `replicas` is not mended: a range PUT that breaks off would take all of it.

        Raises `Damaged`, and `StorageUnavailable` when the namespace does not come to the size.
        """
        reason = ""
        for _ in range(_MENDED):
            entry, wrong = self.awaited(look, written)
            if entry is None or not wrong:
                return entry
            if entry.size == written.size:
                raise Damaged(wrong)
            reason = wrong
            if not last or entry.replicas < replicas:
                break
            try:
                size = written.size
                self._data.write_range(role, entry.path, [last], 1, size - 1, size, written.fid, last=True)
            except WrongFile:
                return None
            except (StorageUnavailable, CloseFailed, Unanswered) as error:
                reason = f"{wrong}; {error}"
        raise StorageUnavailable(f"what was written does not appear: {reason}", retry_after=1)
