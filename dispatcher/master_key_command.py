"""`shardgate master-key`: makes, shows and replaces the key that seals secrets.

A key is replaced in three steps, each of which can be repeated, while the fleet works:

    rotate                  a new key comes in front of the former ones, and seals from now on; all of them open
    reseal                  everything is sealed under the new key
    reseal --drop-former    and the former keys are taken away

Running workers look for new keys before they seal and when they meet a text under an unknown one.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from dispatcher.identities.common import Opened, as_json, opened, with_settings
from dispatcher.processes import SupervisionError
from workers.settings import MASTER_KEY_FILE, Settings

if TYPE_CHECKING:
    from workers.iam.master_keys import KeySource

_SETTLED: Final = 2.0
"""Seconds beyond the time after which every worker that can read the keys has looked for new ones before it seals."""


@click.group("master-key")
def master_key() -> None:
    """The key that seals stored secrets."""


@master_key.command()
@with_settings
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
def generate(settings: Settings, file: Path | None) -> None:
    """Make a master key in FILE, or where the settings say that it is: a file, or Vault. None is overwritten.

    With `vault_transit_key` the file holds what Vault encrypted.
    """
    from workers.iam.master_keys import VaultKeys, generate, write_key_file
    from workers.iam.opening import open_key_source, open_transit

    if file is None and settings.master_key_vault:
        source = open_key_source(settings)
        assert isinstance(source, VaultKeys)  # noqa: S101 -- for the type checker
        source.create(generate())
        click.echo(f"made a master key in {source.where}")
        return
    path = file or settings.master_key_file or settings.state_dir / MASTER_KEY_FILE
    write_key_file(path, [generate()], open_transit(settings), new=True)
    click.echo(f"made a master key in {path}; keep a copy of it apart from the data")


@master_key.command()
@with_settings
@as_json
def status(settings: Settings, as_json: bool) -> None:
    """Show the master keys by their names, and how many records are sealed under each."""
    from workers.iam.resealing import sealed_under

    source = _source(settings)
    with opened(settings) as found:
        counts = sealed_under(found.store, found.sealer)
        rows = _rows(found, counts)
    if as_json:
        click.echo(json.dumps({"source": source.where, "keys": rows}, indent=2))
        return
    click.echo(f"master keys in {source.where}")
    for row in rows:
        click.echo(f"{row['name'] or 'not sealed':<16}  {row['state']:<8}  {row['records']} records")


def _rows(found: Opened, counts: dict[str, int]) -> list[dict[str, Any]]:
    known = found.sealer.key_names
    rows = [
        {"name": name, "state": "former" if index else "present", "records": counts.get(name, 0)}
        for index, name in enumerate(known)
    ]
    strangers = sorted(set(counts) - set(known))
    return rows + [{"name": name, "state": "unknown", "records": counts[name]} for name in strangers]


@master_key.command()
@with_settings
def rotate(settings: Settings) -> None:
    """Put a new master key in front of the present one, which still opens what it sealed."""
    from workers.iam.master_keys import MOST, generate

    source = _source(settings)
    former = source.read()
    if len(former) >= MOST:
        raise SupervisionError(f"there are {MOST} master keys; take the former ones away: reseal --drop-former")
    source.replace(former, (generate(), *former))
    click.echo(f"a new master key is the first of {len(former) + 1} in {source.where}")
    click.echo("next: give this file to all hosts, if each has its own; then shardgate master-key reseal")


@master_key.command()
@with_settings
@click.option(
    "--drop-former",
    is_flag=True,
    help="Take the former keys away when nothing is sealed under them any more. Session tokens that they seal end.",
)
def reseal(settings: Settings, drop_former: bool) -> None:
    """Seal everything under the present master key. Safe beside a working fleet, and to be repeated."""
    from workers.iam.resealing import reseal, sealed_under

    source = _source(settings)
    keys = source.read()
    with opened(settings) as found:
        click.echo(f"sealed {reseal(found.registry, found.store)} records anew")
        if not drop_former:
            return
        if len(keys) == 1:
            click.echo("there is no former master key")
            return
        # A worker that has not seen the new key yet may have sealed under a former one meanwhile.
        time.sleep(source.look_seconds + _SETTLED)
        reseal(found.registry, found.store)
        counts = sealed_under(found.store, found.sealer)
        left = sum(count for name, count in counts.items() if name != found.sealer.key_names[0])
        if left:
            raise SupervisionError(f"{left} records are still sealed under other master keys; none was taken away")
        source.replace(keys, keys[:1])
        click.echo(f"took {len(keys) - 1} former keys away from {source.where}")


def _source(settings: Settings) -> KeySource:
    from workers.iam.opening import open_key_source

    return open_key_source(settings)
