"""`shardgate buckets`: which buckets lie where in the storage, and existing trees as buckets.

What is mapped is kept by the storage itself, so that every gateway in front of it knows it.
"""

from __future__ import annotations

import json
import time

import click

from backends.api import BucketExists, BucketMapping, BucketRecord, ConfigurationError, NoSuchBucket
from dispatcher.processes import SupervisionError
from dispatcher.uploads_command import Store, with_store
from workers.iam.accounts import ROOT_ACCOUNT_ID
from workers.protocol.names import is_bucket_name
from workers.protocol.times import iso8601


@click.group()
def buckets() -> None:
    """Buckets over trees that exist in the storage already."""


@buckets.command(name="list")
@with_store
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document per line.")
def list_command(store: Store, as_json: bool) -> None:
    """Print all buckets with where they lie; mapped ones are marked."""
    for row in store.backend.list_mappings():
        if is_bucket_name(row.record.name):
            click.echo(_line(row, as_json=as_json))


def _line(row: BucketMapping, *, as_json: bool) -> str:
    if not as_json:
        return f"{row.record.name:<40} {'mapped' if row.mapped else '':<7} {row.path}"
    return json.dumps(
        {
            "bucket": row.record.name,
            "path": row.path,
            "mapped": row.mapped,
            "owner": row.record.owner,
            "created": iso8601(row.record.created),
        }
    )


@buckets.command(name="map")
@with_store
@click.argument("bucket")
@click.argument("path")
@click.option("--owner", metavar="ID", default=ROOT_ACCOUNT_ID, help="Canonical user id of the owner; else root's.")
def map_command(store: Store, bucket: str, path: str, owner: str) -> None:
    """Show the existing tree PATH of the storage as BUCKET. Its own permissions decide who may do what."""
    if not is_bucket_name(bucket):
        raise click.UsageError(f"{bucket!r} is no name of a bucket")
    record = BucketRecord(name=bucket, created=time.time_ns(), owner=owner)
    try:
        store.backend.map_bucket(record, path.rstrip("/"))
    except BucketExists:
        raise SupervisionError(f"there is a bucket {bucket} already") from None
    except ConfigurationError as error:
        raise SupervisionError(str(error)) from None
    click.echo(f"{bucket} is {path}")


@buckets.command()
@with_store
@click.argument("bucket")
def unmap(store: Store, bucket: str) -> None:
    """Show BUCKET no more. Its tree stays as it is."""
    try:
        store.backend.unmap_bucket(bucket)
    except NoSuchBucket:
        raise SupervisionError(f"there is no bucket {bucket}") from None
    click.echo(f"{bucket} is no bucket any more")
