"""Sizes and modification times of subtrees, which EOS brings up to date some seconds late."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from backends.eos.emulator.entries import ROOT_ID, SECOND, Container

PROPAGATION: Final = "sys.mtime.propagation"


@dataclass(frozen=True, slots=True)
class _Pending:
    due: int
    container: int
    size: int
    stime: int


class Accounting:
    """Tree sizes by directory id. They are not stored: the tree gives them again when it is loaded."""

    def __init__(self, containers: dict[int, Container], clock: Callable[[], int]) -> None:
        self._containers = containers
        self._clock = clock
        self._sizes: dict[int, int] = {}
        self._pending: deque[_Pending] = deque()

    def tree_size(self, container: int) -> int:
        """Bytes in the subtree, as far as they were propagated."""
        return self._sizes.get(container, 0)

    def add(self, container: int, size: int) -> None:
        """Add bytes to a directory and to all above it, at once."""
        while size:
            self._sizes[container] = self._sizes.get(container, 0) + size
            if container == ROOT_ID or container not in self._containers:
                return
            container = self._containers[container].parent

    def later(self, container: int, size: int, delay: float) -> None:
        """Add bytes after `delay` seconds."""
        if size:
            self._pending.append(_Pending(self._clock() + int(delay * SECOND), container, size, 0))

    def touch_later(self, container: int, stime: int, delay: float) -> None:
        """Raise the subtree time of those directories above that have `sys.mtime.propagation`."""
        parent = self._containers[container].parent if container in self._containers else ROOT_ID
        if PROPAGATION in self._containers[parent].xattrs:
            self._pending.append(_Pending(self._clock() + int(delay * SECOND), parent, 0, stime))

    def settle(self, *, everything: bool = False) -> list[Container]:
        """Apply what is due, or everything; returns the directories whose times changed."""
        now = self._clock()
        touched: list[Container] = []
        # Changes of the switch may leave an early entry behind a late one; it waits, as in any queue.
        while self._pending and (everything or self._pending[0].due <= now):
            pending = self._pending.popleft()
            self.add(pending.container, pending.size)
            container = self._containers.get(pending.container)
            while pending.stime and container is not None and PROPAGATION in container.xattrs:
                container.stime = max(container.stime, pending.stime)
                touched.append(container)
                container = self._containers.get(container.parent) if container.id != ROOT_ID else None
        return touched
