"""`shardgate budgets`: the limits that buckets have of their own.

An account's are part of its record; the settings have those of all others.
"""

from __future__ import annotations

import json

import click

from backends.api import NoSuchBucket
from dispatcher.processes import SupervisionError
from dispatcher.uploads_command import OPERATOR, Store, with_store


@click.group()
def budgets() -> None:
    """Budgets of buckets."""


@budgets.command(name="show")
@with_store
@click.argument("bucket", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document per line.")
def show_command(store: Store, bucket: str | None, as_json: bool) -> None:
    """Print the limits of BUCKET, or of all buckets that have some."""
    from workers.fairness.bucket_limits import load

    for name in [bucket] if bucket else [record.name for record in store.backend.list_buckets(OPERATOR)]:
        limits = load(store.backend, name)
        if limits is None:
            continue
        if as_json:
            click.echo(json.dumps({"bucket": name, **limits._asdict()}))
        else:
            click.echo(f"{name}  {limits.requests} requests/s  {limits.bytes} bytes/s  {limits.concurrent} at a time")


@budgets.command(name="set")
@with_store
@click.argument("bucket")
@click.option("--requests", type=click.IntRange(0, 1 << 53), default=0, help="Requests a second; 0: any.")
@click.option("--bytes", "size", type=click.IntRange(0, 1 << 53), default=0, help="Bytes a second; 0: any.")
@click.option("--concurrent", type=click.IntRange(0, 1_000_000), default=0, help="Requests at a time; 0: any.")
def set_command(store: Store, bucket: str, requests: int, size: int, concurrent: int) -> None:
    """Give BUCKET limits of its own, instead of those of the settings. Workers see them within seconds."""
    from workers.fairness.bucket_limits import save
    from workers.fairness.budgets import Limits

    try:
        save(store.backend, bucket, Limits(requests, size, concurrent))
    except NoSuchBucket:
        raise SupervisionError(f"there is no bucket {bucket!r}") from None


@budgets.command(name="clear")
@with_store
@click.argument("bucket")
def clear_command(store: Store, bucket: str) -> None:
    """Take BUCKET's own limits away: those of the settings hold."""
    from workers.fairness.bucket_limits import save

    try:
        save(store.backend, bucket, None)
    except NoSuchBucket:
        raise SupervisionError(f"there is no bucket {bucket!r}") from None
