"""The query protocol of AWS, which IAM and STS speak: parameters in a form, answers and errors in XML.

Source: "Making query requests" and "Common errors" of the IAM and STS API references; the service models that the AWS
SDKs ship.
"""

from __future__ import annotations

import re
from collections.abc import ItemsView, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from workers.protocol.errors import S3Error
from workers.protocol.sigv4_parse import ScopeError
from workers.protocol.target import Query, parse_query
from workers.protocol.xml import Node, document, escape_replacing

FORM: Final = "application/x-www-form-urlencoded"
MAX_FORM: Final = 256 * 1024
"""Bytes of a form: a policy of 10,240 characters of which each is percent-encoded, a token of 20,000, and more."""

MAX_MEMBERS: Final = 200
_WHOLE: Final = re.compile(r"-?\d{1,10}", re.ASCII)

STATUS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "AccessDenied": 403,
        "ConcurrentModification": 409,
        "DeleteConflict": 409,
        "EntityAlreadyExists": 409,
        "ExpiredToken": 403,
        "ExpiredTokenException": 400,
        "IDPCommunicationError": 400,
        "IDPRejectedClaim": 403,
        "IncompleteSignature": 400,
        "InternalFailure": 500,
        "InvalidAction": 400,
        "InvalidClientTokenId": 403,
        "InvalidIdentityToken": 400,
        "InvalidInput": 400,
        "LimitExceeded": 409,
        "MalformedPolicyDocument": 400,
        "MalformedQueryString": 400,
        "MissingAction": 400,
        "MissingAuthenticationToken": 403,
        "MissingParameter": 400,
        "NoSuchEntity": 404,
        "NotSupported": 400,
        "PackedPolicyTooLarge": 400,
        "RequestExpired": 400,
        "ServiceFailure": 500,
        "ServiceUnavailable": 503,
        "SignatureDoesNotMatch": 403,
        "Throttling": 400,
        "UnmodifiableEntity": 400,
        "ValidationError": 400,
    }
)
"""The codes of IAM and STS and the statuses that they come with. `NotSupported` is ours."""

_OF_S3: Final[Mapping[str, str]] = MappingProxyType(
    {
        "AccessDenied": "AccessDenied",
        "AuthorizationHeaderMalformed": "IncompleteSignature",
        "AuthorizationQueryParametersError": "IncompleteSignature",
        "ExpiredToken": "ExpiredToken",
        "InternalError": "InternalFailure",
        "InvalidAccessKeyId": "InvalidClientTokenId",
        "InvalidToken": "InvalidClientTokenId",
        "InvalidURI": "MalformedQueryString",
        "MalformedPolicy": "MalformedPolicyDocument",
        "OperationAborted": "ConcurrentModification",
        "RequestTimeTooSkewed": "RequestExpired",
        "ServiceUnavailable": "ServiceUnavailable",
        "SignatureDoesNotMatch": "SignatureDoesNotMatch",
        "SlowDown": "Throttling",
    }
)
_MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "InvalidClientTokenId": "The security token included in the request is invalid.",
        "ExpiredToken": "The security token included in the request is expired",
        "SignatureDoesNotMatch": "The request signature we calculated does not match the signature you provided. Check "
        "your AWS Secret Access Key and signing method. Consult the service documentation for details.",
    }
)


