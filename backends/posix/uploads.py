"""Multipart uploads in the file system: parts go straight to their place, and a completion is a rename.

Each upload is a directory `uploads/<bucket>/<id>/`:

    upload      its record; the upload exists while this does. Locked (flock) by who completes or aborts
    data        the object to be, a lane as `part_places` explains them; `data-<P>` are further lanes
    part-size   the lane that new parts go to
    log         the parts that were stored, each noted and synchronized before it is acknowledged
    parts/      parts with no place in a lane: of a number that was sent before, or of a length that nobody announced
    object-*    the object to be, where it has to be put together
    completed   the object's record and the file that becomes the object; written just before it is published

A place in a lane is taken by a lock on its bytes (an open-file-description lock: the kernel frees it when its holder
dies, in whatever process), and only while it is a hole: so nothing that was acknowledged is ever written over, and a
part that is sent again goes to a file of its own. The lock is held until the part is noted in the log. A completion
locks all of the lane that becomes the object; who gets its lock later finds that the name is not that file's any more.

Where every part lies where the object needs it, the completion moves the lane and copies nothing. Parts from other
files are copied into their holes by the kernel. Where the sizes do not fit, or parts were stored that the object does
not have, the object is put together in a new file, by reference where the file system can share blocks.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from backends.api import (
    BLOCK_SIZE,
    UPLOAD_MARK,
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
from backends.faultpoints import reach
from backends.offload import offload
from backends.posix.attributes import RecordMoved, Records, sync_directory
from backends.posix.documents import write_file
from backends.posix.failures import translated
from backends.posix.joining import PUT_TOGETHER, joined
from backends.posix.layout import Layout, Place
from backends.posix.part_log import log_dropped, log_part, logged_parts
from backends.posix.part_places import (
    FIRST_LANE,
    file_place,
    lane_for,
    lane_place,
    location,
    own_file,
    placed,
)
from backends.posix.publishing import Publisher
from backends.posix.regions import Region, is_hole, lock_file, lock_region, punch_hole, unlink, write_at
from backends.posix.staging import INLINE, Staged, is_directory
from backends.posix.system import close
from backends.records import RecordError, decode_upload, encode

_LANE_FLAGS: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
_NEW_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_LARGEST_OBJECT: Final = 5 << 40
"""S3's limit. A file may not be able to have much more: ext4 ends at 16 TiB."""
_PATIENCE: Final = 30.0
"""Seconds that a completion or an abortion waits for another one of the same upload."""
_ATTEMPTS: Final = 100


class Completed(msgspec.Struct, frozen=True):
    """The note of a completion: `file` of the upload's directory is, or has become, the object of that record."""

    file: str
    record: ObjectRecord


_completed_decoder = msgspec.json.Decoder(Completed)


