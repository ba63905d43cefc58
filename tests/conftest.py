"""Fixtures that every test may use; tests/support/gateway.py describes what they give."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import settings
from redis import Redis

from tests.support.gateway import Gateway, RedisServer
from workers.state.redis import connect


def pytest_configure() -> None:
    """Hypothesis fails an example that takes 200 ms by default, which on a busy machine any may take."""
    settings.register_profile("shardgate", deadline=None)
    settings.load_profile("shardgate")


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One running gateway with the posix backend, shared by the tests of a process."""
    with Gateway(tmp_path_factory.mktemp("gateway") / "data") as running:
        yield running


@pytest.fixture
def start_gateway(tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """Starts gateways on fresh directories, or on `directory`; all are stopped afterwards."""
    started: list[Gateway] = []

    def start(*options: str, directory: Path | None = None, **settings: Any) -> Gateway:
        made = Gateway(directory or tmp_path / f"data{len(started)}", *options, **settings)
        started.append(made)
        return made

    yield start
    for running in started:
        running.stop()


@pytest.fixture
def s3(gateway: Gateway) -> Any:
    """A boto3 client of the shared gateway's root account."""
    return gateway.s3()


@pytest.fixture
def bucket(s3: Any) -> str:
    """The name of a new empty bucket in the shared gateway."""
    name = f"test-{uuid4().hex[:20]}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis for the tests of a process. Whoever kills it starts it again."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.close()


@pytest.fixture
def redis_client(redis_server: RedisServer) -> Iterator[Redis]:
    """A client of `redis_server` with an empty database."""
    client = connect(redis_server.url)
    client.flushall()
    yield client
    client.close()
