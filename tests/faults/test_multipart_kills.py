"""A worker is killed at each step of an upload's life; the client's retry, or another one, goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from backends.faultpoints import VARIABLE
from tests.support.gateway import Gateway, wait_until
from tests.support.multipart import (
    SMALL_PARTS,
    ClientUpload,
    body,
    content_of,
    left_on_disk,
    open_uploads,
    redis_of,
)

pytestmark = pytest.mark.faults

BEFORE = ["complete.begun", "posix.complete.filling", "posix.complete.joined", "posix.complete.noted"]
AFTER = ["posix.complete.published", "complete.published", "uploads.finish.remembered", "uploads.finish.removed"]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Its janitor sweeps every second."""
    home = tmp_path_factory.mktemp("kills")
    (home / "points").mkdir()
    options = (*SMALL_PARTS, "--janitor-interval", "1", "--multipart-max-age", "3600", "--janitor-age", "60")
    with Gateway(home / "data", *options, environ={VARIABLE: str(home / "points")}) as running:
        yield running
        assert "Traceback" not in running.log.read_text()


@pytest.fixture
def arm(gateway: Gateway) -> Callable[[str], Path]:
    def arm(point: str) -> Path:
        path = gateway.directory.parent / "points" / point
        path.write_text("kill")
        return path

    return arm


@pytest.fixture
def upload(gateway: Gateway) -> ClientUpload:
    """An upload with three parts, over an object that exists."""
    s3 = gateway.s3(request_checksum_calculation="when_required")
    bucket = f"kill-{uuid4().hex[:20]}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="key", Body=b"old")
    upload = ClientUpload(s3, bucket, "key").begin()
    for number in (1, 2, 3):
        upload.put(number, body(50_000 if number < 3 else 9, number))
    return upload


def dies(armed: Path, call: Callable[[], Any]) -> None:
    """A call whose worker is killed on the way: the client gets no answer."""
    with pytest.raises(BotoCoreError):
        call()
    assert not armed.exists(), "the point was not reached"


def patiently(call: Callable[[], Any]) -> Any:
    """As an SDK retries: until there is an answer that is none of 5xx."""

    def attempt() -> Any:
        try:
            return call() or True
        except BotoCoreError:
            return None
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] < 500:
                raise
            return None

    return wait_until(attempt, timeout=60, what="an answer")


def lease_runs_out(gateway: Gateway, upload: ClientUpload) -> None:
    """As after some seconds."""
    with redis_of(gateway) as redis:
        name = f"shardgate:v1:upload:{{{upload.id}}}"
        if redis.hget(name, "state") == b"completing":
            redis.hset(name, "lease", "1")


def nothing_is_left(gateway: Gateway, upload: ClientUpload) -> bool:
    with redis_of(gateway) as redis:
        keys = [key for key in redis.keys(f"*{upload.id}*") if redis.hget(key, "state") != b"done"]
    return not keys and not any(upload.id in path for path in left_on_disk(gateway))


@pytest.mark.parametrize("again", [False, True], ids=["fresh", "sent again"])
@pytest.mark.parametrize("point", [*BEFORE, *AFTER])
def test_a_completion_is_repeated(
    gateway: Gateway, arm: Callable[[str], Path], upload: ClientUpload, point: str, again: bool
) -> None:
    if again:
        upload.put(2, body(60_000, 50))
    dies(arm(point), upload.complete)
    seen = patiently(lambda: content_of(upload.s3, upload.bucket, "key"))
    assert seen == (upload.content if point in AFTER else b"old")
    if point not in ("complete.begun", "complete.published"):
        lease_runs_out(gateway, upload)
    answer = patiently(upload.complete)
    assert content_of(upload.s3, upload.bucket, "key") == upload.content
    assert patiently(upload.complete)["ETag"] == answer["ETag"]
    wait_until(lambda: nothing_is_left(gateway, upload), what="the janitor")
    wait_until(lambda: open_uploads(upload.s3, upload.bucket) == [], what="an empty list")


@pytest.mark.parametrize("point", [*BEFORE, *AFTER])
def test_a_completion_is_not_repeated(
    gateway: Gateway, arm: Callable[[str], Path], upload: ClientUpload, point: str
) -> None:
    """The client gives up: the object is the old one or the new one, the upload open or completed."""
    dies(arm(point), upload.complete)
    lease_runs_out(gateway, upload)
    if point in AFTER:
        assert patiently(lambda: content_of(upload.s3, upload.bucket, "key")) == upload.content
        wait_until(lambda: nothing_is_left(gateway, upload), what="the janitor")
        wait_until(lambda: open_uploads(upload.s3, upload.bucket) == [], what="an empty list")
        assert content_of(upload.s3, upload.bucket, "key") == upload.content
    else:
        assert patiently(lambda: open_uploads(upload.s3, upload.bucket)) == [("key", upload.id)]
        assert content_of(upload.s3, upload.bucket, "key") == b"old"
        upload.put(4, b"one more")
        upload.abort()
        assert content_of(upload.s3, upload.bucket, "key") == b"old"
        assert nothing_is_left(gateway, upload)


@pytest.mark.parametrize("point", ["uploads.abort.decided", "uploads.abort.removed"])
def test_an_abortion_is_repeated_or_finished(
    gateway: Gateway, arm: Callable[[str], Path], upload: ClientUpload, point: str
) -> None:
    dies(arm(point), upload.abort)
    with pytest.raises(ClientError) as refused:
        patiently(upload.complete)
    assert refused.value.response["Error"]["Code"] == "NoSuchUpload"
    wait_until(lambda: nothing_is_left(gateway, upload), what="the janitor")
    wait_until(lambda: open_uploads(upload.s3, upload.bucket) == [], what="an empty list")
    assert content_of(upload.s3, upload.bucket, "key") == b"old"


@pytest.mark.parametrize("point", ["posix.part.written", "posix.part.logging"])
def test_a_part_is_sent_again(arm: Callable[[str], Path], upload: ClientUpload, point: str) -> None:
    for number in (7, 8):
        data = body(50_000, number + 20)
        dies(arm(point), lambda number=number, data=data: upload.put(number, data))
        patiently(lambda number=number, data=data: upload.put(number, data))
    upload.complete()
    assert content_of(upload.s3, upload.bucket, "key") == upload.content


def test_an_upload_whose_beginning_was_not_answered(
    gateway: Gateway, arm: Callable[[str], Path], upload: ClientUpload
) -> None:
    """It is in the storage only: it can be found, listed after a while, and aborted by its age."""
    other = ClientUpload(upload.s3, upload.bucket, "other")
    dies(arm("uploads.create.stored"), other.begin)
    patiently(other.begin)
    other.put(1, b"x")
    other.complete()
    assert content_of(upload.s3, upload.bucket, "other") == b"x"
    folders = list((gateway.directory / ".shardgate" / "uploads" / upload.bucket).iterdir())
    assert len(folders) == 2
    (lost,) = (folder.name for folder in folders if folder.name != upload.id)
    ClientUpload(upload.s3, upload.bucket, "other", lost).abort()


def test_many_repeat_a_completion_whose_worker_was_killed(arm: Callable[[str], Path], upload: ClientUpload) -> None:
    dies(arm("complete.published"), lambda: upload.complete(IfMatch='"149603e6c03516362a8da23f624db945"'))
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: patiently(upload.complete), range(6)))
    assert len({answer["ETag"] for answer in answers}) == 1
    assert content_of(upload.s3, upload.bucket, "key") == upload.content
