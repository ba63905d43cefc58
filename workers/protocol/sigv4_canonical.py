"""What Signature Version 4 signs: canonical request, string to sign, signing key.

The rules are those of the "Signature Version 4" chapters of the Amazon S3 API reference. S3 differs from the other
services: the path is not normalised (``a//b`` and ``..`` stay) and is encoded once. The server decodes what was sent
and encodes it again, so that clients may leave ``~``, ``+``, ``=`` or ``:`` plain or write ``%7e``.

Text is ``str`` of Latin-1 characters throughout, one for each byte, as WSGI has header values.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from workers.protocol.target import Query, decode_path, encode_path, encode_text

if TYPE_CHECKING:
    from _hashlib import HASH

ALGORITHM: Final = "AWS4-HMAC-SHA256"
TERMINATOR: Final = "aws4_request"
EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()
# PERF: OpenSSL 3 looks an algorithm up by its name for each new context; a copy of one costs half as much.
_SHA256: Final = hashlib.sha256()
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))  # RFC 2104
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))

Header = Callable[[str], str | None]


def canonical_uri(raw_path: str) -> str:
    """The path decoded and encoded again, ``/`` kept. Raises ``InvalidURI``."""
    return encode_path(decode_path(raw_path)) or "/"


def canonical_query(query: Query, *, without: str = "") -> str:
    """The parameters encoded and sorted by name, then value; ``without`` (lower case) leaves one out by its name."""
    pairs = query.pairs
    if not pairs:
        return ""
    encoded = [
        (encode_text(name.encode()), encode_text(value.encode())) for name, value in pairs if name.lower() != without
    ]
    if len(encoded) > 1:
        encoded.sort()
    return "&".join([f"{name}={value}" for name, value in encoded])


def canonical_value(value: str) -> str:
    """A header value without spaces at its ends and with single ones inside.

    ``str.split`` would not do: the bytes of a UTF-8 value include 0x85 and 0xA0, which it takes for spaces.
    """
    value = value.strip(" \t")
    if "  " in value or "\t" in value:
        value = b" ".join(to_bytes(value).split()).decode("latin-1")
    return value


def canonical_request(
    method: str,
    raw_path: str,
    query: Query,
    signed_headers: Iterable[str],
    header: Header,
    payload: str,
    *,
    without: str = "",
) -> str:
    """The canonical request. A signed header that the request lacks counts as empty, which no honest signature covers.

    Raises ``InvalidURI`` when the path cannot be decoded.
    """
    lines = [method, canonical_uri(raw_path), canonical_query(query, without=without)]
    names = []
    for name in signed_headers:
        value = header(name)
        lines.append(f"{name}:{canonical_value(value)}" if value else name + ":")
        names.append(name)
    lines.append("")
    lines.append(";".join(names))
    lines.append(payload)
    return "\n".join(lines)


def string_to_sign(amz_date: str, scope: str, canonical: str) -> str:
    """The string to sign; ``scope`` is ``YYYYMMDD/region/service/aws4_request``."""
    digest = _SHA256.copy()
    digest.update(to_bytes(canonical))
    return f"{ALGORITHM}\n{amz_date}\n{scope}\n{digest.hexdigest()}"


def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The key of one secret for one day (``YYYYMMDD``), region and service."""
    key = hmac.digest(b"AWS4" + secret.encode(), date.encode(), "sha256")
    for part in (region, service, TERMINATOR):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def sign(key: bytes, text: str) -> str:
    """The signature of a text under a signing key, 64 lower-case hexadecimal digits."""
    inner, outer = _keyed(key)
    digest = inner.copy()
    digest.update(to_bytes(text))
    signature = outer.copy()
    signature.update(digest.digest())
    return signature.hexdigest()


@lru_cache(maxsize=1024)
def _keyed(key: bytes) -> tuple[HASH, HASH]:
    """HMAC's two hashes behind the key (RFC 2104), to be copied. PERF: hmac.digest took half as long again."""
    block = (key if len(key) <= 64 else hashlib.sha256(key).digest()).ljust(64, b"\0")
    return hashlib.sha256(block.translate(_INNER)), hashlib.sha256(block.translate(_OUTER))


def signatures_equal(expected: str, provided: str) -> bool:
    """Compare in a time that does not depend on where the two differ."""
    return provided.isascii() and hmac.compare_digest(expected, provided)


def to_bytes(text: str) -> bytes:
    """The bytes on the wire that Latin-1 text stands for; other text, which no server produces, as UTF-8."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


class SigningKeys:
    """Signing keys by access key and scope, for one worker; bounded.

    Deriving a key takes four HMACs, as long as the rest of a verification. Two generations make the bound: when the
    young one is full it becomes the old one and the former old one goes; what is used from the old one moves over.
    """

    __slots__ = ("_limit", "_old", "_young", "decoy_secret")

    def __init__(self, limit: int = 4096) -> None:
        self._limit = limit
        self._young: dict[tuple[str, str, str, str], tuple[int, bytes]] = {}
        self._old: dict[tuple[str, str, str, str], tuple[int, bytes]] = {}
        self.decoy_secret = secrets.token_hex(20)

    @property
    def count(self) -> int:
        """How many keys are held, at most twice the limit."""
        return len(self._young) + len(self._old)

    def get(self, access_key: str, date: str, region: str, service: str, secret: str) -> bytes:
        """The signing key, derived when it is not known or when the secret has changed since."""
        name = (access_key, date, region, service)
        # The secret itself is not kept: only what tells whether it is still the same. PERF: a text knows its own hash,
        # of 64 bits under a key that is new in each process; a SHA-256 would take a tenth of a verification.
        digest = hash(secret)
        found = self._young.get(name)
        if found is not None and found[0] == digest:
            return found[1]
        found = self._old.get(name)
        key = found[1] if found is not None and found[0] == digest else signing_key(secret, date, region, service)
        if len(self._young) >= self._limit:
            self._old, self._young = self._young, {}
        self._young[name] = (digest, key)
        return key
