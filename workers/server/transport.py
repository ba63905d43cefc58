"""A client's socket under gevent: every operation is tried first, and waits with a deadline only when it must.

gevent's own send and recv cost a getsockopt or a timer per call; here a deadline is one attribute that the worker
looks at a few times a second (see `Transport.deadline`), so that a wait costs nothing but the wait.
"""

import errno
import math
import os
import socket
import struct
from collections.abc import Sequence
from time import monotonic
from typing import Any, Final

import gevent

from workers.server.errors import Expired

NEVER: Final = math.inf
_YIELD_BYTES: Final = 1 << 20  # moved without a wait before the neighbours get a turn
_READ_BYTES: Final = 1 << 18
_DISCARD_BYTES: Final = 1 << 18
# What a system without non-blocking buffered reads answers to RWF_NOWAIT.
_NO_NOWAIT: Final = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})


class Transport:
    """A plain TCP or unix socket.

    `deadline` is the monotonic time at which the present wait ends with Expired (NEVER: not waiting). `fresh` is true
    before the first byte of the first request, `idle` between two requests. `accepted` counts the bytes that the kernel
    took of the latest send.
    """

    __slots__ = (
        "_moved",
        "_raw",
        "_read_event",
        "_sock",
        "_write_event",
        "accepted",
        "deadline",
        "fresh",
        "hub",
        "idle",
    )

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._raw = sock._sock
        self.hub = sock.hub
        self._read_event = sock._read_event
        self._write_event = sock._write_event
        self._moved = 0
        self.accepted = 0
        self.deadline = NEVER
        self.idle = False
        self.fresh = True

    # waiting

    def expire(self) -> None:
        """End the present wait, if there is one, with Expired."""
        self.deadline = 0.0
        # Both, because TLS may read in order to write. A socket that nobody waits on is left alone.
        self.hub.cancel_wait(self._read_event, Expired)
        self.hub.cancel_wait(self._write_event, Expired)

    def _wait(self, watcher: Any, deadline: float) -> None:
        self._moved = 0
        self.deadline = deadline
        try:
            while True:
                try:
                    self.hub.wait(watcher)
                except Expired:
                    # Meant for an earlier wait that ended by itself in the same turn of the loop?
                    if monotonic() >= self.deadline:
                        raise
                else:
                    return
        finally:
            self.deadline = NEVER

    def _account(self, size: int) -> None:
        """Give the neighbours a turn when much was moved without waiting: a fast peer never blocks."""
        self._moved += size
        if self._moved >= _YIELD_BYTES:
            self._moved = 0
            gevent.sleep(0)

    def yield_after(self, size: int) -> None:
        """Count work worth `size` bytes that did not pass through the socket."""
        self._account(size)

    # receiving

    def recv(self, size: int, deadline: float) -> bytes:
        """Return up to `size` bytes, b"" when the peer has ended its side. Raises Expired, or OSError of the socket."""
        while True:
            try:
                data: bytes = self._raw.recv(size)
            except BlockingIOError:
                self._wait(self._read_event, deadline)
            else:
                self._account(len(data))
                return data

    def recv_into(self, view: memoryview, deadline: float) -> int:
        """Fill the start of `view`; return how much, 0 when the peer has ended its side. Raises as recv."""
        while True:
            try:
                size: int = self._raw.recv_into(view)
            except BlockingIOError:
                self._wait(self._read_event, deadline)
            else:
                self._account(size)
                return size

    def recv_later(self, size: int, deadline: float) -> bytes:
        """Like recv, for data that is hardly there yet: waits first, which saves a call that would fail."""
        self._wait(self._read_event, deadline)
        return self.recv(size, deadline)

    def recv_now(self, size: int) -> bytes | None:
        """Return what is there without waiting, None when nothing is."""
        try:
            data: bytes = self._raw.recv(size)
        except BlockingIOError:
            return None
        return data

    def discard(self, most: int, deadline: float) -> None:
        """Read and throw away until the peer's end, `most` bytes, `deadline`, or an error."""
        scratch = memoryview(bytearray(_DISCARD_BYTES))
        try:
            while most > 0:
                size = self.recv_into(scratch[: min(most, _DISCARD_BYTES)], deadline)
                if not size:
                    return
                most -= size
                if monotonic() >= deadline:
                    return
        except OSError:
            return

    # sending

    def send(self, data: bytes, seconds: float) -> None:
        """Send all of `data`; `seconds` bound each wait for the peer. Raises Expired, or OSError of the socket."""
        self.accepted = 0
        try:
            size: int = self._raw.send(data)
        except BlockingIOError:
            size = 0
        self.accepted = size
        if size == len(data):
            self._account(size)
        else:
            self._send_rest(memoryview(data)[size:], seconds)

    def send_parts(self, parts: Sequence[bytes | bytearray], seconds: float) -> None:
        """Send the parts one after the other in as few calls as possible (at most 1000 of them). Raises as send."""
        self.accepted = 0
        try:
            size: int = self._raw.sendmsg(parts)
        except BlockingIOError:
            size = 0
        self.accepted = size
        for part in parts:
            if size >= len(part):
                size -= len(part)
            else:
                self._send_rest(memoryview(part)[size:], seconds)
                size = 0
        self._account(self.accepted)

    def _send_rest(self, view: memoryview, seconds: float) -> None:
        while view:
            try:
                size: int = self._raw.send(view)
            except BlockingIOError:
                self._wait(self._write_event, monotonic() + seconds)
            else:
                self.accepted += size
                view = view[size:]
                self._account(size)

    def send_file(self, fd: int, offset: int, length: int, seconds: float) -> int:
        """Send `length` bytes of an open file; return how many there were (fewer when the file is shorter).

        `accepted` counts as it goes. One buffer is filled and sent over and over: 64 MiB files over loopback left at
        2.1 to 2.3 GB/s, by sendfile at 1.5 to 1.7, for the same 0.25 s of CPU per GB (runs taken in turns). It serves
        TLS too, and never waits for the disk in the event loop. A real network card may favour sendfile: not measured.
        """
        total = 0
        with memoryview(bytearray(min(_READ_BYTES, length))) as view:
            while total < length:
                self.accepted = total
                size = read_file_into(fd, view[: min(len(view), length - total)], offset + total, self.hub)
                if not size:
                    break
                self._send_rest(view[:size], seconds)
                total = self.accepted
        return total

    # ending

    def end_sending(self) -> None:
        """Tell the peer that nothing more comes (FIN)."""
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the peer is gone already, as the next call finds out

    def reset_on_close(self) -> None:
        """Make close() a reset (RST), so that a body ended by the connection's end is not taken for whole."""
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass  # the peer is gone already

    def close(self) -> None:
        """Close the socket."""
        try:
            self._sock.close()
        except OSError:
            pass  # reset by the peer: the descriptor is released all the same


