"""A second, plain implementation of what clients do, written with the standard library alone, to test ours against."""

from __future__ import annotations

import calendar
import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote_to_bytes, urlencode

from workers.protocol.sigv4 import Authenticated, SigningKeys, authenticate
from workers.protocol.target import parse_query, split_target

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
AMZ_DATE = "20130524T000000Z"
NOW = calendar.timegm((2013, 5, 24, 0, 0, 0))
REGION = "us-east-1"
SCOPE = f"20130524/{REGION}/s3/aws4_request"
HOST = "examplebucket.s3.amazonaws.com"
EMPTY = hashlib.sha256(b"").hexdigest()


def amz_date(seconds: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))


def derive(secret: str, scope: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def signature(text: str, *, secret: str = SECRET, scope: str = SCOPE) -> str:
    return hmac.new(derive(secret, scope), text.encode("latin-1"), hashlib.sha256).hexdigest()


def canonical(method: str, target: str, headers: Mapping[str, str], signed: str, payload: str) -> str:
    path, _, query = target.partition("?")
    uri = quote(unquote_to_bytes(path.encode("latin-1")), safe="/-_.~")
    pairs = parse_qsl(query.replace("+", "%20"), keep_blank_values=True, encoding="latin-1")
    encoded = sorted(
        (quote(n.encode("latin-1"), safe="-_.~"), quote(v.encode("latin-1"), safe="-_.~")) for n, v in pairs
    )
    lines = [f"{name}:{headers.get(name, '').strip(' ')}\n" for name in signed.split(";")]
    return "\n".join([method, uri, "&".join(f"{n}={v}" for n, v in encoded), "".join(lines), signed, payload])


def to_sign(canonical_request: str, *, date: str = AMZ_DATE, scope: str = SCOPE) -> str:
    return f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashlib.sha256(canonical_request.encode('latin-1')).hexdigest()}"


def signed_headers(
    method: str = "GET",
    target: str = "/key",
    headers: Mapping[str, str] | None = None,
    *,
    payload: str = EMPTY,
    date: str = AMZ_DATE,
    region: str = REGION,
    service: str = "s3",
    access_key: str = ACCESS_KEY,
    secret: str = SECRET,
    unsigned: tuple[str, ...] = (),
) -> dict[str, str]:
    """The request's headers with a correct Authorization header among them."""
    scope = f"{date[:8]}/{region}/{service}/aws4_request"
    found = {"host": HOST, "x-amz-date": date, "x-amz-content-sha256": payload, **(headers or {})}
    names = ";".join(sorted(name for name in found if name not in unsigned))
    text = to_sign(canonical(method, target, found, names, payload), date=date, scope=scope)
    found["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={names}, "
        f"Signature={signature(text, secret=secret, scope=scope)}"
    )
    return found


def presigned_target(
    method: str = "GET",
    path: str = "/key",
    query: Mapping[str, str] | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    expires: object = 3600,
    date: str = AMZ_DATE,
    region: str = REGION,
    service: str = "s3",
    signed: str = "host",
    access_key: str = ACCESS_KEY,
    payload: str = "UNSIGNED-PAYLOAD",
    changed: Mapping[str, str | None] | None = None,
) -> str:
    """A presigned target; ``changed`` parameters are replaced, or left out when None, before it is signed."""
    scope = f"{date[:8]}/{region}/{service}/aws4_request"
    parameters: dict[str, str | None] = {
        **(query or {}),
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{access_key}/{scope}",
        "X-Amz-Date": date,
        "X-Amz-Expires": str(expires),
        "X-Amz-SignedHeaders": signed,
        **(changed or {}),
    }
    present = {name: value for name, value in parameters.items() if value is not None}
    target = f"{path}?{urlencode(present, quote_via=quote, safe='')}"
    text = to_sign(
        canonical(method, target, {"host": HOST, **(headers or {})}, signed, payload), date=date, scope=scope
    )
    return f"{target}&X-Amz-Signature={signature(text, scope=scope)}"


def check(
    method: str = "GET",
    target: str = "/key",
    headers: Mapping[str, str] | None = None,
    *,
    now: float = NOW,
    region: str = REGION,
    secrets: Mapping[str, str] | None = None,
    keys: SigningKeys | None = None,
    **options: Any,
) -> Authenticated | None:
    """What the gateway makes of a request."""
    path, query = split_target(target)
    found = {"host": HOST} if headers is None else headers
    return authenticate(
        method,
        path,
        parse_query(query),
        found.get,
        list(found),
        now=now,
        region=region,
        secret_of=({ACCESS_KEY: SECRET} if secrets is None else secrets).get,
        keys=SigningKeys() if keys is None else keys,
        **options,
    )


def seed_of(signature_text: str, *, date: str = AMZ_DATE, payload: str = "") -> Authenticated:
    """An authenticated request that chunk signatures go on from."""
    scope = f"{date[:8]}/{REGION}/s3/aws4_request"
    key = derive(SECRET, scope)
    return Authenticated(
        ACCESS_KEY, None, payload, signature_text, key, scope, date, REGION, "s3", "header", "PUT\n/canonical"
    )


def split(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def encode_signed(
    chunks: list[bytes],
    seed: str,
    *,
    trailers: Mapping[str, str] | None = None,
    date: str = AMZ_DATE,
    line_end: str = "\r\n",
    before_signature: str = "",
    end: str = "\r\n",
) -> bytes:
    """A signed body; with ``trailers`` (an empty mapping too) it has a signed trailer."""
    scope = f"{date[:8]}/{REGION}/s3/aws4_request"
    parts = []
    for chunk in [*chunks, b""]:
        digest = hashlib.sha256(chunk).hexdigest()
        seed = signature(f"AWS4-HMAC-SHA256-PAYLOAD\n{date}\n{scope}\n{seed}\n{EMPTY}\n{digest}", scope=scope)
        parts.append(f"{len(chunk):x};chunk-signature={seed}\r\n".encode() + chunk + (b"\r\n" if chunk else b""))
    if trailers is None:
        return b"".join(parts) + b"\r\n"
    block = "".join(f"{name}:{value}\n" for name, value in trailers.items())
    digest = hashlib.sha256(block.encode()).hexdigest()
    last = signature(f"AWS4-HMAC-SHA256-TRAILER\n{date}\n{scope}\n{seed}\n{digest}", scope=scope)
    text = block.replace("\n", line_end) + before_signature + f"x-amz-trailer-signature:{last}\r\n" + end
    return b"".join(parts) + text.encode()


def encode_unsigned(chunks: list[bytes], trailers: Mapping[str, str], *, line_end: str = "\r\n") -> bytes:
    parts = [f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in chunks]
    text = "".join(f"{name}:{value}{line_end}" for name, value in trailers.items())
    return b"".join(parts) + b"0\r\n" + text.encode() + b"\r\n"
