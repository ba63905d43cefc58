"""From the settings to the identities: the master key, the store that is chosen, and the registry over it."""

from __future__ import annotations

import redis

from backends.api import Backend
from workers.iam.registry import Registry
from workers.iam.sealing import Sealer
from workers.iam.stores.api import DocumentStore
from workers.iam.stores.backend import BackendDocuments
from workers.iam.stores.file import FileDocuments
from workers.iam.stores.shared import Announced
from workers.settings import Settings, SettingsError
from workers.state.announcements import Changes


def open_sealer(settings: Settings) -> Sealer:
    """What seals and opens secrets. Raises `SettingsError`."""
    if not settings.master_key:
        raise SettingsError("master_key: no master key is set (SHARDGATE_MASTER_KEY or SHARDGATE_MASTER_KEY_FILE)")
    try:
        return Sealer([settings.master_key])
    except ValueError as error:
        raise SettingsError(str(error)) from None


def open_store(settings: Settings, backend: Backend, sealer: Sealer) -> DocumentStore:
    """The store of identities that the settings choose. Raises `SettingsError`."""
    if settings.iam_store == "file":
        return FileDocuments(
            settings.iam_file or settings.state_dir / "identities",
            sealer,
            durable=settings.durability == "commit",
        )
    return BackendDocuments(backend)


def open_registry(
    settings: Settings, store: DocumentStore, sealer: Sealer, changes: Changes, client: redis.Redis | None
) -> Registry:
    """The registry for administration: it reads the store itself, and all workers hear of what it changes."""
    return Registry(Announced(store, changes, client), sealer, reserved=[settings.access_key])
