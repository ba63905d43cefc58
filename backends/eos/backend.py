"""The plugin itself: the contract's calls, each by the module that does the work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from backends import hierarchy
from backends.api import (
    ALWAYS,
    ANY_REVISION,
    Backend,
    BackendConfig,
    BucketMapping,
    BucketRecord,
    Caller,
    Capabilities,
    ConfigurationError,
    DeleteOutcome,
    Document,
    ListPage,
    ListQuery,
    NoSuchObject,
    ObjectEntry,
    ObjectRecord,
    OpenObject,
    PartRecord,
    PartSource,
    PermissionDenied,
    Precondition,
    Source,
    StorageUnavailable,
    StoredUpload,
    UploadRecord,
)
from backends.eos.attributes import record_of, recorded
from backends.eos.channel import Channels
from backends.eos.copying import Copier
from backends.eos.data import HttpData
from backends.eos.documents import Documents
from backends.eos.failures import Missing, StateRefused
from backends.eos.identity import Identities
from backends.eos.interfaces import Download, Entry, EntryChanged, Role
from backends.eos.layout import NAMES, Layout
from backends.eos.listing import BucketTree, Directories
from backends.eos.locks import Locks
from backends.eos.namespace import Namespace
from backends.eos.options import options_of
from backends.eos.places import Places
from backends.eos.publishing import Publisher
from backends.eos.registry import Registry
from backends.eos.settling import Settler
from backends.eos.tokens import TokenCredentials
from backends.eos.uploads import Uploads

_TRIES: Final = 16


class EosObject(OpenObject):
    """A file of EOS, opened."""

    __slots__ = ("_download", "entry")

    def __init__(self, entry: Entry, download: Download) -> None:
        self.record = record_of(entry)
        self.entry = entry
        self._download = download

    def read(self, offset: int, length: int) -> Iterator[bytes]:
        return self._download.read(offset, length)

    def close(self) -> None:
        self._download.close()


class EosBackend(Backend):
    """Objects as files of an EOS instance. The options are those of `backends.eos.options.Options`."""

    name = "eos"
    capabilities = Capabilities(
        atomic_preconditions=True,
        server_side_copy=True,
        parts_at_offset=True,
        enforces_permissions=True,
        stable_reads=False,
    )

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        options = self._options = options_of(config)
        identities = self._identities = Identities(options)
        self._layout: Final = Layout(options.state)
        self._channels: Final = Channels(options)
        self._namespace: Final = Namespace(options, self._channels)
        tokens = self._tokens = TokenCredentials(self._namespace) if options.tokens else None
        self._data: Final = HttpData(options, tokens)
        self._locks: Final = Locks(
            self._namespace,
            identities.service,
            self._layout.locks,
            options.lock_lease,
            patience=2 * options.lock_lease + options.call_timeout,
        )
        self._settler: Final = Settler(self._namespace, self._data, verify=options.verify_checksums)
        self._documents: Final = Documents(
            self._namespace, self._data, self._settler, self._layout, self._locks, identities.service
        )
        self._registry: Final = Registry(
            options, self._namespace, self._layout, self._locks, self._documents, identities.service
        )
        self._places: Final = Places(self._namespace, self._registry, self._locks)
        self._publisher: Final = Publisher(
            options, self._namespace, self._data, self._settler, self._registry, self._places, self._locks
        )
        self._copier: Final = Copier(options, self._namespace, self._data, self._registry, self._publisher)
        self._uploads: Final = Uploads(
            options,
            self._namespace,
            self._data,
            self._settler,
            self._registry,
            self._places,
            self._locks,
            self._publisher,
            identities.service,
        )
        self._directories: Final = Directories(self._namespace, limit=options.cached_names, age=options.listing_cache)

    # -- the plugin

    def open(self) -> None:
        self._channels.open()
        self._data.open()
        try:
            self._data.check_tls()
            self._make_state()
            self._check_tokens()
        except BaseException:
            self.close()
            raise

    def _make_state(self) -> None:
        service, state = self._identities.service, self._layout.state
        if not self._namespace.is_sudoer(self._options.call_timeout):
            raise ConfigurationError("eos: authkey: EOS does not know this key as one of a sudoer (eos vid)")
        try:
            if self._namespace.stat(service, self._layout.directories[-1]) is not None:
                return
            for path in (state, *self._layout.directories):
                # Asked first: mkdir is refused, even of what is there, to who may not write above it.
                if self._namespace.stat(service, path) is None:
                    self._namespace.make_directory(service, path)
        except Missing:
            raise ConfigurationError(f"eos: state: the parent of {state!r} does not exist in EOS") from None
        except (PermissionDenied, StateRefused) as error:
            raise ConfigurationError(f"eos: state: uid {service.uid} may not use or make {state!r}: {error}") from None

    def _check_tokens(self) -> None:
        if self._tokens is None:
            return
        try:
            self._tokens.headers(self._identities.service, f"{self._layout.state}/-", write=True)
        except (PermissionDenied, StateRefused) as error:
            raise ConfigurationError(f"eos: tokens: EOS gives none: {error}") from None

    def close(self) -> None:
        self._data.close()
        self._channels.close()

    def check(self) -> None:
        if not self._namespace.is_sudoer(self._options.check_timeout):
            raise StorageUnavailable("EOS does not know the gateway's key as one of a sudoer any more")
        if self._namespace.stat(self._identities.service, self._layout.locks) is None:
            raise StorageUnavailable("the state directory has been removed")

    def sweep(self, older_than: float) -> int:
        return self._documents.sweep(older_than) + self._locks.sweep(self._publisher.finish)

    # -- buckets

    def create_bucket(self, caller: Caller, record: BucketRecord) -> None:
        self._registry.create(caller, self._role(caller), record)

    def get_bucket(self, caller: Caller, bucket: str) -> BucketRecord:
        return self._registry.row(bucket).record

    def list_buckets(self, caller: Caller) -> list[BucketRecord]:
        return [row.record for row in self._registry.rows()]

    def change_bucket_owner(self, caller: Caller, bucket: str, owner: str) -> None:
        self._registry.change_owner(bucket, owner)

    def delete_bucket(self, caller: Caller, bucket: str) -> None:
        self._registry.delete(self._role(caller), bucket)

    def map_bucket(self, record: BucketRecord, path: str) -> None:
        self._registry.map(record, path)

    def unmap_bucket(self, bucket: str) -> None:
        self._registry.unmap(bucket)

    def list_mappings(self) -> list[BucketMapping]:
        return [BucketMapping(record=row.record, path=row.path, mapped=row.mapped) for row in self._registry.rows()]

    # -- objects

    def put_object(
        self, caller: Caller, bucket: str, key: str, source: Source, precondition: Precondition = ALWAYS
    ) -> ObjectRecord:
        return self._publisher.put(self._role(caller), bucket, key, source, precondition)

    def get_object(self, caller: Caller, bucket: str, key: str) -> OpenObject:
        role = self._role(caller)
        # The MGM is asked for metadata (gRPC) and for the way to the data (HTTP) side by side.
        asked = self._data.ask(role, self._places.place(bucket, key).natural)
        try:
            for attempt in range(_TRIES):
                entry = self._find(role, bucket, key)
                try:
                    return EosObject(entry, self._data.open_read(role, entry, asked=asked if not attempt else None))
                except (EntryChanged, NoSuchObject):
                    # Replaced between the two looks: the next one tells what is there. Unless it lags behind.
                    time.sleep(min(0.2, 0.001 * 2**attempt))
        finally:
            asked.drop()
        raise StorageUnavailable("the object is replaced faster than it can be opened", retry_after=1)

    def head_object(self, caller: Caller, bucket: str, key: str) -> ObjectRecord:
        return record_of(self._find(self._role(caller), bucket, key))

    def _find(self, role: Role, bucket: str, key: str) -> Entry:
        entry = self._places.find_patiently(role, self._places.place(bucket, key))
        if entry is None:
            self._registry.must_exist(bucket)
            raise NoSuchObject(key)
        return recorded(entry)

    def delete_object(
        self, caller: Caller, bucket: str, key: str, precondition: Precondition = ALWAYS
    ) -> DeleteOutcome:
        return self._publisher.delete(self._role(caller), bucket, key, precondition)

    def scan(self, caller: Caller, bucket: str, prefix: str, after: str) -> Iterator[ObjectEntry]:
        yield from hierarchy.scan(self._tree(caller, bucket), NAMES, prefix, after)

    def list_objects(self, caller: Caller, bucket: str, query: ListQuery) -> ListPage:
        return hierarchy.page(self._tree(caller, bucket), NAMES, query)

    def _tree(self, caller: Caller, bucket: str) -> BucketTree:
        role = self._role(caller)
        return BucketTree(role, self._registry.listable(role, bucket), self._directories)

    def update_object(
        self, caller: Caller, bucket: str, key: str, change: Callable[[ObjectRecord], ObjectRecord]
    ) -> ObjectRecord:
        record, path = self._publisher.update(self._role(caller), bucket, key, change)
        self._directories.forget_records(path.rpartition("/")[0])
        return record

    def copy_object(
        self,
        caller: Caller,
        source: OpenObject,
        bucket: str,
        key: str,
        record: ObjectRecord,
        precondition: Precondition = ALWAYS,
    ) -> ObjectRecord:
        if isinstance(source, EosObject):
            role = self._role(caller)
            copied = self._copier.copy(role, source.entry, bucket, key, record, precondition)
            if copied is not None:
                return copied
        return super().copy_object(caller, source, bucket, key, record, precondition)

    def rename_object(
        self,
        caller: Caller,
        bucket: str,
        source: str,
        target: str,
        source_precondition: Precondition = ALWAYS,
        target_precondition: Precondition = ALWAYS,
    ) -> ObjectRecord:
        return self._publisher.rename(
            self._role(caller), bucket, source, target, source_precondition, target_precondition
        )

    def _role(self, caller: Caller) -> Role:
        return self._identities.role(caller)

    # -- multipart uploads

    def create_upload(self, caller: Caller, bucket: str, upload: UploadRecord) -> None:
        self._uploads.create(self._role(caller), bucket, upload)

    def load_upload(self, caller: Caller, bucket: str, upload_id: str) -> StoredUpload:
        return self._uploads.load(bucket, upload_id)

    def list_uploads(self, caller: Caller, bucket: str) -> list[UploadRecord]:
        return self._uploads.all(bucket)

    def put_part(
        self, caller: Caller, bucket: str, upload: UploadRecord, number: int, source: PartSource
    ) -> PartRecord:
        return self._uploads.put_part(self._role(caller), bucket, upload, number, source)

    def discard_part(self, caller: Caller, bucket: str, upload: UploadRecord, part: PartRecord) -> None:
        self._uploads.discard(self._role(caller), bucket, upload, part)

    def complete_upload(
        self,
        caller: Caller,
        bucket: str,
        upload: UploadRecord,
        parts: Sequence[PartRecord],
        record: ObjectRecord,
        precondition: Precondition = ALWAYS,
    ) -> ObjectRecord:
        return self._uploads.complete(self._role(caller), bucket, upload, parts, record, precondition)

    def abort_upload(self, caller: Caller, bucket: str, upload_id: str) -> None:
        self._uploads.abort(self._role(caller), bucket, upload_id)

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
