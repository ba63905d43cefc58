"""`shardgate serve` as a whole: from the command line to S3 requests and back to a clean end."""

import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from tests.support.gateway import free_port, s3_client, wait_until

ROOT = Path(__file__).resolve().parents[2]


def test_serves_s3_and_stops_cleanly(start_gateway):
    gateway = start_gateway()
    client = gateway.s3()
    client.create_bucket(Bucket="first-bucket")
    client.put_object(Bucket="first-bucket", Key="greetings/hello.txt", Body=b"Hello")
    assert client.get_object(Bucket="first-bucket", Key="greetings/hello.txt")["Body"].read() == b"Hello"
    assert [bucket["Name"] for bucket in client.list_buckets()["Buckets"]] == ["first-bucket"]
    assert len(gateway.worker_pids()) == 2
    line = f"shardgate serves {gateway.directory} at {gateway.endpoint} (2 workers, backend posix)\n"
    # The supervisor's own look at the probe may come a moment after this test's.
    wait_until(lambda: gateway.output.read_text() != "")
    assert gateway.output.read_text() == line
    children = gateway.children()
    assert gateway.stop() == 0
    assert not any(child.is_running() for child in children)
    assert "Traceback" not in gateway.log.read_text()

    gateway.start()
    assert gateway.s3().get_object(Bucket="first-bucket", Key="greetings/hello.txt")["Body"].read() == b"Hello"


def test_generated_credentials_work_and_are_shown_once(start_gateway):
    gateway = start_gateway(environ={"SHARDGATE_ACCESS_KEY": "", "SHARDGATE_SECRET_KEY": ""})
    file = gateway.state_dir / "root-credentials.json"
    kept = json.loads(file.read_text())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    shown = dict(
        line.strip().removeprefix("export ").split("=", 1)
        for line in gateway.output.read_text().splitlines()
        if "export " in line
    )
    assert shown["AWS_ACCESS_KEY_ID"] == kept["access_key"]
    assert shown["AWS_SECRET_ACCESS_KEY"] == kept["secret_key"]
    client = s3_client(gateway.endpoint, kept["access_key"], kept["secret_key"])
    client.create_bucket(Bucket="with-generated-keys")
    gateway.stop()
    gateway.start()
    assert gateway.output.read_text().count("export AWS_SECRET_ACCESS_KEY") == 1
    assert client.list_buckets()["Buckets"][0]["Name"] == "with-generated-keys"


def test_secrets_are_on_no_command_line(start_gateway):
    gateway = start_gateway()
    for process in [psutil.Process(gateway.pid), *gateway.children()]:
        assert gateway.secret_key not in " ".join(process.cmdline())


def test_a_killed_worker_is_replaced_and_requests_go_on(start_gateway):
    gateway = start_gateway()
    client = gateway.s3(retries={"total_max_attempts": 4})
    client.create_bucket(Bucket="survivor")
    killed = gateway.kill_worker()
    for number in range(20):
        client.put_object(Bucket="survivor", Key=f"key-{number}", Body=b"x")
    wait_until(lambda: len(pids := gateway.worker_pids()) == 2 and killed not in pids, what="a new worker")
    assert len(client.list_objects_v2(Bucket="survivor")["Contents"]) == 20


def test_a_killed_redis_comes_back(start_gateway):
    gateway = start_gateway()
    before = gateway.redis_pid()
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: "redis was ended by SIGKILL" in gateway.log.read_text(), what="the news")
    gateway.wait_ready()
    assert gateway.redis_pid() != before


def test_workers_end_when_gunicorns_master_is_killed(start_gateway):
    gateway = start_gateway()
    orphans = [psutil.Process(pid) for pid in gateway.worker_pids()]
    os.kill(gateway.master_pid(), signal.SIGKILL)
    wait_until(lambda: not any(orphan.is_running() for orphan in orphans), what="the old workers' end")
    gateway.wait_ready()
    wait_until(lambda: len(gateway.worker_pids()) == 2, what="two new workers")


def test_nothing_stays_when_the_supervisor_is_killed(start_gateway):
    gateway = start_gateway()
    children = gateway.children()
    gateway.kill()
    wait_until(
        lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children),
        what="the end of all processes",
    )
    gateway.start()


def test_a_stop_lets_an_upload_finish(start_gateway):
    gateway = start_gateway()
    client = gateway.s3(read_timeout=30)
    client.create_bucket(Bucket="patience")
    url = client.generate_presigned_url("put_object", Params={"Bucket": "patience", "Key": "slow"})
    target = url.removeprefix(gateway.endpoint)
    with socket.create_connection((gateway.host, gateway.port), timeout=20) as connection:
        head = f"PUT {target} HTTP/1.1\r\nHost: {gateway.host}:{gateway.port}\r\nContent-Length: 8\r\n\r\nhalf"
        connection.sendall(head.encode())
        time.sleep(0.5)
        ended: list[int] = []
        stopper = threading.Thread(target=lambda: ended.append(gateway.stop()))
        stopper.start()
        time.sleep(1.0)
        assert not ended, "the gateway stopped with an upload in flight"
        connection.sendall(b"half")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
    stopper.join(30)
    assert ended == [0]
    gateway.start()
    assert gateway.s3().get_object(Bucket="patience", Key="slow")["Body"].read() == b"halfhalf"


