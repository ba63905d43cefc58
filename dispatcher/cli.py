"""The `shardgate` command."""

import json
import os
import platform
import sys
from collections.abc import Callable
from importlib.metadata import version as installed_version
from typing import Any, NoReturn

import click

from dispatcher.buckets_command import buckets
from dispatcher.budgets_command import budgets
from dispatcher.eos_emulator_command import eos_emulator
from dispatcher.fleet_commands import shards, status
from dispatcher.haproxy import template
from dispatcher.identities import COMMANDS as IDENTITY_COMMANDS
from dispatcher.master_key_command import master_key
from dispatcher.processes import SupervisionError
from dispatcher.settings_page import render_page
from dispatcher.supervisor import Role, Supervisor
from dispatcher.uploads_command import uploads
from workers.settings import Settings, SettingsError, load_settings, unknown_variables
from workers.settings_kinds import Switch
from workers.settings_table import OPTIONS

EXIT_FAILED = 1
EXIT_SETTINGS = 2


def _with_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the flag of every setting. Values are checked by the table, which knows their origin."""
    for option in reversed(OPTIONS):
        if option.secret:
            continue
        if option.name == "directory":
            command = click.argument("directory", metavar="[DIR]", required=False)(command)
        elif isinstance(option.kind, Switch):
            flags = f"{option.flag}/--no-{option.flag.removeprefix('--')}"
            command = click.option(flags, option.name, default=None, help=option.help)(command)
        else:
            command = click.option(
                option.flag, option.name, multiple=option.kind.repeated, default=None, help=option.help
            )(command)
    return click.option("--config", "config_file", help="TOML file with settings.")(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def cli() -> None:
    """An S3 gateway for storage systems."""


@cli.command()
@_with_settings
def serve(config_file: str | None, **given: Any) -> None:
    """Serve DIR by S3. Every setting can also stand in a TOML file (--config) or in a SHARDGATE_ variable."""

    _supervise(Role.SERVE, given, config_file, _check_serve)


@cli.command()
@_with_settings
def shard(config_file: str | None, **given: Any) -> None:
    """Run one shard of a fleet: it registers in Redis, and dispatchers on other hosts send it requests."""
    _supervise(Role.SHARD, given, config_file, _check_shard)


@cli.command()
@_with_settings
@click.option(
    "--print-configuration", is_flag=True, help="Print HAProxy's configuration with an example of a shard, and end."
)
def dispatcher(config_file: str | None, print_configuration: bool, **given: Any) -> None:
    """Run HAProxy in front of the fleet's shards, kept in step with the registry in Redis."""
    if print_configuration:
        click.echo(template(load_settings(given, os.environ, config_file)), nl=False)
        return
    _supervise(Role.DISPATCHER, given, config_file, _check_dispatcher)


def _supervise(
    role: Role, given: dict[str, Any], config_file: str | None, check: Callable[[Settings], None]
) -> NoReturn:
    def read() -> Settings:
        settings = load_settings(given, os.environ, config_file)
        check(settings)
        return settings

    for line in unknown_variables(os.environ):
        click.echo(f"shardgate: {line}", err=True)
    raise SystemExit(Supervisor(read(), reload_settings=read, role=role).run())


def _check_serve(settings: Settings) -> None:
    if settings.backend == "posix" and settings.directory is None:
        raise SettingsError("directory is not set: name the directory to serve, as in `shardgate serve DIR`")


def _check_shard(settings: Settings) -> None:
    _check_serve(settings)
    _check_fleet(settings)
    if not settings.advertise:
        raise SettingsError("advertise is not set: name the HOST:PORT under which dispatchers reach this shard")
    has_master_key = settings.master_key or settings.master_key_file or settings.master_key_vault
    if not settings.access_key or not has_master_key:
        missing = "access_key" if not settings.access_key else "master_key"
        raise SettingsError(f"{missing} is not set: all shards of a fleet need the same one")
    if settings.tls_certificate is not None:
        origin = settings.origins["tls_certificate"]
        raise SettingsError(f"tls_certificate ({origin}): TLS ends at the dispatchers; shards speak HTTP")
    if settings.backend == "memory":
        raise SettingsError(f"backend ({settings.origins['backend']}): what memory holds, no other shard sees")


def _check_dispatcher(settings: Settings) -> None:
    _check_fleet(settings)


def _check_fleet(settings: Settings) -> None:
    if not settings.redis_url:
        raise SettingsError("redis_url is not set: the hosts of a fleet find each other in a Redis that they share")
    if settings.shards:
        raise SettingsError(f"shards ({settings.origins['shards']}): only for `shardgate serve`")


@cli.command()
@_with_settings
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@click.option("--markdown", is_flag=True, hidden=True, help="Print docs/settings.md.")
def config(config_file: str | None, as_json: bool, markdown: bool, **given: Any) -> None:
    """Print the effective settings and where each came from. Secrets are masked."""
    if markdown:
        click.echo(render_page(), nl=False)
        return
    for line in unknown_variables(os.environ):
        click.echo(f"shardgate: {line}", err=True)
    settings = load_settings(given, os.environ, config_file)
    rows = [(option.name, _shown(settings, option.name), settings.origins[option.name]) for option in OPTIONS]
    if as_json:
        document = {name: {"value": value, "origin": origin} for name, value, origin in rows}
        click.echo(json.dumps(document, indent=2))
        return
    width = max(len(name) for name, _, _ in rows)
    for name, value, origin in rows:
        text = json.dumps(value) if isinstance(value, (list, bool)) else "" if value is None else str(value)
        click.echo(f"{name:<{width}}  {text:<24}  # {origin}")


cli.add_command(shards)
cli.add_command(status)
cli.add_command(uploads)
cli.add_command(buckets)
cli.add_command(budgets)
cli.add_command(master_key)
cli.add_command(eos_emulator)
for _command in IDENTITY_COMMANDS:
    cli.add_command(_command)


@cli.command()
def version() -> None:
    """Print the version."""
    click.echo(f"shardgate {installed_version('shardgate')} (Python {platform.python_version()})")


def _shown(settings: Settings, name: str) -> Any:
    """A setting's value fit for JSON, with secrets masked."""
    value = getattr(settings, name)
    option = next(option for option in OPTIONS if option.name == name)
    if option.secret:
        return "********" if value else ""
    if name == "redis_url":
        return _without_password(value)
    if isinstance(value, tuple):
        return list(value)
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


def _without_password(url: str) -> str:
    """A URL whose password, before the host or in the query, is masked."""
    head, found, query = url.partition("?")
    scheme, separator, rest = head.partition("://")
    user, at, place = rest.rpartition("@")
    if at and ":" in user:
        user = user.partition(":")[0] + ":********"
    parameters = [
        f"{name}=********" if (name := parameter.partition("=")[0]).endswith("password") else parameter
        for parameter in query.split("&")
    ]
    return f"{scheme}{separator}{user}{at}{place}{found}{'&'.join(parameters)}"


def main() -> None:
    """Entry point: expected failures are one line on standard error and an exit status, never a traceback."""
    try:
        cli()
    except SettingsError as error:
        click.echo(f"shardgate: {error}", err=True)
        sys.exit(EXIT_SETTINGS)
    except SupervisionError as error:
        click.echo(f"shardgate: {error}", err=True)
        sys.exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
