"""What holds for every request: who asks, how it is addressed, what is logged and counted, and how the service is."""

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.gateway import Gateway, wait_until
from tests.support.wire import CREDENTIALS, UNSIGNED, Answer, Wire
from tests.unit.protocol import signing
from workers.operations import operation_table

Put = Callable[..., Answer]
TABLE = operation_table()


# -- authentication


def test_anonymous_requests_are_denied(wire: Wire, box: str, put: Put) -> None:
    put("k")
    for method, path in (
        ("GET", "/"),
        ("GET", box),
        ("GET", f"{box}/k"),
        ("PUT", f"{box}/k"),
        ("DELETE", f"{box}/k"),
        ("GET", f"{box}?acl"),
        ("DELETE", box),
    ):
        answer = wire.call(method, path, body=b"x" if method == "PUT" else None, sign=False)
        assert answer.outcome == (403, "AccessDenied"), path
    # That there is no such bucket is no secret, as on AWS.
    assert wire.call("GET", "/no-such-bucket-here/k", sign=False).outcome == (404, "NoSuchBucket")
    head = wire.call("HEAD", f"{box}/k", sign=False)
    assert (head.status, head.body) == (403, b"")


def hours_ago(hours: float) -> str:
    return signing.amz_date(time.time() - hours * 3600)


@pytest.mark.parametrize(
    ("options", "outcome"),
    [
        ({"secret": "wrong"}, (403, "SignatureDoesNotMatch")),
        ({"access_key": "NOBODY"}, (403, "InvalidAccessKeyId")),
        ({"region": "eu-west-1"}, (400, "AuthorizationHeaderMalformed")),
        ({"service": "ec2"}, (400, "AuthorizationHeaderMalformed")),
        ({"date": hours_ago(1)}, (403, "RequestTimeTooSkewed")),
        ({"date": hours_ago(-1)}, (403, "RequestTimeTooSkewed")),
        ({"unsigned": ("host",)}, (403, "AccessDenied")),
        ({"payload": "hash"}, (400, "InvalidArgument")),
        ({"payload": "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"}, (400, "InvalidRequest")),
    ],
)
def test_bad_signatures(wire: Wire, box: str, options: dict[str, Any], outcome: tuple[int, str]) -> None:
    assert wire.call("GET", box, **options).outcome == outcome


def test_region_mismatch_names_the_region(wire: Wire, box: str) -> None:
    assert wire.call("GET", box, region="eu-west-1").text("Region") == "us-east-1"


def test_unsigned_amz_header_is_refused(wire: Wire, box: str) -> None:
    answer = wire.call("PUT", f"{box}/k", {"x-amz-meta-a": "1"}, b"data", unsigned=("x-amz-meta-a",))
    assert answer.outcome == (403, "AccessDenied")
    assert answer.text("HeadersNotSigned") == "x-amz-meta-a"


@pytest.mark.parametrize(
    "authorization",
    [
        "AWS AKIA:c2lnbmF0dXJl",
        "AWS4-ECDSA-P256-SHA256 Credential=a/20260101/s3/aws4_request, SignedHeaders=host, Signature=00",
        "Basic dXNlcjpwYXNz",
        "Bearer token",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 ",
        "AWS4-HMAC-SHA256 Credential=x",
        "x",
    ],
)
def test_other_mechanisms_are_refused(wire: Wire, box: str, authorization: str) -> None:
    headers = {"authorization": authorization, "x-amz-date": hours_ago(0), "x-amz-content-sha256": UNSIGNED}
    answer = wire.call("GET", box, headers, sign=False)
    assert answer.status == 400
    assert answer.code in ("InvalidRequest", "InvalidArgument", "AuthorizationHeaderMalformed")


def test_session_token_that_nobody_issued(wire: Wire, box: str) -> None:
    answer = wire.call("GET", box, {"x-amz-security-token": "secret-session-token"})
    assert answer.outcome == (400, "InvalidToken")