def test_reload_reads_the_file_again(start_gateway):
    gateway = start_gateway(config='region = "us-east-1"\nread_only = false\n')
    client = gateway.s3()
    client.create_bucket(Bucket="before")
    before = set(gateway.worker_pids())
    gateway.config.write_text("read_only = true\n")
    gateway.signal(signal.SIGHUP)
    wait_until(lambda: len(now := set(gateway.worker_pids())) == 2 and not now & before, what="new workers")
    with pytest.raises(client.exceptions.ClientError):
        client.create_bucket(Bucket="after")
    assert [bucket["Name"] for bucket in client.list_buckets()["Buckets"]] == ["before"]


def test_serves_https(start_gateway, tmp_path):
    pair = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "certificate.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", *pair],
        check=True,
        capture_output=True,
    )
    certificate, key = str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem")
    gateway = start_gateway("--backend", "noop", "--tls-certificate", certificate, "--tls-key", key, wait=False)
    wait_until(lambda: f"at https://127.0.0.1:{gateway.port} (" in gateway.output.read_text(), what="readiness")
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    with urlopen(f"https://127.0.0.1:{gateway.port}/-/live", timeout=10, context=context) as answer:
        assert answer.status == 200


def test_serves_on_a_unix_socket(start_gateway):
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="sg") as short:
        path = f"{short}/s"
        gateway = start_gateway("--backend", "noop", "--listen-socket", path, wait=False)
        wait_until(lambda: f"at http+unix://{path} (" in gateway.output.read_text(), what="readiness")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            client.sendall(b"GET /-/live HTTP/1.1\r\nHost: s3\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n")
        gateway.stop()
        assert not Path(path).exists()


def test_no_request_is_lost_by_a_reload(start_gateway):
    gateway = start_gateway()
    gateway.s3().create_bucket(Bucket="steady")
    before = set(gateway.worker_pids())
    failed: list[BaseException] = []
    done = threading.Event()
    counts = [0, 0, 0]

    def work(number: int) -> None:
        client = gateway.s3()
        while not done.is_set():
            try:
                client.put_object(Bucket="steady", Key=f"{number}/{counts[number] % 10}", Body=b"x")
                counts[number] += 1
            except Exception as error:
                failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(counts))]
    for thread in threads:
        thread.start()
    gateway.signal(signal.SIGHUP)
    wait_until(lambda: len(now := set(gateway.worker_pids())) == 2 and not now & before, what="new workers")
    done.set()
    for thread in threads:
        thread.join()
    assert failed == []
    assert min(counts) > 0


def refusal(*arguments: str, **environ: str) -> tuple[int, list[str]]:
    """Exit status and lines of a `shardgate serve` that must not start, without the log of gunicorn and its workers."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("SHARDGATE_")}
    ended = subprocess.run(
        [sys.executable, "-m", "dispatcher.cli", "serve", *arguments],
        env={**inherited, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    return ended.returncode, [line for line in ended.stderr.splitlines() if not line.startswith(("[", "{"))]


@pytest.mark.parametrize(
    ("arguments", "status", "begin"),
    [
        (["--backend", "nonsense"], 1, "shardgate: backend: there is no plugin 'nonsense' (installed: "),
        (["--backend", "no.such.module:Class"], 1, "shardgate: backend: module 'no.such.module' does not load: "),
        (["--backend", "nowhere.py"], 1, "shardgate: backend: there is no file '"),
        (["--backend-config", "nowhere.toml"], 1, "shardgate: backend_config: "),
        (["--statsd-host", "nowhere.invalid"], 2, "shardgate: statsd_host (--statsd-host): "),
        (["--workers", "many"], 2, "shardgate: workers (--workers): 'many' is not a whole number"),
        (["--config", "nowhere.toml"], 2, "shardgate: config: cannot read "),
    ],
)
def test_what_cannot_start_says_why_in_one_line(tmp_path, arguments, status, begin):
    (tmp_path / "data").mkdir()
    code, lines = refusal(str(tmp_path / "data"), "--port", str(free_port()), *arguments)
    assert code == status, lines
    assert len(lines) == 1, lines
    assert lines[0].startswith(begin)


def test_plain_gunicorn_serves_with_the_same_file(tmp_path, redis_server):
    port = free_port()
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("SHARDGATE_")}
    settings = {
        "SHARDGATE_DIRECTORY": str(tmp_path / "data"),
        "SHARDGATE_PORT": str(port),
        "SHARDGATE_WORKERS": "1",
        "SHARDGATE_REDIS_URL": redis_server.url,
        "SHARDGATE_ACCESS_KEY": "PLAINGUNICORN",
        "SHARDGATE_SECRET_KEY": "plain/gunicorn/secret",
    }
    (tmp_path / "data").mkdir()
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py")],
            env={**inherited, **settings},
            cwd=tmp_path,
            stdout=file,
            stderr=file,
            stdin=subprocess.DEVNULL,
        )
    try:
        client = s3_client(f"http://127.0.0.1:{port}", "PLAINGUNICORN", "plain/gunicorn/secret")

        def listed() -> bool:
            assert process.poll() is None, log.read_text()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_until(listed, what="gunicorn")
        assert client.list_buckets()["Buckets"] == []
    finally:
        process.terminate()
        assert process.wait(30) == 0
