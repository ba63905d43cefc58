"""Registries on stores of memory, and stores of each kind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.api import BackendConfig
from backends.loader import create
from tests.unit.iam.registry.support import KEY, Clock, registry_over
from workers.iam.registry import Registry
from workers.iam.sealing import Sealer
from workers.iam.stores.api import DocumentStore
from workers.iam.stores.backend import BackendDocuments
from workers.iam.stores.file import FileDocuments
from workers.iam.stores.memory import MemoryDocuments


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> MemoryDocuments:
    return MemoryDocuments()


@pytest.fixture
def registry(store: MemoryDocuments, clock: Clock) -> Registry:
    return registry_over(store, clock)


@pytest.fixture(params=["memory backend", "posix backend", "file"])
def real_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DocumentStore]:
    if request.param == "file":
        yield FileDocuments(tmp_path / "f", Sealer([KEY]), durable=False)
        return
    backend = create(request.param.split()[0], BackendConfig(directory=str(tmp_path), durable=False))
    backend.open()
    yield BackendDocuments(backend)
    backend.close()
