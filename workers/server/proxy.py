"""The PROXY protocol, versions 1 and 2: a load balancer's word on who the client is, and whether it came by TLS.

Source: "The PROXY protocol", HAProxy, section 2.
"""

import ipaddress
import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from workers.protocol.errors import S3Error
from workers.server.errors import BadHead

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_LINE_BYTES: Final = 107  # the longest line of version 1, CRLF included
_BLOCK_BYTES: Final = 4096  # version 2 with all its options; longer ones are nobody's
_STREAM: Final = {1: (4, "!4s4sHH"), 2: (6, "!16s16sHH")}

_TLS: Final = 0x20  # PP2_TYPE_SSL, section 2.2.5
_TLS_CLIENT: Final = 0x01  # PP2_CLIENT_SSL: the client's own connection
_TLS_VERSION: Final = 0x21  # PP2_SUBTYPE_SSL_VERSION


class Client(NamedTuple):
    """Who the client is. `tls` is the version as OpenSSL names it, "TLSv1.3"; empty for a connection without TLS."""

    address: str
    port: int
    tls: str = ""


def read_proxy_header(
    buffer: bytes, more: Callable[[], bytes], mode: str, allowed: bool
) -> tuple[Client | None, bytes]:
    """Take a PROXY header off the start of a connection.

    `buffer` is what was received, `more` receives more (b"" at the end), `mode` is gunicorn's `proxy_protocol` (v1, v2
    or auto). Returns the client (None: the peer itself) and the bytes behind the header. A connection
    without a header is left as it is. Raises BadHead for a malformed header or a peer that may not send one.
    """
    versions = {"v1": (1,), "v2": (2,)}.get(mode, (1, 2))
    starts = [start for version, start in ((1, b"PROXY "), (2, SIGNATURE)) if version in versions]
    while any(len(buffer) < len(start) and start.startswith(buffer) for start in starts):
        data = more()
        if not data:
            return None, buffer
        buffer += data
    start = next((start for start in starts if buffer.startswith(start)), None)
    if start is None:
        return None, buffer
    if not allowed:
        raise BadHead("PROXY header from a peer that is not allowed to send one", S3Error("AccessDenied"))
    if start is SIGNATURE:
        return _version2(buffer, more)
    return _version1(buffer, more)


def _fill(buffer: bytes, more: Callable[[], bytes]) -> bytes:
    data = more()
    if not data:
        raise BadHead("truncated PROXY header")
    return buffer + data


def _version1(buffer: bytes, more: Callable[[], bytes]) -> tuple[Client | None, bytes]:
    while (end := buffer.find(b"\r\n", 0, _LINE_BYTES)) < 0:
        if len(buffer) >= _LINE_BYTES:
            raise BadHead("PROXY line is too long")
        buffer = _fill(buffer, more)
    words = buffer[:end].decode("latin-1").split(" ")
    rest = buffer[end + 2 :]
    if words[1] == "UNKNOWN":
        return None, rest
    versions = {"TCP4": 4, "TCP6": 6}
    if len(words) != 6 or words[1] not in versions:
        raise BadHead("malformed PROXY line")
    try:
        source = ipaddress.ip_address(words[2])
        destination = ipaddress.ip_address(words[3])
    except ValueError:
        raise BadHead("malformed address in PROXY line") from None
    ports = words[4:]
    if not source.version == destination.version == versions[words[1]]:
        raise BadHead("address of another family in PROXY line")
    if not all(port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535 for port in ports):
        raise BadHead("malformed port in PROXY line")
    return Client(str(source), int(ports[0])), rest


def _version2(buffer: bytes, more: Callable[[], bytes]) -> tuple[Client | None, bytes]:
    while len(buffer) < 16:
        buffer = _fill(buffer, more)
    version_command, family_transport, size = struct.unpack_from("!BBH", buffer, 12)
    if version_command >> 4 != 2 or version_command & 15 > 1 or size > _BLOCK_BYTES:
        raise BadHead("unknown PROXY version or command, or too long")
    while len(buffer) < 16 + size:
        buffer = _fill(buffer, more)
    rest = buffer[16 + size :]
    family = family_transport >> 4
    if version_command & 15 == 0 or family not in _STREAM:
        return None, rest  # LOCAL (a health check), an unknown family, or a unix socket: the peer speaks for itself
    _, layout = _STREAM[family]
    if family_transport & 15 != 1 or size < struct.calcsize(layout):
        raise BadHead("malformed PROXY block")
    source, _, port, _ = struct.unpack_from(layout, buffer, 16)
    tls = _tls(buffer[16 + struct.calcsize(layout) : 16 + size])
    return Client(str(ipaddress.ip_address(source)), port, tls), rest


def _tls(options: bytes) -> str:
    """The TLS version that the options behind the addresses tell of."""
    for kind, value in _options(options):
        # client, a bit field, and verify, which is about client certificates; then options of the same form.
        if kind == _TLS and len(value) >= 5 and value[0] & _TLS_CLIENT:
            found = next((inner for kind, inner in _options(value[5:]) if kind == _TLS_VERSION), b"TLS")
            return found.decode("latin-1")
    return ""


def _options(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        if len(data) < 3:
            raise BadHead("malformed option in PROXY block")
        kind, size = struct.unpack_from("!BH", data)
        if len(data) < 3 + size:
            raise BadHead("malformed option in PROXY block")
        yield kind, data[3 : 3 + size]
        data = data[3 + size :]
