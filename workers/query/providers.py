"""OpenID Connect providers whose tokens can be exchanged for a role."""

from __future__ import annotations

from msgspec.structs import replace

from workers.iam.records import ProviderRecord, check_tags
from workers.protocol.query import QueryError
from workers.query.caller import account_of, registry_of
from workers.query.rendering import members, paged, reply, tag_nodes, when
from workers.query.resources import account_resource, arn_of, iam_operation
from workers.request import Request, Response


def _new_resource(request: Request) -> str:
    url: str = request.payload.require("Url")
    return arn_of(request, f"oidc-provider/{url.partition('://')[2]}")


def _resource(request: Request) -> str:
    arn: str = request.payload.require("OpenIDConnectProviderArn")
    if not arn.startswith(arn_of(request, "oidc-provider/")):
        raise QueryError("InvalidInput", f"{arn[:512]} is no provider of this account.")
    return arn


def _named(request: Request) -> ProviderRecord:
    return registry_of(request).providers.by_arn(account_of(request), _resource(request))


@iam_operation("CreateOpenIDConnectProvider", _new_resource, writes=True)
def create_open_id_connect_provider(request: Request) -> Response:
    """Trust a provider, one of those that the operator allows by the setting `oidc_issuers`."""
    parameters = request.payload
    url = parameters.require("Url")
    if url not in request.services.settings.oidc_issuers:
        raise QueryError("InvalidInput", f"The operator of this gateway does not allow the issuer {url[:255]}.")
    provider = registry_of(request).providers.create(
        account_of(request),
        url,
        client_ids=parameters.texts("ClientIDList"),
        thumbprints=parameters.texts("ThumbprintList"),
        tags=parameters.pairs("Tags"),
    )
    tags = tag_nodes(provider.tags) if provider.tags else None
    return reply(request, [("OpenIDConnectProviderArn", provider.arn), ("Tags", tags)])


@iam_operation("GetOpenIDConnectProvider", _resource)
def get_open_id_connect_provider(request: Request) -> Response:
    """A provider."""
    provider = _named(request)
    return reply(
        request,
        [
            ("Url", provider.name),
            ("ClientIDList", members(provider.client_ids)),
            ("ThumbprintList", members(provider.thumbprints)),
            ("CreateDate", when(provider.created)),
            ("Tags", tag_nodes(provider.tags) if provider.tags else None),
        ],
    )


@iam_operation("ListOpenIDConnectProviders", account_resource)
def list_open_id_connect_providers(request: Request) -> Response:
    """The providers that the account trusts."""
    providers = registry_of(request).providers.all(account_of(request))
    return reply(request, [("OpenIDConnectProviderList", members([("Arn", provider.arn)] for provider in providers))])


@iam_operation("DeleteOpenIDConnectProvider", _resource, writes=True)
def delete_open_id_connect_provider(request: Request) -> Response:
    """Trust a provider no more. Sessions that began by its tokens go on until they end."""
    registry_of(request).providers.remove(account_of(request), _named(request).name)
    return reply(request)


@iam_operation("AddClientIDToOpenIDConnectProvider", _resource, writes=True)
def add_client_id_to_open_id_connect_provider(request: Request) -> Response:
    """Take a provider's tokens for one more audience."""
    client = request.payload.require("ClientID")
    registry_of(request).providers.add_client(account_of(request), _named(request).name, client)
    return reply(request)


@iam_operation("RemoveClientIDFromOpenIDConnectProvider", _resource, writes=True)
def remove_client_id_from_open_id_connect_provider(request: Request) -> Response:
    """Take a provider's tokens for an audience no more."""
    client = request.payload.require("ClientID")
    registry_of(request).providers.remove_client(account_of(request), _named(request).name, client)
    return reply(request)


@iam_operation("UpdateOpenIDConnectProviderThumbprint", _resource, writes=True)
def update_open_id_connect_provider_thumbprint(request: Request) -> Response:
    """Note other thumbprints; the provider's certificate is verified whatever they are."""
    thumbprints = tuple(request.payload.texts("ThumbprintList"))

    def change(provider: ProviderRecord) -> ProviderRecord:
        return replace(provider, thumbprints=thumbprints)

    registry_of(request).providers.update(account_of(request), _named(request).name, change)
    return reply(request)


@iam_operation("TagOpenIDConnectProvider", _resource, writes=True)
def tag_open_id_connect_provider(request: Request) -> Response:
    """Add tags to a provider."""
    added = request.payload.pairs("Tags")

    def change(provider: ProviderRecord) -> ProviderRecord:
        return replace(provider, tags=check_tags({**provider.tags, **added}))

    registry_of(request).providers.update(account_of(request), _named(request).name, change)
    return reply(request)


@iam_operation("UntagOpenIDConnectProvider", _resource, writes=True)
def untag_open_id_connect_provider(request: Request) -> Response:
    """Remove tags from a provider."""
    gone = set(request.payload.texts("TagKeys"))

    def change(provider: ProviderRecord) -> ProviderRecord:
        return replace(provider, tags={name: value for name, value in provider.tags.items() if name not in gone})

    registry_of(request).providers.update(account_of(request), _named(request).name, change)
    return reply(request)


@iam_operation("ListOpenIDConnectProviderTags", _resource)
def list_open_id_connect_provider_tags(request: Request) -> Response:
    """The tags of a provider, in pages."""
    tags = _named(request).tags
    page, more = paged(request.payload, sorted(tags), str)
    return reply(request, [("Tags", tag_nodes({name: tags[name] for name in page})), *more])
