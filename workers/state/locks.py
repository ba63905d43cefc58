"""A lock in Redis for work that need not be done twice; never the only guard of data."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import gevent
import redis

from workers.state.scripts import RELEASE


class LockNotHad(redis.RedisError):
    """Somebody else held the lock for longer than the wait. For a client it is as if Redis were slow."""


@contextmanager
def lock(client: redis.Redis, name: str, *, lifetime: float, wait: float, pause: float = 0.05) -> Iterator[str]:
    """Hold the lock `name`, and know its token; it frees itself after `lifetime` seconds if its holder dies.

    Raises `LockNotHad` after `wait` seconds.
    """
    token = secrets.token_hex(8)
    waited = 0.0
    while not client.set(name, token, nx=True, px=int(lifetime * 1000)):
        if waited >= wait:
            raise LockNotHad(f"{name} is held by another process for more than {wait:g} s")
        gevent.sleep(pause)
        waited += pause
    try:
        yield token
    finally:
        try:
            client.eval(RELEASE, 1, name, token)
        except redis.RedisError:
            # It frees itself. What was done under it is done, or has its own error to tell.
            pass
