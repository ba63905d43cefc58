"""The hostile corpus against running gateways: bounded time, S3's own refusals, nothing broken, nothing left behind."""

import base64
import hashlib
import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.integration.hostile.corpus import CORPUS, combinations
from tests.integration.hostile.request import BUCKET, SEED, Hostile
from tests.support.gateway import Gateway
from tests.support.wire import CREDENTIALS, Answer, ServerClosed, Wire

PATIENCE = 8.0


def test_corpus_is_large_and_has_no_repetitions() -> None:
    assert len(CORPUS) >= 300
    names = [case.name for case in CORPUS]
    assert [name for name in set(names) if names.count(name) > 1] == []


@pytest.fixture(scope="module", params=["memory", "posix"])
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    home = tmp_path_factory.mktemp(f"hostile-{request.param}")
    options = ("--backend", request.param, "--virtual-host-domain", "s3.example.test", "--body-timeout", "3")
    with Gateway(home / "data", *options, workers=1, environ=CREDENTIALS) as gateway:
        wire = Wire(gateway, timeout=PATIENCE)
        assert wire.call("PUT", BUCKET).status == 200
        yield wire


def request_of(wire: Wire, case: Hostile) -> bytes:
    if case.raw is not None:
        return case.raw
    headers = dict(case.headers)
    if headers.get("content-md5") == "@":
        headers["content-md5"] = base64.b64encode(hashlib.md5(case.body or b"").digest()).decode()
    data = wire.request(
        case.method,
        case.target,
        headers,
        case.body,
        sign=case.sign,
        payload=case.payload,
        length=case.length,
    )
    head, _, body = data.partition(b"\r\n\r\n")
    if case.split:
        name = case.split.encode()
        lines = head.split(b"\r\n")
        at = next(index for index, line in enumerate(lines) if line.startswith(name + b": "))
        lines[at : at + 1] = [name + b": " + value for value in lines[at][len(name) + 2 :].split(b",")]
        head = b"\r\n".join(lines)
    data = head + b"\r\n" + case.tail + b"\r\n" + body
    return data[: len(data) - case.cut]


def ask(wire: Wire, case: Hostile) -> Answer | None:
    """The answer, None when the gateway just closed the connection; TimeoutError when it hangs."""
    with socket.create_connection((wire.gateway.host, wire.gateway.port), timeout=PATIENCE) as connection:
        try:
            connection.sendall(request_of(wire, case))
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused before all was sent
        try:
            return wire.receive(connection, case.method)
        except ServerClosed:
            return None


def faults_of(wire: Wire, case: Hostile) -> list[str]:
    """What is wrong with the answer to one request."""
    began = time.monotonic()
    try:
        answer = ask(wire, case)
    except TimeoutError:
        return [f"{case}: no answer within {PATIENCE} seconds"]
    faults = []
    if time.monotonic() - began > PATIENCE / 2:
        faults.append(f"{case}: took {time.monotonic() - began:.1f} seconds")
    if answer is None:
        # Only who never finished a head gets none.
        if case.raw is None or b"\r\n\r\n" in case.raw.lstrip(b"\r\n"):
            faults.append(f"{case}: closed without an answer")
        return faults
    if answer.status not in case.statuses:
        faults.append(f"{case}: {answer.status} {answer.body[:200]!r}")
    if b"Traceback" in answer.body or b"/site-packages/" in answer.body:
        faults.append(f"{case}: shows its insides")
    if b"root:x:0" in answer.body:
        faults.append(f"{case}: gives a file of the host away")
    if "x-amz-request-id" not in answer.headers:
        faults.append(f"{case}: has no request id")
    if "set-cookie" in answer.headers or "x" in answer.headers:
        faults.append(f"{case}: a header was injected")
    if answer.status >= 400 and case.method != "HEAD" and not answer.code and not case.target.startswith("/-/"):
        faults.append(f"{case}: {answer.status} without an error document: {answer.body[:100]!r}")
    return faults


def families() -> list[str]:
    return [*dict.fromkeys(case.name.partition(":")[0] for case in CORPUS if ":" in case.name), ""]


@pytest.mark.parametrize("family", families(), ids=lambda family: family or "others")
def test_hostile_requests_are_refused_in_order(target: Wire, family: str) -> None:
    assert target.call("PUT", SEED, body=b"seed").status == 200
    wanted = [case for case in CORPUS if (case.name.partition(":")[0] if ":" in case.name else "") == family]
    assert wanted
    send_all(target, wanted)


@pytest.mark.parametrize("seed", [1, 2])
def test_random_combinations_are_refused_in_order(target: Wire, seed: int) -> None:
    assert target.call("PUT", SEED, body=b"seed").status == 200
    upload_id = target.call("POST", f"{SEED}?uploads", body=b"").text("UploadId")
    send_all(target, combinations(seed, 1500, upload_id))
    target.call("DELETE", f"{SEED}?uploadId={upload_id}")


def send_all(target: Wire, cases: Iterable[Hostile]) -> None:
    """Send requests, and look at the gateway afterwards."""
    worker = target.gateway.worker_pids()
    faults = [fault for case in cases for fault in faults_of(target, case)]
    assert not faults, "\n".join(faults)
    assert target.gateway.worker_pids() == worker, "a worker died"
    log = target.gateway.log.read_text(errors="replace")
    assert "Traceback" not in log, target.gateway.log_tail()
    assert '"level": "error"' not in log, target.gateway.log_tail()
    ready = target.call("GET", "/-/ready", sign=False)
    assert ready.status == 200


def stored_keys(wire: Wire) -> list[str]:
    answer = wire.call("GET", f"{BUCKET}?list-type=2&encoding-type=url")
    return answer.texts("Contents/Key")


def test_nothing_is_left_behind(target: Wire) -> None:
    gateway = target.gateway
    while keys := stored_keys(target):
        for key in keys:
            path = "/".join(quote(part, safe="%+") for part in key.split("/")).replace("+", "%20")
            assert target.call("DELETE", f"{BUCKET}/{path}").status == 204
    names = target.call("GET", "/").texts("Buckets/Bucket/Name")
    assert names == [BUCKET[1:]]
    assert target.call("DELETE", BUCKET).status == 204
    assert not stray_files(gateway.directory), "files outside of buckets"
    assert target.call("PUT", BUCKET).status == 200


def stray_files(directory: Path) -> list[Path]:
    """What is in the data directory when its last bucket is gone: nothing but the gateway's own."""
    if not directory.exists():
        return []
    return [path for path in directory.iterdir() if path.name != ".shardgate"]
