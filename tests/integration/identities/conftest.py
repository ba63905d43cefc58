"""One gateway for the tests of IAM and STS of a process, and checked clients of any identity."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config

from tests.support.gateway import Gateway
from tests.support.oidc_provider import Provider
from tests.support.query_model import checked

Clients = Callable[..., Any]
ISSUER = "https://idp.example.org/realms/x"
OPTIONS = ("--durability", "relaxed", "--oidc-issuer", ISSUER)


@dataclass
class User:
    """A user with a key."""

    name: str
    arn: str
    access_key: str
    secret_key: str


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    """An OpenID Connect provider."""
    with Provider() as running:
        yield running


@pytest.fixture(scope="session")
def iam_gateway(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Iterator[Gateway]:
    """A gateway; none of its answers may have come from a bug."""
    home = tmp_path_factory.mktemp("iam") / "data"
    with Gateway(home, *OPTIONS, "--oidc-issuer", provider.issuer) as running:
        yield running
        log = running.log.read_text()
    assert "Traceback" not in log
    assert "request failed" not in log


@pytest.fixture(scope="session")
def client_of(iam_gateway: Gateway) -> Clients:
    """Makes clients: client_of("iam"), client_of("sts", user), client_of("s3", user, session_token=...)."""

    def make(service: str, holder: Any = None, *, session_token: str | None = None, **config: Any) -> Any:
        holder = iam_gateway if holder is None else holder
        if service == "s3":
            config = {"signature_version": "s3v4", "s3": {"addressing_style": "path"}, **config}
        client = boto3.session.Session().client(
            service,
            endpoint_url=iam_gateway.endpoint,
            region_name=iam_gateway.region,
            aws_access_key_id=holder.access_key,
            aws_secret_access_key=holder.secret_key,
            aws_session_token=session_token,
            config=Config(retries={"total_max_attempts": 1}, **config),
        )
        return client if service == "s3" else checked(client)

    return make


@pytest.fixture(scope="session")
def iam(client_of: Clients) -> Any:
    """The root account's client of IAM."""
    return client_of("iam")


@pytest.fixture
def user(iam: Any) -> User:
    """A user of the root account with a key and no policies."""
    name = f"user-{uuid4().hex[:12]}"
    arn = iam.create_user(UserName=name)["User"]["Arn"]
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return User(name, arn, key["AccessKeyId"], key["SecretAccessKey"])