@pytest.mark.parametrize(
    ("options", "outcome"),
    [
        ({}, (200, "")),
        ({"expires": 604800}, (200, "")),
        ({"expires": 604801}, (400, "AuthorizationQueryParametersError")),
        ({"expires": -1}, (400, "AuthorizationQueryParametersError")),
        ({"expires": "x"}, (400, "AuthorizationQueryParametersError")),
        ({"date": hours_ago(2)}, (403, "AccessDenied")),
        ({"date": hours_ago(-1)}, (403, "AccessDenied")),
        ({"region": "eu-west-1"}, (400, "AuthorizationQueryParametersError")),
        ({"access_key": "NOBODY"}, (403, "InvalidAccessKeyId")),
        ({"changed": {"X-Amz-Credential": "garbage"}}, (400, "AuthorizationQueryParametersError")),
        ({"changed": {"X-Amz-Algorithm": "AWS4-ECDSA-P256-SHA256"}}, (400, None)),
        ({"changed": {"X-Amz-Date": None}}, (400, "AuthorizationQueryParametersError")),
    ],
)
def test_presigned_get(
    wire: Wire, box: str, put: Put, options: dict[str, Any], outcome: tuple[int, str | None]
) -> None:
    put("k")
    answer = wire.call("GET", wire.presign("GET", f"{box}/k", **options), sign=False)
    assert answer.status == outcome[0]
    assert outcome[1] is None or answer.code == outcome[1]
    if options.get("date") == hours_ago(2):
        assert answer.text("Message") == "Request has expired"


def test_presigned_url_is_for_one_method_path_and_query(wire: Wire, box: str, put: Put) -> None:
    put("k")
    target = wire.presign("GET", f"{box}/k")
    assert wire.call("HEAD", target, sign=False).status == 403
    assert wire.call("PUT", target, body=b"x", sign=False).outcome == (403, "SignatureDoesNotMatch")
    assert wire.call("GET", target.replace("/k?", "/l?"), sign=False).outcome == (403, "SignatureDoesNotMatch")
    assert wire.call("GET", target + "&response-expires=x", sign=False).outcome == (403, "SignatureDoesNotMatch")
    assert wire.call("GET", target).outcome == (400, "InvalidArgument")  # two mechanisms at once


# -- what every answer has


@pytest.mark.parametrize(
    ("method", "target", "options"),
    [
        ("GET", "/", {}),
        ("GET", "/", {"sign": False}),
        ("OPTIONS", "*", {"sign": False}),
        ("GET", "/%zz", {}),
        ("PATCH", "/b/k", {}),
        ("PROPFIND", "/b/k", {}),
        ("GET", "/-/live", {"sign": False}),
        ("GET", "/-/none", {"sign": False}),
        ("HEAD", "/no-such-bucket-here", {}),
        ("GET", "relative", {}),
        ("GET", "http://other.example/-/x", {}),
        ("GET", "/\x01", {}),
    ],
)
def test_every_answer_has_a_request_id(wire: Wire, method: str, target: str, options: dict[str, Any]) -> None:
    answer = wire.call(method, target, **options)
    assert re.fullmatch("[0-9A-F]{16}", answer.headers["x-amz-request-id"])
    assert "date" in answer.headers
    assert b"Traceback" not in answer.body


def test_request_ids_differ(wire: Wire) -> None:
    assert len({wire.call("GET", "/").headers["x-amz-request-id"] for _ in range(20)}) == 20


@pytest.mark.parametrize(
    ("method", "target"), [("POST", "/b/k"), ("POST", "/"), ("PUT", "/"), ("DELETE", "/"), ("HEAD", "/")]
)
def test_method_that_is_not_allowed(wire: Wire, method: str, target: str) -> None:
    answer = wire.call(method, target, body=b"" if method in ("POST", "PUT") else None)
    assert answer.status == 405
    assert "GET" in answer.headers["allow"]
    assert answer.code == ("" if method == "HEAD" else "MethodNotAllowed")


