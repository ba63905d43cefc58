"""What the commands about identities share: the opened registry, which account is meant, how things are shown."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from backends.errors import BackendError
from dispatcher.embedded_redis import embedded_url
from dispatcher.processes import SupervisionError
from workers.protocol.errors import S3Error
from workers.protocol.times import iso8601, parse_http_date
from workers.settings import Settings, SettingsError, load_settings, with_generated_secrets
from workers.settings_table import OPTION_BY_NAME
from workers.state.redis import UnsupportedRedisUrl, connect, ping

if TYPE_CHECKING:
    from backends.api import Backend
    from workers.iam.records import AccountRecord
    from workers.iam.registry import Registry
    from workers.iam.sealing import Sealer
    from workers.iam.stores.api import DocumentStore

_SETTINGS: Final = ("backend", "backend_config", "state_dir", "redis_url", "iam_store", "iam_file", "master_key_file")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION: Final = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_NANOSECONDS: Final = 1_000_000_000

as_json: Final = click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
in_account: Final = click.option(
    "--account",
    default="root",
    show_default=True,
    help="The account that is meant, by its name, id or number.",
)


class Opened(NamedTuple):
    """The identities of a gateway: the registry, what it is made of, and the storage beside it."""

    registry: Registry
    store: DocumentStore
    sealer: Sealer
    backend: Backend


@contextmanager
def opened(settings: Settings) -> Iterator[Opened]:
    """The registry of identities. Raises SettingsError, SupervisionError, BackendError."""
    if settings.backend == "posix" and settings.directory is None:
        raise SettingsError("directory is not set: name the directory that the gateway serves with --directory")
    # Imported late: `serve` shares this process's command line, and has no need of gevent and the plugins.
    from workers.iam.opening import open_registry, open_sealer, open_store
    from workers.lifecycle import open_backend
    from workers.state.announcements import Changes

    sealer = open_sealer(settings)
    try:
        client = connect(settings.redis_url or embedded_url(settings.state_dir), max_connections=2)
    except UnsupportedRedisUrl as error:
        raise SettingsError(f"redis_url: {error}") from None
    backend = open_backend(settings)
    try:
        if not backend.capabilities.persistent:
            raise SupervisionError(f"backend {settings.backend}: what it stores is only known to the gateway's worker")
        # Where Redis does not answer no gateway runs, or its workers see a change when what they know runs out.
        heard = client if ping(client) else None
        store = open_store(settings, backend, sealer)
        yield Opened(open_registry(settings, store, sealer, Changes(heard)), store, sealer, backend)
    finally:
        backend.close()
        client.close()


def with_registry(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the registry, and the settings that say where it is; expected failures become one line."""

    def run(settings: Settings, **given: Any) -> None:
        with opened(settings) as found:
            command(found.registry, **given)

    return with_settings(named_as(run, command))


