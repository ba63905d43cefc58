"""Which life of a Redis server answers: what was written in an earlier one may have lost its end."""

from collections.abc import Callable
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError

Node = tuple[str, int]


class Epoch:
    """The run ids of the servers that connections were made to: new at each start, and another after a fail-over.

    Readers of what must be whole compare the epoch that is noted with the data to the one of today. A replica that has
    become the master, behind sentinels or in a cluster, has a run id of its own: data of which it may have got only a
    part is found out in the same way as data of a server that was restarted.
    """

    __slots__ = ("_lives", "_locate", "_newest")

    def __init__(self) -> None:
        self._newest = ""
        self._lives: dict[Node, str] = {}
        self._locate: Callable[[str, bool], Node] | None = None

    def follow(self, locate: Callable[[str, bool], Node]) -> None:
        """Tell keys apart by node: `locate` gives a key's, and makes sure of a connection to it when asked to."""
        self._locate = locate

    def of(self, key: str) -> str:
        """The life of the server that has a key, as the newest connection found it; "" before the first one.

        Raises redis.RedisError when a cluster's node has to be asked and does not answer.
        """
        if self._locate is None:
            return self._newest
        life = self._lives.get(self._locate(key, False))
        if life is None:
            life = self._lives.get(self._locate(key, True))
        if life is None:
            raise RedisConnectionError("the cluster moves the key at this moment")
        return life

    def greet(self, connection: Any) -> None:
        """Set up a new connection as redis-py does, and learn the server's run id before any command is sent."""
        connection.on_connect()
        self.learn(connection)

    def learn(self, connection: Any) -> None:
        """Learn the run id of the server behind a connection that is set up."""
        connection.send_command("INFO", "server")
        life = _run_id(connection.read_response())
        self._newest = life
        self._lives[getattr(connection, "host", ""), getattr(connection, "port", 0)] = life


def _run_id(information: bytes | str) -> str:
    text = information.decode() if isinstance(information, bytes) else information
    for line in text.splitlines():
        if line.startswith("run_id:"):
            return line.removeprefix("run_id:").strip()
    raise RedisConnectionError("the server does not tell its run id")
