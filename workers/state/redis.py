"""Connections to Redis, made so that a slow or absent server costs a request little.

redis-py's own defaults retry ten times with back-off, so that one GET against a dead server takes 3.5 seconds.
"""

from collections.abc import Mapping
from typing import Any, Final

from redis import BlockingConnectionPool, Redis, SSLConnection
from redis.backoff import NoBackoff
from redis.connection import Connection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection

from workers.state.epoch import Epoch
from workers.state.redis_cluster import ClusterClient
from workers.state.redis_urls import Form, RedisPlace, UnsupportedRedisUrl, parse_redis_url

__all__ = ["Epoch", "UnsupportedRedisUrl", "as_bytes", "as_text", "connect", "informations", "ping", "unfit"]

TIMEOUT: Final = 1.0
_KEEPS_ALL: Final = "noeviction"


class _MasterConnection(SentinelManagedConnection):
    """A connection to the master of the moment, ended when an answer does not come in time.

    redis-py keeps it then: the pool would go on with a server that hangs after another one has taken over.
    """

    def read_response(self, *arguments: Any, disconnect_on_error: bool | None = True, **options: Any) -> Any:
        """Read one answer."""
        return super().read_response(*arguments, disconnect_on_error=disconnect_on_error, **options)


class _MasterTlsConnection(_MasterConnection, SSLConnection):
    """The same by TLS."""


class _SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """The master's connections; who finds none free waits for one."""


def connect(url: str, *, timeout: float = TIMEOUT, max_connections: int = 64, epoch: Epoch | None = None) -> Redis:
    """A client for a URL as `workers.state.redis_urls` describes them; nothing is sent yet.

    `timeout` (seconds) bounds connecting, each reply, and the wait for a free connection of the pool. Replies are
    bytes. One broken connection is replaced without the caller's notice, because a restarted server leaves many
    behind; a time-out is never repeated, because the server may have run the command. After a fail-over the new master
    is found by itself; until then commands raise. The client is made for greenlets and threads, not for use across a
    fork. `epoch` follows each new connection. Raises `UnsupportedRedisUrl`.
    """
    place = parse_redis_url(url)
    if place.form is Form.CLUSTER:
        return ClusterClient(place, timeout=timeout, max_connections=max_connections, epoch=epoch)
    timing: dict[str, Any] = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    arguments: dict[str, Any] = {
        **timing,
        "timeout": timeout,
        "max_connections": max_connections,
        "retry": Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        "db": place.db,
        **place.login,
        **({} if epoch is None else {"redis_connect_func": epoch.greet}),
    }
    if place.form is Form.SENTINEL:
        return _master(place, timing, arguments)
    # The pool belongs to this client alone, so close() ends its connections, too.
    return Redis.from_pool(BlockingConnectionPool(**arguments, **_target(place)))  # type: ignore[no-untyped-call]


def _target(place: RedisPlace) -> Mapping[str, Any]:
    if place.path:
        return {"connection_class": UnixDomainSocketConnection, "path": place.path}
    host, port = place.servers[0]
    kind = Connection if place.tls is None else SSLConnection
    return {"connection_class": kind, "host": host, "port": port, **(place.tls or {})}


def _master(place: RedisPlace, timing: Mapping[str, Any], arguments: Mapping[str, Any]) -> Redis:
    asking = {**timing, **place.sentinel_login, "retry": Retry(NoBackoff(), 0)}
    if place.sentinel_tls:
        asking |= {"ssl": True, **(place.tls or {})}
    sentinel = Sentinel(place.servers, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
    kind = {"connection_class": _MasterConnection if place.tls is None else _MasterTlsConnection, **(place.tls or {})}
    pool = _SentinelPool(place.master, sentinel, **arguments, **kind)  # type: ignore[no-untyped-call]
    return Redis.from_pool(pool)


def as_bytes(reply: bytes | str) -> bytes:
    """A reply as bytes, which it always is: replies are not decoded; the library's types allow for both."""
    return reply if isinstance(reply, bytes) else reply.encode()


def as_text(reply: bytes | str | None) -> str | None:
    """A reply as text."""
    return reply.decode() if isinstance(reply, bytes) else reply


def ping(client: Redis) -> bool:
    """Whether the server answers, and is not still loading its data; of a cluster, every primary."""
    try:
        return bool(client.ping())
    except RedisError:
        return False


def informations(client: Redis) -> dict[str, dict[str, Any]]:
    """INFO of the server, or of each primary of a cluster, by name. Raises redis.RedisError."""
    if isinstance(client, ClusterClient):
        return client.informations()
    return {"": client.info()}


def unfit(client: Redis) -> str:
    """Why what is kept in this Redis would not be safe, in words that follow a setting's name; empty when it is.

    All keys expire, so that every policy but `noeviction` would choose among them when memory runs short, and drop the
    state of uploads that go on. Raises redis.RedisError when the server does not answer.
    """
    for name, information in informations(client).items():
        policy = information.get("maxmemory_policy", _KEEPS_ALL)
        if policy != _KEEPS_ALL:
            server = f"the server {name}" if name else "the server"
            return f"{server} may evict keys: set its maxmemory-policy to {_KEEPS_ALL} (it is {policy})"
    return ""
