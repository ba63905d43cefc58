"""What budgets ask of Redis: short, and not again for a second when it does not answer."""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Callable, Sequence
from typing import Final

import redis

from workers.fairness.scripts import LEASE, TAKE
from workers.state.redis import as_bytes

logger = logging.getLogger("shardgate.budgets")

AWAY_SECONDS: Final = 1.0
PREFIX: Final = "shardgate:v1:budget:"


class Client:
    """Asks Redis on behalf of one worker.

    Args:
        client: None where there is no Redis.
        clock: seconds that never go back.
    """

    def __init__(self, client: redis.Redis | None, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._away_until = -math.inf
        self._worker = secrets.token_hex(8)
        self._take = None if client is None else client.register_script(TAKE)
        self._lease = None if client is None else client.register_script(LEASE)

    def take(
        self, key: str, rate: float, burst: float, owed: float, need: float, want: float
    ) -> tuple[float, float] | None:
        """Granted tokens, and seconds until there are some; None while Redis is away."""
        if self._take is None or self._clock() < self._away_until:
            return None
        try:
            granted, wait = self._take([key], [rate, burst, owed, need, want])
        except redis.RedisError as error:
            self._went_away(error)
            return None
        return float(granted), float(wait)

    def lease(self, key: str, most: int, used: int, want: int, seconds: float) -> int | None:
        """How many slots this worker has; None while Redis is away."""
        if self._lease is None or self._clock() < self._away_until:
            return None
        try:
            return int(self._lease([key], [self._worker, most, used, want, int(seconds * 1000)]))
        except redis.RedisError as error:
            self._went_away(error)
            return None

    def settle(
        self, debts: Sequence[tuple[str, float, float, float]], leases: Sequence[tuple[str, int, int, int, float]]
    ) -> list[int] | None:
        """Tell many buckets what is owed (key, rate, burst, debt), and renew many leases, in one round trip.

        Returns how many slots each lease has; None while Redis is away.
        """
        if self._client is None or self._take is None or self._lease is None or self._clock() < self._away_until:
            return None
        try:
            with self._client.pipeline(transaction=False) as pipe:
                for key, rate, burst, owed in debts:
                    self._take([key], [rate, burst, owed, 0, 0], client=pipe)
                for key, most, used, want, seconds in leases:
                    self._lease([key], [self._worker, most, used, want, int(seconds * 1000)], client=pipe)
                answers = pipe.execute()
        except redis.RedisError as error:
            self._went_away(error)
            return None
        return [
            int(as_bytes(answer)) if isinstance(answer, (bytes, str)) else int(answer)
            for answer in answers[len(debts) :]
        ]

    def _went_away(self, error: redis.RedisError) -> None:
        now = self._clock()
        if now - self._away_until > AWAY_SECONDS:
            logger.warning("redis: budgets are held by each worker alone: %s: %s", type(error).__name__, error)
        self._away_until = now + AWAY_SECONDS
