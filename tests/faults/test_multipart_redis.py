"""Uploads while Redis is lost with all its data, or does not answer for a while."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.gateway import Gateway, RedisServer, wait_until
from tests.support.multipart import SMALL_PARTS, ClientUpload, body, content_of, left_on_disk, lose_redis, open_uploads

pytestmark = pytest.mark.faults

UPLOADS, PARTS = 20, 12
RETRIES = {"total_max_attempts": 12, "mode": "standard"}


def client_of(gateway: Gateway) -> Any:
    return gateway.s3(retries=RETRIES, max_pool_connections=UPLOADS, request_checksum_calculation="when_required")


def upload_all(gateway: Gateway, bucket: str, disturb: Callable[[], None]) -> list[ClientUpload]:
    """Run many uploads, and `disturb` in the middle of them; all of them must complete."""
    s3 = client_of(gateway)
    s3.create_bucket(Bucket=bucket)
    halfway = threading.Barrier(UPLOADS + 1)
    disturbed = threading.Event()

    def run(number: int) -> ClientUpload:
        upload = ClientUpload(s3, bucket, f"key{number}").begin()
        order = random.Random(number).sample(range(1, PARTS + 1), PARTS)
        for turn, part in enumerate(order):
            if turn == PARTS // 2:
                halfway.wait(60)
                # Some go on at once, some only when all is well again.
                if number % 2:
                    disturbed.wait(60)
            upload.put(part, body(40_000 if part < PARTS else 77, number * 100 + part))
        if number % 3 == 0:
            again = order[0]
            upload.put(again, body(40_000 if again < PARTS else 77, number + 7))
        upload.complete()
        return upload

    with ThreadPoolExecutor(UPLOADS) as pool:
        running = [pool.submit(run, number) for number in range(UPLOADS)]
        halfway.wait(60)
        disturb()
        disturbed.set()
        return [future.result(100) for future in running]


def all_is_right(gateway: Gateway, bucket: str, uploads: list[ClientUpload]) -> None:
    s3 = client_of(gateway)
    for upload in uploads:
        assert content_of(s3, bucket, upload.key) == upload.content
    assert open_uploads(s3, bucket) == []
    assert left_on_disk(gateway) == []
    log = gateway.log.read_text()
    assert "Traceback" not in log
    assert "request failed" not in log


def test_redis_comes_back_empty_in_the_middle_of_uploads(start_gateway: Callable[..., Gateway]) -> None:
    gateway = start_gateway(*SMALL_PARTS, workers=4)
    all_is_right(gateway, "bucket", upload_all(gateway, "bucket", lambda: lose_redis(gateway)))


def test_redis_comes_back_with_its_data(start_gateway: Callable[..., Gateway]) -> None:
    gateway = start_gateway(*SMALL_PARTS)

    def restart() -> None:
        pid = gateway.redis_pid()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: gateway.redis_pid() != pid, what="another Redis")

    all_is_right(gateway, "bucket", upload_all(gateway, "bucket", restart))


def test_redis_does_not_answer_for_ten_seconds(
    start_gateway: Callable[..., Gateway], redis_server: RedisServer
) -> None:
    gateway = start_gateway(*SMALL_PARTS, "--redis-url", redis_server.url)
    s3 = gateway.s3()
    s3.create_bucket(Bucket="bucket")
    upload = ClientUpload(s3, "bucket", "key").begin()
    upload.put(1, b"one")
    patient = ClientUpload(client_of(gateway), "bucket", "key", upload.id)
    os.kill(redis_server.pid, signal.SIGSTOP)
    began = time.monotonic()
    try:
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(patient.put, 2, b"two")
            calls = [lambda: upload.put(3, b"x"), upload.complete, upload.abort, upload.listed]
            for call in [*calls, lambda: ClientUpload(s3, "bucket", "other").begin()]:
                with pytest.raises(ClientError) as refused:
                    call()
                response = refused.value.response
                assert response["ResponseMetadata"]["HTTPStatusCode"] == 503
                assert response["Error"]["Code"] == "ServiceUnavailable"
                assert 1 <= int(response["ResponseMetadata"]["HTTPHeaders"]["retry-after"]) <= 10
            time.sleep(max(0.0, 10 - (time.monotonic() - began)))
            os.kill(redis_server.pid, signal.SIGCONT)
            running.result(60)
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)
    # What Redis had in its queue may have been done after all: an abortion too, which the client had asked for.
    survivors = open_uploads(s3, "bucket")
    assert survivors in ([], [("key", upload.id)])
    fresh = ClientUpload(s3, "bucket", "fresh").begin()
    fresh.put(1, b"one")
    fresh.complete()
    assert content_of(s3, "bucket", "fresh") == b"one"


def test_a_completion_that_waits_for_redis_succeeds(
    start_gateway: Callable[..., Gateway], redis_server: RedisServer
) -> None:
    gateway = start_gateway(*SMALL_PARTS, "--redis-url", redis_server.url)
    s3 = client_of(gateway)
    s3.create_bucket(Bucket="bucket")
    upload = ClientUpload(s3, "bucket", "key").begin()
    for number in (1, 2):
        upload.put(number, body(1000, number))
    os.kill(redis_server.pid, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(upload.complete)
            time.sleep(3)
            os.kill(redis_server.pid, signal.SIGCONT)
            assert running.result(60)["ETag"]
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)
    assert content_of(s3, "bucket", "key") == upload.content
    assert left_on_disk(gateway) == []
