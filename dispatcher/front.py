"""The shard's listening socket and its readiness, as the supervisor sees them."""

import errno
import http.client
import os
import socket
import ssl
import stat
from pathlib import Path
from typing import Final

from dispatcher.processes import SupervisionError
from workers.settings import Settings

READY_PATH: Final = "/-/ready"


def listen(settings: Settings) -> socket.socket:
    """Bind and listen. Raises SupervisionError with one line that names the address.

    The supervisor holds the socket and hands it to gunicorn: a port in use is found out before anything starts, and
    connections wait in the kernel while a gunicorn that died is replaced.
    """
    if settings.listen_socket is not None:
        return _listen_unix(settings.listen_socket, settings.backlog)
    try:
        resolved = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )
    except socket.gaierror as error:
        raise SupervisionError(f"host: {settings.host} is not an address of this machine: {error.strerror}") from None
    family, _, _, _, address = resolved[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(settings.backlog)
    except OSError as error:
        listener.close()
        raise SupervisionError(_refusal(settings, error)) from None
    return listener


def _refusal(settings: Settings, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {settings.port} on {settings.host} is in use; --port chooses another"
    if error.errno == errno.EACCES:
        return f"port {settings.port} on {settings.host} may not be used by this user"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"host: {settings.host} is not an address of this machine"
    return f"cannot listen on {settings.bind}: {error.strerror}"


def _listen_unix(path: Path, backlog: int) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        listener.bind(str(path))
        # As reachable as a port on the loopback address would be; requests are signed.
        os.chmod(path, 0o666)  # noqa: S103
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)  # a path that is too long has no errno
        raise SupervisionError(f"listen_socket: cannot listen on {path}: {reason}") from None
    except SupervisionError:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody listens on any more."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise SupervisionError(f"listen_socket: {path} exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise SupervisionError(f"listen_socket: {path} is in use")


def ready_status(settings: Settings, *, timeout: float = 1.0) -> int | None:
    """What the shard answers to the readiness check: an HTTP status, or None for no answer."""
    try:
        return ask_ready(settings, timeout=timeout)[0]
    except (OSError, http.client.HTTPException):
        return None


def ask_ready(settings: Settings, *, timeout: float = 1.0) -> tuple[int, bytes]:
    """Status and document of the readiness check. Raises OSError or http.client.HTTPException."""
    connection = http.client.HTTPConnection("localhost", timeout=timeout)
    try:
        connection.sock = _connect(settings, timeout)
        connection.request("GET", READY_PATH, headers={"Connection": "close"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _connect(settings: Settings, timeout: float) -> socket.socket:
    if settings.listen_socket is not None:
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connected.settimeout(timeout)
        connected.connect(str(settings.listen_socket))
    else:
        host = settings.endpoint.partition("://")[2].rpartition(":")[0].strip("[]")
        connected = socket.create_connection((host, settings.port), timeout)
    if settings.tls_certificate is None:
        return connected
    # Asked whether it works, not who it is: the certificate is for the clients' name of this host.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(connected)
