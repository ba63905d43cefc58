"""HAProxy as a process of this host: started on a socket that the supervisor holds, reloaded without a gap.

The socket outlives every HAProxy, so that connections wait in the kernel while one that died is replaced, and two of
them can serve the same socket during a reload.
"""

import os
import re
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from dispatcher.fleet import dump_servers, load_servers
from dispatcher.front import listen
from dispatcher.haproxy import Place, Server, render
from dispatcher.log_pipe import LogPipe
from dispatcher.processes import Child, SupervisionError, describe_status, tethered
from dispatcher.refusals import lua
from dispatcher.runtime_api import RuntimeApi, RuntimeApiError
from dispatcher.statedir import StateDirectory
from workers.settings import Settings

INSTALL_HINT: Final = "there is no haproxy: `apt-get install haproxy` (2.6 or later), or name it by --haproxy"
OLDEST: Final = (2, 6)
KILL_MARGIN: Final = 10.0

_CHECK_PATIENCE: Final = 20.0
_LOOK_AT_CERTIFICATE: Final = 2.0


def find_haproxy(settings: Settings) -> str:
    """The program to run. Raises SupervisionError with one line that says how to get it."""
    if settings.haproxy is not None:
        if not os.access(settings.haproxy, os.X_OK):
            raise SupervisionError(f"haproxy: {settings.haproxy} is not a program")
        found: str | None = str(settings.haproxy)
    else:
        found = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/local/sbin:/usr/sbin:/sbin")
    if found is None:
        raise SupervisionError(INSTALL_HINT)
    return found


