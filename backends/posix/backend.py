"""The plugin itself: the contract's calls, each by the module that does the work."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import gevent

from backends import hierarchy
from backends.api import (
    ALWAYS,
    ANY_REVISION,
    Backend,
    BackendConfig,
    BucketRecord,
    Caller,
    Capabilities,
    ConfigurationError,
    DeleteOutcome,
    Document,
    ListPage,
    ListQuery,
    NoSuchBucket,
    NoSuchObject,
    ObjectEntry,
    ObjectRecord,
    OpenObject,
    PartRecord,
    PartSource,
    Precondition,
    Source,
    StorageUnavailable,
    StoredUpload,
    UploadRecord,
    blocks,
)
from backends.offload import Shared, offload
from backends.posix.attributes import Records
from backends.posix.buckets import Buckets
from backends.posix.documents import Documents
from backends.posix.failures import translated
from backends.posix.layout import LONGEST_DIRECTORY, Layout, Place, is_bucket_name
from backends.posix.listing import BucketTree, Directories
from backends.posix.locks import Locks
from backends.posix.mounts import is_local
from backends.posix.opened import Finder, PosixObject
from backends.posix.options import Options
from backends.posix.publishing import Publisher
from backends.posix.staging import Staged, supports_nameless
from backends.posix.sweeping import Sweeper
from backends.posix.system import Opener
from backends.posix.uploads import Uploads


class PosixBackend(Backend):
    """Objects as files below `config.directory`. The options are those of `backends.posix.options.Options`."""

    name = "posix"
    capabilities = Capabilities(
        atomic_preconditions=True, server_side_copy=True, atomic_rename=True, parts_at_offset=True
    )

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        self._options: Final = config.parsed(Options)
        if sys.getfilesystemencoding().lower() not in ("utf-8", "utf8"):
            raise ConfigurationError("directory: file names must be UTF-8, but the locale says otherwise")
        # Resolved once, because no symbolic link is followed from here on.
        root = os.path.realpath(config.required_directory)
        if len(os.fsencode(root)) > LONGEST_DIRECTORY:
            raise ConfigurationError(f"directory: its path has more than {LONGEST_DIRECTORY} bytes")
        self._durable: Final = config.durable
        self._layout: Final = Layout(root)
        self._opener: Final = Opener(follow=self._options.follow_symlinks)
        self._records: Final = Records(self._layout)
        self._locks: Final = Locks(self._layout.locks)
        self._file_mode: Final = int(self._options.file_mode, 8)
        directory_mode = int(self._options.directory_mode, 8)
        self._finder: Final = Finder(self._opener, self._records, self._locks)
        self._publisher: Final = Publisher(
            self._layout,
            self._opener,
            self._records,
            self._locks,
            self._finder,
            durable=self._durable,
            mode=directory_mode,
        )
        self._buckets: Final = Buckets(
            self._layout, self._opener, self._locks, durable=self._durable, mode=directory_mode
        )
        self._documents: Final = Documents(self._layout, self._locks, durable=self._durable)
        self._uploads: Final = Uploads(
            self._layout, self._records, self._publisher, durable=self._durable, file_mode=self._file_mode
        )
        self._sweeper: Final = Sweeper(self._layout, self._opener, self._locks, self._records)
        self._directories: Directories | None = None
        self._nameless = False
        self._probing = Shared(self._probe)

    # -- the plugin

    def open(self) -> None:
        layout = self._layout
        try:
            for path in (
                layout.hidden,
                layout.buckets,
                layout.documents,
                layout.making,
                layout.staging,
                layout.uploads,
            ):
                _make(path)
            if not os.access(layout.root, os.R_OK | os.W_OK | os.X_OK):
                raise PermissionError(13, "Permission denied")
        except OSError as error:
            raise ConfigurationError(
                f"directory: {str(self.config.directory)!r} is no directory that can be written: {error.strerror}"
            ) from None
        with self._locks.hold(0):
            # The file is there from now on, also when no other one can be made any more.
            self._nameless = supports_nameless(layout)
        self._directories = Directories(
            self._opener, limit=self._options.cached_names, watch=self._options.watch, local=is_local(layout.root)
        )

    def close(self) -> None:
        if self._directories is not None:
            self._directories.close()
            self._directories = None

    def check(self) -> None:
        timeout = gevent.Timeout(self._options.check_timeout)
        try:
            with timeout:
                reason = self._probing()
        except gevent.Timeout as expired:
            if expired is not timeout:
                raise
            raise StorageUnavailable(f"the storage has not answered for {self._options.check_timeout} s") from None
        if reason:
            raise StorageUnavailable(reason)

    def _probe(self) -> str:
        """What is wrong with the storage; empty when nothing is."""
        try:
            os.statvfs(self._layout.root)
            os.stat(self._layout.staging)
        except OSError as error:
            # Also when DIR is a mount point and nothing is mounted there.
            return f"the directory cannot be used: {error.strerror}"
        return ""

    def sweep(self, older_than: float) -> int:
        return offload(translated(self._sweeper.sweep), older_than)

    # -- buckets

    def create_bucket(self, caller: Caller, record: BucketRecord) -> None:
        self._buckets.create(record)

    def get_bucket(self, caller: Caller, bucket: str) -> BucketRecord:
        return self._buckets.get(bucket)

    def list_buckets(self, caller: Caller) -> list[BucketRecord]:
        return self._buckets.all()

    def change_bucket_owner(self, caller: Caller, bucket: str, owner: str) -> None:
        self._buckets.change_owner(bucket, owner)

    def delete_bucket(self, caller: Caller, bucket: str) -> None:
        self._buckets.delete(bucket)
        self._uploads.forget(bucket)

    def _place(self, bucket: str, key: str) -> Place:
        if not is_bucket_name(bucket):
            raise NoSuchBucket(bucket)
        return self._layout.place(bucket, key)

    # -- objects

    def put_object(
        self, caller: Caller, bucket: str, key: str, source: Source, precondition: Precondition = ALWAYS
    ) -> ObjectRecord:
        place = self._place(bucket, key)
        staged = self._stage(place)
        try:
            for block in blocks(source):
                staged.write(block)
            record = staged.finish(source.record(), self._records, durable=self._durable)
            self._publisher.publish(staged, place, precondition)
        finally:
            staged.close()
        return record

    def _stage(self, place: Place) -> Staged:
        return Staged.make(self._layout, place.bucket, self._file_mode, nameless=self._nameless)

    def get_object(self, caller: Caller, bucket: str, key: str) -> OpenObject:
        return self._open(bucket, key)

    def head_object(self, caller: Caller, bucket: str, key: str) -> ObjectRecord:
        found = self._open(bucket, key)
        found.close()
        return found.record

    def _open(self, bucket: str, key: str) -> PosixObject:
        return self._existing(self._publisher.find(self._place(bucket, key)), bucket, key)

    def _existing(self, found: PosixObject | None, bucket: str, key: str) -> PosixObject:
        if found is None:
            self._buckets.must_exist(bucket)
            raise NoSuchObject(key)
        return found

    def delete_object(
        self, caller: Caller, bucket: str, key: str, precondition: Precondition = ALWAYS
    ) -> DeleteOutcome:
        removed = self._publisher.remove(self._place(bucket, key), precondition)
        if removed is None:
            self._buckets.must_exist(bucket)
        return DeleteOutcome(removed=removed)

    def scan(self, caller: Caller, bucket: str, prefix: str, after: str) -> Iterator[ObjectEntry]:
        yield from hierarchy.scan(self._tree(bucket), hierarchy.DEFAULT_NAMES, prefix, after)

    def list_objects(self, caller: Caller, bucket: str, query: ListQuery) -> ListPage:
        return hierarchy.page(self._tree(bucket), hierarchy.DEFAULT_NAMES, query)

    def _tree(self, bucket: str) -> BucketTree:
        self._buckets.must_exist(bucket)
        if self._directories is None:
            raise RuntimeError("the plugin is not open")
        return BucketTree(self._layout.bucket(bucket), self._directories, self._opener, self._records, self._finder)

    def update_object(
        self, caller: Caller, bucket: str, key: str, change: Callable[[ObjectRecord], ObjectRecord]
    ) -> ObjectRecord:
        place = self._place(bucket, key)
        with self._locks.hold(place.lock):
            found = self._existing(self._publisher.find_locked(place), bucket, key)
            try:
                # Size and time are the file's.
                record = change(found.record).replace(modified=found.record.modified, size=found.record.size)
                self._rewrite(found, record)
            except BaseException:
                found.close()
                raise
        try:
            if self._durable:
                offload(translated(os.fsync), found.fileno())
        finally:
            found.close()
        return record

    @translated
    def _rewrite(self, found: PosixObject, record: ObjectRecord) -> None:
        self._records.write(found.fileno(), record, found.status, durable=self._durable, new=False)

    def copy_object(
        self,
        caller: Caller,
        source: OpenObject,
        bucket: str,
        key: str,
        record: ObjectRecord,
        precondition: Precondition = ALWAYS,
    ) -> ObjectRecord:
        if not isinstance(source, PosixObject):
            return super().copy_object(caller, source, bucket, key, record, precondition)
        place = self._place(bucket, key)
        staged = self._stage(place)
        try:
            staged.copy(source.fileno(), source.record.stored_size)
            record = staged.finish(record, self._records, durable=self._durable)
            self._publisher.publish(staged, place, precondition)
        finally:
            staged.close()
        return record

    def rename_object(
        self,
        caller: Caller,
        bucket: str,
        source: str,
        target: str,
        source_precondition: Precondition = ALWAYS,
        target_precondition: Precondition = ALWAYS,
    ) -> ObjectRecord:
        try:
            return self._publisher.move(
                self._place(bucket, source), self._place(bucket, target), source_precondition, target_precondition
            )
        except NoSuchObject:
            self._buckets.must_exist(bucket)
            raise

    # -- multipart uploads

    def create_upload(self, caller: Caller, bucket: str, upload: UploadRecord) -> None:
        self._buckets.must_exist(bucket)
        self._uploads.create(bucket, upload)

    def load_upload(self, caller: Caller, bucket: str, upload_id: str) -> StoredUpload:
        self._buckets.must_exist(bucket)
        return self._uploads.load(bucket, upload_id)

    def list_uploads(self, caller: Caller, bucket: str) -> list[UploadRecord]:
        self._buckets.must_exist(bucket)
        return self._uploads.all(bucket)

    def put_part(
        self, caller: Caller, bucket: str, upload: UploadRecord, number: int, source: PartSource
    ) -> PartRecord:
        return self._uploads.put_part(bucket, upload, number, source)

    def discard_part(self, caller: Caller, bucket: str, upload: UploadRecord, part: PartRecord) -> None:
        self._uploads.discard(bucket, upload, part)

    def complete_upload(
        self,
        caller: Caller,
        bucket: str,
        upload: UploadRecord,
        parts: Sequence[PartRecord],
        record: ObjectRecord,
        precondition: Precondition = ALWAYS,
    ) -> ObjectRecord:
        place = self._place(bucket, upload.key)
        return self._uploads.complete(bucket, place, upload, parts, record, precondition)

    def abort_upload(self, caller: Caller, bucket: str, upload_id: str) -> None:
        self._uploads.abort(bucket, upload_id)

    def sweep_uploads(self, caller: Caller, older_than: float) -> int:
        return self._uploads.sweep(older_than)

    # -- documents

    def get_document(self, bucket: str | None, name: str) -> Document | None:
        return self._documents.get(bucket, name)

    def put_document(self, bucket: str | None, name: str, data: bytes, expected: str | None = ANY_REVISION) -> str:
        return self._documents.put(bucket, name, data, expected)

    def delete_document(self, bucket: str | None, name: str, expected: str | None = ANY_REVISION) -> None:
        self._documents.delete(bucket, name, expected)

    def list_documents(self, bucket: str | None, prefix: str = "") -> list[str]:
        return self._documents.names(bucket, prefix)


def _make(path: str) -> None:
    """Make one directory below one that has to be there."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
