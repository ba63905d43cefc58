"""Typed records over a store of documents, each sealed for the very name that it is stored under."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from typing import Final

from backends.errors import DocumentChanged, StorageUnavailable
from workers.iam.records import AlreadyExists, Busy, NotFound, Record, RecordError, RecordT, decode, encode
from workers.iam.sealing import Sealer, SealError
from workers.iam.stores.api import DocumentStore

ATTEMPTS: Final = 30
"""How often a change is tried again that others were faster with."""


class SealedRecords:
    """Reads and changes sealed records.

    A record that cannot be opened or read is `StorageUnavailable`: it is there, and nobody may take it for missing.

    Args:
        sleep: waits so many seconds between two attempts.
    """

    def __init__(self, store: DocumentStore, sealer: Sealer, sleep: Callable[[float], None] = time.sleep) -> None:
        self._store = store
        self._sealer = sealer
        self._sleep = sleep

    def get(self, name: str, kind: type[RecordT]) -> tuple[RecordT, str] | None:
        """A record and its revision, None when there is none."""
        stored = self._store.get(name)
        if stored is None:
            return None
        try:
            return decode(self._sealer.open(stored.data, _purpose(name)), kind), stored.revision
        except (SealError, RecordError) as error:
            raise StorageUnavailable(f"{name}: {error}") from None

    def create(self, name: str, record: Record, what: str) -> str:
        """Write a record that must not exist; returns its revision. Raises `AlreadyExists`."""
        try:
            return self.put(name, record, None)
        except DocumentChanged:
            raise AlreadyExists(f"{what} already exists.") from None

    def put(self, name: str, record: Record, expected: str | None) -> str:
        """Write a record; returns its revision. Raises `DocumentChanged`."""
        return self._store.put(name, self._sealer.seal(encode(record), _purpose(name)), expected)

    def update(self, name: str, kind: type[RecordT], change: Callable[[RecordT], RecordT], what: str) -> RecordT:
        """Replace a record by `change(record)`, losing no concurrent change; returns the new one.

        `change` may be called more than once; what it raises leaves the record as it is. Raises `NotFound`, `Busy`.
        """
        for attempt in range(ATTEMPTS):
            found = self.get(name, kind)
            if found is None:
                raise NotFound(f"{what} cannot be found.")
            record, revision = found
            changed = change(record)
            if changed == record:
                return record
            try:
                self.put(name, changed, revision)
            except DocumentChanged:
                self._pause(attempt)
            else:
                return changed
        raise Busy(f"{what} is being changed by others.")

    def delete(self, name: str, kind: type[RecordT], check: Callable[[RecordT], None], what: str) -> RecordT:
        """Delete a record that `check` finds fit to go; returns it. Raises `NotFound`, `Busy` and what `check` does."""
        for attempt in range(ATTEMPTS):
            found = self.get(name, kind)
            if found is None:
                raise NotFound(f"{what} cannot be found.")
            record, revision = found
            check(record)
            try:
                self._store.delete(name, revision)
            except DocumentChanged:
                self._pause(attempt)
            else:
                return record
        raise Busy(f"{what} is being changed by others.")

    def drop(self, name: str, revision: str) -> bool:
        """Delete a record if it is still of that revision; whether it was."""
        try:
            self._store.delete(name, revision)
        except DocumentChanged:
            return False
        return True

    def remove(self, name: str) -> bool:
        """Delete a record whatever it says, unless it is being changed; whether it was there."""
        stored = self._store.get(name)
        return stored is not None and self.drop(name, stored.revision)

    def names(self, prefix: str) -> Iterable[str]:
        """Names of the records that begin with `prefix`, ordered."""
        return self._store.names(prefix)

    def all(self, prefix: str, kind: type[RecordT]) -> list[RecordT]:
        """The records whose names begin with `prefix`."""
        found = [self.get(name, kind) for name in self.names(prefix)]
        return [entry[0] for entry in found if entry is not None]

    def reseal(self, name: str, inner: Callable[[bytes], bytes] | None = None) -> bool:
        """Seal a record under the present master key if it is not; whether it was changed.

        `inner` is given the opened text and gives the one to seal, which may differ: then it is written in any case.
        """
        for attempt in range(ATTEMPTS):
            stored = self._store.get(name)
            if stored is None:
                return False
            try:
                text = self._sealer.open(stored.data, _purpose(name))
            except SealError as error:
                raise StorageUnavailable(f"{name}: {error}") from None
            changed = text if inner is None else inner(text)
            if changed == text and self._sealer.is_current(stored.data):
                return False
            try:
                self._store.put(name, self._sealer.seal(changed, _purpose(name)), stored.revision)
            except DocumentChanged:
                self._pause(attempt)
            else:
                return True
        raise Busy(f"{name} is being changed by others.")

    def _pause(self, attempt: int) -> None:
        self._sleep(random.uniform(0, 0.002) * min(attempt, 10))  # noqa: S311 -- no secret


def _purpose(name: str) -> str:
    return f"record {name}"
