"""Connections to Redis, made so that a slow or absent server costs a request little.

redis-py's own defaults retry ten times with back-off, so that one GET against a dead server takes 3.5 seconds.
"""

from typing import Final
from urllib.parse import urlsplit

from redis import BlockingConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry

SCHEMES: Final = ("redis", "rediss", "unix")


class UnsupportedRedisUrl(ValueError):
    """The URL names a kind of Redis deployment that is not supported. The text holds no password."""


def connect(url: str, *, timeout: float = 1.0, max_connections: int = 64) -> Redis:
    """A client for `redis://`, `rediss://` or `unix://`; nothing is sent yet.

    `timeout` (seconds) bounds connecting, each reply, and the wait for a free connection of the pool. Replies are
    bytes. One broken connection is replaced without the caller's notice, because a restarted server leaves many
    behind; a time-out is never repeated, because the server may have run the command. The client is made for
    greenlets and threads, not for use across a fork. Raises `UnsupportedRedisUrl`.
    """
    try:
        scheme = urlsplit(url).scheme
    except ValueError as error:
        raise UnsupportedRedisUrl(f"not a URL: {error}") from None
    if scheme not in SCHEMES:
        supported = ", ".join(f"{name}://" for name in SCHEMES)
        raise UnsupportedRedisUrl(f"scheme {scheme!r} is not supported (supported: {supported})")
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=max_connections,
            timeout=timeout,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        )
    except ValueError as error:
        raise UnsupportedRedisUrl(str(error)) from None
    # The pool belongs to this client alone, so close() ends its connections, too.
    return Redis.from_pool(pool)


def ping(client: Redis) -> bool:
    """Whether the server answers, and is not still loading its data."""
    try:
        return bool(client.ping())
    except RedisError:
        return False
