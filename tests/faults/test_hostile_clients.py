"""Clients that stall, leave or never read: others are served meanwhile, and nothing of them stays."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tests.support.fast_client import Client, ServerClosed, path_of, read_reply
from tests.support.gateway import Gateway, wait_until

pytestmark = pytest.mark.faults

MIB = 1 << 20
BIG = 16 * MIB
TIMEOUT = 3
SLACK = 2
"""Connections to Redis that a worker may have made meanwhile; a leak is one descriptor for each of many clients."""

SHORT = {f"SHARDGATE_{name}_TIMEOUT": str(TIMEOUT) for name in ("HEAD", "BODY")} | {"SHARDGATE_KEEPALIVE": str(TIMEOUT)}


@pytest.fixture
def gateway(start_gateway: Callable[..., Gateway]) -> Gateway:
    """Two workers with short time-outs, a bucket, a big object, and everything opened that is opened once."""
    running = start_gateway(workers=2, environ=SHORT)
    with Client(running) as client:
        client.create_bucket("bucket")
        assert client.put("bucket", "big", bytes(BIG)).status == 200
    serve_others(running, 60)
    return running


@pytest.fixture
def descriptors(gateway: Gateway) -> Callable[[], None]:
    """A check that the workers have no more open files and connections than at the beginning."""
    workers = [psutil.Process(pid) for pid in gateway.worker_pids()]
    before = settled(workers)

    def check() -> None:
        def least() -> bool:
            return all(worker.num_fds() <= most + SLACK for worker, most in zip(workers, before, strict=True))

        try:
            wait_until(least, what=f"{before} open files")
        except AssertionError as error:
            raise AssertionError(f"{error}: {[open_files(worker.pid) for worker in workers]}") from None

    return check


def open_files(pid: int) -> list[str]:
    """What a process has open, one line each."""
    return sorted(os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir())


def settled(workers: list[psutil.Process]) -> list[int]:
    """The numbers of open files, once they stay the same."""
    seen = [worker.num_fds() for worker in workers]
    for _ in range(50):
        time.sleep(0.1)
        now = [worker.num_fds() for worker in workers]
        if now == seen:
            return now
        seen = now
    raise AssertionError("the numbers of open files do not settle")


@pytest.fixture
def connect(gateway: Gateway) -> Iterator[Callable[..., socket.socket]]:
    """Makes connections, sends something, and closes them in the end."""
    with ExitStack() as stack:

        def open_and_send(data: bytes, *, receive_buffer: int | None = None) -> socket.socket:
            made = stack.enter_context(socket.socket())
            if receive_buffer is not None:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            made.settimeout(30)
            made.connect((gateway.host, gateway.port))
            made.sendall(data)
            return made

        yield open_and_send


def serve_others(gateway: Gateway, count: int) -> list[float]:
    """Well-behaved requests on fresh connections, which reach every worker; how long each took."""
    taken = []
    for number in range(count):
        with Client(gateway, timeout=10) as client:
            began = time.monotonic()
            body = b"%d" % number * 100
            assert client.put("bucket", "small", body).status == 200
            assert client.get("bucket", "small").body == body
            taken.append(time.monotonic() - began)
    return taken


def reset(connection: socket.socket) -> None:
    """End a connection by a reset, as a client does that crashed."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def is_ended(connection: socket.socket) -> bool:
    """Whether the server ends the connection, with or without an answer, when nothing more is sent."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


def test_two_hundred_stalled_connections_do_not_disturb_others(
    gateway: Gateway, descriptors: Callable[[], None], connect: Callable[..., socket.socket]
) -> None:
    signer = Client(gateway)
    head = signer.head_of("PUT", path_of("bucket", "half"), length=100_000)
    read = signer.head_of("GET", path_of("bucket", "big"))
    stalled = [connect(head[: len(head) // 2]) for _ in range(50)]
    stalled += [connect(b"") for _ in range(25)]
    stalled += [connect(head + b"x" * 50_000) for _ in range(50)]
    stalled += [connect(head) for _ in range(25)]
    stalled += [connect(read, receive_buffer=4096) for _ in range(50)]
    taken = sorted(serve_others(gateway, 100))
    assert taken[-2] < TIMEOUT, "somebody waited until the stalled ones were given up"

    # Each is given up after its time, whatever it was waiting for.
    for connection in stalled:
        assert is_ended(connection), "a stalled connection is still open"
    for connection in stalled:
        connection.close()
    descriptors()
    with Client(gateway) as client:
        assert client.list_keys("bucket") == ["big", "small"]
    assert list((gateway.directory / ".shardgate" / "staging").iterdir()) == []
    assert "Traceback" not in gateway.log.read_text()


def test_a_head_that_drips_is_given_up_in_time(gateway: Gateway, connect: Callable[..., socket.socket]) -> None:
    """The time is for the whole head: a byte now and then does not prolong it."""
    head = Client(gateway).head_of("GET", path_of("bucket", "big"))
    dripping = [connect(b"") for _ in range(20)]
    began = time.monotonic()
    for letter in head:
        for connection in list(dripping):
            try:
                connection.sendall(bytes((letter,)))
                connection.setblocking(False)
                data = connection.recv(100)
            except BlockingIOError:
                continue
            except ConnectionError:
                data = b""
            finally:
                connection.settimeout(30)
            # The answer to a head that did not come: 408, or just the end.
            assert data == b"" or data.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 408 "))
            dripping.remove(connection)
        if not dripping:
            break
        time.sleep(0.1)
    # A connection whose every byte won it more time would outlive the head, of 100 ms a byte.
    assert not dripping
    assert time.monotonic() - began > TIMEOUT - 1


@pytest.mark.parametrize("leave", [socket.socket.close, reset], ids=["end", "reset"])
def test_uploads_that_break_off_leave_nothing(
    gateway: Gateway,
    descriptors: Callable[[], None],
    connect: Callable[..., socket.socket],
    leave: Callable[[socket.socket], None],
) -> None:
    signer = Client(gateway)
    with Client(gateway) as client:
        assert client.put("bucket", "kept", b"old").status == 200
    for number in range(40):
        key = "kept" if number % 2 else f"never/{number}"
        head = signer.head_of("PUT", path_of("bucket", key), length=3 * MIB)
        if number % 4 == 0:
            head = signer.head_of("PUT", path_of("bucket", key), headers={"transfer-encoding": "chunked"})
            sent = head + b"100000\r\n" + bytes(MIB) + b"\r\n"
        else:
            sent = head + bytes((0, 1000, MIB, 3 * MIB - 1)[number % 4])
        leave(connect(sent))
    descriptors()
    with Client(gateway) as client:
        assert client.list_keys("bucket") == ["big", "kept", "small"]
        assert client.get("bucket", "kept").body == b"old"
    assert list((gateway.directory / ".shardgate" / "staging").iterdir()) == []
    assert "Traceback" not in gateway.log.read_text()


@pytest.mark.parametrize("leave", [socket.socket.close, reset], ids=["end", "reset"])
def test_downloads_that_break_off_leave_no_open_file(
    gateway: Gateway,
    descriptors: Callable[[], None],
    connect: Callable[..., socket.socket],
    leave: Callable[[socket.socket], None],
) -> None:
    signer = Client(gateway)
    ranges = {"range": ",".join(f"bytes={start}-{start + 99_999}" for start in range(0, BIG, MIB))}
    for number in range(60):
        head = signer.head_of("GET", path_of("bucket", "big"), headers=ranges if number % 3 == 0 else None)
        connection = connect(head, receive_buffer=8192)
        if number % 2:
            assert connection.recv(1000)
        leave(connection)
    descriptors()
    assert "Traceback" not in gateway.log.read_text()


def test_an_early_answer_reaches_a_client_that_is_still_sending(
    gateway: Gateway, descriptors: Callable[[], None], connect: Callable[..., socket.socket]
) -> None:
    """A refusal comes before the body was read; the client must get it, not a reset that overtakes it."""
    signer = Client(gateway)
    for _ in range(10):
        connection = connect(signer.head_of("PUT", path_of("missing-bucket", "key"), length=8 * MIB))
        sender = threading.Thread(target=send_quietly, args=(connection, bytes(8 * MIB)))
        sender.start()
        try:
            reply = read_reply(connection)
        finally:
            connection.close()
            sender.join()
        assert (reply.status, reply.code) == (404, "NoSuchBucket")
    descriptors()


def send_quietly(connection: socket.socket, data: bytes) -> None:
    try:
        connection.sendall(data)
    except OSError:
        pass  # the answer is what counts


def test_a_body_shorter_than_announced_is_refused(gateway: Gateway, connect: Callable[..., socket.socket]) -> None:
    connection = connect(Client(gateway).head_of("PUT", path_of("bucket", "short"), length=1000) + b"x" * 999)
    connection.shutdown(socket.SHUT_WR)
    try:
        reply = read_reply(connection)
    except ServerClosed:
        pass
    else:
        assert (reply.status, reply.code) == (400, "IncompleteBody")
    with Client(gateway) as client:
        assert client.get("bucket", "short").status == 404
