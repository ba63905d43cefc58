"""The registry of buckets: which there are, and which directory of EOS is theirs.

A bucket is a file in the state directory whose attribute holds record and path as one value: it exists from the moment
at which that is set, and no longer when the file is gone. The directory is made as the caller, before; so EOS decides
who may have buckets where. Rows for existing trees (`mapped`) are an operator's; their directory is never made and
never removed.
"""

from __future__ import annotations

import re
import threading
import time
from typing import Final

import msgspec

from backends.api import (
    BucketExists,
    BucketRecord,
    Caller,
    ConfigurationError,
    NoSuchBucket,
    PermissionDenied,
    StorageUnavailable,
)
from backends.eos.documents import Documents
from backends.eos.failures import Exists, Missing
from backends.eos.interfaces import Role
from backends.eos.layout import RESERVED, Layout, bucket_lock, is_bucket_name
from backends.eos.locks import Locks
from backends.eos.namespace import Namespace
from backends.eos.options import Options
from backends.eos.removal import remove_tree

ATTRIBUTE: Final = "user.shardgate.bucket"
_USER: Final = re.compile(r"[A-Za-z0-9_@+-][A-Za-z0-9_.@+-]*")


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the registry; `path` is the bucket's directory as EOS calls it (symbolic links resolved)."""

    record: BucketRecord
    path: str
    mapped: bool = False
    format: int = 1


