"""Multipart uploads in the file system: parts go straight to their place, and a completion is a rename.

Each upload is a directory `uploads/<bucket>/<id>/`:

    upload      its record; the upload exists while this does
    data        the object to be: part n lies at (n - 1) * P, where P is the size of the part that came first
    part-size   a symbolic link whose target is P: made with its content in one step
    log         one line for each part that was stored, appended and synchronized before the part is acknowledged
    parts/      parts with no place in `data`: longer than P, or of a number that was sent before
    completed   the object's record and the file that becomes the object; written just before it is published

A place in `data` is taken by a lock on its bytes (an open-file-description lock: the kernel frees it when its holder
dies, in whatever process), and only while it is a hole: so nothing that was acknowledged is ever written over, and a
part that is sent again goes to a file of its own. A completion locks all of `data`; who gets its lock later finds that
`data` is not that file any more.

Where every part lies where the object needs it, the completion moves `data` and copies nothing. Parts from `parts/` are
copied into their holes by the kernel. Where the sizes do not fit, or parts were stored that the object does not have,
the object is put together in a new file, by reference where the file system can share blocks.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

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
from backends.offload import offload
from backends.posix.attributes import Records, sync_directory
from backends.posix.documents import write_file
from backends.posix.failures import translated
from backends.posix.layout import Layout, Place
from backends.posix.publishing import Publisher
from backends.posix.regions import Region, copy_range, is_hole, lock_region, punch_hole, write_at
from backends.posix.staging import INLINE, Staged, is_directory
from backends.records import RecordError, decode_part, decode_upload, encode
from backends.uploads import UPLOAD_MARK

_IN_DATA: Final = "data:"
_IN_FILE: Final = "file:"
_DATA_FLAGS: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
_NEW_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_LARGEST_OBJECT: Final = 5 << 40
"""S3's limit. A file may not be able to have much more: ext4 ends at 16 TiB."""
_LOCK_PATIENCE: Final = 2.0
"""Seconds that a completion waits for parts that are being written; then it leaves `data` to them."""


class Completed(msgspec.Struct, frozen=True):
    """The note of a completion: `file` of the upload's directory is, or has become, the object of that record."""

    file: str
    record: ObjectRecord


_completed_decoder = msgspec.json.Decoder(Completed)


