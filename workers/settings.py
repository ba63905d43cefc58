"""The gateway's settings: one documented table, read from a TOML file, the environment and the command line.

`workers.settings_table` is the table. `Settings`, the command line's flags, `docs/settings.md` and `shardgate config`
are all made from it or checked against it, so that no setting exists in one place only. A later source wins:
default < TOML file < environment < command line.
"""

import difflib
import json
import os
import ssl
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from workers.settings_option import ENVIRONMENT_PREFIX, Option
from workers.settings_option import SettingsError as SettingsError
from workers.settings_services import ServiceSettings, check_services
from workers.settings_table import OPTION_BY_NAME, OPTIONS

ROOT_CREDENTIALS_FILE: Final = "root-credentials.json"
MASTER_KEY_FILE: Final = "master-key"


@dataclass(frozen=True, slots=True)
class Settings(ServiceSettings):
    """The effective settings. Paths are absolute, times are seconds, sizes are bytes."""

    state_dir: Path
    workers: int
    directory: Path | None = None
    backend: str = "posix"
    backend_config: Path | None = None
    durability: str = "commit"
    read_only: bool = False
    janitor_interval: float = 300.0
    janitor_age: float = 86400.0
    multipart_max_age: float = 604800.0
    multipart_min_part_size: int = 5 << 20
    host: str = "127.0.0.1"
    port: int = 9000
    listen_socket: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    proxy_protocol: bool = False
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    region: str = "us-east-1"
    virtual_host_domains: tuple[str, ...] = ()
    redis_url: str = field(default="", repr=False)
    redis_timeout: float = 1.0
    worker_connections: int = 4000
    backlog: int = 2048
    graceful_timeout: float = 300.0
    worker_timeout: float = 60.0
    shards: int = 0
    shard_id: str = ""
    advertise: str = ""
    shard_weight: int = 100
    heartbeat_interval: float = 1.0
    shard_expiry: float = 10.0
    max_connections: int = 10_000
    connections_per_client: int = 0
    requests_per_client: int = 0
    response_timeout: float = 900.0
    balance_factor: int = 150
    haproxy: Path | None = None
    head_timeout: float = 30.0
    body_timeout: float = 60.0
    keepalive: float = 75.0
    max_header_bytes: int = 65536
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    iam_store: str = "backend"
    iam_file: Path | None = None
    new_bucket_ownership: str = "BucketOwnerEnforced"
    new_bucket_public_access_block: bool = True
    auth_cache_ttl: float = 60.0
    auth_grace: float = 300.0
    unknown_key_rate: int = 50
    oidc_issuers: tuple[str, ...] = ()
    oidc_ca: Path | None = None
    log_level: str = "info"
    access_log: str | None = None
    statsd_host: str = ""
    statsd_port: int = 8125
    statsd_prefix: str = "shardgate"
    config_file: Path | None = None
    origins: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """Where each value came from, in words for people: `default`, `--port`, `SHARDGATE_PORT`, `port in FILE`."""

    @property
    def bind(self) -> str:
        """The address in gunicorn's notation: `host:port`, `[v6]:port` or `unix:/path`."""
        if self.listen_socket is not None:
            return f"unix:{self.listen_socket}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def endpoint(self) -> str:
        """The URL that a client on this host uses."""
        scheme = "http" if self.tls_certificate is None else "https"
        if self.listen_socket is not None:
            return f"{scheme}+unix://{self.listen_socket}"
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"{scheme}://[{host}]:{self.port}" if ":" in host else f"{scheme}://{host}:{self.port}"

    def as_environment(self, *, only_from: Callable[[str], bool] = lambda origin: True) -> dict[str, str]:
        """Environment variables that give another process these settings; secrets are left out.

        `only_from` chooses by origin: a supervisor hands on what it was told on the command line or computed,
        while its children read the environment and the file themselves, and so see changes of the file.
        """
        found = {
            option.variable: option.kind.show(getattr(self, option.name))
            for option in OPTIONS
            if not option.secret and getattr(self, option.name) is not None and only_from(self.origins[option.name])
        }
        if self.config_file is not None:
            found[ENVIRONMENT_PREFIX + "CONFIG"] = str(self.config_file)
        return found


def load_settings(
    cli: Mapping[str, Any],
    environ: Mapping[str, str],
    config_file: str | Path | None = None,
    *,
    base: Path | None = None,
) -> Settings:
    """Read all sources. Relative paths count from `base` (the current directory), those in the file from the file.

    `cli` maps option names to what the command line gave; None means not given. Without `config_file` the
    variable SHARDGATE_CONFIG may name one. Raises SettingsError.
    """
    here = base or Path.cwd()
    path = _config_path(config_file, environ, here)
    document = _read_document(path) if path else {}
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for option in OPTIONS:
        given = cli.get(option.name)
        variable, text = _from_environment(option, environ)
        if given is not None and given != ():
            raw, origin, root = given, option.flag, here
        elif text is not None:
            raw, origin, root = text, variable, here
        elif path is not None and option.name in document:
            raw, origin, root = document[option.name], f"{option.name} in {path}", path.parent
        else:
            values[option.name], origins[option.name] = option.default, "default"
            continue
        try:
            values[option.name] = option.kind.parse(raw, root)
        except ValueError as error:
            raise SettingsError(f"{option.name} ({origin}): {error}") from None
        origins[option.name] = origin
    _complete(values, origins, here)
    return Settings(**values, config_file=path, origins=MappingProxyType(origins))


