"""Multipart uploads in EOS: parts go straight to their place, and a completion (`upload_completion.py`) is a rename.

What is known of an upload lies in the gateway's state directory (`upload_states.py`), its data beside the object to be
(`upload_files.py`), as the client's own files. With ranges a part is written at its offset into a lane
(`upload_places.py`): the place is claimed by an attribute that only one can set, the part is complete here before its
first byte is sent, and it counts once its record is stored. A place is claimed once: a part that is sent again goes to
a file of its own, so that nothing acknowledged is ever written over by what may yet fail.

A range PUT that breaks off may cost a replica, or the file: a lane that has one replica left is not written any more,
the parts after that get files of their own, and the completion reads it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import msgspec

from backends.api import (
    BLOCK_SIZE,
    NoSuchBucket,
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
from backends.eos.layout import key_lock
from backends.eos.locks import Locks
from backends.eos.namespace import Namespace
from backends.eos.options import Options
from backends.eos.places import Places
from backends.eos.publishing import Publisher
from backends.eos.registry import Registry
from backends.eos.settling import Settler
from backends.eos.spooling import Spooled
from backends.eos.upload_completion import Completion, upload_lock
from backends.eos.upload_files import RangesRefused, UploadFiles, Weakened, new_name
from backends.eos.upload_places import Claim, Lane, PartPlace
from backends.eos.upload_states import (
    CLAIM,
    FILE,
    HOME,
    LANE,
    PART,
    UPLOAD,
    WEAK,
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
        settler: Settler,
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
        self._files: Final = UploadFiles(namespace, data, settler, options.staging_layout)
        self._completion: Final = Completion(options, registry, locks, publisher, self._states, self._files)
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
        return StoredUpload(upload=state.upload, parts=state.parts, completed=self._completion.published(state))

    def all(self, bucket: str) -> list[UploadRecord]:
        """The uploads of a bucket. Raises `NoSuchBucket`."""
        self._registry.must_exist(bucket)
        return self._states.uploads(bucket)

    def abort(self, role: Role, bucket: str, upload_id: str) -> None:
        """Remove an upload, or what a completion left of it. A missing one is no error."""
        try:
            with self._locks.hold(upload_lock(bucket, upload_id)):
                self._end_move(bucket, self._states.whole(bucket, upload_id))
                # Out of sight in one step; what follows, the sweep may end.
                self._states.set(bucket, upload_id, remove=(UPLOAD,))
                self._remove(role, bucket, upload_id)
        except NoSuchUpload:
            return

    def _end_move(self, bucket: str, state: State) -> None:
        """See that a completion which broke off in the middle of its rename is not in need of its file any more."""
        if state.completed is None or state.upload is None or self._completion.published(state) is not None:
            return
        with self._locks.hold(key_lock(bucket, state.upload.key), finish=self._publisher.finish):
            pass

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
        if state.completed is not None and self._completion.published(state) is not None:
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
        if state.completed is not None and self._completion.published(state) is not None:
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
        written = self._files.write_file(role, state, self._registry.root(bucket), file, blocks, source.length)
        try:
            if source.length is not None and source.length != written.size:
                raise ValueError(f"{source.length} bytes were announced and {written.size} came")
            record = source.record()
        except BaseException:
            self._files.remove(role, state.path(file))
            raise
        return self._store(role, bucket, state, number, file, record, int(written.adler32, 16))

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
        return self._completion.complete(role, bucket, upload, parts, record, precondition)
