"""A large body costs a worker no memory that grows with it, and does not stop its neighbours."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from loadtest.large_bodies import MIB, measure
from tests.support.gateway import Gateway

SIZE = 256 * MIB
LIMIT = 150 * MIB


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_a_large_body_needs_little_memory_and_lets_others_through(
    start_gateway: Callable[..., Gateway], signed: bool
) -> None:
    gateway = start_gateway(workers=1, environ={"SHARDGATE_DURABILITY": "relaxed"})
    for result in measure(gateway, SIZE, signed=signed):
        assert result.resident_peak < LIMIT
        # Buffers of one transfer, not the body.
        assert result.resident_peak - result.resident_before < 48 * MIB
        assert len(result.small) > 10
        assert result.quantile(0.9) < 1.0
