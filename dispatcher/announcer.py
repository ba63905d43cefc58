"""The heartbeat of this host's shards: a thread that registers them and brings back what operators want of them.

A thread, so that a Redis that answers slowly never holds up the supervision of processes.
"""

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import Final

import redis

from dispatcher.fleet import UNIX, this_host
from dispatcher.front import ask_ready
from dispatcher.registry import DRAINING, LEFT, REMOVE, RESTART, STARTING, UP, Face, Pulse, Registry
from dispatcher.serving import present
from dispatcher.shard import Phase, ShardProcess, capacity, cpu_seconds
from workers.settings import Settings

_PHASES: Final = {Phase.STARTING: STARTING, Phase.UP: UP, Phase.DRAINING: DRAINING, Phase.RESTARTING: DRAINING}
_HURRY: Final = 0.1
# Without Redis a drain is announced to nobody: the dispatchers are told no more by waiting.
_DEAF_PATIENCE: Final = 5.0


@dataclass(slots=True)
class _Announced:
    number: int = 0
    state: str = ""
    revision: int = 0
    restarted: str = ""
    cpu: float = 0.0
    cpu_at: float = 0.0


class Announcer:
    """Sends heartbeats for `shards` until `close`. `wishes` is what the last answers said, by shard id."""

    def __init__(
        self,
        registry: Registry,
        shards: Sequence[ShardProcess],
        settings: Settings,
        *,
        version: str,
        say: Callable[[str], None],
    ) -> None:
        self.wishes: dict[str, str] = {}
        self._registry = registry
        self._shards = shards
        self._settings = settings
        self._version = version
        self._say = say
        self._host = this_host()
        self._announced = {shard.name: _Announced() for shard in shards}
        self._drained: frozenset[str] = frozenset()
        self._deaf = False
        self._deaf_since = 0.0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="announcer", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def drained(self, shard_id: str) -> bool:
        """Whether every dispatcher has put a drain of the shard into effect, or Redis was away for a while."""
        return shard_id in self._drained or (self._deaf and time.monotonic() - self._deaf_since > _DEAF_PATIENCE)

    def close(self) -> None:
        """Stop, after a last word for shards that have ended."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join(10)

    def _run(self) -> None:
        interval = self._settings.heartbeat_interval
        while True:
            closing = self._closing.is_set()
            hurried = self._beat()
            if closing:
                return
            self._closing.wait(min(interval, _HURRY) if hurried else interval)

    def _beat(self) -> bool:
        """One heartbeat of each shard; whether the next should come soon."""
        try:
            for shard in self._shards:
                self._announce(shard)
            draining = [shard.name for shard in self._shards if self._announced[shard.name].state in (DRAINING, LEFT)]
            self._drained = self._acknowledged(draining) if draining else frozenset()
        except redis.RedisError as error:
            if not self._deaf:
                self._deaf, self._deaf_since = True, time.monotonic()
                self._say(f"redis does not take heartbeats ({type(error).__name__}); the fleet stays as it is")
            return False
        if self._deaf:
            self._deaf = False
            self._say("redis takes heartbeats again")
        return bool(draining) or any(shard.hurried for shard in self._shards)

    def _announce(self, shard: ShardProcess) -> None:
        known = self._announced[shard.name]
        state = _PHASES.get(shard.phase) or (DRAINING if shard.child.running else LEFT)
        if state == LEFT == known.state:
            return  # said once; its silence makes the dispatchers forget it
        restarted = shard.restarted
        answer = self._registry.heartbeat(
            shard.name, self._face(shard, state), self._pulse(shard, known), number=known.number
        )
        wish, verb, token = answer.wish, *answer.wish.partition(" ")[::2]
        if (verb == REMOVE and state == LEFT) or (verb in (REMOVE, RESTART) and not known.state):
            # Carried out, or meant for an earlier life of this shard.
            self._registry.fulfil(shard.name, wish)
            shard.restarted, wish = token or shard.restarted, ""
        if restarted and restarted != known.restarted and state == UP:
            self._registry.fulfil(shard.name, f"{RESTART} {restarted}")
            known.restarted = restarted
        if state != known.state:
            known.revision = answer.revision
        known.number, known.state = answer.number, state
        self.wishes[shard.name] = wish

    def _face(self, shard: ShardProcess, state: str) -> Face:
        settings = shard.settings
        address = self._settings.advertise
        if settings.listen_socket is not None:
            address = f"{UNIX}{settings.listen_socket}"
        return Face(
            address=address,
            host=self._host,
            weight=settings.shard_weight,
            connections=capacity(settings),
            state=state,
            restarted=shard.restarted,
        )

    def _pulse(self, shard: ShardProcess, known: _Announced) -> Pulse:
        pid = shard.child.pid
        used = cpu_seconds(pid) if pid is not None else 0.0
        now = time.monotonic()
        spent = max(0.0, used - known.cpu) / (now - known.cpu_at) if known.cpu_at else 0.0
        known.cpu, known.cpu_at = used, now
        return Pulse(
            version=self._version,
            workers=shard.settings.workers,
            started=shard.started_at,
            load=round(spent, 2),
            health=health_of(shard) if shard.phase is Phase.UP else {},
        )

    def _acknowledged(self, draining: Sequence[str]) -> frozenset[str]:
        alive = present(self._registry.look(), self._settings)
        applied = min((dispatcher.applied for dispatcher in alive), default=None)
        return frozenset(name for name in draining if applied is None or applied >= self._announced[name].revision)


def health_of(shard: ShardProcess) -> dict[str, str]:
    """What `/-/ready` says of storage and Redis; empty when it does not answer."""
    try:
        _, body = ask_ready(shard.settings)
        found = json.loads(body)
    except (OSError, HTTPException, ValueError):
        return {}
    return {name: str(value) for name, value in found.items() if name != "status"}
