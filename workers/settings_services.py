"""The settings of what the gateway leans on or guards itself with: master keys, LDAP, Vault, budgets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from workers.settings_kinds import FilePath, MasterKeys, Names, Password, Seconds, Secret, Switch, Text, Url, Whole
from workers.settings_option import Option, SettingsError

_ATTRIBUTE: Final = r"[A-Za-z][A-Za-z0-9-]*"
_PLACE: Final = r"[^/\s]+/[^\s]+"

MASTER_KEYS: Final = (
    Option(
        "master_key",
        MasterKeys(32, 128),
        "Key that seals stored secrets, 32 characters at least. All hosts of a fleet need the same one. Several, "
        "separated by blanks, while one is being replaced: the present one first.",
        "",
        default_text="generated, kept in `state_dir/master-key`",
    ),
    Option(
        "master_key_file",
        FilePath(),
        "File with the master keys instead, one a line, the present one first. It is read again when it changes, and "
        "must be closed to others (mode 0640 at most).",
        default_text="`state_dir/master-key`",
    ),
    Option(
        "master_key_vault",
        Text(pattern=_PLACE),
        "`MOUNT/PATH` of a secret in Vault's key/value engine, version 2, whose field `keys` holds the master keys.",
        "",
    ),
    Option(
        "vault_transit_key",
        Text(pattern=_PLACE),
        "`MOUNT/NAME` of the key of Vault's transit engine that decrypts the lines of `master_key_file` that it "
        "encrypted.",
        "",
    ),
)

LDAP: Final = (
    Option(
        "ldap_urls",
        Names(Url(("ldap", "ldaps"))),
        '`ldap://` or `ldaps://` URLs of the servers of `iam_store = "ldap"`, in the order in which they are tried.',
        (),
    ),
    Option("ldap_base", Text(), "DN of the entry below which the documents are kept. It must exist.", ""),
    Option(
        "ldap_form",
        Text(choices=("device", "shardgate")),
        "Form of the entries: `device` needs no schema of its own, `shardgate` that of `deploy/ldap/shardgate.ldif`.",
        "device",
    ),
    Option("ldap_bind_dn", Text(), "DN that the gateway binds as; empty for anonymous.", ""),
    Option("ldap_bind_password", Password(), "Its password.", ""),
    Option("ldap_start_tls", Switch(), "Encrypt connections of `ldap://`, and refuse those that cannot be.", True),
    Option(
        "ldap_ca",
        FilePath(),
        "PEM file with the authorities that the servers' certificates are checked against.",
        default_text="the system's",
    ),
    Option("ldap_timeout", Seconds(0.1, 60), "Seconds for connecting, and for each answer.", 5.0),
)

PEOPLE: Final = (
    Option(
        "ldap_people_base",
        Text(),
        "DN below which the people are who shall have accounts, whatever the store of identities is; empty for none. "
        "`ldap_urls` and the other settings of the connection hold for them, too.",
        "",
    ),
    Option("ldap_people_filter", Text(pattern=r"\(.+\)"), "Which entries are people.", "(objectClass=posixAccount)"),
    Option("ldap_people_interval", Seconds(1, 86400), "Seconds between two looks at them.", 60.0),
    Option("ldap_name_attribute", Text(pattern=_ATTRIBUTE), "Attribute with the account's name.", "uid"),
    Option("ldap_access_attribute", Text(pattern=_ATTRIBUTE), "Attribute with the access key.", "uid"),
    Option("ldap_secret_attribute", Text(pattern=_ATTRIBUTE), "Attribute with the secret key.", ""),
    Option(
        "ldap_role_attribute",
        Text(pattern=_ATTRIBUTE),
        "Attribute that is `user` for those who may not create buckets, `userplus` for those who may, as may who has "
        "none, and `admin` for administrators, who may do everything. Empty: roles are given here.",
        "",
    ),
    Option("ldap_email_attribute", Text(pattern=_ATTRIBUTE), "Attribute with the e-mail address.", "mail"),
    Option("ldap_uid_attribute", Text(pattern=_ATTRIBUTE), "Attribute with the user id in the storage.", "uidNumber"),
    Option("ldap_gid_attribute", Text(pattern=_ATTRIBUTE), "Attribute with the group id in the storage.", "gidNumber"),
)

VAULT: Final = (
    Option("vault_url", Url(("http", "https")), 'URL of the Vault of `iam_store = "vault"` and of master keys.', ""),
    Option("vault_namespace", Text(), "Namespace that everything is in.", ""),
    Option("vault_mount", Text(pattern=r"[^\s]+"), "Where the key/value engine, version 2, is mounted.", "secret"),
    Option("vault_path", Text(pattern=r"[^\s]+"), "Path in it below which the documents are kept.", "shardgate"),
    Option("vault_token", Secret(1, 4096), "Token. It is renewed.", ""),
    Option("vault_agent_token", FilePath(), "File instead in which Vault's agent keeps a valid token."),
    Option("vault_role_id", Text(pattern=r"[!-~]+"), "Role id of an AppRole instead of a token.", ""),
    Option("vault_secret_id", Secret(1, 4096), "Secret id of the AppRole.", ""),
    Option("vault_approle_mount", Text(pattern=r"[^\s]+"), "Where the AppRole method is mounted.", "approle"),
    Option(
        "vault_ca",
        FilePath(),
        "PEM file with the authorities that Vault's certificate is checked against.",
        default_text="the system's",
    ),
    Option("vault_certificate", FilePath(), "PEM file with a certificate of the gateway's own for Vault."),
    Option("vault_certificate_key", FilePath(), "PEM file with its key, when that is not in the same file."),
    Option("vault_timeout", Seconds(0.1, 60), "Seconds that one request may take.", 5.0),
)

_MOST: Final = 1 << 53
"""Budgets are numbers in Redis's Lua, whose whole numbers end there."""

