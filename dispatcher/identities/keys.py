"""`shardgate keys`: access keys of accounts and users.

A secret is printed once, when it was made here; one that exists already is read from standard input, from a file or
from the environment, never from the command line, which everybody on a host can read.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

import click

from dispatcher.identities.common import (
    as_json,
    find_account,
    in_account,
    moment,
    parse_duration,
    parse_end,
    read_text,
    show,
    show_all,
    with_registry,
)
from dispatcher.processes import SupervisionError

if TYPE_CHECKING:
    from workers.iam.records import AccessKeyRecord
    from workers.iam.registry import NewKey, Registry

SECRET_VARIABLE: Final = "SHARDGATE_NEW_SECRET"  # noqa: S105 -- the name of a variable


def key_document(key: AccessKeyRecord, account: str) -> dict[str, Any]:
    """An access key as JSON has it, without its secret."""
    expired = bool(key.expires) and key.expires <= time.time_ns()
    return {
        "access_key": key.access_key,
        "account": account,
        "user": key.user,
        "status": "disabled" if not key.enabled else "expired" if expired else "active",
        "created": moment(key.created),
        "last_used": moment(key.last_used),
        "expires": moment(key.expires),
    }


def announce_key(document: dict[str, Any], made: NewKey | None) -> dict[str, Any]:
    """A document with a key that was just made, and its secret, which is told this one time."""
    if made is None:
        return document
    return {**document, "access_key": made.record.access_key, "secret_key": made.secret}


@click.group()
def keys() -> None:
    """Access keys of accounts and users."""


@keys.command("list")
@with_registry
@in_account
@click.option("--user", default="", help="Those of this user; without it, those of the account itself.")
@click.option("--all", "everybody", is_flag=True, help="Those of the account and of all its users.")
@as_json
def list_keys(registry: Registry, account: str, user: str, everybody: bool, as_json: bool) -> None:
    """List access keys."""
    found = find_account(registry, account)
    holders = ["", *(one.name for one in registry.users.all(found.id))] if everybody else [user]
    documents = [key_document(key, found.name) for name in holders for key in registry.keys(found.id, name)]
    columns = ("access_key", "account", "user", "status", "created", "last_used", "expires")
    show_all(documents, columns, json_wanted=as_json, none="there are no access keys")


@keys.command()
@with_registry
@in_account
@click.option("--user", default="", help="For this user; without it, for the account itself.")
@click.option("--access-key", default="", help="An access key that is to be taken over; its secret is read.")
@click.option(
    "--secret-file",
    metavar="FILE",
    help=f"File with the secret of a key that is taken over, - for standard input. Without it: {SECRET_VARIABLE}.",
)
@click.option("--expires", metavar="WHEN", default="never", help="A date, or a duration such as 90d.")
@as_json
def create(
    registry: Registry,
    account: str,
    user: str,
    access_key: str,
    secret_file: str | None,
    expires: str,
    as_json: bool,
) -> None:
    """Make an access key and print it with its secret, this one time."""
    secret = _given_secret(secret_file)
    if access_key and not secret:
        raise click.UsageError(f"--access-key needs its secret: --secret-file FILE, or {SECRET_VARIABLE}")
    found = find_account(registry, account)
    made = registry.create_key(found.id, user, access_key=access_key, secret=secret, expires=parse_end(expires))
    document = key_document(made.record, found.name)
    show(document if secret else announce_key(document, made), json_wanted=as_json)


def _given_secret(file: str | None) -> str:
    return read_text(file).strip() if file else os.environ.get(SECRET_VARIABLE, "")


@keys.command("show")
@with_registry
@click.argument("access_key")
@as_json
def show_key(registry: Registry, access_key: str, as_json: bool) -> None:
    """Show whose an access key is, and whether it works. Secrets are never shown."""
    found = registry.find_key(access_key)
    if found is None:
        raise SupervisionError("there is no such access key")
    show(key_document(found.record, found.account.name), json_wanted=as_json)


@keys.command()
@with_registry
@click.argument("access_key")
def enable(registry: Registry, access_key: str) -> None:
    """Let an access key work again."""
    registry.update_key(access_key, enabled=True)
    click.echo(f"{access_key} is enabled")


@keys.command()
@with_registry
@click.argument("access_key")
def disable(registry: Registry, access_key: str) -> None:
    """Let an access key work no more, until it is enabled again; the sessions that began by it end, too."""
    registry.update_key(access_key, enabled=False)
    click.echo(f"{access_key} is disabled")


@keys.command()
@with_registry
@click.argument("access_key")
@click.argument("when")
def expire(registry: Registry, access_key: str, when: str) -> None:
    """Let an access key end at WHEN: a date, a duration such as 90d, or never."""
    record = registry.update_key(access_key, expires=parse_end(when))
    click.echo(f"{access_key} ends {moment(record.expires)}" if record.expires else f"{access_key} does not end")


@keys.command()
@with_registry
@click.argument("access_key")
@click.option("--overlap", default="24h", show_default=True, help="How long the former key goes on working.")
@as_json
def rotate(registry: Registry, access_key: str, overlap: str, as_json: bool) -> None:
    """Make a new key for the holder of ACCESS_KEY, which ends after the overlap. Prints the new one this one time."""
    made = registry.rotate_key(access_key, parse_duration(overlap))
    found = registry.find_key(access_key)
    ends = "" if found is None else moment(found.record.expires)
    account = registry.existing(made.record.account)
    document = announce_key(key_document(made.record, account.name), made)
    show({**document, "replaces": access_key, "former_key_ends": ends}, json_wanted=as_json)


@keys.command()
@with_registry
@click.argument("access_key")
def delete(registry: Registry, access_key: str) -> None:
    """Delete an access key."""
    registry.delete_key(access_key)
    click.echo(f"{access_key} is deleted")
