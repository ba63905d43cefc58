"""A store in the process's own memory: for tools that try something out, and for tests."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from itertools import count

from backends.errors import DocumentChanged
from workers.iam.stores.api import Stored


class MemoryDocuments:
    """Documents in a dictionary; see `DocumentStore`."""

    def __init__(self) -> None:
        self.documents: dict[str, Stored] = {}
        self._lock = threading.Lock()
        self._serials = count(1)

    def get(self, name: str) -> Stored | None:
        """A document, None when there is none."""
        return self.documents.get(name)

    def put(self, name: str, data: bytes, expected: str | None) -> str:
        """Write a document. Raises `DocumentChanged`."""
        with self._lock:
            self._expect(name, expected)
            revision = str(next(self._serials))
            self.documents[name] = Stored(data, revision)
            return revision

    def delete(self, name: str, expected: str) -> None:
        """Delete a document. Raises `DocumentChanged`."""
        with self._lock:
            self._expect(name, expected)
            del self.documents[name]

    def names(self, prefix: str) -> Iterable[str]:
        """Names of the documents that begin with `prefix`, ordered."""
        with self._lock:
            return sorted(name for name in self.documents if name.startswith(prefix))

    def _expect(self, name: str, expected: str | None) -> None:
        found = self.documents.get(name)
        if (None if found is None else found.revision) != expected:
            raise DocumentChanged(name)