class Uploads:
    """The uploads below one DIR."""

    def __init__(
        self, layout: Layout, records: Records, publisher: Publisher, *, durable: bool, file_mode: int
    ) -> None:
        self._layout = layout
        self._records = records
        self._publisher = publisher
        self._durable = durable
        self._file_mode = file_mode

    def _directory(self, bucket: str, upload_id: str) -> str:
        if not upload_id.isalnum():
            raise NoSuchUpload
        return f"{self._layout.uploads}/{bucket}/{upload_id}"

    # -- begin, look, end

    @translated
    def create(self, bucket: str, upload: UploadRecord) -> None:
        """Begin an upload: its directory appears complete. Raises `NoSuchBucket`."""
        staged = self._layout.staged()
        directory = self._directory(bucket, upload.id)
        try:
            os.mkdir(staged, 0o700)
            os.mkdir(f"{staged}/parts", 0o700)
            for name, mode in ((FIRST_LANE, self._file_mode), ("log", 0o600)):
                close(os.open(f"{staged}/{name}", _NEW_FLAGS, mode))
            write_file(self._layout, f"{staged}/upload", encode(upload), durable=self._durable)
            self._put_in_place(staged, directory)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        if self._durable:
            offload(_sync_all, (directory, os.path.dirname(directory), self._layout.uploads))
        if not is_directory(self._layout.bucket(bucket)):
            self.abort(bucket, upload.id)
            raise NoSuchBucket(bucket)

    @staticmethod
    def _put_in_place(staged: str, directory: str) -> None:
        parent = os.path.dirname(directory)
        for _ in range(_ATTEMPTS):
            try:
                os.rename(staged, directory)
                return
            except FileNotFoundError:
                # The first upload of its bucket, or the last one before it has just gone, and the directory with it.
                os.makedirs(parent, mode=0o700, exist_ok=True)
        raise StorageUnavailable("the directory of a bucket's uploads keeps vanishing")

    @translated
    def load(self, bucket: str, upload_id: str) -> StoredUpload:
        """All that is known of an upload. Raises `NoSuchUpload`."""
        directory = self._directory(bucket, upload_id)
        upload = self._upload(directory)
        parts = offload(_present_parts, directory)
        return StoredUpload(upload=upload, parts=tuple(parts), completed=self._published(directory, bucket, upload))

    def all(self, bucket: str) -> list[UploadRecord]:
        """The uploads of a bucket."""
        return offload(self._all, bucket)

    @translated
    def _all(self, bucket: str) -> list[UploadRecord]:
        found = []
        for name in _names(f"{self._layout.uploads}/{bucket}"):
            try:
                found.append(self._upload(self._directory(bucket, name)))
            except NoSuchUpload:
                continue
        return found

    @staticmethod
    def _upload(directory: str) -> UploadRecord:
        try:
            with open(f"{directory}/upload", "rb", buffering=0) as file:
                return decode_upload(file.readall())
        except (FileNotFoundError, NotADirectoryError):
            raise NoSuchUpload from None
        except RecordError as error:
            raise StorageUnavailable(str(error)) from None

    def abort(self, bucket: str, upload_id: str) -> None:
        """Remove an upload: out of sight in one step. A missing one is no error."""
        directory = self._directory(bucket, upload_id)
        try:
            held = self._hold(directory)
        except NoSuchUpload:
            return
        try:
            translated(self._remove)(directory)
        finally:
            close(held)
        self._clean_up(os.path.dirname(directory))

    def _remove(self, directory: str) -> None:
        staged = self._layout.staged()
        os.rename(directory, staged)
        # What cannot be removed now, the sweep removes: the upload is gone either way.
        offload(shutil.rmtree, staged, ignore_errors=True)

    @translated
    def _clean_up(self, parent: str) -> None:
        if self._durable:
            offload(sync_directory, parent)
        try:
            os.rmdir(parent)
        except OSError:
            # Other uploads are in it; an empty one would harm nobody.
            pass

    @translated
    def forget(self, bucket: str) -> None:
        """The bucket is gone: remove its uploads."""
        try:
            self._remove(f"{self._layout.uploads}/{bucket}")
        except FileNotFoundError:
            pass

    def sweep(self, older_than: float) -> int:
        """Remove directories that are no uploads, changed `older_than` seconds ago or earlier; returns how many."""
        return offload(self._sweep, time.time() - older_than)

    @translated
    def _sweep(self, before: float) -> int:
        removed = 0
        for bucket in _names(self._layout.uploads):
            for name in _names(f"{self._layout.uploads}/{bucket}"):
                directory = f"{self._layout.uploads}/{bucket}/{name}"
                try:
                    if os.lstat(directory).st_ctime < before and not os.path.lexists(f"{directory}/upload"):
                        self._remove(directory)
                        removed += 1
                except FileNotFoundError:
                    continue
        return removed

    @translated
    def _hold(self, directory: str) -> int:
        """Become the only one who completes or aborts; ends with the closing of the descriptor."""
        path = f"{directory}/upload"
        try:
            descriptor = os.open(path, _LANE_FLAGS)
        except (FileNotFoundError, NotADirectoryError):
            raise NoSuchUpload from None
        try:
            if not lock_file(descriptor, patience=_PATIENCE):
                raise StorageUnavailable("the upload is being completed or removed by another process")
            if not _is_at(path, descriptor):
                raise NoSuchUpload
        except BaseException:
            close(descriptor)
            raise
        return descriptor

    # -- parts

    def put_part(self, bucket: str, upload: UploadRecord, number: int, source: PartSource) -> PartRecord:
        """Store a part in its place if that is free, else in a file of its own. Raises `NoSuchUpload`."""
        directory = self._directory(bucket, upload.id)
        claimed = self._claim(directory, number, source.length)
        part = self._put_in_file(directory, source) if claimed is None else self._put_in_lane(claimed, source)
        self._require_open(directory, bucket, upload)
        return part

    @translated
    def _claim(self, directory: str, number: int, length: int | None) -> Region | None:
        """The part's place in a lane, locked; None when it has none or somebody has taken it."""
        lane = lane_for(directory, length) if length else None
        if lane is None or number * lane.part_size > _LARGEST_OBJECT:
            return None
        offset = (number - 1) * lane.part_size
        path = f"{directory}/{lane.name}"
        try:
            # The first lane is there from the beginning, and gone when the upload is.
            flags = _LANE_FLAGS if lane.name == FIRST_LANE else _LANE_FLAGS | os.O_CREAT
            descriptor = os.open(path, flags, self._file_mode)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            free = (
                lock_region(descriptor, offset, lane.part_size)
                and _is_at(path, descriptor)
                and is_hole(descriptor, offset, lane.part_size)
            )
        except BaseException:
            close(descriptor)
            raise
        if not free:
            close(descriptor)
            return None
        return Region(descriptor, path, offset, lane.part_size)

    def _put_in_lane(self, region: Region, source: PartSource) -> PartRecord:
        directory, name = os.path.split(region.path)
        try:
            try:
                part = self._written(region, source, lane_place(name, region.offset))
            except BaseException:
                # Free the place again for the next try; where that cannot be done, the next try gets its own file.
                offload(punch_hole, region.descriptor, region.offset, region.length)
                raise
            self._log(directory, part)
        finally:
            close(region.descriptor)
        return part

    def _written(self, region: Region, source: PartSource, place: str) -> PartRecord:
        received = 0
        while block := source.read(BLOCK_SIZE):
            if received + len(block) > region.length:
                raise ValueError(f"{source.length} bytes were announced and more came")
            _write(region.descriptor, block, region.offset + received)
            received += len(block)
        part = placed(source, received, place)
        self._sync_lane(region)
        return part

    @translated
    def _sync_lane(self, region: Region) -> None:
        reach("posix.part.written")
        if not self._durable:
            return
        offload(os.fdatasync, region.descriptor)
        directory, name = os.path.split(region.path)
        if name != FIRST_LANE:
            offload(sync_directory, directory)

    def _put_in_file(self, directory: str, source: PartSource) -> PartRecord:
        name = os.urandom(12).hex()
        path = f"{directory}/parts/{name}"
        descriptor = _new_file(path)
        try:
            try:
                received = 0
                while block := source.read(BLOCK_SIZE):
                    _write(descriptor, block, received)
                    received += len(block)
                part = placed(source, received, file_place(name))
                if self._durable:
                    offload(_sync_file, descriptor, f"{directory}/parts")
            except BaseException:
                unlink(path)
                raise
            self._log(directory, part)
        finally:
            close(descriptor)
        return part

    @translated
    def _log(self, directory: str, part: PartRecord) -> None:
        """Note a stored part. A part that may be noted although that failed keeps its bytes, but counts no more."""
        log = f"{directory}/log"
        try:
            reach("posix.part.logging")
            log_part(log, part, durable=self._durable)
        except OSError:
            try:
                log_dropped(log, part.place, durable=self._durable)
            except (OSError, NoSuchUpload):
                # The device is as full or as broken as before. Nobody was told of the part: it may count or not.
                pass
            raise

    @translated
    def _require_open(self, directory: str, bucket: str, upload: UploadRecord) -> None:
        """Raise `NoSuchUpload` when the upload was ended before the part was noted."""
        if not os.path.exists(f"{directory}/upload") or self._published(directory, bucket, upload) is not None:
            raise NoSuchUpload

    @translated
    def discard(self, bucket: str, upload: UploadRecord, part: PartRecord) -> None:
        """Remove a part that was replaced, if it has a file of its own; a place in a lane is simply not used."""
        directory = self._directory(bucket, upload.id)
        try:
            log_dropped(f"{directory}/log", part.place, durable=False)
        except NoSuchUpload:
            return
        own = own_file(part.place)
        if own is not None:
            unlink(f"{directory}/{own}")

    # -- completion

    def complete(
        self,
        bucket: str,
        place: Place,
        upload: UploadRecord,
        parts: Sequence[PartRecord],
        record: ObjectRecord,
        precondition: Precondition,
    ) -> ObjectRecord:
        """Publish the parts as one object; a second time, find that this was done. Raises `NoSuchUpload`."""
        directory = self._directory(bucket, upload.id)
        held = self._hold(directory)
        try:
            before = self._published(directory, bucket, upload)
            if before is not None:
                return before
            marked = record.replace(extra={**record.extra, UPLOAD_MARK: upload.id})
            name, descriptor = joined(directory, parts, self._file_mode)
            staged = Staged.existing(descriptor, f"{directory}/{name}", marked.size)
            try:
                finished = staged.finish(marked, self._records, durable=self._durable)
                self._note(directory, Completed(name, finished))
                self._publish(staged, place, precondition)
            except BaseException:
                if self._published(directory, bucket, upload) is None:
                    self._unnote(directory, name)
                raise
            finally:
                staged.leave()
            return finished
        finally:
            close(held)

    def _publish(self, staged: Staged, place: Place, precondition: Precondition) -> None:
        self._publisher.publish(staged, place, precondition)
        translated(reach)("posix.complete.published")

    @translated
    def _published(self, directory: str, bucket: str, upload: UploadRecord) -> ObjectRecord | None:
        """The record that an earlier call has published; None when none has.

        The noted file is gone then, or, where it changed places with the object before it, not this upload's.
        """
        note = _note(directory)
        if note is None:
            return None
        try:
            descriptor = os.open(f"{directory}/{note.file}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return note.record
        try:
            mark = self._records.read(descriptor, os.fstat(descriptor)).extra.get(UPLOAD_MARK)
        except RecordMoved:
            # Its record was in a file of its own, which the sweep takes from what is no object any more, or not yet.
            mark = None if self._is_object(bucket, upload) else upload.id
        finally:
            close(descriptor)
        return None if mark == upload.id else note.record

    def _is_object(self, bucket: str, upload: UploadRecord) -> bool:
        found = self._publisher.find(self._layout.place(bucket, upload.key))
        if found is None:
            return False
        found.close()
        return found.record.extra.get(UPLOAD_MARK) == upload.id

    @translated
    def _note(self, directory: str, note: Completed) -> None:
        """Who notes holds the upload: no other process writes the note or removes the directory meanwhile."""
        reach("posix.complete.joined")
        fresh = f"{directory}/completed-new"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            write_at(descriptor, msgspec.json.encode(note), 0)
            if self._durable:
                offload(os.fsync, descriptor)
        finally:
            close(descriptor)
        os.rename(fresh, f"{directory}/completed")
        if self._durable:
            offload(sync_directory, directory)
        reach("posix.complete.noted")

    @staticmethod
    def _unnote(directory: str, name: str) -> None:
        unlink(f"{directory}/completed")
        if name.startswith(PUT_TOGETHER):
            unlink(f"{directory}/{name}")


@translated
def _new_file(path: str) -> int:
    try:
        return os.open(path, _NEW_FLAGS, 0o600)
    except (FileNotFoundError, NotADirectoryError):
        raise NoSuchUpload from None


def _write(descriptor: int, block: bytes, offset: int) -> None:
    if len(block) > INLINE:
        offload(translated(write_at), descriptor, block, offset)
    else:
        translated(write_at)(descriptor, block, offset)


def _is_at(path: str, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(descriptor))
    except (FileNotFoundError, NotADirectoryError):
        return False


@translated
def _sync_file(descriptor: int, directory: str) -> None:
    os.fsync(descriptor)
    sync_directory(directory)


def _sync_all(directories: Sequence[str]) -> None:
    for directory in directories:
        sync_directory(directory)


@translated
def _present_parts(directory: str) -> list[PartRecord]:
    """The parts in the log whose bytes are there: a process may have died between removing one and noting it."""
    own = set(_names(f"{directory}/parts"))
    return [
        part
        for part in logged_parts(f"{directory}/log")
        if own_file(part.place) is None or os.path.basename(location(part.place)[0]) in own
    ]


def _note(directory: str) -> Completed | None:
    try:
        with open(f"{directory}/completed", "rb", buffering=0) as file:
            return _completed_decoder.decode(file.readall())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except msgspec.DecodeError as error:
        raise StorageUnavailable(f"damaged note of a completion: {error}") from None


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []
