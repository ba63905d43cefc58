"""A storage plugin that counts what is read of identities, in all workers of a gateway.

Gateway(directory, "--backend", str(PLUGIN)); identity_reads(gateway.directory) -> names of the documents, in order
"""

from __future__ import annotations

import os
from pathlib import Path

from backends.api import BackendConfig, Document
from backends.posix.backend import PosixBackend

PLUGIN = Path(__file__)


class CountingPosix(PosixBackend):
    """Writes the name of each document of identities that is asked for beside its directory."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._count = -1

    def open(self) -> None:
        super().open()
        # One short write at the end of a file is one step, whoever else writes.
        self._count = os.open(_notes(Path(str(self.config.directory))), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def close(self) -> None:
        os.close(self._count)
        super().close()

    def get_document(self, bucket: str | None, name: str) -> Document | None:
        if bucket is None and name.startswith("iam/"):
            os.write(self._count, f"{name}\n".encode())
        return super().get_document(bucket, name)


def identity_reads(directory: Path) -> list[str]:
    """The documents of identities that a gateway on a directory was asked for since it was made."""
    return _notes(directory).read_text().split()


def _notes(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}.reads")
