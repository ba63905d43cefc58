"""Stop and reload under load: transfers in flight finish, new connections are not left hanging, nothing is lost."""

from __future__ import annotations

import hashlib
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.fast_client import Client, Reply, path_of
from tests.support.gateway import Gateway, wait_until

pytestmark = pytest.mark.faults

MIB = 1 << 20
DOWNLOAD = 100 * MIB
UPLOAD = 20 * MIB


def slow_blocks(total: int, seconds: float, block: int = MIB) -> Iterator[bytes]:
    """A body that takes so many seconds to be sent."""
    data = bytes(range(256)) * (block // 256)
    for _ in range(total // block):
        yield data
        time.sleep(seconds * block / total)


class Transfer(threading.Thread):
    """A request in a thread; `reply` or `error` tell how it ended, `begun` that its answer or body is under way."""

    def __init__(self, request: Callable[[Transfer], Reply]) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.reply: Reply | None = None
        self.error: BaseException | None = None
        self._request = request
        self.start()
        assert self.begun.wait(20)

    def run(self) -> None:
        try:
            self.reply = self._request(self)
        except BaseException as error:
            self.error = error
        finally:
            self.begun.set()

    def result(self) -> Reply:
        self.join(60)
        assert self.error is None, repr(self.error)
        assert self.reply is not None
        return self.reply


def slow_download(gateway: Gateway, key: str, seconds: float, digest: hashlib._Hash) -> Transfer:
    """Reads an object of DOWNLOAD bytes evenly; its bytes go to `digest`."""
    start = time.monotonic()
    count = 0

    def take(block: bytes) -> None:
        nonlocal count
        count += len(block)
        digest.update(block)
        transfer.begun.set()
        time.sleep(max(0.0, start + seconds * count / DOWNLOAD - time.monotonic()))

    def request(_: Transfer) -> Reply:
        with Client(gateway) as client:
            return client.request("GET", path_of("bucket", key), sink=take)

    transfer = Transfer.__new__(Transfer)
    Transfer.__init__(transfer, request)
    return transfer


def slow_upload(gateway: Gateway, key: str, seconds: float) -> Transfer:
    """Writes an object of UPLOAD bytes evenly."""

    def request(transfer: Transfer) -> Reply:
        def blocks() -> Iterator[bytes]:
            for number, block in enumerate(slow_blocks(UPLOAD, seconds)):
                if number == 2:
                    transfer.begun.set()
                yield block

        with Client(gateway) as client:
            return client.request("PUT", path_of("bucket", key), body=blocks(), length=UPLOAD)

    return Transfer(request)


def content(size: int) -> hashlib._Hash:
    return hashlib.md5(b"".join(slow_blocks(size, 0)))


def test_a_stop_lets_slow_transfers_finish_and_takes_nothing_new(start_gateway: Callable[..., Gateway]) -> None:
    gateway = start_gateway(workers=2)
    with Client(gateway) as client:
        client.create_bucket("bucket")
        stored = client.request("PUT", path_of("bucket", "large"), body=slow_blocks(DOWNLOAD, 0), length=DOWNLOAD)
        assert stored.status == 200
    idle = [Client(gateway, timeout=10) for _ in range(8)]
    for client in idle:
        assert client.get("bucket", "absent").status == 404

    digest = hashlib.md5()
    download = slow_download(gateway, "large", 5, digest)
    upload = slow_upload(gateway, "uploaded", 5)
    status: list[int] = []
    began = time.monotonic()
    stopper = threading.Thread(target=lambda: status.append(gateway.stop()))
    stopper.start()

    # Idle connections are ended soon; new ones are refused, or ended without a byte.
    for client in idle:
        assert client.connection().recv(1) == b""
        client.close()
    assert download.is_alive()
    time.sleep(max(0.0, began + 1.5 - time.monotonic()))
    for _ in range(10):
        assert attempt(gateway) in ("refused", "ended")
        time.sleep(0.1)
    assert download.is_alive()
    assert upload.is_alive()

    downloaded = download.result()
    assert int(downloaded.headers["content-length"]) == DOWNLOAD
    assert digest.digest() == content(DOWNLOAD).digest()
    uploaded = upload.result()
    assert uploaded.status == 200
    assert uploaded.etag == content(UPLOAD).hexdigest()
    stopper.join()
    assert status == [0]
    assert "Traceback" not in gateway.log.read_text()

    gateway.start()
    with Client(gateway) as client:
        assert client.request("HEAD", path_of("bucket", "uploaded")).etag == uploaded.etag


def attempt(gateway: Gateway) -> str:
    """What becomes of a new connection with a request."""
    try:
        with socket.create_connection((gateway.host, gateway.port), timeout=5) as connection:
            connection.sendall(Client(gateway).head_of("GET", "/bucket/large"))
            return "answered" if connection.recv(1000) else "ended"
    except ConnectionRefusedError:
        return "refused"
    except ConnectionError:
        return "ended"


def test_a_stop_ends_what_takes_longer_than_its_grace(start_gateway: Callable[..., Gateway]) -> None:
    gateway = start_gateway(workers=2, environ={"SHARDGATE_GRACEFUL_TIMEOUT": "2"})
    with Client(gateway) as client:
        client.create_bucket("bucket")
    upload = slow_upload(gateway, "too-slow", 30)
    began = time.monotonic()
    assert gateway.stop() == 0
    assert time.monotonic() - began > 1.5
    upload.join(10)
    assert isinstance(upload.error, ConnectionError)
    gateway.start()
    with Client(gateway) as client:
        assert client.list_keys("bucket") == []
    assert list((gateway.directory / ".shardgate" / "staging").iterdir()) == []


def test_reloads_under_load_lose_nothing(start_gateway: Callable[..., Gateway]) -> None:
    gateway = start_gateway(workers=2)
    with Client(gateway) as client:
        client.create_bucket("bucket")
    done = threading.Event()
    failed: list[str] = []
    counts = [0] * 4

    def load(number: int) -> None:
        chooser = random.Random(number)
        while not done.is_set():
            size = chooser.choice((0, 100, 10_000, 500_000))
            body = bytes((number,)) * size
            try:
                with Client(gateway, timeout=60) as client:  # a fresh connection each time
                    assert client.put("bucket", f"{number}", body).status == 200
                with Client(gateway, timeout=60) as client:
                    assert client.get("bucket", f"{number}").body == body
            except (OSError, AssertionError) as error:
                failed.append(repr(error))
            counts[number] += 1

    threads = [threading.Thread(target=load, args=(number,)) for number in range(len(counts))]
    for thread in threads:
        thread.start()
    upload = slow_upload(gateway, "meanwhile", 4)
    try:
        for _ in range(3):
            before = set(gateway.worker_pids())
            gateway.signal(signal.SIGHUP)
            wait_until(
                lambda before=before: len(set(gateway.worker_pids()) - before) == 2,
                what="new workers",
            )
            time.sleep(0.3)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert upload.result().status == 200
    assert failed == []
    assert min(counts) > 5
    # The old workers end when their last transfer has.
    wait_until(lambda: len(gateway.worker_pids()) == 2, what="the old workers' end")
    assert gateway.stop() == 0
