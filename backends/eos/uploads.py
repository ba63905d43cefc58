"""Multipart uploads in EOS: parts go straight to their place, and a completion is a rename.

What is known of an upload lies in the gateway's state directory (`upload_states.py`), its data beside the object to be
(`upload_files.py`), as the client's own files. With ranges a part is written at its offset into a lane
(`upload_places.py`): the place is claimed by an attribute that only one can set, the part is complete here before its
first byte is sent, and it counts once its record is stored. A place is claimed once: a part that is sent again goes to
a file of its own, so that nothing acknowledged is ever written over by what may yet fail.

A completion closes the lane first and looks at the claims then, a part claims first and looks whether the lane is
closed then: so no part is written into what has become an object. Where every part lies where the object needs it, the
lane gets its last byte once more, for the size and the checksum, and is renamed. Parts with files of their own are
copied to their places before. Where the sizes do not fit, where the lane holds more than the object, or where ranges
are not used, the parts are read and written to a new file by this worker.

A range PUT that breaks off may cost a replica, or the file: a lane that has one replica left is not written any more,
the parts after that get files of their own, and the completion reads it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec

from backends.api import (
    BLOCK_SIZE,
    UPLOAD_MARK,
    BackendError,
    NoSuchBucket,
    NoSuchObject,
    NoSuchUpload,
    ObjectRecord,
    PartRecord,
    PartSource,
    Precondition,
    StorageUnavailable,
    StoredUpload,
    UploadRecord,
)
from backends.eos.data import HttpData, WrongFile
from backends.eos.failures import Exists
from backends.eos.interfaces import Entry, Role
from backends.eos.locks import Held, Locks
from backends.eos.namespace import Namespace
from backends.eos.options import Options
from backends.eos.places import Places
from backends.eos.publishing import Publisher
from backends.eos.registry import Registry
from backends.eos.spooling import Spooled
from backends.eos.upload_files import RangesRefused, UploadFiles, Weakened, new_name
from backends.eos.upload_places import Claim, Lane, PartPlace, Piece, best_lane, checksum_of, pieces_of
from backends.eos.upload_states import (
    CLAIM,
    CLOSED,
    COMPLETED,
    FILE,
    HOME,
    LANE,
    PART,
    UPLOAD,
    WEAK,
    Completed,
    Home,
    State,
    States,
    claim_value,
    part_values,
)

_LARGEST_OBJECT: Final = 5 << 40
_REMEMBERED: Final = 300.0
"""Seconds for which the layout of a directory is taken for granted."""
_REPLICA: Final = 1
"""The type of a layout with whole copies."""


class Uploads:
    """The uploads of one instance. `registry` knows the buckets' directories, `places` the objects' paths."""

    def __init__(
        self,
        options: Options,
        namespace: Namespace,
        data: HttpData,
        registry: Registry,
        places: Places,
        locks: Locks,
        publisher: Publisher,
        service: Role,
    ) -> None:
        self._options: Final = options
        self._registry: Final = registry
        self._places: Final = places
        self._locks: Final = locks
        self._publisher: Final = publisher
        self._states: Final = States(namespace, service, options.state)
        self._files: Final = UploadFiles(namespace, data, options.staging_layout)
        self._layouts: dict[str, tuple[float, bool]] = {}

    # -- begin, look, end

    def create(self, role: Role, bucket: str, upload: UploadRecord) -> None:
        """Begin an upload. Raises `NoSuchBucket`."""
        self._registry.must_exist(bucket)
        place = self._places.place(bucket, upload.key)
        home = Home(place.natural.rpartition("/")[0], role, self._options.multipart != "files")
        self._states.create(bucket, upload, home)

    def load(self, bucket: str, upload_id: str) -> StoredUpload:
        """All that is known of an upload. Raises `NoSuchUpload`."""
        state = self._present(bucket, self._states.whole(bucket, upload_id))
        assert state.upload is not None  # noqa: S101 -- `whole` gives no other one
        return StoredUpload(upload=state.upload, parts=state.parts, completed=self._published(state))

    def all(self, bucket: str) -> list[UploadRecord]:
        """The uploads of a bucket. Raises `NoSuchBucket`."""
        self._registry.must_exist(bucket)
        return self._states.uploads(bucket)

    def abort(self, role: Role, bucket: str, upload_id: str) -> None:
        """Remove an upload, or what a completion left of it. A missing one is no error."""
        try:
            with self._locks.hold(_lock(bucket, upload_id)):
                self._states.whole(bucket, upload_id)
                # Out of sight in one step; what follows, the sweep may end.
                self._states.set(bucket, upload_id, remove=(UPLOAD,))
                self._remove(role, bucket, upload_id)
        except NoSuchUpload:
            return

    def _remove(self, role: Role, bucket: str, upload_id: str) -> None:
        state = self._states.whole(bucket, upload_id, removed=True)
        for file in {*state.files, *(lane.file for lane in state.lanes)}:
            self._files.remove(role, state.path(file))
        self._states.remove(bucket, upload_id)
        try:
            self._places.prune(role, self._places.place(bucket, "-"), f"{state.home.directory}/-")
        except NoSuchBucket:
            pass

    def sweep(self, older_than: float) -> int:
        """Remove what is left of uploads that are over, or whose bucket is gone."""
        before = time.time_ns() - int(older_than * 1e9)
        removed = 0
        for directory in self._states.entries():
            bucket = directory.path.rpartition("/")[2]
            exists = self._exists(bucket)
            for entry in self._states.entries(bucket):
                if entry.mtime < before and not (exists and UPLOAD in entry.attributes):
                    self._sweep(bucket, entry)
                    removed += 1
        return removed

    def _sweep(self, bucket: str, entry: Entry) -> None:
        upload_id = entry.path.rpartition("/")[2]
        if HOME not in entry.attributes:
            self._states.remove(bucket, upload_id)
            return
        home = msgspec.json.decode(entry.attributes[HOME], type=Home)
        self._states.set(bucket, upload_id, remove=(UPLOAD,))
        try:
            self._remove(home.role, bucket, upload_id)
        except NoSuchUpload:
            pass

    def _exists(self, bucket: str) -> bool:
        try:
            self._registry.must_exist(bucket)
        except NoSuchBucket:
            return False
        return True

    def _present(self, bucket: str, state: State) -> State:
        """The upload as it is: a lane that has gone, an object now or lost, has no parts."""
        if state.completed is not None:
            return state
        lost = {
            lane.file
            for lane in state.lanes
            if lane.claims and not self._files.is_there(state.home.role, state.path(lane.file), lane.fid)
        }
        if not lost:
            return state
        parts = tuple(part for part in state.parts if part.place.split(":")[1] not in lost)
        return msgspec.structs.replace(state, parts=parts)

    # -- parts

    def put_part(self, role: Role, bucket: str, upload: UploadRecord, number: int, source: PartSource) -> PartRecord:
        """Store a part. Raises `NoSuchUpload`."""
        state = self._states.head(bucket, upload.id)
        if state.completed is not None and self._published(state) is not None:
            raise NoSuchUpload
        try:
            if self._uses_ranges(role, bucket, state):
                return self._put_spooled(role, bucket, state, number, source)
            return self._stream(role, bucket, state, number, source)
        except StorageUnavailable:
            # An abortion takes the files away from who is writing: then that is the reason.
            self._states.head(bucket, upload.id)
            raise

    def _put_spooled(self, role: Role, bucket: str, state: State, number: int, source: PartSource) -> PartRecord:
        body = Spooled(source, self._options.part_buffer, self._options.spool)
        try:
            record = source.record()
            part = self._put_in_lane(role, bucket, state, number, body, record) if body.size else None
            return part or self._put_in_file(role, bucket, state, number, body, record)
        finally:
            body.close()

    def _uses_ranges(self, role: Role, bucket: str, state: State) -> bool:
        """Whether parts are written into lanes: `multipart = "auto"` goes by the layout that files get there."""
        if not state.home.ranges or self._options.multipart == "offset" or state.lanes:
            return state.home.ranges
        known = self._layouts.get(state.home.directory)
        if known is not None and time.monotonic() - known[0] < _REMEMBERED:
            return known[1]
        file = new_name()
        entry = self._files.make_lane(role, state, self._registry.root(bucket), file)
        self._files.remove(role, state.path(file))
        replicas = (entry.layout >> 8 & 0xFF) + 1
        fits = entry.layout >> 4 & 0xF == _REPLICA and replicas > 1
        if len(self._layouts) > 1000:
            self._layouts.clear()
        self._layouts[state.home.directory] = (time.monotonic(), fits)
        return fits

    def _put_in_lane(
        self, role: Role, bucket: str, state: State, number: int, body: Spooled, record: PartRecord
    ) -> PartRecord | None:
        """Store a part at its offset; None when it has no place there."""
        lane = self._lane_for(role, bucket, state, body.size)
        if lane.file in state.weak:
            return None
        offset = (number - 1) * lane.part_size
        claim = Claim(number, body.size, done=False)
        if offset + body.size > _LARGEST_OBJECT or not self._claim(bucket, state, lane, claim):
            return None
        try:
            self._files.write_range(role, state, lane, offset, body.blocks, body.size)
        except WrongFile:
            self._lose(role, bucket, state, lane)
            return None
        except Weakened:
            self._states.set(bucket, state.id, {f"{WEAK}{lane.file}": b"1"})
            return None
        except RangesRefused:
            home = msgspec.structs.replace(state.home, ranges=False)
            self._states.set(bucket, state.id, {HOME: msgspec.json.encode(home)})
            return None
        place = PartPlace(True, lane.file, offset, body.adler32)
        part = msgspec.structs.replace(record, place=place.text())
        done = Claim(number, body.size, done=True)
        self._states.set_part(
            bucket, state.id, number, {**claim_value(done, lane.file), **part_values(part, lane.file)}
        )
        return part

    def _lane_for(self, role: Role, bucket: str, state: State, length: int) -> Lane:
        widest = max(state.lanes, default=None)
        if widest is not None and widest.part_size >= length:
            return widest
        file = new_name()
        path = state.path(file)
        entry = self._files.make_lane(role, state, self._registry.root(bucket), file)
        try:
            self._states.set(bucket, state.id, {f"{LANE}{length}": f"{file}.{entry.id}".encode("ascii")}, create=True)
        except Exists:
            # Another part of this length was faster.
            self._files.remove(role, path)
            lane = next((lane for lane in self._states.head(bucket, state.id).lanes if lane.part_size == length), None)
            if lane is None:
                raise StorageUnavailable("the parts of an upload were lost just now", retry_after=1) from None
            return lane
        except BaseException:
            self._files.remove(role, path)
            raise
        return Lane(length, file, entry.id)

    def _claim(self, bucket: str, state: State, lane: Lane, claim: Claim) -> bool:
        """Take a place, unless it was taken before or the lane is closed."""
        try:
            self._states.set_part(bucket, state.id, claim.number, claim_value(claim, lane.file), create=True)
        except Exists:
            return False
        if lane.file in self._states.head(bucket, state.id).closed:
            self._states.set_part(bucket, state.id, claim.number, remove=[f"{CLAIM}{lane.file}.{claim.number}"])
            return False
        return True

    def _lose(self, role: Role, bucket: str, state: State, lane: Lane) -> None:
        """Forget a lane that EOS has deleted (an interrupted range PUT), with the parts in it."""
        self._files.remove(role, state.path(lane.file))
        self._states.set(bucket, state.id, remove=(f"{LANE}{lane.part_size}",))

    def _put_in_file(
        self, role: Role, bucket: str, state: State, number: int, body: Spooled, record: PartRecord
    ) -> PartRecord:
        file = new_name()
        self._states.set_part(bucket, state.id, number, {f"{FILE}{file}": b"%d" % number})
        root = self._registry.root(bucket)
        self._files.write_again(role, state, root, file, body.blocks, body.size)
        return self._store(role, bucket, state, number, file, record, body.adler32)

    def _stream(self, role: Role, bucket: str, state: State, number: int, source: PartSource) -> PartRecord:
        """Store a part in a file of its own while it comes: one that breaks off takes nothing else with it."""
        file = new_name()
        self._states.set_part(bucket, state.id, number, {f"{FILE}{file}": b"%d" % number})
        blocks = iter(lambda: source.read(BLOCK_SIZE), b"")
        _, size, checksum = self._files.write_file(
            role, state, self._registry.root(bucket), file, blocks, source.length
        )
        try:
            if source.length is not None and source.length != size:
                raise ValueError(f"{source.length} bytes were announced and {size} came")
            record = source.record()
        except BaseException:
            self._files.remove(role, state.path(file))
            raise
        return self._store(role, bucket, state, number, file, record, checksum)

    def _store(
        self, role: Role, bucket: str, state: State, number: int, file: str, record: PartRecord, checksum: int
    ) -> PartRecord:
        part = msgspec.structs.replace(record, place=PartPlace(False, file, 0, checksum).text())
        try:
            self._states.set_part(bucket, state.id, number, part_values(part, file))
            # Aborted before that? Then the removal may have passed this file by.
            self._states.head(bucket, state.id)
        except NoSuchUpload:
            self._files.remove(role, state.path(file))
            raise
        return part

    def discard(self, role: Role, bucket: str, upload: UploadRecord, part: PartRecord) -> None:
        """Remove a part that was replaced, with its file if that is its own. A missing one is no error."""
        kind, file = part.place.split(":")[:2]
        try:
            state = self._states.head(bucket, upload.id)
            self._states.set_part(bucket, upload.id, part.number, remove=[f"{PART}{part.number}.{file}"])
            if kind == "file" and file.isalnum():
                self._files.remove(role, state.path(file))
                self._states.set_part(bucket, upload.id, part.number, remove=[f"{FILE}{file}"])
        except NoSuchUpload:
            return

    # -- completion

    def complete(
        self,
        role: Role,
        bucket: str,
        upload: UploadRecord,
        parts: Sequence[PartRecord],
        record: ObjectRecord,
        precondition: Precondition,
    ) -> ObjectRecord:
        """Publish the parts as one object; a second time, find that this was done. Raises `NoSuchUpload`."""
        with self._locks.hold(_lock(bucket, upload.id)) as (held,), self._renewed(held):
            state = self._states.whole(bucket, upload.id)
            before = self._published(state)
            if before is not None:
                return before
            known = {part.place for part in state.parts}
            if any(part.place not in known for part in parts):
                raise NoSuchUpload
            marked = record.replace(
                modified=record.modified or time.time_ns(), extra={**record.extra, UPLOAD_MARK: upload.id}
            )
            pieces = pieces_of(parts)
            lane = self._closed_lane(bucket, state, pieces)
            if lane is not None:
                try:
                    return self._complete_lane(role, bucket, state, lane, pieces, marked, precondition)
                except Weakened:
                    # What is left of it can be read.
                    self._states.set(bucket, state.id, {f"{WEAK}{lane.file}": b"1"})
            return self._complete_joined(role, bucket, state, pieces, marked, precondition)

    @contextmanager
    def _renewed(self, held: Held) -> Iterator[None]:
        """Keep a lock for longer than a lease: an FST may read for minutes to compute a checksum."""
        ended = threading.Event()

        def renew() -> None:
            while not ended.wait(self._locks.lease / 5):
                try:
                    held.note(b"")
                except BackendError:
                    # Too late or no answer: then it expires, and what another completion does is the same.
                    return

        thread = threading.Thread(target=renew, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _closed_lane(self, bucket: str, state: State, pieces: Sequence[Piece]) -> Lane | None:
        """The lane that becomes the object, closed for parts; None for none."""
        lane = best_lane(pieces, [lane for lane in state.lanes if lane.file not in state.weak])
        if lane is None:
            return None
        self._states.set(bucket, state.id, {f"{CLOSED}{lane.file}": b"1"})
        # Whoever has claimed a place and not seen this is seen now.
        again = self._states.whole(bucket, state.id).lane(lane.file)
        if again is not None and best_lane(pieces, [again]) is not None:
            return again
        self._reopen(bucket, state, lane)
        return None

    def _reopen(self, bucket: str, state: State, lane: Lane) -> None:
        self._states.set(bucket, state.id, remove=(f"{CLOSED}{lane.file}",))

    def _complete_lane(
        self,
        role: Role,
        bucket: str,
        state: State,
        lane: Lane,
        pieces: Sequence[Piece],
        record: ObjectRecord,
        precondition: Precondition,
    ) -> ObjectRecord:
        checksum = checksum_of(pieces)
        size = sum(piece.length for piece in pieces)
        try:
            for piece in pieces:
                if piece.place.file != lane.file:
                    self._files.copy_into(role, state, lane, piece)
            self._files.finish_lane(role, state, lane, size, checksum, finalize=self._options.finalize)
            return self._publish(role, bucket, state, lane.file, lane.fid, record, checksum, precondition)
        except WrongFile:
            raise NoSuchUpload from None
        except BaseException:
            self._give_up(bucket, state, lane)
            raise

    def _give_up(self, bucket: str, state: State, lane: Lane) -> None:
        """After a completion that failed: parts may come again, unless it was published after all."""
        try:
            if self._published(self._states.head(bucket, state.id)) is None:
                self._states.set(bucket, state.id, remove=(COMPLETED,))
                self._reopen(bucket, state, lane)
        except BackendError:
            # It stays closed: parts go to files of their own, and the next completion closes it anyway.
            pass

    def _complete_joined(
        self,
        role: Role,
        bucket: str,
        state: State,
        pieces: Sequence[Piece],
        record: ObjectRecord,
        precondition: Precondition,
    ) -> ObjectRecord:
        file = new_name()
        size = sum(piece.length for piece in pieces)
        checksum = checksum_of(pieces)
        self._states.set_part(bucket, state.id, 0, {f"{FILE}{file}": b"0"})
        root = self._registry.root(bucket)
        fid, _, written = self._files.write_again(
            role, state, root, file, lambda: self._files.joined(role, state, pieces), size
        )
        try:
            if written != checksum:
                raise StorageUnavailable(f"parts were damaged: {written:08x} came and {checksum:08x} was sent")
            return self._publish(role, bucket, state, file, fid, record, checksum, precondition)
        except BaseException:
            if self._files.is_there(role, state.path(file), fid):
                # The note goes first: without the file it would say that this is the object.
                self._states.set(bucket, state.id, remove=(COMPLETED,))
                self._files.remove(role, state.path(file))
                self._states.set_part(bucket, state.id, 0, remove=[f"{FILE}{file}"])
            raise

    def _publish(
        self,
        role: Role,
        bucket: str,
        state: State,
        file: str,
        fid: int,
        record: ObjectRecord,
        checksum: int,
        precondition: Precondition,
    ) -> ObjectRecord:
        assert state.upload is not None  # noqa: S101 -- it is being completed
        note = Completed(file, fid, record)
        self._states.set(bucket, state.id, {COMPLETED: msgspec.json.encode(note)})
        try:
            return self._publisher.publish_file(
                role,
                bucket,
                state.upload.key,
                state.path(file),
                record,
                f"{checksum:08x}",
                precondition,
            )
        except NoSuchObject:
            # Either the precondition asks for an object, or the file has gone: then another completion was faster.
            before = self._published(self._states.head(bucket, state.id))
            if before is None:
                raise
            return before

    def _published(self, state: State) -> ObjectRecord | None:
        """The record of the object that the upload has become; None while its file still has its hidden name."""
        note = state.completed
        if note is None or self._files.is_there(state.home.role, state.path(note.file), note.fid):
            return None
        return note.record


def _lock(bucket: str, upload_id: str) -> str:
    return f"upload {bucket}/{upload_id}"
