"""The namespace on disk: one SQLite file, written with every operation."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from backends.eos.emulator.entries import Container, Entry, File

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS container (id INTEGER PRIMARY KEY, entry BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS file (id INTEGER PRIMARY KEY, entry BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS value (name TEXT PRIMARY KEY, value BLOB NOT NULL);
"""


class Store:
    """Rows of entries by id, and a few named values. Calls must not overlap; the namespace's lock sees to that."""

    def __init__(self, path: Path, *, durable: bool = False) -> None:
        """Open or create the file at `path`. Without `durable` it outlives the process, not a power cut."""
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute(f"PRAGMA synchronous={'FULL' if durable else 'OFF'}")
        self._database.executescript(_SCHEMA)
        self._encode = msgspec.msgpack.Encoder().encode

    def containers(self) -> Iterable[Container]:
        """Every directory."""
        decode = msgspec.msgpack.Decoder(Container).decode
        return (decode(row[0]) for row in self._database.execute("SELECT entry FROM container"))

    def files(self) -> Iterable[File]:
        """Every file."""
        decode = msgspec.msgpack.Decoder(File).decode
        return (decode(row[0]) for row in self._database.execute("SELECT entry FROM file"))

    def value(self, name: str) -> bytes | None:
        """A named value."""
        row = self._database.execute("SELECT value FROM value WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def write(
        self, changed: Iterable[Entry], removed: Iterable[tuple[type[Entry], int]], values: dict[str, bytes]
    ) -> None:
        """Write entries and values and remove others, all or nothing."""
        rows = [(isinstance(entry, Container), entry.id, self._encode(entry)) for entry in changed]
        cursor = self._database.cursor()
        cursor.execute("BEGIN")
        try:
            for table, wanted in (("container", True), ("file", False)):
                cursor.executemany(
                    f"INSERT OR REPLACE INTO {table} VALUES (?, ?)",  # noqa: S608 (two names of ours)
                    [(number, blob) for kind, number, blob in rows if kind is wanted],
                )
                cursor.executemany(
                    f"DELETE FROM {table} WHERE id = ?",  # noqa: S608
                    [(number,) for kind, number in removed if (kind is Container) is wanted],
                )
            cursor.executemany("INSERT OR REPLACE INTO value VALUES (?, ?)", values.items())
        except BaseException:
            cursor.execute("ROLLBACK")
            raise
        cursor.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._database.close()
