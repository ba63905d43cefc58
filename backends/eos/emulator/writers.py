"""Who has a file open for writing on the FSTs, and whether a failed close may delete it."""

import threading
from dataclasses import dataclass


@dataclass(slots=True)
class _Open:
    writers: int = 0
    # A writer closed well while others were open: it lives as long as any of them.
    keep: bool = False


class Writers:
    """Open writers by file id."""

    def __init__(self) -> None:
        self._files: dict[int, _Open] = {}
        self._lock = threading.Lock()

    def open(self, fid: int) -> None:
        """One writer more."""
        with self._lock:
            self._files.setdefault(fid, _Open()).writers += 1

    def closed(self, fid: int) -> None:
        """A writer closed well."""
        with self._lock:
            self._leave(fid)
            if fid in self._files:
                self._files[fid].keep = True

    def failed(self, fid: int) -> bool:
        """A writer broke off; returns whether what it wrote to is deleted now: it was alone, and nothing protects."""
        with self._lock:
            alone = self._files[fid].writers == 1 and not self._files[fid].keep
            self._leave(fid)
            return alone

    def _leave(self, fid: int) -> None:
        self._files[fid].writers -= 1
        if not self._files[fid].writers:
            del self._files[fid]
