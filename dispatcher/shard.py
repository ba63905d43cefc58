"""One shard of this host: its listening socket, the gunicorn that serves it, and where it stands.

    starting -> up -> draining -> (restarting -> starting -> up | stopped)

The supervisor's loop calls `turn`; nothing here blocks for longer than the readiness check.
"""

import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Final

from dispatcher.front import listen, ready_status
from dispatcher.processes import Child, SupervisionError, describe_status
from dispatcher.statedir import StateDirectory
from workers.gunicorn_conf import BOOT_REPORT_VARIABLE
from workers.settings import Settings

PROBE_INTERVAL: Final = 0.1
SLOW_START: Final = 30.0
KILL_MARGIN: Final = 10.0
CRASHES: Final = 5
CRASH_WINDOW: Final = 60.0
# A dispatcher that lives and did not react to a drain in this time is not waited for: its host may be busy.
DRAIN_PATIENCE: Final = 30.0
# What a dispatcher sent before it drained has arrived by then.
DRAIN_SETTLING: Final = 0.2
# gunicorn has told the former workers to go by then, so that new ones answer the probe.
RELOAD_SETTLING: Final = 1.0

_SLOW_PROBE: Final = 1.0
_HOPELESS_DELAY: Final = 1.0


class Phase(Enum):
    """Where a shard stands."""

    STARTING = "starting"
    UP = "up"
    DRAINING = "draining"
    RESTARTING = "restarting"
    STOPPED = "stopped"