class _Piece(NamedTuple):
    """`length` bytes at `offset` of the file at `path`, which belong at `target` of the object."""

    path: str
    offset: int
    length: int
    target: int


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
        if not is_directory(self._layout.bucket(bucket)):
            raise NoSuchBucket(bucket)
        staged = self._layout.staged()
        os.mkdir(staged, 0o700)
        os.mkdir(f"{staged}/parts", 0o700)
        for name, mode in (("data", self._file_mode), ("log", 0o600)):
            os.close(os.open(f"{staged}/{name}", _NEW_FLAGS, mode))
        write_file(self._layout, f"{staged}/upload", encode(upload), durable=self._durable)
        directory = self._directory(bucket, upload.id)
        parent = os.path.dirname(directory)
        try:
            os.rename(staged, directory)
        except FileNotFoundError:
            os.makedirs(parent, mode=0o700, exist_ok=True)
            os.rename(staged, directory)
        if self._durable:
            offload(_sync_all, (directory, parent, self._layout.uploads))

    @translated
    def load(self, bucket: str, upload_id: str) -> StoredUpload:
        """All that is known of an upload. Raises `NoSuchUpload`."""
        directory = self._directory(bucket, upload_id)
        upload = self._upload(directory)
        parts = tuple(offload(_logged_parts, f"{directory}/log"))
        note = _note(directory)
        return StoredUpload(upload=upload, parts=parts, completed=None if note is None else note.record)

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

    def _upload(self, directory: str) -> UploadRecord:
        try:
            with open(f"{directory}/upload", "rb", buffering=0) as file:
                return decode_upload(file.readall())
        except (FileNotFoundError, NotADirectoryError):
            raise NoSuchUpload from None
        except RecordError as error:
            raise StorageUnavailable(str(error)) from None

    @translated
    def abort(self, bucket: str, upload_id: str) -> None:
        """Remove an upload: out of sight in one step. A missing one is no error."""
        directory = self._directory(bucket, upload_id)
        staged = self._layout.staged()
        try:
            os.rename(directory, staged)
        except FileNotFoundError:
            return
        offload(shutil.rmtree, staged)
        if self._durable:
            offload(sync_directory, os.path.dirname(directory))
        try:
            os.rmdir(os.path.dirname(directory))
        except OSError:
            # Other uploads are in it; an empty one would harm nobody.
            pass

    # -- parts

    def put_part(self, bucket: str, upload: UploadRecord, number: int, source: PartSource) -> PartRecord:
        """Store a part in its place if that is free, else in a file of its own. Raises `NoSuchUpload`."""
        directory = self._directory(bucket, upload.id)
        region = self._claim(directory, number, source.length)
        if region is None:
            part = self._put_in_file(directory, source)
        else:
            part = self._put_in_data(region, source)
        self._log(directory, part)
        return part

    @translated
    def _claim(self, directory: str, number: int, length: int | None) -> Region | None:
        """The part's place in `data`, locked; None when it has none or somebody has taken it."""
        if not length:
            return None
        part_size = _part_size(directory, length)
        if part_size is None or length > part_size or number * part_size > _LARGEST_OBJECT:
            return None
        offset = (number - 1) * part_size
        try:
            descriptor = os.open(f"{directory}/data", _DATA_FLAGS)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            free = (
                lock_region(descriptor, offset, part_size)
                and _is_at(f"{directory}/data", descriptor)
                and is_hole(descriptor, offset, part_size)
            )
        except BaseException:
            os.close(descriptor)
            raise
        if not free:
            os.close(descriptor)
            return None
        return Region(descriptor, offset, part_size)

    def _put_in_data(self, region: Region, source: PartSource) -> PartRecord:
        try:
            received = 0
            while block := source.read(BLOCK_SIZE):
                if received + len(block) > region.length:
                    raise ValueError(f"{source.length} bytes were announced and more came")
                _write(region.descriptor, block, region.offset + received)
                received += len(block)
            part = _placed(source, received, f"{_IN_DATA}{region.offset}")
            if self._durable:
                offload(translated(os.fdatasync), region.descriptor)
        except BaseException:
            # Free the place again for the next try; where that cannot be done, the next try gets a file of its own.
            offload(punch_hole, region.descriptor, region.offset, region.length)
            raise
        finally:
            os.close(region.descriptor)
        return part

    def _put_in_file(self, directory: str, source: PartSource) -> PartRecord:
        name = os.urandom(12).hex()
        path = f"{directory}/parts/{name}"
        descriptor = _new_file(path)
        try:
            received = 0
            while block := source.read(BLOCK_SIZE):
                _write(descriptor, block, received)
                received += len(block)
            part = _placed(source, received, f"{_IN_FILE}{name}")
            if self._durable:
                offload(_sync_file, descriptor, f"{directory}/parts")
        except BaseException:
            try:
                os.unlink(path)
            except OSError:
                # It goes with the upload.
                pass
            raise
        finally:
            os.close(descriptor)
        return part

    @translated
    def _log(self, directory: str, part: PartRecord) -> None:
        """Note that a part is stored. Raises `NoSuchUpload` when the upload was ended meanwhile."""
        try:
            descriptor = os.open(f"{directory}/log", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError):
            raise NoSuchUpload from None
        try:
            # A line break in front too: what a crash left of the line before must not spoil this one.
            line = b"\n" + encode(part) + b"\n"
            if os.write(descriptor, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self._durable:
                offload(os.fdatasync, descriptor)
        finally:
            os.close(descriptor)
        if not os.path.exists(f"{directory}/upload"):
            raise NoSuchUpload

    @translated
    def discard(self, bucket: str, upload: UploadRecord, part: PartRecord) -> None:
        """Remove a part that was replaced, if it has a file of its own; a place in `data` is simply not used."""
        if part.place.startswith(_IN_FILE):
            path = _part_path(self._directory(bucket, upload.id), part)
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass

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
        self._require(directory)
        before = self._published(directory, upload.id)
        if before is not None:
            return before
        marked = record.replace(extra={**record.extra, UPLOAD_MARK: upload.id})
        path, descriptor = self._joined(directory, parts)
        staged = Staged.existing(descriptor, path, marked.size)
        try:
            finished = staged.finish(marked, self._records, durable=self._durable)
            self._note(directory, Completed(os.path.basename(path), finished))
            try:
                self._publisher.publish(staged, place, precondition)
            except BaseException:
                self._unnote(directory, path)
                raise
        finally:
            staged.leave()
        return finished

    @translated
    def _require(self, directory: str) -> None:
        if not os.path.exists(f"{directory}/upload"):
            raise NoSuchUpload

    @translated
    def _published(self, directory: str, upload_id: str) -> ObjectRecord | None:
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
            found = self._records.read(descriptor, os.fstat(descriptor))
        finally:
            os.close(descriptor)
        return None if found.extra.get(UPLOAD_MARK) == upload_id else note.record

    @translated
    def _note(self, directory: str, note: Completed) -> None:
        try:
            write_file(self._layout, f"{directory}/completed", msgspec.json.encode(note), durable=self._durable)
        except FileNotFoundError:
            raise NoSuchUpload from None
        if self._durable:
            offload(sync_directory, directory)

    @translated
    def _unnote(self, directory: str, path: str) -> None:
        for name in (f"{directory}/completed", *([path] if os.path.basename(path) != "data" else [])):
            try:
                os.unlink(name)
            except FileNotFoundError:
                pass

    @translated
    def _joined(self, directory: str, parts: Sequence[PartRecord]) -> tuple[str, int]:
        """The path and a descriptor of a file of the upload that holds exactly these parts, one behind another."""
        pieces = list(_pieces(directory, parts))
        size = sum(piece.length for piece in pieces)
        data = f"{directory}/data"
        descriptor = self._lock_data(data)
        if descriptor is not None:
            if self._fits(directory, parts, pieces):
                self._fill(descriptor, pieces, data, size)
                return data, descriptor
            os.close(descriptor)
        path = f"{directory}/object-{os.urandom(8).hex()}"
        descriptor = os.open(path, _NEW_FLAGS, self._file_mode)
        try:
            self._fill(descriptor, pieces, "", size)
        except BaseException:
            os.close(descriptor)
            os.unlink(path)
            raise
        return path, descriptor

    def _lock_data(self, data: str) -> int | None:
        """`data`, all of it locked; None while parts are being written to it, or when it is gone."""
        try:
            descriptor = os.open(data, _DATA_FLAGS)
        except FileNotFoundError:
            return None
        if lock_region(descriptor, 0, 0, patience=_LOCK_PATIENCE):
            return descriptor
        os.close(descriptor)
        return None

    @staticmethod
    def _fits(directory: str, parts: Sequence[PartRecord], pieces: Sequence[_Piece]) -> bool:
        """Whether `data` can become the object: all parts in it lie where they belong, and none of it is left out.

        A part that is left out would be lost if the completion failed after all. One that was replaced by a part of the
        same number is lost already.
        """
        data = f"{directory}/data"
        in_data = [piece for piece in pieces if piece.path == data]
        if not in_data or any(piece.offset != piece.target for piece in in_data):
            return False
        numbers = {part.number for part in parts}
        stored = offload(_logged_parts, f"{directory}/log")
        return all(part.number in numbers for part in stored if part.place.startswith(_IN_DATA))

    @staticmethod
    def _fill(descriptor: int, pieces: Sequence[_Piece], data: str, size: int) -> None:
        for piece in pieces:
            if piece.path != data:
                offload(copy_range, piece.path, piece.offset, descriptor, piece.target, piece.length)
        if os.fstat(descriptor).st_size != size:
            os.ftruncate(descriptor, size)


def _pieces(directory: str, parts: Sequence[PartRecord]) -> Iterator[_Piece]:
    target = 0
    for part in parts:
        if part.size:
            offset = int(part.place.removeprefix(_IN_DATA)) if part.place.startswith(_IN_DATA) else 0
            yield _Piece(_part_path(directory, part), offset, part.size, target)
            target += part.size


def _part_path(directory: str, part: PartRecord) -> str:
    if part.place.startswith(_IN_DATA):
        return f"{directory}/data"
    name = part.place.removeprefix(_IN_FILE)
    if not part.place.startswith(_IN_FILE) or not name.isalnum():
        raise StorageUnavailable("a part's record names no place")
    return f"{directory}/parts/{name}"


def _placed(source: PartSource, received: int, place: str) -> PartRecord:
    if source.length is not None and source.length != received:
        raise ValueError(f"{source.length} bytes were announced and {received} came")
    return msgspec.structs.replace(source.record(), place=place)


def _part_size(directory: str, length: int) -> int | None:
    """P: the length of the first part that asks. None when the upload is gone."""
    path = f"{directory}/part-size"
    try:
        os.symlink(str(length), path)
        return length
    except FileExistsError:
        return int(os.readlink(path))
    except (FileNotFoundError, NotADirectoryError):
        return None


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
    except FileNotFoundError:
        return False


def _sync_file(descriptor: int, directory: str) -> None:
    translated(os.fsync)(descriptor)
    sync_directory(directory)


def _sync_all(directories: Sequence[str]) -> None:
    for directory in directories:
        sync_directory(directory)


def _logged_parts(path: str) -> list[PartRecord]:
    """The parts in a log, in the order of their storing. A line that a crash cut off was never acknowledged."""
    try:
        with open(path, "rb") as file:
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return []
    parts = []
    for line in lines:
        if line:
            try:
                parts.append(decode_part(line))
            except RecordError:
                continue
    return parts


def _note(directory: str) -> Completed | None:
    try:
        with open(f"{directory}/completed", "rb", buffering=0) as file:
            return _completed_decoder.decode(file.readall())
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise StorageUnavailable(f"damaged note of a completion: {error}") from None


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []
