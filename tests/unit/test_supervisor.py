"""The supervisor with real processes: Redis, gunicorn and a stand-in for the gateway's application."""

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from tests.support.gateway import free_port, wait_until

SUPPORT = Path(__file__).resolve().parents[1] / "support"
ROOT = SUPPORT.parents[1]


_numbers = itertools.count()


class Standin:
    """A supervised stand-in; `log` holds what it said."""

    def __init__(self, directory: Path, port: int | None = None, **environ: str) -> None:
        self.directory = directory
        self.port = port or free_port()
        self.log = directory.parent / f"log-{next(_numbers)}"
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("SHARDGATE_")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, str(SUPPORT / "standin_serve.py"), str(SUPPORT / "standin_gunicorn.py")),
                    *(str(directory), str(self.port)),
                ],
                env={**inherited, "STANDIN_ROOT": str(ROOT), **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def get(self, path: str = "/") -> list[str]:
        """The answering worker's pid and the Redis URL it was given."""
        with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as response:
            return response.read().decode().split()

    def answers(self) -> bool:
        try:
            return bool(self.get())
        except OSError:
            return False

    def ready(self) -> "Standin":
        wait_until(lambda: "shardgate serves" in self.text(), what=f"readiness: {self.text()}")
        return self

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, word: str) -> psutil.Process:
        def found() -> psutil.Process | None:
            for child in psutil.Process(self.process.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if word in " ".join(child.cmdline()):
                        return child
            return None

        return wait_until(found, what=word)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


@pytest.fixture
def standin(tmp_path: Path) -> Iterator[Callable[..., Standin]]:
    started: list[Standin] = []

    def start(**settings: object) -> Standin:
        started.append(Standin(tmp_path / "a data directory", **settings))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.end(signal.SIGTERM)


def gone(processes: list[psutil.Process]) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def test_a_whole_life(standin):
    one = standin().ready()
    pid, redis_url = one.get()
    assert redis_url.startswith("unix:///")
    assert "export AWS_ACCESS_KEY_ID=" in one.text()
    assert f"at http://127.0.0.1:{one.port} (" in one.text()
    processes = one.children()
    assert int(pid) in [process.pid for process in processes]
    assert one.end() == 0
    assert gone(processes)
    assert not one.answers()

    again = standin(port=one.port).ready()
    assert "export AWS_ACCESS_KEY_ID=" not in again.text(), "credentials are shown at the first start only"
    assert again.end(signal.SIGINT) == 0


def test_redis_comes_back_after_kill_9(standin):
    one = standin().ready()
    first = one.child("redis-server")
    first.kill()
    wait_until(lambda: "redis was ended by SIGKILL; starting it again in 0.1 s" in one.text())
    assert wait_until(lambda: one.child("redis-server")).pid != first.pid
    assert one.answers()


def test_gunicorn_comes_back_after_kill_9_and_no_connection_is_refused(standin):
    one = standin().ready()
    before = one.child("gunicorn")
    before.kill()
    # The supervisor holds the listening socket: this request waits until the new workers are there.
    assert one.answers()
    assert one.child("gunicorn").pid != before.pid
    wait_until(lambda: "gunicorn was ended by SIGKILL" in one.text())


def test_nothing_stays_behind_when_the_supervisor_is_killed(standin):
    one = standin().ready()
    processes = one.children()
    assert len(processes) >= 3
    one.process.kill()
    one.process.wait()
    wait_until(lambda: gone(processes), timeout=15, what="the end of all children")
    again = standin(port=one.port).ready()
    assert again.answers()


def test_stop_lets_a_transfer_finish_and_refuses_new_connections(standin):
    one = standin().ready()
    with ThreadPoolExecutor(1) as pool:
        transfer = pool.submit(one.get, "/slow")
        time.sleep(0.4)
        one.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not connects(one.port), timeout=1.2, what="refusal")
        assert transfer.result()
    assert one.process.wait(30) == 0


