"""`shardgate policies`: managed policies, inline policies, and what they are attached to."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from dispatcher.identities.common import (
    as_json,
    find_account,
    in_account,
    moment,
    read_text,
    show,
    show_all,
    with_registry,
)
from dispatcher.processes import SupervisionError

if TYPE_CHECKING:
    from workers.iam.entities import Groups, Roles, Users
    from workers.iam.records import PolicyRecord
    from workers.iam.registry import Registry


def _document(policy: PolicyRecord) -> dict[str, Any]:
    return {
        "name": policy.name,
        "id": policy.id,
        "arn": policy.arn,
        "path": policy.path,
        "description": policy.description,
        "default_version": policy.default,
        "versions": {version: moment(found.created) for version, found in policy.versions.items()},
        "tags": dict(policy.tags),
        "created": moment(policy.created),
    }


def with_holder(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command `holder`: the option that says which user, group or role is meant, and its name."""

    def run(registry: Registry, user: str | None, group: str | None, role: str | None, **given: Any) -> None:
        named = [(kind, name) for kind, name in (("users", user), ("groups", group), ("roles", role)) if name]
        if len(named) != 1:
            raise click.UsageError("name one of --user, --group and --role")
        command(registry, holder=named[0], **given)

    run.__doc__ = command.__doc__
    run.__name__ = command.__name__
    run.__dict__.update(command.__dict__)
    wrapped: Callable[..., None] = run
    for kind in ("role", "group", "user"):
        wrapped = click.option(f"--{kind}", metavar="NAME", help=f"The {kind} that is meant.")(wrapped)
    return wrapped


def _collection(registry: Registry, kind: str) -> Users | Groups | Roles:
    found: Users | Groups | Roles = getattr(registry, kind)
    return found


def _find(registry: Registry, account_id: str, name: str) -> PolicyRecord:
    """A managed policy by its name or ARN."""
    found = registry.policies.by_arn(account_id, name) if name.startswith("arn:") else None
    return found or registry.policies.get(account_id, name)


def _find_own(registry: Registry, account_id: str, name: str) -> PolicyRecord:
    """The same for a change. Raises SupervisionError for one that all accounts have."""
    from workers.iam.builtin_policies import BUILTIN

    found = _find(registry, account_id, name)
    if found.arn in BUILTIN:
        raise SupervisionError(f"{found.arn} is the same for all accounts and cannot be changed")
    return found


@click.group()
def policies() -> None:
    """Policies: managed ones, which can be attached, and inline ones of a user, group or role."""


@policies.command("list")
@with_registry
@in_account
@as_json
def list_policies(registry: Registry, account: str, as_json: bool) -> None:
    """List the managed policies of an account."""
    found = find_account(registry, account)
    documents = [_document(policy) for policy in registry.policies.all(found.id)]
    columns = ("name", "default_version", "versions", "created", "arn")
    show_all(documents, columns, json_wanted=as_json, none=f"{found.name} has no policies")


@policies.command()
@with_registry
@in_account
@click.argument("name")
@click.argument("file")
@click.option("--path", default="/")
@click.option("--description", default="")
@as_json
def create(registry: Registry, account: str, name: str, file: str, path: str, description: str, as_json: bool) -> None:
    """Make a managed policy of the document in FILE, - for standard input."""
    found = find_account(registry, account)
    policy = registry.policies.create(found.id, name, read_text(file), path=path, description=description)
    show(_document(policy), json_wanted=as_json)


@policies.command("show")
@with_registry
@in_account
@click.argument("name")
@click.option("--version", help="Another version than the one in force.")
@as_json
def show_policy(registry: Registry, account: str, name: str, version: str | None, as_json: bool) -> None:
    """Show a managed policy, what it is attached to, and its text."""
    found = find_account(registry, account)
    policy = _find(registry, found.id, name)
    wanted = version or policy.default
    if wanted not in policy.versions:
        raise SupervisionError(f"{policy.name} has no version {wanted}")
    text = policy.versions[wanted].text
    document = {**_document(policy), "attached_to": registry.attached_to(found.id, policy.arn), "version": wanted}
    if as_json:
        show({**document, "document": json.loads(text)}, json_wanted=True)
        return
    show(document, json_wanted=False)
    click.echo()
    click.echo(json.dumps(json.loads(text), indent=2))


