"""Where an object's record is kept: in an extended attribute of its file, so that data and record are one inode.

The attribute `user.shardgate` holds the record as `backends.records.encode` writes it, or, when that is too long for
the file system (ext4 has one block for all attributes of a file), "@" and the name of a file in the records directory.
On a file system without attributes that file is found by the same name, made of the file's inode number and
modification time, and only believed when it names the same size too.

A file without record came without the gateway; its record is derived. A record which tells another size or time than
the file has was written before somebody changed the file: its ETag and checksums are derived anew.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Final

from backends.api import ObjectRecord, StorageUnavailable
from backends.posix.layout import Layout
from backends.posix.system import close, get_attribute
from backends.records import RecordError, decode_object, encode

ATTRIBUTE: Final = "user.shardgate"
_ATTRIBUTE: Final = ATTRIBUTE.encode()
_POINTER: Final = b"@"
_TOO_LARGE: Final = (errno.ENOSPC, errno.E2BIG, errno.ERANGE, errno.EDQUOT)


class RecordMoved(Exception):
    """The record's file is gone: the object was replaced or updated since its attribute was read. Look again."""


def derived_etag(status: os.stat_result) -> str:
    """The ETag of a file that the gateway did not write: never 32 hexadecimal digits, which would be an MD5."""
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"


def derived_record(status: os.stat_result) -> ObjectRecord:
    """The record of a file that has none."""
    return ObjectRecord(size=status.st_size, etag=derived_etag(status), modified=status.st_mtime_ns)


def fitted(record: ObjectRecord, status: os.stat_result) -> ObjectRecord:
    """The record, with what no longer fits the file derived anew."""
    encryption = record.encryption
    size = status.st_size
    if record.modified == status.st_mtime_ns and (encryption.stored_size if encryption else record.size) == size:
        return record
    return record.replace(
        # What decrypts the data stays: a file that was only touched must not be handed out as cipher text.
        size=record.size if encryption else size,
        etag=derived_etag(status),
        modified=status.st_mtime_ns,
        checksums={},
        checksum_type="",
        parts=None,
    )


class Records:
    """Reads and writes the records of files."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._directory = layout.records
        self._used = False

    def read(self, descriptor: int, status: os.stat_result) -> ObjectRecord:
        """The record of an open regular file. Raises `RecordMoved`, `StorageUnavailable`, `OSError`."""
        try:
            data = get_attribute(descriptor, _ATTRIBUTE)
        except OSError as error:
            return self._without_attribute(error, status, lambda: os.fstat(descriptor).st_nlink > 0)
        return self._decoded(data, status)

    def read_path(self, path: str, status: os.stat_result) -> ObjectRecord | None:
        """The same by path, for listings. None, or `RecordMoved`, when it has to be read from the opened file.

        That is when the record does not fit `status`: one of them may be of the object's predecessor.
        """
        try:
            data = get_attribute(path, _ATTRIBUTE)
        except OSError as error:
            return self._without_attribute(error, status, lambda: os.path.samestat(os.lstat(path), status))
        if data.startswith(_POINTER):
            data = self._side(data[1:].decode("ascii", "replace"))
        record = self._decoded_text(data)
        return record if fitted(record, status) is record else None

    def _without_attribute(
        self, error: OSError, status: os.stat_result, still_there: Callable[[], bool]
    ) -> ObjectRecord:
        if error.errno == errno.ENODATA:
            return derived_record(status)
        if error.errno != errno.ENOTSUP:
            raise error
        try:
            data = self._side(self._name(status))
        except RecordMoved:
            # The file goes before its record does: while it is there, it never had one.
            if not still_there():
                raise
            return derived_record(status)
        record = self._decoded_text(data)
        # Inode numbers come again; only the very file that the record was written for has it.
        return record if fitted(record, status) is record else derived_record(status)

    def _decoded(self, data: bytes, status: os.stat_result) -> ObjectRecord:
        if data.startswith(_POINTER):
            data = self._side(data[1:].decode("ascii", "replace"))
        return fitted(self._decoded_text(data), status)

    @staticmethod
    def _decoded_text(data: bytes) -> ObjectRecord:
        try:
            return decode_object(data)
        except RecordError as error:
            raise StorageUnavailable(str(error)) from None

    # -- records in files of their own

    @staticmethod
    def _name(status: os.stat_result) -> str:
        return f"{status.st_ino:x}-{status.st_mtime_ns:x}"

    def name_of(self, attribute: bytes, status: os.stat_result) -> str:
        """The name of the record's own file, where a file with this attribute and status has one."""
        return attribute[1:].decode("ascii", "replace") if attribute.startswith(_POINTER) else self._name(status)

    def _path(self, name: str) -> str:
        return f"{self._directory}/{name[-2:]}/{name}"

    def _side(self, name: str) -> bytes:
        if "/" in name or not name:
            raise StorageUnavailable("damaged object record: it points nowhere")
        try:
            with open(self._path(name), "rb") as file:
                return file.read()
        except FileNotFoundError:
            raise RecordMoved from None

    def write(self, descriptor: int, record: ObjectRecord, status: os.stat_result, *, durable: bool, new: bool) -> None:
        """Give an open file its record, in one step also for those who read it meanwhile. Raises `OSError`.

        `status` is the file's; nobody else may write a record for it at the same time. With `durable`, a record in a
        file of its own is synchronized; the caller synchronizes the object's file. A `new` file had no record before.
        """
        data = encode(record)
        try:
            os.setxattr(descriptor, ATTRIBUTE, data)
        except OSError as error:
            if error.errno != errno.ENOTSUP and error.errno not in _TOO_LARGE:
                raise
            name = self._name(status)
            self._write_side(name, data, durable=durable)
            if error.errno in _TOO_LARGE:
                os.setxattr(descriptor, ATTRIBUTE, _POINTER + name.encode())
        else:
            if not new:
                # What a former, larger record left behind is not referred to any more.
                self.forget(status)

    def _write_side(self, name: str, data: bytes, *, durable: bool) -> None:
        self._used = True
        path = self._path(name)
        staged = self._layout.staged()
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            try:
                _write_all(descriptor, data)
                if durable:
                    os.fsync(descriptor)
            finally:
                close(descriptor)
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            os.rename(staged, path)
        except BaseException:
            os.unlink(staged)
            raise
        if durable:
            for directory in (os.path.dirname(path), self._directory, self._layout.hidden):
                sync_directory(directory)

    def _in_use(self) -> bool:
        """Whether any record has a file of its own."""
        self._used = self._used or os.path.isdir(self._directory)
        return self._used

    def renew(self, status: os.stat_result) -> None:
        """Before a file gets another name: let no sweep remove its record because it looked at both names too late."""
        if not self._in_use():
            return
        try:
            os.utime(self._path(self._name(status)))
        except FileNotFoundError:
            pass

    def forget(self, status: os.stat_result) -> None:
        """Remove the record's own file, if there is one, of a file that is gone or has its record elsewhere now."""
        if not self._in_use():
            return
        try:
            os.unlink(self._path(self._name(status)))
        except OSError:
            # It is only waste, and the sweep finds it.
            pass


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_directory(path: str) -> None:
    """Make a directory's entries durable. One that is gone needs nothing: whoever removed it saw to that."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        close(descriptor)
