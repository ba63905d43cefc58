"""Finds out who sent a request: its signature, and the identity behind its access key or session token."""

from __future__ import annotations

from typing import Final

from workers.iam.auth_cache import AuthCache
from workers.iam.identities import Identity
from workers.protocol.errors import S3Error
from workers.protocol.sigv4 import authenticate
from workers.request import Request, environ_key
from workers.routing import S3, Service

TOKEN: Final = "x-amz-security-token"  # noqa: S105 -- the name of a header


_TOKEN_KEY: Final = environ_key(TOKEN)


class Claim:
    """Whom a request claims to come from: looked up while its signature is verified, which needs the secret."""

    __slots__ = ("_auth", "_now", "_token", "identity")

    def __init__(self, auth: AuthCache, token: str | None, now: float) -> None:
        self._auth = auth
        self._token = token
        self._now = now
        self.identity: Identity | None = None

    def secret_of(self, access_key: str) -> str | None:
        """The secret that the signature must have been made with, None for an unknown access key."""
        identity = self.identity = self._auth.find(access_key, self._token, self._now)
        return None if identity is None else identity.secret_key

    def confirm(self, request: Request, access_key: str, token: str | None) -> None:
        """The signature is right: the request is this identity's. Raises `S3Error` InvalidToken."""
        identity = self.identity
        if identity is None:
            raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=access_key)
        if token != self._token:
            raise S3Error("InvalidToken")
        if not identity.principal.root:
            self._auth.note_use(identity)
        request.identity = identity
        request.access_key = access_key
        request.account = identity.account
        request.principal = identity.principal
        request.caller = identity.caller


def authenticate_request(request: Request, service: Service = S3, body_sha256: str | None = None) -> None:
    """Verify a request's signature and set who asks; an anonymous request passes, for authorization to decide.

    `service` is the one that the signature has to be for. `body_sha256` is the body's digest where it has been read.

    Raises `S3Error`; `StorageUnavailable` when identities cannot be read.
    """
    services = request.services
    token = request.environ.get(_TOKEN_KEY)
    if token is None and request.query and request.header("authorization") is None:
        token = _token_in_query(request)
    claim = Claim(services.auth, token, request.now)
    authenticated = authenticate(
        request.method,
        request.raw_path,
        request.query,
        request.header,
        request.header_names,
        now=request.now,
        region=services.settings.region,
        secret_of=claim.secret_of,
        keys=services.signing_keys,
        services=(service.name,),
        body_sha256=body_sha256,
    )
    if authenticated is None:
        return
    claim.confirm(request, authenticated.access_key, authenticated.session_token)
    request.authenticated = authenticated


def _token_in_query(request: Request) -> str | None:
    for name, value in request.query.items():
        if len(name) == len(TOKEN) and name.lower() == TOKEN:
            return value
    return None
