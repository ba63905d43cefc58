"""A lock in Redis for work that need not be done twice; never the only guard of data."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import gevent
import redis

from workers.state.scripts import RELEASE


class LockNotHad(Exception):
    """Somebody else held the lock for longer than the wait."""


@contextmanager
def lock(client: redis.Redis, name: str, *, lifetime: float, wait: float, pause: float = 0.05) -> Iterator[None]:
    """Hold the lock `name`; it frees itself after `lifetime` seconds if its holder dies.

    Raises `LockNotHad` after `wait` seconds.
    """
    token = secrets.token_hex(8)
    waited = 0.0
    while not client.set(name, token, nx=True, px=int(lifetime * 1000)):
        if waited >= wait:
            raise LockNotHad(name)
        gevent.sleep(pause)
        waited += pause
    try:
        yield
    finally:
        client.eval(RELEASE, 1, name, token)
