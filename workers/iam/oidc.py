"""Tokens of OpenID Connect providers: found keys, verified signatures, checked claims.

Only issuers that the configuration names are ever asked for their keys. Keys are kept; one that is missing is asked for
at once, but not more often than a provider bears, so that a provider changes its keys at any time and tokens with
invented key ids load nobody. Sources: OpenID Connect Core 1.0 section 3.1.3.7, Discovery 1.0 section 4, RFC 7515, 7517.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import urllib3
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key
from joserfc.jws import JWSRegistry

logger = logging.getLogger("shardgate.oidc")

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""Asymmetric ones alone: with the others, whoever can verify a token can make one."""
_KINDS: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC"}
SKEW_SECONDS: Final = 60
KEYS_SECONDS: Final = 3600.0
"""How long keys are taken for the provider's without asking again."""
GRACE_SECONDS: Final = 86400.0
"""How long they are, while it does not answer."""
PAUSE_SECONDS: Final = 5.0
"""Between two questions to one provider."""
MAX_TOKEN: Final = 20_000
MAX_DOCUMENT: Final = 512 * 1024
MAX_KEYS: Final = 100
_LONGEST_CLAIM: Final = 2048

Fetch = Callable[[str], bytes]


class TokenError(Exception):
    """A token is not accepted. `code` is the error code of STS."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ProviderUnavailable(Exception):
    """A provider does not answer, or not as the standard says."""


class HttpFetch:
    """Fetches documents of providers: no redirects, no more than `MAX_DOCUMENT` bytes, seconds of patience.

    `ca` is a file with the certificates of authorities, None for those of the system.
    """

    def __init__(self, ca: str | None = None, timeout: float = 5.0) -> None:
        limits = urllib3.Timeout(connect=timeout, read=timeout)
        self._pool = urllib3.PoolManager(
            num_pools=8, maxsize=2, ca_certs=ca, timeout=limits, retries=urllib3.Retry(1, redirect=False, status=0)
        )

    def __call__(self, url: str) -> bytes:
        """The document at a URL. Raises `ProviderUnavailable`."""
        try:
            response = self._pool.request(
                "GET", url, headers={"Accept": "application/json"}, preload_content=False, redirect=False
            )
            try:
                data = response.read(MAX_DOCUMENT + 1, decode_content=True)
            finally:
                response.close()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ProviderUnavailable(f"{url}: {type(error).__name__}") from None
        if response.status != 200:
            raise ProviderUnavailable(f"{url}: status {response.status}")
        if len(data) > MAX_DOCUMENT:
            raise ProviderUnavailable(f"{url}: more than {MAX_DOCUMENT} bytes")
        return bytes(data)


class _IssuerKeys:
    """The keys of one issuer."""

    def __init__(self, issuer: str, fetch: Fetch, clock: Callable[[], float]) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._clock = clock
        self._keys: tuple[Key, ...] = ()
        self._good_at = -GRACE_SECONDS
        self._asked_at = -PAUSE_SECONDS
        self._lock = threading.Lock()

    def candidates(self, key_id: str | None, algorithm: str) -> list[Key]:
        """The keys that may have made a signature. Raises `ProviderUnavailable`."""
        if self._clock() - self._good_at >= KEYS_SECONDS:
            self._ask()
        found = self._fitting(key_id, algorithm)
        if not found:
            self._ask()
            found = self._fitting(key_id, algorithm)
        return found

    def ask_again(self, key_id: str | None) -> bool:
        """Ask for the keys after all known ones failed, where none was named; whether that is worth another try."""
        before = self._keys
        if key_id is None:
            self._ask()
        return self._keys is not before

    def _fitting(self, key_id: str | None, algorithm: str) -> list[Key]:
        kind = _KINDS[algorithm[:2]]
        return [
            key
            for key in self._keys
            if key.key_type == kind and (key_id is None or key.kid == key_id) and key.get("alg") in (None, algorithm)
        ]

    def _ask(self) -> None:
        asked_before = self._asked_at
        with self._lock:
            now = self._clock()
            if self._asked_at != asked_before or now - self._asked_at < PAUSE_SECONDS:
                # Somebody else has just asked.
                return self._check_age(now, None)
            self._asked_at = now
            try:
                self._keys = self._load()
                self._good_at = self._clock()
            except ProviderUnavailable as error:
                logger.warning("keys of %s: %s", self._issuer, error)
                self._check_age(now, error)

    def _check_age(self, now: float, error: ProviderUnavailable | None) -> None:
        if now - self._good_at >= GRACE_SECONDS:
            raise error or ProviderUnavailable(f"{self._issuer} did not answer a moment ago")

    def _load(self) -> tuple[Key, ...]:
        discovery = _document(self._fetch, self._issuer.rstrip("/") + "/.well-known/openid-configuration")
        if discovery.get("issuer") != self._issuer:
            raise ProviderUnavailable(f"{self._issuer} calls itself {str(discovery.get('issuer'))[:255]!r}")
        url = discovery.get("jwks_uri")
        if not isinstance(url, str) or urlsplit(url).scheme not in ("https", urlsplit(self._issuer).scheme):
            raise ProviderUnavailable(f"{self._issuer} has no jwks_uri")
        entries = _document(self._fetch, url).get("keys")
        if not isinstance(entries, list):
            raise ProviderUnavailable(f"{url} has no keys")
        return tuple(key for entry in entries[:MAX_KEYS] if (key := _key(entry)) is not None)


def _document(fetch: Fetch, url: str) -> dict[str, Any]:
    try:
        found = json.loads(fetch(url))
    except (ValueError, RecursionError):
        raise ProviderUnavailable(f"{url}: not JSON") from None
    if not isinstance(found, dict):
        raise ProviderUnavailable(f"{url}: not an object")
    return found


def _key(entry: Any) -> Key | None:
    """A key that signatures are made with; None for others, and for what this version does not know."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or entry.get("kty") not in ("RSA", "EC"):
        return None
    try:
        return JWKRegistry.import_key({name: value for name, value in entry.items() if name != "x5c"})
    except (JoseError, ValueError, TypeError, KeyError):
        return None


