"""Connections to Redis, made so that a slow or absent server costs a request little.

redis-py's own defaults retry ten times with back-off, so that one GET against a dead server takes 3.5 seconds.
"""

from typing import Any, Final
from urllib.parse import urlsplit

from redis import BlockingConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry

SCHEMES: Final = ("redis", "rediss", "unix")


class UnsupportedRedisUrl(ValueError):
    """The URL names a kind of Redis deployment that is not supported. The text holds no password."""


def connect(url: str, *, timeout: float = 1.0, max_connections: int = 64, epoch: "Epoch | None" = None) -> Redis:
    """A client for `redis://`, `rediss://` or `unix://`; nothing is sent yet.

    `timeout` (seconds) bounds connecting, each reply, and the wait for a free connection of the pool. Replies are
    bytes. One broken connection is replaced without the caller's notice, because a restarted server leaves many
    behind; a time-out is never repeated, because the server may have run the command. The client is made for
    greenlets and threads, not for use across a fork. `epoch` follows
    each new connection. Raises `UnsupportedRedisUrl`.
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
            **({} if epoch is None else {"redis_connect_func": epoch.greet}),
        )
    except ValueError as error:
        raise UnsupportedRedisUrl(str(error)) from None
    # The pool belongs to this client alone, so close() ends its connections, too.
    return Redis.from_pool(pool)


class Epoch:
    """Which life of the Redis server the newest connection found: its run id, new at each start and fail-over.

    What was written in an earlier life may have lost its end, so that its readers have to make sure of it.
    """

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = ""

    def greet(self, connection: Any) -> None:
        """Set up a new connection as redis-py does, and learn the server's run id before any command is sent."""
        connection.on_connect()
        connection.send_command("INFO", "server")
        reply = connection.read_response()
        self.value = _run_id(reply)


def as_bytes(reply: bytes | str) -> bytes:
    """A reply as bytes, which it always is: replies are not decoded; the library's types allow for both."""
    return reply if isinstance(reply, bytes) else reply.encode()


def as_text(reply: bytes | str | None) -> str | None:
    """A reply as text."""
    return reply.decode() if isinstance(reply, bytes) else reply


def _run_id(information: bytes | str) -> str:
    text = information.decode() if isinstance(information, bytes) else information
    for line in text.splitlines():
        if line.startswith("run_id:"):
            return line.removeprefix("run_id:").strip()
    raise RedisConnectionError("the server does not tell its run id")


def ping(client: Redis) -> bool:
    """Whether the server answers, and is not still loading its data."""
    try:
        return bool(client.ping())
    except RedisError:
        return False
