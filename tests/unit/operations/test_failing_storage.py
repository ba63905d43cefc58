"""What clients, logs and the access log are told when the storage fails."""

import base64
import hashlib
import json
import logging
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

import pytest

from backends import api
from backends.api import BackendConfig, BackendError, Caller, OpenObject
from backends.memory.backend import MemoryBackend
from tests.unit.operations.in_process import Worker

SECRET_TEXT = "/mnt/pool7 on host fst-12"


class OwnError(BackendError):
    """What a plugin must not raise, and one day will."""


class Failing(MemoryBackend):
    """Fails when it is told to."""

    failure: Exception | None = None

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure

    def get_object(self, caller: Caller, bucket: str, key: str) -> OpenObject:
        self._fail()
        return super().get_object(caller, bucket, key)

    def get_bucket(self, caller: Caller, bucket: str) -> api.BucketRecord:
        self._fail()
        return super().get_bucket(caller, bucket)

    def put_object(self, *arguments: Any, **options: Any) -> api.ObjectRecord:
        self._fail()
        return super().put_object(*arguments, **options)

    def delete_object(self, *arguments: Any, **options: Any) -> api.DeleteOutcome:
        self._fail()
        return super().delete_object(*arguments, **options)


@pytest.fixture
def backend() -> Failing:
    made = Failing(BackendConfig())
    made.open()
    return made


@pytest.fixture
def worker(backend: Failing) -> Worker:
    made = Worker(backend)
    assert made.perform("PUT", "/bucket").status == 200
    assert made.perform("PUT", "/bucket/key", body=b"data").status == 200
    made.recorder.kept.clear()
    return made


FAILURES = [
    (api.NoSuchBucket(SECRET_TEXT), 404, "NoSuchBucket", False),
    (api.NoSuchObject(SECRET_TEXT), 404, "NoSuchKey", False),
    (api.NoSuchVersion("3sL4kqtJlcpXroDTDmJrmSpXd3dIbrHY"), 404, "NoSuchVersion", False),
    (api.NoSuchUpload(SECRET_TEXT), 404, "NoSuchUpload", False),
    (api.PreconditionFailed("If-Match"), 412, "PreconditionFailed", False),
    (api.BucketExists(SECRET_TEXT), 409, "BucketAlreadyExists", False),
    (api.BucketNotEmpty(SECRET_TEXT), 409, "BucketNotEmpty", False),
    (api.KeyNotStorable(SECRET_TEXT), 400, "InvalidArgument", False),
    (api.DocumentChanged(SECRET_TEXT), 409, "OperationAborted", False),
    (api.PermissionDenied(SECRET_TEXT), 403, "AccessDenied", False),
    (api.NotSupported(SECRET_TEXT), 501, "NotImplemented", False),
    (api.StorageFull(SECRET_TEXT), 507, "InsufficientStorage", True),
    (api.QuotaExceeded(SECRET_TEXT), 507, "InsufficientStorage", True),
    (api.StorageUnavailable(SECRET_TEXT, retry_after=17), 503, "ServiceUnavailable", True),
    (OwnError(SECRET_TEXT), 500, "InternalError", True),
    (RuntimeError(SECRET_TEXT), 500, "InternalError", True),
    (OSError(5, SECRET_TEXT), 500, "InternalError", True),
    (RecursionError(SECRET_TEXT), 500, "InternalError", True),
]


