"""Authentication of a request by AWS Signature Version 4, in its header and in its presigned form.

:func:`authenticate` is the entry; it is pure: the clock, the secrets and the cache of signing keys are parameters.
Order, codes and texts of the refusals are those that AWS gives for the same fault. Chunk signatures, which go on from
the signature verified here, are in ``chunked.py``; the POST policy's signature is in ``post_policy.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from workers.protocol.errors import S3Error
from workers.protocol.sigv4_canonical import (
    EMPTY_SHA256,
    Header,
    SigningKeys,
    canonical_request,
    sign,
    signatures_equal,
    signing_key,
    string_to_sign,
    to_bytes,
)
from workers.protocol.sigv4_parse import (
    CredentialFault,
    SignatureV4,
    check_scope,
    credential_parameter_malformed,
    header_malformed,
    parse_authorization,
    parse_presigned,
    parse_presigned_fields,
    presigned_fields,
    query_malformed,
    refusal,
    scope_refused,
    unsupported_mechanism,
)
from workers.protocol.target import Query
from workers.protocol.times import parse_amz_date, parse_http_date

__all__ = [
    "EMPTY_SHA256",
    "STREAMING_SIGNED",
    "STREAMING_SIGNED_TRAILER",
    "STREAMING_UNSIGNED_TRAILER",
    "UNSIGNED_PAYLOAD",
    "Authenticated",
    "SignatureV4",
    "SigningKeys",
    "authenticate",
    "canonical_request",
    "parse_authorization",
    "parse_presigned",
    "signature_mismatch",
    "signing_key",
    "signing_time",
    "string_to_sign",
    "verify",
]

UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
STREAMING_SIGNED: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_SIGNED_TRAILER: Final = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
STREAMING_UNSIGNED_TRAILER: Final = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

MAX_SKEW_SECONDS: Final = 900

_PAYLOAD_NAMES: Final = frozenset(
    {UNSIGNED_PAYLOAD, STREAMING_SIGNED, STREAMING_SIGNED_TRAILER, STREAMING_UNSIGNED_TRAILER}
)
_ASYMMETRIC_PAYLOADS: Final = frozenset(
    {"STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER"}
)
_HEX_DIGITS: Final = "0123456789abcdefABCDEF"
_BAD_PAYLOAD: Final = (
    "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, "
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, "
    "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD, STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER or "
    "a valid sha256 value."
)
_OTHER_DAY: Final = "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP."
_ONE_MECHANISM: Final = (
    "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or "
    "the Authorization header should be specified"
)


# PERF: the requests of one second have the same date, and reading one costs 1.5 us.
_parse_amz_date = lru_cache(maxsize=256)(parse_amz_date)


class Authenticated(NamedTuple):
    """Who signed a request, and what the verification of a chunked body goes on from.

    ``payload_hash`` is what stands for the body: 64 hexadecimal digits that the body must have as its SHA-256,
    ``UNSIGNED-PAYLOAD`` or a ``STREAMING-*`` name; a presigned request may have anything there, which for AWS is a
    digest that no body has, a ``STREAMING-*`` name included. ``session_token`` is as the client sent it, signed but
    not verified. ``signature`` is the seed of the chunk signatures, ``canonical`` the request that it covers.
    """

    access_key: str
    session_token: str | None
    payload_hash: str
    signature: str
    signing_key: bytes
    scope: str
    amz_date: str
    region: str
    service: str
    kind: Literal["header", "query"]
    canonical: str = ""

    def __repr__(self) -> str:
        # The signing key stays out of logs and tracebacks.
        return f"Authenticated(access_key={self.access_key!r}, scope={self.scope!r}, kind={self.kind!r})"


@dataclass(slots=True)
class _Request:
    """What the signature covers, and the world that it is verified in."""

    method: str
    raw_path: str
    query: Query
    header: Header
    header_names: Iterable[str]
    now: float
    region: str
    services: Sequence[str]
    secret_of: Callable[[str], str | None]
    keys: SigningKeys


def authenticate(
    method: str,
    raw_path: str,
    query: Query,
    header: Header,
    header_names: Iterable[str],
    *,
    now: float,
    region: str,
    secret_of: Callable[[str], str | None],
    keys: SigningKeys,
    services: Sequence[str] = ("s3",),
    body_sha256: str | None = None,
) -> Authenticated | None:
    """Verify the request's signature. None when the request carries no credentials at all.

    ``header`` gives the value of a header by its lower-case name, ``header_names`` all lower-case names, ``now`` is
    seconds since the epoch. An empty ``region`` stands for us-east-1. ``body_sha256`` is for services other than S3
    (IAM, STS), whose clients send no ``x-amz-content-sha256``: the hash of the body, which the caller has read.

    Raises S3Error with one of AccessDenied, AuthorizationHeaderMalformed, AuthorizationQueryParametersError,
    InvalidAccessKeyId, InvalidArgument, InvalidRequest, InvalidURI, RequestTimeTooSkewed, SignatureDoesNotMatch.
    """
    authorization = header("authorization")
    fields = presigned_fields(query) if query else None
    if not authorization:
        if fields is None:
            if "Signature" in query:
                raise unsupported_mechanism()
            return None
    elif fields is not None or "Signature" in query:
        raise S3Error("InvalidArgument", _ONE_MECHANISM, ArgumentName="Authorization", ArgumentValue=authorization)
    request = _Request(method, raw_path, query, header, header_names, now, region, services, secret_of, keys)
    if authorization:
        return _authenticate_header(request, authorization, body_sha256)
    assert fields is not None  # noqa: S101 -- for the type checker: one of the two is there
    payload = header("x-amz-content-sha256") or fields.get("x-amz-content-sha256") or body_sha256 or UNSIGNED_PAYLOAD
    # Only S3 lets clients say how long a request lives, and asks them to; elsewhere they need not.
    expires = None if "s3" in services else MAX_SKEW_SECONDS
    return _authenticate_query(request, parse_presigned_fields(fields, payload, expires))


def _authenticate_header(request: _Request, authorization: str, body_sha256: str | None) -> Authenticated:
    header = request.header
    # The scheme first: what is not Signature Version 4 need not have version 4's headers.
    if not authorization.startswith("AWS4-HMAC-SHA256 "):
        parse_authorization(authorization)
    payload = header("x-amz-content-sha256") or body_sha256
    if payload is None:
        raise S3Error("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    _check_payload(payload)
    date = header("x-amz-date")
    requested, amz_date = _request_time(date, header("date"))
    if abs(request.now - requested) > MAX_SKEW_SECONDS:
        raise S3Error(
            "RequestTimeTooSkewed",
            RequestTime=date or header("date") or "",
            ServerTime=_server_time(request.now),
            MaxAllowedSkewMilliseconds=str(MAX_SKEW_SECONDS * 1000),
        )
    stated = parse_authorization(
        authorization, amz_date=amz_date, payload=payload, session_token=header("x-amz-security-token")
    )
    try:
        _check_scope(request, stated)
    except CredentialFault as fault:
        raise scope_refused(header_malformed(fault.message, fault.elements), fault.plainly) from None
    if stated.date != amz_date[:8]:
        malformed = header_malformed("Invalid credential date. Date is not the same as X-Amz-Date.")
        raise scope_refused(malformed, _OTHER_DAY)
    return _verify(request, stated, "header", without="")


def _authenticate_query(request: _Request, stated: SignatureV4) -> Authenticated:
    now = request.now
    try:
        requested = _parse_amz_date(stated.amz_date)
    except ValueError:
        raise query_malformed("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"") from None
    expires = stated.expires or 0
    deadline = requested + expires
    if requested - now > MAX_SKEW_SECONDS:
        raise refusal(
            "AccessDenied",
            "Request is not yet valid",
            {
                "X-Amz-Date": str(requested * 1000),
                "Expires": _server_time(deadline),
                "ServerTime": _server_time(now),
            },
        )
    if now > deadline or expires == 0:
        raise refusal(
            "AccessDenied",
            "Request has expired",
            {"X-Amz-Expires": str(expires), "Expires": _server_time(deadline), "ServerTime": _server_time(now)},
        )
    try:
        _check_scope(request, stated)
    except CredentialFault as fault:
        raise scope_refused(credential_parameter_malformed(fault), fault.plainly) from None
    if stated.date != stated.amz_date[:8]:
        malformed = query_malformed(
            f'Invalid credential date "{stated.date}". This date is not the same as X-Amz-Date: '
            f'"{stated.amz_date[:8]}".'
        )
        raise scope_refused(malformed, _OTHER_DAY)
    return _verify(request, stated, "query", without="x-amz-signature")


def _check_scope(request: _Request, stated: SignatureV4) -> None:
    check_scope(
        stated.region,
        stated.service,
        stated.scope.rpartition("/")[2],
        expected_region=request.region,
        services=request.services,
    )


def _check_payload(payload: str) -> None:
    """Refuse a value of x-amz-content-sha256 that is neither a hash nor one of the names."""
    if payload in _PAYLOAD_NAMES or (len(payload) == 64 and not payload.strip(_HEX_DIGITS)):
        return
    if payload in _ASYMMETRIC_PAYLOADS:
        raise unsupported_mechanism()
    raise S3Error("InvalidArgument", _BAD_PAYLOAD, ArgumentName="x-amz-content-sha256", ArgumentValue=payload)


def _request_time(amz_date: str | None, date: str | None) -> tuple[int, str]:
    """Seconds since the epoch and the form that is signed, of ``x-amz-date``, or of ``Date`` when there is none."""
    try:
        if amz_date is not None:
            return _parse_amz_date(amz_date), amz_date
    except ValueError:
        seconds = None
    else:
        seconds = parse_http_date(date) if date else None
    if seconds is None:
        raise S3Error("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")
    return seconds, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))


def _server_time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _check_signed_headers(request: _Request, signed: Sequence[str]) -> None:
    """Refuse a request with a header that means something to S3 and that its signature does not cover.

    ``x-amz-content-sha256`` need not be listed: its value is a line of the canonical request anyway.
    """
    missing = [
        name
        for name in request.header_names
        if (name[:6] == "x-amz-" or name == "content-md5") and name not in signed and name != "x-amz-content-sha256"
    ]
    if "host" not in signed:
        missing.append("host")
    if missing:
        raise S3Error(
            "AccessDenied",
            "There were headers present in the request which were not signed",
            HeadersNotSigned=", ".join(sorted(missing)),
        )


def _verify(request: _Request, stated: SignatureV4, kind: Literal["header", "query"], *, without: str) -> Authenticated:
    """The access key and the signature.

    An unknown access key costs what a wrong signature costs, so that time does not tell which keys exist.
    """
    signed = stated.signed_headers
    _check_signed_headers(request, signed)
    keys = request.keys
    secret = request.secret_of(stated.access_key)
    if secret is None:
        key = keys.get("", stated.date, stated.region, stated.service, keys.decoy_secret)
    else:
        key = keys.get(stated.access_key, stated.date, stated.region, stated.service, secret)
    canonical = canonical_request(
        request.method, request.raw_path, request.query, signed, request.header, stated.payload, without=without
    )
    text = string_to_sign(stated.amz_date, stated.scope, canonical)
    if not verify(key, text, stated.signature) or secret is None:
        mismatch = signature_mismatch(stated.access_key, text, stated.signature, canonical)
        raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=stated.access_key) if secret is None else mismatch
    return Authenticated(
        stated.access_key,
        stated.session_token,
        stated.payload,
        stated.signature,
        key,
        stated.scope,
        stated.amz_date,
        stated.region,
        stated.service,
        kind,
        canonical,
    )


def signing_time(amz_date: str) -> int:
    """When a request was signed that was found to be authentic, in seconds since the epoch."""
    return _parse_amz_date(amz_date)


def verify(key: bytes, text: str, signature: str) -> bool:
    """Whether ``signature`` is the signature of the string to sign, compared in constant time."""
    return signatures_equal(sign(key, text), signature)


def signature_mismatch(access_key: str, text: str, signature: str, canonical: str | None = None) -> S3Error:
    """``SignatureDoesNotMatch`` with what the gateway signed, so that a client's author can compare."""
    elements = {
        "AWSAccessKeyId": access_key,
        "StringToSign": text,
        "SignatureProvided": signature,
        "StringToSignBytes": to_bytes(text).hex(" "),
    }
    if canonical is not None:
        data = to_bytes(canonical)
        elements["CanonicalRequest"] = data.decode("utf-8", "replace")
        elements["CanonicalRequestBytes"] = data.hex(" ")
    return refusal("SignatureDoesNotMatch", None, elements)