class Proxy:
    """The HAProxy of this host. All methods but `remember` are for the supervisor's thread."""

    def __init__(self, settings: Settings, state: StateDirectory, *, say: Callable[[str], None]) -> None:
        """Listen, and read what an earlier run knew of the fleet. Raises SupervisionError."""
        self._program = find_haproxy(settings)
        self._settings = settings
        self._state = state
        self._say = say
        self._configuration = state.run / "haproxy.cfg"
        self._roster = state.path / "fleet.json"
        self._certificate = state.run / "tls.pem"
        self._script = state.run / "haproxy.lua"
        self._knows_lua = False
        self._certificate_stamp: tuple[float, ...] = ()
        self._next_look = 0.0
        self._lock = threading.Lock()
        self._listener: socket.socket | None = listen(settings)
        self._log = LogPipe()
        self._leaving: list[tuple[Child, float]] = []
        self._stopping = False
        self._stop_by = 0.0
        self._successor: Child | None = None
        self.servers = load_servers(self._roster)
        self.api = RuntimeApi(state.socket_path("haproxy.sock"))
        self.child = self._make_child()

    @property
    def certificate(self) -> Path | None:
        """The file with certificate and key that HAProxy uses."""
        return self._certificate if self._settings.tls_certificate is not None else None

    @property
    def running(self) -> bool:
        """Whether any HAProxy of ours is left, also one that only finishes transfers."""
        return self.child.running or self._successor is not None or bool(self._leaving)

    @property
    def hurried(self) -> bool:
        """Whether something is about to happen that should not wait for a slow tick."""
        return self.child.restart_pending or self._successor is not None or self._stopping

    def start(self, servers: Iterable[Server]) -> None:
        """Check the configuration and start. Raises SupervisionError with HAProxy's own words."""
        self._check_program()
        self.remember(servers)
        self._take_certificate()
        self._check()
        self.child.start()

    def remember(self, servers: Iterable[Server]) -> None:
        """Keep the servers for the next start. Any thread may call this."""
        with self._lock:
            self.servers = list(servers)
            _replace(self._roster, dump_servers(self.servers))
            self._write()

    def turn(self) -> None:
        """Look after the processes."""
        self._leaving = [(child, by) for child, by in self._leaving if not _over(child, by)]
        if self._stopping:
            if self.child.poll() is None and self.child.running and time.monotonic() > self._stop_by:
                self._say("haproxy does not stop; it is killed")
                self.child.kill_session()
            return
        self._hand_over()
        status = self.child.poll()
        if status is not None:
            delay = self.child.plan_restart()
            self._say(f"haproxy {describe_status(status)}; starting it again in {delay:.1f} s")
        elif self.child.restart_due:
            with self._lock:
                self._write()
            self.child.start()
        self._look_at_certificate()

    def reload(self, settings: Settings) -> None:
        """Start a successor with new settings; the present one finishes what it has in hand."""
        if self._stopping or self._successor is not None:
            return
        before, self._settings = self._settings, settings
        try:
            self._take_certificate()
            with self._lock:
                self._write()
            self._check()
        except SupervisionError as error:
            self._settings = before
            with self._lock:
                self._write()
            self._say(f"{error}; haproxy goes on as it is")
            return
        self._successor = self._make_child()
        self._successor.start()

    def stop(self, *, quick: bool = False) -> None:
        """Take no more connections; finish what is in flight, unless `quick`."""
        if not self._stopping:
            self._stopping = True
            self._stop_by = time.monotonic() + self._settings.graceful_timeout + KILL_MARGIN
            self._close_listener()
        self.child.cancel_restart()
        for child in self._children():
            child.send(signal.SIGTERM if quick else signal.SIGUSR1)

    def finish(self) -> None:
        """End everything now."""
        self._close_listener()
        for child in self._children():
            child.stop(signal.SIGTERM, KILL_MARGIN)
        self._successor, self._leaving = None, []
        if self._settings.listen_socket is not None:
            self._settings.listen_socket.unlink(missing_ok=True)
        self.api.path.unlink(missing_ok=True)
        self._log.close()

    def _children(self) -> list[Child]:
        successor = [self._successor] if self._successor is not None else []
        return [self.child, *successor, *(child for child, _ in self._leaving)]

    def _make_child(self) -> Child:
        return Child(
            "haproxy",
            # Without -q it would write what befalls servers twice. With it, standard error stays silent.
            [self._program, "-db", "-q", "-f", str(self._configuration)],
            # Without a supervisor the shards are gone, too: nothing is left to finish.
            death_signal=signal.SIGTERM,
            keep_fds=lambda: [self._log.descriptor],
            listen_fd=lambda: self._listener.fileno() if self._listener is not None else -1,
        )

    def _hand_over(self) -> None:
        """Let the present HAProxy finish once its successor answers."""
        successor = self._successor
        if successor is None:
            return
        status = successor.poll()
        if status is not None:
            self._successor = None
            self._say(f"haproxy's successor {describe_status(status)}; the present one goes on")
            return
        try:
            answering = self.api.information().get("Pid")
        except RuntimeApiError:
            return
        if answering != str(successor.pid):
            return
        self.child.cancel_restart()
        self.child.send(signal.SIGUSR1)
        if self.child.running:
            self._leaving.append((self.child, time.monotonic() + self._settings.graceful_timeout + KILL_MARGIN))
        self.child, self._successor = successor, None

    def _write(self) -> None:
        place = Place(
            # The tether passes the socket on as the first descriptor behind the standard ones.
            bind="fd@3",
            stats_socket=self.api.path,
            certificate=self._certificate if self._settings.tls_certificate is not None else None,
            script=self._script if self._knows_lua else None,
            log=f"fd@{self._log.descriptor}",
        )
        _replace(self._script, lua())
        _, descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)
        limit = None if descriptors == resource.RLIM_INFINITY else descriptors
        _replace(self._configuration, render(self._settings, place, self.servers, descriptors=limit))

    def _check(self) -> None:
        found = self._ask("-c", "-f", str(self._configuration))
        if found.returncode != 0:
            complaints = [line for line in (found.stderr + found.stdout).splitlines() if "[ALERT]" in line]
            raise SupervisionError(f"haproxy refuses its configuration: {' '.join(complaints).strip()}")

    def _check_program(self) -> None:
        said = self._ask("-vv").stdout
        found = re.search(r"version (\d+)\.(\d+)", said)
        if found is None or (int(found[1]), int(found[2])) < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise SupervisionError(f"haproxy: {self._program} is not HAProxy {oldest} or later")
        self._knows_lua = "+LUA" in said
        if not self._knows_lua:
            self._say("this haproxy is built without Lua: it answers what is no request in HTML")

    def _ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        listen_fd = -1 if self._listener is None else self._listener.fileno()
        try:
            return subprocess.run(
                # The configuration names the descriptor that the tether makes.
                tethered([self._program, *arguments], signal.SIGKILL, listen_fd),
                capture_output=True,
                text=True,
                timeout=_CHECK_PATIENCE,
                check=False,
                pass_fds=[self._log.descriptor, *([] if listen_fd < 0 else [listen_fd])],
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SupervisionError(f"haproxy: {self._program} cannot be run: {error}") from None

    # certificates

    def _take_certificate(self) -> bool:
        """Put certificate and key into one file, as HAProxy wants them; whether they are new."""
        settings = self._settings
        if settings.tls_certificate is None:
            return False
        files = [settings.tls_certificate, *([settings.tls_key] if settings.tls_key is not None else [])]
        try:
            stamp = tuple(os.stat(file).st_mtime for file in files)
            if stamp == self._certificate_stamp:
                return False
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_certificate, settings.tls_key)
            text = "\n".join(file.read_text(encoding="ascii").strip() for file in files)
            _replace(self._certificate, text + "\n")
        except (OSError, UnicodeDecodeError) as error:  # ssl.SSLError is an OSError
            raise SupervisionError(f"tls_certificate: {settings.tls_certificate}: {error}") from None
        self._certificate_stamp = stamp
        return True

    def _look_at_certificate(self) -> None:
        """Give HAProxy a renewed certificate; connections that exist keep theirs."""
        now = time.monotonic()
        if self._settings.tls_certificate is None or now < self._next_look or not self.child.running:
            return
        self._next_look = now + _LOOK_AT_CERTIFICATE
        before = self._certificate_stamp
        try:
            if not self._take_certificate():
                return
            # A payload ends with an empty line, so it may not contain any.
            lines = [line for line in self._certificate.read_text(encoding="ascii").splitlines() if line.strip()]
            self.api.command(f"set ssl cert {self._certificate} <<\n" + "\n".join(lines) + "\n")
            answer = self.api.command(f"commit ssl cert {self._certificate}")
            if "Success" not in answer:
                raise RuntimeApiError(" ".join(answer.split()))
        except (SupervisionError, RuntimeApiError) as error:
            # Half a pair of files that are being replaced, most likely: look again.
            self._certificate_stamp = before
            self._say(f"{error}; the certificate stays as it is")
            self._next_look = now + 10 * _LOOK_AT_CERTIFICATE
            return
        self._say(f"took the new certificate of {self._settings.tls_certificate}")

    def _close_listener(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None


def _over(child: Child, by: float) -> bool:
    if child.poll() is not None or not child.running:
        return True
    if time.monotonic() > by:
        child.kill_session()
    return False


def _replace(path: Path, text: str) -> None:
    """Write a private file whole or not at all."""
    temporary = path.with_name(path.name + ".new")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError as error:
        raise SupervisionError(f"state_dir: cannot write {path}: {error.strerror}") from None
