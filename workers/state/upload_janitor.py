"""Removes uploads that nobody goes on with, and what killed workers left of those that are over.

Every step may be taken by several processes at once, and at any time beside requests: what is removed is decided by the
same scripts in Redis that requests go through.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

from backends.api import Backend, Caller, NoSuchBucket, NoSuchUpload, UploadRecord
from workers.protocol.names import is_bucket_name
from workers.state.uploads import Busy, State, Uploads

_CHUNK: Final = 500


class UploadJanitor:
    """One worker's broom.

    Args:
        caller: on whose behalf the storage is asked.
        clock: nanoseconds since the epoch.
    """

    def __init__(
        self, uploads: Uploads, backend: Backend, caller: Caller, *, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._uploads = uploads
        self._backend = backend
        self._caller = caller
        self._clock = clock

    def sweep(self, *, max_age: float, leftover_age: float) -> int:
        """Go through all buckets; returns how many things were removed.

        `max_age` (seconds) is that of uploads without a new part, `leftover_age` that of what belongs to no upload.
        Raises `BackendError`, `redis.RedisError`.
        """
        removed = self._backend.sweep_uploads(self._caller, leftover_age)
        for bucket in self._backend.list_buckets(self._caller):
            if is_bucket_name(bucket.name):
                try:
                    removed += self._sweep_bucket(bucket.name, max_age)
                except NoSuchBucket:
                    continue
        return removed

    def abort_older(self, bucket: str, max_age: float) -> int:
        """Abort a bucket's uploads that got no part for `max_age` seconds; returns how many."""
        return sum(self._removed_if_old(bucket, upload, max_age) for upload in self._all(bucket))

    def _sweep_bucket(self, bucket: str, max_age: float) -> int:
        removed = 0
        for uploads in _chunks(self._all(bucket)):
            states = self._uploads.states([upload.id for upload in uploads])
            for upload, state in zip(uploads, states, strict=True):
                removed += self._look_after(bucket, upload, state, max_age)
        ended = self._uploads.index.prune(self._caller, bucket)
        self._uploads.forget_ended(ended)
        return removed + len(ended)

    def _all(self, bucket: str) -> Iterable[UploadRecord]:
        return self._backend.list_uploads(self._caller, bucket)

    def _look_after(self, bucket: str, upload: UploadRecord, state: State, max_age: float) -> int:
        match state:
            case State.DONE:
                # Its worker was killed after it had told Redis.
                self._backend.abort_upload(self._caller, bucket, upload.id)
                self._uploads.index.remove(bucket, upload)
                return 1
            case State.ABORTING:
                return self._aborted(bucket, upload)
            case State.OPEN:
                return self._removed_if_old(bucket, upload, max_age)
            case State.UNKNOWN:
                return self._finished(bucket, upload) or self._removed_if_old(bucket, upload, max_age)
            case State.COMPLETING:
                return 0

    def _finished(self, bucket: str, upload: UploadRecord) -> int:
        """Finish what was published before Redis was told, or that Redis has lost; 1 if it was."""
        try:
            completed = self._backend.load_upload(self._caller, bucket, upload.id).completed
        except NoSuchUpload:
            return 0
        if completed is None:
            return 0
        self._uploads.finish(self._caller, bucket, upload, completed)
        return 1

    def _removed_if_old(self, bucket: str, upload: UploadRecord, max_age: float) -> int:
        before = self._clock() - int(max_age * 1e9)
        if upload.initiated >= before:
            return 0
        try:
            parts = self._backend.load_upload(self._caller, bucket, upload.id).parts
        except NoSuchUpload:
            return 0
        if any(part.modified >= before for part in parts):
            return 0
        return self._aborted(bucket, upload)

    def _aborted(self, bucket: str, upload: UploadRecord) -> int:
        try:
            self._uploads.abort(self._caller, bucket, upload)
        except (Busy, NoSuchUpload):
            # Somebody goes on with it after all, or ended it just now.
            return 0
        return 1


def _chunks(uploads: Iterable[UploadRecord]) -> Iterator[list[UploadRecord]]:
    rest = iter(uploads)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk
