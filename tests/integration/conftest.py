"""Gateways for the raw requests of a test process, on memory and posix: buckets of their own keep tests apart."""

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from tests.support.gateway import Gateway
from tests.support.wire import CREDENTIALS, Answer, Wire


@pytest.fixture(scope="session", params=["memory", "posix"])
def raw_gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway; none of its answers may have come from a bug."""
    home = tmp_path_factory.mktemp(request.param)
    with Gateway(
        home / "data",
        *("--backend", request.param, "--virtual-host-domain", "s3.example.test"),
        workers=1 if request.param == "memory" else 2,
        environ=CREDENTIALS,
    ) as running:
        yield running
        log = running.log.read_text()
    assert "Traceback" not in log
    assert "request failed" not in log


@pytest.fixture(scope="session")
def wire(raw_gateway: Gateway) -> Wire:
    """Raw requests to the gateway."""
    return Wire(raw_gateway)


@pytest.fixture
def new_bucket(wire: Wire) -> Callable[[], str]:
    """Makes buckets."""

    def make() -> str:
        name = f"raw-{uuid4().hex[:16]}"
        assert wire.call("PUT", f"/{name}").status == 200
        return name

    return make


@pytest.fixture
def box(new_bucket: Callable[[], str]) -> str:
    """The path of a new bucket, such as "/raw-1"."""
    return "/" + new_bucket()


@pytest.fixture
def put(wire: Wire, box: str) -> Callable[..., Answer]:
    """Puts an object into `box`: put("key", b"data", {"content-type": "text/plain"})."""

    def store(key: str, data: bytes = b"data", headers: dict[str, str] | None = None) -> Answer:
        answer = wire.call("PUT", f"{box}/{key}", headers, data)
        assert answer.status == 200, answer
        return answer

    return store
