"""What a supervisor tells statsd: how its shards, its HAProxy and Redis are. docs/operating.md lists the names.

A thread, since all of it waits for somebody: HAProxy, Redis, the shards' readiness.
"""

import re
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import redis
from statsd import StatsClient

from dispatcher.announcer import health_of
from dispatcher.haproxy import BACKEND, BACKENDS
from dispatcher.refusals import REFUSALS
from dispatcher.runtime_api import RuntimeApi, RuntimeApiError
from dispatcher.shard import Phase, ShardProcess, cpu_seconds, session_pids
from workers.settings import Settings
from workers.state.redis import informations

INTERVAL: Final = 5.0

# A connection becomes one of HTTP on its way to a backend, so that the frontend knows little of requests.
_FRONTEND_COUNTERS: Final = {
    "bytes.in": ("bin",),
    "bytes.out": ("bout",),
    "refused": ("dcon", "dses"),
    "malformed": ("ereq",),
}
_BACKEND_COUNTERS: Final = {
    "requests": ("req_tot",),
    **{f"responses.{kind}": (f"hrsp_{kind}",) for kind in ("1xx", "2xx", "3xx", "4xx", "5xx", "other")},
    "refused": ("dreq",),
    "retries": ("wretr",),
    "redispatches": ("wredis",),
    "connect_errors": ("econ",),
    "response_errors": ("eresp",),
}
_REFUSAL_COUNTERS: Final = {"malformed": ("stot",)}
_REDIS_GAUGES: Final = {
    "memory": "used_memory",
    "memory_limit": "maxmemory",
    "clients": "connected_clients",
    "commands": "instantaneous_ops_per_sec",
    "replicas": "connected_slaves",
    "evicted": "evicted_keys",
}
_SECONDS_OF_DAY: Final = 86_400


@dataclass(slots=True)
class _Used:
    cpu: float = 0.0
    at: float = 0.0
    starts: int = 1


