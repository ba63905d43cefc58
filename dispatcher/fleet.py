"""What a dispatcher makes of the fleet: which servers HAProxy should have, and the commands that lead there.

No I/O. `Roster` turns looks at the registry into servers; `commands` compares them with what HAProxy has.
"""

import ipaddress
import json
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from dispatcher.haproxy import BACKEND, Server, server_arguments
from dispatcher.registry import DRAIN, LEFT, REMOVE, UP, Fleet, Shard
from dispatcher.runtime_api import ServerState

UNIX: Final = "unix@"


def this_host() -> str:
    """A name for the running system, for the reach of unix sockets: two hosts of one name still differ."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot = ""
    return f"{socket.gethostname()}/{boot}"


def resolve(address: str) -> str:
    """`HOST:PORT` with the host as a number, as HAProxy's Runtime API needs it. Raises OSError."""
    host, _, port = address.rpartition(":")
    bare = host.strip("[]")
    try:
        number = ipaddress.ip_address(bare)
    except ValueError:
        found = socket.getaddrinfo(bare, int(port), type=socket.SOCK_STREAM)
        number = ipaddress.ip_address(found[0][4][0])
    return f"[{number}]:{port}" if number.version == 6 else f"{number}:{port}"


@dataclass(slots=True)
class _Known:
    server: Server
    seen: float
    silent: bool = False


class Roster:
    """The servers that follow from one look after the other.

    A shard that vanished from the registry without leaving stays for `expiry` seconds: a Redis that lost its data
    must not empty the fleet. Time without a look does not count.
    """

    def __init__(
        self, host: str, expiry: float, servers: Iterable[Server] = (), *, resolver: Callable[[str], str] = resolve
    ) -> None:
        self._host = host
        self._expiry = expiry
        self._resolve = resolver
        self._known = {server.name: _Known(server, 0.0) for server in servers}
        self._clock = 0.0
        self._last: float | None = None
        self.lost: frozenset[str] = frozenset()
        """Shards that are silent while others are heard: their host is lost, or cut off from Redis."""
        self.unresolved: dict[str, str] = {}
        """Addresses that could not be resolved, with the reason."""

    def see(self, fleet: Fleet, now: float) -> dict[str, Server]:
        """Take a look at the registry into account, at `now` of any steady clock; the servers by name."""
        if self._last is not None:
            # A look is due every second or so: a longer pause is a Redis that was away.
            self._clock += min(now - self._last, self._expiry / 4)
        self._last = now
        for shard in fleet.shards:
            self._see_shard(shard)
        present = {shard.id for shard in fleet.shards}
        for name, known in list(self._known.items()):
            if name not in present and self._clock - known.seen > self._expiry:
                del self._known[name]
        return self._settled()

    def _see_shard(self, shard: Shard) -> None:
        silent = shard.silence > self._expiry
        if shard.face.state == LEFT or (silent and shard.wish == REMOVE):
            self._known.pop(shard.id, None)
            return
        server = self._server(shard)
        if server is None:
            return
        self._known[shard.id] = _Known(server, self._clock, silent)

    def _server(self, shard: Shard) -> Server | None:
        """None for a shard that cannot be reached from here."""
        face = shard.face
        if face.address.startswith(UNIX):
            if face.host != self._host:
                return None
            address = face.address
        else:
            try:
                address = self._resolve(face.address)
                self.unresolved.pop(shard.id, None)
            except (OSError, ValueError) as error:
                self.unresolved[shard.id] = f"{face.address}: {error}"
                known = self._known.get(shard.id)
                if known is None:
                    return None
                address = known.server.address
        return Server(
            name=shard.id,
            number=shard.number,
            address=address,
            weight=face.weight,
            connections=face.connections,
            accepting=face.state == UP and shard.wish not in (DRAIN, REMOVE),
        )

    def _settled(self) -> dict[str, Server]:
        """The servers; when silence would leave none, the silent ones go on, since it may be Redis that is deaf."""
        deaf = not any(known.server.accepting and not known.silent for known in self._known.values())
        self.lost = frozenset(name for name, known in self._known.items() if known.silent and not deaf)
        return {
            name: replace(known.server, accepting=known.server.accepting and (deaf or not known.silent))
            for name, known in sorted(self._known.items())
        }


