"""Whether who asks may do what a request asks for: from the row of the table to a decision.

Most requests are decided by their row's action on the bucket or object that they name, before their body is read. An
operation whose row says so decides for itself what its body or headers name: a key of DeleteObjects, a copy's source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from backends.api import BucketRecord, NoSuchBucket, NoSuchObject, NoSuchUpload, NoSuchVersion
from workers.buckets import KnownBucket
from workers.iam.acl import decode_acl
from workers.iam.decision import (
    EVERY_BUCKET,
    POLICY_ACTIONS,
    BucketAccess,
    Decision,
    Lookup,
    ObjectAccess,
    Reason,
    bucket_arn,
    decide,
    denial_message,
    object_arn,
)
from workers.iam.policy.context import RequestContext
from workers.iam.policy.principals import ANONYMOUS, Principal, PrincipalKind
from workers.iam.policy.requirements import EXTRA_HEADERS, required_actions
from workers.protocol.errors import S3Error
from workers.protocol.sigv4 import signing_time
from workers.request import Request, environ_key
from workers.routing import Authorization, Level, Xml
from workers.versioned import head_named

_EXTRA_HEADERS: Final = frozenset(environ_key(name) for name in EXTRA_HEADERS)
_UPLOAD_ACTIONS: Final = frozenset(("s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"))
_NO_CLAIMS: Final[Mapping[str, str]] = MappingProxyType({})
_ROW: Final = Authorization.ROW  # PERF: an enumeration's member is found slowly
_DENIED: Final = (Reason.EXPLICIT_DENY, Reason.BOUNDARY, Reason.SESSION_POLICY)
_KINDS: Final = {"header": "REST-HEADER", "query": "REST-QUERY-STRING"}


def authorize_request(request: Request) -> None:
    """Decide by the request's row. Raises `S3Error` AccessDenied; `NoSuchBucket` for whoever asks of one."""
    authorization = request.operation.authorization
    if authorization is _ROW:
        principal = request.principal
        buckets = request.services.buckets
        known = (buckets.get if principal is not ANONYMOUS else buckets.get_for_anybody)(request.bucket)
        request.known = known
        # PERF: what decides most requests of root, and is decided the same below.
        if not principal.root or known.access.policy is not None or principal.session is not None:
            _authorize_row(request, known.access)
    elif authorization is Authorization.CREATION:
        _authorize_creation(request)
    elif authorization is Authorization.ADMINISTRATION:
        _authorize_administration(request)


def authorize_again(request: Request) -> None:
    """Decide once more, now that the body is known that a condition asked for. Raises `S3Error` AccessDenied."""
    context = request.context
    rule = request.operation.body
    if context is None or not context.pending or not isinstance(rule, Xml):
        return
    context.body_values = rule.condition_values(request.payload)
    context.body_tags = rule.condition_tags(request.payload)
    context.pending = False
    authorize_request(request)


def authorize_form(request: Request, fields: Request) -> None:
    """Decide about an upload by a form, whose fields stand for the headers of a PutObject. Raises `S3Error`."""
    context = _context_of(request)
    context.header = fields.header
    context.auth_type = "" if request.identity is None else "POST"
    actions = list(required_actions(request.operation.action, fields.header))
    if fields.header("tagging") is not None:
        actions.append("s3:PutObjectTagging")
    denial = may(request, known_bucket(request), actions, request.key, context=context)
    if denial is not None:
        raise denial


def known_bucket(request: Request) -> KnownBucket:
    """The request's bucket, for an operation that authorizes by itself. Raises `NoSuchBucket`."""
    if request.known is None:
        buckets = request.services.buckets
        anonymous = request.principal is ANONYMOUS
        request.known = (buckets.get_for_anybody if anonymous else buckets.get)(request.bucket)
    return request.known


def fresh_bucket(request: Request) -> KnownBucket:
    """The request's bucket as its storage has it now, for who reads its configuration or changes it by what it says.

    A client may have changed it a moment ago by another worker. Raises `NoSuchBucket`.
    """
    buckets = request.services.buckets
    buckets.forget_bucket(request.bucket)
    request.known = buckets.get(request.bucket)
    return request.known


def may_list(request: Request, known: KnownBucket) -> bool:
    """Whether who asks may list a bucket, and so learn which objects are not there."""
    return may(request, known, ("s3:ListBucket",)) is None