def test_a_signature_is_verified_before_a_method_is_refused(wire: Wire) -> None:
    wrong = {"authorization": wire.presign("HEAD", "/")}
    assert wire.call("HEAD", "/", wrong, sign=False).status == 400
    assert wire.call("POST", "/b/k", body=b"", access_key="unknown").outcome == (403, "InvalidAccessKeyId")
    assert wire.call("GET", "/b/k?torrent", access_key="unknown").outcome == (403, "InvalidAccessKeyId")
    assert wire.call("GET", "/b/k?torrent").outcome == (501, "NotImplemented")
    # Who does not sign is told what cannot be, at once.
    assert wire.call("POST", "/b/k", body=b"", sign=False).outcome == (405, "MethodNotAllowed")


@pytest.mark.parametrize(
    "target", ["/", "/some-bucket", "/some-bucket/key"]
)  # Preflight, PreflightBucket, PreflightObject
def test_preflight(wire: Wire, target: str) -> None:
    asked = {"origin": "http://a.example", "access-control-request-method": "PUT"}
    answer = wire.call("OPTIONS", target, asked, sign=False)
    assert answer.outcome == (403, "AccessForbidden")
    assert answer.text("Method") == "PUT"
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert wire.call("OPTIONS", target, sign=False).outcome == (400, "BadRequest")
    assert wire.call("OPTIONS", target, {"origin": "x"}, sign=False).outcome == (400, "BadRequest")


# -- health


def test_health(wire: Wire) -> None:
    live = wire.call("GET", "/-/live", sign=False)
    assert (live.status, json.loads(live.body)) == (200, {"status": "live"})
    ready = wire.call("GET", "/-/ready?x=1", sign=False)
    assert (ready.status, json.loads(ready.body)) == (200, {"status": "ready", "backend": "ok", "redis": "ok"})
    assert ready.headers["cache-control"] == "no-store"
    head = wire.call("HEAD", "/-/ready", sign=False)
    assert (head.status, head.body) == (200, b"")
    assert wire.call("GET", "/-/other", sign=False).status == 404


# -- addressing


def test_virtual_host_style(wire: Wire, box: str, put: Put) -> None:
    put("k", b"path style")
    host = {"host": f"{box[1:]}.s3.example.test"}
    assert wire.call("GET", "/k", host).body == b"path style"
    assert wire.call("PUT", "/-/live", host, b"a key").status == 200
    assert wire.call("GET", "/-/live", host).body == b"a key"
    assert wire.call("GET", f"{box}/-/live").body == b"a key"
    assert wire.call("GET", "/?list-type=2", host).texts("Contents/Key") == ["-/live", "k"]
    assert wire.call("GET", "/?location", host).tree.tag == "LocationConstraint"
    assert wire.call("HEAD", "/", host).headers["x-amz-bucket-region"] == "us-east-1"
    assert wire.call("GET", f"{box}/k", {"host": "s3.example.test"}).body == b"path style"
    assert wire.call("GET", "/", {"host": "s3.example.test:9000"}).tree.tag == "ListAllMyBucketsResult"
    assert wire.call("GET", "/k", {"host": "UPPER_case.s3.example.test"}).outcome == (400, "InvalidBucketName")
    assert wire.call("GET", "/k", {"host": "no-such-bucket-here.s3.example.test"}).outcome == (404, "NoSuchBucket")


def test_virtual_host_bucket_is_made_and_removed(wire: Wire) -> None:
    host = {"host": f"raw-{uuid4().hex[:12]}.s3.example.test"}
    assert wire.call("PUT", "/", host).status == 200
    assert wire.call("DELETE", "/", host).status == 204


def test_host_that_was_signed_is_the_host_that_counts(wire: Wire, box: str) -> None:
    request = wire.request("GET", "/", {"host": f"{box[1:]}.s3.example.test"})
    forged = request.replace(b".s3.example.test", b".s3.example.test:1")
    assert wire.send(forged).outcome == (403, "SignatureDoesNotMatch")


# -- read-only mode


