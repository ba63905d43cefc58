"""What a store of identities can do: named documents with compare-and-swap."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol


class Stored(NamedTuple):
    """A document. `revision` is compared for equality only; a revision never comes back."""

    data: bytes
    revision: str


class DocumentStore(Protocol):
    """Named documents, shared by every worker of the fleet.

    Names are made by `part` and `exact_part` and are valid for `Backend.put_document`. Every call raises
    `backends.errors.StorageUnavailable` when the store cannot answer.
    """

    def get(self, name: str) -> Stored | None:
        """A document, None when there is none."""

    def put(self, name: str, data: bytes, expected: str | None) -> str:
        """Write a document durably and atomically; returns its revision.

        `expected` is the revision that it has now, None when there must be none. Raises `DocumentChanged`.
        """

    def delete(self, name: str, expected: str) -> None:
        """Delete a document of that revision. Raises `DocumentChanged`, also when there is none."""

    def names(self, prefix: str) -> Iterable[str]:
        """Names of the documents that begin with `prefix`, ordered."""


_PLAIN: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}", re.ASCII)
_EXACT: Final = re.compile(r"[A-Z0-9]{1,64}", re.ASCII)


def part(text: str) -> str:
    """A part of a document's name for a name whose case does not matter, as it does not for users or e-mails.

    It can be read where possible, and is a digest otherwise, which begins with an underscore.
    """
    lower = text.lower()
    return lower if _PLAIN.fullmatch(lower) else _digest(lower)


def exact_part(text: str) -> str:
    """The same for an access key, whose case does matter."""
    return text.lower() if _EXACT.fullmatch(text) else _digest(text)


def _digest(text: str) -> str:
    # What is asked for may be anything that a client sent, half of a surrogate pair as well.
    return "_" + hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