BUDGETS: Final = (
    Option(
        "budgets",
        Switch(),
        "Hold accounts and buckets to budgets that the fleet shares. Over budget, requests are answered with SlowDown.",
        False,
    ),
    Option(
        "account_requests", Whole(0, _MOST), "Requests a second of an account that has no limit of its own. 0: any.", 0
    ),
    Option(
        "account_bytes",
        Whole(0, _MOST),
        "Bytes a second, both directions together, of an account that has no limit of its own. 0: any.",
        0,
    ),
    Option(
        "account_concurrent",
        Whole(0, 1_000_000),
        "Requests at a time of an account that has no limit of its own. 0: any.",
        0,
    ),
    Option("bucket_requests", Whole(0, _MOST), "Requests a second to one bucket, whoever sends them. 0: any.", 0),
    Option("bucket_bytes", Whole(0, _MOST), "Bytes a second, both directions together, of one bucket. 0: any.", 0),
    Option("bucket_concurrent", Whole(0, 1_000_000), "Requests at a time to one bucket. 0: any.", 0),
    Option(
        "budget_share_alone",
        Whole(1, 100),
        "Percent of a budget that each worker hands out by itself while Redis is away.",
        10,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """The values of these settings."""

    master_key: str = field(default="", repr=False)
    master_key_file: Path | None = None
    master_key_vault: str = ""
    vault_transit_key: str = ""
    ldap_urls: tuple[str, ...] = ()
    ldap_base: str = ""
    ldap_form: str = "device"
    ldap_bind_dn: str = ""
    ldap_bind_password: str = field(default="", repr=False)
    ldap_start_tls: bool = True
    ldap_ca: Path | None = None
    ldap_timeout: float = 5.0
    ldap_people_base: str = ""
    ldap_people_filter: str = "(objectClass=posixAccount)"
    ldap_people_interval: float = 60.0
    ldap_name_attribute: str = "uid"
    ldap_access_attribute: str = "uid"
    ldap_secret_attribute: str = ""
    ldap_role_attribute: str = ""
    ldap_email_attribute: str = "mail"
    ldap_uid_attribute: str = "uidNumber"
    ldap_gid_attribute: str = "gidNumber"
    vault_url: str = ""
    vault_namespace: str = ""
    vault_mount: str = "secret"
    vault_path: str = "shardgate"
    vault_token: str = field(default="", repr=False)
    vault_agent_token: Path | None = None
    vault_role_id: str = field(default="", repr=False)
    vault_secret_id: str = field(default="", repr=False)
    vault_approle_mount: str = "approle"
    vault_ca: Path | None = None
    vault_certificate: Path | None = None
    vault_certificate_key: Path | None = None
    vault_timeout: float = 5.0
    budgets: bool = False
    account_requests: int = 0
    account_bytes: int = 0
    account_concurrent: int = 0
    bucket_requests: int = 0
    bucket_bytes: int = 0
    bucket_concurrent: int = 0
    budget_share_alone: int = 10


def check_services(values: Mapping[str, Any], origins: Mapping[str, str]) -> None:
    """Check what concerns several of these settings. Raises `SettingsError`."""
    given = [name for name in ("master_key", "master_key_file", "master_key_vault") if values[name]]
    if len(given) > 1:
        raise SettingsError(f"{given[1]} ({origins[given[1]]}): {given[0]} is set as well; give one of them")
    if values["master_key_vault"] or values["vault_transit_key"] or values["iam_store"] == "vault":
        _check_vault(values, origins)
    if values["iam_store"] == "ldap":
        for name in ("ldap_urls", "ldap_base"):
            if not values[name]:
                raise SettingsError(f'{name} is not set, but iam_store is "ldap" ({origins["iam_store"]})')
    if values["ldap_people_base"]:
        for name in ("ldap_urls", "ldap_name_attribute", "ldap_access_attribute", "ldap_secret_attribute"):
            if not values[name]:
                raise SettingsError(f"{name} is not set, but ldap_people_base is ({origins['ldap_people_base']})")
    if values["ldap_bind_dn"] and not values["ldap_bind_password"]:
        # A server would take an empty password for an anonymous one (RFC 4513, section 5.1.2).
        raise SettingsError(f"ldap_bind_password is not set, but ldap_bind_dn is ({origins['ldap_bind_dn']})")


def _check_vault(values: Mapping[str, Any], origins: Mapping[str, str]) -> None:
    if not values["vault_url"]:
        needing = next(name for name in ("master_key_vault", "vault_transit_key", "iam_store") if values[name])
        raise SettingsError(f"vault_url is not set, but {needing} ({origins[needing]}) needs it")
    if not (values["vault_token"] or values["vault_agent_token"] or values["vault_role_id"]):
        raise SettingsError("vault_token is not set, nor are vault_agent_token and vault_role_id: give one of them")
