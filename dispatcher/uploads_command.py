"""`shardgate uploads`: what operators do with multipart uploads that clients left open.

A client of the running state, like a worker: it opens the storage and Redis by the settings that `serve` has.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click
import redis

from backends.api import Backend, BackendError, Caller, NoSuchUpload, UploadRecord
from dispatcher.embedded_redis import embedded_url
from dispatcher.processes import SupervisionError
from workers.iam.accounts import ROOT_ACCOUNT_ID
from workers.protocol.names import is_bucket_name
from workers.protocol.times import iso8601
from workers.settings import Settings, SettingsError, load_settings
from workers.settings_table import OPTION_BY_NAME
from workers.state.redis import Epoch, UnsupportedRedisUrl, connect, ping

if TYPE_CHECKING:
    from workers.state.uploads import Uploads

OPERATOR: Final = Caller(account_id=ROOT_ACCOUNT_ID, user_name="operator", uid=0, gid=0)
"""On whose behalf the storage is asked."""

_SETTINGS: Final = ("backend", "backend_config", "state_dir", "redis_url")


@dataclass(frozen=True)
class Store:
    """The opened state of a gateway. `uploads` is None where its Redis does not answer."""

    backend: Backend
    uploads: Uploads | None


@contextmanager
def opened(settings: Settings) -> Iterator[Store]:
    """Open the storage, and Redis if it answers. Raises SettingsError, SupervisionError, BackendError."""
    if settings.backend == "posix" and settings.directory is None:
        raise SettingsError("directory is not set: name the directory that the gateway serves with --directory")
    # Imported late: `serve` shares this process's command line, and has no need of gevent and the plugins.
    from workers.lifecycle import open_backend
    from workers.state.uploads import Uploads

    epoch = Epoch()
    try:
        client = connect(
            settings.redis_url or embedded_url(settings.state_dir),
            timeout=settings.redis_timeout,
            epoch=epoch,
            max_connections=2,
        )
    except UnsupportedRedisUrl as error:
        raise SettingsError(f"redis_url: {error}") from None
    backend = open_backend(settings)
    try:
        if not backend.capabilities.persistent:
            raise SupervisionError(f"backend {settings.backend}: what it stores is only known to the gateway's worker")
        yield Store(backend, Uploads(client, epoch, backend) if ping(client) else None)
    finally:
        backend.close()
        client.close()


def with_store(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the settings that say where the storage and Redis are; expected failures become one line."""

    def run(config_file: str | None, **given: Any) -> None:
        names = {"directory", *_SETTINGS}
        settings = load_settings({name: given.pop(name) for name in names}, os.environ, config_file)
        try:
            with opened(settings) as store:
                command(store, **given)
        except (BackendError, redis.RedisError) as error:
            raise SupervisionError(f"{type(error).__name__}: {error}") from None

    run.__doc__ = command.__doc__
    run.__name__ = command.__name__
    # What a decorator below has noted for click.
    run.__dict__.update(command.__dict__)
    wrapped: Callable[..., None] = run
    for name in reversed(_SETTINGS):
        option = OPTION_BY_NAME[name]
        wrapped = click.option(option.flag, name, default=None, help=option.help)(wrapped)
    wrapped = click.option("--directory", metavar="DIR", help=OPTION_BY_NAME["directory"].help)(wrapped)
    return click.option("--config", "config_file", help="TOML file with settings.")(wrapped)


@click.group()
def uploads() -> None:
    """Multipart uploads that are open."""


@uploads.command(name="list")
@with_store
@click.option("--bucket", metavar="B", help="Only those of this bucket.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document per line.")
def list_command(store: Store, bucket: str | None, as_json: bool) -> None:
    """Print the open uploads: since when, how many parts and bytes, bucket, key, id."""
    now = time.time_ns()
    for name in [bucket] if bucket else _buckets(store):
        for upload in sorted(store.backend.list_uploads(OPERATOR, name), key=lambda upload: (upload.key, upload.id)):
            try:
                parts = {part.number: part for part in store.backend.load_upload(OPERATOR, name, upload.id).parts}
            except NoSuchUpload:
                continue
            size = sum(part.size for part in parts.values())
            if as_json:
                click.echo(json.dumps(_document(name, upload, len(parts), size)))
                continue
            age = _age((now - upload.initiated) / 1e9)
            click.echo(f"{age:>8} {len(parts):>6} parts {size:>16} bytes  {name}  {upload.key!r}  {upload.id}")


def _document(bucket: str, upload: UploadRecord, parts: int, size: int) -> dict[str, Any]:
    return {
        "bucket": bucket,
        "key": upload.key,
        "upload_id": upload.id,
        "initiated": iso8601(upload.initiated),
        "owner": upload.owner,
        "parts": parts,
        "bytes": size,
    }


@uploads.command()
@with_store
@click.argument("bucket", required=False)
@click.argument("key", required=False)
@click.argument("upload_id", required=False)
@click.option(
    "--older-than",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="Abort all uploads, or all of BUCKET, that got no part for as long.",
)
def abort(store: Store, bucket: str | None, key: str | None, upload_id: str | None, older_than: float | None) -> None:
    """Abort the upload BUCKET KEY UPLOAD_ID, or those that are --older-than SECONDS; their parts are removed."""
    if (older_than is None) == (upload_id is None) or (older_than is not None and key is not None):
        raise click.UsageError("name BUCKET KEY UPLOAD_ID, or --older-than SECONDS and perhaps BUCKET")
    if store.uploads is None:
        # Without it, who completes an upload at this moment cannot be told from who left it.
        raise SupervisionError("redis does not answer: uploads are only aborted where the running gateway knows of it")
    from workers.state.upload_janitor import UploadJanitor
    from workers.state.uploads import Busy

    if older_than is not None:
        janitor = UploadJanitor(store.uploads, store.backend, OPERATOR)
        count = sum(janitor.abort_older(name, older_than) for name in ([bucket] if bucket else _buckets(store)))
        click.echo(f"{count} aborted")
        return
    assert bucket is not None  # noqa: S101 -- they are given from left to right
    assert key is not None  # noqa: S101
    assert upload_id is not None  # noqa: S101
    try:
        store.uploads.abort(OPERATOR, bucket, store.uploads.get(OPERATOR, bucket, key, upload_id))
    except NoSuchUpload:
        raise SupervisionError("there is no such upload") from None
    except Busy:
        raise SupervisionError("the upload is being completed at this moment") from None
    click.echo("1 aborted")


def _buckets(store: Store) -> list[str]:
    return [bucket.name for bucket in store.backend.list_buckets(OPERATOR) if is_bucket_name(bucket.name)]


def _age(seconds: float) -> str:
    """A time in the largest unit that it has two of."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