class QueryError(Exception):
    """A refusal that a client of the query protocol sees. `code` is a key of STATUS."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.status = STATUS[code]
        self.message = message
        super().__init__(code, message)

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def query_error(error: S3Error) -> QueryError:
    """The refusal that says in the query protocol what an S3 error says."""
    if isinstance(error, ScopeError):
        return QueryError("SignatureDoesNotMatch", error.plainly)
    code = _OF_S3.get(error.code, "ValidationError" if error.status < 500 else "InternalFailure")
    message = _MESSAGES.get(code, error.message)
    detail = error.elements.get("Detail")
    return QueryError(code, f"{message} ({detail})" if detail else message)


class Parameters:
    """The parameters of a request: names to values, lists as `Name.member.1`, the first value of a name counts."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def get(self, name: str, default: str = "") -> str:
        """A text, `default` when it was not sent."""
        return self._values.get(name, default)

    def items(self) -> ItemsView[str, str]:
        """All names and values."""
        return self._values.items()

    def require(self, name: str) -> str:
        """A text that has to be there. Raises `QueryError` ValidationError."""
        value = self._values.get(name)
        if not value:
            raise violation("null" if value is None else value, name, "Member must not be null")
        return value

    def integer(self, name: str, default: int, lowest: int, highest: int) -> int:
        """A whole number within bounds. Raises `QueryError` ValidationError."""
        text = self._values.get(name)
        if text is None:
            return default
        if not _WHOLE.fullmatch(text):
            raise violation(text, name, "Member must be a number")
        value = int(text)
        if value > highest:
            raise violation(text, name, f"Member must have value less than or equal to {highest}")
        if value < lowest:
            raise violation(text, name, f"Member must have value greater than or equal to {lowest}")
        return value

    def boolean(self, name: str) -> bool:
        """A truth value, false when it was not sent. Raises `QueryError` ValidationError."""
        value = self._values.get(name, "false").lower()
        if value not in ("true", "false"):
            raise violation(value, name, "Member must be true or false")
        return value == "true"

    def choice(self, name: str, choices: Iterable[str], default: str) -> str:
        """One of several texts. Raises `QueryError` ValidationError."""
        value = self._values.get(name, default)
        allowed = sorted({*choices, default} - {""})
        if value != default and value not in allowed:
            raise violation(value, name, f"Member must satisfy enum value set: [{', '.join(allowed)}]")
        return value

    def texts(self, name: str) -> list[str]:
        """The members of a list of texts, in the order of their numbers."""
        return [member.get("", "") for member in self._members(name)]

    def members(self, name: str) -> list[Mapping[str, str]]:
        """The members of a list of structures."""
        return self._members(name)

    def pairs(self, name: str, key: str = "Key", value: str = "Value") -> dict[str, str]:
        """A list of keys with values, such as tags. Raises `QueryError` InvalidInput for a key that comes twice.

        Their case tells keys apart no more than it does for AWS.
        """
        found: dict[str, str] = {}
        names: set[str] = set()
        for member in self._members(name):
            if key not in member:
                raise violation("null", f"{name}.member.{key}", "Member must not be null")
            if member[key].lower() in names:
                raise QueryError(
                    "InvalidInput", "Duplicate tag keys found. Please note that Tag keys are case insensitive."
                )
            names.add(member[key].lower())
            found[member[key]] = member.get(value, "")
        return found

    def _members(self, name: str) -> list[Mapping[str, str]]:
        prefix = f"{name}.member."
        found: dict[int, dict[str, str]] = {}
        for known, value in self._values.items():
            if known.startswith(prefix):
                number, _, rest = known[len(prefix) :].partition(".")
                if not (number.isascii() and number.isdigit()) or not 1 <= int(number[:6]) <= MAX_MEMBERS:
                    raise QueryError("MalformedQueryString", f"{known[:64]} is no member of a list")
                found.setdefault(int(number), {})[rest] = value
        return [found[number] for number in sorted(found)]


def parse_form(data: bytes) -> Parameters:
    """The parameters of a form. Raises `QueryError` MalformedQueryString."""
    try:
        return from_query(parse_query(data.decode("ascii")))
    except (UnicodeDecodeError, S3Error):
        raise QueryError("MalformedQueryString", "The query string contains a syntax error.") from None


def from_query(query: Query) -> Parameters:
    """The parameters of a request that has them in its target."""
    return Parameters(query)


def violation(value: str, name: str, constraint: str) -> QueryError:
    """The refusal of a parameter that breaks a constraint of the service model, in the words of AWS."""
    shown = name[:1].lower() + name[1:]
    text = f"1 validation error detected: Value '{value[:64]}' at '{shown}' failed to satisfy constraint: {constraint}"
    return QueryError("ValidationError", text.replace("'null'", "null"))


def render_answer(action: str, namespace: str, request_id: str, result: Iterable[Node] | None) -> bytes:
    """The document of a success; `result` is None for an operation that has none."""
    nodes: list[Node] = [] if result is None else [(f"{action}Result", list(result))]
    nodes.append(("ResponseMetadata", [("RequestId", request_id)]))
    return document(f"{action}Response", nodes, namespace=namespace, escaping=escape_replacing)


def render_query_error(error: QueryError, namespace: str, request_id: str) -> bytes:
    """The document of a refusal."""
    kind = "Sender" if error.status < 500 else "Receiver"
    nodes: list[Node] = [
        ("Error", [("Type", kind), ("Code", error.code), ("Message", error.message)]),
        ("RequestId", request_id),
    ]
    return document("ErrorResponse", nodes, namespace=namespace, escaping=escape_replacing)
