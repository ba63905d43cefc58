"""Without Redis, plain object operations go on, readiness says so, and all is well when it is back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.support.fast_client import Client, path_of
from tests.support.gateway import Gateway, RedisServer, wait_until

pytestmark = pytest.mark.faults

TAGS = b"<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>"


def use_everything_plain(gateway: Gateway, bucket: str) -> float:
    """Each operation that needs no shared state, over new connections to any worker; the seconds of the slowest one.

    Without those that make and delete the bucket, which tell Redis and wait for its answer.
    """
    slowest = 0.0

    def call(method: str, path: str, query: dict[str, str] | None = None, **options: object) -> bytes:
        nonlocal slowest
        began = time.monotonic()
        with Client(gateway) as client:
            reply = client.request(method, path, query, **options)  # type: ignore[arg-type]
        slowest = max(slowest, time.monotonic() - began)
        assert reply.status in (200, 204), reply
        return reply.body

    call("PUT", path_of(bucket))
    slowest = 0.0
    for number in range(10):
        call("PUT", path_of(bucket, f"{number}"), body=b"%d" % number * 1000)
        assert call("GET", path_of(bucket, f"{number}")) == b"%d" % number * 1000
    call("PUT", path_of(bucket, "copy"), headers={"x-amz-copy-source": f"/{bucket}/1"})
    call("PUT", path_of(bucket, "copy"), {"tagging": ""}, body=TAGS)
    assert b"<Value>v</Value>" in call("GET", path_of(bucket, "copy"), {"tagging": ""})
    assert call("GET", path_of(bucket), {"list-type": "2"}).count(b"<Key>") == 11
    call("HEAD", path_of(bucket, "copy"))
    for key in (*map(str, range(10)), "copy"):
        call("DELETE", path_of(bucket, key))
    call("GET", "/")
    found = slowest
    call("DELETE", path_of(bucket))
    return found


def test_a_dead_redis_is_felt_by_readiness_alone(
    start_gateway: Callable[..., Gateway], redis_server: RedisServer
) -> None:
    gateway = start_gateway("--redis-url", redis_server.url)
    use_everything_plain(gateway, "before")
    redis_server.kill()
    try:
        assert [gateway.get_status("/-/ready") for _ in range(6)] == [503] * 6
        assert gateway.get_status("/-/live") == 200
        use_everything_plain(gateway, "without")
        with Client(gateway) as client:
            # What cannot work says when to come again.
            client.create_bucket("uploads")
            reply = client.request("POST", path_of("uploads", "key"), {"uploads": ""})
            assert (reply.status, reply.code) == (503, "ServiceUnavailable")
            assert int(reply.headers["retry-after"]) >= 1
            assert client.list_keys("uploads") == []
    finally:
        redis_server.start()
    wait_until(lambda: [gateway.get_status("/-/ready") for _ in range(6)] == [200] * 6, what="readiness")
    with Client(gateway) as client:
        assert client.request("POST", path_of("uploads", "key"), {"uploads": ""}).status == 200
    use_everything_plain(gateway, "after")
    assert "Traceback" not in gateway.log.read_text()


def test_a_redis_that_hangs_delays_no_object(start_gateway: Callable[..., Gateway]) -> None:
    patience = 2.0
    gateway = start_gateway("--redis-timeout", f"{patience:g}")
    redis = gateway.redis_pid()
    os.kill(redis, signal.SIGSTOP)
    try:
        assert gateway.get_status("/-/ready", timeout=20) == 503
        assert use_everything_plain(gateway, "hanging") < patience
    finally:
        os.kill(redis, signal.SIGCONT)
    wait_until(lambda: gateway.get_status("/-/ready") == 200, what="readiness")


def test_the_embedded_redis_is_restarted_again_and_again(start_gateway: Callable[..., Gateway]) -> None:
    gateway = start_gateway()
    seen = set()
    for number in range(3):
        redis = gateway.redis_pid()
        assert redis not in seen
        seen.add(redis)
        os.kill(redis, signal.SIGKILL)
        use_everything_plain(gateway, f"time-{number}")
        wait_until(lambda before=redis: new_redis(gateway, before), what="a new redis")
        gateway.wait_ready()
    assert gateway.stop() == 0
    assert not any(psutil.pid_exists(pid) for pid in seen)


def new_redis(gateway: Gateway, before: int) -> bool:
    return gateway.redis_pid() != before


def test_an_upload_of_parts_outlives_the_redis_that_knew_it(
    start_gateway: Callable[..., Gateway], tmp_path: Path
) -> None:
    """Redis comes back empty: the upload is known from the storage."""
    server = RedisServer(tmp_path)
    try:
        gateway = start_gateway("--redis-url", server.url)
        s3 = gateway.s3()
        s3.create_bucket(Bucket="parts")
        upload = s3.create_multipart_upload(Bucket="parts", Key="whole")["UploadId"]
        which = {"Bucket": "parts", "Key": "whole", "UploadId": upload}
        first = s3.upload_part(**which, PartNumber=1, Body=b"1" * (5 << 20))["ETag"]
        server.kill()
        server.start()
        wait_until(lambda: gateway.get_status("/-/ready") == 200, what="readiness")
        second = s3.upload_part(**which, PartNumber=2, Body=b"2")["ETag"]
        parts = [{"PartNumber": 1, "ETag": first}, {"PartNumber": 2, "ETag": second}]
        s3.complete_multipart_upload(**which, MultipartUpload={"Parts": parts})
        assert s3.get_object(Bucket="parts", Key="whole")["Body"].read() == b"1" * (5 << 20) + b"2"
        gateway.stop()
    finally:
        server.close()
