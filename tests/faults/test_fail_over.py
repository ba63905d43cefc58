"""Redis fails over by Sentinel under load: SDK retries are enough, and nothing acknowledged is lost or wrong."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.shards_load import Load
from tests.support.gateway import ACCESS_KEY, SECRET_KEY, Gateway, wait_until
from tests.support.redis_forms import RedisCluster, SentinelGroup

pytestmark = pytest.mark.faults

RETRIES = {"mode": "standard", "total_max_attempts": 10}


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


@pytest.mark.timeout(240)
def test_a_whole_gateway_works_on_a_cluster_and_outlives_the_loss_of_a_primary(
    start_gateway: Callable[..., Gateway], tmp_path: Path
):
    """With everything that uses Redis: uploads, identities and their announcements, budgets, the janitor."""
    with RedisCluster(tmp_path, replicas=True) as cluster:
        environ = {"SHARDGATE_REDIS_URL": cluster.url, "SHARDGATE_BUDGETS": "true"}
        gateway = start_gateway("--account-requests", "100000", "--janitor-interval", "1", workers=2, environ=environ)
        command = [sys.executable, "-m", "dispatcher.cli", "accounts", "create", "people", "--key", "--json"]
        place = ["--directory", str(gateway.directory), "--state-dir", str(gateway.state_dir)]
        made = subprocess.run(
            [*command, *place, "--redis-url", cluster.url], check=True, capture_output=True, text=True, timeout=60
        )
        keys = json.loads(made.stdout)
        keys = keys.get("key", keys)
        person = gateway.s3(access_key=keys["access_key"], secret_key=keys["secret_key"], retries=RETRIES)
        person.create_bucket(Bucket="of-people")
        with Load([gateway.endpoint], (ACCESS_KEY, SECRET_KEY), attempts=10, multipart_every=4) as load:
            load.run_for(1.0)
            cluster.fail_over()
            before = load.operations["multipart"]
            wait_until(lambda: load.operations["multipart"] > before + 8, timeout=90, what="uploads in parts")
            person.put_object(Bucket="of-people", Key="k", Body=b"x")
        assert load.failures == []
        assert load.verify() > 3
        assert gateway.stop() == 0
        text = gateway.log.read_text()
        for word in ("Traceback", "CROSSSLOT", "same slot", "NOPERM"):
            assert word not in text
