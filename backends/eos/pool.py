"""Idle connections to MGMs and FSTs, by address."""

from __future__ import annotations

import ssl
import time
from collections import deque
from typing import Final

from backends.eos.connection import Address, Connection

_IDLE_SECONDS: Final = 20.0
"""XRootD closes what was idle for longer; a connection is not used again when that is near."""


class Pool:
    """Connections of one worker. The last one that was given back is used first, so that the others grow old.

    `context` is used for https; `connect` and `seconds` bound connecting and each later wait; `limit` idle connections
    are kept for one address.
    """

    def __init__(self, context: ssl.SSLContext | None, *, connect: float, seconds: float, limit: int) -> None:
        self._context = context
        self._connect = connect
        self._seconds = seconds
        self._limit = limit
        self._idle: dict[Address, deque[Connection]] = {}
        self._closed = False

    def take(self, address: Address) -> Connection:
        """A connection, an idle one where one is still good. Raises `NotConnected`."""
        idle = self._idle.get(address)
        while idle:
            try:
                connection = idle.pop()
            except IndexError:  # another thread took it
                break
            if time.monotonic() - connection.idle_since < _IDLE_SECONDS and connection.is_quiet():
                return connection
            connection.close()
        return self.fresh(address)

    def fresh(self, address: Address) -> Connection:
        """A new connection. Raises `NotConnected`."""
        return Connection.connect(address, self._context, self._connect, self._seconds)

    def give(self, connection: Connection) -> None:
        """Take a connection back after its answer was read to the end; one that is not reusable is closed."""
        if not connection.reusable or self._closed:
            connection.close()
            return
        connection.idle_since = time.monotonic()
        idle = self._idle.setdefault(connection.address, deque())
        idle.append(connection)
        if len(idle) > self._limit:
            try:
                idle.popleft().close()
            except IndexError:
                pass

    def close(self) -> None:
        """Close all idle connections; those in use are closed when they come back."""
        self._closed = True
        for idle in self._idle.values():
            while idle:
                idle.pop().close()
        self._idle.clear()
