"""The benchmark measures, checks what is answered, and reports; a tiny run of each workload against one gateway."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from loadtest.bench import __main__ as bench
from loadtest.bench.replay import ReplayError, pack, replay
from loadtest.bench.runner import Outcome, Runner
from loadtest.bench.suite import workloads
from loadtest.bench.targets import Spec, SpecError, Target, running
from loadtest.bench.workloads import Scale
from tests.support.gateway import Gateway

SMALL = ["--objects", "20", "--writes", "60", "--listed", "100", "--page", "10", "--connections", "4"]
SMALL += ["--large", str(1 << 20), "--streams", "2", "--parts", "2"]


def test_every_workload_is_measured_and_reported_and_nothing_is_left(
    start_gateway: Callable[..., Gateway], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway = start_gateway(workers=1, environ={"SHARDGATE_DURABILITY": "relaxed"})
    secret = gateway.secret_key.replace("/", "%2F").replace("+", "%2B")
    url = f"http://{gateway.access_key}:{secret}@127.0.0.1:{gateway.port}"
    output = tmp_path / "report"
    endpoints = [f"one={url},pid={gateway.pid}", f"two={url}"]
    names = ["head-1k", "delete-1k", "get-64m", "put-64m-signed", "list-deep", "complete", "mixed"]
    options = ["--rounds", "1", "--seconds", "0", "--output", str(output), *SMALL, "--workloads", *names]
    assert bench.main([*endpoints, *options]) == 0
    shown = capsys.readouterr().out
    found = json.loads((output / "bench.json").read_text())
    assert list(found["table"]) == names
    for name in names:
        assert name in shown
        assert found["table"][name]["one"]["value"] > 0
        assert found["table"][name]["one"]["peak"] > 10 << 20
        assert found["table"][name]["two"]["ratio"] > 0
        assert found["table"][name]["two"]["cpu"] is None
    assert found["failures"] == []
    assert gateway.secret_key not in (output / "bench.json").read_text()
    assert secret not in (output / "bench.json").read_text()
    assert "| head-1k (requests/s) |" in (output / "bench.md").read_text()
    assert (output / "bench.svg").read_text().startswith("<?xml")
    assert gateway.s3().list_buckets()["Buckets"] == []


@contextmanager
def answering(answer: bytes) -> Iterator[Target]:
    """A server that gives one answer to everything, for as many connections as come."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection, suppress(ConnectionError):
            while connection.recv(1 << 16):
                connection.sendall(answer)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield Target("fake", "127.0.0.1", listener.getsockname()[1], "KEY", "SECRET")
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


REQUEST = pack([b"GET /bucket/key HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"])


def test_a_refused_request_fails_the_run() -> None:
    refusal = b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\n\r\n"
    with answering(refusal) as target, pytest.raises(ReplayError, match=r"[1-9]\d* were refused"):
        replay(target, REQUEST, 2, count=20)


def test_a_number_of_requests_is_timed_from_the_first_to_the_last() -> None:
    with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n") as target:
        found = replay(target, REQUEST, 2, count=500)
    assert found.requests == 500
    assert 0 < found.seconds < 30
    assert found.rate == 500 / found.seconds


@pytest.mark.parametrize("name", ["get-1k", "head-1k", "put-64m", "complete", "list-front"])
def test_wrong_content_is_found(name: str) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\netag: x\r\n\r\nwrong"
    scale = Scale(connections=2, objects=5, writes=5, listed=10, page=5, large=4096, parts=1, part_size=1024)
    chosen = [workload for workload in workloads(scale) if workload.name == name]
    with answering(answer) as target:
        outcome: Outcome = Runner([target], 1, 0, float("inf")).run(chosen)
    assert outcome.measurements == []
    assert [failure.workload for failure in outcome.failures] == [name]


def test_no_turn_begins_after_the_limit() -> None:
    with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n") as target:
        outcome = Runner([target], 2, 1, float("-inf")).run(workloads(Scale(objects=1, writes=1))[:1])
    assert outcome.measurements == []
    assert [failure.reason for failure in outcome.failures] == ["no time for round 1", "no time for round 2"]


@pytest.mark.parametrize(
    ("text", "label", "what", "options"),
    [
        ("shardgate", "shardgate", "shardgate", {}),
        ("shardgate,workers=2", "shardgate,workers=2", "shardgate", {"workers": "2"}),
        ("direct=shardgate,shards=0", "direct", "shardgate", {"shards": "0"}),
        ("http://a:b@127.0.0.1:8000,pid=3", "127.0.0.1:8000", "http://a:b@127.0.0.1:8000", {"pid": "3"}),
        ("x=http://a:b@host", "x", "http://a:b@host", {}),
    ],
)
def test_endpoints_are_understood(text: str, label: str, what: str, options: dict[str, str]) -> None:
    assert Spec.parse(text) == Spec(label, what, options)


@pytest.mark.parametrize(
    "text", ["minio", "shardgate,workers", "https://a:b@host", "http://host:80", "http://a:b@host,pid=x", "rclone,a=b"]
)
def test_what_is_no_endpoint_is_refused_with_a_line(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main([text, "--workloads", "get-1k"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_keys_in_urls_are_decoded() -> None:
    target = running(Spec.parse("http://KEY:a%2Fb%2B@127.0.0.1:1,region=eu"))
    assert (target.access_key, target.secret_key, target.region) == ("KEY", "a/b+", "eu")


def test_an_unknown_option_of_a_url_is_refused() -> None:
    with pytest.raises(SpecError, match="there are pid and region"):
        running(Spec.parse("http://KEY:SECRET@127.0.0.1:1,workers=2"))
