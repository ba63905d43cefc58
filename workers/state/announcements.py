"""Changes of documents, announced to all workers of the fleet by Redis.

A change is announced under the name of its document behind the write. Each worker listens on one connection of its own
(pub/sub: a message is lost when nobody listens, so that a new or broken connection means that everything kept may be
old). Nothing depends on an announcement but how soon a change is seen: what workers keep has a time to live besides.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import gevent
import redis

from workers.state.subscriber import Subscriber

logger = logging.getLogger("shardgate.announcements")

CHANNEL: Final = "shardgate:v1:changes"
RECONNECT_SECONDS: Final = 0.2

Heard = Callable[[str], None]


class Changes:
    """Announces changes, and tells those in this process who want to know.

    Attributes:
        heard: called with the name of each document that changed, here or elsewhere.
        doubted: called when changes may have been missed.
    """

    def __init__(self, client: redis.Redis | None) -> None:
        self._client = client
        self.heard: list[Heard] = []
        self.doubted: list[Callable[[], None]] = []
        self._unsent: dict[str, None] = {}

    def announce(self, name: str) -> bool:
        """Tell everybody that a document has changed; whether all workers hear of it at once.

        While Redis is away the others see the change when their own knowledge has run out.
        """
        self.hear(name)
        if self._client is None:
            return True
        try:
            self._client.publish(CHANNEL, name)
        except redis.RedisError as error:
            logger.warning("a change is not announced: %s: %s", type(error).__name__, error)
            self._unsent[name] = None
            return False
        return True

    def announce_unsent(self) -> None:
        """Announce what could not be announced before. Raises `redis.RedisError`."""
        while self._unsent and self._client is not None:
            name = next(iter(self._unsent))
            self._client.publish(CHANNEL, name)
            del self._unsent[name]

    def hear(self, name: str) -> None:
        """A document has changed."""
        for heard in self.heard:
            heard(name)

    def doubt(self) -> None:
        """Changes may have been missed."""
        for doubted in self.doubted:
            doubted()


class Listener:
    """The worker's ear: `run` never returns."""

    def __init__(self, subscriber: Subscriber, changes: Changes) -> None:
        """`subscriber` hears CHANNEL."""
        self._subscriber = subscriber
        self._changes = changes

    def run(self) -> None:
        """Listen, for as long as the worker lives."""
        while True:
            try:
                for message in self._subscriber.listen():
                    if message is None:
                        self._changes.doubt()
                        self._changes.announce_unsent()
                    else:
                        self._changes.hear(message.data.decode())
            except redis.RedisError as error:
                tell_deaf(error)
            gevent.sleep(RECONNECT_SECONDS)


def tell_deaf(error: Exception) -> None:
    """Log that the connection was lost."""
    logger.warning("redis: changes are not heard of, and are seen late: %s: %s", type(error).__name__, error)
