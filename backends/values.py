"""What is passed between the gateway and a plugin besides records and bodies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from backends.errors import ConfigurationError, DocumentChanged
from backends.records import BucketRecord, ObjectRecord

Options = TypeVar("Options", bound=msgspec.Struct)

ANY_REVISION: Final = "*"
"""For `put_document` and `delete_document`: whatever revision is there, or none."""


class Caller(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """On whose behalf a call is made, so that the storage system's own permissions can stay in force.

    `account_id` is the canonical user id; `uid`, `gid` and `groups` are the numeric identity in the storage system.
    """

    account_id: str
    user_name: str = ""
    access_key: str = ""
    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] = ()
    roles: tuple[str, ...] = ()


class BackendConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway hands to a plugin when it makes it.

    `directory` is the DIR of `shardgate serve`; `options` is the parsed `--backend-config` file; with `durable` false a
    write may be left to the kernel when it is acknowledged (`durability = "relaxed"`).
    """

    directory: str | None = None
    options: Mapping[str, Any] = {}
    durable: bool = True

    @property
    def required_directory(self) -> str:
        """The directory, for a plugin that cannot do without. Raises `ConfigurationError`."""
        if not self.directory:
            raise ConfigurationError("directory: this backend needs a directory to serve")
        return self.directory

    def parsed(self, form: type[Options]) -> Options:
        """The options as the plugin's own struct of that type.

        The struct says what there is, with types, bounds and defaults; with `forbid_unknown_fields` an option that is
        not in it is refused by name. Raises `ConfigurationError`.
        """
        try:
            return msgspec.convert(dict(self.options), form)
        except msgspec.ValidationError as error:
            raise ConfigurationError(f"backend_config: {error}") from None


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a storage system can do by itself; what is false, the gateway builds from the required calls or refuses.

    Attributes:
        atomic_preconditions: a precondition is checked in the same step as the publication, across processes and hosts.
        server_side_copy: `copy_object` moves no object data through the worker.
        atomic_rename: `rename_object` is one step for every reader.
        versioning: the storage keeps versions of objects; the plugin derives from `VersionedBackend`.
        parts_at_offset: a part of a multipart upload can be written to its final place.
        enforces_permissions: the storage system checks `Caller` itself.
        persistent: what is stored outlives the process and is the same for every worker. False for a store in the
            worker's own memory, which only makes sense with one worker.
        stable_reads: an object that is open is read to its end although it was replaced or removed meanwhile. Without
            it such a read may raise `StorageUnavailable`; it never gives other data.
    """

    atomic_preconditions: bool = False
    server_side_copy: bool = False
    atomic_rename: bool = False
    versioning: bool = False
    parts_at_offset: bool = False
    enforces_permissions: bool = False
    persistent: bool = True
    stable_reads: bool = True


class BucketMapping(msgspec.Struct, frozen=True, kw_only=True):
    """Where a bucket lies in the storage; `mapped` if an operator gave an existing tree its name."""

    record: BucketRecord
    path: str
    mapped: bool = False


class ObjectEntry(msgspec.Struct, frozen=True, gc=False):
    """An object in a listing."""

    key: str
    record: ObjectRecord


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a listing.

    Attributes:
        prefix: only keys that begin with it.
        delimiter: keys that contain it behind the prefix are rolled up to a common prefix; "" for none.
        after: only what comes behind it in order; where it is itself a common prefix, behind all keys of that prefix.
        limit: objects and common prefixes together, at least 1.
    """

    prefix: str = ""
    delimiter: str = ""
    after: str = ""
    limit: int = 1000


class ListPage(msgspec.Struct, frozen=True):
    """A page of a listing; `objects` and `prefixes` in order. `next_after` continues it, None when it was the last."""

    objects: tuple[ObjectEntry, ...] = ()
    prefixes: tuple[str, ...] = ()
    next_after: str | None = None


class DeleteOutcome(msgspec.Struct, frozen=True):
    """What a delete did: the record that went, None when there was nothing; and on versioned buckets the marker."""

    removed: ObjectRecord | None = None
    marker: ObjectRecord | None = None


class Document(msgspec.Struct, frozen=True):
    """A named opaque document; `revision` changes with every write and is compared for equality only."""

    data: bytes
    revision: str


def check_revision(current: str | None, expected: str | None) -> None:
    """Raise `DocumentChanged` unless a document's current revision, None without one, is the expected one."""
    if expected not in (ANY_REVISION, current):
        raise DocumentChanged
