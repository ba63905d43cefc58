"""The table of operations, and the resolver: which operation a request asks for.

A row is declared beside the function that performs it, with `@operation(...)`. Everything else derives from the table:
routing, authorization, the read-only gate, body limits, the names in metrics, logs and events, `docs/compatibility.md`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from workers.iam.policy.requirements import headers_matter, plain_actions
from workers.protocol.checksums import DEFAULT_ALGORITHM
from workers.protocol.errors import S3Error
from workers.protocol.target import Query

if TYPE_CHECKING:
    from workers.request import Request, Response

Handler = Callable[["Request"], "Response"]
Resource = Callable[["Request"], str]
H = TypeVar("H", bound=Handler)


class Level(enum.Enum):
    """What a request's path names."""

    SERVICE = "service"
    BUCKET = "bucket"
    OBJECT = "object"


class Authorization(enum.Enum):
    """How it is decided whether a caller may do an operation."""

    ROW = "row"
    """By its row's action, on the bucket or object that the path names, before the body is read."""
    CREATION = "creation"
    """The same of a bucket that is not there yet."""
    ADMINISTRATION = "administration"
    """Root, and accounts that are administrators, and nobody else."""
    OPERATION = "operation"
    """By the operation itself, for what its body or its fields name."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service of AWS that the gateway answers for.

    Attributes:
        name: in the scope of a signature.
        version: the parameter Version of the query protocol, "" for S3, which is asked by paths.
        namespace: of the documents that the query protocol answers with.
    """

    name: str
    version: str = ""
    namespace: str = ""


S3: Final = Service("s3")
IAM: Final = Service("iam", "2010-05-08", "https://iam.amazonaws.com/doc/2010-05-08/")
STS: Final = Service("sts", "2011-06-15", "https://sts.amazonaws.com/doc/2011-06-15/")


@dataclass(frozen=True, slots=True)
class NoBody:
    """The operation takes no body; one that is sent is not read."""


def _nothing(payload: Any) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Xml:
    """The body is an XML document of at most `limit` bytes, parsed by `parse` before the operation is called."""

    parse: Callable[[bytes], Any]
    limit: int = 1 << 20
    required: bool = True
    digest_required: bool = False
    """Whether Content-MD5 or a checksum must come with it, as S3 asks of DeleteObjects."""
    about_object: bool = False
    """Whether x-amz-checksum-* headers tell of an object and not of the document, as in CompleteMultipartUpload."""
    condition_values: Callable[[Any], Mapping[str, str]] = _nothing
    """The condition keys that only the document tells, of what `parse` made of it; see `RequestContext`."""
    condition_tags: Callable[[Any], Mapping[str, str]] = _nothing
    """The tags that the document sets, for conditions."""


@dataclass(frozen=True, slots=True)
class Stream:
    """The body is object data of at most `limit` bytes, read by the operation."""

    limit: int = 5 << 30
    checksum: str | None = DEFAULT_ALGORITHM
    """The checksum to compute when the client announces none."""
    deferred: bool = False
    """The operation opens the body itself, once it knows which checksum is asked for."""


