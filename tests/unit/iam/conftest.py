"""Servers that the tests of stores share."""

from collections.abc import Iterator

import pytest

from tests.support.directory import Directory
from tests.support.vault import Vault


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directory]:
    """An LDAP server. Whoever stops it starts it again."""
    with Directory(tmp_path_factory.mktemp("directory")) as running:
        yield running


@pytest.fixture(scope="session")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """A Vault. Nobody stops it, since it forgets everything."""
    with Vault(tmp_path_factory.mktemp("vault")) as running:
        yield running
