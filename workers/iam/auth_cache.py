"""Who holds an access key: the worker's table in front of the fleet's memory of identities.

A key that is known costs one look into a dictionary. One that is unknown is remembered, too, as one of a bounded
number; and what is asked of the store for keys that nobody has is limited in a second, so that a client who tries keys
out cannot load it. What is refused for that reason may be a key that is good, on a worker that has not seen it yet: the
answer is SlowDown, and clients come again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Final, Protocol

from backends.api import Caller
from workers.iam.accounts import ROOT_ACCOUNT, ROOT_ACCOUNT_ID
from workers.iam.identities import Identities, Identity
from workers.iam.policy.principals import account_principal
from workers.iam.records import LONGEST_ACCESS_KEY, AccountRecord
from workers.iam.registry import key_document
from workers.protocol.errors import S3Error
from workers.state.table import Table

UNKNOWN_KEYS: Final = 10_000
"""Keys that nobody has and that a worker remembers."""
UNKNOWN_SECONDS: Final = 30.0
"""How long it does. A key that is made is announced, and forgotten here."""
SESSIONS: Final = 10_000


class SessionTokens(Protocol):
    """Opens the session tokens of temporary credentials."""

    def open(self, access_key: str, token: str) -> Identity:
        """The identity that a token stands for: `secret_key` is the one that its holder signs with, `expires` its end,
        `sources` name the documents whose change makes the answer stale (the role, its policies, the account).

        Raises `S3Error` InvalidToken for one that is forged, damaged or not of this access key, ExpiredToken for one
        that is over or revoked; `StorageUnavailable`.
        """


class KnownBefore(Protocol):
    """The fleet's memory of documents, as far as it can tell without the store."""

    def known(self, name: str) -> bool | None:
        """Whether there is such a document; None where that is not known."""


class _NobodysKeyError(Exception):
    """There is no such access key, or none that counts."""


class Budget:
    """A token bucket: so many a second, and as many at once.

    `clock` in seconds.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._left = rate
        self._at = clock()

    def take(self) -> bool:
        """Whether there was one left."""
        now = self._clock()
        self._left = min(self._rate, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    def give_back(self) -> None:
        """One was not needed."""
        self._left = min(self._rate, self._left + 1.0)


def root_identity(access_key: str, secret_key: str) -> Identity:
    """The gateway's own account, whose keys are in the configuration."""
    root = ROOT_ACCOUNT
    return Identity(
        access_key=access_key,
        secret_key=secret_key,
        expires=0,
        account=root,
        record=AccountRecord(id=root.id, name=root.name, uid=root.uid, gid=root.gid),
        user=None,
        principal=account_principal(root.id, name=root.name, root=True),
        caller=Caller(account_id=ROOT_ACCOUNT_ID, user_name="root", access_key=access_key, uid=0, gid=0),
    )


class AuthCache:
    """Finds identities by access key.

    Args:
        root: of the configuration.
        identities: where the others are read; None where there are none.
        known_before: what the fleet knows without the store.
        sessions: opens session tokens; without it there are none.
        lifetime, grace: seconds, see `Table`.
        unknown_rate: look-ups in the store a second for keys that turn out to be nobody's.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        root: Identity,
        identities: Identities | None = None,
        *,
        known_before: KnownBefore | None = None,
        sessions: SessionTokens | None = None,
        lifetime: float = 30.0,
        grace: float = 300.0,
        size: int = 10_000,
        unknown_rate: float = 50.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = root
        self._root_key = root.access_key
        self._identities = identities
        self._known_before = known_before
        self.sessions = sessions
        self._clock = clock
        self._keys: Table[Identity] = Table(self._load, lifetime=lifetime, grace=grace, size=size, clock=clock)
        self._tokens: Table[Identity] = Table(self._open, lifetime=lifetime, grace=grace, size=SESSIONS, clock=clock)
        self._size = size
        self._seen: dict[str, float] = {}
        """Keys that somebody had when they were last looked up: nobody who uses them is trying keys out."""
        self._unknown: dict[str, float] = {}
        self._budget = Budget(unknown_rate, clock)
        self._used: set[str] = set()
        self._changes = 0

    def find(self, access_key: str, token: str | None, now: float) -> Identity | None:
        """The identity behind an access key, or behind a session token; None when there is none.

        `now` in seconds since the epoch. Raises `S3Error` InvalidToken, ExpiredToken, SlowDown; `StorageUnavailable`.
        """
        if token is not None:
            return self._of_token(access_key, token, now)
        if access_key == self._root_key:
            return self._root
        found = self._keys.peek(access_key)
        if found is None:
            found = self._look_up(access_key)
            if found is None:
                return None
        if found.expires and found.expires <= now * 1e9:
            return None
        return found

    def note_use(self, identity: Identity) -> None:
        """A request was signed with this identity's key."""
        self._used.add(identity.access_key)

    def take_used(self) -> Collection[str]:
        """The access keys that were used since the last call."""
        used, self._used = self._used, set()
        used.discard(self._root_key)
        return used

    def forget(self, document: str) -> None:
        """A document of the store has changed."""
        self._changes += 1
        self._keys.forget(document)
        self._tokens.forget(document)
        # A key counts only with its owner, so that any change may make one good. Changes are rare.
        self._unknown.clear()

    def doubt(self) -> None:
        """Changes may have been missed."""
        self._changes += 1
        self._keys.doubt()
        self._tokens.doubt()
        self._unknown.clear()

    def _of_token(self, access_key: str, token: str, now: float) -> Identity:
        if self.sessions is None or access_key == self._root_key:
            raise S3Error("InvalidToken")
        found = self._tokens.get(f"{access_key} {token}")
        if found.expires <= now * 1e9:
            raise S3Error("ExpiredToken")
        return found

    def _open(self, name: str) -> tuple[Identity, Collection[str]]:
        access_key, _, token = name.partition(" ")
        assert self.sessions is not None  # noqa: S101 -- asked before
        identity = self.sessions.open(access_key, token)
        return identity, identity.sources

    def _look_up(self, access_key: str) -> Identity | None:
        # A longer one is nobody's: so many of them, remembered, would take hundreds of megabytes.
        if self._identities is None or len(access_key) > LONGEST_ACCESS_KEY:
            return None
        until = self._unknown.get(access_key)
        if until is not None and until > self._clock():
            return None
        began = self._changes
        known = True if access_key in self._seen else self._is_known(access_key)
        if known is None and not self._budget.take():
            raise S3Error("SlowDown", headers={"Retry-After": "1"})
        found = None
        if known is not False:
            try:
                found = self._keys.get(access_key)
            except _NobodysKeyError:
                pass
        if found is not None:
            if known is None:
                self._budget.give_back()
            _remember(self._seen, access_key, 0.0, self._size)
            return found
        self._seen.pop(access_key, None)
        if self._changes == began:
            _remember(self._unknown, access_key, self._clock() + UNKNOWN_SECONDS, UNKNOWN_KEYS)
        return None

    def _is_known(self, access_key: str) -> bool | None:
        return None if self._known_before is None else self._known_before.known(key_document(access_key))

    def _load(self, access_key: str) -> tuple[Identity, Collection[str]]:
        assert self._identities is not None  # noqa: S101 -- asked before
        found = self._identities.load(access_key)
        if found is None:
            raise _NobodysKeyError
        return found, found.sources


def _remember(known: dict[str, float], access_key: str, until: float, most: int) -> None:
    """Keep a key as the youngest of so many."""
    known.pop(access_key, None)
    while len(known) >= most:
        del known[next(iter(known))]
    known[access_key] = until
