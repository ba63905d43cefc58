"""How the parts of an upload become an object.

A completion closes the lane first and looks at the claims then, a part claims first and looks whether the lane is
closed then: so no part is written into what has become an object. Where every part lies where the object needs it, the
lane gets its last byte once more, for the size and the checksum, and is renamed. Parts with files of their own are
copied to their places before. Where the sizes do not fit, where the lane holds more than the object, or where ranges
are not used, the parts are read and written to a new file by this worker.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import msgspec

from backends.api import (
    UPLOAD_MARK,
    BackendError,
    NoSuchObject,
    NoSuchUpload,
    ObjectRecord,
    PartRecord,
    Precondition,
    StorageUnavailable,
    UploadRecord,
)
from backends.eos.data import WrongFile
from backends.eos.interfaces import Role, Written
from backends.eos.locks import Held, Locks
from backends.eos.moving import Unfinished
from backends.eos.options import Options
from backends.eos.publishing import Publisher
from backends.eos.registry import Registry
from backends.eos.upload_files import UploadFiles, Weakened, new_name
from backends.eos.upload_places import Lane, Piece, best_lane, checksum_of, pieces_of
from backends.eos.upload_states import CLOSED, COMPLETED, FILE, PUBLISHED, WEAK, Completed, State, States


def upload_lock(bucket: str, upload_id: str) -> str:
    """The name of the lock that a completion or an abortion holds."""
    return f"upload {bucket}/{upload_id}"


class Completion:
    """Completes the uploads of one instance, whose attributes are `states` and whose data are `files`."""

    def __init__(
        self,
        options: Options,
        registry: Registry,
        locks: Locks,
        publisher: Publisher,
        states: States,
        files: UploadFiles,
    ) -> None:
        self._options: Final = options
        self._registry: Final = registry
        self._locks: Final = locks
        self._publisher: Final = publisher
        self._states: Final = states
        self._files: Final = files

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
        with self._locks.hold(upload_lock(bucket, upload.id)) as (held,), self._renewed(held):
            state = self._states.whole(bucket, upload.id)
            before = self.published(state)
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
            written = Written(lane.fid, size, f"{checksum:08x}")
            return self._publish(role, bucket, state, lane.file, written, record, precondition)
        except WrongFile:
            raise NoSuchUpload from None
        except Unfinished:
            raise
        except BaseException:
            self._give_up(bucket, state, lane)
            raise

    def _give_up(self, bucket: str, state: State, lane: Lane) -> None:
        """After a completion that failed: parts may come again, unless it was published after all."""
        try:
            if self.published(self._states.head(bucket, state.id)) is None:
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
        checksum = f"{checksum_of(pieces):08x}"
        self._states.set_part(bucket, state.id, 0, {f"{FILE}{file}": b"0"})
        root = self._registry.root(bucket)
        written = self._files.write_again(
            role, state, root, file, lambda: self._files.joined(role, state, pieces), size
        )
        try:
            if written.adler32 != checksum:
                raise StorageUnavailable(f"parts were damaged: {written.adler32} came and {checksum} was sent")
            return self._publish(role, bucket, state, file, written, record, precondition)
        except Unfinished:
            raise
        except BaseException:
            if self._files.is_there(role, state.path(file), written.fid):
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
        written: Written,
        record: ObjectRecord,
        precondition: Precondition,
    ) -> ObjectRecord:
        assert state.upload is not None  # noqa: S101 -- it is being completed
        note = Completed(file, written.fid, record)
        self._states.set(bucket, state.id, {COMPLETED: msgspec.json.encode(note)})
        try:
            published = self._publisher.publish_file(
                role,
                bucket,
                state.upload.key,
                state.path(file),
                written,
                record,
                precondition,
            )
        except NoSuchObject:
            # Either the precondition asks for an object, or the file has gone: then another completion was faster.
            before = self.published(self._states.head(bucket, state.id))
            if before is None:
                raise
            return before
        # As long as the file is there, its id tells the same.
        with suppress(BackendError):
            self._states.set(bucket, state.id, {PUBLISHED: file.encode("ascii")})
        return published

    def published(self, state: State) -> ObjectRecord | None:
        """The record of the object that the upload has become; None while it has not.

        That its file is not under its hidden name any more does not prove it: EOS may have deleted it. So it was noted,
        or the file is somewhere else.
        """
        note = state.completed
        if note is None:
            return None
        if state.published == note.file:
            return note.record
        entry = self._files.by_id(state.home.role, note.fid)
        if entry is None or entry.path == state.path(note.file):
            return None
        return note.record