@pytest.mark.parametrize(("failure", "status", "code", "logged"), FAILURES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize(("method", "body"), [("GET", None), ("PUT", b"new"), ("DELETE", None)])
def test_failure_of_the_storage_is_an_s3_error(
    worker: Worker,
    backend: Failing,
    caplog: pytest.LogCaptureFixture,
    failure: Exception,
    status: int,
    code: str,
    logged: bool,
    method: str,
    body: bytes | None,
) -> None:
    backend.failure = failure
    if method == "DELETE" and code in ("NoSuchKey", "NoSuchVersion"):
        assert worker.perform(method, "/bucket/key", None, body).status == 204
        return
    with caplog.at_level(logging.INFO):
        answer = worker.perform(method, "/bucket/key", None, body)
    document = ET.fromstring(answer.body)
    assert (answer.status, document.findtext("Code")) == (status, code)
    assert SECRET_TEXT.encode() not in answer.body
    assert b"Traceback" not in answer.body
    assert answer.headers["x-amz-request-id"] == document.findtext("RequestId")
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert bool(errors) == logged
    for record in errors:
        assert (record.request_id, record.bucket, record.key) == (document.findtext("RequestId"), "bucket", "key")
        assert SECRET_TEXT in caplog.text
    exchange, _ = worker.recorder.kept[-1]
    assert (exchange.status, exchange.error) == (status, code)


def test_unavailable_storage_says_when_to_come_back(worker: Worker, backend: Failing) -> None:
    backend.failure = api.StorageUnavailable("down", retry_after=17)
    assert worker.perform("GET", "/bucket/key").headers["retry-after"] == "17"


def test_reason_why_a_key_cannot_be_stored_is_for_operators(
    worker: Worker, backend: Failing, caplog: pytest.LogCaptureFixture
) -> None:
    backend.failure = api.KeyNotStorable(SECRET_TEXT)
    with caplog.at_level(logging.INFO):
        worker.perform("PUT", "/bucket/key", None, b"x")
    assert SECRET_TEXT in caplog.text


def test_failures_of_single_deletions_are_their_own(
    worker: Worker, backend: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b"<Delete><Object><Key>key</Key></Object></Delete>"
    digest = {"content-md5": base64.b64encode(hashlib.md5(body).digest()).decode()}
    monkeypatch.setattr(Failing, "get_bucket", MemoryBackend.get_bucket)
    for failure, _, code, _ in FAILURES:
        if isinstance(failure, BackendError) and code not in ("NoSuchKey", "NoSuchVersion"):
            backend.failure = failure
            answer = worker.perform("POST", "/bucket?delete", digest, body)
            assert answer.status == 200
            codes = [element.text for element in ET.fromstring(answer.body).iter() if element.tag.endswith("Code")]
            assert codes == [code]
            assert SECRET_TEXT.encode() not in answer.body


class Breaking(OpenObject):
    """An object whose storage fails on the way."""

    __slots__ = ("closed", "whole")

    def __init__(self, whole: OpenObject) -> None:
        self.whole = whole
        self.record = whole.record
        self.closed = 0

    def read(self, offset: int, length: int) -> Iterator[bytes]:
        yield next(self.whole.read(offset, 1))
        raise api.StorageUnavailable("gone")

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        ("/bucket/key", {}, 200),
        ("/bucket/key", {"range": "bytes=0-1"}, 206),
        ("/bucket/key", {"range": "bytes=99-"}, 416),
        ("/bucket/key", {"if-match": '"x"'}, 412),
        ("/bucket/key", {"if-none-match": "*"}, 304),
        ("/bucket/key?partNumber=7", {}, 416),
        ("/bucket/key?response-expires=%0A", {}, 400),
    ],
)
def test_object_is_closed_exactly_once(
    worker: Worker, backend: Failing, target: str, headers: dict[str, str], status: int
) -> None:
    opened: list[Breaking] = []
    original = backend.get_object

    def get_object(*arguments: Any) -> OpenObject:
        opened.append(Breaking(original(*arguments)))
        return opened[-1]

    backend.get_object = get_object  # type: ignore[method-assign]
    answer = worker.perform("GET", target, headers)
    assert answer.status == status
    if answer.stream is not None:
        assert opened[0].closed == 0
        with pytest.raises(api.StorageUnavailable):
            list(answer.stream)
        answer.stream.close()
    assert [one.closed for one in opened] == [1]


class Wire:
    """The server's account of an exchange."""

    underscore_headers: dict[str, str] = {}
    started = 0.0
    bytes_received = 0

    def __init__(self, sent: int, *, gone: bool = False) -> None:
        self.bytes_sent = sent
        self.client_gone = gone
        self.finished: Any = None

    def on_finish(self, callback: Any) -> None:
        self.finished = callback


@pytest.mark.parametrize(
    ("method", "sent", "gone", "aborted"),
    [("GET", 4, False, False), ("GET", 3, False, True), ("GET", 4, True, True), ("HEAD", 0, False, False)],
)
def test_access_log_says_whether_all_was_sent(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, method: str, sent: int, gone: bool, aborted: bool
) -> None:
    wire = Wire(sent, gone=gone)
    perform = worker.pipeline.perform
    monkeypatch.setattr(worker.pipeline, "perform", lambda environ: perform({**environ, "shardgate.exchange": wire}))
    assert worker.perform(method, "/bucket/key").status == 200
    wire.finished()
    exchange, metric = worker.recorder.kept[-1]
    assert (exchange.aborted, exchange.bytes_sent, metric) == (aborted, sent, f"{method.lower()}_object")


def test_probe_tells_when_the_storage_is_down(
    worker: Worker, backend: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down() -> None:
        raise api.StorageUnavailable(SECRET_TEXT)

    assert worker.perform("GET", "/-/ready").status == 200
    monkeypatch.setattr(backend, "check", down)
    answer = worker.perform("GET", "/-/ready")
    assert answer.status == 503
    assert json.loads(answer.body) == {"status": "not ready", "backend": "failed: StorageUnavailable", "redis": "ok"}
    assert worker.perform("GET", "/-/live").status == 200
    assert worker.recorder.kept == []
