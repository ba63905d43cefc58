"""OpenID Connect providers that accounts trust, one document each.

The issuer is taken as it is written, and compared character by character with what tokens say (OpenID Connect Core 1.0
section 3.1.3.7).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

from msgspec.structs import replace

from workers.iam.entities import NO_TAGS, Collection
from workers.iam.records import (
    InvalidInput,
    LimitExceeded,
    NotFound,
    ProviderRecord,
    check_tags,
)

MAX_CLIENTS: Final = 100


class Providers(Collection[ProviderRecord]):
    """OpenID Connect providers."""

    kind, folder, label, longest = ProviderRecord, "providers", "OpenID Connect provider", 255

    def create(
        self,
        account_id: str,
        url: str,
        *,
        client_ids: Iterable[str] = (),
        thumbprints: Iterable[str] = (),
        tags: Mapping[str, str] = NO_TAGS,
    ) -> ProviderRecord:
        """Trust a provider. Raises `AlreadyExists`, `InvalidInput`, `LimitExceeded`."""
        return self._create(
            ProviderRecord(
                id=self._new("AOID"),
                account=account_id,
                name=provider_name(url),
                created=self._tools.clock(),
                url=url,
                client_ids=tuple(dict.fromkeys(client_ids)),
                thumbprints=tuple(thumbprints),
                tags=tags,
            )
        )

    def by_arn(self, account_id: str, arn: str) -> ProviderRecord:
        """The provider of an account that has this ARN. Raises `NotFound`."""
        found = self.find(account_id, arn.partition(":oidc-provider/")[2])
        if found is None or found.arn != arn:
            raise NotFound(f"OpenIDConnect Provider not found for arn {arn[:512]}")
        return found

    def add_client(self, account_id: str, name: str, client_id: str) -> None:
        """Take tokens for one more audience; again is no error. Raises `NotFound`, `LimitExceeded`."""

        def change(record: ProviderRecord) -> ProviderRecord:
            return replace(record, client_ids=tuple(dict.fromkeys((*record.client_ids, client_id))))

        self.update(account_id, name, change)

    def remove_client(self, account_id: str, name: str, client_id: str) -> None:
        """Take tokens for an audience no more; again is no error. Raises `NotFound`."""

        def change(record: ProviderRecord) -> ProviderRecord:
            return replace(record, client_ids=tuple(one for one in record.client_ids if one != client_id))

        self.update(account_id, name, change)

    def remove(self, account_id: str, name: str) -> ProviderRecord:
        """Trust a provider no more. Raises `NotFound`."""
        return self._delete(account_id, name, lambda record: None)

    def _check_name(self, name: str) -> None:
        if not 1 <= len(name) <= self.longest:
            raise InvalidInput(f"The URL of a provider has {self.longest} characters at most")

    def _checked(self, record: ProviderRecord) -> ProviderRecord:
        if len(record.client_ids) > MAX_CLIENTS:
            raise LimitExceeded(f"A provider has {MAX_CLIENTS} client ids at most")
        if not all(1 <= len(one) <= 255 and one.isprintable() for one in record.client_ids):
            raise InvalidInput("A client id has 1 to 255 printable characters")
        check_tags(record.tags)
        return record


def provider_name(url: str) -> str:
    """An issuer's URL without its scheme, as ARNs and condition keys have it. Raises `InvalidInput`."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidInput("The URL of a provider is not valid") from None
    plain = url.isascii() and url.isprintable() and not any(mark in url for mark in ' *?#"<>\\')
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.username is not None or not plain:
        raise InvalidInput("The URL of a provider is https://HOST/PATH, without a query")
    host = parts.hostname if port is None else f"{parts.hostname}:{port}"
    return host + parts.path.rstrip("/")
