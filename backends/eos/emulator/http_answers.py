"""What the MGM's and the FSTs' HTTP ends have in common: errors, paths and queries."""

import errno
import html
from email.utils import formatdate
from typing import Final
from urllib.parse import quote, unquote, unquote_to_bytes

from backends.eos.emulator import layouts
from backends.eos.emulator.entries import SECOND, Container, File
from backends.eos.emulator.failures import EosError, printable
from backends.eos.emulator.wire import Connection, Request

VERSION: Final = "5.4.11"
_STATUS: Final = {
    errno.ENOENT: 404,
    errno.EPERM: 403,
    errno.EACCES: 403,
    errno.EDQUOT: 507,
    errno.ENOSPC: 507,
    errno.EAGAIN: 409,
    errno.EOPNOTSUPP: 501,
    errno.EILSEQ: 422,
    errno.ETXTBSY: 503,
}


class HttpFailure(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def failure(error: EosError, *, put: bool = False) -> HttpFailure:
    """The answer for an errno; numbers that are HTTP's already pass."""
    if error.code in (400, 412, 416):
        return HttpFailure(error.code, error.text)
    status = 409 if put and error.code == errno.ENOENT else _STATUS.get(error.code, 500)
    return HttpFailure(status, error.text)


def answer_failure(connection: Connection, error: HttpFailure, *, bare: bool = False) -> None:
    """Send an error with its text for humans."""
    body = (html.escape(error.text, quote=False) + "\n").encode("utf-8", "replace")
    connection.respond(error.status, [("Content-Type", "text/html")], body, bare=bare)


def decoded_path(request: Request) -> bytes:
    """The path of the namespace that a request names."""
    return unquote_to_bytes(request.path.encode("utf-8", "surrogateescape"))


def opaque(query: str) -> dict[str, str]:
    """The `k=v` pairs of a query, decoded once; `#AND#` in a value is a `&`. The last of several counts."""
    pairs = (part.partition("=") for part in query.split("&") if part)
    return {unquote(name): unquote(value, errors="surrogateescape").replace("#AND#", "&") for name, _, value in pairs}


def escaped(path: bytes) -> str:
    """A path as it stands in a Location."""
    return quote(path, safe="/-._~!*'()@:,;")


def http_date(nanoseconds: int) -> str:
    """RFC 1123."""
    return formatdate(nanoseconds // SECOND, usegmt=True)


def entry_headers(entry: File | Container) -> list[tuple[str, str]]:
    """What HEAD and a GET of an empty file say; directories have no length."""
    headers = [("Last-Modified", http_date(entry.mtime)), ("Accept-Ranges", "bytes"), ("X-Eos-Mgm-Version", VERSION)]
    if isinstance(entry, Container):
        return [*headers, ("ETag", layouts.container_etag(entry))]
    disposition = f'filename="{printable(entry.name)}"'
    return [
        ("Content-Length", str(entry.size)),
        ("ETag", layouts.file_etag(entry)),
        ("Content-Disposition", disposition),
        *headers,
    ]
