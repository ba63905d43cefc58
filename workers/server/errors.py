"""What can go wrong on the wire, and the answer that the client gets when the application cannot give it."""

from collections.abc import Callable
from itertools import count

from workers.protocol.errors import S3Error, render_error

REASONS = {400: "Bad Request", 403: "Forbidden", 405: "Method Not Allowed", 417: "Expectation Failed",
           500: "Internal Server Error", 501: "Not Implemented", 505: "HTTP Version Not Supported"}  # fmt: skip


class BodyError(OSError):
    """The request body cannot be read to its end. The connection is closed after the answer."""


class ClientDisconnected(BodyError):
    """The connection broke."""


class BodyTimeout(BodyError):
    """No byte of the body came within the body time-out."""


class ShortBody(BodyError):
    """The client ended its side of the connection before the announced end of the body."""


class BadChunk(BodyError):
    """The framing of a chunked body is wrong or beyond its limits (RFC 9112 section 7.1)."""


class Expired(OSError):
    """A wait for the peer reached its deadline."""


class ResponseError(Exception):
    """The application broke a rule of WSGI or HTTP with its response."""


class BadHead(Exception):
    """A request head is refused before the application sees it.

    `reason` is for the log; the client gets `error`, with `status` where the wire asks for another than S3's.
    """

    def __init__(self, reason: str, error: S3Error | None = None, status: int | None = None) -> None:
        super().__init__(reason)
        self.error = error or S3Error("BadRequest", "An error occurred when parsing the HTTP request.")
        self.status = status or self.error.status


def error_for_body(error: BodyError) -> S3Error | None:
    """Return the refusal of a request whose body broke off, None when nobody is left to read it."""
    if isinstance(error, BodyTimeout):
        return S3Error("RequestTimeout")
    if isinstance(error, ShortBody):
        return S3Error("IncompleteBody")
    if isinstance(error, BadChunk):
        return S3Error("InvalidRequest", "The chunked encoding of the request body is not valid.")
    return None


def request_ids(seed: int) -> Callable[[], str]:
    """Return a source of request ids of 16 hexadecimal digits: the worker's 32 random bits, then a counter.

    One random number per request would cost 4 % of a small request.
    """
    counter = count(1)
    prefix = f"{seed & 0xFFFFFFFF:08X}"
    return lambda: f"{prefix}{next(counter) & 0xFFFFFFFF:08X}"


def error_answer(error: S3Error, status: int, request_id: str, date_line: str, *, with_body: bool = True) -> bytes:
    """Return a whole HTTP response (head and XML document) that also ends the connection."""
    document = render_error(error, resource="", request_id=request_id, host_id="")
    head = (
        f"HTTP/1.1 {status} {REASONS.get(status, 'Error')}\r\nServer: shardgate\r\n{date_line}\r\n"
        f"x-amz-request-id: {request_id}\r\nContent-Type: application/xml\r\nContent-Length: {len(document)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode("latin-1") + (document if with_body else b"")
