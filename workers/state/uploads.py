"""Multipart uploads in Redis: fast and shared, and rebuilt from the storage whenever Redis has lost them.

The storage holds every upload and part durably before a client hears of it (`Backend.create_upload`, `put_part`). Redis
decides what happens at the same time: which part of a number counts, who completes, that an aborted upload takes no
more. Its hash of an upload carries the run id of the server it was known to be whole in; after a restart or a fail-over
that does not match any more, and the hash is restored from the storage under a lock, once.

Where even the storage has forgotten an upload because it was completed, the object itself still tells: its record bears
the upload's id.
"""

from __future__ import annotations

import enum
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import redis
from redis.commands.core import Script

from backends.api import (
    UPLOAD_MARK,
    Backend,
    Caller,
    NoSuchBucket,
    NoSuchObject,
    NoSuchUpload,
    ObjectRecord,
    PartRecord,
    UploadRecord,
)
from backends.faultpoints import reach
from workers.state import scripts
from workers.state.epoch import Epoch
from workers.state.locks import lock
from workers.state.redis import as_text
from workers.state.upload_index import UploadIndex

PREFIX: Final = "shardgate:v1:upload:"
ID_LENGTH: Final = 48
MAX_PARTS: Final = 10_000

OPEN_LIFETIME_MS: Final = 7 * 86_400_000
"""An upload that nobody touched for a week leaves Redis; the storage still has it."""
DONE_LIFETIME_MS: Final = 86_400_000
"""How long a completion that is asked for again gets the same answer."""
LEASE_MS: Final = 6_000
"""After which a completion whose worker died may be repeated. A living one that stalls for longer loses only its lead:
the storage publishes once all the same."""
RENEW_SECONDS: Final = 2.0
RESTORE_SECONDS: Final = 60.0
"""For how long one restores alone. Ten thousand parts take less than a second from a disk."""
RESTORE_PATIENCE: Final = 20.0
"""Seconds that others wait for that before they tell the client to come back."""
_ATTEMPTS: Final = 3
_FINAL: Final = (b"done", b"aborting")
_FETCH: Final = 1000
_KNOWN: Final = 4096

_part_decoder = msgspec.json.Decoder(PartRecord)
_upload_decoder = msgspec.json.Decoder(UploadRecord)
_object_decoder = msgspec.json.Decoder(ObjectRecord)
_encode = msgspec.json.Encoder().encode


class State(enum.Enum):
    """What Redis knows of an upload. UNKNOWN: nothing, or nothing certain; the storage has to be asked."""

    OPEN = "open"
    COMPLETING = "completing"
    ABORTING = "aborting"
    DONE = "done"
    UNKNOWN = "unknown"


class Busy(Exception):
    """The upload is being completed by somebody else."""


class Done(Exception):
    """The upload has been completed; `record` is the object's."""

    def __init__(self, record: ObjectRecord) -> None:
        super().__init__()
        self.record = record


class PartsPage(NamedTuple):
    """Some parts in order of their numbers, and whether more follow."""

    parts: list[PartRecord]
    truncated: bool


def new_upload_id(now: int) -> str:
    """An upload id: the time first, so that ids of one key sort by it, then 128 random bits."""
    return f"{now:016x}{secrets.token_hex(16)}"


def is_upload_id(text: str) -> bool:
    """Whether a client's upload id can be one of ours."""
    return len(text) == ID_LENGTH and not text.strip("0123456789abcdef")