Body = NoBody | Xml | Stream


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the table.

    Attributes:
        name: as the S3 API reference names it.
        method: HTTP method.
        level: what the path names.
        action: the IAM action that a caller needs, "" where S3 asks for none.
        query: the sub-resource that selects it, "" for the plain operation.
        header: the request header that selects it.
        modifiers: further sub-resources that may stand beside it and only modify it (`partNumber` of a GET).
        selector_value: what `query` must be set to, None for anything (`list-type=2`).
        versioned: whether `versionId` may name one version of the object; elsewhere it is refused.
        writes: whether it changes something: refused in read-only mode.
        anonymous: whether it is answered without credentials (a browser's preflight request).
        authorization: how it is decided who may do it.
        body: what is done with the request's body.
        handler: the function that performs it.
        path: of an administration call: the bucket, or the key, that a request has to name for it.
        service: whose operation it is. Those of the query protocol are selected by the parameters Action and Version,
            and nothing else of the row selects them.
        resource: of an operation of the query protocol: the ARN that it acts on; None when it decides by itself who
            may ask for it.
    """

    name: str
    method: str
    level: Level
    action: str
    handler: Handler
    query: str = ""
    header: str = ""
    modifiers: frozenset[str] = frozenset()
    selector_value: str | None = None
    versioned: bool = False
    writes: bool = False
    anonymous: bool = False
    authorization: Authorization = Authorization.ROW
    body: Body = NoBody()
    path: str = ""
    service: Service = S3
    resource: Resource | None = None
    actions: tuple[str, ...] = field(init=False, repr=False)
    """All the actions that a request needs which asks for nothing special."""
    asks_headers: bool = field(init=False, repr=False)
    """Whether headers can make a request need more."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "actions", plain_actions(self.action))
        object.__setattr__(self, "asks_headers", headers_matter(self.action))

    @property
    def metric(self) -> str:
        """The name in statsd, such as "put_object_tagging"."""
        return "".join("_" + c.lower() if c.isupper() else c for c in self.name).lstrip("_")


def operation(name: str, method: str, level: Level, **row: Any) -> Callable[[H], H]:
    """Declare the decorated function to be an operation; `row` are the other fields of `Operation`.

    Stacked decorators declare several rows for one function.
    """

    def declare(handler: H) -> H:
        rows: tuple[Operation, ...] = getattr(handler, "operations", ())
        declared = Operation(name=name, method=method, level=level, handler=handler, **row)
        handler.operations = (declared, *rows)  # type: ignore[attr-defined]
        return handler

    return declare


def declared_in(modules: Iterable[ModuleType]) -> Iterator[Operation]:
    """All rows that are declared in modules, in their order; a module may gather made handlers in `HANDLERS`."""
    for module in modules:
        for member in (*vars(module).values(), *getattr(module, "HANDLERS", ())):
            if getattr(member, "__module__", None) == module.__name__:
                yield from getattr(member, "operations", ())


# Sub-resources of the S3 API, in the query of a request. One that no row names is not implemented here; it must never
# be taken for the plain operation (a `PUT /b/k?acl` that stores an object named k would destroy it).
SUBRESOURCES: Final = frozenset(
    """abac accelerate acl analytics annotation append attributes cors delete encryption intelligent-tiering inventory
    legal-hold lifecycle list-type location logging metadataAnnotationTable metadataConfiguration
    metadataInventoryTable metadataJournalTable metadataTable metrics notification object-lock ownershipControls
    partNumber policy policyStatus publicAccessBlock renameObject replication requestPayment restore retention select
    session tagging torrent uploadId uploads versioning versions website""".split()
)

# Parameters that only modify an operation. Others that come with a value are ignored, as S3 does; others without one
# look like a sub-resource and are refused.
PARAMETERS: Final = frozenset(
    """bucket-region continuation-token delimiter encoding-type fetch-owner id key-marker marker max-buckets max-keys
    max-parts max-uploads part-number-marker prefix select-type start-after upload-id-marker version-id-marker versionId
    x-id response-cache-control response-content-disposition response-content-encoding response-content-language
    response-content-type response-expires""".split()
)

# Request headers that turn a plain operation into something else.
SELECTING_HEADERS: Final = ("x-amz-copy-source", "x-amz-write-offset-bytes")

# Sub-resources of buckets asked of a key, and half a pair: AWS says what is wrong with them.
_MISPLACED: Final[Mapping[tuple[str, Level, str], tuple[str, str]]] = MappingProxyType(
    {
        ("GET", Level.OBJECT, "uploads"): (
            "InvalidRequest",
            "Key is not expected for the GET method ?uploads subresource",
        ),
        ("GET", Level.OBJECT, "versions"): (
            "InvalidRequest",
            "There is no such thing as the ?versions sub-resource for a key",
        ),
        ("PUT", Level.OBJECT, "partNumber"): (
            "InvalidArgument",
            "This operation does not accept partNumber without uploadId",
        ),
    }
)

METHODS: Final = frozenset(("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"))


class OperationTable:
    """All operations, and the resolver. Immutable once made.

    Attributes:
        rows: the operations of S3, which method and target select.
        calls: the administration calls, which method and the very path select.
        actions: those that the query protocol selects, by version and name.
        by_name: all of them.
    """

    def __init__(self, rows: Iterable[Operation]) -> None:
        everything = tuple(rows)
        self.rows = tuple(row for row in everything if not row.service.version and not row.path)
        self.calls: Mapping[tuple[str, Level, str], Operation] = MappingProxyType(
            {(row.method, row.level, row.path): row for row in everything if row.path}
        )
        self.by_name: Mapping[str, Operation] = MappingProxyType({row.name: row for row in everything})
        self.actions: Mapping[tuple[str, str], Operation] = MappingProxyType(
            {(row.service.version, row.name): row for row in everything if row.service.version}
        )
        self._plain: dict[tuple[str, Level], Operation] = {}
        self._selected: dict[tuple[str, Level], list[Operation]] = {}
        for row in self.rows:
            if row.query or row.header:
                self._selected.setdefault((row.method, row.level), []).append(row)
            elif (row.method, row.level) in self._plain:
                raise ValueError(f"two plain operations for {row.method} {row.level.value}")
            else:
                self._plain[row.method, row.level] = row

    def resolve(
        self, method: str, level: Level, query: Query | None, header: Callable[[str], str | None], name: str = ""
    ) -> Operation:
        """The operation of a request. Raises `S3Error`: MethodNotAllowed, NotImplemented or InvalidArgument.

        A plain request that names a version is refused where none can be named: a PUT would replace the current one.

        Args:
            query: the parsed query, None when there is none.
            header: gives the value of a request header by its lower-case name.
            name: the key, or else the bucket, that the path names.
        """
        heading = ""
        if method == "PUT" and level is Level.OBJECT:
            heading = next((name for name in SELECTING_HEADERS if header(name) is not None), "")
        plain = self._plain.get((method, level))
        if plain is not None and (not (query or heading) or method == "OPTIONS"):
            return plain
        if plain is None and (method, level, name) in self.calls:
            return self.calls[method, level, name]
        named = frozenset(_subresources(query)) if query else frozenset()
        found = plain if plain is not None and not heading and named <= plain.modifiers else None
        selected = self._selected.get((method, level), ())
        if found is None:
            found = next((row for row in selected if row.header == heading and _selects(row, named, query)), None)
        if found is None:
            raise _misused(selected, named, query) or self._refusal(method, level, named, heading)
        if level is Level.OBJECT and query and "versionId" in query and not found.versioned:
            raise S3Error(
                "InvalidArgument",
                "This operation does not accept a version-id.",
                ArgumentName="versionId",
                ArgumentValue=query["versionId"][:1024],
            )
        return found

    def _refusal(self, method: str, level: Level, named: frozenset[str], heading: str) -> S3Error:
        names = sorted(named)
        if len(names) > 1 and named <= SUBRESOURCES:
            return S3Error(
                "InvalidArgument",
                f"Conflicting query string parameters: {', '.join(names)}",
                ArgumentName="ResourceType",
                ArgumentValue=names[0],
            )
        if method in METHODS and (names or heading):
            selector = names[0] if names else heading
            misplaced = _MISPLACED.get((method, level, selector))
            if misplaced is not None:
                code, message = misplaced
                elements = {"ArgumentName": selector, "ArgumentValue": selector} if code == "InvalidArgument" else {}
                return S3Error(code, message, headers=None, **elements)
            return S3Error("NotImplemented", f"{method} with {selector} is not implemented.", Header=selector)
        allowed = sorted({row.method for row in self.rows if row.level is level})
        headers = {"Allow": ", ".join(allowed)}
        return S3Error("MethodNotAllowed", headers=headers, Method=method, ResourceType=level.name)


def _subresources(query: Query) -> Iterator[str]:
    """The names in a query that select an operation, or look as if they did."""
    for name in query:
        unknown = name not in PARAMETERS and not name.lower().startswith("x-amz-")
        if name in SUBRESOURCES or (unknown and query[name] == ""):
            yield name


def _selects(row: Operation, named: frozenset[str], query: Query | None) -> bool:
    if row.query and row.query not in named:
        return False
    if row.selector_value is not None and (query is None or query.get(row.query) != row.selector_value):
        return False
    return named <= row.modifiers | {row.query}


def _misused(rows: Iterable[Operation], named: frozenset[str], query: Query | None) -> S3Error | None:
    """The refusal of a sub-resource with a value that it does not take (`list-type=3`)."""
    for row in rows:
        if row.selector_value is not None and query is not None and named == {row.query}:
            return S3Error(
                "InvalidArgument",
                f"Invalid {row.query} specified in Request",
                ArgumentName=row.query,
                ArgumentValue=query[row.query][:64],
            )
    return None