class Registry:
    """Buckets by name."""

    def __init__(
        self, options: Options, namespace: Namespace, layout: Layout, locks: Locks, documents: Documents, service: Role
    ) -> None:
        self._options: Final = options
        self._namespace: Final = namespace
        self._layout: Final = layout
        self._locks: Final = locks
        self._documents: Final = documents
        self._service: Final = service
        self._known: Final[dict[str, tuple[float, str]]] = {}
        self._guard: Final = threading.Lock()

    # -- looking

    def row(self, bucket: str) -> Registered:
        """The row of a bucket as it is now. Raises `NoSuchBucket`."""
        if not is_bucket_name(bucket):
            raise NoSuchBucket(bucket)
        entry = self._namespace.stat(self._service, self._layout.bucket(bucket))
        value = entry.attributes.get(ATTRIBUTE) if entry is not None else None
        if value is None:
            self._forget(bucket)
            raise NoSuchBucket(bucket)
        row = _decoded(bucket, value)
        with self._guard:
            self._known[bucket] = (time.monotonic(), row.path)
        return row

    def root(self, bucket: str) -> str:
        """The bucket's directory; what is known is taken for granted for a while. Raises `NoSuchBucket`."""
        known = self._known.get(bucket)
        if known is not None and time.monotonic() - known[0] < self._options.bucket_cache:
            return known[1]
        return self.row(bucket).path

    def listable(self, role: Role, bucket: str) -> str:
        """The bucket's directory, for a listing: it must be there, and to be entered. Raises `NoSuchBucket`."""
        path = self.row(bucket).path
        # What EOS refuses here is refused to the client; in directories below it is only left out.
        if self._namespace.stat(role, path) is None:
            raise NoSuchBucket(bucket)
        return path

    def must_exist(self, bucket: str) -> None:
        """Raises `NoSuchBucket`."""
        self.row(bucket)

    def rows(self) -> list[Registered]:
        """All buckets, ordered by name."""
        found: list[Registered] = []
        for entry in self._namespace.find(self._service, self._layout.buckets):
            value = entry.attributes.get(ATTRIBUTE)
            if value is not None and not entry.directory:
                found.append(_decoded(entry.path, value))
        return sorted(found, key=lambda row: row.record.name)

    def _forget(self, bucket: str) -> None:
        with self._guard:
            self._known.pop(bucket, None)

    # -- changing

    def create(self, caller: Caller, role: Role, record: BucketRecord) -> None:
        """Make a bucket and its directory. Raises `BucketExists`, and what EOS refuses."""
        name = record.name
        if not is_bucket_name(name):
            raise ValueError(f"{name!r} is no name of a bucket")
        path = f"{self._root_for(caller, role)}/{name}"
        with self._locks.hold(bucket_lock(name)):
            self._must_be_new(name)
            self._make_directory(role, path)
            self._register(Registered(record=record, path=path))

    def map(self, record: BucketRecord, path: str) -> None:
        """Give an existing tree a bucket's name. Raises `BucketExists`, `ConfigurationError`."""
        if not is_bucket_name(record.name):
            raise ConfigurationError(f"{record.name!r} is no name of a bucket")
        state = self._layout.state
        parts = path.split("/")
        if not path.startswith("/") or len(parts) < 3 or any(part in ("", ".", "..") for part in parts[1:]):
            raise ConfigurationError(f"{path!r} is no path such as /eos/instance/tree")
        if any(part.startswith(RESERVED) for part in parts) or f"{path}/".startswith(f"{state}/"):
            raise ConfigurationError(f"{path!r} is EOS's or the gateway's own")
        entry = self._namespace.stat(self._service, path)
        if entry is None or not entry.directory:
            raise ConfigurationError(f"{path!r} is no directory in EOS")
        with self._locks.hold(bucket_lock(record.name)):
            self._must_be_new(record.name)
            self._register(Registered(record=record, path=entry.path, mapped=True))

    def unmap(self, bucket: str) -> None:
        """Remove the row of a mapped tree, which stays. Raises `NoSuchBucket`, `PermissionDenied` for another one."""
        with self._locks.hold(bucket_lock(bucket)):
            if not self.row(bucket).mapped:
                raise PermissionDenied(f"{bucket} is no mapped tree")
            self._unregister(bucket)

    def change_owner(self, bucket: str, owner: str) -> None:
        """Write another owner into a bucket's row; who owns its directory in EOS stays. Raises `NoSuchBucket`."""
        with self._locks.hold(bucket_lock(bucket)):
            row = self.row(bucket)
            changed = msgspec.structs.replace(row, record=msgspec.structs.replace(row.record, owner=owner))
            attributes = {ATTRIBUTE: msgspec.json.encode(changed)}
            self._namespace.set_attributes(self._service, self._layout.bucket(bucket), attributes)

    def delete(self, role: Role, bucket: str) -> None:
        """Remove an empty bucket with its documents. Raises `BucketNotEmpty`, `PermissionDenied` for a mapped one."""
        with self._locks.hold(bucket_lock(bucket)):
            row = self.row(bucket)
            if row.mapped:
                raise PermissionDenied(f"{bucket} is a mapped tree, which only an operator can unmap")
            # The directory decides: EOS refuses to remove it while an object lies or is being written below.
            remove_tree(self._namespace, role, row.path)
            self._unregister(bucket)

    def _must_be_new(self, bucket: str) -> None:
        try:
            self.row(bucket)
        except NoSuchBucket:
            return
        raise BucketExists(bucket)

    def _make_directory(self, role: Role, path: str) -> None:
        try:
            try:
                made = self._namespace.make_directory(role, path)
            except Missing:
                self._make_parents(role, path.rpartition("/")[0])
                made = self._namespace.make_directory(role, path)
        except Exists:
            raise BucketExists(path) from None
        if made:
            return
        # Left by a gateway that died before it registered the bucket, or somebody's tree.
        entry = self._namespace.stat(role, path)
        if entry is None or entry.children or entry.uid != role.uid:
            raise BucketExists(path)

    def _make_parents(self, role: Role, path: str) -> None:
        if path.count("/") < 2:
            raise PermissionDenied(f"{path} does not exist in EOS")
        try:
            self._namespace.make_directory(role, path)
        except Missing:
            self._make_parents(role, path.rpartition("/")[0])
            self._namespace.make_directory(role, path)

    def _register(self, row: Registered) -> None:
        name = row.record.name
        self._documents.prepare(name)
        file = self._layout.bucket(name)
        self._namespace.touch(self._service, file)
        self._namespace.set_attributes(self._service, file, {ATTRIBUTE: msgspec.json.encode(row)})
        with self._guard:
            self._known[name] = (time.monotonic(), row.path)

    def _unregister(self, bucket: str) -> None:
        self._documents.drop(bucket)
        self._namespace.unlink(self._service, self._layout.bucket(bucket))
        self._forget(bucket)

    def _root_for(self, caller: Caller, role: Role) -> str:
        pattern = self._options.root
        for special in self._options.user_roots:
            if special.uid == role.uid or (special.user and special.user == caller.user_name):
                pattern = special.path
        if "{user}" in pattern and not _USER.fullmatch(caller.user_name):
            raise PermissionDenied(f"{caller.user_name!r} cannot be part of a path")
        return pattern.format(uid=role.uid, user=caller.user_name)


def _decoded(name: str, value: bytes) -> Registered:
    try:
        return msgspec.json.decode(value, type=Registered)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StorageUnavailable(f"damaged record of bucket {name}: {error}") from None