class Uploads:
    """The multipart uploads of the fleet. Raises `redis.RedisError` when Redis is away."""

    def __init__(self, client: redis.Redis, epoch: Epoch, backend: Backend) -> None:
        self._redis = client
        self._epoch = epoch
        self._backend = backend
        self.index = UploadIndex(client, epoch, backend)
        # Records of uploads never change; what may change, their state, is asked for in Redis each time.
        self._known: OrderedDict[tuple[str, str], UploadRecord] = OrderedDict()
        self._add_part = client.register_script(scripts.ADD_PART)
        self._begin = client.register_script(scripts.BEGIN)
        self._renew = client.register_script(scripts.RENEW)
        self._reopen = client.register_script(scripts.REOPEN)
        self._finish = client.register_script(scripts.FINISH)
        self._abort = client.register_script(scripts.ABORT)
        self._restore_hash = client.register_script(scripts.RESTORE)

    def create(self, caller: Caller, bucket: str, upload: UploadRecord) -> None:
        """Begin an upload: in the storage first, so that nothing acknowledged lives in Redis alone."""
        self._redis.exists(_name(upload.id))
        self._backend.create_upload(caller, bucket, upload)
        reach("uploads.create.stored")
        self._write_new(bucket, upload)
        self.index.add(bucket, upload)

    def get(self, caller: Caller, bucket: str, key: str, upload_id: str) -> UploadRecord:
        """An upload that was begun for this bucket and key; it may be over by now. Raises `NoSuchUpload`."""
        if not is_upload_id(upload_id):
            raise NoSuchUpload
        upload = self._known.get((bucket, upload_id))
        if upload is None:
            upload = self._fetch(caller, bucket, upload_id)
            self._known[bucket, upload_id] = upload
            if len(self._known) > _KNOWN:
                self._known.popitem(last=False)
        if upload.key != key:
            raise NoSuchUpload
        return upload

    def add_part(self, caller: Caller, bucket: str, upload: UploadRecord, part: PartRecord) -> PartRecord | None:
        """Let a stored part count, as the last of its number; returns the one that it replaces.

        Raises `NoSuchUpload` when the upload is over, `Busy` while it is completed.
        """
        arguments: list[Any] = [f"p{part.number}", _encode(part), OPEN_LIFETIME_MS]
        state, *replaced = self._run(caller, bucket, upload.id, self._add_part, arguments)
        if state == b"completing":
            raise Busy
        if state != b"open":
            raise NoSuchUpload
        return _part_decoder.decode(replaced[0]) if replaced[0] else None

    def states(self, upload_ids: Sequence[str]) -> list[State]:
        """The states of uploads, as Redis knows them at this moment."""
        pipeline = self._redis.pipeline(transaction=False)
        for upload_id in upload_ids:
            pipeline.hmget(_name(upload_id), ["state", "epoch", "lease"])
        return [self._state(name, *found) for name, found in zip(upload_ids, pipeline.execute(), strict=True)]

    def _state(self, upload_id: str, state: bytes | None, epoch: bytes | None, lease: bytes | None) -> State:
        if state is None or (state not in _FINAL and as_text(epoch) != self._epoch.of(_name(upload_id))):
            return State.UNKNOWN
        if state == b"completing" and int(lease or 0) < time.time() * 1000:
            # Its worker died, before or after it had published.
            return State.UNKNOWN
        return State(state.decode())

    def parts(self, caller: Caller, bucket: str, upload_id: str, after: int, limit: int) -> PartsPage:
        """Parts with a greater number than `after`. Raises `NoSuchUpload`."""
        found: list[PartRecord] = []
        first = after + 1
        while first <= MAX_PARTS and len(found) <= limit:
            numbers = range(first, min(first + _FETCH, MAX_PARTS + 1))
            fields = [f"p{number}" for number in numbers]
            state, *values = self._whole(caller, bucket, upload_id, "state", *fields)
            if state in _FINAL:
                raise NoSuchUpload
            found.extend(_part_decoder.decode(value) for value in values if value is not None)
            first += _FETCH
        if first == after + 1:
            # Nothing was asked for, but whether there is such an upload.
            (state,) = self._whole(caller, bucket, upload_id, "state")
            if state in _FINAL:
                raise NoSuchUpload
        return PartsPage(found[:limit], len(found) > limit)

    def begin_completion(self, caller: Caller, bucket: str, upload_id: str) -> tuple[str, dict[int, PartRecord]]:
        """Become the one who completes; returns the token of that right, and all parts by number.

        Raises `Busy`, `Done`, `NoSuchUpload`.
        """
        token = secrets.token_hex(16)
        state, *rest = self._run(caller, bucket, upload_id, self._begin, [token, LEASE_MS, OPEN_LIFETIME_MS])
        if state == b"done":
            raise Done(_object_decoder.decode(rest[0]))
        if state == b"completing":
            raise Busy
        if state != b"begun":
            raise NoSuchUpload
        fields = self._redis.hgetall(_name(upload_id))
        if as_text(fields.get(b"token")) != token:
            raise _lost()
        parts = [_part_decoder.decode(value) for field, value in fields.items() if field[:1] == b"p"]
        return token, {part.number: part for part in parts}

    def renew(self, upload_id: str, token: str) -> bool:
        """Stay the one who completes; false when the right has passed to somebody else."""
        return bool(self._renew(keys=[_name(upload_id)], args=[token, LEASE_MS]))

    def reopen(self, upload_id: str, token: str) -> None:
        """Give the right to complete back; the upload goes on."""
        self._reopen(keys=[_name(upload_id)], args=[token])

    def finish(self, caller: Caller, bucket: str, upload: UploadRecord, result: ObjectRecord) -> None:
        """Remember a completion's answer, then let the storage and the lists forget the upload."""
        arguments: list[Any] = [
            _encode(result),
            _encode(upload),
            bucket,
            self._epoch.of(_name(upload.id)),
            DONE_LIFETIME_MS,
        ]
        self._finish(keys=[_name(upload.id)], args=arguments)
        reach("uploads.finish.remembered")
        self._backend.abort_upload(caller, bucket, upload.id)
        reach("uploads.finish.removed")
        # Last: whoever rebuilds the index just now has seen the upload in the storage, and must not keep it.
        self.index.remove(bucket, upload)

    def completed(self, caller: Caller, bucket: str, key: str, upload_id: str) -> ObjectRecord | None:
        """The record of the object under a key if it came from this upload, for when the upload is forgotten."""
        try:
            record = self._backend.head_object(caller, bucket, key)
        except (NoSuchBucket, NoSuchObject):
            return None
        return record if is_upload_id(upload_id) and record.extra.get(UPLOAD_MARK) == upload_id else None

    def abort(self, caller: Caller, bucket: str, upload: UploadRecord) -> None:
        """End an upload and remove all of it. Raises `NoSuchUpload` when it is over, `Busy` while it is completed."""
        state, *_ = self._run(caller, bucket, upload.id, self._abort, [DONE_LIFETIME_MS])
        if state == b"completing":
            raise Busy
        if state == b"done":
            raise NoSuchUpload
        reach("uploads.abort.decided")
        self._backend.abort_upload(caller, bucket, upload.id)
        reach("uploads.abort.removed")
        self.index.remove(bucket, upload)
        self._redis.delete(_name(upload.id))
        self._known.pop((bucket, upload.id), None)

    def forget_ended(self, upload_ids: Sequence[str]) -> None:
        """Delete the hashes of uploads that the storage has no more, but for the answers of completed ones."""
        for upload_id, state in zip(upload_ids, self.states(upload_ids), strict=True):
            if state is not State.DONE:
                self._redis.delete(_name(upload_id))

    def forget(self, bucket: str, upload_ids: Iterable[str]) -> None:
        """The bucket is gone, and these uploads with it."""
        self.index.forget(bucket)
        for upload_id in upload_ids:
            self._redis.delete(_name(upload_id))

    # -- between Redis and the storage

    def _fetch(self, caller: Caller, bucket: str, upload_id: str) -> UploadRecord:
        stored, owner = self._whole(caller, bucket, upload_id, "upload", "bucket")
        if as_text(owner) != bucket:
            raise NoSuchUpload
        return _upload_decoder.decode(stored)

    def _whole(self, caller: Caller, bucket: str, upload_id: str, *fields: str) -> list[Any]:
        """Fields of an upload's hash, which is restored when it is missing or may have lost its end."""
        name = _name(upload_id)
        for _ in range(_ATTEMPTS):
            state, epoch, *values = self._redis.hmget(name, ["state", "epoch", *fields])
            if state in _FINAL or (state is not None and as_text(epoch) == self._epoch.of(name)):
                return values
            self._restore(caller, bucket, upload_id)
        raise _lost()

    def _run(self, caller: Caller, bucket: str, upload_id: str, script: Script, arguments: list[Any]) -> list[Any]:
        """Run a script that begins with the epoch; restore the upload when Redis does not know it."""
        name = _name(upload_id)
        for _ in range(_ATTEMPTS):
            epoch = self._epoch.of(name)
            answer: list[Any] = script(keys=[name], args=[epoch, *arguments])
            # A connection that was made anew meanwhile may have led to a server that was restarted, or to a replica
            # that took over, and to a hash that bears the old epoch but lacks its end: repeated on the whole one.
            if answer[0] in _FINAL or (answer[0] != scripts.STALE and self._epoch.of(name) == epoch):
                return answer
            self._restore(caller, bucket, upload_id)
        raise _lost()

    def _write_new(self, bucket: str, upload: UploadRecord) -> None:
        """Write the hash of an upload that nobody else knows of yet."""
        name = _name(upload.id)
        fields: dict[Any, Any] = {
            "state": "open",
            "upload": _encode(upload),
            "bucket": bucket,
            "epoch": self._epoch.of(name),
        }
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.hset(name, mapping=fields)
        pipeline.pexpire(name, OPEN_LIFETIME_MS)
        pipeline.execute()

    def _restore(self, caller: Caller, bucket: str, upload_id: str) -> None:
        """Write into Redis what the storage knows of an upload. Raises `NoSuchUpload`.

        Whoever waited for the lock finds the work done.
        """
        name = _name(upload_id)
        with lock(self._redis, _lock_name(upload_id), lifetime=RESTORE_SECONDS, wait=RESTORE_PATIENCE) as token:
            epoch = self._redis.hget(name, "epoch")
            if as_text(epoch) == self._epoch.of(name):
                return
            stored = self._backend.load_upload(caller, bucket, upload_id)
            # Of several parts of one number the last counts.
            parts = {f"p{part.number}": _encode(part) for part in stored.parts}
            fields: dict[str, Any] = {"state": "open", **parts}
            if stored.completed is not None:
                fields = {"state": "done", "result": _encode(stored.completed)}
            fields |= {"upload": _encode(stored.upload), "bucket": bucket, "epoch": self._epoch.of(name)}
            flat = [value for pair in fields.items() for value in pair]
            self._restore_hash(keys=[name, _lock_name(upload_id)], args=[token, OPEN_LIFETIME_MS, *flat])


def _lost() -> redis.RedisError:
    return redis.ConnectionError("Redis lost an upload right after it was restored")


def _name(upload_id: str) -> str:
    """The upload's key; the braces keep all keys of one upload on one node of a cluster."""
    return PREFIX + "{" + upload_id + "}"


def _lock_name(upload_id: str) -> str:
    return _name(upload_id) + ":restore"