class Issuers:
    """Verifies tokens of the issuers that the configuration names.

    Args:
        clock: seconds that never go back.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        issuers: Collection[str],
        fetch: Fetch,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._issuers = {issuer: _IssuerKeys(issuer, fetch, clock) for issuer in issuers}
        self._now = now
        self._registry = JWSRegistry(algorithms=list(ALGORITHMS))

    def _issuer_of(self, token: str) -> str:
        """The issuer that a token names, one of those that are known; nothing is verified. Raises `TokenError`."""
        if len(token) > MAX_TOKEN:
            raise _invalid("it is too long")
        try:
            claims = json.loads(jws.extract_compact(token.encode("ascii"), registry=self._registry).payload)
        except (JoseError, ValueError, RecursionError, TypeError):
            raise _invalid("it is not a signed JSON Web Token") from None
        issuer = claims.get("iss") if isinstance(claims, dict) else None
        if not isinstance(issuer, str) or issuer not in self._issuers:
            raise _invalid("its issuer is not one that this gateway knows")
        return issuer

    def verify(self, token: str) -> dict[str, Any]:
        """The claims of a token, whomever it is meant for: that is for `check_audience`.

        Raises `TokenError` InvalidIdentityToken, ExpiredTokenException, IDPCommunicationError.
        """
        issuer = self._issuer_of(token)
        try:
            claims = self._verified(token, self._issuers[issuer])
        except ProviderUnavailable:
            raise TokenError("IDPCommunicationError", "The identity provider could not be reached") from None
        if claims.get("iss") != issuer:
            raise _invalid("its issuer is another one")
        self._check_times(claims)
        if not isinstance(claims.get("sub"), str) or not 1 <= len(claims["sub"]) <= 255:
            raise _invalid("it has no subject")
        return claims

    def _verified(self, token: str, keys: _IssuerKeys) -> dict[str, Any]:
        try:
            header = jws.extract_compact(token.encode("ascii"), registry=self._registry).headers()
        except (JoseError, ValueError):
            raise _invalid("it is not a signed JSON Web Token") from None
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in ALGORITHMS or not isinstance(key_id, str | None):
            raise _invalid("its signature is of a kind that is not accepted")
        claims = self._tried(token, keys.candidates(key_id, algorithm))
        if claims is None and keys.ask_again(key_id):
            claims = self._tried(token, keys.candidates(key_id, algorithm))
        if claims is None:
            raise _invalid("no key of its issuer fits its signature")
        return claims

    def _tried(self, token: str, candidates: list[Key]) -> dict[str, Any] | None:
        for key in candidates:
            try:
                return dict(jwt.decode(token, key, algorithms=list(ALGORITHMS)).claims)
            except (JoseError, ValueError, RecursionError):
                continue
        return None

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now = self._now()
        expires = _seconds(claims, "exp")
        if expires is None:
            raise _invalid("it does not say when it ends")
        if expires <= now - SKEW_SECONDS:
            raise TokenError(
                "ExpiredTokenException", f"Token expired: current date/time {int(now)} must be before {int(expires)}"
            )
        for name in ("nbf", "iat"):
            begins = _seconds(claims, name)
            if begins is not None and begins > now + SKEW_SECONDS:
                raise _invalid(f"it begins in the future ({name})")
        if _seconds(claims, "iat") is None:
            raise _invalid("it does not say when it was issued")


def _invalid(reason: str) -> TokenError:
    return TokenError("InvalidIdentityToken", f"The token is not accepted: {reason}")


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e12 < value < 1e12:
        raise _invalid(f"{name} is no time")
    return float(value)


def check_audience(claims: Mapping[str, Any], audiences: Collection[str]) -> None:
    """Raise `TokenError` unless a token is meant for one of these."""
    meant = audiences_of(claims)
    # Core 1.0 section 3.1.3.7: a token for several has to say to whom it was given.
    if not any(one in audiences for one in meant) or (len(meant) > 1 and claims.get("azp") not in audiences):
        raise TokenError("InvalidIdentityToken", "Incorrect token audience")


def audiences_of(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Whom a token is meant for."""
    audience = claims.get("aud")
    if isinstance(audience, str):
        return (audience,)
    return tuple(one for one in audience if isinstance(one, str)) if isinstance(audience, list) else ()


def condition_keys(provider: str, claims: Mapping[str, Any]) -> dict[str, str | tuple[str, ...]]:
    """What conditions of a trust policy can ask of a token: `host/path:claim`, in lower case.

    Texts, truth values, numbers and lists of texts are keys, and so are the members of objects: `realm_access.roles` of
    Keycloak is `host/path:realm_access.roles`.
    """
    found: dict[str, str | tuple[str, ...]] = {}

    def add(name: str, value: Any, depth: int) -> None:
        key = f"{provider}:{name}".lower()
        if isinstance(value, str):
            if len(value) <= _LONGEST_CLAIM:
                found[key] = value
        elif isinstance(value, bool):
            found[key] = "true" if value else "false"
        elif isinstance(value, int | float):
            found[key] = str(value)
        elif isinstance(value, list):
            found[key] = tuple(one for one in value if isinstance(one, str) and len(one) <= _LONGEST_CLAIM)
        elif isinstance(value, dict) and depth:
            for inner, content in value.items():
                add(f"{name}.{inner}", content, depth - 1)

    for name, value in claims.items():
        add(name, value, 2)
    return found
