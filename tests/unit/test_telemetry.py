"""Access log, application log and metrics, without a gateway."""

import io
import json
import logging
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest

from workers.settings import load_settings
from workers.telemetry import logs
from workers.telemetry.access_log import FLUSH_BYTES, AccessLog
from workers.telemetry.exchange import Exchange
from workers.telemetry.metrics import TIMERS_KEPT, Metrics
from workers.telemetry.recorder import Recorder


def exchange(**changed: object) -> Exchange:
    values: dict[str, object] = {
        "time": 1.5,
        "request_id": "0123456789ABCDEF",
        "operation": "GetObject",
        "method": "GET",
        "path": "/b/k",
        "bucket": "b",
        "key": "k",
        "version_id": "",
        "status": 200,
        "error": "",
        "access_key": "A",
        "account": "",
        "remote": "127.0.0.1",
        "host": "h",
        "user_agent": "",
        "referer": "",
        "bytes_received": 0,
        "bytes_sent": 0,
        "first_byte": 0.001,
        "total": 0.002,
        "aborted": False,
    }
    return Exchange(**{**values, **changed})  # type: ignore[arg-type]


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


@pytest.fixture
def log(log_file: Path) -> Iterator[AccessLog]:
    made = AccessLog(str(log_file))
    yield made
    made.close()


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_access_log_line_holds_every_field(log: AccessLog, log_file: Path) -> None:
    log.record(exchange(key='a\n"b\\\x00ü', path="/\xff", user_agent="\x1b[31m"))
    log.flush()
    (line,) = lines(log_file)
    assert list(line) == list(Exchange.__struct_fields__)
    assert (line["key"], line["path"], line["user_agent"]) == ('a\n"b\\\x00ü', "/\xff", "\x1b[31m")
    assert log_file.read_bytes().count(b"\n") == 1


def test_access_log_is_written_by_itself(log: AccessLog, log_file: Path) -> None:
    log.record(exchange())
    assert log_file.read_text() == ""
    gevent.sleep(0.7)
    assert len(lines(log_file)) == 1