def may(
    request: Request,
    known: KnownBucket,
    actions: Sequence[str],
    key: str = "",
    version: str | None = None,
    *,
    context: RequestContext | None = None,
) -> S3Error | None:
    """The refusal of actions on a bucket, or on an object of it; None when all are allowed.

    Args:
        version: of the object, None for the current one.
        context: what conditions are asked about, None for this request looking at that object.
    """
    access = known.access
    principal = request.principal
    if access.policy is None and principal.root and principal.session is None:
        return None
    bucket = known.record.name
    lookup = None if not key else _Object(request, bucket, key, version).look
    if context is None:
        context = _context_of(request).for_object(
            version, _Tags(request, bucket, key, version).read if key else None, access.owner_number
        )
    resource = object_arn(bucket, key) if key else bucket_arn(bucket)
    first: Decision | None = None
    for action in actions:
        decision = decide(action, resource, principal, context, access, lookup)
        if not decision.allowed and not _is_of_own_object(action, first, decision, principal):
            return _denied(request, decision, action, resource, access)
        first = first or decision
    return None


def visible_buckets(request: Request) -> Sequence[BucketRecord]:
    """The buckets that ListBuckets shows: those of the caller's account if he may list his buckets, and all others that
    he may list the objects of. Root sees all.

    Raises `S3Error` AccessDenied for anonymous callers, for who is denied the action, and for who would see nothing
    and may not list his buckets.
    """
    principal = request.principal
    action, resource = request.operation.action, EVERY_BUCKET
    if principal is ANONYMOUS:
        raise S3Error("AccessDenied")
    decision = decide(action, resource, principal, _context_of(request))
    if not decision.allowed and decision.reason in _DENIED:
        raise _denied(request, decision, action, resource, None)
    buckets = request.services.backend.list_buckets(request.caller)
    if not principal.root:
        own = principal.account_id if decision.allowed else None
        buckets = [bucket for bucket in buckets if bucket.owner == own or _is_listable(request, bucket.name)]
    if not buckets and not decision.allowed:
        raise _denied(request, decision, action, resource, None)
    return buckets


def _is_listable(request: Request, bucket: str) -> bool:
    try:
        return may_list(request, request.services.buckets.get(bucket))
    except NoSuchBucket:
        return False


def _authorize_row(request: Request, access: BucketAccess) -> None:
    operation = request.operation
    version = request.query.get("versionId") if operation.versioned and request.query else None
    context = _context_of(request)
    lookup: Lookup | None = None
    named: _Object | None = None
    if operation.level is Level.OBJECT:
        resource = object_arn(request.bucket, request.key)
        if operation.action in _UPLOAD_ACTIONS:
            lookup = _Upload(request).look
        else:
            named = _Object(request, request.bucket, request.key, version)
            lookup = named.look
    else:
        resource = bucket_arn(request.bucket)
    principal = request.principal
    first: Decision | None = None
    for action in _actions(request, version):
        decision = decide(action, resource, principal, context, access, lookup)
        if not decision.allowed and not _is_of_own_object(action, first, decision, principal):
            missing = None if named is None or operation.writes else named.missing
            if missing is not None and may_list(request, known_bucket(request)):
                # Its own ACL could have opened the object, and that there is none he may know.
                raise missing
            raise _denied(request, decision, action, resource, access)
        first = first or decision
    if operation.action in POLICY_ACTIONS and principal.account_id != access.owner and not principal.root:
        # As on AWS: who has the permission, and belongs to another account than the bucket.
        raise S3Error("MethodNotAllowed", Method=request.method, ResourceType="BUCKETPOLICY")


def _is_of_own_object(action: str, first: Decision | None, denial: Decision, principal: Principal) -> bool:
    """Whether an object's ACL comes with the right to write it: who may by the bucket's ACL will own the object.

    A user needs the action in his policies all the same.
    """
    if action != "s3:PutObjectAcl" or first is None or first.reason is not Reason.BUCKET_ACL:
        return False
    if denial.reason is Reason.NOT_ALLOWED:
        return principal.kind in (PrincipalKind.ACCOUNT, PrincipalKind.ANONYMOUS)
    return denial.reason is Reason.NO_RESOURCE_POLICY


def _actions(request: Request, version: str | None) -> tuple[str, ...]:
    operation = request.operation
    if version is None and not (operation.asks_headers and request.has_any(_EXTRA_HEADERS)):
        return operation.actions
    return required_actions(operation.action, request.header, version_named=version is not None)


def _authorize_administration(request: Request) -> None:
    principal = request.principal
    if principal is ANONYMOUS:
        raise S3Error("AccessDenied")
    if not principal.root or principal.session is not None:
        raise S3Error("XAdminAccessDenied")


def _authorize_creation(request: Request) -> None:
    """CreateBucket: of a bucket that is not there the maker will be the owner."""
    principal = request.principal
    if principal.root and principal.session is None:
        return
    identity = request.identity
    resource = bucket_arn(request.bucket)
    for action in required_actions(request.operation.action, request.header):
        decision = decide(action, resource, principal, _context_of(request))
        if not decision.allowed:
            raise _denied(request, decision, action, resource, None)
    if identity is None or not identity.record.may_create_buckets:
        raise S3Error("AccessDenied", "This account may not create buckets.")


