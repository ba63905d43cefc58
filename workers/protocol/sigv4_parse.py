"""Reading what a client says about its signature: Authorization header, presigned query, credential scope.

The refusals, their order and their texts are those of AWS for the same fault.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple

from workers.protocol.errors import S3Error
from workers.protocol.sigv4_canonical import ALGORITHM, TERMINATOR
from workers.protocol.target import Query

ASYMMETRIC_ALGORITHM: Final = "AWS4-ECDSA-P256-SHA256"
MAX_EXPIRES: Final = 7 * 24 * 3600
GLOBAL_REGION: Final = "us-east-1"
NO_ELEMENTS: Final[Mapping[str, str]] = MappingProxyType({})

# An Authorization header that is longer is not worth the memory.
_LONGEST_REMEMBERED: Final = 512

# Services with one endpoint for all regions: some clients sign for it wherever they are, others for their own region.
_GLOBAL_SERVICES: Final = frozenset({"iam", "sts"})
_UNSUPPORTED: Final = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
_OTHER_REGION: Final = "Credential should be scoped to a valid region, not '{}'."
_REQUIRED: Final = (
    "x-amz-credential",
    "x-amz-signature",
    "x-amz-date",
    "x-amz-signedheaders",
)


class SignatureV4(NamedTuple):
    """A signature as the client stated it; nothing in it is verified.

    ``date`` is the day of the scope (``YYYYMMDD``), ``amz_date`` the time of the request (``YYYYMMDD'T'HHMMSS'Z'``),
    ``expires`` the seconds that a presigned request lives (None in a header), ``payload`` what stands for the body in
    the canonical request, ``scope`` the credential without its access key.
    """

    access_key: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    amz_date: str
    expires: int | None
    session_token: str | None
    payload: str
    scope: str


class CredentialFault(Exception):
    """What is wrong with a credential, before a caller gives it its error code.

    `plainly` is what services other than S3 say of a well-formed scope that is not the request's.
    """

    def __init__(self, message: str, plainly: str = "", **elements: str) -> None:
        super().__init__(message)
        self.message = message
        self.plainly = plainly
        self.elements = elements


class ScopeError(S3Error):
    """The refusal of a signature for another region, service or day: for other services than S3 no lack of form."""

    def __init__(self, code: str, message: str, plainly: str, elements: Mapping[str, str]) -> None:
        super().__init__(code, message, headers=None, **elements)
        self.plainly = plainly


def unsupported_mechanism() -> S3Error:
    """The refusal of Signature Version 2 and of SigV4A."""
    return S3Error("InvalidRequest", _UNSUPPORTED)


def refusal(code: str, message: str | None, elements: Mapping[str, str]) -> S3Error:
    """An S3Error whose extra elements are computed."""
    return S3Error(code, message, headers=None, **elements)


def header_malformed(message: str, elements: Mapping[str, str] = NO_ELEMENTS) -> S3Error:
    return refusal("AuthorizationHeaderMalformed", f"The authorization header is malformed; {message}", elements)


def scope_refused(malformed: S3Error, plainly: str) -> ScopeError:
    """What S3 says of a scope, and other services `plainly`."""
    return ScopeError(malformed.code, malformed.message, plainly, malformed.elements)


def parse_credential(credential: str) -> list[str]:
    """Access key, day, region, service and terminator of a credential. Raises CredentialFault."""
    parts = credential.split("/")
    if len(parts) != 5:
        raise CredentialFault(
            'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'
        )
    if not parts[0]:
        raise CredentialFault("a non-empty Access Key (AKID) must be provided in the credential.")
    date = parts[1]
    if len(date) != 8 or not (date.isascii() and date.isdigit()):
        raise CredentialFault(
            f'incorrect date format "{date}". This date in the credential must be in the format "yyyyMMdd".'
        )
    return parts


def check_scope(region: str, service: str, terminator: str, *, expected_region: str, services: Sequence[str]) -> None:
    """Raise CredentialFault unless the scope is one of this gateway. An empty expected region means us-east-1."""
    expected = expected_region or GLOBAL_REGION
    if region != expected and not (region == GLOBAL_REGION and service in _GLOBAL_SERVICES):
        if not region:
            raise CredentialFault("a non-empty region must be provided in the credential.", _OTHER_REGION.format(""))
        raise CredentialFault(
            f"the region '{region}' is wrong; expecting '{expected}'", _OTHER_REGION.format(region), Region=expected
        )
    if service not in services:
        raise CredentialFault(
            f'incorrect service "{service}". This endpoint belongs to "{services[0]}".',
            f"Credential should be scoped to correct service: '{services[0]}'.",
        )
    if terminator != TERMINATOR:
        raise CredentialFault(
            f'incorrect terminal "{terminator}". This endpoint uses "{TERMINATOR}".',
            f"Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{terminator}'.",
        )


class _Head(NamedTuple):
    """What precedes the signature in an Authorization header, the same in request after request of one client."""

    access_key: str
    date: str
    region: str
    service: str
    scope: str
    signed_headers: tuple[str, ...]


def parse_authorization(
    authorization: str, *, amz_date: str = "", payload: str = "", session_token: str | None = None
) -> SignatureV4:
    """The parts of an ``AWS4-HMAC-SHA256`` Authorization header; what other headers carry is passed through.

    Raises ``InvalidArgument`` for another scheme, ``InvalidRequest`` for Signature Version 2 and SigV4A,
    ``AuthorizationHeaderMalformed``.
    """
    start, _, last = authorization.rpartition(",")
    last = last.strip()
    # PERF: clients send the signature last; what comes before it changes once a day.
    if last[:10] == "Signature=" and len(start) <= _LONGEST_REMEMBERED:
        signature = last[10:]
        head = _parse_head(start)
    else:
        found = _parse_components(authorization)
        signature = found.get("Signature", "")
        head = _head(found)
    if not signature:
        raise _missing_components()
    access_key, date, region, service, scope, signed_headers = head
    return SignatureV4(
        access_key,
        date,
        region,
        service,
        signed_headers,
        signature,
        amz_date,
        None,
        session_token,
        payload,
        scope,
    )


def _parse_components(authorization: str) -> dict[str, str]:
    algorithm, space, rest = authorization.partition(" ")
    if algorithm != ALGORITHM or not space:
        _refuse_scheme(authorization, algorithm, space)
    found: dict[str, str] = {}
    for component in rest.split(","):
        text = component.strip()
        name, separator, value = text.partition("=")
        if not separator or name not in ("Credential", "SignedHeaders", "Signature") or name in found:
            if not text:
                raise _missing_components()
            raise header_malformed(f'the authorization component "{text}" is malformed.')
        found[name] = value
    return found


def _head(found: Mapping[str, str]) -> _Head:
    credential = found.get("Credential", "")
    signed_headers = found.get("SignedHeaders", "")
    if not credential or not signed_headers:
        raise _missing_components()
    try:
        access_key, date, region, service, terminator = parse_credential(credential)
    except CredentialFault as fault:
        raise header_malformed(fault.message) from None
    scope = f"{date}/{region}/{service}/{terminator}"
    return _Head(access_key, date, region, service, scope, tuple(signed_headers.split(";")))


@lru_cache(maxsize=1024)
def _parse_head(start: str) -> _Head:
    found = _parse_components(start)
    if "Signature" in found:
        raise header_malformed(f'the authorization component "Signature={found["Signature"]}" is malformed.')
    return _head(found)


def _missing_components() -> S3Error:
    return header_malformed(
        "the authorization header requires three components: Credential, SignedHeaders, and Signature."
    )


def _refuse_scheme(authorization: str, algorithm: str, space: str) -> None:
    if algorithm.upper() in ("AWS", ASYMMETRIC_ALGORITHM):
        raise unsupported_mechanism()
    message = "Unsupported Authorization Type"
    if not space:
        message = "Authorization header is invalid -- one and only one ' ' (space) required"
    raise S3Error("InvalidArgument", message, ArgumentName="Authorization", ArgumentValue=authorization)


def presigned_fields(query: Query) -> Mapping[str, str] | None:
    """The ``X-Amz-*`` parameters of a presigned query by lower-case name, or None when it is not presigned.

    The names are taken in any letter case. One that comes twice could mean one thing to the signature and another to
    an operation: ``AuthorizationQueryParametersError``.
    """
    if not query or not any(len(name) == 15 and name.lower() == "x-amz-algorithm" for name in query):
        return None
    fields: dict[str, str] = {}
    for name, value in query.pairs:
        lower = name.lower()
        if lower.startswith("x-amz-"):
            if lower in fields:
                raise query_malformed(f"The query parameter {name} was given more than once.")
            fields[lower] = value
    return fields


def query_malformed(message: str, elements: Mapping[str, str] = NO_ELEMENTS) -> S3Error:
    return refusal("AuthorizationQueryParametersError", message, elements)


def credential_parameter_malformed(fault: CredentialFault) -> S3Error:
    return query_malformed(f"Error parsing the X-Amz-Credential parameter; {fault.message}", fault.elements)


def parse_presigned(query: Query, *, payload: str = "", expires: int | None = None) -> SignatureV4:
    """The parts of a presigned query. ``payload`` is passed through.

    ``expires`` are the seconds that a request lives which does not say so; None where it has to, as for S3.

    Raises ``AuthorizationQueryParametersError``, ``InvalidRequest`` for SigV4A.
    """
    fields = presigned_fields(query)
    if fields is None:
        raise _missing_parameters()
    return parse_presigned_fields(fields, payload, expires)


def parse_presigned_fields(fields: Mapping[str, str], payload: str, expires: int | None = None) -> SignatureV4:
    """As :func:`parse_presigned`, of what :func:`presigned_fields` found."""
    algorithm = fields["x-amz-algorithm"]
    if algorithm == ASYMMETRIC_ALGORITHM:
        raise unsupported_mechanism()
    if algorithm != ALGORITHM:
        raise query_malformed('X-Amz-Algorithm only supports "AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256"')
    stated = fields.get("x-amz-expires")
    if not all(name in fields for name in _REQUIRED) or (stated is None and expires is None):
        raise _missing_parameters()
    if stated is not None:
        expires = _parse_expires(stated)
    try:
        access_key, date, region, service, terminator = parse_credential(fields["x-amz-credential"])
    except CredentialFault as fault:
        raise credential_parameter_malformed(fault) from None
    return SignatureV4(
        access_key,
        date,
        region,
        service,
        tuple(fields["x-amz-signedheaders"].split(";")),
        fields["x-amz-signature"],
        fields["x-amz-date"],
        expires,
        fields.get("x-amz-security-token"),
        payload,
        f"{date}/{region}/{service}/{terminator}",
    )


def _missing_parameters() -> S3Error:
    return query_malformed(
        "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "
        "X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
    )


def _parse_expires(text: str) -> int:
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not digits.isascii() or not digits.isdigit() or len(digits) > 19:
        raise query_malformed("X-Amz-Expires should be a number")
    seconds = int(text)
    if seconds < 0:
        raise query_malformed("X-Amz-Expires must be non-negative")
    if seconds > MAX_EXPIRES:
        raise query_malformed(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than "
            f"{MAX_EXPIRES} seconds"
        )
    return seconds
