"""The request target exactly as the client sent it: its path, its key, its query.

WSGI's ``PATH_INFO`` is decoded and so has lost what SigV4 and S3 keys need (``%2F`` beside ``/``,
the double slash, raw bytes that are not UTF-8). Everything here starts from the raw target.

A raw target is a ``str`` of Latin-1 characters, one for each byte on the wire, as WSGI has it.

``+`` is a space in a query, as HTML forms and AWS read it, and itself in a path: a client that sends
``+`` in a path means the character, and percent-encodes a space.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from workers.protocol.errors import S3Error

__all__ = [
    "EMPTY_QUERY",
    "Query",
    "decode_key",
    "decode_path",
    "encode_path",
    "encode_text",
    "parse_query",
    "split_target",
]

# RFC 3986 section 2.3, which is also the set that SigV4 leaves alone.
_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_PATH_SAFE = _UNRESERVED + b"/"
_ENCODED = tuple(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in range(256))
_ENCODED_PATH = tuple("/" if byte == 0x2F else _ENCODED[byte] for byte in range(256))
_HEX_DIGITS = "0123456789abcdefABCDEF"
_DECODED = {(a + b).encode(): bytes((int(a + b, 16),)) for a in _HEX_DIGITS for b in _HEX_DIGITS}


def _invalid_uri(target: str) -> S3Error:
    shown = target[:1024].encode("latin-1", "replace").decode("utf-8", "replace")
    return S3Error("InvalidURI", URI=shown)


def split_target(raw: str) -> tuple[str, str]:
    """The raw path and raw query (without ``?``) of a request target.

    Takes the origin form, the absolute form (RFC 9112 section 3.2.2: the authority is dropped, as the
    ``Host`` header speaks for it) and ``*``, which is answered as the path ``*``. A fragment never
    belongs on the wire. Raises ``InvalidURI``.
    """
    if "#" in raw:
        raise _invalid_uri(raw)
    path, _, query = raw.partition("?")
    if path[:1] == "/" or path == "*":
        return path, query
    scheme, separator, rest = path.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        raise _invalid_uri(raw)
    _, slash, path = rest.partition("/")
    return slash + path or "/", query


def decode_path(raw: str | bytes) -> bytes:
    """The bytes that a percent-encoded path stands for.

    Raises ``InvalidURI`` for a ``%`` that is not followed by two hexadecimal digits.
    """
    if isinstance(raw, str):
        try:
            data = raw.encode("latin-1")
        except UnicodeEncodeError:
            raise _invalid_uri(raw) from None
    else:
        data = raw
    if b"%" not in data:
        return data
    pieces = data.split(b"%")
    try:
        decoded = [pieces[0]]
        for piece in pieces[1:]:
            decoded.append(_DECODED[piece[:2]])
            decoded.append(piece[2:])
    except KeyError:
        raise _invalid_uri(data.decode("latin-1")) from None
    return b"".join(decoded)


def decode_key(raw: str | bytes) -> str:
    """A key (or any part of a path) from its percent-encoded form, as strict UTF-8. Raises ``InvalidURI``."""
    if isinstance(raw, str) and "%" not in raw and raw.isascii():
        return raw
    data = decode_path(raw)
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _invalid_uri(raw if isinstance(raw, str) else raw.decode("latin-1")) from None


def encode_text(data: bytes) -> str:
    """Percent-encoded as SigV4 wants names and values: all but RFC 3986's unreserved characters, upper-case digits."""
    if not data.translate(None, _UNRESERVED):
        return data.decode("ascii")
    return "".join([_ENCODED[byte] for byte in data])


def encode_path(data: bytes) -> str:
    """Percent-encoded as :func:`encode_text`, with ``/`` kept."""
    if not data.translate(None, _PATH_SAFE):
        return data.decode("ascii")
    return "".join([_ENCODED_PATH[byte] for byte in data])


class Query(Mapping[str, str]):
    """The decoded parameters of a query: name to first value, ``''`` for a parameter without ``=``.

    ``raw_pairs`` has every (name, value) as sent and in the order sent; ``pairs`` the same decoded.
    """

    __slots__ = ("_first", "pairs", "raw_pairs")

    def __init__(self, raw_pairs: list[tuple[str, str]], pairs: list[tuple[str, str]]) -> None:
        self.raw_pairs = raw_pairs
        self.pairs = pairs
        first: dict[str, str] = {}
        for name, value in pairs:
            if name not in first:
                first[name] = value
        self._first = first

    def __getitem__(self, name: str) -> str:
        return self._first[name]

    def __contains__(self, name: object) -> bool:
        return name in self._first

    def __iter__(self) -> Iterator[str]:
        return iter(self._first)

    def __len__(self) -> int:
        return len(self._first)

    def __repr__(self) -> str:
        return f"Query({self.pairs!r})"

    def getlist(self, name: str) -> list[str]:
        """Every value of a parameter in the order sent, ``[]`` when it is absent."""
        return [value for known, value in self.pairs if known == name]


EMPTY_QUERY = Query([], [])


def parse_query(raw_query: str) -> Query:
    """The parameters of a raw query, separated by ``&`` alone.

    Raises ``InvalidURI`` for what is not percent-encoded UTF-8.
    """
    if not raw_query:
        return EMPTY_QUERY
    raw_pairs: list[tuple[str, str]] = []
    pairs: list[tuple[str, str]] = []
    for item in raw_query.split("&"):
        if item:
            name, _, value = item.partition("=")
            raw_pairs.append((name, value))
            pairs.append((_decode_parameter(name), _decode_parameter(value)))
    return Query(raw_pairs, pairs)


def _decode_parameter(raw: str) -> str:
    if "+" in raw:
        raw = raw.replace("+", " ")
    if "%" not in raw and raw.isascii():
        return raw
    return decode_key(raw)
