"""The PROXY protocol, versions 1 and 2: a load balancer's word on who the client is.

Source: "The PROXY protocol", HAProxy, section 2.
"""

import ipaddress
import struct
from collections.abc import Callable
from typing import Final

from workers.protocol.errors import S3Error
from workers.server.errors import BadHead

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_LINE_BYTES: Final = 107  # the longest line of version 1, CRLF included
_BLOCK_BYTES: Final = 4096  # version 2 with all its options; longer ones are nobody's
_STREAM: Final = {1: (4, "!4s4sHH"), 2: (6, "!16s16sHH")}

Address = tuple[str, int]


def read_proxy_header(
    buffer: bytes, more: Callable[[], bytes], mode: str, allowed: bool
) -> tuple[Address | None, bytes]:
    """Take a PROXY header off the start of a connection.

    `buffer` is what was received, `more` receives more (b"" at the end), `mode` is gunicorn's `proxy_protocol` (v1, v2
    or auto). Returns the client's address (None: the peer itself) and the bytes behind the header. A connection
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


def _version1(buffer: bytes, more: Callable[[], bytes]) -> tuple[Address | None, bytes]:
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
    return (str(source), int(ports[0])), rest


def _version2(buffer: bytes, more: Callable[[], bytes]) -> tuple[Address | None, bytes]:
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
    return (str(ipaddress.ip_address(source)), port), rest
