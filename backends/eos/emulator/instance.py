"""An instance of EOS: the parts that operations work on."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from backends.eos.emulator.capabilities import Capabilities
from backends.eos.emulator.counters import Counters
from backends.eos.emulator.entries import File
from backends.eos.emulator.faults import Faults
from backends.eos.emulator.identity import Identities
from backends.eos.emulator.layouts import Layout
from backends.eos.emulator.namespace import Namespace
from backends.eos.emulator.permissions import Access
from backends.eos.emulator.placement import Placement
from backends.eos.emulator.quirks import Quirks
from backends.eos.emulator.quota import Quota
from backends.eos.emulator.storage import Storage
from backends.eos.emulator.tokens import Tokens


@dataclass
class Instance:
    """What all servers of the emulator share. Operations are functions that take it first."""

    name: str
    namespace: Namespace
    access: Access
    quota: Quota
    identities: Identities
    tokens: Tokens
    capabilities: Capabilities
    placement: Placement
    storage: Storage
    faults: Faults
    counters: Counters
    quirks: Quirks
    layout: Layout
    clock: Callable[[], int]
    random: random.Random
    started: int
    # States that look-ups still show after a commit, with the time when they end.
    stale: dict[int, tuple[int, File]] = field(default_factory=dict)
    # Atomic uploads under way, by directory and visible name.
    uploads: dict[tuple[int, bytes], set[int]] = field(default_factory=dict)
    stopping: threading.Event = field(default_factory=threading.Event)

    def seconds(self) -> int:
        """Now, in seconds since 1970."""
        return self.clock() // 1_000_000_000
