"""`shardgate oidc-providers`: OpenID Connect providers whose tokens can be exchanged for a role."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from dispatcher.identities.common import as_json, find_account, in_account, moment, show, show_all, with_registry
from dispatcher.processes import SupervisionError

if TYPE_CHECKING:
    from workers.iam.records import ProviderRecord
    from workers.iam.registry import Registry


def _document(provider: ProviderRecord) -> dict[str, Any]:
    return {
        "url": provider.url,
        "arn": provider.arn,
        "client_ids": list(provider.client_ids),
        "tags": dict(provider.tags),
        "created": moment(provider.created),
    }


def _get(registry: Registry, account_id: str, url: str) -> ProviderRecord:
    from workers.iam.providers import provider_name

    if url.startswith("arn:"):
        return registry.providers.by_arn(account_id, url)
    found = registry.providers.find(account_id, provider_name(url))
    if found is None:
        raise SupervisionError(f"there is no provider {url}")
    return found


@click.group("oidc-providers")
def oidc_providers() -> None:
    """OpenID Connect providers that an account trusts. The setting oidc_issuers says which there can be."""


@oidc_providers.command("list")
@with_registry
@in_account
@as_json
def list_providers(registry: Registry, account: str, as_json: bool) -> None:
    """List the providers that an account trusts."""
    found = find_account(registry, account)
    documents = [_document(provider) for provider in registry.providers.all(found.id)]
    columns = ("url", "client_ids", "created", "arn")
    show_all(documents, columns, json_wanted=as_json, none=f"{found.name} trusts no providers")


@oidc_providers.command()
@with_registry
@in_account
@click.argument("url")
@click.option("--client-id", "client_ids", multiple=True, required=True, help="Audience of its tokens; repeatable.")
@as_json
def create(registry: Registry, account: str, url: str, client_ids: Sequence[str], as_json: bool) -> None:
    """Trust the provider at URL, for tokens that are meant for one of the client ids."""
    provider = registry.providers.create(find_account(registry, account).id, url, client_ids=client_ids)
    show(_document(provider), json_wanted=as_json)


@oidc_providers.command("show")
@with_registry
@in_account
@click.argument("url")
@as_json
def show_provider(registry: Registry, account: str, url: str, as_json: bool) -> None:
    """Show a provider by its URL or ARN."""
    show(_document(_get(registry, find_account(registry, account).id, url)), json_wanted=as_json)


@oidc_providers.command("add-client")
@with_registry
@in_account
@click.argument("url")
@click.argument("client_id")
def add_client(registry: Registry, account: str, url: str, client_id: str) -> None:
    """Take a provider's tokens for one more audience."""
    found = find_account(registry, account)
    registry.providers.add_client(found.id, _get(registry, found.id, url).name, client_id)
    click.echo(f"tokens for {client_id} are taken")


@oidc_providers.command("remove-client")
@with_registry
@in_account
@click.argument("url")
@click.argument("client_id")
def remove_client(registry: Registry, account: str, url: str, client_id: str) -> None:
    """Take a provider's tokens for an audience no more."""
    found = find_account(registry, account)
    registry.providers.remove_client(found.id, _get(registry, found.id, url).name, client_id)
    click.echo(f"tokens for {client_id} are not taken any more")


@oidc_providers.command()
@with_registry
@in_account
@click.argument("url")
def delete(registry: Registry, account: str, url: str) -> None:
    """Trust a provider no more."""
    found = find_account(registry, account)
    registry.providers.remove(found.id, _get(registry, found.id, url).name)
    click.echo(f"{url} is not trusted any more")