def last_usable(wanted: Mapping[str, Server], found: Mapping[str, ServerState]) -> frozenset[str]:
    """Servers that must not be taken out yet: all that HAProxy can use now, while none that is to take over is usable.

    In a rolling restart a shard says that it is back before each HAProxy has seen for itself that it is. When nothing
    is to take over, an operator wants everything drained.
    """
    heirs = {name for name, server in wanted.items() if server.accepting}
    if not heirs or any(name in heirs and state.usable for name, state in found.items()):
        return frozenset()
    return frozenset(name for name, state in found.items() if state.usable)


def commands(
    wanted: Mapping[str, Server],
    found: Mapping[str, ServerState],
    *,
    backend: str = BACKEND,
    impatient: frozenset[str] = frozenset(),
    spared: frozenset[str] = frozenset(),
) -> list[tuple[str, str]]:
    """Runtime API commands, each with the beginning of its answer, that bring HAProxy closer to what is wanted.

    A server that has requests in progress is drained first and deleted by a later call; those of `impatient` are cut.
    A server whose address or number changed is deleted and added again, too. What takes requests comes before what
    takes none any more; servers of `spared` are neither drained nor deleted.
    """
    steps: list[tuple[str, str]] = []
    fewer: list[tuple[str, str]] = []
    for name, state in found.items():
        server = wanted.get(name)
        if (server is None or not _same(server, state)) and name not in spared:
            fewer += _deletion(state, backend, patient=name not in impatient)
    for name, server in wanted.items():
        state_or_none = found.get(name)
        if state_or_none is None:
            steps += _addition(server, backend)
        elif _same(server, state_or_none):
            steps += _adjustment(server, state_or_none, backend)
            if not server.accepting and name not in spared:
                fewer += _drain(state_or_none, backend)
    return steps + fewer


def cuts(lost: frozenset[str], found: Mapping[str, ServerState], *, backend: str = BACKEND) -> list[tuple[str, str]]:
    """Commands that end the requests of lost shards which fail HAProxy's checks, too.

    Both together say that the host is gone, not that it is busy or that only Redis misses it. Nobody answers those
    requests any more; ended, a client tries again at once.
    """
    return [
        (f"shutdown sessions server {backend}/{name}", "")
        for name, state in found.items()
        if name in lost and state.requests and state.status.startswith("DOWN")
    ]


def _same(server: Server, state: ServerState) -> bool:
    # HAProxy shows a unix socket's address as "unix".
    address = "unix" if server.address.startswith(UNIX) else server.address
    return server.number == state.number and address == state.address


def _deletion(state: ServerState, backend: str, *, patient: bool) -> list[tuple[str, str]]:
    name = f"{backend}/{state.name}"
    if state.requests and patient:
        return [(f"set server {name} state drain", "")] if state.accepting else []
    steps = []
    if not state.status.startswith("MAINT"):
        steps.append((f"set server {name} state maint", ""))
    if state.requests:
        steps.append((f"shutdown sessions server {name}", ""))
    return [*steps, (f"del server {name}", "Server deleted.")]


def _addition(server: Server, backend: str) -> list[tuple[str, str]]:
    name = f"{backend}/{server.name}"
    checked = backend == BACKEND
    return [
        (f"add server {name} {server_arguments(server, checked=checked)}", "New server registered."),
        *([(f"enable health {name}", "")] if checked else []),
        (f"set server {name} state {'ready' if server.accepting else 'drain'}", ""),
    ]


def _adjustment(server: Server, state: ServerState, backend: str) -> list[tuple[str, str]]:
    name = f"{backend}/{server.name}"
    steps = []
    if state.weight != server.weight:
        steps.append((f"set server {name} weight {server.weight}", ""))
    if state.connections != server.connections:
        steps.append((f"set maxconn server {name} {server.connections}", ""))
    if server.accepting and not state.accepting:
        steps.append((f"set server {name} state ready", ""))
    return steps


def _drain(state: ServerState, backend: str) -> list[tuple[str, str]]:
    if state.accepting or state.status.startswith("MAINT"):
        return [(f"set server {backend}/{state.name} state drain", "")]
    return []


def dump_servers(servers: Iterable[Server]) -> str:
    """Servers as a document for the state directory."""
    return json.dumps({"version": 1, "servers": [asdict(server) for server in servers]}, indent=2) + "\n"


def load_servers(path: Path) -> list[Server]:
    """The servers that `dump_servers` wrote; none when there is no such file or it cannot be understood."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return [Server(**entry) for entry in document["servers"]] if document["version"] == 1 else []
    except (OSError, ValueError, KeyError, TypeError):
        return []
