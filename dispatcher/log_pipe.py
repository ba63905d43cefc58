"""Lines of a program's log on their way to standard error.

HAProxy makes the descriptor that it logs to non-blocking. Were it the one that the supervisor and gunicorn write to, a
reader of the log that is slow would give them errors.
"""

import fcntl
import os
import threading
from contextlib import suppress
from typing import Final

_STANDARD_ERROR: Final = 2
_FIRST_FREE: Final = 10  # beyond the descriptors that a tethered program gets
_BLOCK: Final = 65536


class LogPipe:
    """A pipe whose other end is copied to a descriptor, standard error unless told otherwise."""

    def __init__(self, target: int = _STANDARD_ERROR) -> None:
        self._reader, writer = os.pipe()
        self.descriptor = fcntl.fcntl(writer, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
        """What programs write to; they inherit it under the same number."""
        os.close(writer)
        self._target = target
        self._thread = threading.Thread(target=self._copy, name="log", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Wait until all that was written is copied. To be called when the programs have ended."""
        os.close(self.descriptor)
        self._thread.join(5)

    def _copy(self) -> None:
        with open(self._reader, "rb", buffering=0) as reader:
            while block := reader.read(_BLOCK):
                with suppress(OSError):  # nobody reads the log
                    while block:
                        block = block[os.write(self._target, block) :]
