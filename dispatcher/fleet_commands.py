"""`shardgate shards` and `shardgate status`: what an operator sees of a fleet and does with it, by way of Redis."""

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Final

import click
import redis

from dispatcher.embedded_redis import embedded_url
from dispatcher.processes import SupervisionError
from dispatcher.registry import DRAIN, LEFT, REMOVE, RESTART, UP, Fleet, Registry, Shard
from dispatcher.serving import present, serves, state_of
from workers.settings import Settings, SettingsError, load_settings
from workers.settings_table import OPTION_BY_NAME
from workers.state.redis import UnsupportedRedisUrl, connect, informations

EXIT_FAILED: Final = 1

_SETTINGS: Final = ("directory", "state_dir", "redis_url")
_POLL: Final = 0.2
_RESTART_MARGIN: Final = 120.0
_OTHERS_PATIENCE: Final = 10.0


def _with_place(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the settings that say where the fleet's Redis is."""
    for name in reversed(_SETTINGS):
        option = OPTION_BY_NAME[name]
        command = click.option("--" + name.replace("_", "-"), name, default=None, help=option.help)(command)
    return click.option("--config", "config_file", help="TOML file with settings.")(command)


_as_json = click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")


@contextmanager
def _opened(config_file: str | None, given: dict[str, Any]) -> Iterator[tuple[Settings, Registry, redis.Redis]]:
    """The fleet's registry. Raises SettingsError, and SupervisionError when Redis does not answer."""
    settings = load_settings(given, os.environ, config_file)
    try:
        url = settings.redis_url or embedded_url(settings.state_dir)
        client = connect(url, timeout=settings.redis_timeout, max_connections=2)
    except UnsupportedRedisUrl as error:
        raise SettingsError(f"redis_url: {error}") from None
    try:
        yield settings, Registry(client), client
    except redis.RedisError as error:
        raise SupervisionError(f"redis does not answer: {error}") from None
    finally:
        client.close()


@click.group()
def shards() -> None:
    """List, drain, remove and restart the shards of a fleet."""


@shards.command("list")
@_with_place
@_as_json
def list_shards(config_file: str | None, as_json: bool, **given: Any) -> None:
    """List the shards that are registered."""
    with _opened(config_file, given) as (settings, registry, _):
        fleet = registry.look()
        if as_json:
            click.echo(json.dumps([_document(shard, fleet, settings) for shard in fleet.shards], indent=2))
            return
        for line in _shard_table(fleet, settings):
            click.echo(line)


@shards.command()
@click.argument("shard_ids", metavar="ID...", nargs=-1, required=True)
@_with_place
def drain(shard_ids: Sequence[str], config_file: str | None, **given: Any) -> None:
    """Send shards nothing new. What they have in hand is finished; they keep running."""
    _wish(shard_ids, DRAIN, "drains", config_file, given)


@shards.command()
@click.argument("shard_ids", metavar="ID...", nargs=-1, required=True)
@_with_place
def undrain(shard_ids: Sequence[str], config_file: str | None, **given: Any) -> None:
    """Send shards requests again."""
    _wish(shard_ids, "", "takes requests again", config_file, given)


@shards.command()
@click.argument("shard_ids", metavar="ID...", nargs=-1, required=True)
@_with_place
def remove(shard_ids: Sequence[str], config_file: str | None, **given: Any) -> None:
    """Drain shards, stop their processes, and forget them. One that is dead already is forgotten."""
    _wish(shard_ids, REMOVE, "leaves the fleet", config_file, given)


def _wish(shard_ids: Sequence[str], wish: str, words: str, config_file: str | None, given: dict[str, Any]) -> None:
    with _opened(config_file, given) as (_, registry, _client):
        unknown = [name for name in shard_ids if not registry.wish(name, wish)]
        for name in shard_ids:
            if name not in unknown:
                click.echo(f"{name} {words}")
        if unknown:
            raise SupervisionError(f"no such shard: {', '.join(unknown)}")


@shards.command()
@click.argument("shard_ids", metavar="[ID]...", nargs=-1)
@click.option("--rolling", is_flag=True, help="All shards, or those named, one after the other.")
@_with_place
def restart(shard_ids: Sequence[str], rolling: bool, config_file: str | None, **given: Any) -> None:
    """Restart the processes of shards, for a new version or new settings; each is drained before.

    Without --rolling the named shards restart at the same time.
    """
    with _opened(config_file, given) as (settings, registry, _):
        fleet = registry.look()
        names = list(shard_ids) or [shard.id for shard in fleet.shards if shard.face.state != LEFT]
        unknown = sorted(set(names) - {shard.id for shard in fleet.shards})
        if unknown:
            raise SupervisionError(f"no such shard: {', '.join(unknown)}")
        if not shard_ids and not rolling:
            raise SupervisionError("name the shards, or say --rolling for all of them in turn")
        # A restart ends with the shard in service.
        drained = [shard.id for shard in fleet.shards if shard.wish == DRAIN and shard.id in names]
        if drained and shard_ids:
            raise SupervisionError(f"drained, and not to be put in service: {', '.join(drained)}")
        for name in drained:
            click.echo(f"{name} is drained and left alone")
        names = [name for name in names if name not in drained]
        for group in [[name] for name in names] if rolling else [names]:
            if rolling:
                _wait_for_others(registry, group[0], settings)
            _restart(registry, group, settings)


def _wait_for_others(registry: Registry, name: str, settings: Settings) -> None:
    """Wait until another shard serves by reports that are newer than everything before. Raises SupervisionError."""
    fleet = registry.look()
    since = fleet.revision
    give_up = time.monotonic() + settings.shard_expiry + _OTHERS_PATIENCE
    while not any(shard.id != name and serves(shard, fleet, settings, since=since) for shard in fleet.shards):
        if time.monotonic() > give_up:
            raise SupervisionError(f"{name} is the only shard that serves now: restart it by its name alone")
        time.sleep(_POLL)
        fleet = registry.look()


def _restart(registry: Registry, names: Sequence[str], settings: Settings) -> None:
    tokens = {name: secrets.token_hex(4) for name in names}
    for name, token in tokens.items():
        registry.wish(name, f"{RESTART} {token}")
        click.echo(f"{name} restarts")
    give_up = time.monotonic() + settings.graceful_timeout + _RESTART_MARGIN
    back: dict[str, int] = {}
    while tokens:
        if time.monotonic() > give_up:
            raise SupervisionError(f"not back in time: {', '.join(tokens)}")
        time.sleep(_POLL)
        fleet = registry.look()
        for shard in fleet.shards:
            if shard.face.state != UP or shard.face.restarted != tokens.get(shard.id):
                continue
            # Its return is part of this revision: older reports tell of the time before the restart.
            since = back.setdefault(shard.id, fleet.revision)
            if serves(shard, fleet, settings, since=since):
                del tokens[shard.id]
                click.echo(f"{shard.id} is back")


def _document(shard: Shard, fleet: Fleet, settings: Settings) -> dict[str, Any]:
    document = asdict(shard)
    document |= {**document.pop("face"), **document.pop("pulse")}
    document["serves"] = serves(shard, fleet, settings)
    document["dispatchers"] = {
        dispatcher.id: dispatcher.servers.get(shard.id) for dispatcher in present(fleet, settings)
    }
    return document


def _shard_table(fleet: Fleet, settings: Settings) -> list[str]:
    rows = [("SHARD", "STATE", "REQUESTS", "CPUS", "WEIGHT", "WORKERS", "VERSION", "HEARD", "STORAGE", "REDIS", "AT")]
    for shard in fleet.shards:
        requests = sum(
            int(view["requests"])
            for dispatcher in present(fleet, settings)
            if (view := dispatcher.servers.get(shard.id)) is not None
        )
        health = shard.pulse.health
        rows.append(
            (
                shard.id,
                state_of(shard, fleet, settings),
                str(requests),
                f"{shard.pulse.load:.2f}",
                str(shard.face.weight),
                str(shard.pulse.workers),
                shard.pulse.version,
                f"{shard.silence:.0f} s ago",
                health.get("backend", "unknown"),
                health.get("redis", "unknown"),
                shard.face.address,
            )
        )
    return _aligned(rows) if fleet.shards else ["no shards are registered"]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


@click.command()
@_with_place
@_as_json
def status(config_file: str | None, as_json: bool, **given: Any) -> None:
    """Show the fleet: shards, dispatchers, Redis. Exit status 1 when no shard serves or Redis is unfit."""
    with _opened(config_file, given) as (settings, registry, client):
        fleet = registry.look()
        redis_facts = _redis_facts(client)
    serving = [shard.id for shard in fleet.shards if serves(shard, fleet, settings)]
    keeps_all = all(facts["policy"] in ("noeviction", "unknown") for facts in redis_facts.values())
    healthy = bool(serving) and keeps_all
    if as_json:
        document = {
            "healthy": healthy,
            "serving": serving,
            "shards": [_document(shard, fleet, settings) for shard in fleet.shards],
            "dispatchers": [asdict(dispatcher) for dispatcher in fleet.dispatchers],
            "redis": redis_facts,
        }
        click.echo(json.dumps(document, indent=2))
    else:
        for line in _report(fleet, settings, redis_facts, serving):
            click.echo(line)
    raise SystemExit(0 if healthy else EXIT_FAILED)


def _report(fleet: Fleet, settings: Settings, facts: dict[str, dict[str, str]], serving: Sequence[str]) -> list[str]:
    lines = [f"{len(serving)} of {len(fleet.shards)} shards serve", "", *_shard_table(fleet, settings), ""]
    fresh = {dispatcher.id for dispatcher in present(fleet, settings)}
    if fleet.dispatchers:
        rows = [("DISPATCHER", "HAPROXY", "CLIENTS", "USABLE", "IN STEP", "HEARD", "AT")]
        for dispatcher in fleet.dispatchers:
            usable = sum(str(view["status"]).startswith("UP") for view in dispatcher.servers.values())
            rows.append(
                (
                    dispatcher.id,
                    (dispatcher.haproxy or "down") if dispatcher.id in fresh else "silent",
                    str(dispatcher.clients),
                    f"{usable} of {len(dispatcher.servers)}",
                    "yes" if dispatcher.applied >= fleet.revision else "no",
                    f"{dispatcher.silence:.0f} s ago",
                    dispatcher.address,
                )
            )
        lines += [*_aligned(rows), ""]
    head = ("REDIS", *(name.upper() for name in next(iter(facts.values()), {})))
    return [*lines, *_aligned([head, *((name, *known.values()) for name, known in facts.items())])]


def _redis_facts(client: redis.Redis) -> dict[str, dict[str, str]]:
    """What of Redis matters here, by server; one that evicts may lose the state of uploads."""
    return {
        name or "redis": {
            "version": _shown(information, "redis_version"),
            "role": _shown(information, "role"),
            "replicas": _shown(information, "connected_slaves"),
            "memory": _shown(information, "used_memory_human"),
            "clients": _shown(information, "connected_clients"),
            "policy": _shown(information, "maxmemory_policy"),
        }
        for name, information in sorted(informations(client).items())
    }


def _shown(information: dict[str, Any], name: str) -> str:
    return str(information.get(name, "unknown"))
