"""One worker's part of a token bucket that the fleet shares through Redis.

A worker draws a slice of tokens and uses it up without asking. A slice is small at first, and doubles while the worker
uses slices up sooner than they are meant to last; what was not used after a second goes back. So the workers together
never use more than the bucket gave, but for what a request turns out to use in the end: that is owed, and the bucket
is in debt until time has paid it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import gevent.lock

from workers.fairness.client import Client

SLICE_SECONDS: Final = 0.1
"""How long the largest slice lasts when one worker uses the whole budget."""
LIFETIME: Final = 1.0
"""Seconds after which the rest of a slice goes back."""
LONGEST_PAUSE: Final = 1.0
"""Seconds after which an empty bucket is asked again, however long it says that it takes."""
BURST_SECONDS: Final = 1.0
"""A bucket holds what its rate gives in so long a time."""


class Rate:
    """Tokens of one budget, so many a second.

    Args:
        key: of the bucket in Redis.
        least: the fewest tokens that a slice is worth asking for.
        alone: the share of the rate that this worker hands out by itself while Redis is away.
        clock: seconds that never go back.
    """

    __slots__ = (
        "_alone",
        "_asking",
        "_at",
        "_by_redis",
        "_client",
        "_clock",
        "_closed_until",
        "_end",
        "_least",
        "_open_at",
        "_slice",
        "_taken",
        "_want",
        "key",
        "left",
        "owed",
        "rate",
    )

    def __init__(
        self, client: Client, key: str, rate: float, least: float, alone: float, clock: Callable[[], float]
    ) -> None:
        self.key = key
        self.rate = rate
        self.left = 0.0
        self.owed = 0.0
        self._closed_until = 0.0
        self._open_at = 0.0
        self._by_redis = False
        self._client = client
        self._clock = clock
        self._alone = rate * alone
        self._least = least
        self._want = least
        self._slice = 0.0
        self._taken = 0.0
        self._end = 0.0
        self._at = -math.inf
        self._asking = gevent.lock.BoundedSemaphore(1)

    def take(self, amount: float, now: float) -> float:
        """Use tokens, more than there are left if need be; 0, or seconds until there are some.

        With an amount of 0, only that there are some is made sure of.
        """
        if self.left >= self._least and now < self._end:
            self.left -= amount
            return 0.0
        if now < self._closed_until:
            return max(self._open_at, self._closed_until) - now
        with self._asking:
            now = self._clock()
            if self.left < self._least or now >= self._end:
                wait = self._draw(now)
                if wait > 0.0:
                    self._open_at = now + wait
                    self._closed_until = now + min(wait, LONGEST_PAUSE)
                    return wait
            self.left -= amount
            return 0.0

    def use(self, amount: float) -> None:
        """Note what a request has used in the end."""
        self.left -= amount
        if self.left < 0.0:
            self.owed -= self.left
            self.left = 0.0

    def settle(self, now: float) -> None:
        """Tell the bucket what it does not know yet: tokens that are owed, and those that go back."""
        back = self.left if self._by_redis and now >= self._end else 0.0
        owed = self.owed - back
        if not owed:
            return
        self.left -= back
        self.owed = 0.0
        if self._client.take(self.key, self.rate, self.burst, owed, 0.0, 0.0) is None:
            self.owed += max(0.0, owed)

    @property
    def burst(self) -> float:
        """The most that the bucket holds."""
        return max(self._least, self.rate * BURST_SECONDS)

    def _draw(self, now: float) -> float:
        """Draw a slice; 0, or seconds until there is one."""
        self._adapt(now)
        self.owed -= self.left if self._by_redis else 0.0
        owed, self.owed = self.owed, 0.0
        answer = self._client.take(self.key, self.rate, self.burst, owed, self._least, self._want)
        if answer is None:
            return self._draw_alone(now, owed)
        granted, wait = answer
        self._slice = self.left = granted
        self._taken = now
        self._end = now + LIFETIME
        self._by_redis = True
        return wait

    def _adapt(self, now: float) -> None:
        largest = max(self._least, self.rate * SLICE_SECONDS)
        if now - self._taken <= SLICE_SECONDS:
            self._want = min(largest, self._want * 2)
        elif self.left > 0.5 * self._slice:
            self._want = max(self._least, self._want / 2)

    def _draw_alone(self, now: float, owed: float) -> float:
        """The same without Redis: from a bucket of this worker's own, with its share of the rate."""
        most = max(self._least, self._alone * BURST_SECONDS)
        kept = 0.0 if self._by_redis else self.left
        left = min(most, kept + (now - self._at) * self._alone - owed)
        self._by_redis = False
        self._at = now
        # A debt is kept apart, and what is too little to be used is kept until it is enough.
        self.left, self.owed = max(0.0, left), max(0.0, -left)
        if left < self._least:
            return (self._least - left) / self._alone
        self._end = now + LIFETIME
        return 0.0