@policies.command()
@with_registry
@in_account
@click.argument("name")
@click.argument("file")
@click.option("--not-default", is_flag=True, help="Do not put it in force yet.")
@as_json
def update(registry: Registry, account: str, name: str, file: str, not_default: bool, as_json: bool) -> None:
    """Add a version with the document in FILE. When there are too many, the oldest that is not in force goes."""
    from workers.iam.records import MAX_VERSIONS

    found = find_account(registry, account)
    policy = _find_own(registry, found.id, name)
    text = read_text(file)
    if len(policy.versions) >= MAX_VERSIONS:
        from workers.iam.policy.compiler import compile_policy
        from workers.iam.policy.model import Kind

        compile_policy(text, Kind.IDENTITY, name)  # before anything goes for its sake
        oldest = next(version for version in policy.versions if version != policy.default)
        registry.policies.delete_version(found.id, policy.name, oldest)
    registry.policies.add_version(found.id, policy.name, text, default=not not_default)
    show(_document(registry.policies.get(found.id, policy.name)), json_wanted=as_json)


@policies.command("set-default")
@with_registry
@in_account
@click.argument("name")
@click.argument("version")
def set_default(registry: Registry, account: str, name: str, version: str) -> None:
    """Put a version of a managed policy in force."""
    found = find_account(registry, account)
    registry.policies.set_default(found.id, _find_own(registry, found.id, name).name, version)
    click.echo(f"{version} of {name} is in force")


@policies.command()
@with_registry
@in_account
@click.argument("name")
def delete(registry: Registry, account: str, name: str) -> None:
    """Delete a managed policy that is attached nowhere, with all its versions."""
    found = find_account(registry, account)
    policy = _find_own(registry, found.id, name)
    if not registry.attached_to(found.id, policy.arn):
        for version in policy.versions:
            if version != policy.default:
                registry.policies.delete_version(found.id, policy.name, version)
    registry.delete_policy(found.id, policy.name)
    click.echo(f"{policy.name} is deleted")


@policies.command()
@with_registry
@in_account
@click.argument("name")
@with_holder
def attach(registry: Registry, account: str, name: str, holder: tuple[str, str]) -> None:
    """Attach a managed policy to a user, group or role."""
    found = find_account(registry, account)
    kind, holder_name = holder
    _collection(registry, kind).attach(found.id, holder_name, _find(registry, found.id, name).arn)
    click.echo(f"{name} is attached to {holder_name}")


@policies.command()
@with_registry
@in_account
@click.argument("name")
@with_holder
def detach(registry: Registry, account: str, name: str, holder: tuple[str, str]) -> None:
    """Detach a managed policy from a user, group or role."""
    found = find_account(registry, account)
    kind, holder_name = holder
    arn = name if name.startswith("arn:") else _find(registry, found.id, name).arn
    _collection(registry, kind).detach(found.id, holder_name, arn)
    click.echo(f"{name} is detached from {holder_name}")


@policies.command("put-inline")
@with_registry
@in_account
@click.argument("name")
@click.argument("file")
@with_holder
def put_inline(registry: Registry, account: str, name: str, file: str, holder: tuple[str, str]) -> None:
    """Write the document in FILE, - for standard input, as an inline policy of a user, group or role."""
    found = find_account(registry, account)
    kind, holder_name = holder
    _collection(registry, kind).put_inline(found.id, holder_name, name, read_text(file))
    click.echo(f"{name} is a policy of {holder_name}")


@policies.command("show-inline")
@with_registry
@in_account
@click.argument("name")
@with_holder
def show_inline(registry: Registry, account: str, name: str, holder: tuple[str, str]) -> None:
    """Print an inline policy."""
    found = find_account(registry, account)
    kind, holder_name = holder
    inline = _collection(registry, kind).get(found.id, holder_name).inline
    if name not in inline:
        raise SupervisionError(f"{holder_name} has no inline policy {name}")
    click.echo(json.dumps(json.loads(inline[name]), indent=2))


@policies.command("delete-inline")
@with_registry
@in_account
@click.argument("name")
@with_holder
def delete_inline(registry: Registry, account: str, name: str, holder: tuple[str, str]) -> None:
    """Remove an inline policy."""
    found = find_account(registry, account)
    kind, holder_name = holder
    _collection(registry, kind).delete_inline(found.id, holder_name, name)
    click.echo(f"{name} is no policy of {holder_name} any more")
