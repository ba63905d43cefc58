"""How objects come, change and go.

A new object is written by EOS's atomic upload, its record an attribute of the hidden file before the last byte is sent
(`interfaces.py`): EOS swaps it in for the old one under the namespace's lock. What is stored already (a completed
upload, a copy, another key) is renamed into its place; EOS's rename does not replace, so the old object is unlinked
first. What is about to happen is noted in the key's lock before that: readers who find nothing look there and wait, and
whoever takes a dead holder's lock away ends it. Between the two steps only clients that do not come through a gateway
find nothing.

Every change holds the lock of its key from the check of its precondition to its publication, and so excludes every
other gateway's (`lock_writes = false` leaves that out for writes without a precondition). An atomic upload that was
begun before another one of the same name cannot be finished after it: where that one is published, this one counts as
published right before it; where it is not, the client is asked to try again.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from backends.api import (
    BLOCK_SIZE,
    BackendError,
    DeleteOutcome,
    NoSuchObject,
    ObjectRecord,
    PermissionDenied,
    Precondition,
    Source,
    StorageUnavailable,
)
from backends.eos.attributes import ATTRIBUTE, LONGEST_IN_QUERY, encoded, re_encoded, record_of, recorded
from backends.eos.data import HttpData
from backends.eos.failures import Exists, Missing
from backends.eos.interfaces import CloseFailed, Entry, MissingParent, NotAFile, Role, Unanswered, Writing, Written
from backends.eos.layout import key_lock
from backends.eos.locks import Held, Locks
from backends.eos.moving import Move, Unfinished, finish
from backends.eos.namespace import Namespace
from backends.eos.options import Options
from backends.eos.places import Place, Places
from backends.eos.registry import Registry
from backends.eos.removal import remove_file
from backends.eos.settling import Settler

_TRIES: Final = 12
"""How often a step is begun anew because directories come and go, or because another writer was faster."""

_PAUSE: Final = 0.02


class _Failed(Exception):
    """One try of a write failed; another one may succeed."""


class _Body:
    """The beginning of a source, its checksum, and whether it is all."""

    def __init__(self, source: Source, limit: int) -> None:
        self.source = source
        self.blocks: list[bytes] = []
        self.size = 0
        self.adler32 = 1
        self.whole = False
        while self.size <= limit:
            if not self._take(source.read(min(BLOCK_SIZE, limit + 1 - self.size))):
                self.whole = True
                return

    def _take(self, block: bytes) -> bool:
        if block:
            self.blocks.append(block)
            self._count(block)
        return bool(block)

    def _count(self, block: bytes) -> None:
        self.size += len(block)
        self.adler32 = zlib.adler32(block, self.adler32)

    def rest(self) -> Iterator[bytes]:
        """All blocks, the first ones included. Raises `ValueError` when more come than were announced."""
        announced = self.source.length
        size = 0
        for block in self.blocks:
            size += len(block)
            yield block
        self.blocks.clear()
        while block := self.source.read(BLOCK_SIZE):
            self._count(block)
            if announced is not None and self.size > announced:
                self.check()
            yield block

    def check(self) -> None:
        """Raises `ValueError` when another number of bytes came than was announced."""
        announced = self.source.length
        if announced is not None and announced != self.size:
            raise ValueError(f"{announced} bytes were announced and {self.size} came")

    @property
    def checksum(self) -> str:
        return f"{self.adler32:08x}"


class Publisher:
    """Puts, deletes, renames and changes objects."""

    def __init__(
        self,
        options: Options,
        namespace: Namespace,
        data: HttpData,
        settler: Settler,
        registry: Registry,
        places: Places,
        locks: Locks,
    ) -> None:
        self._options: Final = options
        self._namespace: Final = namespace
        self._data: Final = data
        self._settler: Final = settler
        self._registry: Final = registry
        self._places: Final = places
        self._locks: Final = locks

    # -- writing

    def put(self, role: Role, bucket: str, key: str, source: Source, check: Precondition) -> ObjectRecord:
        """Store an object, see `Backend.put_object`."""
        place = self._places.place(bucket, key)
        body = _Body(source, self._options.buffered)
        if not body.whole:
            return self._put_streamed(role, place, body, check)
        body.check()
        record = _stamped(source.record())
        with self._changing(place, check):
            return self._put_buffered(role, place, body, record, check)

    def _put_buffered(
        self, role: Role, place: Place, body: _Body, record: ObjectRecord, check: Precondition
    ) -> ObjectRecord:
        """Write it until it is there: the body is at hand, and what an FST has dropped is sent to the next one."""
        tried: list[int] = []
        pause = _PAUSE
        for attempt in range(self._options.retries + 1):
            if self._check(role, place, check, tried, body):
                return record
            try:
                if self._write(role, place, body, record, check, tried):
                    return record
                reason = "other writers of the same name are always faster"
            except _Failed as error:
                reason = str(error)
            if attempt < self._options.retries:
                time.sleep(pause)
                pause *= 2
        self._withdraw(role, place, tried, body, check)
        raise StorageUnavailable(reason, retry_after=1)

    def _write(
        self, role: Role, place: Place, body: _Body, record: ObjectRecord, check: Precondition, tried: list[int]
    ) -> bool:
        """One try; whether it was published. Raises `_Failed`, and what is final."""
        value = encoded(record, body.checksum)
        in_query = len(value) <= LONGEST_IN_QUERY
        writing = self._begin(role, place, body.size, {ATTRIBUTE: value} if in_query else {})
        tried.append(writing.fid)
        try:
            # From now on no atomic upload that began before ours can be finished any more: neither an earlier try, nor,
            # where that holds no lock, another one's.
            doubtful = len(tried) > 1 or not (check.always or self._options.lock_writes)
            if doubtful and self._check(role, place, check, tried, body):
                return True
            if not in_query:
                self._namespace.set_attributes(role, writing.fid, {ATTRIBUTE: value.encode()})
            for block in body.blocks:
                writing.write(block)
            writing.finish()
        except (CloseFailed, Unanswered, StorageUnavailable, Missing) as error:
            writing.abort()
            if not self._is_published(role, place, writing.fid, check):
                raise _Failed(str(error)) from None
        finally:
            writing.abort()
        try:
            # Also of a file whose FST did not answer: it may be there and yet be cut short.
            self._settle(role, place, writing.fid, body, body.blocks[-1][-1:] if body.blocks else b"")
        except StorageUnavailable as error:
            raise _Failed(str(error)) from None
        return True

    def _put_streamed(self, role: Role, place: Place, body: _Body, check: Precondition) -> ObjectRecord:
        # Also at the end. Who is refused need not send it all.
        self._check(role, place, check)
        writing = self._begin(role, place, body.source.length, {})
        try:
            held = b""
            for block in body.rest():
                if held:
                    writing.write(held)
                held = block
            body.check()
            record = _stamped(body.source.record())
            with self._changing(place, check):
                self._check(role, place, check)
                value = encoded(record, body.checksum)
                self._namespace.set_attributes(role, writing.fid, {ATTRIBUTE: value.encode()})
                try:
                    writing.write(held)
                    writing.finish()
                except (CloseFailed, Unanswered) as error:
                    if not self._is_published(role, place, writing.fid, check):
                        raise StorageUnavailable(f"the upload was not published: {error}", retry_after=1) from None
                try:
                    self._settle(role, place, writing.fid, body, held[-1:])
                except StorageUnavailable:
                    self._withdraw(role, place, (writing.fid,), body, check)
                    raise
        except Missing as error:
            raise StorageUnavailable(f"the upload was removed while it was written: {error}", retry_after=1) from None
        finally:
            writing.abort()
        return record

    def _settle(self, role: Role, place: Place, fid: int, body: _Body, last: bytes) -> None:
        """See that EOS shows the whole body. Raises `Damaged`, `StorageUnavailable`."""
        written = Written(fid, body.size, body.checksum)
        self._settler.settle(role, lambda: self._places.find(role, place), written, last)

    def _withdraw(self, role: Role, place: Place, fids: Sequence[int], body: _Body, check: Precondition) -> None:
        """Remove an object that is refused because EOS does not come to show what was sent.

        One that readers are given whole all the same, because its record tells the size, stays where it may have
        replaced another one: a client that is told of a failure keeps one of the two.
        """
        try:
            entry = self._places.find(role, place)
            if entry is None or entry.id not in fids:
                return
            whole = entry.size and not self._settler.differs(recorded(entry), body.size, body.checksum)
            if not whole or _creates(check):
                remove_file(self._namespace, role, entry)
        except (StorageUnavailable, Missing):
            # What the client is told is the reason why it came to this.
            pass

    def _differs(self, entry: Entry, body: _Body) -> bool:
        return bool(self._settler.differs(entry, body.size, body.checksum))

    def _begin(self, role: Role, place: Place, length: int | None, attributes: dict[str, str]) -> Writing:
        """Open the file of a new object, its directories made."""
        path = place.natural
        for attempt in range(_TRIES):
            try:
                return self._data.begin_write(role, path, length=length, attributes=attributes)
            except MissingParent:
                self._places.make_parents(role, place, path)
            except NotAFile:
                path = place.displaced
            except StorageUnavailable:
                # Nothing more is told of a name that is a directory (EISDIR becomes 500).
                entry = self._namespace.stat(role, path) if path == place.natural else None
                if entry is None or not entry.directory:
                    raise
                path = place.displaced
            time.sleep(_PAUSE * attempt / 4)
        raise StorageUnavailable("the object's directory is always removed again", retry_after=1)

    def _is_published(self, role: Role, place: Place, fid: int, check: Precondition) -> bool:
        """Whether an upload that was not acknowledged is the object now, or was right before the present one.

        Ids only grow: what overtook it was begun later, and both were under way at the same time.
        """
        entry = self._places.find(role, place)
        return entry is not None and (entry.id == fid or (check.always and entry.id > fid))

    def _check(
        self,
        role: Role,
        place: Place,
        check: Precondition,
        tried: Sequence[int] = (),
        body: _Body | None = None,
    ) -> bool:
        """Check a precondition; True when the object is one of the tries of this very write, and whole.

        One that is not whole has met the precondition already, and is to be replaced.
        """
        if check.always and not tried:
            return False
        entry = self._places.find(role, place)
        if entry is not None and entry.id in tried:
            return body is None or not self._differs(entry, body)
        if entry is None:
            self._registry.must_exist(place.bucket)
        check.check(record_of(entry) if entry is not None else None)
        return False

    @contextmanager
    def _changing(self, place: Place, check: Precondition) -> Iterator[None]:
        """Hold the key's lock, against all gateways where there is something to compare."""
        key = key_lock(place.bucket, place.key)
        if check.always and not self._options.lock_writes:
            with self._locks.hold_here(key):
                yield
        else:
            with self._locks.hold(key, finish=self.finish):
                yield

    # -- changing

    def update(
        self, role: Role, bucket: str, key: str, change: Callable[[ObjectRecord], ObjectRecord]
    ) -> tuple[ObjectRecord, str]:
        """Replace a record, see `Backend.update_object`; also the file's path.

        By the file's id: what replaces the file meanwhile stays.
        """
        place = self._places.place(bucket, key)
        with self._locks.hold(key_lock(bucket, key), finish=self.finish):
            for _ in range(_TRIES):
                entry = self._required(role, place)
                before = record_of(entry)
                record = change(before).replace(modified=before.modified, size=before.size)
                try:
                    self._namespace.set_attributes(role, entry.id, {ATTRIBUTE: re_encoded(record, entry).encode()})
                except Missing:
                    continue
                return record, entry.path
        raise StorageUnavailable("the object is replaced all the time", retry_after=1)

    def delete(self, role: Role, bucket: str, key: str, check: Precondition) -> DeleteOutcome:
        """Remove an object, see `Backend.delete_object`."""
        place = self._places.place(bucket, key)
        with self._changing(place, check):
            entry = self._places.find(role, place)
            record = record_of(entry) if entry is not None else None
            if entry is None:
                self._registry.must_exist(bucket)
            check.check(record)
            # It may have had to make way for a directory after it was found.
            while entry is not None and not self._unlink(role, place, entry):
                entry = self._places.find(role, place)
            if entry is None:
                return DeleteOutcome()
        self._places.prune(role, place, entry.path)
        return DeleteOutcome(removed=record_of(entry))

    def _unlink(self, role: Role, place: Place, entry: Entry) -> bool:
        """Remove an object under both its names; False when it is under neither."""
        if entry.path == place.displaced:
            return self._namespace.unlink(role, entry.path)
        # Hidden by the natural file since its directory is gone, it must not come back. Or it is this very file, which
        # has made way for a directory meanwhile.
        displaced = self._namespace.unlink(role, place.displaced)
        return self._namespace.unlink(role, entry.path) or displaced

    def _required(self, role: Role, place: Place) -> Entry:
        entry = self._places.find(role, place)
        if entry is None:
            self._registry.must_exist(place.bucket)
            raise NoSuchObject(place.key)
        return entry

    # -- renaming

    def rename(
        self, role: Role, bucket: str, source: str, target: str, source_check: Precondition, target_check: Precondition
    ) -> ObjectRecord:
        """Give an object another key, see `Backend.rename_object`."""
        from_place, to_place = self._places.place(bucket, source), self._places.place(bucket, target)
        with self._locks.hold(key_lock(bucket, source), key_lock(bucket, target), finish=self.finish) as held:
            entry = self._required(role, from_place)
            source_check.check(record_of(entry))
            self._check(role, to_place, target_check)
            if source == target:
                return record_of(entry)
            lock = held[0] if key_lock(bucket, target) <= key_lock(bucket, source) else held[-1]
            self._move(role, lambda: self._required(role, from_place).path, entry.id, to_place, lock)
        self._places.prune(role, from_place, entry.path)
        return record_of(entry)

    def publish_file(
        self,
        role: Role,
        bucket: str,
        key: str,
        staged: str,
        written: Written,
        record: ObjectRecord,
        check: Precondition,
    ) -> ObjectRecord:
        """Rename a finished file to the object's path, see `interfaces.Publisher`."""
        place = self._places.place(bucket, key)
        record = _stamped(record)
        value = encoded(record, written.adler32 or None).encode()
        with _gone_is(NoSuchObject(staged)):
            self._settler.require(role, staged, written)
        with self._locks.hold(key_lock(bucket, key), finish=self.finish) as held:
            self._check(role, place, check)
            with _gone_is(NoSuchObject(staged)):
                self._namespace.set_attributes(role, written.fid, {ATTRIBUTE: value})
            self._move(role, lambda: staged, written.fid, place, held[0])
        return record

    def _move(self, role: Role, find: Callable[[], str], fid: int, place: Place, lock: Held) -> None:
        """Rename the file of this id to an object's path, in the place of what is there.

        `find` gives the file's path: it may have to make way for a directory of the new one. Once what is there may
        have gone, the lock is only given back when the file has come: a failure leaves it, with its note, to whoever
        finds it expired, and raises `Unfinished`.
        """
        try:
            for attempt in range(_TRIES):
                if self._moved(role, find(), fid, place, lock, final=attempt == _TRIES - 1):
                    return
                time.sleep(_PAUSE * attempt / 4)
            raise StorageUnavailable("the object's directory is always removed again", retry_after=1)
        except NoSuchObject:
            raise
        except BaseException as error:
            if lock.leave() and isinstance(error, BackendError):
                raise Unfinished(str(error), retry_after=1) from error
            raise

    def _moved(self, role: Role, source: str, fid: int, place: Place, lock: Held, *, final: bool) -> bool:
        """One try to rename a file; whether it is where it belongs. Raises `NoSuchObject` when it has gone."""
        current = self._places.find(role, place)
        if current is not None and current.id == fid:
            # The answer to an earlier try was lost.
            return True
        target = self._places.target(role, place)
        try:
            if current is not None:
                if _directory(source) != _directory(current.path) and self._left(role, source, current.path):
                    return True
                lock.note(Move(source, target, role.uid, role.gid, place.root).text())
                try:
                    if current.path != place.displaced:
                        self._namespace.unlink(role, place.displaced)
                    self._namespace.unlink(role, current.path)
                except PermissionDenied:
                    # A refusal is an answer: the old object is there, and stays.
                    lock.withdraw()
                    raise
            self._namespace.rename(role, source, target)
        except Missing:
            if self._namespace.stat(role, source) is None:
                raise NoSuchObject(source) from None
            self._places.make_parents(role, place, target)
        except Exists:
            pass
        except StorageUnavailable:
            if final or not lock.safe:
                raise
        else:
            return True
        return False

    def _left(self, role: Role, source: str, occupied: str) -> bool:
        """Whether a file could be renamed to a path that another one was at. Raises `PermissionDenied`.

        What is there is not removed for a file that may not leave its own directory, and EOS says that first: it finds
        the target occupied only where the caller has the rights.
        """
        try:
            self._namespace.rename(role, source, occupied)
        except Exists:
            return False
        return True

    def finish(self, note: bytes) -> None:
        """End what a holder of a lock was doing when it died."""
        finish(self._namespace, note)


def _directory(path: str) -> str:
    return path.rpartition("/")[0]


def _creates(check: Precondition) -> bool:
    """Whether what is written under this condition replaces nothing."""
    return check.if_none_match == ("*",)


@contextmanager
def _gone_is(error: Exception) -> Iterator[None]:
    try:
        yield
    except Missing as missing:
        raise error from missing


def _stamped(record: ObjectRecord) -> ObjectRecord:
    return record if record.modified else record.replace(modified=time.time_ns())
