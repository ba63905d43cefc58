"""`shardgate users`: users of an account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from dispatcher.identities.common import (
    as_json,
    find_account,
    in_account,
    moment,
    parse_tags,
    show,
    show_all,
    with_registry,
)
from dispatcher.identities.keys import announce_key

if TYPE_CHECKING:
    from workers.iam.records import UserRecord
    from workers.iam.registry import Registry


def user_document(user: UserRecord) -> dict[str, Any]:
    """A user as JSON has him."""
    return {
        "name": user.name,
        "id": user.id,
        "arn": user.arn,
        "path": user.path,
        "uid": user.uid,
        "gid": user.gid,
        "groups": None if user.groups is None else list(user.groups),
        "member_of": sorted(user.member_of),
        "attached": list(user.attached),
        "inline": sorted(user.inline),
        "boundary": user.boundary,
        "tags": dict(user.tags),
        "access_keys": list(user.access_keys),
        "created": moment(user.created),
    }


@click.group()
def users() -> None:
    """Users of an account, each with keys and policies of his own."""


@users.command("list")
@with_registry
@in_account
@click.option("--path", default="/", help="Only those below this path.")
@as_json
def list_users(registry: Registry, account: str, path: str, as_json: bool) -> None:
    """List the users of an account."""
    found = find_account(registry, account)
    documents = [user_document(user) for user in registry.users.all(found.id, path)]
    columns = ("name", "path", "uid", "access_keys", "member_of", "attached", "inline", "created")
    show_all(documents, columns, json_wanted=as_json, none=f"{found.name} has no users")


_numbers = (
    click.option("--uid", type=int, help="User id in the storage system; without it the account's."),
    click.option("--gid", type=int, help="Group id in the storage system."),
    click.option("--group", "groups", type=int, multiple=True, help="Supplementary group id; repeatable."),
)


def _with_numbers(command: Any) -> Any:
    for option in reversed(_numbers):
        command = option(command)
    return command


@users.command()
@with_registry
@in_account
@click.argument("name")
@click.option("--path", default="/", help="Such as /physics/atlas/.")
@_with_numbers
@click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="A tag; repeatable.")
@click.option("--key", is_flag=True, help="Make an access key, too, and print it this one time.")
@as_json
def create(
    registry: Registry,
    account: str,
    name: str,
    path: str,
    uid: int | None,
    gid: int | None,
    groups: Sequence[int],
    tags: Sequence[str],
    key: bool,
    as_json: bool,
) -> None:
    """Make a user."""
    found = find_account(registry, account)
    registry.users.create(
        found.id, name, path=path, tags=parse_tags(tags), uid=uid, gid=gid, groups=tuple(groups) or None
    )
    made = registry.create_key(found.id, name) if key else None
    show(announce_key(user_document(registry.users.get(found.id, name)), made), json_wanted=as_json)


@users.command("show")
@with_registry
@in_account
@click.argument("name")
@as_json
def show_user(registry: Registry, account: str, name: str, as_json: bool) -> None:
    """Show a user."""
    show(user_document(registry.users.get(find_account(registry, account).id, name)), json_wanted=as_json)


@users.command()
@with_registry
@in_account
@click.argument("name")
@click.option("--path", help="Another path.")
@_with_numbers
@click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="A tag to add or replace; repeatable.")
@click.option("--untag", multiple=True, metavar="NAME", help="A tag to remove; repeatable.")
@click.option("--boundary", metavar="ARN", help="Managed policy that limits the user; empty for none.")
@as_json
def update(
    registry: Registry,
    account: str,
    name: str,
    path: str | None,
    uid: int | None,
    gid: int | None,
    groups: Sequence[int],
    tags: Sequence[str],
    untag: Sequence[str],
    boundary: str | None,
    as_json: bool,
) -> None:
    """Change a user; what is not given stays."""
    from msgspec.structs import replace

    found = find_account(registry, account)
    added = parse_tags(tags)

    def change(record: UserRecord) -> UserRecord:
        kept = {tag: value for tag, value in record.tags.items() if tag not in untag}
        return replace(
            record,
            path=record.path if path is None else path,
            uid=record.uid if uid is None else uid,
            gid=record.gid if gid is None else gid,
            groups=tuple(groups) or record.groups,
            tags={**kept, **added},
        )

    if boundary is not None:
        registry.users.set_boundary(found.id, name, boundary)
    show(user_document(registry.users.update(found.id, name, change)), json_wanted=as_json)


@users.command()
@with_registry
@in_account
@click.argument("name")
@click.option("--cascade", is_flag=True, help="With his keys, policies and memberships.")
def delete(registry: Registry, account: str, name: str, cascade: bool) -> None:
    """Delete a user."""
    registry.delete_user(find_account(registry, account).id, name, cascade=cascade)
    click.echo(f"{name} is deleted")


def _switch(registry: Registry, account: str, name: str, *, enabled: bool) -> None:
    found = find_account(registry, account)
    keys = registry.keys(found.id, registry.users.get(found.id, name).name)
    for key in keys:
        registry.update_key(key.access_key, enabled=enabled)
    click.echo(f"{len(keys)} access keys of {name} are {'enabled' if enabled else 'disabled'}")


@users.command()
@with_registry
@in_account
@click.argument("name")
def enable(registry: Registry, account: str, name: str) -> None:
    """Let all access keys of a user work again."""
    _switch(registry, account, name, enabled=True)


@users.command()
@with_registry
@in_account
@click.argument("name")
def disable(registry: Registry, account: str, name: str) -> None:
    """Let no access key of a user work; sessions that began by them end, too."""
    _switch(registry, account, name, enabled=False)
