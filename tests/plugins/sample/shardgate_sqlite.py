"""Buckets and objects in one SQLite file: a storage plugin for shardgate."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from backends import api

T = TypeVar("T")
SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS buckets (name TEXT PRIMARY KEY, record BLOB);
CREATE TABLE IF NOT EXISTS objects (bucket TEXT, key BLOB, record BLOB, data BLOB, PRIMARY KEY (bucket, key));
"""
PAGE = 500


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file of `--backend-config` may say."""

    file: str = "objects.sqlite"


class SqliteBackend(api.Backend):
    """Every change is one transaction, and a transaction is the only one that writes, in whatever process."""

    name = "sqlite"
    capabilities = api.Capabilities(atomic_preconditions=True)

    def __init__(self, config: api.BackendConfig) -> None:
        super().__init__(config)
        self._file = Path(config.required_directory, config.parsed(Options).file)
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

    def _transaction(self, bucket: str | None, work: Callable[[], T]) -> T:
        """Run `work` in a thread while other greenlets go on, alone in the database; `bucket` has to exist."""
        with self._lock:
            return api.offload(self._alone, bucket, work)

    def _alone(self, bucket: str | None, work: Callable[[], T]) -> T:
        try:
            with self._database:  # commits, or rolls back what has raised
                self._database.execute("BEGIN IMMEDIATE")
                if bucket is not None and not self._rows("SELECT 1 FROM buckets WHERE name = ?", bucket):
                    raise api.NoSuchBucket(bucket)
                return work()
        except sqlite3.OperationalError as error:
            full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
            raise (api.StorageFull if full else api.StorageUnavailable)(f"sqlite: {error}") from error

    def _rows(self, statement: str, *values: Any) -> list[Any]:
        return self._database.execute(statement, values).fetchall()

    def _query(self, bucket: str | None, statement: str, *values: Any) -> list[Any]:
        return self._transaction(bucket, partial(self._rows, statement, *values))

    # -- buckets

    def create_bucket(self, caller: api.Caller, record: api.BucketRecord) -> None:
        try:
            self._query(None, "INSERT INTO buckets VALUES (?, ?)", record.name, api.encode(record))
        except sqlite3.IntegrityError:
            raise api.BucketExists(record.name) from None

    def get_bucket(self, caller: api.Caller, bucket: str) -> api.BucketRecord:
        return api.decode_bucket(self._query(bucket, "SELECT record FROM buckets WHERE name = ?", bucket)[0][0])

    def list_buckets(self, caller: api.Caller) -> list[api.BucketRecord]:
        return [api.decode_bucket(row) for (row,) in self._query(None, "SELECT record FROM buckets ORDER BY name")]

    def delete_bucket(self, caller: api.Caller, bucket: str) -> None:
        def work() -> None:
            if self._rows("SELECT 1 FROM objects WHERE bucket = ? LIMIT 1", bucket):
                raise api.BucketNotEmpty(bucket)
            self._rows("DELETE FROM buckets WHERE name = ?", bucket)

        self._transaction(bucket, work)

    # -- objects

    def get_object(self, caller: api.Caller, bucket: str, key: str) -> api.OpenObject:
        statement = "SELECT record, data FROM objects WHERE bucket = ? AND key = ?"
        for record, data in self._query(bucket, statement, bucket, key.encode()):
            return api.OpenBytes(api.decode_object(record), data)
        raise api.NoSuchObject(key)

    def head_object(self, caller: api.Caller, bucket: str, key: str) -> api.ObjectRecord:
        record = self._transaction(bucket, partial(self._current, bucket, key))
        if record is None:
            raise api.NoSuchObject(key)
        return record

    def _current(self, bucket: str, key: str) -> api.ObjectRecord | None:
        rows = self._rows("SELECT record FROM objects WHERE bucket = ? AND key = ?", bucket, key.encode())
        return api.decode_object(rows[0][0]) if rows else None

    def put_object(
        self, caller: api.Caller, bucket: str, key: str, source: api.Source, precondition: api.Precondition = api.ALWAYS
    ) -> api.ObjectRecord:
        data = b"".join(api.blocks(source))
        record = source.record()
        row = (bucket, key.encode(), api.encode(record), data)
        self._change(bucket, key, precondition, "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", *row)
        return record

    def delete_object(
        self, caller: api.Caller, bucket: str, key: str, precondition: api.Precondition = api.ALWAYS
    ) -> api.DeleteOutcome:
        statement = "DELETE FROM objects WHERE bucket = ? AND key = ?"
        return api.DeleteOutcome(self._change(bucket, key, precondition, statement, bucket, key.encode()))

    def _change(
        self, bucket: str, key: str, precondition: api.Precondition, statement: str, *values: Any
    ) -> api.ObjectRecord | None:
        """Run a statement if the precondition holds; the record of the object that was there."""

        def work() -> api.ObjectRecord | None:
            current = self._current(bucket, key)
            precondition.check(current)
            self._rows(statement, *values)
            return current

        return self._transaction(bucket, work)

    def scan(self, caller: api.Caller, bucket: str, prefix: str, after: str) -> Iterator[api.ObjectEntry]:
        statement = "SELECT key, record FROM objects WHERE bucket = ? AND key >= ? AND key > ? ORDER BY key LIMIT ?"
        while rows := self._query(bucket, statement, bucket, prefix.encode(), after.encode(), PAGE):
            for key, record in rows:
                after = key.decode()
                if not after.startswith(prefix):
                    return
                yield api.ObjectEntry(after, api.decode_object(record))
