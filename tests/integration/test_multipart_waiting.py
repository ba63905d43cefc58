"""A completion that takes long: the head comes early, white space keeps the connection alive, the end is told."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.support.gateway import Gateway, wait_until
from tests.support.multipart import ClientUpload, content_of, open_uploads
from tests.support.wire import CREDENTIALS, Answer, Wire
from tests.unit.protocol import signing

PLUGIN = Path(__file__).parents[1] / "support" / "slow_backend.py"


@pytest.fixture(scope="module")
def slow_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    home = tmp_path_factory.mktemp("slow")
    with Gateway(home / "data", "--backend", f"{PLUGIN}:SlowBackend", environ=CREDENTIALS) as running:
        s3 = running.s3(access_key=signing.ACCESS_KEY, secret_key=signing.SECRET)
        s3.create_bucket(Bucket="bucket")
        yield running


def upload_of(gateway: Gateway, key: str, **config: object) -> ClientUpload:
    s3 = gateway.s3(access_key=signing.ACCESS_KEY, secret_key=signing.SECRET, **config)
    upload = ClientUpload(s3, "bucket", key).begin()
    upload.put(1, b"data")
    return upload


def request_of(gateway: Gateway, upload: ClientUpload) -> bytes:
    manifest = f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{upload.etags[1]}</ETag></Part>"
    body = (manifest + "</CompleteMultipartUpload>").encode()
    return Wire(gateway).request("POST", f"/bucket/{upload.key}?uploadId={upload.id}", body=body)


def raw(gateway: Gateway, upload: ClientUpload) -> tuple[list[tuple[float, bytes]], Answer]:
    """When which bytes came, and the answer."""
    pieces: list[tuple[float, bytes]] = []
    began = time.monotonic()
    with socket.create_connection((gateway.host, gateway.port), timeout=60) as connection:
        connection.sendall(request_of(gateway, upload))
        while piece := connection.recv(65536):
            pieces.append((time.monotonic() - began, piece))
    replay, sender = socket.socketpair()
    with replay, sender:
        sender.sendall(b"".join(piece for _, piece in pieces))
        sender.shutdown(socket.SHUT_WR)
        return pieces, Wire(gateway).receive(replay, "POST")


def test_slow_completions(slow_gateway: Gateway) -> None:
    keys = ["slow-11-fine", "slow-6-precondition", "slow-6-unavailable", "slow-6-bug"]
    uploads = [upload_of(slow_gateway, key) for key in keys]
    with ThreadPoolExecutor(len(keys)) as pool:
        fine, *failing = pool.map(lambda upload: raw(slow_gateway, upload), uploads)
    pieces, answer = fine
    assert 4 < pieces[0][0] < 7, "the head comes before a client's time-out"
    assert pieces[0][1].startswith(b"HTTP/1.1 200 OK\r\n")
    assert any(b"\r\n \r\n" in piece and 9 < when < 11 for when, piece in pieces), "white space on the way"
    assert answer.headers["content-type"] == "application/xml"
    assert answer.body.startswith(b"<?xml")
    assert answer.tree.tag == "CompleteMultipartUploadResult"
    assert answer.text("Key") == "slow-11-fine"
    assert answer.text("ETag").endswith('-1"')
    for (_, refused), code in zip(failing, ["PreconditionFailed", "ServiceUnavailable", "InternalError"], strict=True):
        assert (refused.status, refused.tree.tag, refused.code) == (200, "Error", code)
        assert refused.text("RequestId") == refused.headers["x-amz-request-id"]
    s3 = uploads[0].s3
    assert content_of(s3, "bucket", "slow-11-fine") == b"data"
    assert {key for key, _ in open_uploads(s3, "bucket")} >= set(keys[1:])


def test_an_sdk_understands_both(slow_gateway: Gateway) -> None:
    fine, failing = (upload_of(slow_gateway, key) for key in ("slow-5.5-sdk", "slow-5.5-precondition"))
    with ThreadPoolExecutor(2) as pool:
        answer, error = pool.submit(fine.complete), pool.submit(failing.complete)
        assert answer.result()["ETag"].endswith('-1"')
        with pytest.raises(ClientError) as refused:
            error.result()
    assert refused.value.response["Error"]["Code"] == "PreconditionFailed"


def test_a_client_that_goes_does_not_stop_its_completion(slow_gateway: Gateway) -> None:
    upload = upload_of(slow_gateway, "slow-3-gone")
    with socket.create_connection((slow_gateway.host, slow_gateway.port), timeout=5) as connection:
        connection.sendall(request_of(slow_gateway, upload))
        time.sleep(0.5)

    def published() -> bool:
        try:
            return content_of(upload.s3, "bucket", upload.key) == b"data"
        except ClientError:
            return False

    wait_until(published, timeout=15, what="the object")
    assert upload.complete()["ETag"].endswith('-1"')


def test_a_second_completion_waits_for_the_first(slow_gateway: Gateway) -> None:
    upload = upload_of(slow_gateway, "slow-3-twice")
    with ThreadPoolExecutor(3) as pool:
        answers = [future.result() for future in [pool.submit(upload.complete) for _ in range(3)]]
    assert len({answer["ETag"] for answer in answers}) == 1
    other = upload_of(slow_gateway, "slow-2-abort")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(other.complete)
        time.sleep(0.7)
        for call in (other.abort, lambda: other.put(2, b"late")):
            with pytest.raises(ClientError) as refused:
                call()
            assert refused.value.response["Error"]["Code"] == "OperationAborted"
        running.result()
