"""Changes of identities on all workers, with Redis and without, and what goes on when their store is away, too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from loadtest.change_propagation import Fleet, perform
from tests.support.gateway import Gateway, RedisServer, wait_until
from tests.support.identities import Identities, Person

pytestmark = pytest.mark.faults

BUCKET = "identities"
READ = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"},
}


def test_each_worker_obeys_a_change_a_second_later(start_gateway: Callable[..., Gateway]) -> None:
    """Each kind of change once; loadtest/change_propagation.py makes a hundred with eight workers."""
    gateway = start_gateway("--shards", "2", workers=2)
    assert perform(Fleet(gateway, shards=2, workers=2), rounds=3, patience=1.0) == 0


def statuses(user: Person, count: int = 12) -> set[int]:
    """What presigned requests of a user are answered, on connections of their own: by any worker."""
    url = user.s3().generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "key"})
    return {requests.get(url, timeout=30, headers={"Connection": "close"}).status_code for _ in range(count)}


def prepare(people: Identities) -> Person:
    """A user who may read an object of his account."""
    account = people.account("someone")
    s3 = account.s3()
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="key", Body=b"data")
    user = people.user(account, "reader", READ)
    wait_until(lambda: statuses(user) == {200}, what="the user")
    return user


def test_without_redis_a_change_is_seen_within_the_time_to_live(
    start_gateway: Callable[..., Gateway], tmp_path: Path
) -> None:
    server = RedisServer(tmp_path)
    try:
        gateway = start_gateway("--redis-url", server.url, "--auth-cache-ttl", "4")
        people = Identities(gateway, SHARDGATE_REDIS_URL=server.url)
        user = prepare(people)
        server.kill()
        # Nobody is refused because Redis is away, neither whom the workers know nor whom they do not.
        assert statuses(user) == {200}
        account = people.registry.find_account("someone")
        assert account is not None
        made = people.registry.create_key(account.id, "reader")
        other = Person(gateway, account.id, "reader", "", made.record.access_key, made.secret)
        assert statuses(other) == {200}
        people.registry.update_key(user.access_key, enabled=False)
        wait_until(lambda: statuses(user) == {403}, what="the end of the time to live", timeout=40)
        # A Redis that comes back has nothing to say against it.
        server.start()
        assert statuses(user) == {403}
        people.registry.update_key(user.access_key, enabled=True)
        wait_until(lambda: statuses(user) == {200}, what="the key")
        people.close()
    finally:
        server.close()


def test_without_redis_and_store_known_identities_go_on_for_a_while(
    start_gateway: Callable[..., Gateway], tmp_path: Path
) -> None:
    file = tmp_path / "identities"
    server = RedisServer(tmp_path)
    store = {"SHARDGATE_IAM_STORE": "file", "SHARDGATE_IAM_FILE": str(file)}
    try:
        gateway = start_gateway(
            *("--redis-url", server.url, "--auth-cache-ttl", "2", "--auth-grace", "8"), workers=1, environ=store
        )
        people = Identities(gateway, SHARDGATE_REDIS_URL=server.url, **store)
        user = prepare(people)
        stranger = people.user(people.account("other"), "stranger", READ)
        assert b"reader" not in file.read_bytes()
        server.kill()
        kept = file.read_bytes()
        # Every read fails from now on, as on a file system that has gone away.
        file.write_bytes(b"not sealed by anybody")
        assert statuses(user, 3) == {200}
        assert statuses(stranger, 3) == {503}
        wait_until(lambda: statuses(user, 1) == {503}, what="the end of the grace", timeout=60)
        assert gateway.s3().get_object(Bucket=BUCKET, Key="key")["Body"].read() == b"data"  # root is no record
        file.write_bytes(kept)
        wait_until(lambda: statuses(user, 3) == {200}, what="the store")
        people.close()
    finally:
        server.close()
