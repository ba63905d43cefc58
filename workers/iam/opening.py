"""From the settings to the identities: the master key, the store that is chosen, and the registry over it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from backends.api import Backend
from workers.iam.master_keys import GivenKeys, KeyFile, KeySource, VaultKeys, VaultTransit, ensure_key_file
from workers.iam.registry import Registry
from workers.iam.sealing import MasterKeyError, Sealer
from workers.iam.stores.api import DocumentStore
from workers.iam.stores.backend import BackendDocuments
from workers.iam.stores.file import FileDocuments
from workers.iam.stores.shared import Announced
from workers.settings import MASTER_KEY_FILE, Settings, SettingsError
from workers.state.announcements import Changes

if TYPE_CHECKING:
    from workers.iam.account_sync import AccountSync
    from workers.iam.ldap import LdapPool
    from workers.iam.vault import VaultSession


def ensure_master_key(settings: Settings) -> None:
    """Make this host's own master key where no setting names one and none was made before. Raises `SettingsError`."""
    if settings.master_key_vault or settings.master_key or settings.master_key_file:
        return
    try:
        ensure_key_file(settings.state_dir / MASTER_KEY_FILE)
    except MasterKeyError as error:
        raise SettingsError(f"state_dir: {error}") from None


def open_sealer(settings: Settings) -> Sealer:
    """What seals and opens secrets. Raises `SettingsError`."""
    source = open_key_source(settings)
    try:
        return Sealer(source.read(), reload=source.read, look_seconds=source.look_seconds)
    except MasterKeyError as error:
        raise SettingsError(f"{_master_key_setting(settings)}: {error}") from None


def open_key_source(settings: Settings) -> KeySource:
    """Where the settings say that the master keys are. Raises `SettingsError`."""
    if settings.master_key_vault:
        return VaultKeys(open_vault(settings), settings.master_key_vault)
    if settings.master_key:
        try:
            return GivenKeys(settings.master_key, settings.origins.get("master_key", "the settings"))
        except MasterKeyError as error:
            raise SettingsError(f"master_key: {error}") from None
    path = settings.master_key_file or settings.state_dir / MASTER_KEY_FILE
    if settings.master_key_file is None and not path.exists():
        raise SettingsError("master_key: no master key is set (SHARDGATE_MASTER_KEY or SHARDGATE_MASTER_KEY_FILE)")
    return KeyFile(path, open_transit(settings))


def open_transit(settings: Settings) -> VaultTransit | None:
    """What encrypts the lines of a key file, None for nothing. Raises `SettingsError`."""
    return VaultTransit(open_vault(settings), settings.vault_transit_key) if settings.vault_transit_key else None


def open_store(settings: Settings, backend: Backend, sealer: Sealer) -> DocumentStore:
    """The store of identities that the settings choose. Raises `SettingsError`."""
    if settings.iam_store == "file":
        return FileDocuments(
            settings.iam_file or settings.state_dir / "identities",
            sealer,
            durable=settings.durability == "commit",
        )
    if settings.iam_store == "ldap":
        return _open_ldap(settings)
    if settings.iam_store == "vault":
        session = open_vault(settings)
        from workers.iam.stores.vault import VaultDocuments

        return VaultDocuments(session, settings.vault_mount, settings.vault_path)
    return BackendDocuments(backend)


def open_vault(settings: Settings) -> VaultSession:
    """A session with the Vault that the settings name; nothing is asked yet. Raises `SettingsError`."""
    try:
        from workers.iam.vault import VaultOptions, VaultSession
    except ImportError as error:
        raise _missing("vault_url", "vault", error) from None
    for name in ("vault_ca", "vault_certificate", "vault_certificate_key"):
        _check_readable(name, getattr(settings, name))
    return VaultSession(
        VaultOptions(
            url=settings.vault_url,
            namespace=settings.vault_namespace,
            token=settings.vault_token,
            token_file=settings.vault_agent_token,
            role_id=settings.vault_role_id,
            secret_id=settings.vault_secret_id,
            approle_mount=settings.vault_approle_mount,
            ca=settings.vault_ca,
            certificate=settings.vault_certificate,
            key=settings.vault_certificate_key,
            timeout=settings.vault_timeout,
        )
    )


def open_people(settings: Settings, registry: Registry) -> AccountSync | None:
    """What keeps accounts for the people of a directory; None where that is off. Raises `SettingsError`."""
    if not settings.ldap_people_base:
        return None
    pool = _open_pool(settings, "ldap_people_base")
    # Its module needs the extra, too.
    from workers.iam.account_sync import AccountSync
    from workers.iam.people import PeopleOptions, read_people

    options = PeopleOptions(
        base=settings.ldap_people_base,
        filter=settings.ldap_people_filter,
        name=settings.ldap_name_attribute,
        access_key=settings.ldap_access_attribute,
        secret=settings.ldap_secret_attribute,
        role=settings.ldap_role_attribute,
        email=settings.ldap_email_attribute,
        uid=settings.ldap_uid_attribute,
        gid=settings.ldap_gid_attribute,
    )
    return AccountSync(registry, lambda: read_people(pool, options), settings.ldap_people_base)


def _open_ldap(settings: Settings) -> DocumentStore:
    pool = _open_pool(settings, "iam_store")
    from workers.iam.stores.ldap import LdapDocuments

    try:
        return LdapDocuments(pool, settings.ldap_base, settings.ldap_form)
    except ValueError as error:
        raise SettingsError(f"ldap_base: {error}") from None


def _open_pool(settings: Settings, needing: str) -> LdapPool:
    try:
        from workers.iam.ldap import LdapOptions, LdapPool
    except ImportError as error:
        raise _missing(needing, "ldap", error) from None
    _check_readable("ldap_ca", settings.ldap_ca)
    return LdapPool(
        LdapOptions(
            urls=settings.ldap_urls,
            start_tls=settings.ldap_start_tls,
            ca=settings.ldap_ca,
            bind_dn=settings.ldap_bind_dn,
            bind_password=settings.ldap_bind_password,
            timeout=settings.ldap_timeout,
        )
    )


def _missing(setting: str, extra: str, error: ImportError) -> SettingsError:
    return SettingsError(f"{setting}: the package {error.name} is missing: pip install 'shardgate[{extra}]'")


def _check_readable(setting: str, path: Path | None) -> None:
    if path is not None and not os.access(path, os.R_OK):
        raise SettingsError(f"{setting}: cannot read {path}")


def _master_key_setting(settings: Settings) -> str:
    named = ("master_key_vault", "master_key", "master_key_file")
    return next((name for name in named if getattr(settings, name)), "master_key")


def open_registry(settings: Settings, store: DocumentStore, sealer: Sealer, changes: Changes) -> Registry:
    """The registry for administration: it reads the store itself, and all workers hear of what it changes."""
    return Registry(Announced(store, changes), sealer, reserved=[settings.access_key])