class TlsTransport(Transport):
    """A TLS socket of gevent. It waits inside its own calls, so that only the deadline is set here."""

    __slots__ = ()

    @property
    def version(self) -> str:
        """The protocol's version as OpenSSL names it, "TLSv1.3"; known after the handshake."""
        return self._sock.version() or ""

    def handshake(self, deadline: float) -> None:
        """Shake hands. Raises Expired, or OSError (ssl.SSLError among them)."""
        self.deadline = deadline
        try:
            self._sock.do_handshake()
        finally:
            self.deadline = NEVER

    def recv(self, size: int, deadline: float) -> bytes:
        """See Transport."""
        self.deadline = deadline
        try:
            data: bytes = self._sock.recv(size)
        finally:
            self.deadline = NEVER
        self._account(len(data))
        return data

    def recv_into(self, view: memoryview, deadline: float) -> int:
        """See Transport."""
        self.deadline = deadline
        try:
            size: int = self._sock.recv_into(view)
        finally:
            self.deadline = NEVER
        self._account(size)
        return size

    def recv_later(self, size: int, deadline: float) -> bytes:
        """See Transport. Decrypted bytes may wait in the TLS layer where no event tells of them."""
        return self.recv(size, deadline)

    def recv_now(self, size: int) -> bytes | None:
        """See Transport."""
        self._sock.settimeout(0.0)
        try:
            data: bytes = self._sock.recv(size)
        except (BlockingIOError, TimeoutError):
            return None
        except OSError as error:
            if error.errno in (2, 3):  # ssl.SSL_ERROR_WANT_READ, ssl.SSL_ERROR_WANT_WRITE
                return None
            raise
        finally:
            self._sock.settimeout(None)
        return data

    def send(self, data: bytes, seconds: float) -> None:
        """See Transport."""
        self.accepted = 0
        self._send_rest(memoryview(data), seconds)

    def send_parts(self, parts: Sequence[bytes | bytearray], seconds: float) -> None:
        """See Transport."""
        self.send(b"".join(parts), seconds)

    def _send_rest(self, view: memoryview, seconds: float) -> None:
        while view:
            self.deadline = monotonic() + seconds
            try:
                size: int = self._sock.send(view[:_READ_BYTES])
            finally:
                self.deadline = NEVER
            self.accepted += size
            view = view[size:]
            self._account(size)


def read_file(fd: int, offset: int, length: int, hub: Any) -> bytearray:
    """Return `length` bytes at `offset`, fewer only at the file's end; in the thread pool when the disk is needed."""
    data = bytearray(length)
    have = 0
    with memoryview(data) as view:
        while have < length and (size := read_file_into(fd, view[have:], offset + have, hub)):
            have += size
    return data if have == length else data[:have]


def read_file_into(fd: int, view: memoryview, offset: int, hub: Any) -> int:
    """Fill the start of `view` with what is at `offset`; return how much, 0 at the file's end."""
    try:
        return os.preadv(fd, [view], offset, os.RWF_NOWAIT)
    except BlockingIOError:
        pass  # not in the page cache
    except OSError as error:
        if error.errno not in _NO_NOWAIT:
            raise
    size: int = hub.threadpool.apply(os.preadv, (fd, [view], offset))
    return size
