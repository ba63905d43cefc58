"""A large body costs a worker no memory that grows with it, and does not stop its neighbours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from loadtest.large_bodies import MIB, measure
from tests.support.gateway import Gateway

SIZE = 160 * MIB
LIMIT = 150 * MIB


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("large") / "data"
    with Gateway(directory, workers=1, environ={"SHARDGATE_DURABILITY": "relaxed"}) as gateway:
        yield gateway


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_a_large_body_needs_little_memory_and_lets_others_through(gateway: Gateway, signed: bool) -> None:
    for result in measure(gateway, SIZE, signed=signed):
        assert result.resident_peak < LIMIT
        # Buffers of one transfer, not the body.
        assert result.resident_peak - result.resident_before < 48 * MIB
        assert len(result.small) > 10
        assert result.quantile(0.9) < 1.0
