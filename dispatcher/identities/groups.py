"""`shardgate groups`: groups of users, who share the policies of a group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from dispatcher.identities.common import as_json, find_account, in_account, moment, show, show_all, with_registry

if TYPE_CHECKING:
    from workers.iam.records import GroupRecord
    from workers.iam.registry import Registry


def _document(registry: Registry, group: GroupRecord) -> dict[str, Any]:
    return {
        "name": group.name,
        "id": group.id,
        "arn": group.arn,
        "path": group.path,
        "members": [user.name for user in registry.users.members(group)],
        "attached": list(group.attached),
        "inline": sorted(group.inline),
        "created": moment(group.created),
    }


@click.group()
def groups() -> None:
    """Groups of users."""


@groups.command("list")
@with_registry
@in_account
@as_json
def list_groups(registry: Registry, account: str, as_json: bool) -> None:
    """List the groups of an account."""
    found = find_account(registry, account)
    documents = [_document(registry, group) for group in registry.groups.all(found.id)]
    columns = ("name", "path", "members", "attached", "inline", "created")
    show_all(documents, columns, json_wanted=as_json, none=f"{found.name} has no groups")


@groups.command()
@with_registry
@in_account
@click.argument("name")
@click.option("--path", default="/")
@as_json
def create(registry: Registry, account: str, name: str, path: str, as_json: bool) -> None:
    """Make a group."""
    group = registry.groups.create(find_account(registry, account).id, name, path=path)
    show(_document(registry, group), json_wanted=as_json)


@groups.command("show")
@with_registry
@in_account
@click.argument("name")
@as_json
def show_group(registry: Registry, account: str, name: str, as_json: bool) -> None:
    """Show a group and its members."""
    group = registry.groups.get(find_account(registry, account).id, name)
    show(_document(registry, group), json_wanted=as_json)


@groups.command()
@with_registry
@in_account
@click.argument("name")
@click.option("--path", required=True, help="Another path.")
@as_json
def update(registry: Registry, account: str, name: str, path: str, as_json: bool) -> None:
    """Give a group another path."""
    from msgspec.structs import replace

    found = find_account(registry, account)
    group = registry.groups.update(found.id, name, lambda record: replace(record, path=path))
    show(_document(registry, group), json_wanted=as_json)


@groups.command()
@with_registry
@in_account
@click.argument("name")
def delete(registry: Registry, account: str, name: str) -> None:
    """Delete a group that has no members and no policies."""
    registry.delete_group(find_account(registry, account).id, name)
    click.echo(f"{name} is deleted")


@groups.command()
@with_registry
@in_account
@click.argument("name")
@click.argument("members", metavar="USER...", nargs=-1, required=True)
def add(registry: Registry, account: str, name: str, members: Sequence[str]) -> None:
    """Make users members of a group."""
    found = find_account(registry, account)
    for user in members:
        registry.users.join(found.id, user, name)
        click.echo(f"{user} is in {name}")


@groups.command()
@with_registry
@in_account
@click.argument("name")
@click.argument("members", metavar="USER...", nargs=-1, required=True)
def remove(registry: Registry, account: str, name: str, members: Sequence[str]) -> None:
    """End memberships."""
    found = find_account(registry, account)
    for user in members:
        registry.users.leave(found.id, user, name)
        click.echo(f"{user} is not in {name} any more")
