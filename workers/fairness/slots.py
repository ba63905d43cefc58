"""One worker's part of the slots for requests in progress that the fleet shares through Redis.

A worker leases a few slots more than it uses, so that a warm request needs no round trip, gives back what it does not
need after a second, and renews the rest. The slots of a worker that died come back when its lease ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import gevent.lock

from workers.fairness.client import Client

LEASE_SECONDS: Final = 10.0
PAUSE: Final = 0.1
"""Seconds after which slots are asked for again when there were none."""


class Slots:
    """Slots of one budget.

    Args:
        key: of the leases in Redis.
        most: slots of the whole fleet.
        alone: slots that this worker hands out by itself while Redis is away.
        clock: seconds that never go back.
    """

    __slots__ = (
        "_alone",
        "_asking",
        "_client",
        "_clock",
        "_closed_until",
        "_end",
        "_peak",
        "granted",
        "key",
        "most",
        "used",
    )

    def __init__(self, client: Client, key: str, most: int, alone: int, clock: Callable[[], float]) -> None:
        self.key = key
        self.most = most
        self.used = 0
        self.granted = 0
        self._alone = alone
        self._client = client
        self._clock = clock
        self._end = 0.0
        self._closed_until = 0.0
        self._peak = 0
        self._asking = gevent.lock.BoundedSemaphore(1)

    def take(self, now: float) -> float:
        """Use a slot; 0, or seconds until it is worth trying again."""
        if self.used >= self.granted or now >= self._end:
            if now < self._closed_until:
                return self._closed_until - now
            with self._asking:
                now = self._clock()
                if self.used >= self.granted or now >= self._end:
                    self._lease(now)
                if self.used >= self.granted:
                    self._closed_until = now + PAUSE
                    return PAUSE
        self.used += 1
        self._peak = max(self._peak, self.used)
        return 0.0

    def release(self) -> None:
        """A request has ended."""
        self.used -= 1

    def renew(self) -> None:
        """Renew the lease, of as many slots as were used at a time since the last renewal."""
        wanted, self._peak = self._peak, self.used
        granted = self._client.lease(self.key, self.most, self.used, wanted, LEASE_SECONDS)
        if granted is not None:
            self._renewed(granted, self._clock())

    def _renewed(self, granted: int, now: float) -> None:
        self.granted = granted
        self._end = now + LEASE_SECONDS / 2

    def _lease(self, now: float) -> None:
        spare = max(1, min(self.used, self.most // 8))
        granted = self._client.lease(self.key, self.most, self.used, self.used + spare, LEASE_SECONDS)
        if granted is None:
            self.granted = self._alone
            self._end = now + PAUSE
        else:
            self._renewed(granted, now)
