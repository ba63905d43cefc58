"""Redis fails over by Sentinel under load: SDK retries are enough, and nothing acknowledged is lost or wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.shards_load import Load
from tests.support.gateway import ACCESS_KEY, SECRET_KEY, Gateway, wait_until
from tests.support.redis_forms import SentinelGroup

pytestmark = pytest.mark.faults


@pytest.mark.timeout(240)
def test_a_fail_over_under_load_costs_retries_at_most(start_gateway: Callable[..., Gateway], tmp_path: Path):
    with SentinelGroup(tmp_path) as group:
        gateway = start_gateway(workers=2, environ={"SHARDGATE_REDIS_URL": group.url})
        # Half of what is done needs Redis.
        with Load([gateway.endpoint], (ACCESS_KEY, SECRET_KEY), attempts=10, multipart_every=4) as load:
            load.run_for(1.0)
            before = load.operations["multipart"]
            group.fail_over()
            wait_until(lambda: load.operations["multipart"] > before + 2, timeout=60, what="uploads in parts")
        assert load.failures == []
        assert load.verify() > 3
        # Until another master was there, uploads were refused with a word about when to come back.
        assert gateway.stop() == 0
        assert "Traceback" not in gateway.log.read_text()


def test_a_redis_that_evicts_stops_the_start(start_gateway: Callable[..., Gateway], redis_server, redis_client):
    redis_client.config_set("maxmemory-policy", "volatile-lru")
    try:
        gateway = start_gateway(environ={"SHARDGATE_REDIS_URL": redis_server.url}, wait=False)
        assert gateway.wait() == 2
    finally:
        redis_client.config_set("maxmemory-policy", "noeviction")
    assert gateway.log.read_text().splitlines()[-1] == (
        "shardgate: redis_url (SHARDGATE_REDIS_URL): the server may evict keys: "
        "set its maxmemory-policy to noeviction (it is volatile-lru)"
    )