def with_opened(command: Callable[..., None]) -> Callable[..., None]:
    """The same for a command that needs the storage, too."""

    def run(settings: Settings, **given: Any) -> None:
        with opened(settings) as found:
            command(found, **given)

    return with_settings(named_as(run, command))


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the settings that say where identities are; expected failures become one line."""

    def run(config_file: str | None, **given: Any) -> None:
        from workers.iam.records import IamError
        from workers.iam.sealing import MasterKeyError

        names = {"directory", *_SETTINGS}
        found = load_settings({name: given.pop(name) for name in names}, os.environ, config_file)
        try:
            command(with_generated_secrets(found), **given)
        except IamError as error:
            raise SupervisionError(f"{error.code}: {error}") from None
        except S3Error as error:
            detail = error.elements.get("Detail")
            raise SupervisionError(f"{error.code}: {error.message}" + (f" ({detail})" if detail else "")) from None
        except MasterKeyError as error:
            raise SupervisionError(f"master key: {error}") from None
        except BackendError as error:
            raise SupervisionError(f"{type(error).__name__}: {error}") from None

    wrapped = named_as(run, command)
    for name in reversed(_SETTINGS):
        option = OPTION_BY_NAME[name]
        wrapped = click.option(option.flag, name, default=None, help=option.help)(wrapped)
    wrapped = click.option("--directory", metavar="DIR", help=OPTION_BY_NAME["directory"].help)(wrapped)
    return click.option("--config", "config_file", help="TOML file with settings.")(wrapped)


def named_as(run: Callable[..., None], command: Callable[..., None]) -> Callable[..., None]:
    """`run` with the name, the text and the options of `command`."""
    run.__doc__ = command.__doc__
    run.__name__ = command.__name__
    # What a decorator below has noted for click.
    run.__dict__.update(command.__dict__)
    return run


def find_account(registry: Registry, name: str) -> AccountRecord:
    """An account by its name, canonical user id or number. Raises SupervisionError."""
    found = registry.find_account(name)
    if found is None and len(name) == 64:
        found = registry.account(name)
    if found is None and len(name) == 12 and name.isdigit():
        found = registry.account_by_number(name)
    if found is None:
        raise SupervisionError(f"there is no account {name}")
    return found


def read_text(file: str) -> str:
    """The text of a file, `-` for standard input. Raises SupervisionError."""
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SupervisionError(f"{file} cannot be read: {error}") from None


def parse_tags(pairs: Iterable[str]) -> dict[str, str]:
    """Tags of the form NAME=VALUE."""
    found = {}
    for pair in pairs:
        name, mark, value = pair.partition("=")
        if not mark:
            raise click.UsageError(f"a tag is NAME=VALUE, not {pair!r}")
        found[name] = value
    return found


def parse_duration(text: str) -> int:
    """Nanoseconds of `90d`, `12h`, `30m`, `45s`, `2w`."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise click.UsageError(f"a duration is a number with s, m, h, d or w behind, such as 90d, not {text!r}")
    return int(match[1]) * _UNITS[match[2]] * _NANOSECONDS


def parse_end(text: str) -> int:
    """A moment, in nanoseconds since the epoch: a date in ISO 8601, a duration from now on, or `never`, which is 0."""
    if text == "never":
        return 0
    if _DURATION.fullmatch(text):
        return time.time_ns() + parse_duration(text)
    seconds = parse_http_date(text)
    if seconds is None:
        raise click.UsageError(f"a moment is a date such as 2027-01-31, a duration such as 90d, or never, not {text!r}")
    return seconds * _NANOSECONDS


def moment(nanoseconds: int) -> str:
    """A moment for people and JSON, "" for none."""
    return iso8601(nanoseconds) if nanoseconds else ""


def show(document: dict[str, Any], *, json_wanted: bool) -> None:
    """Print one thing: a JSON document, or a line for each of its values."""
    if json_wanted:
        click.echo(json.dumps(document, indent=2))
        return
    width = max(len(name) for name in document)
    for name, value in document.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key}={text}" for key, text in value.items())
        elif isinstance(value, (list, tuple)):
            value = ", ".join(str(one) for one in value)
        elif isinstance(value, bool):
            value = "yes" if value else "no"
        click.echo(f"{name.replace('_', ' '):<{width}}  {'' if value is None else value}".rstrip())


def show_all(documents: Sequence[dict[str, Any]], columns: Sequence[str], *, json_wanted: bool, none: str) -> None:
    """Print a list: a JSON array of whole documents, or a table of some columns."""
    if json_wanted:
        click.echo(json.dumps(documents, indent=2))
        return
    if not documents:
        click.echo(none)
        return
    rows = [tuple(name.replace("_", " ").upper() for name in columns)]
    rows += [tuple(_cell(document[name]) for name in columns) for document in documents]
    widths = [max(len(row[column]) for row in rows) for column in range(len(columns))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cell(value: object) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple, dict)):
        return str(len(value))
    return str(value)