class ShardProcess:
    """A shard. `settings` are its own: where it listens, and how its clients reach it.

    `drained` tells whether every dispatcher has stopped sending; a shard that no dispatcher knows is always drained.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        state: StateDirectory,
        *,
        gunicorn_conf: Path,
        say: Callable[[str], None],
        label: str = "",
        drained: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Listen. Raises SupervisionError."""
        self.name = name
        self.settings = settings
        self.phase = Phase.STARTING
        self.was_up = False
        self.started_at = 0.0
        self.starts = 0
        self.restarted = ""
        self._label = label or name
        self._say = say
        self._drained = drained
        self._clock = clock
        self._wanted_restart = ""
        self._deadline = 0.0
        self._settled_at: float | None = None
        self._next_probe = 0.0
        self._begun = clock()
        self._slow_told = False
        self._replaced: frozenset[int] = frozenset()
        self._replaced_by = 0.0
        self._crashes: deque[float] = deque(maxlen=CRASHES)
        self._report = state.run / (f"boot-report-{name}" if label == "" else "boot-report")
        self._listener: socket.socket | None = listen(settings)
        # -P and --chdir keep a `workers` or `redis` folder in the current directory from being imported.
        command = [sys.executable, "-P", "-m", "gunicorn", "--config", str(gunicorn_conf)]
        command += ["--chdir", str(state.run), "--bind", settings.bind]
        if not label:
            command += ["--name", name]  # for ps(1), where several shards would look alike
        self.child = Child(
            name,
            command,
            # gunicorn's quick stop: without a supervisor there is no Redis to finish transfers with.
            death_signal=signal.SIGQUIT,
            prepare=lambda: self._report.unlink(missing_ok=True),
            listen_fd=lambda: self._listener.fileno() if self._listener is not None else -1,
        )

    def set_environment(self, environ: Mapping[str, str]) -> None:
        """What the processes are started with from now on."""
        self.child.environ = {**environ, BOOT_REPORT_VARIABLE: str(self._report)}

    @property
    def hurried(self) -> bool:
        """Whether something is about to happen that should not wait for a slow tick."""
        return self.phase not in (Phase.UP, Phase.STOPPED) or self.child.restart_pending or bool(self._replaced)

    @property
    def reloading(self) -> bool:
        """Whether the workers that a reload started are not ready yet. `turn` finds out."""
        return bool(self._replaced)

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop, or has stopped."""
        return self._listener is None

    def start(self) -> None:
        """Start the processes."""
        self.started_at = time.time()
        self.starts += 1
        self.child.start()

    def turn(self) -> None:
        """Look after the shard. Raises SupervisionError when it cannot start at all."""
        self._watch()
        if self._replaced:
            self._look_for_successors()
        if self.phase is Phase.STARTING:
            self._probe()
        elif self.phase is Phase.DRAINING and self._may_go_on():
            self._wind_up()

    def leave(self) -> None:
        """Drain for good: dispatchers send nothing more, and `turn` stops the processes when they have noticed."""
        self._wanted_restart = ""
        if self.phase is Phase.RESTARTING:
            self.stop()
        else:
            self._drain()

    def restart(self, token: str) -> None:
        """Drain, then stop and start gunicorn. `token` is put into `restarted` when that is done."""
        if token == self._wanted_restart or self.phase not in (Phase.STARTING, Phase.UP):
            return
        self._wanted_restart = token
        self._say(f"{self._label} restarts, as an operator wants")
        self._drain()

    def reload(self) -> None:
        """Let gunicorn replace its workers; the new ones read the settings again."""
        pid = self.child.pid
        if pid is None or self.phase in (Phase.RESTARTING, Phase.STOPPED):
            return  # whatever starts next reads them, too
        self._replaced = frozenset(session_pids(pid))
        self._replaced_by = self._clock() + SLOW_START
        self._next_probe = self._clock() + RELOAD_SETTLING
        self.child.send(signal.SIGHUP)

    def stop(self, *, quick: bool = False) -> None:
        """Take no more connections; finish what is in flight, unless `quick`."""
        if self._listener is not None:
            # Our copy must go first: with it open, new clients would wait in a queue that nobody serves.
            self._close_listener()
            self._deadline = self._clock() + self.settings.graceful_timeout + KILL_MARGIN
        self.phase = Phase.STOPPED
        self.child.cancel_restart()
        self.child.send(signal.SIGQUIT if quick else signal.SIGTERM)

    def finish(self) -> None:
        """End everything now."""
        self._close_listener()
        self.child.stop(signal.SIGQUIT, KILL_MARGIN)
        if self.settings.listen_socket is not None:
            self.settings.listen_socket.unlink(missing_ok=True)

    def _look_for_successors(self) -> None:
        """Note the end of a reload: new workers answer, or it is not worth waiting for them any longer."""
        now, pid = self._clock(), self.child.pid
        if pid is None or self.phase is not Phase.UP:
            self._replaced = frozenset()
        elif now > self._replaced_by:
            self._replaced = frozenset()
            self._say(f"{self._label} was reloaded {SLOW_START:g} seconds ago, and no new worker answers")
        elif now >= self._next_probe:
            self._next_probe = now + PROBE_INTERVAL
            if set(session_pids(pid)) - self._replaced and ready_status(self.settings) == 200:
                self._replaced = frozenset()

    def _drain(self) -> None:
        if self.phase in (Phase.STARTING, Phase.UP):
            self.phase = Phase.DRAINING
            self._deadline = self._clock() + DRAIN_PATIENCE
            self._settled_at = None

    def _may_go_on(self) -> bool:
        now = self._clock()
        if self._settled_at is None and (self._drained() or now > self._deadline):
            self._settled_at = now
        return self._settled_at is not None and now >= self._settled_at + DRAIN_SETTLING

    def _wind_up(self) -> None:
        if not self._wanted_restart:
            self.stop()
            return
        self.phase = Phase.RESTARTING
        self._deadline = self._clock() + self.settings.graceful_timeout + KILL_MARGIN
        self.child.send(signal.SIGTERM)

    def _watch(self) -> None:
        status = self.child.poll()
        if self.phase in (Phase.RESTARTING, Phase.STOPPED):
            if status is None and self.child.running and self._clock() > self._deadline:
                self._say(f"{self._label} does not stop; it is killed")
                self.child.kill_session()
            elif not self.child.running and self.phase is Phase.RESTARTING:
                self._begin_anew()
        elif status is not None:
            self._ended(status)
        elif self.child.restart_due:
            self.start()

    def _begin_anew(self) -> None:
        self.restarted, self._wanted_restart = self._wanted_restart, ""
        self.phase = Phase.STARTING
        self._begun = self._clock()
        self._slow_told = False
        self.start()

    def _ended(self, status: int) -> None:
        reason = self._boot_report()
        # A signal came from outside, and says nothing about whether the next attempt succeeds.
        if not self.was_up and status >= 0:
            ended = f"{self._label} {describe_status(status)} before it was ready; the reason is above"
            raise SupervisionError(reason or ended)
        if reason:
            self._say(reason)
        delay = self.child.plan_restart()
        self._say(f"{self._label} {describe_status(status)}; starting it again in {delay:.1f} s")
        self._tell_crash_loop(reason)
        if delay >= _HOPELESS_DELAY and self.settings.listen_socket is not None:
            # Whoever waits in this queue is better off elsewhere. Orphans may hold the old socket for a moment.
            self._close_listener()
            self.settings.listen_socket.unlink(missing_ok=True)
            self._listener = listen(self.settings)
        if self.phase is Phase.UP:
            self.phase = Phase.STARTING
            self._begun = self._clock()

    def _tell_crash_loop(self, reason: str) -> None:
        now = self._clock()
        self._crashes.append(now)
        if len(self._crashes) == CRASHES and now - self._crashes[0] <= CRASH_WINDOW:
            why = f": {reason}" if reason else "; the lines above may tell why"
            self._say(f"{self._label} keeps ending, {CRASHES} times within {now - self._crashes[0]:.0f} s{why}")
            self._crashes.clear()

    def _boot_report(self) -> str:
        """Why the first worker that could not start did not; empty when none said so."""
        try:
            return self._report.read_text(encoding="utf-8").strip()
        except OSError:
            return ""

    def _probe(self) -> None:
        now = self._clock()
        if now < self._next_probe or not self.child.running:
            return
        status = ready_status(self.settings)
        if status == 200:
            self.phase = Phase.UP
            self.was_up = True
            return
        waited = now - self._begun
        self._next_probe = now + (PROBE_INTERVAL if waited < SLOW_START else _SLOW_PROBE)
        if waited > SLOW_START and not self._slow_told:
            self._slow_told = True
            answer = f"answers {status}" if status else "does not answer"
            self._say(f"not ready after {SLOW_START:g} seconds: {self.settings.endpoint}/-/ready {answer}")

    def _close_listener(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None


def capacity(settings: Settings) -> int:
    """Requests that dispatchers may send to a shard at a time: room is left for their idle connections."""
    return max(1, settings.workers * settings.worker_connections * 3 // 4)


def shard_settings(settings: Settings, listen_socket: Path) -> Settings:
    """The settings of a shard behind the HAProxy of its own host."""
    return replace(
        settings, listen_socket=listen_socket, proxy_protocol=True, tls_certificate=None, tls_key=None, shards=0
    )


def shard_environment(settings: Settings, environ: Mapping[str, str], redis_url: str) -> dict[str, str]:
    """Ours, with what the children cannot find out themselves. Secrets stay where the operator put them."""
    ours = ("NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "GUNICORN_PID", "GUNICORN_FD")
    found = {name: value for name, value in environ.items() if name not in ours}
    # What came from the file is read from the file again, so that a reload sees its changes.
    found |= settings.as_environment(
        only_from=lambda origin: origin.startswith(("--", "SHARDGATE_")) or origin == "DIR"
    )
    found["SHARDGATE_STATE_DIR"] = str(settings.state_dir)
    found["SHARDGATE_REDIS_URL"] = redis_url
    return found


def cpu_seconds(session: int) -> float:
    """CPU time so far of all processes of a session, which is what a shard's processes are."""
    ticks = sum(int(words[11]) + int(words[12]) for _, words in _session(session))
    return ticks / os.sysconf("SC_CLK_TCK")


def session_pids(session: int) -> list[int]:
    """The processes of a session."""
    return [pid for pid, _ in _session(session)]


def _session(session: int) -> Iterator[tuple[int, list[str]]]:
    """Each process of a session, with the fields of proc(5)'s `stat` from the third on."""
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            line = Path(entry.path, "stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            continue
        words = line.rpartition(")")[2].split()
        if int(words[3]) == session:
            yield int(entry.name), words
