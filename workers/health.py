"""`/-/live` and `/-/ready`: answered without authentication, never counted as S3 requests.

No bucket can be called "-", so these paths hide nothing; where the host names a bucket, they are keys like others.
"""

from __future__ import annotations

import json
from typing import Final

import gevent
import redis

from backends.api import BackendError
from workers.request import Response
from workers.services import Services

PREFIX: Final = "/-/"
PATIENCE_SECONDS: Final = 5.0


def answer(raw_path: str, services: Services) -> Response:
    """The answer to a probe: 200 or 503 with a JSON object that says what failed; 404 for another path."""
    if raw_path == "/-/live":
        return _json(200, {"status": "live"})
    if raw_path != "/-/ready":
        return _json(404, {"status": "unknown probe"})
    found = {"backend": _ask_backend(services), "redis": _ask_redis(services)}
    ready = all(state == "ok" for state in found.values())
    return _json(200 if ready else 503, {"status": "ready" if ready else "not ready", **found})


def _ask_backend(services: Services) -> str:
    try:
        with gevent.Timeout(PATIENCE_SECONDS):
            services.backend.check()
    except (BackendError, OSError) as error:
        return f"failed: {type(error).__name__}"
    except gevent.Timeout:
        return "failed: no answer in time"
    return "ok"


def _ask_redis(services: Services) -> str:
    if services.redis is None:
        return "ok"
    try:
        services.redis.ping()
    except redis.RedisError as error:
        return f"failed: {type(error).__name__}"
    return "ok"


def _json(status: int, value: dict[str, str]) -> Response:
    return Response(
        status, {"content-type": "application/json", "cache-control": "no-store"}, json.dumps(value).encode()
    )
