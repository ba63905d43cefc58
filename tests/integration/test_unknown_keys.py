"""Clients who try access keys out do not reach the store of identities more than a worker's budget allows."""

from collections.abc import Iterator

import pytest

from loadtest.unknown_keys import EXPECTED, Working, flood, new_keys
from tests.support.counting_posix import PLUGIN
from tests.support.gateway import Gateway

RATE = 5


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("unknown") / "data"
    with Gateway(directory, "--backend", str(PLUGIN), "--unknown-key-rate", str(RATE), workers=1) as running:
        yield running


def test_unknown_keys_do_not_reach_the_store_beyond_their_budget(counted: Gateway) -> None:
    with Working(counted) as working:
        found = flood(counted, new_keys(400), connections=4)
    assert found.answers.keys() == EXPECTED
    assert found.answers[403, "InvalidAccessKeyId"] == found.reads <= found.most(RATE, 1)
    assert not working.refused


def test_a_key_that_is_asked_for_again_reaches_the_store_once(counted: Gateway) -> None:
    found = flood(counted, new_keys(1) * 200, connections=1)
    assert found.reads <= 1
    assert found.answers.keys() <= EXPECTED
