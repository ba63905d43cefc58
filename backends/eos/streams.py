"""Server-streaming calls to one MGM, over connections of their own beside grpcio's.

docs/decisions/eos-find.md tells why grpcio does not carry them.
"""

from __future__ import annotations

import ssl
import time
from collections import deque
from collections.abc import Generator
from typing import Final

from backends.eos.frames import Clock, StreamConnection, StreamFailed
from backends.eos.options import Options

_IDLE_SECONDS: Final = 60.0
_KEPT: Final = 16
"""Idle connections: as many directories are read at once (`listing.py`)."""
_MANY: Final = 64
"""Messages after which others have a turn: reading a socket that has data switches to nobody else."""


class Streams:
    """The connections to one MGM. The last one that was given back is used first, so that the others grow old."""

    def __init__(self, target: str, context: ssl.SSLContext | None, options: Options) -> None:
        """`context` is for TLS, None for clear text."""
        self._target: Final = target
        self._context: Final = context
        self._options: Final = options
        self._idle: Final[deque[StreamConnection]] = deque()
        self._closed = False

    def call(self, path: str, message: bytes, seconds: float) -> Generator[list[bytes]]:
        """The messages of a stream, as many at a time as have come. A generator: closed early, it ends the call.

        Raises `StreamFailed` for every end but a proper one.
        """
        clock = Clock(seconds, self._options.keepalive, self._options.call_timeout)
        connection, messages = self._begun(path, message, clock)
        try:
            while messages is not None:
                yield messages
                if len(messages) > _MANY:
                    time.sleep(0)
                messages = connection.next(clock)
        except GeneratorExit:
            connection.leave()
            raise
        except StreamFailed:
            # Either the call ended, and its connection is as good as before, or that is closed.
            raise
        except BaseException:
            connection.close()
            raise
        finally:
            self._give(connection)

    def close(self) -> None:
        """Close all idle connections; those in use are closed when they come back."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def _begun(self, path: str, message: bytes, clock: Clock) -> tuple[StreamConnection, list[bytes] | None]:
        """A connection, and the first messages of the call on it."""
        idle = self._quiet()
        if idle is not None:
            try:
                return idle, self._first(idle, path, message, clock)
            except StreamFailed:
                # Without any answer it was closed while it was idle, which says nothing of the server.
                if idle.answered or clock.left() <= 0:
                    raise
        fresh = StreamConnection.connect(
            self._target, self._context, self._options.tls.server_name, self._options.connect_timeout
        )
        return fresh, self._first(fresh, path, message, clock)

    def _first(self, connection: StreamConnection, path: str, message: bytes, clock: Clock) -> list[bytes] | None:
        try:
            connection.begin(path, message, clock)
            return connection.next(clock)
        except StreamFailed:
            self._give(connection)
            raise
        except BaseException:
            connection.close()
            raise

    def _quiet(self) -> StreamConnection | None:
        """An idle connection that is still good."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread took it
                break
            if time.monotonic() - connection.idle_since < _IDLE_SECONDS and connection.is_quiet():
                return connection
            connection.close()
        return None

    def _give(self, connection: StreamConnection) -> None:
        if not connection.reusable or self._closed:
            connection.close()
            return
        connection.idle_since = time.monotonic()
        self._idle.append(connection)
        if len(self._idle) > _KEPT:
            try:
                self._idle.popleft().close()
            except IndexError:
                pass
