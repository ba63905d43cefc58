"""Running gateways for tests.

    with Gateway(tmp_path / "data") as gateway:                 # workers=2, posix backend, a free port
        client = gateway.s3()                                   # boto3 client of the root account
        gateway.url("/bucket/key?acl")                          # absolute URL
        gateway.endpoint, gateway.host, gateway.port            # http://127.0.0.1:PORT and its parts
        gateway.access_key, gateway.secret_key, gateway.region  # the root account
        gateway.directory, gateway.state_dir                    # paths
        gateway.log, gateway.output                             # files with standard error and standard output
        gateway.pid, gateway.master_pid(), gateway.worker_pids(), gateway.redis_pid()
        gateway.kill_worker() -> pid of the worker that was killed with SIGKILL; gateway.signal(signal.SIGHUP)
        gateway.stop() -> exit status; gateway.kill()           # SIGTERM and wait; SIGKILL of the supervisor alone
        gateway.start(); gateway.wait_ready()                   # start anew after stop() or kill()
        gateway.log_tail()                                      # for assertion messages

Gateway(directory, *options, workers=2, port=None, environ=None, config=None, wait=True):
    `options` are further arguments of `shardgate serve`, `environ` further variables, `config` the text of a TOML file.

Fixtures in tests/conftest.py: `gateway` (one for the whole run of a test process: use bucket names of your own),
`start_gateway` (a function with Gateway's signature but for the directory, which is a fresh one; stopped afterwards),
`bucket` (the name of a new empty bucket in `gateway`), `s3` (a client of `gateway`), `redis_server` (a RedisServer),
`redis_client` (a client of it, its database emptied).
"""

import http.client
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

ACCESS_KEY = "ROOTACCESSKEYFORTEST"
SECRET_KEY = "root/Secret+Key/For+Tests/0123456789abcd"
REGION = "us-east-1"
START_PATIENCE = 45.0
STOP_PATIENCE = 45.0

