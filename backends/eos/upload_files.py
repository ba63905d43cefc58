"""The files of data of an upload: lanes, parts of their own, and what becomes the object."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

import msgspec

from backends.api import NoSuchObject, NoSuchUpload, PermissionDenied, StorageUnavailable
from backends.eos.data import HttpData, RangeBroken, WrongFile
from backends.eos.failures import Missing
from backends.eos.interfaces import CloseFailed, Entry, EntryChanged, MissingParent, Role, Unanswered, Written
from backends.eos.namespace import Namespace
from backends.eos.settling import STRONG, Settler
from backends.eos.upload_places import Lane, Piece
from backends.eos.upload_states import State

T = TypeVar("T")

LONGEST: Final = 1 << 44
"""What range PUTs name as the total size: more than any object has, so that none is taken for the last one."""
COPIED: Final = 4 << 20
"""Bytes that are copied at a time into a lane: held here before they are sent, as all ranges are."""
_TRIES: Final = 4
_PAUSE: Final = 0.1
_NOTICED: Final = 0.5
"""Seconds for which an FST may not have noticed yet that a range PUT broke off."""


class RangesRefused(StorageUnavailable):
    """The layout does not allow to write into a file (erasure coding)."""


class Weakened(StorageUnavailable):
    """Another range that breaks off would take all of the file."""


class UploadFiles:
    """Makes, fills, reads and removes files beside the object to be."""

    def __init__(self, namespace: Namespace, data: HttpData, settler: Settler, layout: str) -> None:
        self._namespace: Final = namespace
        self._data: Final = data
        self._settler: Final = settler
        self._layout: Final = layout

    # making

    def make_lane(self, role: Role, state: State, root: str, file: str) -> Entry:
        """An empty file with a place on disks. Raises `NoSuchBucket`."""
        path = state.path(file)

        def make() -> int:
            return self._data.create_empty(role, path, self._layout)

        self._repeated(role, state, root, make)
        entry = self._namespace.stat(role, path)
        if entry is None:
            raise StorageUnavailable(f"{path} was made and is not there")
        return entry

    def write_file(
        self, role: Role, state: State, root: str, file: str, blocks: Iterable[bytes], length: int | None
    ) -> Written:
        """Write a new file from blocks that come only once.

        Where it fails, or EOS does not come to show what was sent, no file is left. Raises `NoSuchBucket` and the
        contract's errors.
        """
        path = state.path(file)
        writing = self._repeated(role, state, root, lambda: self._data.begin_new(role, path, length=length))
        last = b""
        try:
            for block in blocks:
                writing.write(block)
                last = block[-1:] or last
            written = writing.finish()
            self._settler.settle_file(role, path, written, last)
        except BaseException as error:
            writing.abort()
            self.remove(role, path)
            if isinstance(error, CloseFailed | Unanswered | Missing):
                raise StorageUnavailable(str(error)) from None
            raise
        return written

    def write_again(
        self, role: Role, state: State, root: str, file: str, blocks: Callable[[], Iterable[bytes]], length: int
    ) -> Written:
        """The same, from blocks that can be had again: as often as it takes."""
        for attempt in range(_TRIES):
            try:
                return self.write_file(role, state, root, file, blocks(), length)
            except StorageUnavailable:
                if attempt == _TRIES - 1:
                    raise
                time.sleep(_PAUSE * 2**attempt)
        raise StorageUnavailable("the file cannot be written")

    def _repeated(self, role: Role, state: State, root: str, make: Callable[[], T]) -> T:
        """Make something in the upload's directory, which is made first where it is missing."""
        for attempt in range(_TRIES):
            try:
                return make()
            except MissingParent:
                self._namespace.make_directories(role, state.home.directory, below=root)
            except (CloseFailed, Unanswered) as error:
                if attempt == _TRIES - 1:
                    raise StorageUnavailable(str(error)) from None
            time.sleep(_PAUSE * attempt)
        raise StorageUnavailable("the directory of an upload keeps vanishing")

    # ranges

    def write_range(
        self, role: Role, state: State, lane: Lane, offset: int, blocks: Callable[[], Iterable[bytes]], size: int
    ) -> None:
        """Write `blocks()` into a lane; again, as long as what breaks off leaves the file with more than one replica.

        Raises `WrongFile` when the lane has gone, `Weakened` when nothing should be written into it any more,
        `RangesRefused`, and the contract's errors.
        """
        for attempt in range(_TRIES):
            try:
                self._data.write_range(role, state.path(lane.file), blocks(), size, offset, LONGEST, lane.fid)
                return
            except PermissionDenied as error:
                if "RAIN" in str(error):
                    raise RangesRefused(str(error)) from None
                raise
            except RangeBroken as error:
                self._require_strong(role, state, lane, error)
                time.sleep(_PAUSE * 2**attempt)
        raise Weakened("ranges of a file keep breaking off")

    def _require_strong(self, role: Role, state: State, lane: Lane, error: RangeBroken) -> None:
        """Raise `Weakened` unless the next range that breaks off would leave a replica.

        An FST drops its own once it has noticed the end of a connection, which may be after us.
        """
        end = time.monotonic() + _NOTICED
        while True:
            entry = self._namespace.stat(role, state.path(lane.file))
            if entry is None or entry.id != lane.fid:
                raise WrongFile(f"{state.path(lane.file)} has gone") from None
            if entry.replicas < STRONG:
                raise Weakened(str(error)) from None
            if time.monotonic() > end:
                return
            time.sleep(_PAUSE)

    def finish_lane(self, role: Role, state: State, lane: Lane, size: int, checksum: int, *, finalize: bool) -> None:
        """Bring size and checksum of a complete lane up to date, and compare them.

        Parts that were committed at the same time may have left any of their sizes. The last byte is written once more,
        alone: with `finalize` as the last range, for which the FST reads the file and computes its checksum.

        Raises `WrongFile` when the lane has gone, `Weakened` like `write_range`, `StorageUnavailable` when EOS does not
        come to what is expected.
        """
        path = state.path(lane.file)
        described = self._described(role, path, lane.fid, size)
        if described.replicas < min(STRONG, (described.layout >> 8 & 0xFF) + 1):
            # It has lost one: late, after an earlier range that broke off.
            raise Weakened(f"{path} has {described.replicas} replicas")
        last = b"".join(self.read(role, described, size - 1, 1))
        written = Written(lane.fid, size, f"{checksum:08x}" if finalize else "")
        wrong = ""
        for attempt in range(_TRIES):
            try:
                self._data.write_range(
                    role, path, [last], 1, size - 1, size if finalize else LONGEST, lane.fid, last=finalize
                )
            except RangeBroken as error:
                self._require_strong(role, state, lane, error)
                wrong = str(error)
                continue
            entry, wrong = self._settler.awaited(lambda: self._namespace.stat(role, path), written)
            if entry is None:
                raise WrongFile(f"{path} has gone")
            if not wrong:
                return
            time.sleep(_PAUSE * 2**attempt)
        raise StorageUnavailable(f"the upload cannot be finished: {wrong}")

    def copy_into(self, role: Role, state: State, lane: Lane, piece: Piece) -> None:
        """Copy a part from its own file, or from another lane, to its place in a lane."""
        at = piece.target
        for block in self._gathered(self.piece(role, state, piece)):
            self.write_range(role, state, lane, at, lambda block=block: [block], len(block))  # type: ignore[misc]
            at += len(block)

    @staticmethod
    def _gathered(blocks: Iterator[bytes]) -> Iterator[bytes]:
        held: list[bytes] = []
        size = 0
        for block in blocks:
            held.append(block)
            size += len(block)
            if size >= COPIED:
                yield b"".join(held)
                held, size = [], 0
        if held:
            yield b"".join(held)

    # reading

    def _described(self, role: Role, path: str, fid: int, least: int) -> Entry:
        """A file as it is stored: its size in the namespace may be older than what an FST has."""
        entry = self._namespace.stat(role, path)
        if entry is None or entry.id != fid:
            raise NoSuchUpload
        return msgspec.structs.replace(entry, size=max(entry.size, least), checksum=("", ""))

    def piece(self, role: Role, state: State, piece: Piece) -> Iterator[bytes]:
        """The bytes of a part. Raises `NoSuchUpload` when they have gone."""
        lane = state.lane(piece.place.file)
        path = state.path(piece.place.file)
        entry = self._namespace.stat(role, path)
        if entry is None or (lane is not None and entry.id != lane.fid):
            raise NoSuchUpload
        least = piece.place.offset + piece.length
        described = msgspec.structs.replace(entry, size=max(entry.size, least), checksum=("", ""))
        yield from self.read(role, described, piece.place.offset, piece.length)

    def joined(self, role: Role, state: State, pieces: Sequence[Piece]) -> Iterator[bytes]:
        """The bytes of all parts, one behind another."""
        for piece in pieces:
            yield from self.piece(role, state, piece)

    def read(self, role: Role, entry: Entry, offset: int, length: int) -> Iterator[bytes]:
        """Bytes of a file."""
        try:
            download = self._data.open_read(role, entry, moving=True)
        except (NoSuchObject, EntryChanged):
            raise NoSuchUpload from None
        try:
            yield from download.read(offset, length)
        finally:
            download.close()

    # removing

    def remove(self, role: Role, path: str) -> None:
        """Remove a file if it is there; what EOS refuses now is left to the sweep."""
        try:
            self._namespace.unlink(role, path)
        except (StorageUnavailable, PermissionDenied):
            pass

    def by_id(self, role: Role, fid: int) -> Entry | None:
        """The file of this id, wherever it is; None when there is none."""
        return self._namespace.file_by_id(role, fid)

    def is_there(self, role: Role, path: str, fid: int) -> bool:
        """Whether the file of this id has this path."""
        entry = self._namespace.stat(role, path)
        return entry is not None and entry.id == fid


def new_name() -> str:
    """The random end of a file's name."""
    return os.urandom(8).hex()
