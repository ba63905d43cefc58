"""Secrets at rest: sealed with AES-256-GCM under the gateway's master key.

A sealed text is one byte of format, eight bytes that name the key, a random nonce of twelve, the cipher text and its
tag. The name lets a new master key come in while texts under the old one are still around: `Sealer` opens under every
key it has and seals under the first.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from typing import Final

from Crypto.Cipher import AES

FORMAT: Final = b"\x01"
_NAME: Final = 8
_NONCE: Final = 12
_TAG: Final = 16
_HEAD: Final = len(FORMAT) + _NAME + _NONCE


class SealError(Exception):
    """A sealed text cannot be opened: damaged, of another purpose, or under a key that is not there."""


class _Key:
    """One master key: the cipher's key and its name, neither of which tells the other or the master key."""

    __slots__ = ("cipher_key", "name")

    def __init__(self, master_key: str) -> None:
        material = master_key.encode()
        self.cipher_key = hashlib.blake2b(material, digest_size=32, person=b"shardgate seal").digest()
        self.name = hashlib.blake2b(material, digest_size=_NAME, person=b"shardgate name").digest()


class Sealer:
    """Seals and opens.

    Args:
        master_keys: the present one first, then former ones.
        random: gives so many random bytes.
    """

    def __init__(self, master_keys: Sequence[str], random: Callable[[int], bytes] = os.urandom) -> None:
        """Raises `ValueError` without a key, or for one of less than 32 characters."""
        if not master_keys or any(len(key) < 32 for key in master_keys):
            raise ValueError("master_key: a master key has 32 characters at least")
        self._keys = [_Key(key) for key in master_keys]
        self._by_name = {key.name: key for key in self._keys}
        self._random = random

    def seal(self, text: bytes, purpose: str) -> bytes:
        """The sealed form of `text`; it opens only for the same `purpose`, so that records cannot be swapped."""
        key = self._keys[0]
        nonce = self._random(_NONCE)
        cipher = AES.new(key.cipher_key, AES.MODE_GCM, nonce=nonce, mac_len=_TAG)
        cipher.update(purpose.encode())
        sealed, tag = cipher.encrypt_and_digest(text)
        return FORMAT + key.name + nonce + sealed + tag

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """What was sealed. Raises `SealError`."""
        if len(sealed) < _HEAD + _TAG or sealed[:1] != FORMAT:
            raise SealError("not a sealed text")
        key = self._by_name.get(sealed[1 : 1 + _NAME])
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