_numbers = itertools.count()


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody uses now, below the range that outgoing connections take theirs from."""
    for _ in range(200):
        port = random.SystemRandom().randrange(18000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port")


def wait_until(condition: Callable[[], Any], *, timeout: float = 20.0, what: str = "the condition") -> Any:
    """The first true value of `condition`, asked every 50 ms; AssertionError after `timeout` seconds."""
    give_up = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > give_up:
            raise AssertionError(f"{what} did not come within {timeout:g} seconds")
        time.sleep(0.05)


class Gateway:
    """`shardgate serve` for a directory, as a process of its own. See the module's text for what it offers."""

    host = "127.0.0.1"
    region = REGION
    access_key = ACCESS_KEY
    secret_key = SECRET_KEY

    def __init__(
        self,
        directory: Path,
        *options: str,
        workers: int = 2,
        port: int | None = None,
        environ: Mapping[str, str] | None = None,
        config: str | None = None,
        wait: bool = True,
    ) -> None:
        self.directory = directory
        self.port = port or free_port()
        home = directory.parent
        name = f"{directory.name}-{next(_numbers)}"
        self.state_dir = home / f"{name}.state"
        self.log = home / f"{name}.stderr"
        self.output = home / f"{name}.stdout"
        self._command = [
            *(sys.executable, "-m", "dispatcher.cli", "serve", str(directory)),
            *("--host", self.host, "--port", str(self.port), "--workers", str(workers)),
            *("--state-dir", str(self.state_dir)),
            *options,
        ]
        if config is not None:
            home.mkdir(parents=True, exist_ok=True)
            self.config = home / f"{name}.toml"
            self.config.write_text(config, encoding="utf-8")
            self._command += ["--config", str(self.config)]
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("SHARDGATE_", "AWS_"))}
        keys = {"SHARDGATE_ACCESS_KEY": self.access_key, "SHARDGATE_SECRET_KEY": self.secret_key}
        self._environ = {**inherited, **keys, **(environ or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self.start(wait=wait)

    @property
    def endpoint(self) -> str:
        return f"http://{self.host}:{self.port}"

    def url(self, path: str = "/") -> str:
        return self.endpoint + path

    @property
    def pid(self) -> int:
        assert self._process is not None, "the gateway is not running"
        return self._process.pid

    def start(self, *, wait: bool = True) -> None:
        assert self._process is None, "the gateway is running already"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log, self.output.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, env=self._environ, stdin=subprocess.DEVNULL, stdout=output, stderr=log
            )
        if wait:
            try:
                self.wait_ready()
            except BaseException:
                self.stop()
                raise

    def wait_ready(self, timeout: float = START_PATIENCE) -> None:
        """Wait until the supervisor's process lives and /-/ready answers 200."""

        def ready() -> bool:
            assert self._process is not None
            status = self._process.poll()
            assert status is None, f"the gateway ended with status {status}\n{self.log_tail()}"
            return self.get_status("/-/ready") == 200

        try:
            wait_until(ready, timeout=timeout, what="the gateway's readiness")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log_tail()}") from None

    def get_status(self, path: str, timeout: float = 5.0) -> int | None:
        """The status of an unsigned GET, None when there is no answer."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def stop(self) -> int:
        """SIGTERM, wait, and the exit status. Kills everything when that takes too long, and fails."""
        if self._process is None:
            return 0
        process, self._process = self._process, None
        process.terminate()
        try:
            return process.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
            process.wait()
            raise AssertionError(f"the gateway did not stop\n{self.log_tail()}") from None

    def wait(self, timeout: float = STOP_PATIENCE) -> int:
        """Wait for the supervisor to end by itself; its exit status."""
        assert self._process is not None
        status = self._process.wait(timeout)
        self._process = None
        return status

    def kill(self) -> None:
        """SIGKILL the supervisor alone."""
        assert self._process is not None
        process, self._process = self._process, None
        process.kill()
        process.wait()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def children(self) -> list[psutil.Process]:
        """Every process below the supervisor."""
        return psutil.Process(self.pid).children(recursive=True)

    def master_pid(self) -> int:
        """gunicorn's master; waits for it while the supervisor starts a new one."""
        return self._child("gunicorn: master", "shardgate: master")

    def _child(self, *names: str) -> int:
        def found() -> int | None:
            direct = psutil.Process(self.pid).children()
            return next((child.pid for child in direct if any(name in _name(child) for name in names)), None)

        pid: int = wait_until(found, what=f"{names[0]!r} below the supervisor")
        return pid

    def worker_pids(self) -> list[int]:
        """The worker processes at this moment, oldest first."""
        workers = psutil.Process(self.master_pid()).children()
        return [worker.pid for worker in sorted(workers, key=lambda process: process.create_time())]

    def redis_pid(self) -> int:
        """The embedded Redis; waits for it while the supervisor starts a new one."""
        return self._child("redis-server unixsocket")

    def kill_worker(self) -> int:
        """SIGKILL the oldest worker; its pid."""
        pid = self.worker_pids()[0]
        os.kill(pid, signal.SIGKILL)
        return pid

    def log_tail(self, lines: int = 60) -> str:
        """The end of the log."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return f"--- end of {self.log} ---\n" + "\n".join(text.splitlines()[-lines:])

    def s3(self, *, access_key: str | None = None, secret_key: str | None = None, **config: Any) -> Any:
        """A boto3 client: path style, SigV4, one attempt. `config` goes to botocore.config.Config."""
        return s3_client(
            self.endpoint,
            access_key or self.access_key,
            secret_key or self.secret_key,
            region=self.region,
            **config,
        )

    def __enter__(self) -> "Gateway":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def s3_client(
    endpoint: str, access_key: str, secret_key: str, *, region: str = REGION, verify: bool | None = None, **config: Any
) -> Any:
    """A boto3 S3 client for any endpoint, without boto3's own configuration files and retries."""
    import boto3
    from botocore.config import Config

    defaults: dict[str, Any] = {
        "signature_version": "s3v4",
        "s3": {"addressing_style": "path"},
        "retries": {"total_max_attempts": 1},
        "connect_timeout": 5,
        "read_timeout": 60,
    }
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        verify=verify,
        region_name=region,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(**{**defaults, **config}),
    )


class RedisServer:
    """A redis-server of the tests' own on a unix socket, without persistence."""

    def __init__(self, directory: Path) -> None:
        from dispatcher.embedded_redis import find_server

        # A unix socket's path holds 107 bytes, fewer than some temporary directories of pytest have.
        self._home = Path("/tmp") / f"shardgate-test-{os.getpid()}-{next(_numbers)}"
        self._home.mkdir(mode=0o700)
        self.socket = self._home / "redis.sock"
        self.log = directory / "redis.log"
        self._command = [
            *(find_server(), "--port", "0", "--unixsocket", str(self.socket), "--save", "", "--appendonly", "no"),
            *("--dir", str(directory), "--logfile", str(self.log)),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start, or start again after kill(); empty either way."""
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        wait_until(self.answers, timeout=15, what="redis")

    def answers(self) -> bool:
        from workers.state.redis import connect, ping

        client = connect(self.url, max_connections=1)
        try:
            return ping(client)
        finally:
            client.close()

    def kill(self) -> None:
        """SIGKILL and wait."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._home, ignore_errors=True)


def _name(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""
