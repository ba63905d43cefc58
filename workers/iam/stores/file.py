"""All documents in one sealed file, safe between the processes and hosts of a shared file system.

A writer holds `flock` on a file beside it, makes the new file and renames it over the old one; readers hold nothing,
and see the file of before or after. On NFS the kernel turns `flock` into a lock of the server, and opening a file looks
at the server's copy, which is all that is relied on.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from backends.errors import DocumentChanged, StorageUnavailable
from backends.offload import offload
from workers.iam.sealing import SHORTEST, Sealer, SealError, key_name
from workers.iam.stores.api import Stored

PURPOSE: Final = "file of identities"
_FINGERPRINT: Final = 21
"""Bytes of a sealed text that differ whenever it was sealed anew: format, name of the key, nonce."""


class _Contents(msgspec.Struct, frozen=True):
    """What the file holds. `serial` counts its changes, so that no revision comes back."""

    format: int = 1
    serial: int = 0
    documents: dict[str, tuple[int, bytes]] = {}


_EMPTY: Final = _Contents()
_decoder = msgspec.json.Decoder(_Contents)
_encoder = msgspec.json.Encoder()


class FileDocuments:
    """Documents in one file; see `DocumentStore`.

    Args:
        path: of the file; it is made when first written, with access for its owner only.
        durable: whether a write waits until it is on the disk.
    """

    def __init__(self, path: Path, sealer: Sealer, *, durable: bool = True) -> None:
        self._path = path
        self._sealer = sealer
        self._durable = durable
        self._seen: tuple[bytes | None, _Contents] = (None, _EMPTY)

    def get(self, name: str) -> Stored | None:
        """A document, None when there is none."""
        found = offload(self._read).documents.get(name)
        return None if found is None else Stored(found[1], str(found[0]))

    def put(self, name: str, data: bytes, expected: str | None) -> str:
        """Write a document. Raises `DocumentChanged`."""
        return offload(self._change, name, data, expected)

    def delete(self, name: str, expected: str) -> None:
        """Delete a document. Raises `DocumentChanged`."""
        offload(self._change, name, None, expected)

    def names(self, prefix: str) -> Iterable[str]:
        """Names of the documents that begin with `prefix`, ordered."""
        return sorted(name for name in offload(self._read).documents if name.startswith(prefix))

    def reseal(self) -> bool:
        """Seal the file under the present master key if it is not; whether it was sealed anew."""
        return offload(self._reseal)

    def sealed_under(self) -> str:
        """The name of the master key that the file is sealed under, "" when there is none."""
        return key_name(offload(self._head))

    def _head(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                return file.read(SHORTEST)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise self._unavailable(error) from None

    def _reseal(self) -> bool:
        with self._locked():
            contents = self._read()
            head = self._head()
            if not head or self._sealer.is_current(head):
                return False
            self._write(contents)
            return True

    def _change(self, name: str, data: bytes | None, expected: str | None) -> str:
        with self._locked():
            contents = self._read()
            found = contents.documents.get(name)
            if (None if found is None else str(found[0])) != expected:
                raise DocumentChanged(name)
            serial = contents.serial + 1
            documents = dict(contents.documents)
            if data is None:
                del documents[name]
            else:
                documents[name] = (serial, data)
            self._write(_Contents(serial=serial, documents=documents))
            return str(serial)

    def _read(self) -> _Contents:
        # PERF: opening the file and 21 bytes of it tell whether it is the one that was opened and parsed before.
        seen, contents = self._seen
        try:
            with self._path.open("rb") as file:
                head = file.read(_FINGERPRINT)
                if head == seen:
                    return contents
                sealed = head + file.read()
        except FileNotFoundError:
            return _EMPTY
        except OSError as error:
            raise self._unavailable(error) from None
        try:
            contents = _decoder.decode(self._sealer.open(sealed, PURPOSE))
        except (SealError, msgspec.DecodeError) as error:
            raise StorageUnavailable(f"{self._path}: {error}") from None
        if contents.format != _EMPTY.format:
            raise StorageUnavailable(f"{self._path}: unknown format {contents.format}")
        self._seen = (head, contents)
        return contents

    def _write(self, contents: _Contents) -> None:
        sealed = self._sealer.seal(_encoder.encode(contents), PURPOSE)
        # Only the holder of the lock makes this file, so it has one name, and a killed writer's is overwritten.
        temporary = self._path.with_name(self._path.name + ".new")
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(temporary, flags, 0o600), "wb") as file:
                file.write(sealed)
                file.flush()
                if self._durable:
                    os.fsync(file.fileno())
            temporary.replace(self._path)
            if self._durable:
                self._sync_directory()
        except OSError as error:
            raise self._unavailable(error) from None

    def _sync_directory(self) -> None:
        descriptor = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # Of its own descriptor, so that threads of one process exclude each other as well.
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(self._path.with_name(self._path.name + ".lock"), flags, 0o600)
        except OSError as error:
            raise self._unavailable(error) from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except OSError as error:
                raise self._unavailable(error) from None
            yield
        finally:
            os.close(descriptor)

    def _unavailable(self, error: OSError) -> StorageUnavailable:
        return StorageUnavailable(f"{self._path}: {error.strerror}")
