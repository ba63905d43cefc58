"""`shardgate serve --shards`: the whole gateway behind HAProxy, as its clients and its operator see it."""

import fnmatch
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from dispatcher.metrics import days_left
from dispatcher.proxy import INSTALL_HINT
from dispatcher.runtime_api import RuntimeApi
from dispatcher.statedir import socket_path
from tests.support.gateway import ACCESS_KEY, SECRET_KEY, Gateway, s3_client, wait_until

MIB = 1 << 20
DOMAIN = "s3.example.test"


@pytest.fixture(scope="module")
def statsd() -> Iterator[socket.socket]:
    """Where the shards' metrics arrive."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        listener.settimeout(0.1)
        yield listener


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory, statsd: socket.socket) -> Iterator[Gateway]:
    """Two shards behind HAProxy."""
    home = tmp_path_factory.mktemp("sharded")
    options = ("--shards", "2", "--access-log", str(home / "access.log"), "--virtual-host-domain", DOMAIN)
    metrics = {"SHARDGATE_STATSD_HOST": "127.0.0.1", "SHARDGATE_STATSD_PORT": str(statsd.getsockname()[1])}
    with Gateway(home / "data", *options, workers=1, environ=metrics) as running:
        wait_until(lambda: "shardgate serves" in running.output.read_text(), what="the ready line")
        running.s3().create_bucket(Bucket="shared")
        yield running


def shardgate(gateway: Gateway, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dispatcher.cli", *arguments, "--state-dir", str(gateway.state_dir)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def processes(gateway: Gateway, word: str) -> list[psutil.Process]:
    found = []
    for child in gateway.children():
        with suppress(psutil.NoSuchProcess):  # also for one that ended and was not reaped yet
            if word in " ".join(child.cmdline()):
                found.append(child)
    return found


def test_starts_with_one_line(sharded):
    line = f"shardgate serves {sharded.directory} at {sharded.endpoint} (2 shards of 1 worker, backend posix)\n"
    assert sharded.output.read_text() == line
    assert len(processes(sharded, "haproxy")) == 1
    assert sharded.secret_key not in " ".join(word for child in processes(sharded, "") for word in child.cmdline())


def test_serves_objects_of_all_sizes_and_uploads_in_parts(sharded):
    client = sharded.s3()
    body = os.urandom(6 * MIB)
    upload = client.create_multipart_upload(Bucket="shared", Key="parts")["UploadId"]
    parts = []
    for number in (1, 2, 3):
        part = client.upload_part(Bucket="shared", Key="parts", UploadId=upload, PartNumber=number, Body=body)
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    client.complete_multipart_upload(Bucket="shared", Key="parts", UploadId=upload, MultipartUpload={"Parts": parts})
    assert client.get_object(Bucket="shared", Key="parts")["Body"].read() == body * 3
    for number in range(20):
        client.put_object(Bucket="shared", Key=f"small/{number:02}", Body=f"{number}".encode())
    page = client.list_objects_v2(Bucket="shared", Prefix="small/")
    assert [entry["Key"] for entry in page["Contents"]] == [f"small/{number:02}" for number in range(20)]


def test_bodies_pass_through_without_being_held(sharded):
    client = sharded.s3()
    body = os.urandom(MIB) * 96
    client.put_object(Bucket="shared", Key="large", Body=body)
    assert client.get_object(Bucket="shared", Key="large")["Body"].read() == body
    (haproxy,) = processes(sharded, "haproxy")
    assert haproxy.memory_info().rss < 90 * MIB


def presigned(gateway: Gateway, method: str, key: str, **config: object) -> str:
    return gateway.s3(**config).generate_presigned_url(method, Params={"Bucket": "shared", "Key": key}, ExpiresIn=600)


def send(gateway: Gateway, method: str, target: str, host: str = "", source: str = "127.0.0.1") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(gateway.host, gateway.port, timeout=20, source_address=(source, 0))
    try:
        connection.request(method, target, headers={"Host": host or f"{gateway.host}:{gateway.port}"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_the_clients_address_reaches_the_access_log(sharded):
    sharded.s3().put_object(Bucket="shared", Key="whose", Body=b"mine")
    target = presigned(sharded, "get_object", "whose").removeprefix(sharded.endpoint)
    assert send(sharded, "GET", target, source="127.0.0.77") == (200, b"mine")
    log = sharded.directory.parent / "access.log"

    def remote() -> str:
        records = [json.loads(line) for line in log.read_text().splitlines()]
        return next(
            (record["remote"] for record in records if record["operation"] == "GetObject" and record["key"] == "whose"),
            "",
        )

    assert wait_until(remote, what="the line in the access log") == "127.0.0.77"


def test_a_long_presigned_url(sharded):
    client = sharded.s3()
    client.put_object(Bucket="shared", Key="long", Body=b"long")
    parameters = {"Bucket": "shared", "Key": "long", "ResponseContentDisposition": "attachment; filename=" + "x" * 9000}
    url = client.generate_presigned_url("get_object", Params=parameters)
    assert len(url) > 9000
    assert send(sharded, "GET", url.removeprefix(sharded.endpoint)) == (200, b"long")


def test_virtual_host_style_signatures_hold(sharded):
    sharded.s3().put_object(Bucket="shared", Key="by/host", Body=b"found")
    import boto3
    from botocore.config import Config

    client = boto3.session.Session().client(
        "s3",
        endpoint_url=f"http://{DOMAIN}:{sharded.port}",
        region_name=sharded.region,
        aws_access_key_id=sharded.access_key,
        aws_secret_access_key=sharded.secret_key,
        config=Config(signature_version="s3v4", s3={"addressing_style": "virtual"}),
    )
    url = urlsplit(client.generate_presigned_url("get_object", Params={"Bucket": "shared", "Key": "by/host"}))
    assert url.netloc == f"shared.{DOMAIN}:{sharded.port}"
    assert send(sharded, "GET", f"{url.path}?{url.query}", host=url.netloc) == (200, b"found")


def test_an_upload_that_may_not_be_is_refused_before_its_body(sharded):
    target = presigned(sharded, "put_object", "refused").removeprefix(sharded.endpoint) + "0"
    head = (
        f"PUT {target} HTTP/1.1\r\nHost: {sharded.host}:{sharded.port}\r\nExpect: 100-continue\r\n"
        f"Content-Length: {1 << 30}\r\n\r\n"
    )
    with socket.create_connection((sharded.host, sharded.port), timeout=20) as client:
        client.sendall(head.encode())
        answer = client.recv(65536)
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"SignatureDoesNotMatch" in answer


def test_an_upload_that_may_be_is_asked_for(sharded):
    target = presigned(sharded, "put_object", "welcome").removeprefix(sharded.endpoint)
    head = (
        f"PUT {target} HTTP/1.1\r\nHost: {sharded.host}:{sharded.port}\r\nExpect: 100-continue\r\n"
        "Content-Length: 4\r\n\r\n"
    )
    with socket.create_connection((sharded.host, sharded.port), timeout=20) as client:
        client.sendall(head.encode())
        assert client.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"body")
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_status_and_list(sharded):
    found = shardgate(sharded, "status")
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("2 of 2 shards serve\n")
    assert "noeviction" in found.stdout
    document = json.loads(shardgate(sharded, "shards", "list", "--json").stdout)
    assert [shard["id"] for shard in document] == ["shard-1", "shard-2"]
    assert all(shard["serves"] and shard["health"] == {"backend": "ok", "redis": "ok"} for shard in document)
    whole = json.loads(shardgate(sharded, "status", "--json").stdout)
    assert whole["healthy"] is True
    assert whole["dispatchers"][0]["haproxy"].startswith("2.")


def documented_metrics() -> set[str]:
    """The names that docs/operating.md lists, with the parts that are placeholders as asterisks."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "operating.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`(?:[a-z_]+\.)[^|]*) \| (?:c|g|ms) \|", text, re.MULTILINE)
    names = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    return {re.sub(r"\b[A-Z]+\b", "*", name) for name in names}


def test_every_documented_metric_is_sent(sharded, statsd):
    client = sharded.s3()
    client.put_object(Bucket="shared", Key="measured", Body=b"x")
    assert client.get_object(Bucket="shared", Key="measured")["Body"].read() == b"x"
    with pytest.raises(client.exceptions.NoSuchKey):
        client.get_object(Bucket="shared", Key="absent")
    # These take what this test does not do: leftovers, limits, certificates.
    expected = documented_metrics() - {"janitor.removed", "dispatcher.*.certificate_days"}
    assert len(expected) > 35
    seen: dict[str, str] = {}

    def missing() -> set[str]:
        with suppress(TimeoutError):
            while True:
                for line in statsd.recv(65536).decode().splitlines():
                    name, _, value = line.removeprefix("shardgate.").partition(":")
                    seen[name] = value
        return {name for name in expected if not fnmatch.filter(seen, name)}

    wait_until(lambda: not missing(), timeout=40, what=f"metrics, of which {missing()} are missing")
    assert seen["shard.shard-1.up"] == seen["shard.shard-2.storage"] == seen["redis.up"] == "1|g"
    assert seen["shard.shard-1.workers"] == "1|g"
    assert int(seen["shard.shard-1.memory"].removesuffix("|g")) > 1 << 20
    known = next(value for name, value in seen.items() if name.endswith("shards.known"))
    assert known == "2|g"


def test_drain_undrain_and_unknown_names(sharded):
    assert shardgate(sharded, "shards", "drain", "shard-1").stdout == "shard-1 drains\n"

    def state() -> str:
        report = json.loads(shardgate(sharded, "status", "--json").stdout)
        return report["dispatchers"][0]["servers"]["shard-1"]["status"]

    wait_until(lambda: state().startswith("DRAIN"), what="the drain")
    assert "1 of 2 shards serve" in shardgate(sharded, "status").stdout
    for number in range(10):
        sharded.s3().put_object(Bucket="shared", Key=f"drained/{number}", Body=b"x")
    found = shardgate(sharded, "shards", "restart", "shard-1")
    assert (found.returncode, found.stderr) == (1, "shardgate: drained, and not to be put in service: shard-1\n")
    assert shardgate(sharded, "shards", "undrain", "shard-1").returncode == 0
    wait_until(lambda: state() == "UP", what="the end of the drain")
    found = shardgate(sharded, "shards", "drain", "nobody")
    assert (found.returncode, found.stderr) == (1, "shardgate: no such shard: nobody\n")


def test_status_without_redis_is_one_line(tmp_path):
    found = subprocess.run(
        [sys.executable, "-m", "dispatcher.cli", "status", "--state-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == 1
    assert found.stderr.startswith("shardgate: redis does not answer")
    assert found.stderr.count("\n") == 1


def test_the_reload_takes_new_settings_and_loses_no_transfer(start_gateway: Callable[..., Gateway]):
    gateway = start_gateway("--shards", "2", workers=1, config="connections_per_client = 0\n")
    client = gateway.s3()
    client.create_bucket(Bucket="before")
    before = {process.pid for process in processes(gateway, "haproxy")}
    target = gateway.s3().generate_presigned_url("put_object", Params={"Bucket": "before", "Key": "slow"})
    head = (
        f"PUT {target.removeprefix(gateway.endpoint)} HTTP/1.1\r\nHost: {gateway.host}:{gateway.port}\r\n"
        "Content-Length: 8\r\n\r\nhalf"
    )
    with socket.create_connection((gateway.host, gateway.port), timeout=30) as upload:
        upload.sendall(head.encode())
        time.sleep(0.3)
        gateway.config.write_text("connections_per_client = 5000\n")
        gateway.signal(signal.SIGHUP)
        wait_until(
            lambda: "sc0_conn_cur gt 5000" in (gateway.state_dir / "run" / "haproxy.cfg").read_text(),
            what="the new configuration",
        )
        wait_until(lambda: {process.pid for process in processes(gateway, "haproxy")} - before, what="a successor")
        client.put_object(Bucket="before", Key="meanwhile", Body=b"x")
        upload.sendall(b"half")
        assert upload.recv(4096).startswith(b"HTTP/1.1 200 ")
    wait_until(
        lambda: not before & {process.pid for process in processes(gateway, "haproxy")}, what="the old one's end"
    )
    assert gateway.s3().get_object(Bucket="before", Key="slow")["Body"].read() == b"halfhalf"

    def reloads() -> list[str]:
        """What gunicorn said since the signal: the shards take turns."""
        lines = gateway.log.read_text().splitlines()
        return [word for line in lines for word in ("signal: hup", "Booting worker") if word in line][2:]

    wait_until(lambda: "shardgate: reloaded" in gateway.log.read_text(), timeout=60, what="the second shard's turn")
    assert reloads() == 2 * ["signal: hup", "Booting worker"]
    gateway.config.write_text("connections_per_client = -1\n")
    gateway.signal(signal.SIGHUP)
    wait_until(lambda: "the settings stay as they are" in gateway.log.read_text(), what="the refusal")
    assert gateway.stop() == 0
    assert "Traceback" not in gateway.log.read_text()


def make_certificate(directory: Path, name: str) -> None:
    pair = ["-keyout", str(directory / "key.pem"), "-out", str(directory / "certificate.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", *pair],
        check=True,
        capture_output=True,
    )


def shown_certificate(gateway: Gateway) -> str:
    return ssl.get_server_certificate((gateway.host, gateway.port), timeout=10)


def test_https_and_http2_and_a_renewed_certificate(start_gateway: Callable[..., Gateway], tmp_path: Path):
    make_certificate(tmp_path, "first.example")
    files = ("--tls-certificate", str(tmp_path / "certificate.pem"), "--tls-key", str(tmp_path / "key.pem"))
    gateway = start_gateway("--shards", "1", *files, workers=1, wait=False)
    wait_until(lambda: "shardgate serves" in gateway.output.read_text(), timeout=45, what="readiness")
    first = shown_certificate(gateway)
    assert first.split() == (tmp_path / "certificate.pem").read_text().split()

    context = ssl.create_default_context(cadata=first)
    context.check_hostname = False
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((gateway.host, gateway.port), timeout=10) as plain,
        context.wrap_socket(plain) as client,
    ):
        assert client.selected_alpn_protocol() == "h2"
    curl = [shutil.which("curl") or "curl", "-sk", "--http2", f"https://{gateway.host}:{gateway.port}/-/ready"]
    shown = subprocess.run([*curl, "-w", " %{http_version}"], capture_output=True, text=True, check=True).stdout
    assert '"status": "ready"' in shown
    assert shown.endswith(" 2")

    # The worker knows that the client came by TLS, though the dispatcher's connection to it is a plain one.
    client = s3_client(f"https://{gateway.host}:{gateway.port}", ACCESS_KEY, SECRET_KEY, verify=False)
    client.create_bucket(Bucket="secured")
    upload = client.create_multipart_upload(Bucket="secured", Key="k")["UploadId"]
    part = client.upload_part(Bucket="secured", Key="k", UploadId=upload, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    done = client.complete_multipart_upload(Bucket="secured", Key="k", UploadId=upload, MultipartUpload=parts)
    assert done["Location"].startswith("https://")

    context.set_alpn_protocols(["http/1.1"])
    with (
        socket.create_connection((gateway.host, gateway.port), timeout=10) as plain,
        context.wrap_socket(plain) as secured,
    ):
        secured.sendall(b"GET\r\n\r\n")
        assert b"<Code>BadRequest</Code>" in secured.recv(4096)
    api = RuntimeApi(socket_path(gateway.state_dir, "haproxy.sock"))
    days = days_left(api, gateway.state_dir / "run" / "tls.pem")
    assert days is not None
    assert 0 < days < 400

    make_certificate(tmp_path, "second.example")
    wait_until(lambda: shown_certificate(gateway) != first, timeout=30, what="the new certificate")
    assert "took the new certificate" in gateway.log.read_text()


def test_without_haproxy_one_line_says_how_to_get_it(monkeypatch, tmp_path):
    from dispatcher.processes import SupervisionError
    from dispatcher.proxy import find_haproxy
    from workers.settings import load_settings

    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(SupervisionError, match="apt-get install haproxy") as caught:
        find_haproxy(load_settings({}, {}, base=tmp_path))
    assert str(caught.value) == INSTALL_HINT


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("serve", "DIR", "--shards", "2", "--haproxy", "/nowhere"), "haproxy: /nowhere is not a program"),
        (("serve", "DIR", "--shards", "2", "--haproxy", "/bin/true"), "is not HAProxy 2.6 or later"),
        (("serve", "DIR", "--shards", "2", "--backend", "memory"), "shards (--shards): the memory backend"),
        (("serve", "DIR", "--shards", "2", "--backend", "nowhere_at_all"), "nowhere_at_all"),
        (("shard", "DIR", "--advertise", "h:1"), "redis_url is not set"),
        (("shard", "DIR", "--redis-url", "redis://h"), "advertise is not set"),
        (("shard", "DIR", "--redis-url", "redis://h", "--advertise", "h"), "advertise (--advertise): 'h' does not"),
        (("shard", "DIR", "--redis-url", "redis://h", "--advertise", "h:1"), "access_key is not set"),
        (("dispatcher",), "redis_url is not set"),
        (("dispatcher", "--redis-url", "redis://h", "--shards", "2"), "shards (--shards): only for"),
    ],
)
def test_what_cannot_be_is_one_line(tmp_path, arguments, line):
    given = [str(tmp_path / "data") if word == "DIR" else word for word in arguments]
    environ = {key: value for key, value in os.environ.items() if not key.startswith("SHARDGATE_")}
    found = subprocess.run(
        [sys.executable, "-m", "dispatcher.cli", *given, "--state-dir", str(tmp_path / "state")],
        capture_output=True,
        text=True,
        timeout=60,
        env=environ,
        check=False,
    )
    assert found.returncode in (1, 2)
    last = found.stderr.splitlines()[-1]
    assert last.startswith("shardgate: ")
    assert line in last
    assert "Traceback" not in found.stderr
