"""A request on its way through the pipeline, and the answer to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from backends.api import Caller
from workers.iam.accounts import Account
from workers.iam.policy.principals import ANONYMOUS as ANONYMOUS_PRINCIPAL
from workers.iam.policy.principals import Principal
from workers.protocol.sigv4 import Authenticated
from workers.protocol.target import EMPTY_QUERY, Query

if TYPE_CHECKING:
    from workers.body import RequestBody
    from workers.buckets import KnownBucket
    from workers.iam.identities import Identity
    from workers.iam.policy.context import RequestContext
    from workers.routing import Operation
    from workers.services import Services
    from workers.streams import ResponseStream

ANONYMOUS = Caller(account_id="", user_name="anonymous")

_KEYS: dict[str, str] = {}
"""Header name -> WSGI environ key, for the names that our own code and signatures ask for."""


def environ_key(name: str) -> str:
    """The WSGI key of a lower-case header name."""
    if name in ("content-type", "content-length"):
        return name.upper().replace("-", "_")
    return "HTTP_" + name.upper().replace("-", "_")


class Request:
    """One request. Filled step by step by the pipeline; an operation finds everything set.

    Attributes:
        environ: the WSGI environ.
        id: the request id that the client and the log see.
        method, raw_path, query: the request line; `raw_path` is as it was sent.
        bucket, key: decoded, "" where the operation has none.
        operation: the row of the table.
        account: the account of who asks, None for an anonymous caller.
        identity: all that is known of who asks, None for an anonymous caller.
        principal: who asks, for policies.
        caller: on whose behalf storage is asked.
        known: the bucket that it names, where it was needed to decide.
        context: the request as conditions of policies see it, where one was asked.
        payload: the parsed body of an operation that takes XML.
        body: the reader of an operation that takes object data.
        now: seconds since the epoch at which the request was taken up.
    """

    __slots__ = (
        "_names",
        "access_key",
        "account",
        "authenticated",
        "body",
        "bucket",
        "caller",
        "context",
        "environ",
        "id",
        "identity",
        "key",
        "known",
        "method",
        "now",
        "operation",
        "payload",
        "principal",
        "query",
        "raw_path",
        "services",
    )

    operation: Operation
    body: RequestBody

    def __init__(self, environ: dict[str, Any], request_id: str, services: Services, now: float) -> None:
        self.environ = environ
        self.id = request_id
        self.services = services
        self.now = now
        self.method: str = environ["REQUEST_METHOD"]
        self.raw_path = "/"
        self.query: Query = EMPTY_QUERY
        self.bucket = ""
        self.key = ""
        self.access_key = ""
        self.account: Account | None = None
        self.identity: Identity | None = None
        self.principal: Principal = ANONYMOUS_PRINCIPAL
        self.caller = ANONYMOUS
        self.authenticated: Authenticated | None = None
        self.known: KnownBucket | None = None
        self.context: RequestContext | None = None
        self.payload: Any = None
        self._names: list[str] | None = None

    def header(self, name: str) -> str | None:
        """A request header by its lower-case name; None when it was not sent."""
        key = _KEYS.get(name)
        if key is None:
            if "_" in name:
                return self._underscored().get(name)
            key = environ_key(name)
            _remember(_KEYS, name, key)
        value: str | None = self.environ.get(key)
        return value

    @property
    def header_names(self) -> list[str]:
        """The lower-case names of all request headers but Content-Type and Content-Length."""
        names = self._names
        if names is None:
            names = self._names = [_header_name(key) for key in self.environ if key.startswith("HTTP_")]
            names.extend(self._underscored())
        return names

    def has_any(self, keys: frozenset[str]) -> bool:
        """Whether one of these headers was sent, by their WSGI keys: one look where a dozen would be in vain."""
        return not keys.isdisjoint(self.environ)

    def metadata_headers(self) -> Iterator[tuple[str, str]]:
        """The headers with user metadata, with lower-case names."""
        for name in self.header_names:
            if name.startswith("x-amz-meta-"):
                yield name, self.header(name) or ""

    def _underscored(self) -> Mapping[str, str]:
        """Headers with an underscore in their names, which the environ cannot tell from a hyphen."""
        exchange = self.environ.get("shardgate.exchange")
        return {} if exchange is None else exchange.underscore_headers


_NAMES: dict[str, str] = {}
"""WSGI environ key -> header name."""


def _remember(known: dict[str, str], name: str, value: str) -> None:
    """Keep one pair. Names come from clients too: few and short ones are kept, and no client can crowd ours out."""
    if len(name) <= 64:
        if len(known) >= 1000:
            known.clear()
        known[name] = value


def _header_name(key: str) -> str:
    name = _NAMES.get(key)
    if name is None:
        name = key[5:].replace("_", "-").lower()
        _remember(_NAMES, key, name)
    return name


class Response:
    """An answer: status, headers, and bytes or a stream.

    `stream` has its length in the Content-Length header, and is closed by the server whatever happens. `error` is the
    code of the refusal that it tells, for the record of the request.
    """

    __slots__ = ("body", "error", "headers", "status", "stream")

    def __init__(
        self,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        stream: ResponseStream | None = None,
    ) -> None:
        self.status = status
        self.headers: dict[str, str] = dict(headers) if headers else {}
        self.body = body
        self.stream = stream
        self.error = ""


def xml_response(document: bytes, headers: Mapping[str, str] | None = None) -> Response:
    """A 200 with an XML document."""
    return Response(200, {"content-type": "application/xml", **(headers or {})}, document)
