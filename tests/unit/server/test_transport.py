"""The socket under gevent: turns for the neighbours, deadlines, files that are not in memory."""

import os
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import gevent
import gevent.socket
import pytest

from workers.server import transport as module
from workers.server.errors import Expired
from workers.server.transport import Transport, read_file


@pytest.fixture
def pair() -> Iterator[tuple[Transport, Any]]:
    ours, theirs = gevent.socket.socketpair()
    yield Transport(ours), theirs
    ours.close()
    theirs.close()


@pytest.fixture
def turns() -> Iterator[list[int]]:
    """Counts how often another greenlet had its turn."""
    count = [0]

    def neighbour() -> None:
        while True:
            count[0] += 1
            gevent.sleep(0)

    greenlet = gevent.spawn(neighbour)
    yield count
    greenlet.kill()


@pytest.mark.parametrize("way", ["recv", "recv_into", "send", "send_parts"])
def test_moving_data_without_waiting_gives_the_neighbours_turns(
    pair: tuple[Transport, Any], turns: list[int], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(module, "_YIELD_BYTES", 1000)
    transport, theirs = pair
    theirs.send(b"x" * 5000)
    moves = {
        "recv": lambda: transport.recv(250, module.NEVER),
        "recv_into": lambda: transport.recv_into(memoryview(bytearray(250)), module.NEVER),
        "send": lambda: transport.send(b"y" * 250, 1),
        "send_parts": lambda: transport.send_parts([b"y" * 100, b"z" * 150], 1),
    }
    for _ in range(20):
        moves[way]()
    assert turns[0] >= 5


def test_little_data_takes_no_turns(pair: tuple[Transport, Any], turns: list[int]) -> None:
    transport, theirs = pair
    theirs.send(b"x" * 5000)
    for _ in range(20):
        transport.recv(250, module.NEVER)
    assert turns[0] == 0


def test_wait_ends_at_its_deadline(pair: tuple[Transport, Any]) -> None:
    transport, _ = pair
    waiting = gevent.spawn(transport.recv, 10, monotonic() + 0.05)
    gevent.sleep(0.1)
    assert transport.deadline <= monotonic()
    transport.expire()
    with pytest.raises(Expired):
        waiting.get()
    assert transport.deadline == module.NEVER


def test_expiry_of_an_earlier_wait_does_not_end_the_next_one(pair: tuple[Transport, Any]) -> None:
    transport, theirs = pair

    def two_waits() -> bytes:
        return transport.recv(1, monotonic() + 60) + transport.recv(1, monotonic() + 60)

    waiting = gevent.spawn(two_waits)
    gevent.sleep(0)
    transport.expire()  # throws in the loop's next turn ...
    transport.deadline = monotonic() + 60  # ... by when a new wait has begun
    gevent.sleep(0.02)
    theirs.send(b"ab")
    assert waiting.get(timeout=5) == b"ab"


def test_accepted_counts_what_a_slow_reader_took(pair: tuple[Transport, Any]) -> None:
    transport, _ = pair
    sending = gevent.spawn(transport.send, b"x" * 50_000_000, 0.01)
    gevent.sleep(0.05)
    transport.expire()
    with pytest.raises(Expired):
        sending.get()
    assert 0 < transport.accepted < 50_000_000


@pytest.mark.parametrize("answer", [BlockingIOError(), OSError(95, "Operation not supported")])
def test_file_that_is_not_in_memory_is_read_in_the_thread_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: OSError
) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 100)
    read = os.preadv
    threads = []

    def preadv(fd: int, buffers: Any, offset: int, flags: int = 0) -> int:
        if flags:
            raise answer
        threads.append(gevent.get_hub() is hub)
        return read(fd, buffers, offset)

    hub = gevent.get_hub()
    monkeypatch.setattr(os, "preadv", preadv)
    with path.open("rb") as file:
        assert read_file(file.fileno(), 256, 512, hub) == bytes(range(256)) * 2
        assert read_file(file.fileno(), 25_500, 512, hub) == bytes(range(256))[-100:]
    assert threads
    assert not any(threads)


def test_error_of_the_file_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        read_file(999_999, 0, 10, gevent.get_hub())
