"""Changes of documents, announced to all workers of the fleet by Redis.

A change is announced under the name of its document behind the write. Each worker listens on one connection of its own
(pub/sub: a message is lost when nobody listens, so that a new or broken connection means that everything kept may be
old). Nothing depends on an announcement but how soon a change is seen: what workers keep has a time to live besides.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, NoReturn

import gevent
import redis

from workers.state.subscriber import Subscriber

logger = logging.getLogger("shardgate.announcements")

CHANNEL: Final = "shardgate:v1:changes"
PREFIX: Final = "shardgate:v1:{iam}:"
"""One hash tag: a change and the counter of changes are one step."""
COUNTER: Final = f"{PREFIX}changes"
RECONNECT_SECONDS: Final = 0.2
RESEND_SECONDS: Final = 1.0
AWAY_SECONDS: Final = 5.0
"""For so long Redis is not tried again when it did not answer."""

Heard = Callable[[str], None]


def document_key(name: str) -> str:
    """Where Redis keeps a document of identities."""
    return f"{PREFIX}document:{name}"


class Changes:
    """Announces changes, and tells those in this process who want to know.

    Attributes:
        heard: called with the name of each document that changed, here or elsewhere.
        doubted: called when changes may have been missed.
    """

    def __init__(self, client: redis.Redis | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._away_until = 0.0
        self.heard: list[Heard] = []
        self.doubted: list[Callable[[], None]] = []
        self._unsent: dict[str, None] = {}
        """In their order, each once."""

    def announce(self, name: str) -> bool:
        """Tell everybody that a document has changed; whether all workers hear of it at once.

        While Redis is away the others see the change when their own knowledge has run out.
        """
        self.hear(name)
        if self._client is None:
            return True
        self._unsent[name] = None
        if self._clock() < self._away_until:
            return False
        try:
            self.announce_unsent()
        except redis.RedisError as error:
            logger.warning("a change is not announced: %s: %s", type(error).__name__, error)
            self._away_until = self._clock() + AWAY_SECONDS
            return False
        return True

    def announce_unsent(self) -> None:
        """Announce what could not be announced before. Raises `redis.RedisError`."""
        while self._unsent and self._client is not None:
            name = next(iter(self._unsent))
            if name.startswith("iam/"):
                with self._client.pipeline() as pipe:
                    pipe.incr(COUNTER)
                    pipe.delete(document_key(name))
                    pipe.execute()
            self._client.publish(CHANNEL, name)
            self._unsent.pop(name, None)

    def resend(self) -> NoReturn:
        """Announce what could not be announced, for as long as the worker lives, as soon as Redis is back."""
        while True:
            gevent.sleep(RESEND_SECONDS)
            try:
                self.announce_unsent()
            except redis.RedisError:
                continue

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
                self.listen()
            except redis.RedisError as error:
                tell_deaf(error)
            gevent.sleep(RECONNECT_SECONDS)

    def listen(self) -> None:
        """Listen until the subscriber is closed. Raises `redis.RedisError`."""
        for message in self._subscriber.listen():
            if message is None:
                self._changes.doubt()
                self._changes.announce_unsent()
            else:
                # Whoever else publishes here must not deafen the worker.
                self._changes.hear(message.data.decode(errors="replace"))


def tell_deaf(error: Exception) -> None:
    """Log that the connection was lost."""
    logger.warning("redis: changes are not heard of, and are seen late: %s: %s", type(error).__name__, error)