def test_a_second_signal_stops_at_once(standin):
    one = standin().ready()
    with ThreadPoolExecutor(1) as pool:
        transfer = pool.submit(one.get, "/slow")
        time.sleep(0.3)
        one.process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        one.process.send_signal(signal.SIGINT)
        assert one.process.wait(20) == 0
        with pytest.raises((OSError, HTTPException)):
            transfer.result()


def connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_two_gateways_on_one_state_directory_are_refused(standin):
    one = standin().ready()
    other = standin()
    assert other.process.wait(20) == 1
    line = other.text().strip()
    assert line.endswith(f"/.shardgate/state is in use by another gateway (process {one.process.pid})")
    assert line.startswith("shardgate: state_dir: ")
    assert "\n" not in line


def test_a_directory_that_does_not_exist_is_made_and_told(standin):
    one = standin().ready()
    assert one.text().startswith(f"shardgate: made the directory {one.directory}, which did not exist\n")
    one.end()
    assert "made the directory" not in standin().ready().text()


def test_a_port_in_use_is_one_line(standin, tmp_path):
    (tmp_path / "a data directory").mkdir()
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        one = standin(port=port)
        assert one.process.wait(20) == 1
    assert one.text() == f"shardgate: port {port} on 127.0.0.1 is in use; --port chooses another\n"


def test_reload_replaces_the_workers(standin):
    one = standin().ready()
    before = {process.pid for process in one.child("gunicorn").children()}
    one.process.send_signal(signal.SIGHUP)
    wait_until(lambda: len(workers := pids_below(one)) == 2 and not workers & before, what="new workers")
    assert one.answers()


def pids_below(one: Standin) -> set[int]:
    return {process.pid for process in one.child("gunicorn").children()}


def test_reload_with_a_wrong_setting_keeps_serving(standin, tmp_path):
    config = tmp_path / "c.toml"
    config.write_text('region = "eu-1"\n')
    one = standin(SHARDGATE_CONFIG=str(config)).ready()
    before = wait_until(lambda: len(workers := pids_below(one)) == 2 and workers, what="both workers")
    config.write_text("region = 5\n")
    one.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "the settings stay as they are" in one.text())
    assert one.answers()
    assert pids_below(one) == before
    config.write_text('state_dir = "elsewhere"\n')
    one.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "state_dir changes only at a restart" in one.text())


def test_an_application_that_does_not_start_is_told(standin):
    one = standin(GUNICORN_CMD_ARGS="--worker-class nonsense.at.all")
    assert one.process.wait(20) == 1
    last = one.text().strip().splitlines()[-1]
    assert last.startswith("shardgate: gunicorn ended with status 1 before it was ready")


def test_a_stop_during_the_start_is_clean(standin):
    one = standin()
    time.sleep(0.25)
    assert one.end() in (0, -signal.SIGTERM)
    assert "Traceback" not in one.text()


def test_systemd_is_told(standin, tmp_path):
    address = f"\0shardgate-test-{os.getpid()}-{free_port()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(20)
        one = standin(NOTIFY_SOCKET="@" + address[1:])
        assert manager.recv(100) == b"READY=1"
        one.end()
        assert manager.recv(100) == b"STOPPING=1"


def test_an_external_redis_is_used_and_none_is_started(standin, redis_server):
    one = standin(SHARDGATE_REDIS_URL=redis_server.url).ready()
    assert one.get()[1] == redis_server.url
    assert not any("redis-server" in " ".join(child.cmdline()) for child in one.children())
    one.end()
    assert redis_server.answers()


def test_an_external_redis_that_is_down_is_a_warning(standin):
    one = standin(SHARDGATE_REDIS_URL="redis://user:topsecret@127.0.0.1:1/0").ready()
    assert "shardgate: redis_url: the server does not answer yet" in one.text()
    assert "topsecret" not in one.text()
