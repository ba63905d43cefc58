"""The default store: the storage itself keeps the documents, so that a fleet needs nothing more."""

from __future__ import annotations

from collections.abc import Iterable

from backends.api import Backend
from workers.iam.stores.api import Stored


class BackendDocuments:
    """The gateway's own named documents of a backend; see `DocumentStore`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def get(self, name: str) -> Stored | None:
        """A document, None when there is none."""
        found = self._backend.get_document(None, name)
        return None if found is None else Stored(found.data, found.revision)

    def put(self, name: str, data: bytes, expected: str | None) -> str:
        """Write a document. Raises `DocumentChanged`."""
        return self._backend.put_document(None, name, data, expected)

    def delete(self, name: str, expected: str) -> None:
        """Delete a document. Raises `DocumentChanged`."""
        self._backend.delete_document(None, name, expected)

    def names(self, prefix: str) -> Iterable[str]:
        """Names of the documents that begin with `prefix`, ordered."""
        return self._backend.list_documents(None, prefix)
