"""Bodies on their way from an FST to the client.

A body is counted: an FST that breaks off is left, and the rest comes by another redirect, from another replica where
there is one. What is read from the first byte to the last is compared with the checksum that EOS keeps; the last block
is held back until then, so that a client never gets all of a damaged body.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from backends.api import NoSuchObject, PermissionDenied, StorageUnavailable
from backends.eos.asking import Asked
from backends.eos.connection import Answer, Body, Broken, ChunkedBody, Connection
from backends.eos.interfaces import Entry, EntryChanged, Role
from backends.eos.mgm import Mgm, Redirect, Retry
from backends.eos.pool import Pool

BLOCK: Final = 1 << 18
"""Bytes of a block. Larger ones were not faster over loopback, and hold more memory for each reader."""
WHOLE: Final = 1 << 20
"""Files up to this size are read when they are opened. What is read of larger ones is bound to fail once somebody has
replaced them: EOS knows no open file of a client's that would keep the old one."""
_NOT_COMPUTED: Final = "00000001"
"""adler32 of nothing: what EOS goes on showing for a file whose checksum it has not computed."""
_LONGEST_SIZE_LINE: Final = 18
_SMALLEST_RANGE: Final = 16


class _Gone(StorageUnavailable):
    """Another file, or none, has the name."""


class Reader:
    """Opens files for reading."""

    def __init__(self, mgm: Mgm, pool: Pool, retry: Retry, *, verify: bool) -> None:
        self.mgm = mgm
        self.pool = pool
        self.retry = retry
        self.verify = verify
        # Some servers announce the length of a 206 and send it in chunks all the same: known once it was seen.
        self.frames_ranges = False

    def open(self, role: Role, entry: Entry, *, moving: bool = False, asked: Asked | None = None) -> FileDownload:
        """Open the file of `entry` as it is described there; where it is `moving`, whatever its content is by now.

        Raises `NoSuchObject`, `EntryChanged`.
        """
        download = FileDownload(self, role, entry, moving=moving)
        if entry.size and not (asked is not None and download.accept(asked.place())):
            download.relocate("")
        if entry.size <= WHOLE and not moving:
            download.fetch()
        return download


