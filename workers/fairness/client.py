"""What budgets ask of Redis: short, and not again for a second when it does not answer."""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Callable
from typing import Any, Final

import redis

from workers.fairness.scripts import LEASE, TAKE

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

    def take(
        self, key: str, rate: float, burst: float, owed: float, need: float, want: float
    ) -> tuple[float, float] | None:
        """Granted tokens, and seconds until there are some; None while Redis is away."""
        answer = self._ask(TAKE, key, rate, burst, owed, need, want)
        return None if answer is None else (float(answer[0]), float(answer[1]))

    def lease(self, key: str, most: int, used: int, want: int, seconds: float) -> int | None:
        """How many slots this worker has; None while Redis is away."""
        answer = self._ask(LEASE, key, self._worker, most, used, want, int(seconds * 1000))
        return None if answer is None else int(answer)

    def _ask(self, script: str, key: str, *arguments: str | float) -> Any:
        """The answer of a script; None while Redis is away."""
        # EVAL, not EVALSHA: a server that was restarted knows no script, and these are short and seldom asked for.
        if self._client is None or self._clock() < self._away_until:
            return None
        try:
            return self._client.eval(script, 1, key, *arguments)
        except redis.RedisError as error:
            self._went_away(error)
            return None

    def _went_away(self, error: redis.RedisError) -> None:
        now = self._clock()
        if now - self._away_until > AWAY_SECONDS:
            logger.warning("redis: budgets are held by each worker alone: %s: %s", type(error).__name__, error)
        self._away_until = now + AWAY_SECONDS