def test_read_only_gateway_refuses_every_write(start_gateway: Callable[..., Gateway]) -> None:
    gateway = start_gateway("--backend", "memory", "--read-only", workers=1, environ=CREDENTIALS)
    wire = Wire(gateway)
    for row in TABLE.rows:
        if row.anonymous:
            continue
        path = {"service": "/", "bucket": "/bucket", "object": "/bucket/key"}[row.level.value]
        query = f"?{row.query}={row.selector_value or ''}" if row.query else ""
        headers = {row.header: "/bucket/key"} if row.header else {}
        answer = wire.call(row.method, path + query, headers, b"x" if row.writes else None)
        refused = answer.status == 403 and b"read-only" in answer.body
        assert refused == row.writes, row.name


# -- access log, application log, metrics


class Watched:
    """A gateway whose access log and metrics are looked at."""

    def __init__(self, gateway: Gateway, log: Path, statsd: socket.socket) -> None:
        self.gateway = gateway
        self.wire = Wire(gateway)
        self._log = log
        self._statsd = statsd

    def record(self, answer: Answer) -> dict[str, Any]:
        """The line of the access log that belongs to an answer."""
        wanted = answer.headers["x-amz-request-id"]

        def find() -> dict[str, Any] | None:
            lines = self._log.read_text().splitlines() if self._log.exists() else []
            return next((found for line in lines if (found := json.loads(line))["request_id"] == wanted), None)

        found: dict[str, Any] = wait_until(find, what="the line of the access log")
        return found

    def lines(self) -> list[dict[str, Any]]:
        """All lines so far."""
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def metrics(self, seconds: float = 1.6) -> list[str]:
        """What has come by UDP, and still comes within `seconds`."""
        found: list[str] = []
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._statsd.settimeout(left)
            try:
                found += self._statsd.recv(65536).decode().split("\n")
            except TimeoutError:
                break
        return found

    def texts(self) -> str:
        """Everything that was logged anywhere."""
        return self._log.read_text() + self.gateway.log.read_text() + self.gateway.output.read_text()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    home = tmp_path_factory.mktemp("watched")
    log = home / "access.log"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        options = (
            *("--backend", "memory", "--access-log", str(log), "--body-timeout", "1"),
            *("--statsd-host", "127.0.0.1", "--statsd-port", str(statsd.getsockname()[1]), "--statsd-prefix", "gate"),
        )
        with Gateway(home / "data", *options, workers=1, environ=CREDENTIALS) as gateway:
            found = Watched(gateway, log, statsd)
            assert found.wire.call("PUT", "/watched").status == 200
            yield found


def test_access_log_of_a_write_and_a_read(watched: Watched) -> None:
    wire = watched.wire
    stored = watched.record(wire.call("PUT", "/watched/a%20b", {"user-agent": "me/1"}, b"x" * 5000))
    expected = {
        "operation": "PutObject",
        "method": "PUT",
        "path": "/watched/a%20b",
        "bucket": "watched",
        "key": "a b",
        "status": 200,
        "error": "",
        "access_key": signing.ACCESS_KEY,
        "remote": "127.0.0.1",
        "host": wire.host,
        "user_agent": "me/1",
        "bytes_received": 5000,
        "bytes_sent": 0,
        "aborted": False,
    }
    assert {name: stored[name] for name in expected} == expected
    assert abs(stored["time"] - time.time()) < 30
    assert 0 < stored["first_byte"] <= stored["total"] < 10
    assert len(stored["account"]) == 64
    read = watched.record(wire.call("GET", "/watched/a%20b?versionId=null", {"range": "bytes=0-99"}))
    assert (read["operation"], read["status"], read["bytes_sent"]) == ("GetObject", 206, 100)
    assert read["version_id"] == "null"


def test_access_log_of_refusals(watched: Watched) -> None:
    wire = watched.wire
    missing = watched.record(wire.call("GET", "/watched/missing"))
    assert (missing["operation"], missing["status"], missing["error"]) == ("GetObject", 404, "NoSuchKey")
    denied = watched.record(wire.call("DELETE", "/watched/k", sign=False))
    assert (denied["operation"], denied["error"], denied["access_key"]) == ("DeleteObject", "AccessDenied", "")
    unknown = watched.record(wire.call("PUT", "/watched/k?torrent", body=b""))
    assert (unknown["operation"], unknown["status"]) == ("unresolved", 501)


