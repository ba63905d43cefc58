"""Fixtures of the client tests: one gateway per test process, one bucket per test."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest

from tests.clients.backends import endpoint_on
from tests.clients.content import content, digest
from tests.clients.endpoint import Endpoint, external_endpoint
from tests.clients.tls import TlsFront
from tests.support.gateway import Gateway, s3_client

BUCKET_PREFIX = "clients-"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.clients)


@pytest.fixture(scope="session")
def endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """The gateway of this test process, one on the `--backend` given, or the endpoint that the environment names."""
    external, backend = external_endpoint(os.environ), request.config.getoption("--backend")
    if external is not None:
        yield external
    elif backend is not None:
        with endpoint_on(
            tmp_path_factory.mktemp("gateway"), backend, request.config.getoption("--backend-config")
        ) as made:
            yield made
    else:
        gateway: Gateway = request.getfixturevalue("gateway")
        yield Endpoint(gateway.endpoint, gateway.access_key, gateway.secret_key, gateway.region)


@pytest.fixture(scope="session")
def tls_front(endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsFront]:
    """A TLS-terminating proxy before the endpoint: only over TLS some clients send unsigned bodies with trailers."""
    with TlsFront(endpoint.address, tmp_path_factory.mktemp("tls")) as front:
        yield front


def make_client(endpoint: Endpoint, **settings: Any) -> Any:
    """A boto3 client that never retries, so that an error is seen when it happens the first time."""
    return s3_client(endpoint.url, endpoint.access_key, endpoint.secret_key, region=endpoint.region, **settings)


@pytest.fixture(scope="session")
def reference(endpoint: Endpoint) -> Any:
    """The client that says what is really stored: a client under test is never its own witness."""
    return make_client(endpoint)


@pytest.fixture
def make_bucket(reference: Any) -> Iterator[Callable[[], str]]:
    """Makes buckets with names that nobody else uses and removes them, with their content, after the test."""
    names: list[str] = []

    def make() -> str:
        name = f"{BUCKET_PREFIX}{uuid.uuid4().hex[:20]}"
        reference.create_bucket(Bucket=name)
        names.append(name)
        return name

    yield make
    for name in names:
        try:
            empty_bucket(reference, name)
            reference.delete_bucket(Bucket=name)
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchBucket":
                raise


@pytest.fixture
def bucket(make_bucket: Callable[[], str]) -> str:
    """A fresh bucket."""
    return make_bucket()


def empty_bucket(client: Any, bucket: str) -> None:
    """Delete every object of *bucket*."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        keys = [{"Key": entry["Key"]} for entry in page.get("Contents", [])]
        if keys:
            answer = client.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
            assert "Errors" not in answer, answer["Errors"]


class Store:
    """What a bucket holds, seen through the reference client."""

    def __init__(self, client: Any, bucket: str) -> None:
        self.client = client
        self.bucket = bucket

    def put(self, key: str, data: bytes, **arguments: Any) -> None:
        """Store an object."""
        self.client.put_object(Bucket=self.bucket, Key=key, Body=data, **arguments)

    def get(self, key: str) -> bytes:
        """The whole content of an object."""
        data: bytes = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return data

    def keys(self) -> list[str]:
        """All keys in the order of the listing, over all its pages."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def digests(self) -> dict[str, str]:
        """Key -> SHA-256 of every object, each one read in full."""
        return {key: digest(self.get(key)) for key in self.keys()}

    def assert_holds(self, key: str, size: int, seed: int = 0) -> None:
        """The object is exactly ``content(size, seed)``."""
        stored = self.get(key)
        assert (len(stored), digest(stored)) == (size, digest(content(size, seed)))


@pytest.fixture
def store(reference: Any, bucket: str) -> Store:
    """The test's bucket, seen through the reference client."""
    return Store(reference, bucket)
