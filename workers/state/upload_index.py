"""The open uploads of each bucket in Redis, in the order of ListMultipartUploads.

Two keys a bucket: a sorted set of all scores 0, which Redis orders by the bytes of its members, and a hash of what a
list shows of an upload. `ready` holds the run id of the server in which the index was known to be whole; where it does
not match, the index is completed from the storage. It expires after a day, so that whatever killed processes left wrong
is put right; the other two expire when nothing was added for longer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec
import redis

from backends.api import Backend, Caller, UploadRecord
from backends.listing import common_prefix
from workers.state.epoch import Epoch
from workers.state.locks import lock
from workers.state.redis import as_bytes, as_text

PREFIX: Final = "shardgate:v1:uploads:"
REBUILD_SECONDS: Final = 300.0
REBUILD_PATIENCE: Final = 20.0
"""Seconds that others wait for a rebuilding before they tell the client to come back."""
READY_MS: Final = 86_400_000
INDEX_MS: Final = 8 * 86_400_000
_ATTEMPTS: Final = 3
_CHUNK: Final = 1000
_WRITTEN: Final = 250
"""Entries that one command adds or removes. Redis answers nobody else meanwhile: to a thousand, for 8 ms when busy."""

# An order-keeping escape: NUL becomes 00 FF, and 00 01 ends the key, so that no key's entries come between another's.
_NUL: Final = b"\x00"
_ESCAPED: Final = b"\x00\xff"
_END: Final = b"\x00\x01"


class ListedUpload(msgspec.Struct, frozen=True):
    """What ListMultipartUploads shows of an upload."""

    key: str
    id: str
    initiated: int
    owner: str
    storage_class: str
    algorithm: str
    checksum_type: str


class UploadsPage(NamedTuple):
    """Uploads and common prefixes in order; the markers of the next page, None on the last."""

    uploads: list[ListedUpload]
    prefixes: list[str]
    next_key: str | None
    next_id: str


_ID: Final = 48
"""Characters of an upload id, the end of each member."""

_decoder = msgspec.json.Decoder(ListedUpload)
_encode = msgspec.json.Encoder().encode


def _escaped(text: str) -> bytes:
    return text.encode().replace(_NUL, _ESCAPED)


def _member(key: str, upload_id: str) -> bytes:
    return _escaped(key) + _END + upload_id.encode()


def _listed(upload: UploadRecord) -> ListedUpload:
    return ListedUpload(
        key=upload.key,
        id=upload.id,
        initiated=upload.initiated,
        owner=upload.owner,
        storage_class=upload.draft.storage_class,
        algorithm=upload.algorithm if upload.announced else "",
        checksum_type=upload.checksum_type if upload.announced else "",
    )


class UploadIndex:
    """Adds, removes and lists; rebuilds itself from the storage."""

    def __init__(self, client: redis.Redis, epoch: Epoch, backend: Backend) -> None:
        self._redis = client
        self._epoch = epoch
        self._backend = backend

    def add(self, bucket: str, upload: UploadRecord) -> None:
        """Show an upload in lists."""
        self._add(bucket, [upload])

    def remove(self, bucket: str, upload: UploadRecord) -> None:
        """Show it no more."""
        self._remove(bucket, [_member(upload.key, upload.id)])

    def forget(self, bucket: str) -> None:
        """The bucket is gone."""
        self._redis.delete(_order(bucket), _details(bucket), _ready(bucket))

    def page(
        self,
        caller: Caller,
        bucket: str,
        *,
        prefix: str,
        delimiter: str,
        key_marker: str,
        id_marker: str,
        limit: int,
    ) -> UploadsPage:
        """One page of the open uploads; markers exclusive, `id_marker` only counts beside a `key_marker`."""
        for _ in range(_ATTEMPTS):
            self._make_ready(caller, bucket)
            page = self._page(bucket, prefix, delimiter, _start(prefix, delimiter, key_marker, id_marker), limit)
            if self._is_ready(bucket):
                return page
        raise redis.ConnectionError("Redis keeps losing the index of uploads")

    def prune(self, caller: Caller, bucket: str) -> list[str]:
        """Drop entries without an upload; returns the ids."""
        shown = {member for member, _ in self._redis.zscan_iter(_order(bucket), count=_CHUNK)}
        if not shown:
            return []
        # An upload is in the storage before it is in the index: what is missing there now has ended.
        present = {_member(upload.key, upload.id) for upload in self._backend.list_uploads(caller, bucket)}
        gone = shown - present
        self._drop(bucket, gone)
        return [_parsed(member)[1] for member in gone]

    def _page(self, bucket: str, prefix: str, delimiter: str, position: bytes, limit: int) -> UploadsPage:
        members: list[bytes] = []
        prefixes: list[str] = []
        last_key, last_id = "", ""
        while True:
            following = None
            # Of a group one member is needed, and most groups have more than that.
            first = 4 if delimiter else limit + 1
            for member in self._scan(bucket, prefix, position, first):
                key, upload_id = _parsed(member)
                group = common_prefix(key, prefix, delimiter)
                if len(members) + len(prefixes) == limit:
                    return UploadsPage(self._details(bucket, members), prefixes, last_key, last_id)
                if group is not None:
                    prefixes.append(group)
                    last_key, last_id = group, ""
                    following = _escaped(group) + b"\xff"
                    break
                members.append(member)
                last_key, last_id = key, upload_id
            if following is None:
                return UploadsPage(self._details(bucket, members), prefixes, None, "")
            position = following

    def _scan(self, bucket: str, prefix: str, position: bytes, count: int) -> Iterator[bytes]:
        """Members behind `position` whose key begins with `prefix`; fetched by `count` first, then by more."""
        start = _escaped(prefix)
        low = b"(" + position if position >= start else b"[" + start
        high = b"(" + start + b"\xff" if start else b"+"
        while True:
            found = self._redis.zrangebylex(_order(bucket), low, high, start=0, num=count)
            chunk = [as_bytes(member) for member in found]
            yield from chunk
            if len(chunk) < count:
                return
            low = b"(" + chunk[-1]
            count = min(4 * count, _CHUNK)

    def _details(self, bucket: str, members: list[bytes]) -> list[ListedUpload]:
        if not members:
            return []
        values = self._redis.hmget(_details(bucket), [member[-_ID:] for member in members])
        # One that was ended meanwhile has no details any more.
        return [_decoder.decode(value) for value in values if value is not None]

    def _make_ready(self, caller: Caller, bucket: str) -> None:
        if self._is_ready(bucket):
            return
        with lock(self._redis, _ready(bucket) + ":lock", lifetime=REBUILD_SECONDS, wait=REBUILD_PATIENCE):
            if not self._is_ready(bucket):
                self._rebuild(caller, bucket)

    def _is_ready(self, bucket: str) -> bool:
        epoch = self._redis.get(_ready(bucket))
        return as_text(epoch) == self._epoch.of(_ready(bucket))

    def _rebuild(self, caller: Caller, bucket: str) -> None:
        """Add what the storage lists, then remove what it does not list any more.

        Uploads begin and end meanwhile and keep the index themselves. What is removed here was in the index or in the
        first list before, and is not in the second: it ended, and its own removal may have come before our adding.
        """
        epoch = self._epoch.of(_ready(bucket))
        before = {member for member, _ in self._redis.zscan_iter(_order(bucket), count=_CHUNK)}
        chunk: list[UploadRecord] = []
        for upload in self._backend.list_uploads(caller, bucket):
            chunk.append(upload)
            before.add(_member(upload.key, upload.id))
            if len(chunk) == _WRITTEN:
                self._add(bucket, chunk)
                chunk = []
        self._add(bucket, chunk)
        present = {_member(upload.key, upload.id) for upload in self._backend.list_uploads(caller, bucket)}
        self._drop(bucket, before - present)
        self._redis.set(_ready(bucket), epoch, px=READY_MS)

    def _drop(self, bucket: str, members: Iterable[bytes]) -> None:
        gone = sorted(members)
        for start in range(0, len(gone), _WRITTEN):
            self._remove(bucket, gone[start : start + _WRITTEN])

    def _add(self, bucket: str, uploads: list[UploadRecord]) -> None:
        if not uploads:
            return
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.hset(_details(bucket), mapping={upload.id: _encode(_listed(upload)) for upload in uploads})
        pipeline.zadd(_order(bucket), {_member(upload.key, upload.id): 0 for upload in uploads})
        pipeline.pexpire(_order(bucket), INDEX_MS)
        pipeline.pexpire(_details(bucket), INDEX_MS)
        pipeline.execute()

    def _remove(self, bucket: str, members: list[bytes]) -> None:
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.zrem(_order(bucket), *members)
        pipeline.hdel(_details(bucket), *(member[-_ID:] for member in members))
        pipeline.execute()


def _parsed(member: bytes) -> tuple[str, str]:
    key = member[: -_ID - len(_END)].replace(_ESCAPED, _NUL).decode()
    return key, member[-_ID:].decode()


def _start(prefix: str, delimiter: str, key_marker: str, id_marker: str) -> bytes:
    """The position behind which a page begins."""
    if not key_marker:
        return b""
    if key_marker.startswith(prefix) and common_prefix(key_marker, prefix, delimiter) == key_marker:
        return _escaped(key_marker) + b"\xff"
    if id_marker:
        return _member(key_marker, id_marker)
    # Behind all uploads of the marker's key: ids begin with a hexadecimal digit.
    return _escaped(key_marker) + _END + b"\xff"


def _order(bucket: str) -> str:
    return PREFIX + "{" + bucket + "}"


def _details(bucket: str) -> str:
    return _order(bucket) + ":details"


def _ready(bucket: str) -> str:
    return _order(bucket) + ":ready"
