"""Whether EOS came to what an FST acknowledged.

An FST answers after its commit at the MGM, and yet the namespace may show another size: commits race (section 4.4 of
the protocol notes), and look-ups may lag. So what was written is looked at once more before it is acknowledged. What
stays wrong is mended by writing the last byte again as the last range of the file, which makes the FST commit the size
and the checksum of what it has.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from backends.api import StorageUnavailable
from backends.eos.data import HttpData, WrongFile
from backends.eos.interfaces import CloseFailed, Entry, Role, Unanswered, Written

_VISIBLE: Final = 1.5
"""Seconds for which look-ups may lag behind a commit."""
_MENDED: Final = 3
_FIRST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 0.2
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


def awaited(look: Callable[[], Entry | None], fid: int, size: int, adler32: str) -> tuple[Entry | None, str]:
    """Look until the file is as it was written, for as long as look-ups may lag: the file, and what is wrong with it.

    None when there is another file by now, or none.
    """
    end = time.monotonic() + _VISIBLE
    pause = _FIRST_PAUSE
    while True:
        entry = look()
        if entry is None or entry.id != fid:
            return None, ""
        wrong = differs(entry, size, adler32)
        if not wrong or time.monotonic() > end:
            return entry, wrong
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


def settle(
    data: HttpData, role: Role, look: Callable[[], Entry | None], written: Written, last: bytes, *, verify: bool
) -> None:
    """See that EOS shows what was written, whose last byte is `last`; where another file has its name, it did.

    Raises `Damaged`, and `StorageUnavailable` when the namespace does not come to the size.
    """
    checksum = written.adler32 if verify else ""
    reason = ""
    for _ in range(_MENDED):
        entry, wrong = awaited(look, written.fid, written.size, checksum)
        if entry is None or not wrong:
            return
        if entry.size == written.size:
            raise Damaged(wrong)
        reason = wrong
        if not last:
            break
        try:
            size = written.size
            data.write_range(role, entry.path, [last], 1, size - 1, size, written.fid, last=True)
        except WrongFile:
            return
        except (StorageUnavailable, CloseFailed, Unanswered) as error:
            reason = f"{wrong}; {error}"
    raise StorageUnavailable(f"what was written does not appear: {reason}", retry_after=1)
