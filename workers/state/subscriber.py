"""What others publish, heard over one connection of its own, in every form of deployment."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.exceptions import RedisError

from workers.state.redis import TIMEOUT, connect
from workers.state.redis_cluster import ClusterClient

_PING_SECONDS: Final = 1.0
_PAUSES: Final = (0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Message:
    """One publication."""

    channel: str
    data: bytes


class Subscriber:
    """Hears channels for ever: connects anew whenever the connection is lost, or silent although it was asked.

    Redis keeps nothing for subscribers that are away. So `listen` says when messages may have been missed, and
    `hearing` whether they are being missed now.
    """

    def __init__(
        self,
        url: str,
        channels: Sequence[str],
        *,
        timeout: float = TIMEOUT,
        lost: Callable[[Exception], None] = lambda error: None,
        sleep: Callable[[float], Any] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is sent yet. `timeout` (seconds) bounds connecting and how long an answer is waited for.

        `lost` is told why there is no connection any more, once for each loss. Raises `UnsupportedRedisUrl`.
        """
        # A pool of two: a connection that broke is given back after its successor was taken.
        self._client = connect(url, timeout=timeout, max_connections=2)
        self._channels = tuple(channels)
        self._timeout = timeout
        self._lost = lost
        self._sleep = sleep
        self._clock = clock
        self._closed = threading.Event()
        self.hearing = False
        """Whether the connection stands, by the last that is known; wrong for a few seconds after a silent loss."""

    def listen(self) -> Iterator[Message | None]:
        """Messages as they come; None where some may have been missed, which is also the first that comes.

        Ends after `close`. For a greenlet or thread of its own.
        """
        failures = 0
        while not self._closed.is_set():
            try:
                for found in self._connected():
                    failures = 0
                    yield found
            except (RedisError, OSError) as error:
                if not failures:
                    self._lost(error)
            self.hearing = False
            if self._closed.is_set():
                return
            self._sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
            failures += 1
            self._look_for_others()

    def close(self) -> None:
        """Stop: `listen` ends within the time-out."""
        self._closed.set()

    def _connected(self) -> Iterator[Message | None]:
        """What one connection brings until it fails, which raises."""
        subscription: Any = self._client.pubsub()  # type: ignore[no-untyped-call]
        waiting = set(self._channels)
        try:
            subscription.subscribe(*self._channels)
            deadline = self._clock() + self._timeout
            next_ping = self._clock() + _PING_SECONDS
            pinged = False
            while not self._closed.is_set():
                found = subscription.get_message(timeout=self._timeout / 2)
                now = self._clock()
                if found is None:
                    if (waiting or pinged) and now > deadline:
                        raise TimeoutError("the server says nothing")
                    if not pinged and now > next_ping:
                        subscription.ping()
                        pinged, deadline = True, now + self._timeout
                    continue
                pinged, next_ping = False, now + _PING_SECONDS
                kind = found["type"]
                if kind == "message":
                    yield Message(found["channel"].decode(), found["data"])
                elif kind == "subscribe":
                    # Again, when redis-py has replaced a broken connection by itself.
                    waiting.discard(found["channel"].decode())
                    if not waiting:
                        self.hearing = True
                        yield None
        finally:
            subscription.close()

    def _look_for_others(self) -> None:
        """The node that was heard may have left the cluster."""
        if isinstance(self._client, ClusterClient):
            try:
                self._client.look_again()
            except RedisError:
                pass