def test_access_log_is_written_at_once_when_much_has_gathered(log: AccessLog, log_file: Path) -> None:
    line = exchange(key="k" * 1000)
    for _ in range(FLUSH_BYTES // 1000 + 1):
        log.record(line)
    assert len(lines(log_file)) >= 40


def test_access_log_follows_a_rotation(log: AccessLog, log_file: Path, tmp_path: Path) -> None:
    log.record(exchange(key="1"))
    log.flush()
    log_file.rename(tmp_path / "access.log.1")
    log.record(exchange(key="2"))
    log.flush()
    assert [line["key"] for line in lines(tmp_path / "access.log.1")] == ["1"]
    assert [line["key"] for line in lines(log_file)] == ["2"]


def test_access_log_appends_beside_others(log: AccessLog, log_file: Path) -> None:
    other = AccessLog(str(log_file))
    for writer in (log, other, log):
        writer.record(exchange())
        writer.flush()
    other.close()
    assert len(lines(log_file)) == 3
    assert log_file.stat().st_mode & 0o777 == 0o640 & ~current_umask()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_access_log_that_cannot_be_written_loses_lines_only(capsys: pytest.CaptureFixture[str]) -> None:
    full = AccessLog("/dev/full")
    full.record(exchange())
    full.flush()
    assert "No space left" in capsys.readouterr().err
    full.close()


def test_access_log_whose_directory_went_away(
    log: AccessLog, log_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log_file.unlink()
    log_file.parent.rmdir()
    log.record(exchange())
    log.flush()
    assert str(log_file) in capsys.readouterr().err
    log_file.parent.mkdir()
    log.record(exchange(key="back"))
    log.flush()
    assert [line["key"] for line in lines(log_file)] == ["back"]


def test_access_log_that_cannot_be_opened_stops_the_start(tmp_path: Path) -> None:
    settings = load_settings({"access_log": tmp_path / "no" / "dir" / "x", "backend": "memory"}, {}, None)
    with pytest.raises(FileNotFoundError):
        Recorder.from_settings(settings)


@pytest.fixture
def statsd() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(2)
        yield receiver


@pytest.fixture
def metrics(statsd: socket.socket) -> Iterator[Metrics]:
    made = Metrics("127.0.0.1", statsd.getsockname()[1], "gate")
    yield made
    made.close()


def received(statsd: socket.socket) -> list[str]:
    found: list[str] = []
    statsd.settimeout(2)
    while True:
        try:
            data = statsd.recv(65536)
        except TimeoutError:
            return found
        assert len(data) <= 1432, "larger than a datagram that every network carries"
        found += data.decode().split("\n")
        statsd.settimeout(0.1)


def test_metrics_of_requests(metrics: Metrics, statsd: socket.socket) -> None:
    metrics.record(exchange(bytes_sent=10, total=0.25, first_byte=0.125), "get_object")
    metrics.record(exchange(bytes_sent=5, status=404, error="NoSuchKey"), "get_object")
    metrics.record(exchange(bytes_received=7), "put_object")
    metrics.count("janitor.removed", 3)
    metrics.flush()
    found = received(statsd)
    for line in (
        "gate.requests.get_object.200:1|c",
        "gate.requests.get_object.404:1|c",
        "gate.requests.put_object.200:1|c",
        "gate.errors.NoSuchKey:1|c",
        "gate.bytes.sent.get_object:15|c",
        "gate.bytes.received.put_object:7|c",
        "gate.time.get_object:250.000|ms",
        "gate.first_byte.get_object:125.000|ms",
        "gate.janitor.removed:3|c",
    ):
        assert line in found
    metrics.flush()
    assert received(statsd) == []


def test_metrics_sample_many_timings(metrics: Metrics, statsd: socket.socket) -> None:
    for _ in range(TIMERS_KEPT * 4):
        metrics.record(exchange(), "get_object")
    metrics.flush()
    found = received(statsd)
    timings = [line for line in found if line.startswith("gate.time.get_object:")]
    assert len(timings) == TIMERS_KEPT
    assert set(timings) == {"gate.time.get_object:2.000|ms|@0.250000"}
    assert f"gate.requests.get_object.200:{TIMERS_KEPT * 4}|c" in found


def test_metrics_are_sent_by_themselves(metrics: Metrics, statsd: socket.socket) -> None:
    metrics.record(exchange(), "get_object")
    gevent.sleep(1.2)
    assert "gate.requests.get_object.200:1|c" in received(statsd)


def test_metrics_without_a_prefix(statsd: socket.socket) -> None:
    plain = Metrics("127.0.0.1", statsd.getsockname()[1], "")
    plain.record(exchange(), "get_object")
    plain.close()
    found = received(statsd)
    assert "requests.get_object.200:1|c" in found
    assert "time.get_object:2.000|ms" in found


def test_metrics_to_nobody_fail_no_request() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lonely = Metrics("127.0.0.1", port, "gate")
    for _ in range(3):
        lonely.record(exchange(), "get_object")
        lonely.flush()
    lonely.close()


def test_recorder_with_nothing_on_is_not_active() -> None:
    assert not Recorder().active
    assert not Recorder.from_settings(load_settings({"backend": "memory"}, {}, None)).active


@pytest.fixture
def root_logger() -> Iterator[None]:
    names = ("", "gunicorn.error")
    kept = [
        (logging.getLogger(name), list(logging.getLogger(name).handlers), logging.getLogger(name).level)
        for name in names
    ]
    yield
    for logger, handlers, level in kept:
        logger.handlers[:] = handlers
        logger.setLevel(level)


def test_application_log_is_one_json_object_a_line(root_logger: None, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    logs.configure("info")
    logging.getLogger("shardgate.x").debug("not this")
    logging.getLogger("shardgate.x").info("two\nlines %s", "ü", extra={"request_id": "R", "bucket": "b", "key": ""})
    try:
        raise ValueError("inside")
    except ValueError:
        logging.getLogger("gunicorn.error").exception("failed")
    first, second = (json.loads(line) for line in written.getvalue().splitlines())
    assert (first["message"], first["request_id"], first["bucket"], first["level"]) == (
        "two\nlines ü",
        "R",
        "b",
        "info",
    )
    assert "key" not in first
    assert "traceback" not in first
    assert (second["logger"], second["message"]) == ("gunicorn.error", "failed")
    assert "ValueError: inside" in second["traceback"]
