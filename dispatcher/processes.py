"""Child processes of the supervisor: started tied to it, watched, restarted with back-off, stopped in time."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

TETHER: Final = Path(__file__).with_name("tether.py")


class SupervisionError(Exception):
    """The gateway cannot start or go on. The text is one line for the operator."""


def tethered(command: Sequence[str], death_signal: signal.Signals, listen_fd: int = -1) -> list[str]:
    """A command line that runs `command` tied to this process: it gets the signal when this process dies.

    `listen_fd`, which has to be inherited, becomes the command's descriptor 3.
    """
    tie = [str(os.getpid()), str(int(death_signal)), str(listen_fd)]
    return [sys.executable, "-I", "-S", str(TETHER), *tie, "--", *command]


class Backoff:
    """Delays between restarts: they double up to a limit and begin anew after a while of good health."""

    def __init__(self, first: float = 0.1, limit: float = 10.0, healthy: float = 30.0) -> None:
        self._first = first
        self._limit = limit
        self._healthy = healthy
        self._next = first

    def delay(self, uptime: float) -> float:
        """Seconds to wait now, for a process that ran for `uptime` seconds."""
        if uptime >= self._healthy:
            self._next = self._first
        delay, self._next = self._next, min(self._next * 2, self._limit)
        return delay


class Child:
    """One program and the process that runs it at the moment.

    `environ` is what the next start gets, and may be replaced. `prepare` is called before each start and may raise
    SupervisionError. The process leads a session of its own, so that a Ctrl-C at the terminal reaches the supervisor
    alone, which then stops everything in order.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environ: Mapping[str, str] | None = None,
        death_signal: signal.Signals = signal.SIGTERM,
        prepare: Callable[[], None] = lambda: None,
        keep_fds: Callable[[], Sequence[int]] = lambda: (),
        listen_fd: Callable[[], int] = lambda: -1,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._command = list(command)
        self.environ = None if environ is None else dict(environ)
        self._death_signal = death_signal
        self._prepare = prepare
        self._keep_fds = keep_fds
        self._listen_fd = listen_fd
        self._backoff = backoff or Backoff()
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._restart_at: float | None = None

    @property
    def pid(self) -> int | None:
        """The running process, None when there is none."""
        return self._process.pid if self._process is not None else None

    @property
    def running(self) -> bool:
        """Whether a process was started and its end was not seen yet."""
        return self._process is not None

    def start(self) -> None:
        """Start the program. Raises SupervisionError when that is impossible."""
        self._prepare()
        listen_fd = self._listen_fd()
        inherited = [*self._keep_fds(), *([listen_fd] if listen_fd >= 0 else [])]
        try:
            self._process = subprocess.Popen(
                tethered(self._command, self._death_signal, listen_fd),
                env=self.environ,
                stdin=subprocess.DEVNULL,
                pass_fds=inherited,
                start_new_session=True,
            )
        except OSError as error:
            raise SupervisionError(f"{self.name} cannot be started: {error.strerror}") from None
        self._started = self._clock()
        self._restart_at = None

    def poll(self) -> int | None:
        """The exit status of a process that has ended since the last call, negative for a signal; else None."""
        if self._process is None:
            return None
        status = self._process.poll()
        if status is not None:
            self._process = None
        return status

    def plan_restart(self) -> float:
        """Note when the ended process is to be started again; the delay in seconds."""
        now = self._clock()
        delay = self._backoff.delay(now - self._started)
        self._restart_at = now + delay
        return delay

    @property
    def restart_due(self) -> bool:
        """Whether a planned restart has come."""
        return self._restart_at is not None and self._clock() >= self._restart_at

    @property
    def restart_pending(self) -> bool:
        """Whether a restart is planned."""
        return self._restart_at is not None

    def cancel_restart(self) -> None:
        """Forget a planned restart."""
        self._restart_at = None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, if there is one."""
        if self._process is not None:
            self._process.send_signal(number)

    def kill_session(self) -> None:
        """End the process and everything in its session at once."""
        if self._process is not None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def stop(self, number: signal.Signals, patience: float) -> None:
        """Send `number`, wait `patience` seconds for the end, then kill."""
        self._restart_at = None
        if self._process is None:
            return
        self.send(number)
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill_session()
            self._process.wait()
        self._process = None


def describe_status(status: int) -> str:
    """An exit status in words: `ended with status 3`, `was ended by SIGKILL`."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
