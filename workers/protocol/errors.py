"""The one exception of the S3 protocol, its catalogue of codes, and the error document."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Self

from workers.protocol.error_codes import ERROR_CODES
from workers.protocol.xmltext import escape_replacing


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """What the catalogue says of an error code: HTTP status and default message."""

    status: int
    message: str


CATALOGUE: Final[Mapping[str, ErrorKind]] = MappingProxyType(
    {code: ErrorKind(status, message) for code, (status, message) in ERROR_CODES.items()}
)

# AWS names the resource by other elements, if at all; clients compare the whole of this one.
_WITHOUT_RESOURCE: Final = frozenset({"InvalidRequest"})

_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class S3Error(Exception):
    """A refusal that the client sees.

    `code` is a key of CATALOGUE (another one is a programming error: KeyError); `message` replaces the catalogue's;
    `elements` are the extra elements of the document in their order (`BucketName="b"`; `add` takes a name that is no
    identifier); `headers` go out with the response.
    """

    def __init__(
        self, code: str, message: str | None = None, *, headers: Mapping[str, str] | None = None, **elements: str
    ) -> None:
        kind = CATALOGUE[code]
        self.code = code
        self.status = kind.status
        self.message = kind.message if message is None else message
        self.elements = elements
        self.headers = _NO_HEADERS if headers is None else headers
        super().__init__(code, self.message)

    def add(self, name: str, value: str) -> Self:
        """Append an element whose name Python cannot write as a keyword, such as `X-Amz-Expires`; returns self."""
        self.elements[name] = value
        return self

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def render_error(error: S3Error, *, resource: str, request_id: str, host_id: str) -> bytes:
    """Return the error document. `resource` is left out when empty, and of an InvalidRequest.

    The root has no namespace, as with AWS. The document can always be written: characters that XML cannot hold are
    replaced by U+FFFD, since an element often repeats what the client sent.
    """
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>',
        error.code,
        "</Code><Message>",
        escape_replacing(error.message),
        "</Message>",
    ]
    parts += [f"<{name}>{escape_replacing(value)}</{name}>" for name, value in error.elements.items()]
    if resource and error.code not in _WITHOUT_RESOURCE:
        parts.append(f"<Resource>{escape_replacing(resource)}</Resource>")
    parts.append(
        f"<RequestId>{escape_replacing(request_id)}</RequestId><HostId>{escape_replacing(host_id)}</HostId></Error>"
    )
    return "".join(parts).encode()
