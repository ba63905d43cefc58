"""Request heads: llhttp checks the syntax and splits the fields, this module adds what it leaves open.

llhttp in its strict default refuses bare LF, obsolete folding, control characters, blanks before a colon, bad or
repeated Content-Length and both framings at once. Refused here: what it lets pass (HTTP/0.9 and 2.0, several blanks,
RTSP and ICE, stacked transfer codings, repeated Host, a target in a form that the method does not have).
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import httptools

from workers.protocol.errors import S3Error
from workers.server.errors import BadHead
from workers.server.limits import Limits

_CACHED: Final = 2048  # names and hosts remembered; a client cannot make a worker remember more
_MAX_LENGTH: Final = (1 << 63) - 1
_MAX_LENGTH_DIGITS: Final = 19
_HOST_CHARACTERS: Final = b"-._~!$&'()*+;=%0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CONNECTIONS: Final = {"keep-alive": True, "Keep-Alive": True, "close": False}
# Fields that a second one makes ambiguous (RFC 9110 section 5.3); Content-Length is llhttp's.
_SINGLE: Final = frozenset(
    {"HTTP_HOST", "CONTENT_TYPE", "CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING", "HTTP_AUTHORIZATION", "HTTP_EXPECT"}
)


class EnvironKeys(dict[bytes, str]):
    """Header names as received -> keys of the environ ("" for a name with an underscore); filled as they come."""

    def __missing__(self, name: bytes) -> str:
        text = name.decode("latin-1").upper()
        if "_" in text:
            key = ""
        elif text in ("CONTENT-TYPE", "CONTENT-LENGTH"):
            key = text.replace("-", "_")
        else:
            key = "HTTP_" + text.replace("-", "_")
        if len(self) < _CACHED and len(name) <= 64:
            self[name] = key
        return key


class Hosts(dict[str, bool]):
    """Values of Host -> whether they are well-formed (RFC 9110 section 7.2); filled as they come."""

    def __missing__(self, host: str) -> bool:
        good = _is_host(host)
        if len(self) < _CACHED and len(host) <= 255:
            self[host] = good
        return good


def _is_host(host: str) -> bool:
    if not host.isascii():
        return False
    name, colon, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    if not colon:
        name = host
    elif port and not port.isdigit():
        return False
    if name.startswith("["):
        return name.endswith("]") and not name[1:-1].encode().translate(None, b"0123456789abcdefABCDEF:.")
    return not name.encode().translate(None, _HOST_CHARACTERS)


class Head:
    """One request head. `environ` is filled in place; the rest tells the connection how to go on.

    `length` is the body's (0 without a body), -1 when it is chunked.
    """

    __slots__ = ("_keys", "complete", "environ", "expects", "http11", "keep_alive", "length", "method", "problem",
                 "underscored")  # fmt: skip

    def __init__(self, environ: dict[str, Any], keys: EnvironKeys) -> None:
        self.environ = environ
        self._keys = keys
        self.complete = False
        self.problem: str | None = None
        self.underscored: dict[str, str] | None = None
        self.method = ""
        self.http11 = False
        self.keep_alive = False
        self.expects = False
        self.length = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """llhttp: one field."""
        key = self._keys[name]
        text = value.decode("latin-1").strip(" \t")
        environ = self.environ
        if key and key not in environ:
            environ[key] = text
        else:
            self._unusual(key, name, text)

    def _unusual(self, key: str, name: bytes, text: str) -> None:
        if not key:
            if self.underscored is None:
                self.underscored = {}
            lower = name.decode("latin-1").lower()
            earlier = self.underscored.get(lower)
            self.underscored[lower] = text if earlier is None else f"{earlier},{text}"
        elif key in _SINGLE:
            self.problem = f"repeated {name.decode('latin-1')}"
        else:
            self.environ[key] += ("; " if key == "HTTP_COOKIE" else ",") + text

    def on_headers_complete(self) -> None:
        """llhttp: the empty line."""
        self.complete = True


def parse_head(block: bytes, environ: dict[str, Any], keys: EnvironKeys, hosts: Hosts, limits: Limits) -> Head:
    """Parse the bytes of one head, from the request line to the empty line; fill `environ`. Raises BadHead."""
    head = Head(environ, keys)
    end = block.index(b"\r\n")
    if end > limits.request_line_bytes or len(block) > limits.header_bytes:
        raise too_large()
    line = block[:end]
    version = line[-9:]
    if version == b" HTTP/1.1":
        head.http11 = True
    elif version != b" HTTP/1.0":
        raise BadHead("not HTTP/1.1 or HTTP/1.0")
    try:
        httptools.HttpRequestParser(head).feed_data(block)
    except httptools.HttpParserUpgrade:
        pass  # the client may ask for another protocol, it is not spoken here (RFC 9110 section 7.8)
    except httptools.HttpParserError as error:
        raise BadHead(str(error)) from None
    if not head.complete or head.problem:
        raise BadHead(head.problem or "incomplete")
    if block.count(b"\n") - 2 > limits.header_count:
        raise too_large()

    blank = line.index(b" ")
    method = head.method = line[:blank].decode("ascii")
    environ["REQUEST_METHOD"] = method
    environ["SERVER_PROTOCOL"] = "HTTP/1.1" if head.http11 else "HTTP/1.0"
    _set_target(line[blank + 1 : -9].decode("ascii"), head, environ)
    host = environ.get("HTTP_HOST")
    if host is None:
        if head.http11:
            raise BadHead("no Host")
    elif not hosts[host]:
        raise BadHead("malformed Host")
    _set_framing(head, environ)
    _set_connection(head, environ)
    return head


def too_large() -> BadHead:
    """Return the refusal of a request line or head beyond its limit."""
    return BadHead("head beyond its limits", S3Error("RequestHeaderSectionTooLarge"))


def _set_target(target: str, head: Head, environ: dict[str, Any]) -> None:
    """Set RAW_URI, PATH_INFO and QUERY_STRING (RFC 9112 section 3.2)."""
    if not target or " " in target or "#" in target:
        raise BadHead("malformed request target")
    if target[0] != "/":
        target = _other_form(target, head, environ)
    environ["RAW_URI"] = target
    path, _, environ["QUERY_STRING"] = target.partition("?")
    environ["PATH_INFO"] = unquote_to_bytes(path).decode("latin-1") if "%" in path else path


def _other_form(target: str, head: Head, environ: dict[str, Any]) -> str:
    """Return the origin form of a target that does not begin with a slash."""
    if head.method == "CONNECT":
        raise BadHead("CONNECT", S3Error("MethodNotAllowed"))
    if target == "*":
        if head.method != "OPTIONS":
            raise BadHead("asterisk target without OPTIONS")
        return target
    scheme, separator, rest = target.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        raise BadHead("request target without a path")
    cut = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    authority = rest[:cut]
    if not authority or "@" in authority or authority.startswith(":"):
        raise BadHead("absolute target without a usable host")
    if "HTTP_HOST" not in environ and head.http11:
        raise BadHead("no Host")
    environ["HTTP_HOST"] = authority  # RFC 9112 section 3.2.2: the received Host is ignored
    origin = rest[cut:]
    return origin if origin[:1] == "/" else "/" + origin


def _set_framing(head: Head, environ: Mapping[str, Any]) -> None:
    """Set `length` (RFC 9112 section 6)."""
    coding: str | None = environ.get("HTTP_TRANSFER_ENCODING")
    length: str | None = environ.get("CONTENT_LENGTH")
    if coding is not None:
        if not head.http11 or length is not None:
            raise BadHead("Transfer-Encoding with HTTP/1.0 or Content-Length")
        if coding.lower() != "chunked":
            raise BadHead("Transfer-Encoding other than chunked", S3Error("NotImplemented"))
        head.length = -1
    elif length is not None:
        # llhttp saw to the digits; this holds whatever it does
        if not (length.isascii() and length.isdigit()) or len(length) > _MAX_LENGTH_DIGITS:
            raise BadHead("malformed Content-Length")
        head.length = int(length)
        if head.length > _MAX_LENGTH:
            raise BadHead("Content-Length out of range")


def _set_connection(head: Head, environ: Mapping[str, Any]) -> None:
    """Set `keep_alive` and `expects` (RFC 9112 section 9.3, RFC 9110 section 10.1.1)."""
    connection: str | None = environ.get("HTTP_CONNECTION")
    if connection is None:
        head.keep_alive = head.http11
    else:
        keep = _CONNECTIONS.get(connection)
        if keep is None:
            options = {option.strip() for option in connection.lower().split(",")}
            keep = "close" not in options and (head.http11 or "keep-alive" in options)
        head.keep_alive = keep
    expectation: str | None = environ.get("HTTP_EXPECT")
    if expectation is not None:
        if expectation.lower() != "100-continue":
            error = S3Error("PreconditionFailed", "The expectation given in the Expect header is not supported.")
            raise BadHead("unknown expectation", error, status=417)
        head.expects = head.http11
