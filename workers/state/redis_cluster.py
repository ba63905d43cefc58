"""A client for Redis Cluster that behaves as one for a single server does.

redis-py's own connects when it is made, repeats commands whose time ran out, and raises errors that are no
`redis.RedisError`; each of these would turn a cluster that is away into something else than "503, come back".
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from redis import BlockingConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.client import PubSub
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import ClusterDownError, RedisClusterException, RedisError, SlotNotCoveredError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from workers.state.epoch import Epoch, Node
from workers.state.redis_urls import RedisPlace

# The first finds out that a node is gone, the second that the cluster's new map names another.
_RETRIES: Final = 2


class _Nodes(RedisCluster):
    """redis-py's client, without the repetition of commands that the server may have run."""

    ERRORS_ALLOW_RETRY = (RedisConnectionError, ClusterDownError, SlotNotCoveredError)  # type: ignore[assignment]


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except RedisClusterException as error:
        if isinstance(error, RedisError):
            raise
        raise RedisConnectionError(str(error)) from error


class ClusterClient(Redis):
    """Redis's commands on a cluster; the keys of one command, script or pipeline with `transaction` share a slot."""

    def __init__(self, place: RedisPlace, *, timeout: float, max_connections: int, epoch: Epoch | None) -> None:
        """Nothing is sent yet. `max_connections` counts for each node."""
        # The base class's constructor would make a pool for one server: none of it is used.
        self._make = partial(_connect, place, timeout, max_connections, epoch)
        self._nodes: Any = None  # RedisCluster, whose methods have no types
        self._lock = threading.Lock()
        if epoch is not None:
            epoch.follow(self._locate)

    def nodes(self) -> Any:
        """redis-py's client. Raises redis.RedisError when no node tells what the cluster looks like."""
        with self._lock:
            if self._nodes is None:
                with _translated():
                    self._nodes = self._make()
            return self._nodes

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command to the node that has its keys. Raises redis.RedisError."""
        with _translated():
            return self.nodes().execute_command(*args, **options)

    def ping(self, **_: Any) -> bool:
        """Whether all primaries answer; raises redis.RedisError for the first that does not."""
        with _translated():
            return bool(self.nodes().ping(target_nodes=RedisCluster.PRIMARIES))

    def informations(self) -> dict[str, dict[str, Any]]:
        """INFO of each primary, by `HOST:PORT`."""
        with _translated():
            cluster = self.nodes()
            return {node.name: cluster.info(target_nodes=node) for node in cluster.get_primaries()}

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Any:
        """A pipeline. With `transaction` all keys share a slot; else it is split by nodes."""
        with _translated():
            pipeline = self.nodes().pipeline(transaction=transaction)
        execute = pipeline.execute

        def translated(raise_on_error: bool = True) -> list[Any]:
            with _translated():
                results: list[Any] = execute(raise_on_error)
                return results

        pipeline.execute = translated
        return pipeline

    def pubsub(self, **options: Any) -> PubSub:
        """A subscription at any node: a cluster passes messages on to all of them."""
        with _translated():
            cluster = self.nodes()
            subscription: PubSub = cluster.get_redis_connection(cluster.get_random_node()).pubsub(**options)
            return subscription

    def get_encoder(self) -> Any:
        """What scripts and their arguments are encoded with."""
        return self.nodes().get_encoder()

    def look_again(self) -> None:
        """Ask the nodes anew what the cluster looks like. Raises redis.RedisError."""
        with _translated():
            self.nodes().nodes_manager.initialize()

    def close(self) -> None:
        """End all connections."""
        nodes, self._nodes = self._nodes, None
        if nodes is not None:
            nodes.close()

    def __del__(self) -> None:
        """Nothing: the connections belong to redis-py's client."""

    def _locate(self, key: str, connected: bool) -> Node:
        """The node that has a key, by what is known of the cluster."""
        if connected:
            self.exists(key)
        with _translated():
            cluster = self.nodes()
            node = cluster.nodes_manager.get_node_from_slot(cluster.keyslot(key))
        return node.host, node.port


def _connect(place: RedisPlace, timeout: float, max_connections: int, epoch: Epoch | None) -> RedisCluster:
    host, port = place.servers[0]
    bare = f"[{host}]" if ":" in host else host
    arguments: dict[str, Any] = {
        # With a URL redis-py makes pools of the class that it is given.
        "url": f"redis{'s' if place.tls is not None else ''}://{bare}:{port}",
        "startup_nodes": [ClusterNode(*server) for server in place.servers],  # type: ignore[no-untyped-call]
        "connection_pool_class": partial(BlockingConnectionPool, timeout=timeout, max_connections=max_connections),
        # A part of the slots may be served while the others have no master.
        "require_full_coverage": False,
        # Names that lead to the present nodes, such as a Kubernetes service's, outlive the addresses.
        "dynamic_startup_nodes": False,
        "retry": Retry(NoBackoff(), _RETRIES),
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        **place.login,
        **(place.tls or {}),
    }
    if epoch is not None:
        arguments["redis_connect_func"] = epoch.learn
    return _Nodes(**arguments)
