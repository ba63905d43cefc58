"""`shardgate roles`: what users, accounts and holders of tokens can become for a while."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from dispatcher.identities.common import (
    as_json,
    find_account,
    in_account,
    moment,
    parse_tags,
    read_text,
    show,
    show_all,
    with_registry,
)

if TYPE_CHECKING:
    from workers.iam.records import RoleRecord
    from workers.iam.registry import Registry


def _document(registry: Registry, role: RoleRecord, json_wanted: bool) -> dict[str, Any]:
    from workers.iam.directory import trust_policy

    trust = trust_policy(registry, role)
    return {
        "name": role.name,
        "id": role.id,
        "arn": role.arn,
        "path": role.path,
        "description": role.description,
        "max_session": role.max_session,
        "uid": role.uid,
        "gid": role.gid,
        "groups": None if role.groups is None else list(role.groups),
        "attached": list(role.attached),
        "inline": sorted(role.inline),
        "boundary": role.boundary,
        "tags": dict(role.tags),
        "sessions_revoked_before": moment(role.revoked_before),
        "created": moment(role.created),
        "trust": json.loads(trust) if json_wanted else trust,
    }


def _show(registry: Registry, role: RoleRecord, json_wanted: bool) -> None:
    show(_document(registry, role, json_wanted), json_wanted=json_wanted)


_trust = click.option(
    "--trust", metavar="FILE", help="File with the policy that says who may assume the role; - for standard input."
)
_session = click.option("--max-session", type=int, help="Seconds that a session lasts at most, 3600 to 43200.")
_numbers = (
    click.option("--uid", type=int, help="User id in the storage system; without it the account's."),
    click.option("--gid", type=int, help="Group id in the storage system."),
    click.option("--group", "groups", type=int, multiple=True, help="Supplementary group id; repeatable."),
)


def _with_numbers(command: Any) -> Any:
    for option in reversed(_numbers):
        command = option(command)
    return command


@click.group()
def roles() -> None:
    """Roles that users, accounts and holders of OpenID Connect tokens assume for a while."""


@roles.command("list")
@with_registry
@in_account
@as_json
def list_roles(registry: Registry, account: str, as_json: bool) -> None:
    """List the roles of an account."""
    found = find_account(registry, account)
    documents = [_document(registry, role, True) for role in registry.roles.all(found.id)]
    columns = ("name", "path", "max_session", "attached", "inline", "created")
    show_all(documents, columns, json_wanted=as_json, none=f"{found.name} has no roles")


@roles.command()
@with_registry
@in_account
@click.argument("name")
@_trust
@click.option("--path", default="/")
@click.option("--description", default="")
@_session
@_with_numbers
@click.option("--tag", "tags", multiple=True, metavar="NAME=VALUE", help="A tag; repeatable.")
@as_json
def create(
    registry: Registry,
    account: str,
    name: str,
    trust: str | None,
    path: str,
    description: str,
    max_session: int | None,
    uid: int | None,
    gid: int | None,
    groups: Sequence[int],
    tags: Sequence[str],
    as_json: bool,
) -> None:
    """Make a role."""
    from msgspec.structs import replace

    from workers.iam.directory import AccountDirectory

    if trust is None:
        raise click.UsageError("--trust FILE is needed: nobody may assume a role whose trust policy says nothing")
    found = find_account(registry, account)
    role = registry.roles.create(
        found.id,
        name,
        read_text(trust),
        path=path,
        description=description,
        max_session=3600 if max_session is None else max_session,
        tags=parse_tags(tags),
        principal_key=AccountDirectory(registry).principal_key,
    )
    if uid is not None or gid is not None or groups:
        role = registry.roles.update(
            found.id, name, lambda record: replace(record, uid=uid, gid=gid, groups=tuple(groups) or None)
        )
    _show(registry, role, as_json)


@roles.command("show")
@with_registry
@in_account
@click.argument("name")
@as_json
def show_role(registry: Registry, account: str, name: str, as_json: bool) -> None:
    """Show a role and its trust policy."""
    _show(registry, registry.roles.get(find_account(registry, account).id, name), as_json)


@roles.command()
@with_registry
@in_account
@click.argument("name")
@_trust
@click.option("--path", help="Another path.")
@click.option("--description")
@_session
@_with_numbers
@click.option("--boundary", metavar="ARN", help="Managed policy that limits the role; empty for none.")
@as_json
def update(
    registry: Registry,
    account: str,
    name: str,
    trust: str | None,
    path: str | None,
    description: str | None,
    max_session: int | None,
    uid: int | None,
    gid: int | None,
    groups: Sequence[int],
    boundary: str | None,
    as_json: bool,
) -> None:
    """Change a role; what is not given stays."""
    from msgspec.structs import replace

    from workers.iam.directory import AccountDirectory

    found = find_account(registry, account)

    def change(record: RoleRecord) -> RoleRecord:
        return replace(
            record,
            path=record.path if path is None else path,
            description=record.description if description is None else description,
            max_session=record.max_session if max_session is None else max_session,
            uid=record.uid if uid is None else uid,
            gid=record.gid if gid is None else gid,
            groups=tuple(groups) or record.groups,
        )

    if trust is not None:
        registry.roles.set_trust(found.id, name, read_text(trust), AccountDirectory(registry).principal_key)
    if boundary is not None:
        registry.roles.set_boundary(found.id, name, boundary)
    _show(registry, registry.roles.update(found.id, name, change), as_json)


@roles.command("revoke-sessions")
@with_registry
@in_account
@click.argument("name")
def revoke_sessions(registry: Registry, account: str, name: str) -> None:
    """Make all sessions of a role worthless that began until now."""
    role = registry.roles.revoke_sessions(find_account(registry, account).id, name)
    click.echo(f"sessions of {name} that began before {moment(role.revoked_before)} have ended")


@roles.command()
@with_registry
@in_account
@click.argument("name")
def delete(registry: Registry, account: str, name: str) -> None:
    """Delete a role that has no policies; its sessions end."""
    registry.roles.remove(find_account(registry, account).id, name)
    click.echo(f"{name} is deleted")
