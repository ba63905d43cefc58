"""`shardgate accounts`: who owns buckets, objects and identities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dispatcher.identities.common import (
    Opened,
    as_json,
    find_account,
    moment,
    opened,
    show,
    show_all,
    with_opened,
    with_registry,
    with_settings,
)
from dispatcher.identities.keys import announce_key
from dispatcher.processes import SupervisionError
from dispatcher.uploads_command import OPERATOR
from workers.settings import Settings, SettingsError

if TYPE_CHECKING:
    from workers.iam.records import AccountRecord
    from workers.iam.registry import Registry

_LIMITS = ("requests", "bytes", "concurrent", "buckets")


def _with_properties(command: Any) -> Any:
    """The options of what an account can be."""
    for option in reversed(
        (
            click.option("--email", help="E-mail address, unique among accounts."),
            click.option("--uid", type=int, help="User id in the storage system."),
            click.option("--gid", type=int, help="Group id in the storage system."),
            click.option("--group", "groups", type=int, multiple=True, help="Supplementary group id; repeatable."),
            click.option("--admin/--no-admin", default=None, help="Whether its own keys do what root's do. Beware."),
            click.option("--buckets/--no-buckets", "may_create", default=None, help="Whether it may create buckets."),
            *(
                click.option(f"--max-{name}", f"max_{name}", type=int, help=text)
                for name, text in (
                    ("requests", "Requests a second; 0 for no limit."),
                    ("bytes", "Bytes a second, both directions together; 0 for no limit."),
                    ("concurrent", "Requests at the same time; 0 for no limit."),
                    ("buckets", "Buckets that it owns; 0 for no limit."),
                )
            ),
        )
    ):
        command = option(command)
    return command


def account_document(account: AccountRecord) -> dict[str, Any]:
    """An account as JSON has it."""
    return {
        "name": account.name,
        "id": account.id,
        "number": account.number,
        "arn": account.arn,
        "enabled": account.enabled,
        "email": account.email,
        "uid": account.uid,
        "gid": account.gid,
        "groups": list(account.groups),
        "admin": account.admin,
        "may_create_buckets": account.may_create_buckets,
        "limits": {name: getattr(account.limits, name) for name in _LIMITS},
        "created": moment(account.created),
        "access_keys": list(account.access_keys),
    }


def _limits(account: AccountRecord | None, given: dict[str, Any]) -> Any:
    from workers.iam.records import AccountLimits

    before = AccountLimits() if account is None else account.limits
    values = {name: given[f"max_{name}"] for name in _LIMITS}
    return AccountLimits(**{n: getattr(before, n) if value is None else value for n, value in values.items()})


@click.group()
def accounts() -> None:
    """Accounts: who owns buckets, objects, users, groups, roles and policies."""


@accounts.command("list")
@with_registry
@as_json
def list_accounts(registry: Registry, as_json: bool) -> None:
    """List the accounts; root, which is always there, is not among them."""
    documents = [account_document(account) for account in registry.accounts()]
    columns = ("name", "number", "enabled", "uid", "email", "access_keys", "id")
    show_all(documents, columns, json_wanted=as_json, none="there are no accounts but root")


@accounts.command()
@with_registry
@click.argument("name")
@_with_properties
@click.option("--id", "account_id", default="", help="Canonical user id of an account that moves here.")
@click.option("--key", is_flag=True, help="Make an access key of the account's own, too, and print it this one time.")
@as_json
def create(registry: Registry, name: str, account_id: str, key: bool, as_json: bool, **given: Any) -> None:
    """Make an account."""
    account = registry.create_account(
        name,
        email=given["email"] or "",
        uid=given["uid"],
        gid=given["gid"],
        groups=given["groups"],
        limits=_limits(None, given),
        may_create_buckets=given["may_create"] is not False,
        admin=bool(given["admin"]),
        account_id=account_id,
    )
    made = registry.create_key(account.id) if key else None
    document = account_document(registry.existing(account.id))
    show(announce_key(document, made), json_wanted=as_json)


@accounts.command("show")
@with_registry
@click.argument("name")
@as_json
def show_account(registry: Registry, name: str, as_json: bool) -> None:
    """Show an account by its name, id or number."""
    show(account_document(find_account(registry, name)), json_wanted=as_json)


@accounts.command()
@with_registry
@click.argument("name")
@_with_properties
@click.option("--rename", metavar="NAME", help="Another name.")
@as_json
def update(registry: Registry, name: str, rename: str | None, as_json: bool, **given: Any) -> None:
    """Change an account; what is not given stays."""
    from msgspec.structs import replace

    account = _changeable(registry, name)

    def change(record: AccountRecord) -> AccountRecord:
        return replace(
            record,
            name=rename or record.name,
            email=record.email if given["email"] is None else given["email"],
            uid=record.uid if given["uid"] is None else given["uid"],
            gid=record.gid if given["gid"] is None else given["gid"],
            groups=given["groups"] or record.groups,
            limits=_limits(record, given),
            admin=record.admin if given["admin"] is None else given["admin"],
            may_create_buckets=record.may_create_buckets if given["may_create"] is None else given["may_create"],
        )

    show(account_document(registry.update_account(account.id, change)), json_wanted=as_json)


def _switch(registry: Registry, name: str, *, enabled: bool) -> None:
    from msgspec.structs import replace

    account = _changeable(registry, name)
    registry.update_account(account.id, lambda record: replace(record, enabled=enabled))
    click.echo(f"{account.name} is {'enabled' if enabled else 'disabled'}")


@accounts.command()
@with_registry
@click.argument("name")
def enable(registry: Registry, name: str) -> None:
    """Let an account's keys work again."""
    _switch(registry, name, enabled=True)


@accounts.command()
@with_registry
@click.argument("name")
def disable(registry: Registry, name: str) -> None:
    """Let no key of an account or of its users work, and none of their sessions."""
    _switch(registry, name, enabled=False)


@accounts.command()
@with_opened
@click.argument("name")
@click.option("--cascade", is_flag=True, help="With all its users, groups, roles, policies and keys.")
@click.option("--leave-buckets", is_flag=True, help="Even if it owns buckets: they stay, and only root can use them.")
def delete(place: Opened, name: str, cascade: bool, leave_buckets: bool) -> None:
    """Delete an account that owns no buckets."""
    account = _changeable(place.registry, name)
    if not leave_buckets:
        buckets = [bucket.name for bucket in place.backend.list_buckets(OPERATOR) if bucket.owner == account.id]
        if buckets:
            raise SupervisionError(f"{account.name} owns buckets: {', '.join(buckets[:10])}")
    place.registry.delete_account(account.id, cascade=cascade)
    click.echo(f"{account.name} is deleted")


@accounts.command()
@with_settings
@as_json
def sync(settings: Settings, as_json: bool) -> None:
    """Bring accounts in step with the people of the directory that `ldap_people_base` names, now."""
    from dataclasses import asdict

    from workers.iam.opening import open_people

    with opened(settings) as found:
        syncing = open_people(settings, found.registry)
        if syncing is None:
            raise SettingsError("ldap_people_base is not set: there is no directory to bring accounts in step with")
        show(asdict(syncing.run()), json_wanted=as_json)


def _changeable(registry: Registry, name: str) -> AccountRecord:
    from workers.iam.accounts import ROOT_ACCOUNT_ID

    account = find_account(registry, name)
    if account.id == ROOT_ACCOUNT_ID:
        raise SupervisionError("root comes from the configuration and cannot be changed")
    return account
