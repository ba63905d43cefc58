"""A session with HashiCorp Vault, or OpenBao, whose API is the same: log in, stay logged in, ask.

Needs the extra `shardgate[vault]`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import hvac
import requests
from hvac import exceptions

from backends.errors import StorageUnavailable

logger = logging.getLogger("shardgate.vault")

T = TypeVar("T")

_SHORTEST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 3600.0


class VaultOptions(NamedTuple):
    """Where Vault is, and who asks.

    Attributes:
        url: `https://HOST:PORT`.
        namespace: of Vault Enterprise and OpenBao, "" for none.
        token: a token; used when there is no `role_id`.
        token_file: a file that somebody else, such as Vault's agent, keeps a valid token in.
        role_id, secret_id, approle_mount: of an AppRole.
        ca: file with the certificates of the authorities that the server's is checked against, None for the system's.
        certificate, key: files with a certificate of the gateway's own, and its key.
        timeout: seconds that one request may take.
    """

    url: str
    namespace: str = ""
    token: str = ""
    token_file: Path | None = None
    role_id: str = ""
    secret_id: str = ""
    approle_mount: str = "approle"
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    timeout: float = 5.0


class VaultSession:
    """Asks Vault with a token that is kept valid.

    A token of limited life is renewed in the background at half of it, from the first request on. One that ended all
    the same is replaced, by the AppRole or from the file, and the request is made once more.
    """

    def __init__(self, options: VaultOptions) -> None:
        self._options = options
        certificate = None
        if options.certificate is not None:
            certificate = (str(options.certificate), str(options.key or options.certificate))
        # Its own session: variables such as REQUESTS_CA_BUNDLE and ~/.netrc say nothing of this server.
        session = requests.Session()
        session.trust_env = False
        session.cert = certificate
        session.verify = True if options.ca is None else str(options.ca)
        self._client = hvac.Client(
            url=options.url,
            token="",
            session=session,
            verify=session.verify,
            cert=certificate,
            timeout=options.timeout,
            namespace=options.namespace or None,
        )
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._renewing: threading.Thread | None = None

    def ask(self, question: Callable[[hvac.Client], T]) -> T:
        """`question(client)`. Raises `StorageUnavailable`, and `InvalidPath` and `InvalidRequest` of hvac."""
        if not self._client.token:
            self._log_in("")
        token = self._client.token
        try:
            return self._asked(question)
        except exceptions.Forbidden:
            # The token has ended, or its policy does not allow this. A new one tells which.
            self._log_in(token)
        try:
            return self._asked(question)
        except exceptions.Forbidden as error:
            raise StorageUnavailable(f"vault: {_reason(error)}") from None

    def close(self) -> None:
        """End renewing. The token is left to expire: others may use the same."""
        self._stopped.set()
        self._client.adapter.close()

    def _asked(self, question: Callable[[hvac.Client], T]) -> T:
        try:
            return question(self._client)
        except (exceptions.InvalidPath, exceptions.InvalidRequest, exceptions.Forbidden):
            raise
        except (exceptions.VaultError, requests.RequestException, ValueError) as error:
            raise StorageUnavailable(f"vault: {_reason(error)}") from None

    def _log_in(self, former: str) -> None:
        """Get a token, unless somebody else has since `former` was found wanting. Raises `StorageUnavailable`."""
        options = self._options
        with self._lock:
            if self._client.token != former:
                return
            try:
                if options.role_id:
                    self._client.auth.approle.login(
                        options.role_id, options.secret_id or None, mount_point=options.approle_mount
                    )
                else:
                    self._client.token = self._given_token()
            except (exceptions.VaultError, requests.RequestException, OSError, ValueError) as error:
                raise StorageUnavailable(f"vault: logging in: {_reason(error)}") from None
            if self._renewing is None:
                self._renewing = threading.Thread(target=self._renew, name="vault token", daemon=True)
                self._renewing.start()

    def _given_token(self) -> str:
        if self._options.token_file is None:
            return self._options.token
        return self._options.token_file.read_text(encoding="ascii").strip()

    def _renew(self) -> None:
        """Look after the token until the session ends."""
        pause = _SHORTEST_PAUSE
        while not self._stopped.wait(pause):
            try:
                pause = self._renewed()
            except (exceptions.VaultError, requests.RequestException, ValueError, KeyError, TypeError) as error:
                logger.warning("the token could not be renewed: %s", _reason(error))
                pause = min(pause * 2, 60.0)

    def _renewed(self) -> float:
        """Renew the token if it is time; returns seconds until the next look."""
        token = self._client.token
        found: dict[str, Any] = self._client.auth.token.lookup_self()["data"]
        if not found["ttl"]:
            return _LONGEST_PAUSE  # it never ends
        # Half of what it was given at last; near the end of all renewals that shrinks, and a new login takes over.
        if found.get("renewable"):
            auth = self._client.auth.token.renew_self()["auth"]
            left = float(auth["lease_duration"])
        else:
            left = float(found["ttl"])
        if left < 2 * _SHORTEST_PAUSE and (self._options.role_id or self._options.token_file):
            self._log_in(token)
        return min(max(left / 2, _SHORTEST_PAUSE), _LONGEST_PAUSE)


def _reason(error: Exception) -> str:
    """What went wrong, without the addresses of requests, which name documents, and without what was sent."""
    if isinstance(error, exceptions.VaultError):
        return f"{type(error).__name__}: {', '.join(error.errors or ())}".rstrip(": ")
    if isinstance(error, requests.exceptions.SSLError):
        return "SSLError: the server's certificate is not trusted, or does not name this host"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
