"""The suite's fixtures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from backends import loader
from backends.api import Backend, BackendConfig, Caller, ConfigurationError
from backends.testkit.harness import Box, Boxes, Target, read_options


def pytest_collection_modifyitems(config: pytest.Config) -> None:
    """Refuse to run without a plugin that loads, in one line."""
    specification = config.getoption("--backend", "")
    if not specification:
        raise pytest.UsageError("the conformance suite needs --backend NAME|MODULE:CLASS|FILE.py")
    try:
        loader.load(specification)
    except ConfigurationError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.fixture(scope="session")
def target(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Target:
    """The plugin that the command line names."""
    uid, _, gid = (pytestconfig.getoption("--backend-caller") or "").partition(":")
    return Target(
        specification=pytestconfig.getoption("--backend"),
        config=BackendConfig(
            directory=pytestconfig.getoption("--backend-directory") or str(tmp_path_factory.mktemp("storage")),
            options=read_options(pytestconfig.getoption("--backend-config")),
            durable=not pytestconfig.getoption("--backend-relaxed"),
        ),
        caller=Caller(account_id="testkit", uid=int(uid) if uid else None, gid=int(gid) if gid else None),
        processes=pytestconfig.getoption("--backend-processes"),
    )


@pytest.fixture(scope="session")
def backend(target: Target) -> Iterator[Backend]:
    """The plugin, opened once for all tests, as in a worker."""
    with target.opened() as backend:
        yield backend


@pytest.fixture
def caller(target: Target) -> Caller:
    """On whose behalf the tests act."""
    return target.caller


@pytest.fixture
def boxes(backend: Backend, caller: Caller) -> Iterator[Boxes]:
    """Makes buckets that are removed after the test."""
    boxes = Boxes(backend, caller)
    yield boxes
    boxes.remove_all()


@pytest.fixture
def box(boxes: Boxes) -> Box:
    """A new, empty bucket."""
    return boxes.make()


@pytest.fixture
def shared(target: Target, backend: Backend) -> Target:
    """The target, for tests that open the plugin a second time."""
    if not backend.capabilities.persistent:
        pytest.skip("the plugin declares persistent = False: another worker sees nothing of this one")
    return target


@pytest.fixture
def contended(shared: Target, backend: Backend) -> Target:
    """The target, for tests with several processes."""
    if not backend.capabilities.atomic_preconditions:
        pytest.skip("the plugin declares atomic_preconditions = False: the gateway keeps processes apart")
    if shared.processes < 2:
        pytest.skip("--backend-processes says so")
    return replace(shared)
