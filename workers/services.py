"""What operations work with. One object a worker, made when the worker starts and handed to every request."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import redis

from backends.api import Backend
from workers.buckets import Buckets
from workers.fairness.budgets import Budgets
from workers.iam.auth_cache import AuthCache
from workers.iam.directory import AccountDirectory
from workers.iam.identities import Identities
from workers.iam.oidc import Issuers
from workers.iam.registry import Registry
from workers.iam.sealing import Sealer
from workers.iam.sessions import Sessions
from workers.iam.usage import KeyUsage
from workers.protocol.sigv4 import SigningKeys
from workers.settings import Settings
from workers.state.announcements import Changes
from workers.state.uploads import Uploads
from workers.telemetry.recorder import Recorder

if TYPE_CHECKING:
    # It needs an extra.
    from workers.iam.account_sync import AccountSync


def _host_id() -> str:
    """What x-amz-id-2 says: which worker answered, in a form that tells an outsider nothing."""
    seed = f"{socket.gethostname()}:{os.getpid()}:{time.time_ns()}"
    return base64.b64encode(hashlib.sha256(seed.encode()).digest()).decode()


@dataclass(slots=True)
class Services:
    """The worker's world: storage, identities, clock, accounts of requests.

    Attributes:
        auth: who holds an access key or a session token.
        registry: all identities but root, for administration; None where there is only root.
        identities: the same for requests, read through Redis, with their policies ready for evaluation.
        usage: notes which access keys are used.
        sealer: seals secrets under the master key.
        account_sync: keeps accounts for the people of a directory; None where that is off.
        budgets: holds accounts and buckets to their budgets; None where that is off.
        sessions: issues temporary credentials.
        issuers: verifies tokens of OpenID Connect; None without such issuers.
        changes: where changes of documents are announced, and heard of.
        clock: nanoseconds since the epoch.
        uploads: the state of multipart uploads; None without Redis.
        redis: the connection pool to the shared state; None where there is none (tests of single operations).
        buckets: what is known of buckets and their configuration.
        directory: what is known of accounts that ask for nothing.
        host_id: the x-amz-id-2 of this worker's answers.
    """

    settings: Settings
    backend: Backend
    auth: AuthCache
    recorder: Recorder
    registry: Registry | None = None
    identities: Identities | None = None
    usage: KeyUsage | None = None
    sealer: Sealer | None = None
    budgets: Budgets | None = None
    sessions: Sessions | None = None
    issuers: Issuers | None = None
    account_sync: AccountSync | None = None
    changes: Changes = field(default_factory=lambda: Changes(None))
    redis: redis.Redis | None = None
    uploads: Uploads | None = None
    clock: Callable[[], int] = time.time_ns
    signing_keys: SigningKeys = field(default_factory=SigningKeys)
    host_id: str = field(default_factory=_host_id)

    buckets: Buckets = field(init=False)
    directory: AccountDirectory = field(init=False)

    def __post_init__(self) -> None:
        lifetime, grace = self.settings.auth_cache_ttl / 2, self.settings.auth_grace
        self.buckets = Buckets(self.backend, self.changes, lifetime=lifetime, grace=grace)
        read = None if self.identities is None else self.identities.registry
        self.directory = AccountDirectory(read, lifetime=lifetime, grace=grace)
        self.changes.heard.append(self._heard)
        for table in (self.auth, self.buckets, self.directory):
            self.changes.doubted.append(table.doubt)

    def _heard(self, document: str) -> None:
        """A document has changed, in this worker or elsewhere."""
        if document.startswith("bucket/"):
            self.buckets.forget(document)
        else:
            self.auth.forget(document)
            self.directory.forget(document)