class FileDownload:
    """One file, opened for reading (`interfaces.Download`)."""

    __slots__ = ("_connection", "_data", "_entry", "_moving", "_place", "_reader", "_role", "_tried")

    def __init__(self, reader: Reader, role: Role, entry: Entry, *, moving: bool) -> None:
        self._reader = reader
        self._role = role
        self._entry = entry
        self._moving = moving
        self._data: bytes | None = None
        self._place: Redirect | None = None
        self._tried: list[str] = []
        self._connection: Connection | None = None

    def fetch(self) -> None:
        """Read all of a small file, to keep it. Raises `EntryChanged` when it is another one by now."""
        try:
            self._data = self._whole(0, self._entry.size, self._checksum())
        except _Gone as error:
            raise EntryChanged(str(error)) from None

    def accept(self, place: Redirect | None) -> bool:
        """Read from where a redirect leads that was asked for before, if it is for this file."""
        if place is None or not self._is_mine(place):
            return False
        self._place = place
        return True

    def relocate(self, failed: str) -> None:
        """Ask the MGM where to read from; not at the FST `failed` if there is another one.

        Raises `NoSuchObject`, and `EntryChanged` when there is another file or other content under the name by now.
        """
        if failed and failed not in self._tried:
            self._tried.append(failed)
        query: Mapping[str, str] = {"tried": ",".join(self._tried)} if self._tried else {}
        place = self._reader.mgm.redirect("GET", self._role, self._entry.path, query)
        if place is None or not self._is_mine(place):
            raise EntryChanged(f"{self._entry.path!r} is another file by now")
        self._place = place

    def _is_mine(self, place: Redirect) -> bool:
        etag = place.etag.strip('"')
        return place.fid in (0, self._entry.id) and (self._moving or etag in ("", self._entry.etag))

    def read(self, offset: int, length: int, /) -> Iterator[bytes]:
        """See `interfaces.Download`."""
        if not length:
            return
        if self._data is not None:
            yield self._data[offset : offset + length]
            return
        if length < _SMALLEST_RANGE <= self._entry.size - length:
            yield self._cut_out(offset, length)
            return
        checksum = self._checksum() if length == self._entry.size else None
        if length <= WHOLE:
            yield self._whole(offset, length, checksum)
        elif checksum is not None:
            yield from self._verified(self._stream(offset, length), checksum)
        else:
            yield from self._stream(offset, length)

    def close(self) -> None:
        """Release the connection; one in the middle of a body is closed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    # blocks

    def _checksum(self) -> _Checksum | None:
        """How the whole is verified, where EOS has a checksum that is cheap to compute."""
        kind, expected = self._entry.checksum
        if not self._reader.verify or kind not in _CHECKSUMS or (self._entry.size and expected == _NOT_COMPUTED):
            return None
        return _Checksum(kind, *_CHECKSUMS[kind], expected)

    def _damaged(self, checksum: _Checksum, value: int) -> StorageUnavailable:
        return StorageUnavailable(
            f"{self._entry.path!r} was damaged on its way: its {checksum.kind} is {value:08x},"
            f" EOS knows {checksum.expected}"
        )

    def _whole(self, offset: int, length: int, checksum: _Checksum | None) -> bytes:
        """A small body in one block, read again when it is damaged."""
        attempts = _Attempts(self._reader.retry)
        while True:
            data = b"".join(self._stream(offset, length))
            if checksum is None:
                return data
            value = checksum.update(data, checksum.start)
            if f"{value:08x}" == checksum.expected:
                return data
            attempts.next(self._damaged(checksum, value))
            self._again(str(self._place.address) if self._place else "")

    def _cut_out(self, offset: int, length: int) -> bytes:
        """A range that is too short for `_is_framed` to judge, out of a longer one."""
        start = min(offset, self._entry.size - _SMALLEST_RANGE)
        return b"".join(self._stream(start, _SMALLEST_RANGE))[offset - start : offset - start + length]

    def _stream(self, offset: int, length: int) -> Iterator[bytes]:
        """The bytes, with a new transfer for the rest whenever one breaks off."""
        end = offset + length
        attempts = _Attempts(self._reader.retry)
        while offset < end:
            try:
                for block in self._transfer(offset, end - offset):
                    offset += len(block)
                    yield block
                    attempts.restart()
            except (Broken, StorageUnavailable) as error:
                failed = str(self._place.address) if self._place else ""
                self.close()
                attempts.next(error)
                self._again(failed)

    def _again(self, failed: str) -> None:
        try:
            self.relocate(failed)
        except (NoSuchObject, EntryChanged, PermissionDenied) as error:
            raise _Gone(f"the file went away while it was read: {error}") from None

    def _transfer(self, offset: int, length: int) -> Iterator[bytes]:
        """One request to an FST: all that was asked for, or `Broken`."""
        if self._place is None:
            self._again("")
        place = self._place
        assert place is not None  # noqa: S101 -- _again has set it
        connection = self._connection = self._reader.pool.take(place.address)
        # Of a file that is written to, nobody knows what the whole is.
        whole = offset == 0 and length == self._entry.size and not self._moving
        answer = _asked(connection, place, None if whole else (offset, length))
        body = self._body_of(connection, answer, place, offset, length, whole=whole)
        received = 0
        while received < length and (block := body.read(min(BLOCK, length - received))):
            received += len(block)
            yield block
        if received < length:
            raise Broken(f"{place.address}: {length} bytes were asked for and {received} came")
        # The end of a chunked body is still to come; nothing else may.
        if not body.finished and body.read(1):
            connection.reusable = False
        self._connection = None
        self._reader.pool.give(connection)

    def _body_of(
        self, connection: Connection, answer: Answer, place: Redirect, offset: int, length: int, *, whole: bool
    ) -> Body:
        body = connection.body(answer)
        if answer.status not in (200, 206):
            raise StorageUnavailable(f"{place.address}: the FST answers {answer.status}: {body.text(200)}")
        if whole or answer.status == 200:
            if not whole:
                raise StorageUnavailable(f"{place.address}: the FST ignores the range")
            if body.length not in (None, length):
                raise Broken(f"{place.address}: the FST has {body.length} bytes of {length}")
            return body
        begins = answer.headers.get("content-range", "").removeprefix("bytes ").partition("-")[0]
        if begins != str(offset) or body.length not in (None, length):
            raise Broken(f"{place.address}: the FST sends another range than it was asked for")
        if not isinstance(body, ChunkedBody) and self._is_framed(connection, place, offset, length):
            return ChunkedBody(connection)
        return body

    def _is_framed(self, connection: Connection, place: Redirect, offset: int, length: int) -> bool:
        """Whether a body that begins like a chunk is in chunks, although a length was announced.

        Such a beginning may just as well be data: then another request for its first bytes tells.
        """
        first = _size_line(connection.peek(min(length, _LONGEST_SIZE_LINE)))
        if first is None or first[0] > length:
            return False
        if self._reader.frames_ranges:
            return True
        digit = first[1]
        size = 1 if digit != "1" else 2
        if length < size:
            size = length
        other = self._reader.pool.fresh(place.address)
        try:
            answer = _asked(other, place, (offset, size))
            if answer.status != 206:
                raise Broken(f"{place.address}: the FST answers {answer.status}")
            framed = other.some(1) == str(size).encode() and str(size) != digit
        finally:
            other.close()
        self._reader.frames_ranges = framed
        return framed

    def _verified(self, blocks: Iterator[bytes], checksum: _Checksum) -> Iterator[bytes]:
        """The same blocks; the last one only when the checksum is right."""
        value = checksum.start
        held = b""
        for block in blocks:
            value = checksum.update(block, value)
            if held:
                yield held
            held = block
        if f"{value:08x}" != checksum.expected:
            raise self._damaged(checksum, value)
        yield held


class _Checksum(NamedTuple):
    """A running checksum of four bytes: its name, function and first value, and the hex that is expected."""

    kind: str
    update: Callable[[bytes, int], int]
    start: int
    expected: str


_CHECKSUMS: Final[Mapping[str, tuple[Callable[[bytes, int], int], int]]] = {
    "adler32": (zlib.adler32, 1),
    "crc32": (zlib.crc32, 0),
}


class _Attempts:
    """Counts transfers that broke off, from the last one on that gave something."""

    __slots__ = ("_count", "_retry", "_started")

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self.restart()

    def restart(self) -> None:
        self._count = 0
        self._started: float | None = None

    def next(self, error: StorageUnavailable) -> None:
        """Wait before the next one, or raise the error when there is to be none."""
        self._started = self._started if self._started is not None else self._retry.now()
        if not self._retry.pause(self._count, self._started):
            raise error
        self._count += 1


def _asked(connection: Connection, place: Redirect, part: tuple[int, int] | None) -> Answer:
    """Ask for the file, or for one absolute range of it."""
    headers = [("Range", f"bytes={part[0]}-{part[0] + part[1] - 1}")] if part is not None else []
    connection.begin("GET", place.target, headers)
    return connection.answer()


def _size_line(data: bytes) -> tuple[int, str] | None:
    """The number that a chunk's first line would give, and its first digit; None for anything else."""
    line, found, _ = data.partition(b"\r\n")
    digits = line.decode("latin-1")
    if not found or not digits or digits.strip("0123456789abcdef") or digits == "0":
        return None
    return int(digits, 16), digits[0]
