"""PostObject: an upload by an HTML form, allowed by a signed policy.

https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from backends.api import ALWAYS, ObjectRecord
from workers.authenticating import TOKEN, Claim
from workers.authorizing import authorize_form, known_bucket
from workers.body import open_body
from workers.form import FormReader, boundary_of
from workers.operations.object_headers import checksum_headers, draft_record
from workers.protocol.bodies import DigestReader
from workers.protocol.checksums import DEFAULT_ALGORITHM, ExpectedDigests
from workers.protocol.documents import parse_tagging
from workers.protocol.errors import S3Error
from workers.protocol.headers import MAX_PUT_SIZE
from workers.protocol.names import check_key, check_object_tags
from workers.protocol.post_policy import PostPolicy, lower_fields, verify_post_policy
from workers.protocol.xml import document, escape_replacing
from workers.request import Request, Response, environ_key
from workers.routing import Level, Stream, operation

FORM_OVERHEAD: Final = 1 << 20
"""Bytes that a form may have around its file."""
_STATUSES: Final = ("200", "201", "204")


@operation(
    "PostObject",
    "POST",
    Level.BUCKET,
    action="s3:PutObject",
    writes=True,
    anonymous=True,  # who asks stands in the form
    body=Stream(limit=MAX_PUT_SIZE + FORM_OVERHEAD, deferred=True),
)
def post_object(request: Request) -> Response:
    """Store the form's file as an object, if the policy allows it."""
    boundary = boundary_of(request.header("content-type"))
    if boundary is None:
        raise S3Error("PreconditionFailed", Condition="Bucket POST must be of the enclosure-type multipart/form-data")
    form = FormReader(open_body(request, MAX_PUT_SIZE + FORM_OVERHEAD), boundary)
    policy = _authenticate(request, form)
    values = lower_fields(form.fields)
    request.key = _key(values, form.filename)
    fields = _as_headers(request, values)
    authorize_form(request, fields)
    if request.services.budgets is not None:
        request.services.budgets.admit(request)
    draft = _draft(fields, values)
    status = values.get("success_action_status", "204")
    source = FormSource(request, form, policy, draft, values)
    stored = request.services.backend.put_object(request.caller, request.bucket, request.key, source, ALWAYS)
    return _respond(request, stored, values, status if status in _STATUSES else "204")


def _authenticate(request: Request, form: FormReader) -> PostPolicy | None:
    services = request.services
    if services.settings.read_only:
        raise S3Error("AccessDenied", "This gateway is read-only.")
    token = next((value for name, value in form.fields.items() if name.lower() == TOKEN), None)
    claim = Claim(services.auth, token, request.now)
    signed = verify_post_policy(
        form.fields, region=services.settings.region, secret_of=claim.secret_of, keys=services.signing_keys
    )
    if signed is None:
        return None
    claim.confirm(request, signed.access_key, signed.session_token)
    signed.policy.check(form.fields, bucket=request.bucket, now=request.now)
    return signed.policy


def _key(values: dict[str, str], filename: str) -> str:
    key = values.get("key")
    if not key:
        raise S3Error(
            "InvalidArgument",
            "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields.",
            ArgumentName="key",
            ArgumentValue="",
        )
    # A browser may send a whole path; only its last part is the file's name.
    key = key.replace("${filename}", filename.replace("\\", "/").rpartition("/")[2])
    check_key(key)
    return key


def _as_headers(request: Request, values: dict[str, str]) -> Request:
    """The request of a PutObject with the fields as headers, which say what headers say there."""
    environ = {environ_key(name): value.encode().decode("latin-1") for name, value in values.items() if "_" not in name}
    if "acl" in values:
        environ[environ_key("x-amz-acl")] = values["acl"]
    fields = Request({**environ, "REQUEST_METHOD": "POST"}, request.id, request.services, request.now)
    fields.bucket, fields.key = request.bucket, request.key
    fields.caller, fields.principal, fields.identity = request.caller, request.principal, request.identity
    fields.known = known_bucket(request)
    return fields


def _draft(fields: Request, values: dict[str, str]) -> ObjectRecord:
    """The object's record from the fields."""
    draft = draft_record(fields)
    tagging = values.get("tagging")
    if tagging:
        draft = draft.replace(tags=check_object_tags(parse_tagging(tagging.encode())))
    return draft


class FormSource:
    """The form's file as the source of a put: its size is only known at its end, and bounded by the policy."""

    def __init__(
        self,
        request: Request,
        form: FormReader,
        policy: PostPolicy | None,
        draft: ObjectRecord,
        values: dict[str, str],
    ) -> None:
        self.length: int | None = None
        self._digests = ExpectedDigests.from_request(values.get, values, payload_hash=None, default=DEFAULT_ALGORITHM)
        self._reader = DigestReader(form, self._digests)
        self._policy = policy
        self._draft = draft
        self._clock = request.services.clock

    def read(self, size: int, /) -> bytes:
        """The next bytes. Raises `S3Error` EntityTooLarge as soon as there are too many, EntityTooSmall at the end."""
        block = self._reader.read(size)
        count = self._reader.count
        if count > MAX_PUT_SIZE:
            raise S3Error("EntityTooLarge", ProposedSize=str(count), MaxSizeAllowed=str(MAX_PUT_SIZE))
        if self._policy is not None and (not block or (self._policy.maximum or count) < count):
            self._policy.check_size(count)
        return block

    def record(self) -> ObjectRecord:
        """The object's record, after the end."""
        return self._draft.replace(
            size=self._reader.count,
            etag=self._digests.etag,
            modified=self._clock(),
            checksums=self._digests.checksums,
            checksum_type=self._digests.checksum_type,
        )


def _respond(request: Request, stored: ObjectRecord, values: dict[str, str], status: str) -> Response:
    etag = f'"{stored.etag}"'
    scheme, host = request.environ.get("wsgi.url_scheme", "http"), request.header("host") or ""
    location = f"{scheme}://{host}{request.raw_path.rstrip('/')}/{quote(request.key, safe='/~')}"
    headers = {"etag": etag, "location": location, **checksum_headers(stored)}
    redirect = values.get("success_action_redirect") or values.get("redirect")
    if redirect:
        target = _redirect_target(redirect, request, etag)
        if target is not None:
            return Response(303, {**headers, "location": target})
    if status != "201":
        return Response(int(status), headers)
    nodes = [("Location", location), ("Bucket", request.bucket), ("Key", request.key), ("ETag", etag)]
    body = document("PostResponse", nodes, escaping=escape_replacing, namespace=None)
    return Response(201, {**headers, "content-type": "application/xml"}, body)


def _redirect_target(redirect: str, request: Request, etag: str) -> str | None:
    """The redirect with what was stored in its query; None when it is no URL, which S3 ignores."""
    try:
        parts = urlsplit(redirect)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.netloc or not redirect.isprintable():
        return None
    added = urlencode({"bucket": request.bucket, "key": request.key, "etag": etag})
    target = urlunsplit(parts._replace(query=f"{parts.query}&{added}" if parts.query else added))
    return quote(target, safe=":/?#[]@!$&'()*+,;=%~")