def _denied(request: Request, decision: Decision, action: str, resource: str, access: BucketAccess | None) -> S3Error:
    """The refusal; why is told within the account that owns the bucket, and to nobody else, as AWS does."""
    if request.method == "HEAD" and request.operation.level is Level.BUCKET:
        # A bucket's region is no secret: SDKs find it by asking without credentials.
        return S3Error("AccessDenied", headers={"x-amz-bucket-region": request.services.settings.region})
    principal = request.principal
    if principal.account_id and (access is None or principal.account_id == access.owner):
        return S3Error("AccessDenied", denial_message(decision, principal, action, resource))
    return S3Error("AccessDenied")


def _context_of(request: Request) -> RequestContext:
    context = request.context
    if context is None:
        context = request.context = HttpContext(request)
    return context


class HttpContext(RequestContext):
    """A request as conditions see it; each value is found when it is first asked for.

    PERF: most policies ask for none or one, and filling in all of them would take as long as evaluating a policy.
    """

    __slots__ = ("_request",)

    def __init__(self, request: Request) -> None:
        # Nothing else: what is not there yet comes by `__getattr__`.
        self._request = request
        self.principal = request.principal
        self.pending = False

    def __getattr__(self, name: str) -> Any:
        read = _READERS.get(name)
        if read is None:
            raise AttributeError(name)
        value = read(self._request)
        setattr(self, name, value)
        return value


def _signed_at(request: Request) -> int | None:
    authenticated = request.authenticated
    return None if authenticated is None else signing_time(authenticated.amz_date)


def _version(request: Request) -> str | None:
    return request.query.get("versionId") if request.key and request.query else None


def _object_tags(request: Request) -> Callable[[], Mapping[str, str] | None] | None:
    if not request.key:
        return None
    return _Tags(request, request.bucket, request.key, _version(request)).read


_READERS: Final[Mapping[str, Callable[[Request], Any]]] = {
    "auth_type": lambda request: "" if request.authenticated is None else _KINDS[request.authenticated.kind],
    "body_tags": lambda request: None,
    "body_values": lambda request: None,
    "claims": lambda request: _NO_CLAIMS,
    "header": lambda request: request.header,
    "now": lambda request: request.now,
    "object_tags": _object_tags,
    "query": lambda request: request.query,
    "region": lambda request: request.services.settings.region,
    "resource_account": lambda request: "" if request.known is None else request.known.access.owner_number,
    "secure": lambda request: request.environ.get("wsgi.url_scheme") == "https",
    "signed_at": _signed_at,
    "source_ip": lambda request: request.environ.get("REMOTE_ADDR", ""),
    "tls_version": lambda request: request.environ.get("shardgate.tls", "").removeprefix("TLSv"),
    "version_id": _version,
}
"""Attribute of `RequestContext` -> its value for a request."""


class _Tags:
    """The tags of an object that is there, for a condition that asks for them."""

    __slots__ = ("_bucket", "_key", "_request", "_version")

    def __init__(self, request: Request, bucket: str, key: str, version: str | None) -> None:
        self._request = request
        self._bucket = bucket
        self._key = key
        self._version = version

    def read(self) -> Mapping[str, str] | None:
        """The tags, None without an object."""
        request = self._request
        try:
            return head_named(request.services.backend, request.caller, self._bucket, self._key, self._version).tags
        except (NoSuchObject, NoSuchVersion, NoSuchBucket):
            return None


class _Object:
    """Reads what an object says about access, where ACLs count and it matters.

    Attributes:
        missing: why there is none, None before it was looked for and where there is one.
    """

    __slots__ = ("_bucket", "_key", "_request", "_version", "missing")

    def __init__(self, request: Request, bucket: str, key: str, version: str | None) -> None:
        self._request = request
        self._bucket = bucket
        self._key = key
        self._version = version
        self.missing: NoSuchObject | NoSuchVersion | None = None

    def look(self) -> ObjectAccess | None:
        """The object's owner and ACL, None when there is no such object."""
        request = self._request
        try:
            record = head_named(request.services.backend, request.caller, self._bucket, self._key, self._version)
        except (NoSuchObject, NoSuchVersion) as error:
            self.missing = error
            return None
        except NoSuchBucket:
            return None
        return ObjectAccess(record.owner, decode_acl(record.acl) if record.acl else None)


class _Upload:
    """Reads whose an upload is."""

    __slots__ = ("_request",)

    def __init__(self, request: Request) -> None:
        self._request = request

    def look(self) -> ObjectAccess | None:
        """The upload's owner and initiator, None when there is no such upload."""
        request = self._request
        uploads = request.services.uploads
        if uploads is None:
            return None
        try:
            upload = uploads.get(request.caller, request.bucket, request.key, request.query.get("uploadId", ""))
        except (NoSuchUpload, NoSuchBucket):
            return None
        return ObjectAccess(upload.draft.owner, None, upload.owner)
