"""What operations work with. One object a worker, made when the worker starts and handed to every request."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import redis

from backends.api import Backend
from workers.iam.accounts import CredentialStore
from workers.protocol.sigv4 import SigningKeys
from workers.settings import Settings
from workers.state.uploads import Uploads
from workers.telemetry.recorder import Recorder


def _host_id() -> str:
    """What x-amz-id-2 says: which worker answered, in a form that tells an outsider nothing."""
    seed = f"{socket.gethostname()}:{os.getpid()}:{time.time_ns()}"
    return base64.b64encode(hashlib.sha256(seed.encode()).digest()).decode()


@dataclass(slots=True)
class Services:
    """The worker's world: storage, credentials, clock, accounts of requests.

    Attributes:
        clock: nanoseconds since the epoch.
        uploads: the state of multipart uploads; None without Redis.
        redis: the connection pool to the shared state; None where there is none (tests of single operations).
        host_id: the x-amz-id-2 of this worker's answers.
    """

    settings: Settings
    backend: Backend
    credentials: CredentialStore
    recorder: Recorder
    redis: redis.Redis | None = None
    uploads: Uploads | None = None
    clock: Callable[[], int] = time.time_ns
    signing_keys: SigningKeys = field(default_factory=SigningKeys)
    host_id: str = field(default_factory=_host_id)
