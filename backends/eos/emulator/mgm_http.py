"""The HTTP end of an MGM: redirects for data, and the other verbs."""

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from backends.eos.emulator import layouts, opening, paths, proc, removal, webdav
from backends.eos.emulator.capabilities import Capability
from backends.eos.emulator.entries import Container, File
from backends.eos.emulator.failures import EosError, unable_file
from backends.eos.emulator.faults import Call
from backends.eos.emulator.http_answers import (
    VERSION,
    HttpFailure,
    answer_failure,
    decoded_path,
    entry_headers,
    escaped,
    failure,
    opaque,
)
from backends.eos.emulator.identity import Identity
from backends.eos.emulator.instance import Instance
from backends.eos.emulator.mgm_identity import identify
from backends.eos.emulator.service import Mgm
from backends.eos.emulator.tokens import PREFIX
from backends.eos.emulator.wire import MALFORMED, BadRequest, Connection, Request

_WRITING: Final = frozenset({"PUT", "DELETE", "MKCOL", "MOVE"})
_ALLOWED: Final = "OPTIONS,GET,HEAD,PUT,DELETE,MKCOL,MOVE,PROPFIND"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request with what is known of it."""

    instance: Instance
    connection: Connection
    request: Request
    path: bytes
    query: Mapping[str, str]
    who: Identity
    call: Call


class MgmHttp:
    """Handles the requests of one MGM."""

    def __init__(self, mgm: Mgm, dead_port: Callable[[], int], fst_address: Callable[[int, bool], str]) -> None:
        """`dead_port` is one where nobody listens; `fst_address` is that of a filesystem's FST, for TLS or not."""
        self._mgm = mgm
        self._instance = mgm.instance
        self._dead_port = dead_port
        self._fst_address = fst_address
        self._verbs: dict[str, Callable[[Exchange], None]] = {
            "GET": self._get,
            "HEAD": _head,
            "PUT": self._put,
            "DELETE": _delete,
            "MKCOL": lambda exchange: webdav.mkcol(_dav(exchange)),
            "MOVE": lambda exchange: webdav.move(_dav(exchange)),
            "PROPFIND": lambda exchange: webdav.propfind(_dav(exchange)),
            "OPTIONS": _options,
        }

    def handle(self, connection: Connection, request: Request) -> None:
        """Serve one request."""
        instance = self._instance
        instance.counters.add(f"mgm.{request.method}")
        ambiguous = "content-length" in request.headers and "transfer-encoding" in request.headers
        if ambiguous and instance.quirks.chunked_with_length == "xrootd6":
            raise BadRequest(MALFORMED)
        query = opaque(request.query)
        raw, token = _token_of(decoded_path(request))
        call = Call(f"mgm.{request.method}", raw, _uid(request, query))
        try:
            if self._broken(connection, request, call):
                return
            who = identify(instance, request.headers, query, connection.peer, token, call)
            path = raw if raw.startswith(b"/proc/") else _normalised(raw, who)
            exchange = Exchange(instance, connection, request, path, query, who, call)
            verb = self._verbs.get(request.method)
            if verb is None:
                raise HttpFailure(501, f"the method {request.method} is not implemented")
            self._settle_body(connection, request)
            verb(exchange)
        except EosError as error:
            answer_failure(connection, failure(error, put=request.method == "PUT"), bare=request.method == "HEAD")
        except HttpFailure as error:
            answer_failure(connection, error, bare=request.method == "HEAD")

    def _broken(self, connection: Connection, request: Request, call: Call) -> bool:
        """Let faults happen; True when the request has had its answer. Raises `HttpFailure`."""
        faults = self._instance.faults
        faults.delay(call)
        if faults.take("mgm_disconnect", call) is not None:
            connection.abort()
            return True
        stalled = faults.take("mgm_stall_http", call) if request.method in ("PUT", "GET") else None
        if stalled is not None:
            raise HttpFailure(503 if request.method == "PUT" else stalled.parameters["status"], "Access limit reached")
        broken = faults.take("mgm_error", call)
        if broken is not None:
            if broken.parameters["status"]:
                raise HttpFailure(broken.parameters["status"], broken.parameters["text"])
            raise EosError(broken.parameters["code"], broken.parameters["text"])
        loop = faults.take("redirect_loop", call) if request.method in ("PUT", "GET") else None
        if loop is not None:
            self._elsewhere(connection, request, self._other() if loop.parameters["mode"] == "two" else self._self())
            return True
        if not self._mgm.master and request.method in _WRITING:
            self._elsewhere(connection, request, self._mgm.master_address())
            return True
        return False

    def _self(self) -> str:
        return self._mgm.http_addresses[self._mgm.number]

    def _other(self) -> str:
        return self._mgm.http_addresses[(self._mgm.number + 1) % len(self._mgm.http_addresses)]

    def _elsewhere(self, connection: Connection, request: Request, address: str) -> None:
        """Redirect to an MGM: no capability is in the URL."""
        scheme = "https" if connection.secure else "http"
        target = request.target.replace(" ", "%20")
        connection.respond(307, [("Location", f"{scheme}://{address}{target}")])

    def _settle_body(self, connection: Connection, request: Request) -> None:
        """A body is not for the MGM: it stays on the connection, or is thrown away."""
        if connection.waits or not (request.chunked or request.length):
            return
        self._instance.counters.add("mgm.body_bytes", request.length or 1)
        if self._instance.quirks.mgm_body == "lenient":
            body = connection.body(request)
            while body.read(1 << 20):
                pass

    def _get(self, exchange: Exchange) -> None:
        if exchange.path.startswith(b"/proc/"):
            proc.run(exchange.instance, exchange.who, exchange.path, exchange.query, exchange.connection)
            return
        entry = _readable(exchange)
        if isinstance(entry, Container):
            index = entry.xattrs.get("sys.http.index", b"").decode("utf-8", "replace")
            if index:
                exchange.connection.respond(307, [("Location", index)])
                return
            raise HttpFailure(403, "Browsing is disabled on this endpoint")
        wanted = exchange.request.headers.get("if-match", "")
        if wanted and wanted != layouts.file_etag(entry):
            raise HttpFailure(412, "the entity tag does not match")
        if exchange.request.headers.get("if-non-match", "") == layouts.file_etag(entry):
            exchange.connection.respond(304)
            return
        file, capability = opening.open_for_reading(
            exchange.instance, exchange.who, exchange.path, exchange.query.get("tried", "")
        )
        if capability is None:
            exchange.connection.respond(200, entry_headers(file))
        else:
            self._redirect(exchange, capability, [("ETag", layouts.file_etag(file))])

    def _put(self, exchange: Exchange) -> None:
        request = exchange.request
        if decoded_path(request).endswith(b"/"):
            raise HttpFailure(501, "a PUT needs the name of a file")
        partial = "x-upload-range" in request.headers
        try:
            capability = opening.open_for_writing(
                exchange.instance,
                exchange.who,
                exchange.path,
                opening.WriteRequest(
                    size=request.length or 0,
                    partial=partial,
                    query=exchange.query,
                    if_match=request.headers.get("if-match", ""),
                ),
            )
        except opening.PreconditionFailed:
            raise HttpFailure(412, "the entity tag does not match") from None
        self._redirect(exchange, capability, [])

    def _redirect(self, exchange: Exchange, capability: Capability, headers: list[tuple[str, str]]) -> None:
        instance, connection = exchange.instance, exchange.connection
        secure = (
            connection.secure
            and instance.quirks.redirect_https
            and exchange.request.headers.get("xrd-http-redirect-http") != "1"
            and instance.faults.take("redirect_plain_http", exchange.call) is None
        )
        address = self._fst_address(capability.fsids[0], secure)
        if instance.faults.take("fst_down", exchange.call) is not None:
            address = f"{address.rpartition(':')[0]}:{self._dead_port()}"
        query = instance.capabilities.signed(capability)
        if instance.faults.take("cap_bad", exchange.call) is not None:
            query = query.replace("cap.msg%3D", "cap.msg%3DAAAA", 1)
        location = f"{'https' if secure else 'http'}://{address}{escaped(exchange.path)}?{query}"
        connection.respond(307, [("Location", location), ("X-Eos-Mgm-Version", VERSION), *headers])


