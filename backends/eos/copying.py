"""Copies that EOS makes itself: a file goes from FST to FST, and the worker moves none of it.

The MGM's `file copy` writes to a hidden name in the target's bucket; the copy is compared with its source by size and
checksum and then published as a completed upload is. Small objects are streamed, which costs fewer steps and is one
atomic write.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from typing import Final

from backends.api import BackendError, ObjectRecord, PermissionDenied, Precondition, StorageUnavailable
from backends.eos.failures import Missing
from backends.eos.interfaces import DataClient, Entry, Role, Written
from backends.eos.layout import COPY, staging_of
from backends.eos.moving import Unfinished
from backends.eos.namespace import Namespace
from backends.eos.options import Options
from backends.eos.publishing import Publisher
from backends.eos.registry import Registry
from backends.eos.removal import is_abandoned
from backends.eos.settling import NOT_COMPUTED

_CLEANED: Final = 3600.0
"""Seconds between two looks for remnants in a directory."""
_REMEMBERED: Final = 10_000

log = logging.getLogger(__name__)


class Copier:
    """Server-side copies."""

    def __init__(
        self, options: Options, namespace: Namespace, data: DataClient, registry: Registry, publisher: Publisher
    ) -> None:
        self._options: Final = options
        self._namespace: Final = namespace
        self._data: Final = data
        self._registry: Final = registry
        self._publisher: Final = publisher
        self._cleaned: Final[dict[str, float]] = {}

    def copy(
        self, role: Role, source: Entry, bucket: str, key: str, record: ObjectRecord, check: Precondition
    ) -> ObjectRecord | None:
        """Copy a whole file under another key; None when it has to be streamed."""
        if self._options.server_copy == "stream" or source.size < self._options.server_copy_from:
            return None
        root = self._registry.root(bucket)
        staged = f"{staging_of(root)}/{COPY}{os.urandom(12).hex()}"
        try:
            self._namespace.make_directories(role, staging_of(root), below=root)
            self._clean(role, staging_of(root))
            copied = self._copied(role, source, staged)
            if copied is None:
                self._remove(role, staged)
                return None
            kind, digest = source.checksum
            adler32 = digest if kind == "adler32" and digest not in NOT_COMPUTED else ""
            written = Written(copied.id, source.size, adler32)
            return self._publisher.publish_file(role, bucket, key, staged, written, record, check)
        except Unfinished:
            raise
        except BaseException:
            self._remove(role, staged)
            raise

    def _clean(self, role: Role, directory: str) -> None:
        """Remove what killed workers have left there, looking now and then: who copies may write there."""
        now = time.monotonic()
        if now - self._cleaned.get(directory, -_CLEANED) < _CLEANED:
            return
        if len(self._cleaned) > _REMEMBERED:
            self._cleaned.clear()
        self._cleaned[directory] = now
        with suppress(BackendError):
            for entry in self._namespace.find(role, directory):
                if is_abandoned(entry):
                    self._remove(role, entry.path)

    def _remove(self, role: Role, staged: str) -> None:
        """What is left of a failure must not hide its reason."""
        with suppress(StorageUnavailable, PermissionDenied):
            self._namespace.unlink(role, staged)

    def _copied(self, role: Role, source: Entry, staged: str) -> Entry | None:
        command = {
            "mgm.cmd": "file",
            "mgm.subcmd": "copy",
            "mgm.path": source.path,
            "mgm.file.target": staged,
        }
        try:
            code, text = self._data.run(role, command)
        except BackendError as error:
            code, text = -1, str(error)
        if code:
            log.info("EOS did not copy %r itself: %s", source.path, text)
            return None
        try:
            entry = self._namespace.stat(role, staged)
        except Missing:
            return None
        if entry is None or (entry.size, entry.checksum) != (source.size, source.checksum):
            log.info("EOS's copy of %r is not what its source was", source.path)
            return None
        return entry
