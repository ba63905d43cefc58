"""Copies that EOS makes itself: a file goes from FST to FST, and the worker moves none of it.

The MGM's `file copy` writes to a hidden name in the target's bucket; the copy is compared with its source by size and
checksum and then published as a completed upload is. Small objects are streamed, which costs fewer steps and is one
atomic write.
"""

from __future__ import annotations

import logging
import os
from typing import Final

from backends.api import BackendError, ObjectRecord, Precondition
from backends.eos.failures import Missing
from backends.eos.interfaces import DataClient, Entry, Role
from backends.eos.layout import staging_of
from backends.eos.namespace import Namespace
from backends.eos.options import Options
from backends.eos.publishing import Publisher
from backends.eos.registry import Registry

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

    def copy(
        self, role: Role, source: Entry, bucket: str, key: str, record: ObjectRecord, check: Precondition
    ) -> ObjectRecord | None:
        """Copy a whole file under another key; None when it has to be streamed."""
        if self._options.server_copy == "stream" or source.size < self._options.server_copy_from:
            return None
        root = self._registry.root(bucket)
        staged = f"{staging_of(root)}/copy-{os.urandom(12).hex()}"
        try:
            self._namespace.make_directories(role, staging_of(root), below=root)
            if not self._copied(role, source, staged):
                return None
            adler32 = source.checksum[1] if source.checksum[0] == "adler32" else None
            return self._publisher.publish_file(role, bucket, key, staged, record, adler32, check)
        finally:
            self._namespace.unlink(role, staged)

    def _copied(self, role: Role, source: Entry, staged: str) -> bool:
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
            return False
        try:
            entry = self._namespace.stat(role, staged)
        except Missing:
            return False
        same = entry is not None and (entry.size, entry.checksum) == (source.size, source.checksum)
        if not same:
            log.info("EOS's copy of %r is not what its source was: it was replaced meanwhile", source.path)
        return same