def _token_of(path: bytes) -> tuple[bytes, str]:
    """A path and the token that it begins with, if it does."""
    first, _, rest = path.lstrip(b"/").partition(b"/")
    if first.startswith(PREFIX.encode()):
        return b"/" + rest, first.decode("ascii", "replace")
    return path, ""


def _uid(request: Request, query: Mapping[str, str]) -> int:
    """The uid that faults go by: the role that is asked for, else a numeric user."""
    text = query.get("eos.ruid", "") or request.headers.get("remote-user", "")
    return int(text) if text.isdigit() else -1


def _normalised(path: bytes, who: Identity) -> bytes:
    return paths.normalised(path, privileged=who.is_root)


def _dav(exchange: Exchange) -> webdav.Exchange:
    return webdav.Exchange(exchange.instance, exchange.connection, exchange.request, exchange.path, exchange.who)


def _readable(exchange: Exchange) -> File | Container:
    """What is to be read, after the check that it may be."""
    instance, path = exchange.instance, exchange.path
    with instance.namespace.transaction():
        try:
            entry = instance.namespace.find(path)
        except EosError as error:
            raise unable_file("open file", error.code, path) from error
        container = instance.access.directory_of(entry)
        file = None if isinstance(entry, Container) else entry
        if not instance.access.reads(exchange.who, container, file, path):
            raise unable_file("open file", errno.EACCES, path)
        return entry


def _head(exchange: Exchange) -> None:
    entry = _readable(exchange)
    headers = entry_headers(entry)
    if not isinstance(entry, Container):
        kind = layouts.parsed(entry.layout).checksum
        if exchange.request.headers.get("want-digest") == kind:
            headers.append(("Digest", f"{kind}={layouts.checksum_hex(entry)}"))
    exchange.connection.respond(200, headers, bare=True)


def _delete(exchange: Exchange) -> None:
    # The command is put together as text, in which a `&` ends the path.
    path = exchange.path.partition(b"&")[0]
    removal.rm(exchange.instance, exchange.who, path, recursive=True)
    exchange.connection.respond(204)


def _options(exchange: Exchange) -> None:
    exchange.connection.respond(200, [("DAV", "1"), ("Allow", _ALLOWED), ("Accept-Ranges", "bytes")])
