"""Documents in the key/value engine of Vault, version 2, one secret each.

A secret's version is compared and set by Vault itself (`cas`). It cannot be for a deletion, so that a document is
deleted by writing an empty version, and its name stays behind: with a version that went on counting, nobody who knew a
former one is taken for up to date. Vault keeps one version of each secret only, since earlier ones would stay sealed
under former master keys.

The token needs `create`, `read` and `update` below `MOUNT/data/PATH/`, and `create`, `update` and `list` below
`MOUNT/metadata/PATH/`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from hvac import exceptions

from backends.errors import DocumentChanged, StorageUnavailable
from workers.iam.stores.api import Stored
from workers.iam.vault import VaultSession

_FIELD: Final = "document"
_READERS: Final = 8
"""Requests at a time when a list is made."""


class VaultDocuments:
    """Documents in Vault; see `DocumentStore`.

    Args:
        mount: where the engine is mounted.
        path: below which the documents are kept.
    """

    def __init__(self, session: VaultSession, mount: str, path: str) -> None:
        self._session = session
        self._mount = mount
        self._path = path.strip("/")

    def get(self, name: str) -> Stored | None:
        """A document, None when there is none."""
        data, version = self._read(name)
        return None if data is None else Stored(data, str(version))

    def put(self, name: str, data: bytes, expected: str | None) -> str:
        """Write a document. Raises `DocumentChanged`."""
        version = self._version_of_absence(name) if expected is None else _version(name, expected)
        return str(self._write(name, {_FIELD: base64.b64encode(data).decode()}, version))

    def delete(self, name: str, expected: str) -> None:
        """Delete a document. Raises `DocumentChanged`."""
        self._write(name, {}, _version(name, expected))

    def names(self, prefix: str) -> Iterable[str]:
        """Names of the documents that begin with `prefix`, ordered."""
        folder = prefix[: prefix.rfind("/") + 1]
        candidates = sorted(name for name in self._walk(folder) if name.startswith(prefix))
        if not candidates:
            return []
        with ThreadPoolExecutor(_READERS) as pool:
            found = pool.map(self.get, candidates)
            return [name for name, stored in zip(candidates, found, strict=True) if stored is not None]

    def close(self) -> None:
        """End the session."""
        self._session.close()

    def _read(self, name: str) -> tuple[bytes | None, int]:
        """What a document says, None when it says nothing, and the version of its secret, 0 when there is none."""
        try:
            answer = self._ask(
                lambda kv: kv.read_secret_version(
                    self._at(name), mount_point=self._mount, raise_on_deleted_version=False
                )
            )
        except exceptions.InvalidPath as error:
            if error.errors:
                raise self._no_engine(error) from None
            return None, 0
        try:
            fields = answer["data"]["data"] or {}
            version = int(answer["data"]["metadata"]["version"])
            text = fields.get(_FIELD)
            return (None if text is None else base64.b64decode(text, validate=True)), version
        except (KeyError, TypeError, ValueError):
            raise StorageUnavailable(f"vault: {name}: not a document of this gateway") from None

    def _version_of_absence(self, name: str) -> int:
        data, version = self._read(name)
        if data is not None:
            raise DocumentChanged(name)
        if version == 0:
            try:
                self._ask(lambda kv: kv.update_metadata(self._at(name), max_versions=1, mount_point=self._mount))
            except (exceptions.InvalidPath, exceptions.InvalidRequest) as error:
                raise self._no_engine(error) from None
        return version

    def _write(self, name: str, fields: dict[str, str], version: int) -> int:
        try:
            answer = self._ask(
                lambda kv: kv.create_or_update_secret(self._at(name), fields, cas=version, mount_point=self._mount)
            )
            return int(answer["data"]["version"])
        except (KeyError, TypeError):
            raise StorageUnavailable(f"vault: {self._mount!r} is no key/value engine of version 2") from None
        except exceptions.InvalidRequest as error:
            if "check-and-set" in str(error):
                raise DocumentChanged(name) from None
            raise StorageUnavailable(f"vault: {name}: {', '.join(error.errors or ())}") from None
        except exceptions.InvalidPath as error:
            raise self._no_engine(error) from None

    def _walk(self, folder: str) -> Iterator[str]:
        """The names below a folder, which is "" or ends with "/"."""
        try:
            answer = self._ask(lambda kv: kv.list_secrets(self._at(folder), mount_point=self._mount))
        except exceptions.InvalidPath as error:
            if error.errors:
                raise self._no_engine(error) from None
            return
        for key in answer["data"]["keys"]:
            if key.endswith("/"):
                yield from self._walk(folder + key)
            else:
                yield folder + key

    def _no_engine(self, error: exceptions.VaultError) -> StorageUnavailable:
        reasons = ", ".join(error.errors or ())
        return StorageUnavailable(f"vault: no key/value engine of version 2 at {self._mount!r}: {reasons}")

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        return self._session.ask(lambda client: question(client.secrets.kv.v2))

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}".strip("/")


def _version(name: str, revision: str) -> int:
    if not (revision.isascii() and revision.isdigit()) or revision == "0":
        raise DocumentChanged(name)  # it is none of this store's
    return int(revision)
