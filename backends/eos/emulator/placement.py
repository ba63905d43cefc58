"""Filesystems, the FSTs that serve them, and where replicas go."""

import errno
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from backends.eos.emulator.failures import unable_file
from backends.eos.emulator.layouts import Layout


@dataclass
class Fst:
    """One disk server. `address` is what redirects name."""

    number: int
    address: str = ""
    online: bool = True


class Placement:
    """Filesystem ids count from 1 and go round the FSTs: of two FSTs, the first has 1 and 3, the other 2 and 4."""

    def __init__(self, fsts: int, filesystems: int) -> None:
        self.fsts = [Fst(number) for number in range(fsts)]
        self.filesystems = {fsid: self.fsts[(fsid - 1) % fsts] for fsid in range(1, filesystems * fsts + 1)}
        self._turn = 0
        self._lock = threading.Lock()

    def choose(self, layout: Layout, path: bytes, tried: Iterable[str] = ()) -> list[int]:
        """Filesystems for the replicas of a new file, on different FSTs as far as there are enough, entry first.

        Raises `EosError` with ENOSPC when too few are online.
        """
        with self._lock:
            turn = self._turn
            self._turn += 1
        avoided = set(tried)
        count = len(self.fsts)
        servers = [self.fsts[(turn + step) % count] for step in range(count)]
        online = [fst for fst in servers if fst.online and not _named(fst, avoided)]
        by_server = [[fsid for fsid, fst in self.filesystems.items() if fst is server] for server in online]
        shift = turn // count
        rounds = max((len(fsids) for fsids in by_server), default=0)
        candidates = [fsids[(shift + step) % len(fsids)] for step in range(rounds) for fsids in by_server]
        if len(candidates) < layout.replicas:
            raise unable_file("get free physical space", errno.ENOSPC, path)
        return candidates[: layout.replicas]

    def online(self, fsids: Iterable[int]) -> list[int]:
        """Those whose FST is there."""
        return [fsid for fsid in fsids if fsid in self.filesystems and self.filesystems[fsid].online]

    def readable(self, fsids: Iterable[int], tried: Iterable[str]) -> list[int]:
        """Replicas to read from: online, those not tried before first."""
        avoided = set(tried)
        return sorted(self.online(fsids), key=lambda fsid: _named(self.filesystems[fsid], avoided))

    def address(self, fsid: int) -> str:
        """Host and port of the FST that has this filesystem."""
        return self.filesystems[fsid].address


def _named(fst: Fst, hosts: set[str]) -> bool:
    return fst.address in hosts or fst.address.rpartition(":")[0] in hosts