def load_worker_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of a process that has no command line of ours: a worker, or gunicorn started directly.

    The generated root credentials and master key are taken from the state directory when nothing else names any.
    Raises SettingsError.
    """
    return with_generated_secrets(load_settings({}, os.environ if environ is None else environ))


def with_generated_secrets(settings: Settings) -> Settings:
    """The same settings with what an earlier start generated, where nothing else names it. Raises SettingsError."""
    found: dict[str, Any] = {}
    origins = dict(settings.origins)
    if not settings.access_key:
        path = settings.state_dir / ROOT_CREDENTIALS_FILE
        pair = read_root_credentials(path)
        if pair is not None:
            found["access_key"], found["secret_key"] = pair
            origins["access_key"] = origins["secret_key"] = str(path)
    if not (settings.master_key or settings.master_key_file or settings.master_key_vault):
        path = settings.state_dir / MASTER_KEY_FILE
        if path.exists():
            found["master_key_file"] = path
            origins["master_key_file"] = "generated"
    return replace(settings, **found, origins=MappingProxyType(origins))


def read_root_credentials(path: Path) -> tuple[str, str] | None:
    """Access key and secret key that an earlier start generated, or None when there is no such file."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return str(document["access_key"]), str(document["secret_key"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"root credentials cannot be read from {path}: {type(error).__name__}: {error}") from None


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """One line for each SHARDGATE_ variable that is no setting: most are misspelt."""
    known = {option.variable for option in OPTIONS}
    known |= {option.variable + "_FILE" for option in OPTIONS if option.from_file} | {ENVIRONMENT_PREFIX + "CONFIG"}
    lines = []
    for name in sorted(environ):
        if not name.startswith(ENVIRONMENT_PREFIX) or name in known or _is_kubernetes(name):
            continue
        near = difflib.get_close_matches(name, known, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        lines.append(f"{name} is not a setting{hint}; ignored")
    return lines


def _is_kubernetes(name: str) -> bool:
    """Kubernetes describes a service named `shardgate` in variables such as SHARDGATE_SERVICE_HOST."""
    rest = name.removeprefix(ENVIRONMENT_PREFIX)
    return rest.startswith(("SERVICE_", "PORT_"))


def _from_environment(option: Option, environ: Mapping[str, str]) -> tuple[str, str | None]:
    variable = option.variable
    # An empty variable counts as not set: that is how `-e NAME=` and unset compose variables arrive.
    text = environ.get(variable) or None
    if option.name == "port" and text is not None and text.startswith(("tcp://", "udp://")):
        return variable, None  # set by Kubernetes for a service of this name, not by a person
    if option.secret and text is None and option.name + "_file" in OPTION_BY_NAME:
        return variable, None  # the file is a setting of its own
    if option.from_file and text is None and (file := environ.get(variable + "_FILE")):
        variable += "_FILE"
        try:
            return variable, Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{option.name} ({variable}): cannot read {file}: {_reason(error)}") from None
    return variable, text


def _config_path(config_file: str | Path | None, environ: Mapping[str, str], base: Path) -> Path | None:
    named = config_file or environ.get(ENVIRONMENT_PREFIX + "CONFIG") or None
    return None if named is None else Path(os.path.normpath(base / Path(named).expanduser()))


def _read_document(path: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"config: cannot read {path}: {_reason(error)}") from None
    for name in document:
        if name not in OPTION_BY_NAME:
            near = difflib.get_close_matches(name, OPTION_BY_NAME, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise SettingsError(f"{name} in {path} is not a setting{hint}")
    return document


def _complete(values: dict[str, Any], origins: Mapping[str, str], here: Path) -> None:
    """Fill in what depends on other values or on the machine, and check what concerns several settings."""
    if values["workers"] is None:
        # Objects of the memory backend live in one process: two workers would show two different stores.
        cpus = len(os.sched_getaffinity(0))
        values["workers"] = 1 if values["backend"] == "memory" else max(1, cpus // max(1, values["shards"]))
    if values["backend"] == "memory" and values["shards"] > 1:
        raise SettingsError(f"shards ({origins['shards']}): the memory backend keeps its objects in one process")
    if values["state_dir"] is None:
        directory = values["directory"]
        values["state_dir"] = directory / ".shardgate" / "state" if directory else here / "shardgate-state"
    for one, other in (("access_key", "secret_key"), ("secret_key", "access_key")):
        if values[one] and not values[other]:
            raise SettingsError(f"{other} is not set, but {one} is ({origins[one]}): give both or none")
    check_services(values, origins)
    _check_tls(values["tls_certificate"], values["tls_key"], origins)


def _check_tls(certificate: Path | None, key: Path | None, origins: Mapping[str, str]) -> None:
    """Load the pair once, so that a wrong one is found before a worker tries."""
    if certificate is None:
        if key is not None:
            raise SettingsError(f"tls_certificate is not set, but tls_key is ({origins['tls_key']})")
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError is one
        origin = origins["tls_certificate"]
        raise SettingsError(f"tls_certificate ({origin}): {certificate}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
