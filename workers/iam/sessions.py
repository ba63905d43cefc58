"""Temporary credentials: a sealed record in the client's hands instead of one in a store.

The session token is the record of the session, sealed under the gateway's master key together with the secret, so that
any worker of any shard opens it. What a role or user may do is looked up as for everybody else, so that changes of his
policies apply; what ends a session early is told by records that are read anyway: the role's cut-off time, the state of
the access key that a user had asked with, the account.
"""

from __future__ import annotations

import base64
import binascii
import os
import time
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import msgspec

from workers.iam.account_registry import account_document
from workers.iam.entities import Clock, Random, unique_id
from workers.iam.identities import Identities, Identity, caller_of
from workers.iam.policy.principals import role_principal
from workers.iam.records import RoleRecord
from workers.iam.registry import Registry
from workers.iam.sealing import Sealer, SealError
from workers.protocol.errors import S3Error

PURPOSE: Final = "session token"
KEY_PREFIX: Final = "ASIA"
NANOSECONDS: Final = 1_000_000_000
_LONGEST: Final = 64 * 1024
"""Bytes of a token that is looked at, and of what it may unpack to."""


class SessionRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, array_like=True):
    """What a session token says.

    Attributes:
        issued, expires: nanoseconds since the epoch.
        account: canonical user id of the account that the session acts in.
        base: the access key that GetSessionToken was signed with, "" for a session of a role.
        role, role_id: the role's name and unique id.
        name: the name of the role's session.
        policy: session policy, "" for none.
        policy_arns: managed policies that limit the session.
        tags: of the session.
        transitive: names of those tags that go on to roles which the session assumes.
        provider: OpenID Connect provider by which the role was assumed.
        source: the source identity.
    """

    access_key: str
    secret: str
    issued: int
    expires: int
    account: str
    base: str = ""
    role: str = ""
    role_id: str = ""
    name: str = ""
    policy: str = ""
    policy_arns: tuple[str, ...] = ()
    tags: Mapping[str, str] = {}
    transitive: tuple[str, ...] = ()
    provider: str = ""
    source: str = ""

    def __repr__(self) -> str:
        # The secret stays out of logs and tracebacks.
        return f"SessionRecord(access_key={self.access_key!r}, role={self.role!r}, base={self.base!r})"


_decoder = msgspec.msgpack.Decoder(SessionRecord)
_encoder = msgspec.msgpack.Encoder()


class Sessions:
    """Issues session tokens, and finds out whom one stands for.

    Args:
        root: the identity of the gateway's own account.
        registry: read for requests, as the attribute of that name.
        clock: nanoseconds since the epoch.
        random: gives so many random bytes.
    """

    def __init__(
        self,
        sealer: Sealer,
        registry: Registry,
        identities: Identities,
        root: Identity,
        *,
        clock: Clock = time.time_ns,
        random: Random = os.urandom,
    ) -> None:
        self._sealer = sealer
        self.registry = registry
        self._identities = identities
        self._root = root
        self._clock = clock
        self._random = random

    def begin(self, seconds: int, account_id: str) -> SessionRecord:
        """A session of that many seconds from now on, with credentials of its own; the caller fills in whose it is."""
        now = self._clock()
        return SessionRecord(
            access_key=unique_id(KEY_PREFIX, self._random)[:20],
            secret=base64.b64encode(self._random(30)).decode(),
            issued=now,
            expires=now + seconds * NANOSECONDS,
            account=account_id,
        )

    def seal(self, record: SessionRecord) -> str:
        """The token of a session."""
        return base64.urlsafe_b64encode(self._sealer.seal(zlib.compress(_encoder.encode(record)), PURPOSE)).decode()

    def read(self, token: str) -> SessionRecord:
        """What a token says, whether it is over or not. Raises `S3Error` InvalidToken."""
        if len(token) > _LONGEST:
            raise S3Error("InvalidToken")
        try:
            sealed = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
            opened = self._sealer.open(sealed, PURPOSE)
            return _decoder.decode(zlib.decompressobj().decompress(opened, _LONGEST))
        except (SealError, binascii.Error, UnicodeEncodeError, zlib.error, msgspec.DecodeError):
            raise S3Error("InvalidToken") from None

    def open(self, access_key: str, token: str) -> Identity:
        """The identity that a token stands for; see `workers.iam.auth_cache.SessionTokens`.

        Raises `S3Error` InvalidToken, ExpiredToken; `StorageUnavailable`.
        """
        record = self.read(token)
        if record.access_key != access_key:
            raise S3Error("InvalidToken")
        if record.expires <= self._clock():
            raise S3Error("ExpiredToken")
        return self._of_base(record) if record.base else self._of_role(record)

    def _of_base(self, record: SessionRecord) -> Identity:
        """The session of a user or account: it ends with the access key that it was asked for with."""
        found = self._root if record.base == self._root.access_key else self._identities.examine(record.base)
        if not isinstance(found, Identity) or found.account.id != record.account:
            raise S3Error("InvalidToken")
        return replace(
            found,
            access_key=record.access_key,
            secret_key=record.secret,
            expires=record.expires,
            principal=replace(found.principal, token_issued=record.issued // NANOSECONDS),
        )

    def _of_role(self, record: SessionRecord) -> Identity:
        account = self.registry.account(record.account)
        role = self.registry.roles.find(record.account, record.role)
        if account is None or not account.enabled or role is None or role.id != record.role_id:
            raise S3Error("InvalidToken")
        if record.issued < role.revoked_before:
            raise S3Error("ExpiredToken")
        policies = self._identities.policies_of(role)
        limits = self._identities.session_policies(record.account, record.policy, record.policy_arns)
        principal = role_principal(
            record.account,
            role.name,
            record.name,
            path=role.path,
            role_id=role.id,
            provider=record.provider,
            tags={**_lower(role), **{name.lower(): value for name, value in record.tags.items()}},
            policies=policies.identity,
            boundary=policies.boundary,
            session=limits.identity or None,
            token_issued=record.issued // NANOSECONDS,
        )
        documents = {account_document(record.account), self.registry.roles.document(record.account, role.name)}
        return Identity(
            access_key=record.access_key,
            secret_key=record.secret,
            expires=record.expires,
            account=account.account,
            record=account,
            user=None,
            principal=principal,
            caller=caller_of(account, role, record.access_key),
            closed=policies.closed + limits.closed,
            sources=policies.sources | limits.sources | documents,
        )


def _lower(role: RoleRecord) -> dict[str, str]:
    return {name.lower(): value for name, value in role.tags.items()}
