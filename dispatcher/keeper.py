"""Keeps HAProxy in step with the fleet: a thread that reads the registry and speaks to the Runtime API.

Dispatchers do not talk to each other. Each derives the same servers with the same ids from the same registry.
"""

import threading
import time
from collections.abc import Callable, Iterable

import redis

from dispatcher.fleet import Roster, commands, cuts, last_usable, this_host
from dispatcher.haproxy import BACKEND, BACKENDS, Server
from dispatcher.processes import SupervisionError
from dispatcher.registry import Dispatcher, Fleet, Registry
from dispatcher.runtime_api import CommandRefused, RuntimeApi, RuntimeApiError
from dispatcher.serving import remembrance
from workers.settings import Settings

_SOON = 0.2
_START_PATIENCE = 5.0


class Keeper:
    """Follows the registry until `close`. `remember` is called with the servers whenever they change."""

    def __init__(
        self,
        registry: Registry,
        api: RuntimeApi,
        settings: Settings,
        *,
        dispatcher_id: str,
        servers: Iterable[Server],
        remember: Callable[[Iterable[Server]], None],
        say: Callable[[str], None],
    ) -> None:
        self._registry = registry
        self._api = api
        self._settings = settings
        self._id = dispatcher_id
        self._remember = remember
        self._say = say
        self._roster = Roster(this_host(), settings.shard_expiry, servers)
        self._servers = {server.name: server for server in servers}
        self._remembered = dict(self._servers)
        self._applied = 0
        self._spared: frozenset[str] = frozenset()
        self._answered = False
        self._patient_until = time.monotonic() + _START_PATIENCE
        self._patience: dict[str, float] = {}
        self._told: dict[str, str] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """Stop soon, and leave the registry: HAProxy is about to end."""
        self._closing.set()

    def close(self) -> None:
        """Stop, and wait for it."""
        self.end()
        if self._thread.ident is not None:
            self._thread.join(10)

    def _run(self) -> None:
        while not self._closing.is_set():
            settled = self._turn()
            self._closing.wait(self._settings.heartbeat_interval / 2 if settled else _SOON)
        try:
            self._registry.retire(self._id)
        except redis.RedisError:
            pass  # its report grows old

    def _turn(self) -> bool:
        """Look, apply, report; whether HAProxy is as it should be."""
        fleet = self._look()
        settled = False
        try:
            settled = self._apply()
            self._tell("haproxy", "")
            self._answered = True
            if fleet is not None and not self._spared:
                self._applied = fleet.revision
        except RuntimeApiError as error:
            self._tell("haproxy", str(error) if self._answered or time.monotonic() > self._patient_until else "")
        self._keep()
        if fleet is not None:
            self._report()
            self._forget(fleet)
        return settled

    def _look(self) -> Fleet | None:
        try:
            fleet = self._registry.look()
        except redis.RedisError as error:
            self._tell("redis", f"redis does not show the fleet ({type(error).__name__}); it stays as it is")
            return None
        self._tell("redis", "")
        self._servers = self._roster.see(fleet, time.monotonic())
        for name, reason in self._roster.unresolved.items():
            self._tell(name, f"shard {name}: cannot resolve {reason}")
        return fleet

    def _apply(self) -> bool:
        """Bring HAProxy closer to the servers; whether nothing was left to do. Raises RuntimeApiError."""
        found = {backend: self._api.servers(backend) for backend in BACKENDS}
        impatient = self._overdue(name for servers in found.values() for name in servers)
        self._spared = last_usable(self._servers, found[BACKEND])
        refused: CommandRefused | None = None
        steps: list[tuple[str, str]] = []
        for backend, servers in found.items():
            steps += commands(self._servers, servers, backend=backend, impatient=impatient, spared=self._spared)
        steps += cuts(self._roster.lost, found[BACKEND])
        for text, answer in steps:
            try:
                self._api.expect(text, answer)
            except CommandRefused as error:
                # A server that connections are attached to for some seconds more: the next turn tries again.
                if not text.startswith("del server"):
                    refused = error
        if refused is not None:
            raise refused
        return not steps and not self._spared

    def _overdue(self, found: Iterable[str]) -> frozenset[str]:
        """Servers that should be gone and had graceful_timeout for their transfers."""
        now = time.monotonic()
        going = {name for name in found if name not in self._servers}
        self._patience = {name: self._patience.get(name, now + self._settings.graceful_timeout) for name in going}
        return frozenset(name for name, until in self._patience.items() if now > until)

    def _keep(self) -> None:
        if self._servers == self._remembered:
            return
        try:
            self._remember(self._servers.values())
        except SupervisionError as error:
            self._tell("state", str(error))
            return
        self._remembered = dict(self._servers)
        self._tell("state", "")

    def _report(self) -> None:
        try:
            information = self._api.information()
            servers = self._api.servers(BACKEND)
        except RuntimeApiError:
            information, servers = {}, {}
        report = Dispatcher(
            id=self._id,
            silence=0.0,
            applied=self._applied,
            address=self._settings.endpoint,
            haproxy=information.get("Version", ""),
            clients=int(information.get("CurrConns", "0")),
            servers={
                name: {"status": state.status, "requests": state.requests} for name, state in sorted(servers.items())
            },
        )
        try:
            self._registry.report(report)
        except redis.RedisError:
            pass  # told by the next look

    def _forget(self, fleet: Fleet) -> None:
        try:
            for shard in fleet.shards:
                patience = remembrance(shard, self._settings)
                if shard.silence > patience:
                    self._registry.forget(shard.id, silent_for=patience)
        except redis.RedisError:
            pass  # told by the next look

    def _tell(self, subject: str, text: str) -> None:
        """Say something once, and that it is over."""
        before = self._told.get(subject, "")
        if text and text != before:
            self._say(text)
        elif before and not text and subject in ("redis", "haproxy"):
            self._say(f"{subject} answers again")
        self._told[subject] = text
