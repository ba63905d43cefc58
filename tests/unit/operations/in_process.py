"""A worker's pipeline without processes and sockets, for storage that fails in ways of its own."""

from __future__ import annotations

import hashlib
import io
import time
from dataclasses import dataclass, field
from typing import Any

from backends.api import Backend
from tests.unit.protocol import signing
from workers.iam.auth_cache import AuthCache, root_identity
from workers.operations import operation_table
from workers.pipeline import Pipeline
from workers.protocol.sigv4 import SigningKeys
from workers.request import Response, environ_key
from workers.services import Services
from workers.settings import load_settings
from workers.telemetry.exchange import Exchange
from workers.telemetry.recorder import Recorder


class Remembering(Recorder):
    """Keeps what it is handed."""

    def __init__(self) -> None:
        super().__init__()
        self.active = True
        self.kept: list[tuple[Exchange, str]] = []

    def record(self, exchange: Exchange, metric: str) -> None:
        self.kept.append((exchange, metric))


@dataclass
class Worker:
    """Performs requests over a backend."""

    backend: Backend
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.recorder = Remembering()
        self.services = Services(
            settings=load_settings({"backend": "memory", **self.settings}, {}, None),
            backend=self.backend,
            auth=AuthCache(root_identity(signing.ACCESS_KEY, signing.SECRET)),
            recorder=self.recorder,
            signing_keys=SigningKeys(),
        )
        self.pipeline = Pipeline(self.services, operation_table(), iter(f"{n:016X}" for n in range(1000)).__next__)

    def perform(
        self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> Response:
        """The answer to a signed request."""
        given = signing.signed_headers(
            method,
            target,
            headers,
            payload=hashlib.sha256(body or b"").hexdigest(),
            date=signing.amz_date(time.time()),
        )
        environ: dict[str, Any] = {environ_key(name): value for name, value in given.items()}
        environ |= {"REQUEST_METHOD": method, "RAW_URI": target, "wsgi.input": io.BytesIO(body or b"")}
        if body is not None:
            environ["CONTENT_LENGTH"] = str(len(body))
        return self.pipeline.perform(environ)
