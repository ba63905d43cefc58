"""Starts, watches and stops the processes of one host: Redis, when none is configured, and one shard.

One thread, one loop: signals are blocked and fetched, never handled asynchronously, so that nothing here has to be
safe against interruption.
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TextIO

import workers.gunicorn_conf
from dispatcher.embedded_redis import EmbeddedRedis
from dispatcher.front import listen, ready_status
from dispatcher.processes import Child, SupervisionError, describe_status
from dispatcher.statedir import RootCredentials, StateDirectory
from workers.gunicorn_conf import BOOT_REPORT_VARIABLE
from workers.settings import Settings, SettingsError
from workers.state.redis import UnsupportedRedisUrl, connect, ping

SIGNALS: Final = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGCHLD,
)
# What a running supervisor cannot change: it would have to move a socket or a directory under its own feet.
FIXED_WHILE_RUNNING: Final = ("host", "port", "listen_socket", "backlog", "state_dir", "redis_url", "access_key")

_TICK: Final = 1.0
_PROBE_INTERVAL: Final = 0.1
_REDIS_PATIENCE: Final = 10.0
_KILL_MARGIN: Final = 10.0
_SLOW_START: Final = 30.0


class Supervisor:
    """One run of `shardgate serve`."""

    def __init__(
        self,
        settings: Settings,
        *,
        reload_settings: Callable[[], Settings],
        environ: Mapping[str, str] | None = None,
        gunicorn_conf: Path = Path(workers.gunicorn_conf.__file__),
        out: TextIO = sys.stdout,
        err: TextIO = sys.stderr,
    ) -> None:
        """`reload_settings` reads all sources again, for SIGHUP. `out` gets the credentials and the ready line."""
        self._settings = settings
        self._reload_settings = reload_settings
        self._environ = dict(os.environ if environ is None else environ)
        self._gunicorn_conf = gunicorn_conf
        self._out = out
        self._err = err
        self._state: StateDirectory | None = None
        self._redis: EmbeddedRedis | None = None
        self._listener: socket.socket | None = None
        self._shard: Child | None = None
        self._ready = False
        self._stopping = False
        self._stop_by = 0.0
        self._started = time.monotonic()
        self._next_probe = 0.0
        self._slow_told = False

    def run(self) -> int:
        """Serve until told to stop; the exit status. Raises SupervisionError and SettingsError with one line each."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self._start()
            while self._turn():
                pass
            return 0
        finally:
            self._clean_up()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _start(self) -> None:
        settings = self._settings
        if settings.directory is not None:
            self._make_directory(settings.directory)
        self._state = state = StateDirectory(settings.state_dir)
        self._listener = listen(settings)
        state.ensure_master_key()
        if not settings.access_key:
            credentials = state.root_credentials()
            if credentials.new:
                self._print_credentials(credentials)
        redis_url = settings.redis_url
        if redis_url:
            self._check_redis(redis_url)
        else:
            self._redis = EmbeddedRedis(state)
            self._redis.start(interrupted=_stop_is_pending)
            redis_url = self._redis.url
        self._shard = self._make_shard(state, redis_url)
        self._shard.start()

    def _make_directory(self, path: Path) -> None:
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            return
        except OSError as error:
            raise SupervisionError(f"directory: cannot make {path}: {error.strerror}") from None
        # Said aloud: a misspelt path or a file system that is not mounted looks like this.
        self._say(f"made the directory {path}, which did not exist")

    def _make_shard(self, state: StateDirectory, redis_url: str) -> Child:
        report = state.run / "boot-report"
        # -P and --chdir keep a `workers` or `redis` folder in the current directory from being imported.
        command = [sys.executable, "-P", "-m", "gunicorn", "--config", str(self._gunicorn_conf)]
        command += ["--chdir", str(state.run), "--bind", self._settings.bind]
        return Child(
            "gunicorn",
            command,
            environ=self._child_environment(redis_url, report),
            # gunicorn's quick stop: without a supervisor there is no Redis to finish transfers with.
            death_signal=signal.SIGQUIT,
            prepare=lambda: report.unlink(missing_ok=True),
            listen_fd=lambda: self._listener.fileno() if self._listener is not None else -1,
        )

    def _child_environment(self, redis_url: str, report: Path) -> dict[str, str]:
        """Ours, with what the children cannot find out themselves. Secrets stay where the operator put them."""
        ours = ("NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "GUNICORN_PID", "GUNICORN_FD")
        environ = {name: value for name, value in self._environ.items() if name not in ours}
        # What came from the file is read from the file again, so that a reload sees its changes.
        environ |= self._settings.as_environment(
            only_from=lambda origin: origin.startswith(("--", "SHARDGATE_")) or origin == "DIR"
        )
        environ["SHARDGATE_STATE_DIR"] = str(self._settings.state_dir)
        environ["SHARDGATE_REDIS_URL"] = redis_url
        environ[BOOT_REPORT_VARIABLE] = str(report)
        return environ

    def _check_redis(self, url: str) -> None:
        try:
            client = connect(url, max_connections=1)
        except UnsupportedRedisUrl as error:
            raise SettingsError(f"redis_url ({self._settings.origins['redis_url']}): {error}") from None
        try:
            if not ping(client):
                self._say("redis_url: the server does not answer yet; requests that need it will fail")
        finally:
            client.close()

    def _turn(self) -> bool:
        """One turn of the loop: at most one signal, then a look at everything. False ends the run."""
        received = signal.sigtimedwait(SIGNALS, self._patience())
        if received is not None and received.si_signo != signal.SIGCHLD:
            self._on_signal(signal.Signals(received.si_signo))
        self._watch_redis()
        if not self._watch_shard():
            return False
        if not self._ready and not self._stopping:
            self._probe()
        return True

    def _patience(self) -> float:
        children = (self._shard, self._redis.child if self._redis else None)
        hurried = any(child is not None and child.restart_pending for child in children)
        return _PROBE_INTERVAL if hurried or not self._ready else _TICK

    def _on_signal(self, number: signal.Signals) -> None:
        assert self._shard is not None  # noqa: S101 - signals are fetched after the start only
        if number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            quick = self._stopping or number == signal.SIGQUIT
            self._begin_stop()
            self._shard.send(signal.SIGQUIT if quick else signal.SIGTERM)
        elif number == signal.SIGHUP and not self._stopping:
            self._reload()
        elif number == signal.SIGUSR1:
            self._shard.send(signal.SIGUSR1)

    def _begin_stop(self) -> None:
        if self._stopping:
            return
        self._stopping = True
        self._stop_by = time.monotonic() + self._settings.graceful_timeout + _KILL_MARGIN
        self._notify("STOPPING=1")
        # Our copy must go first: with it open, new clients would wait in a queue that nobody serves.
        self._close_listener()

    def _reload(self) -> None:
        assert self._shard is not None  # noqa: S101
        try:
            changed = self._reload_settings()
        except SettingsError as error:
            self._say(f"{error}; the settings stay as they are")
            return
        for name in FIXED_WHILE_RUNNING:
            if getattr(changed, name) != getattr(self._settings, name):
                self._say(f"{name} changes only at a restart")
        self._shard.send(signal.SIGHUP)

    def _watch_redis(self) -> None:
        if self._redis is None:
            return
        child = self._redis.child
        status = child.poll()
        if status is not None:
            delay = child.plan_restart()
            self._say(f"redis {describe_status(status)}; starting it again in {delay:.1f} s")
        elif child.restart_due:
            child.start()

    def _watch_shard(self) -> bool:
        """False when the shard has ended and should have."""
        assert self._shard is not None  # noqa: S101
        status = self._shard.poll()
        if self._stopping:
            if status is None and time.monotonic() > self._stop_by:
                self._say("gunicorn does not stop; it is killed")
                self._shard.kill_session()
            return self._shard.running
        if status is not None:
            reason = self._boot_report()
            # A signal came from outside, and says nothing about whether the next attempt succeeds.
            if not self._ready and status >= 0:
                ended = f"gunicorn {describe_status(status)} before it was ready; the reason is above"
                raise SupervisionError(reason or ended)
            if reason:
                self._say(reason)
            delay = self._shard.plan_restart()
            self._say(f"gunicorn {describe_status(status)}; starting it again in {delay:.1f} s")
        elif self._shard.restart_due:
            self._shard.start()
        return True

    def _boot_report(self) -> str:
        """Why the first worker that could not start did not; empty when none said so."""
        assert self._state is not None  # noqa: S101
        try:
            return (self._state.run / "boot-report").read_text(encoding="utf-8").strip()
        except OSError:
            return ""

    def _probe(self) -> None:
        now = time.monotonic()
        if now < self._next_probe:
            return
        status = ready_status(self._settings)
        if status == 200:
            self._ready = True
            self._print_ready()
            self._notify("READY=1")
            return
        waited = now - self._started
        self._next_probe = now + (_PROBE_INTERVAL if waited < _SLOW_START else _TICK)
        if waited > _SLOW_START and not self._slow_told:
            self._slow_told = True
            answer = f"answers {status}" if status else "does not answer"
            self._say(f"not ready after {_SLOW_START:g} seconds: {self._settings.endpoint}/-/ready {answer}")

    def _print_ready(self) -> None:
        settings = self._settings
        subject = f"serves {settings.directory}" if settings.directory else "is ready"
        count = f"{settings.workers} worker{'s' if settings.workers != 1 else ''}"
        print(f"shardgate {subject} at {settings.endpoint} ({count}, backend {settings.backend})", file=self._out)
        self._out.flush()

    def _print_credentials(self, credentials: RootCredentials) -> None:
        settings = self._settings
        kept = settings.state_dir / "root-credentials.json"
        text = f"""\
shardgate made credentials for the root account. They are shown this once and kept in
{kept}

    export AWS_ACCESS_KEY_ID={credentials.access_key}
    export AWS_SECRET_ACCESS_KEY={credentials.secret_key}
    export AWS_DEFAULT_REGION={settings.region}
    aws --endpoint-url {settings.endpoint} s3 mb s3://my-first-bucket
"""
        print(text, file=self._out)
        self._out.flush()

    def _say(self, line: str) -> None:
        self._err.write(f"shardgate: {line}\n")
        self._err.flush()

    def _notify(self, state: str) -> None:
        """Tell systemd (sd_notify(3)), when it asked for that."""
        address = self._environ.get("NOTIFY_SOCKET", "")
        if not address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            try:
                channel.connect("\0" + address[1:] if address.startswith("@") else address)
                channel.send(state.encode("ascii"))
            except OSError as error:
                self._say(f"NOTIFY_SOCKET: {error.strerror}")

    def _close_listener(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _clean_up(self) -> None:
        self._close_listener()
        if self._shard is not None:
            self._shard.stop(signal.SIGQUIT, _KILL_MARGIN)
        if self._redis is not None:
            self._redis.child.stop(signal.SIGTERM, _REDIS_PATIENCE)
        if self._settings.listen_socket is not None and self._shard is not None:
            self._settings.listen_socket.unlink(missing_ok=True)
        if self._state is not None:
            self._state.close()


def _stop_is_pending() -> bool:
    return bool(signal.sigpending() & {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})