def test_access_log_of_a_body_that_stops_coming(watched: Watched) -> None:
    wire = watched.wire
    head = wire.request("PUT", "/watched/slow", {"content-length": "100"}, payload=UNSIGNED)
    answer = wire.send(head + b"12345", "PUT")
    assert answer.outcome == (400, "RequestTimeout")
    line = watched.record(answer)
    assert (line["operation"], line["error"], line["bytes_received"]) == ("PutObject", "RequestTimeout", 5)


def test_access_log_says_when_the_client_left(watched: Watched) -> None:
    wire = watched.wire
    wire.call("PUT", "/watched/large", body=b"x" * (24 << 20))
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((watched.gateway.host, watched.gateway.port))
    connection.sendall(wire.request("GET", "/watched/large", {"x-amz-meta-leaver": "1"}))
    connection.recv(1000)
    connection.close()
    left = wait_until(
        lambda: [line for line in watched.lines() if line["key"] == "large" and line["method"] == "GET"],
        what="the line of who left",
    )
    assert left[0]["aborted"] is True
    assert left[0]["bytes_sent"] < 24 << 20


def test_no_secret_is_ever_logged(watched: Watched) -> None:
    wire = watched.wire
    presigned = wire.presign("GET", "/watched/none")
    wire.call("GET", presigned, sign=False)
    wire.call("GET", presigned.replace("/none", "/%zz"), sign=False)
    wire.call("PATCH", presigned, sign=False)
    wire.call(
        "GET", "/watched/none", {"referer": f"http://page.example{presigned}", "x-amz-security-token": "tok-en-1"}
    )
    wire.call("GET", "/watched/none?X-Amz-Security-Token=tok-en-2&X-Amz-Signature=beef", sign=False)
    stopped = wire.presign("PUT", "/watched/none")
    wire.send(wire.request("PUT", stopped, {"content-length": "10"}, sign=False) + b"12", "PUT")
    wire.send(wire.request("GET", presigned + "&bad=\x01", sign=False))
    last = wire.call("GET", "/watched/none")
    watched.record(last)
    text = watched.texts()
    for secret in (presigned[-64:], stopped[-64:], "tok-en", signing.SECRET, "Signature=", "AWS4-HMAC"):
        assert secret not in text, secret


def test_application_log_is_json(watched: Watched) -> None:
    watched.wire.send(b"BROKEN\r\n\r\n")
    lines = [line for line in watched.gateway.log.read_text().splitlines() if line.startswith("{")]
    assert lines
    for line in lines:
        assert {"time", "level", "logger", "pid", "message"} <= json.loads(line).keys()


def test_metrics_are_named_after_the_operations(watched: Watched) -> None:
    wire = watched.wire
    watched.metrics(1.2)
    wire.call("PUT", "/watched/counted", body=b"x" * 1000)
    for _ in range(3):
        wire.call("GET", "/watched/counted")
    wire.call("GET", "/watched/counted-not")
    wire.call("GET", "/watched/counted?torrent")
    found = watched.metrics()
    assert "gate.requests.put_object.200:1|c" in found
    assert "gate.requests.get_object.200:3|c" in found
    assert "gate.requests.get_object.404:1|c" in found
    assert "gate.requests.unresolved.501:1|c" in found
    assert "gate.errors.NoSuchKey:1|c" in found
    assert "gate.bytes.received.put_object:1000|c" in found
    sent = next(int(line.split(":")[1][:-2]) for line in found if line.startswith("gate.bytes.sent.get_object:"))
    assert sent >= 3000
    timings = [line for line in found if line.startswith("gate.time.get_object:")]
    assert len(timings) == 4
    assert all(re.fullmatch(r"gate\.time\.get_object:\d+\.\d+\|ms", line) for line in timings)
    names = {line.split(":")[0] for line in found if line}
    metrics = {row.metric for row in TABLE.rows} | {"unresolved"}
    for name in names:
        kind, _, rest = name.removeprefix("gate.").partition(".")
        if kind in ("time", "first_byte"):
            assert rest in metrics
