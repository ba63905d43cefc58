"""Buckets and objects in one SQLite file: a storage plugin for shardgate."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from backends import api
from backends.offload import offload
from backends.records import decode_bucket, decode_object, encode

T = TypeVar("T")
SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS buckets (name TEXT PRIMARY KEY, record BLOB);
CREATE TABLE IF NOT EXISTS objects (bucket TEXT, key BLOB, record BLOB, data BLOB, PRIMARY KEY (bucket, key));
CREATE TABLE IF NOT EXISTS documents
    (revision INTEGER PRIMARY KEY AUTOINCREMENT, bucket TEXT, name TEXT, data BLOB, UNIQUE (bucket, name));
"""
PAGE = 500


class OpenBlob(api.OpenObject):
    """An object as it was when it was read."""

    def __init__(self, record: api.ObjectRecord, data: bytes) -> None:
        self.record = record
        self.data = data

    def read(self, offset: int, length: int) -> Iterator[bytes]:
        for start in range(offset, offset + length, api.BLOCK_SIZE):
            yield self.data[start : min(start + api.BLOCK_SIZE, offset + length)]


class SqliteBackend(api.Backend):
    """Every change is one transaction, and a transaction is the only one that writes, in whatever process."""

    name = "sqlite"
    capabilities = api.Capabilities(atomic_preconditions=True)

    def __init__(self, config: api.BackendConfig) -> None:
        super().__init__(config)
        if unknown := ", ".join(sorted(set(config.options) - {"file"})):
            raise api.ConfigurationError(f"sqlite: unknown option {unknown}")
        if not config.directory:
            raise api.ConfigurationError("sqlite: the directory is not set")
        self._file = Path(config.directory) / config.options.get("file", "objects.sqlite")
        self._lock = threading.Lock()

    def open(self) -> None:
        try:
            self._database = sqlite3.connect(self._file, timeout=30, isolation_level=None, check_same_thread=False)
            self._database.executescript(SCHEMA)
            self._database.execute(f"PRAGMA synchronous = {'FULL' if self.config.durable else 'OFF'}")
        except sqlite3.Error as error:
            raise api.StorageUnavailable(f"sqlite: {self._file}: {error}") from error

    def close(self) -> None:
        self._database.close()

    def _transaction(self, work: Callable[[], T], bucket: str | None = None) -> T:
        """Run `work` in a thread while other greenlets go on, alone in the database; `bucket` has to exist."""
        with self._lock:
            return offload(self._run, work, bucket)

    def _run(self, work: Callable[[], T], bucket: str | None) -> T:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                if bucket is not None and not self._rows("SELECT 1 FROM buckets WHERE name = ?", bucket):
                    raise api.NoSuchBucket(bucket)
                result = work()
                self._database.execute("COMMIT")
            finally:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
            return result
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise api.StorageFull(str(error)) from error
            raise api.StorageUnavailable(f"sqlite: {error}") from error

    def _rows(self, statement: str, *values: Any) -> list[Any]:
        return self._database.execute(statement, values).fetchall()

    # -- buckets

    def create_bucket(self, caller: api.Caller, record: api.BucketRecord) -> None:
        try:
            self._transaction(lambda: self._rows("INSERT INTO buckets VALUES (?, ?)", record.name, encode(record)))
        except sqlite3.IntegrityError:
            raise api.BucketExists(record.name) from None

    def get_bucket(self, caller: api.Caller, bucket: str) -> api.BucketRecord:
        rows = self._transaction(lambda: self._rows("SELECT record FROM buckets WHERE name = ?", bucket), bucket)
        return decode_bucket(rows[0][0])

    def list_buckets(self, caller: api.Caller) -> list[api.BucketRecord]:
        rows = self._transaction(lambda: self._rows("SELECT record FROM buckets ORDER BY name"))
        return [decode_bucket(record) for (record,) in rows]

    def delete_bucket(self, caller: api.Caller, bucket: str) -> None:
        def work() -> None:
            if self._rows("SELECT 1 FROM objects WHERE bucket = ? LIMIT 1", bucket):
                raise api.BucketNotEmpty(bucket)
            self._rows("DELETE FROM documents WHERE bucket = ?", bucket)
            self._rows("DELETE FROM buckets WHERE name = ?", bucket)

        self._transaction(work, bucket)

    # -- objects

    def _current(self, bucket: str, key: str) -> api.ObjectRecord | None:
        rows = self._rows("SELECT record FROM objects WHERE bucket = ? AND key = ?", bucket, key.encode())
        return decode_object(rows[0][0]) if rows else None

    def put_object(
        self,
        caller: api.Caller,
        bucket: str,
        key: str,
        source: api.Source,
        precondition: api.Precondition = api.ALWAYS,
        versioning: api.Versioning = api.Versioning.OFF,
    ) -> api.ObjectRecord:
        if versioning is not api.Versioning.OFF:
            raise api.NotSupported("sqlite: versioning")
        blocks = []
        while block := source.read(api.BLOCK_SIZE):
            blocks.append(block)
        data = b"".join(blocks)
        if source.length not in (None, len(data)):
            raise ValueError(f"{source.length} bytes were announced and {len(data)} came")
        record = source.record()

        def work() -> None:
            precondition.check(self._current(bucket, key))
            row = (bucket, key.encode(), encode(record), data)
            self._rows("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", *row)

        self._transaction(work, bucket)
        return record

    def get_object(self, caller: api.Caller, bucket: str, key: str, version_id: str | None = None) -> api.OpenObject:
        statement = "SELECT record, data FROM objects WHERE bucket = ? AND key = ?"
        rows = self._transaction(lambda: self._rows(statement, bucket, key.encode()), bucket)
        if not rows:
            raise api.NoSuchObject(key)
        if version_id not in (None, api.NULL_VERSION):
            raise api.NoSuchVersion(version_id)
        return OpenBlob(decode_object(rows[0][0]), rows[0][1])

    def head_object(self, caller: api.Caller, bucket: str, key: str, version_id: str | None = None) -> api.ObjectRecord:
        record = self._transaction(lambda: self._current(bucket, key), bucket)
        if record is None:
            raise api.NoSuchObject(key)
        if version_id not in (None, api.NULL_VERSION):
            raise api.NoSuchVersion(version_id)
        return record

    def delete_object(
        self,
        caller: api.Caller,
        bucket: str,
        key: str,
        version_id: str | None = None,
        precondition: api.Precondition = api.ALWAYS,
        versioning: api.Versioning = api.Versioning.OFF,
    ) -> api.DeleteOutcome:
        if versioning is not api.Versioning.OFF:
            raise api.NotSupported("sqlite: versioning")

        def work() -> api.DeleteOutcome:
            if version_id not in (None, api.NULL_VERSION):
                return api.DeleteOutcome()
            current = self._current(bucket, key)
            precondition.check(current)
            self._rows("DELETE FROM objects WHERE bucket = ? AND key = ?", bucket, key.encode())
            return api.DeleteOutcome(removed=current)

        return self._transaction(work, bucket)

    def scan(self, caller: api.Caller, bucket: str, prefix: str, after: str) -> Iterator[api.ObjectEntry]:
        statement = "SELECT key, record FROM objects WHERE bucket = ? AND key >= ? AND key > ? ORDER BY key LIMIT ?"
        values = (bucket, prefix.encode())
        while True:
            rows = self._transaction(partial(self._rows, statement, *values, after.encode(), PAGE), bucket)
            for key, record in rows:
                after = key.decode()
                if not after.startswith(prefix):
                    return
                yield api.ObjectEntry(after, decode_object(record))
            if len(rows) < PAGE:
                return

    # -- documents: those of the gateway are in the bucket "", a name that no bucket can have

    def get_document(self, bucket: str | None, name: str) -> api.Document | None:
        statement = "SELECT data, revision FROM documents WHERE bucket = ? AND name = ?"
        rows = self._transaction(lambda: self._rows(statement, bucket or "", name), bucket)
        return api.Document(rows[0][0], str(rows[0][1])) if rows else None

    def _change(self, bucket: str | None, name: str, expected: str | None, statement: str, *values: Any) -> str:
        def work() -> str:
            rows = self._rows("SELECT revision FROM documents WHERE bucket = ? AND name = ?", bucket or "", name)
            if expected != api.ANY_REVISION and (str(rows[0][0]) if rows else None) != expected:
                raise api.DocumentChanged
            return str(self._database.execute(statement, (bucket or "", name, *values)).lastrowid)

        return self._transaction(work, bucket)

    def put_document(self, bucket: str | None, name: str, data: bytes, expected: str | None = api.ANY_REVISION) -> str:
        statement = "INSERT OR REPLACE INTO documents (bucket, name, data) VALUES (?, ?, ?)"
        return self._change(bucket, name, expected, statement, data)

    def delete_document(self, bucket: str | None, name: str, expected: str | None = api.ANY_REVISION) -> None:
        self._change(bucket, name, expected, "DELETE FROM documents WHERE bucket = ? AND name = ?")

    def list_documents(self, bucket: str | None, prefix: str = "") -> list[str]:
        statement = "SELECT name FROM documents WHERE bucket = ? ORDER BY name"
        rows = self._transaction(lambda: self._rows(statement, bucket or ""), bucket)
        return [name for (name,) in rows if name.startswith(prefix)]
