"""OpenID Connect providers by IAM's query API."""

from __future__ import annotations

from typing import Any

from tests.integration.identities.conftest import ISSUER
from tests.integration.identities.test_users import refused


def test_life_of_a_provider(iam: Any) -> None:
    made = iam.create_open_id_connect_provider(
        Url=ISSUER, ClientIDList=["gateway"], ThumbprintList=["a" * 40], Tags=[{"Key": "a", "Value": "b"}]
    )
    arn = made["OpenIDConnectProviderArn"]
    assert arn.endswith(":oidc-provider/idp.example.org/realms/x")
    named = {"OpenIDConnectProviderArn": arn}
    assert refused(iam.create_open_id_connect_provider, Url=ISSUER) == ("EntityAlreadyExists", 409)
    assert refused(iam.create_open_id_connect_provider, Url="https://evil.example.org") == ("InvalidInput", 400)
    iam.add_client_id_to_open_id_connect_provider(**named, ClientID="other")
    iam.remove_client_id_from_open_id_connect_provider(**named, ClientID="gateway")
    iam.update_open_id_connect_provider_thumbprint(**named, ThumbprintList=["b" * 40])
    iam.tag_open_id_connect_provider(**named, Tags=[{"Key": "c", "Value": "d"}])
    iam.untag_open_id_connect_provider(**named, TagKeys=["a"])
    assert iam.list_open_id_connect_provider_tags(**named)["Tags"] == [{"Key": "c", "Value": "d"}]
    found = iam.get_open_id_connect_provider(**named)
    assert (found["Url"], found["ClientIDList"]) == ("idp.example.org/realms/x", ["other"])
    assert found["ThumbprintList"] == ["b" * 40]
    assert {"Arn": arn} in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
    iam.delete_open_id_connect_provider(**named)
    assert refused(iam.get_open_id_connect_provider, **named) == ("NoSuchEntity", 404)
