"""What the two halves of the plugin know of each other: the namespace by gRPC, the data by HTTP.

How one object is published, which is why the data half has the calls that it has. EOS's atomic upload (`eos.atomic=1`)
writes into a hidden file and swaps it in under the namespace's lock when the FST closes it; attributes stay with the
file. A record is therefore an attribute of the hidden file *before* the last byte of the body is sent:

1. body up to `Options.buffered` bytes: read to its end, the record is known; `begin_write(attributes=…)` puts it into
   the very request that opens the file; `write`, `finish`. May be repeated as a whole when an FST fails.
2. larger body: `begin_write` without a record; all blocks but the last go through `write`; when the body's end is
   verified the record is set by gRPC on `Writing.fid`; then the last block, then `finish`.

So data and record appear in one step, an overwrite never leaves a new body with an old record, and a reader never sees
a mix. The record also holds length and adler32 of its data (`attributes.py`): data that somebody replaced in place
without the gateway are recognized, and their record is derived.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

import msgspec

from backends.api import BackendError, ObjectRecord


class Role(msgspec.Struct, frozen=True, gc=False):
    """Who a call acts as: never 0:0, which EOS takes for no role at all. `name` is for `remote_user = "name"`."""

    uid: int
    gid: int
    name: str = ""


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A file or a directory (then `id` is a container's), as STAT or Find gave it.

    `path` is absolute and without a slash at its end; times are nanoseconds; `etag` is EOS's own, without quotes;
    `checksum` is the type and the lower-case hex of the layout's checksum, ("", "") when there is none; `md5` is hex,
    from the layout or an alternative checksum, "" when EOS has none; `replicas` counts the places of the data,
    `children` a directory's files and directories, hidden ones too.
    """

    path: str
    id: int
    directory: bool
    uid: int
    gid: int
    size: int = 0
    mtime: int = 0
    ctime: int = 0
    etag: str = ""
    layout: int = 0
    replicas: int = 0
    checksum: tuple[str, str] = ("", "")
    md5: str = ""
    link: bool = False
    children: int = 0
    attributes: Mapping[str, bytes] = {}


class MissingParent(BackendError):
    """The directory that a file was to be made in does not exist (409 at the MGM)."""


class NotAFile(BackendError):
    """There is a directory under the name of the file."""


class EntryChanged(BackendError):
    """Between STAT and the opening another file, or other content, came under the name: look at it again."""


class CloseFailed(BackendError):
    """The FST refused to close what was written: overtaken by a later writer, removed meanwhile, a wrong checksum.

    Nothing was published. `fid` is the file's id.
    """

    def __init__(self, reason: str, fid: int = 0) -> None:
        super().__init__(reason)
        self.fid = fid


class Unanswered(BackendError):
    """The connection broke after the last byte: whether it was published, only a look at the namespace can tell."""

    def __init__(self, reason: str, fid: int = 0) -> None:
        super().__init__(reason)
        self.fid = fid


class Written(msgspec.Struct, frozen=True, gc=False):
    """What was sent: the file's id, its size, and adler32 of its bytes (8 hex digits; "" where it is not known)."""

    fid: int
    size: int
    adler32: str


class Download(Protocol):
    """A file that is opened for reading; what it reads is this file's, whatever happens to the name."""

    def read(self, offset: int, length: int, /) -> Iterator[bytes]:
        """Exactly `length` bytes in non-empty blocks; `StorageUnavailable` when they cannot be had."""

    def close(self) -> None:
        """Release the connection."""


class Writing(Protocol):
    """A file that is being written: the MGM has made the hidden file; nobody sees it before `finish` returned."""

    fid: int
    """Its id (`mgm.id` of the redirect)."""

    def write(self, block: bytes | memoryview, /) -> None:
        """Send one block to the FST. Where the length was announced the last byte lets the FST close and publish."""

    def finish(self) -> Written:
        """End the body and wait for the FST's answer. Raises `CloseFailed`, `Unanswered` and the contract's errors."""

    def abort(self) -> None:
        """Break the connection: nothing is published. No-op after `finish`."""


class DataClient(Protocol):
    """The data half. Raises the contract's errors: refusals, quota, no space, unavailable."""

    def open(self) -> None:
        """Called in the worker, after the fork."""

    def close(self) -> None:
        """Close the pools."""

    def open_read(self, role: Role, entry: Entry) -> Download:
        """Open a file as STAT has just shown it (its size is `entry.size`). Raises `NoSuchObject`, `EntryChanged`."""

    def begin_write(
        self, role: Role, path: str, *, length: int | None, attributes: Mapping[str, str] | None = None
    ) -> Writing:
        """The MGM's leg of an atomic upload: `eos.atomic=1`, and `eos.xattr` of `attributes`.

        Names are `user.*`, values ASCII without `#`, `&` and `=`. Also connects to the FST, with another redirect when
        one is down (`tried`), but sends none of the body. `length` None sends it chunked.

        Raises `MissingParent`, `NotAFile`, `PermissionDenied`, `QuotaExceeded`, `StorageFull`, `StorageUnavailable`.
        """

    def run(self, role: Role, command: Mapping[str, str]) -> tuple[int, str]:
        """A console command at `/proc/user/` (`mgm.cmd` and so on): its code (positive errno) and its error text."""


class NamespaceClient(Protocol):
    """The metadata half, as the data half needs it (`namespace.py` has more; its errors are in `failures.py`)."""

    def stat(self, role: Role, path: str) -> Entry | None:
        """The file or directory at a path, None when there is none. Raises `PermissionDenied`."""

    def make_directories(self, role: Role, path: str, *, below: str) -> None:
        """Make a directory and its parents, down from `below`, which must exist (`NoSuchBucket` when it does not)."""

    def find(self, role: Role, path: str) -> list[Entry]:
        """What a directory holds, itself not included, in no order. Raises `Missing`."""

    def set_attributes(
        self, role: Role, target: str | int, values: Mapping[str, bytes], remove: tuple[str, ...] = ()
    ) -> None:
        """Set `user.*` attributes by path, or by the id of a file. Raises `Missing`."""

    def unlink(self, role: Role, path: str) -> bool:
        """Remove a file; False when there was none. Raises `NotAFile` for a directory."""

    def remove_directory(self, role: Role, path: str) -> bool:
        """Remove an empty directory; False when it is missing or not empty."""

    def rename(self, role: Role, path: str, target: str) -> None:
        """Rename a file; never overwrites, never moves into a directory.

        Raises `Missing`, `Exists`.
        """


class Publisher(Protocol):
    """What makes a staged file an object, for the completion of uploads (`publishing.py`)."""

    def publish_file(
        self, role: Role, bucket: str, key: str, staged: str, written: Written, record: ObjectRecord, check: object
    ) -> ObjectRecord:
        """Rename the file at `staged`, which is complete, to the object's path, as `put_object` would publish it.

        It is compared with what was `written` before (`adler32` is "" where that is not known). `check` is the
        `Precondition`; it is evaluated under the key's lock. An object that is there is replaced.
        """
