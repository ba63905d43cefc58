"""A small TLS-terminating proxy, as a load balancer in front of the gateway would be."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import trustme

_BLOCK = 64 * 1024


class TlsFront:
    """Accepts TLS on a free port of 127.0.0.1 and passes the bytes on, unchanged, to *target* (``host:port``).

    `url` is where it listens and `authority` the PEM file that clients have to trust.
    """

    def __init__(self, target: str, directory: Path) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        authority = trustme.CA()
        self.authority = directory / "authority.pem"
        authority.cert_pem.write_to_path(str(self.authority))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self._context)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._sockets: set[socket.socket] = set()
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> TlsFront:
        self._spawn(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # shutdown() wakes the threads that wait in accept() and recv(); close() alone would not.
        for open_socket in (self._listener, *tuple(self._sockets)):
            with contextlib.suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _spawn(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            self._spawn(self._serve, plain)

    def _serve(self, plain: socket.socket) -> None:
        try:
            with (
                self._context.wrap_socket(plain, server_side=True) as client,
                socket.create_connection(self._target) as server,
            ):
                self._sockets |= {client, server}
                _relay(client, server)
                self._sockets -= {client, server}
        except OSError:  # a client that leaves in the middle is none of the proxy's business
            plain.close()


def _relay(client: ssl.SSLSocket, server: socket.socket) -> None:
    """Copy both ways until one side ends. One thread, since OpenSSL's connections are not for two."""
    while True:
        # Bytes that OpenSSL has decrypted already do not show up in select().
        ready = [client] if client.pending() else select.select([client, server], [], [])[0]
        for source in ready:
            block = source.recv(_BLOCK)
            if not block:
                return
            (server if source is client else client).sendall(block)