class FleetMetrics:
    """Sends every INTERVAL seconds until `close`. `api` is None without HAProxy."""

    def __init__(
        self,
        settings: Settings,
        shards: Sequence[ShardProcess],
        client: redis.Redis,
        *,
        dispatcher_id: str,
        api: RuntimeApi | None,
        certificate: Path | None,
    ) -> None:
        """Raises OSError when the statsd host is unknown."""
        self._statsd = StatsClient(
            settings.statsd_host, settings.statsd_port, prefix=settings.statsd_prefix or None, maxudpsize=1400
        )
        self._shards = shards
        self._client = client
        self._dispatcher = f"dispatcher.{plain(dispatcher_id)}"
        self._api = api
        self._certificate = certificate
        self._used = {shard.name: _Used() for shard in shards}
        self._counted: dict[str, int] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Stop, and wait for it."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join(10)
        self._statsd.close()

    def _run(self) -> None:
        while not self._closing.is_set():
            self.send()
            self._closing.wait(INTERVAL)

    def send(self) -> None:
        """Look at everything and send what was found."""
        pipeline = self._statsd.pipeline()
        for shard in self._shards:
            self._tell_shard(shard, pipeline)
        if self._api is not None:
            self._tell_haproxy(self._api, pipeline)
        self._tell_redis(pipeline)
        pipeline.send()

    def _tell_shard(self, shard: ShardProcess, pipeline: StatsClient) -> None:
        name, used = f"shard.{plain(shard.name)}", self._used[shard.name]
        pid, now = shard.child.pid, time.monotonic()
        up = shard.phase is Phase.UP and pid is not None
        pipeline.gauge(f"{name}.up", int(up))
        health = health_of(shard) if up else {}
        for part, word in (("storage", "backend"), ("redis", "redis")):
            pipeline.gauge(f"{name}.{part}", int(health.get(word) == "ok"))
        spent = cpu_seconds(pid) if pid is not None else 0.0
        pids = session_pids(pid) if pid is not None else []
        pipeline.gauge(f"{name}.workers", max(0, len(pids) - 1))  # without gunicorn's master
        if used.at:
            pipeline.gauge(f"{name}.cpus", round(max(0.0, spent - used.cpu) / (now - used.at), 3))
        used.cpu, used.at = spent, now
        pipeline.gauge(f"{name}.memory", sum(map(_memory, pids)))
        pipeline.incr(f"{name}.restarts", max(0, shard.starts - used.starts))
        used.starts = max(1, shard.starts)

    def _tell_haproxy(self, api: RuntimeApi, pipeline: StatsClient) -> None:
        try:
            rows = api.statistics()
            states = api.servers(BACKEND).values()
        except RuntimeApiError:
            pipeline.gauge(f"{self._dispatcher}.haproxy", 0)
            return
        front = [row for row in rows if row["svname"] == "FRONTEND"]
        back = [row for row in rows if row["svname"] == "BACKEND" and row["pxname"] in BACKENDS]
        gauges = {
            "haproxy": 1,
            "connections": _total(front, "scur"),
            "queue": _total(back, "qcur"),
            "shards.known": len(states),
            "shards.usable": sum(state.usable for state in states),
            "shards.drained": sum(not state.accepting for state in states),
            "shards.down": sum(state.accepting and not state.usable for state in states),
        }
        for name, value in gauges.items():
            pipeline.gauge(f"{self._dispatcher}.{name}", value)
        refusals = [row for row in rows if row["svname"] == "BACKEND" and row["pxname"] in REFUSALS]
        counts: Counter[str] = Counter()
        for found, table in ((front, _FRONTEND_COUNTERS), (back, _BACKEND_COUNTERS), (refusals, _REFUSAL_COUNTERS)):
            for name, columns in table.items():
                counts[name] += sum(_total(found, column) for column in columns)
        for name, value in counts.items():
            pipeline.incr(f"{self._dispatcher}.{name}", self._since(name, value))
        if self._certificate is not None:
            days = days_left(api, self._certificate)
            if days is not None:
                pipeline.gauge(f"{self._dispatcher}.certificate_days", days)

    def _since(self, name: str, value: int) -> int:
        """What a counter of HAProxy's grew by; it begins anew with each HAProxy."""
        before = self._counted.get(name, 0)
        self._counted[name] = value
        return value - before if value >= before else value

    def _tell_redis(self, pipeline: StatsClient) -> None:
        begun = time.monotonic()
        try:
            up = bool(self._client.ping())
            taken = time.monotonic() - begun
            found = list(informations(self._client).values())
        except redis.RedisError:
            pipeline.gauge("redis.up", 0)
            return
        pipeline.gauge("redis.up", int(up))
        pipeline.timing("redis.time", taken * 1000)
        pipeline.gauge("redis.primaries", len(found))
        pipeline.gauge("redis.keys", sum(_keys(information) for information in found))
        for name, field in _REDIS_GAUGES.items():
            pipeline.gauge(f"redis.{name}", sum(int(information.get(field, 0)) for information in found))


def plain(name: str) -> str:
    """A name as one part of a metric's."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)


def _total(rows: Sequence[Mapping[str, str]], column: str) -> int:
    return sum(int(row.get(column) or 0) for row in rows)


def _keys(information: Mapping[str, Any]) -> int:
    return sum(entry["keys"] for name, entry in information.items() if re.fullmatch(r"db\d+", name))


def _memory(pid: int, read: Callable[[Path], str] = Path.read_text) -> int:
    """Bytes of resident memory, what is shared divided among those who share it (PSS); 0 for a process that ended."""
    try:
        found = re.search(r"^Pss:\s+(\d+) kB", read(Path(f"/proc/{pid}/smaps_rollup")), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def days_left(api: RuntimeApi, certificate: Path) -> float | None:
    """Until the certificate that HAProxy uses expires; None when it does not tell."""
    try:
        found = re.search(r"^notAfter: (.+)$", api.command(f"show ssl cert {certificate}"), re.MULTILINE)
        return round((ssl.cert_time_to_seconds(found[1].strip()) - time.time()) / _SECONDS_OF_DAY, 2) if found else None
    except (RuntimeApiError, ValueError):
        return None
