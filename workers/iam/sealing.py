"""Secrets at rest: sealed with AES-256-GCM under the gateway's master key.

A sealed text is one byte of format, eight bytes that name the key, a random nonce of twelve, the cipher text and its
tag. The name lets a new master key come in while texts under the old one are still around: `Sealer` opens under every
key it has and seals under the first. Where the keys can change while the gateway runs, it looks for new ones.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import Final

from Crypto.Cipher import AES

logger = logging.getLogger("shardgate.sealing")

FORMAT: Final = b"\x01"
_NAME: Final = 8
_NONCE: Final = 12
_TAG: Final = 16
_HEAD: Final = len(FORMAT) + _NAME + _NONCE
SHORTEST: Final = _HEAD + _TAG
"""Bytes of a sealed text of nothing."""


class SealError(Exception):
    """A sealed text cannot be opened: damaged, of another purpose, or under a key that is not there."""


class MasterKeyError(ValueError):
    """There are no master keys to work with; the text says why, in one line, and tells no key."""


class _Key:
    """One master key: the cipher's key and its name, neither of which tells the other or the master key."""

    __slots__ = ("cipher_key", "name")

    def __init__(self, master_key: str) -> None:
        material = master_key.encode()
        self.cipher_key = hashlib.blake2b(material, digest_size=32, person=b"shardgate seal").digest()
        self.name = hashlib.blake2b(material, digest_size=_NAME, person=b"shardgate name").digest()


KEY_LENGTH: Final = 32
"""Characters that a master key has at least."""

LOOK: Final = 1.0
"""Seconds between two looks for a key that is unknown. Texts under unknown keys come from clients, too."""


class Sealer:
    """Seals and opens.

    Args:
        master_keys: the present one first, then former ones.
        random: gives so many random bytes.
        reload: gives the master keys as they are now, or raises `MasterKeyError`; None where they never change.
        look_seconds: between two looks for a new key to seal under.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        master_keys: Sequence[str],
        random: Callable[[int], bytes] = os.urandom,
        *,
        reload: Callable[[], Sequence[str]] | None = None,
        look_seconds: float = LOOK,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises `MasterKeyError` without a key, or for one of less than 32 characters."""
        self._random = random
        self._reload = reload
        self._look_seconds = look_seconds
        self._clock = clock
        self._looked = clock()
        self._take(master_keys)

    @property
    def key_names(self) -> tuple[str, ...]:
        """The names of the keys, the present one's first; they tell nothing of the keys."""
        return tuple(key.name.hex() for key in self._keys)

    def _take(self, master_keys: Sequence[str]) -> None:
        if not master_keys or any(len(key) < KEY_LENGTH for key in master_keys):
            raise MasterKeyError(f"a master key has {KEY_LENGTH} characters at least")
        keys = [_Key(key) for key in master_keys]
        self._by_name = {key.name: key for key in keys}
        self._keys = keys

    def _look(self, seconds: float) -> None:
        """Take the keys as they are now, if the last look was so long ago. If they cannot be read they stay."""
        now = self._clock()
        if self._reload is None or now - self._looked < seconds:
            return
        self._looked = now
        try:
            self._take(self._reload())
        except MasterKeyError as error:
            logger.warning("the master keys cannot be read anew: %s", error)

    def seal(self, text: bytes, purpose: str) -> bytes:
        """The sealed form of `text`; it opens only for the same `purpose`, so that records cannot be swapped."""
        self._look(self._look_seconds)
        key = self._keys[0]
        nonce = self._random(_NONCE)
        cipher = AES.new(key.cipher_key, AES.MODE_GCM, nonce=nonce, mac_len=_TAG)
        cipher.update(purpose.encode())
        sealed, tag = cipher.encrypt_and_digest(text)
        return FORMAT + key.name + nonce + sealed + tag

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """What was sealed. Raises `SealError`."""
        if len(sealed) < SHORTEST or sealed[:1] != FORMAT:
            raise SealError("not a sealed text")
        name = sealed[1 : 1 + _NAME]
        key = self._by_name.get(name)
        if key is None:
            self._look(LOOK)
            key = self._by_name.get(name)
        if key is None:
            raise SealError("sealed under a master key that this gateway does not have")
        cipher = AES.new(key.cipher_key, AES.MODE_GCM, nonce=sealed[1 + _NAME : _HEAD], mac_len=_TAG)
        cipher.update(purpose.encode())
        try:
            return cipher.decrypt_and_verify(sealed[_HEAD:-_TAG], sealed[-_TAG:])
        except ValueError:
            raise SealError("damaged, or sealed for another purpose") from None

    def is_current(self, sealed: bytes) -> bool:
        """Whether it is sealed under the present master key; if not, it is to be sealed anew."""
        return sealed[1 : 1 + _NAME] == self._keys[0].name


def key_name(sealed: bytes) -> str:
    """The name of the master key that a text is sealed under, "" for what is no sealed text."""
    return sealed[1 : 1 + _NAME].hex() if sealed[:1] == FORMAT and len(sealed) >= SHORTEST else ""
