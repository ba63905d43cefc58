"""Fleets of several hosts for tests: shards and dispatchers as processes, each in a network namespace if it has one.

with Hosts(3) as hosts:                      # namespaces behind a bridge; needs root
    fleet = Fleet(directory, redis_url)
    shard = fleet.shard("alpha", hosts[0])   # its processes run there, and advertise its address
    front = fleet.start("front", "dispatcher", host=hosts[1])
    hosts[0].cut(); hosts[0].join()          # link down, link up
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType
from typing import Self

from dispatcher.haproxy import BACKEND
from dispatcher.runtime_api import RuntimeApi, RuntimeApiError
from tests.support.gateway import ACCESS_KEY, SECRET_KEY, free_port

EXPIRY = 4.0


def can_make_hosts() -> str:
    """Why network namespaces cannot be made here; empty when they can."""
    try:
        with Hosts(1):
            return ""
    except (OSError, subprocess.CalledProcessError) as error:
        output = getattr(error, "stderr", "") or str(error)
        return f"network namespaces: {output.strip()}"


@dataclass(frozen=True, slots=True)
class Host:
    """One network namespace with an address on the bridge."""

    namespace: str
    link: str
    address: str

    def cut(self) -> None:
        """Nothing comes in or out any more, and nobody is told."""
        ip("link", "set", self.link, "down")

    def join(self) -> None:
        """As before."""
        ip("link", "set", self.link, "up")


class Hosts:
    """`count` namespaces behind a bridge whose own address, `gateway`, is in the namespace of the tests."""

    def __init__(self, count: int) -> None:
        self._name = f"sg{os.getpid() % 100_000}"
        # 198.18.0.0/15 is for tests of network devices (RFC 2544); a part for each process of the tests.
        self._prefix = f"198.18.{os.getpid() % 256}"
        self.gateway = f"{self._prefix}.1"
        self.trusted = ("--trusted-proxy", f"{self._prefix}.0/24")
        """What shards are told so that they believe the hosts' PROXY headers."""
        self._hosts = [
            Host(f"{self._name}h{number}", f"{self._name}v{number}", f"{self._prefix}.{number + 10}")
            for number in range(count)
        ]

    def __enter__(self) -> Self:
        try:
            ip("link", "add", self._name, "type", "bridge")
            ip("address", "add", f"{self.gateway}/24", "dev", self._name)
            ip("link", "set", self._name, "up")
            for host in self._hosts:
                self._add(host)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def __getitem__(self, number: int) -> Host:
        return self._hosts[number]

    def _add(self, host: Host) -> None:
        ip("netns", "add", host.namespace)
        ip("link", "add", host.link, "type", "veth", "peer", "name", "eth0", "netns", host.namespace)
        ip("link", "set", host.link, "master", self._name, "up")
        inside = ("-n", host.namespace)
        ip(*inside, "address", "add", f"{host.address}/24", "dev", "eth0")
        ip(*inside, "link", "set", "eth0", "up")
        ip(*inside, "link", "set", "lo", "up")

    def _remove(self) -> None:
        for host in self._hosts:
            subprocess.run(["ip", "netns", "delete", host.namespace], capture_output=True, check=False)
            subprocess.run(["ip", "link", "delete", host.link], capture_output=True, check=False)
        subprocess.run(["ip", "link", "delete", self._name], capture_output=True, check=False)


def ip(*arguments: str) -> None:
    """Run ip(8). Raises OSError, subprocess.CalledProcessError."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class Member:
    """`shardgate shard` or `shardgate dispatcher` as a process."""

    def __init__(
        self,
        home: Path,
        name: str,
        redis_url: str,
        *arguments: str,
        host: Host | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.port = free_port()
        self.address = "127.0.0.1" if host is None else host.address
        self.state_dir = home / f"{name}.state"
        self.log = home / f"{name}.log"
        inside = [] if host is None else ["ip", "netns", "exec", host.namespace]
        self._command = [*inside, sys.executable, "-m", "dispatcher.cli", *arguments, *options]
        self._command += ["--host", self.address, "--port", str(self.port)]
        self._command += ["--state-dir", str(self.state_dir), "--redis-url", redis_url]
        self._command += ["--heartbeat-interval", "0.5", "--shard-expiry", str(EXPIRY)]
        if arguments[0] == "shard":
            self._command += ["--advertise", f"{self.address}:{self.port}", "--shard-id", name, "--workers", "1"]
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("SHARDGATE_", "AWS_"))}
        secrets = {"ACCESS_KEY": ACCESS_KEY, "SECRET_KEY": SECRET_KEY, "MASTER_KEY": "m" * 64}
        self._environ = inherited | {f"SHARDGATE_{key}": value for key, value in secrets.items()}
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, env=self._environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    @property
    def endpoint(self) -> str:
        return f"http://{self.address}:{self.port}"

    def text(self) -> str:
        return self.log.read_text()

    def status(self, path: str) -> int:
        connection = HTTPConnection(self.address, self.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, HTTPException):
            return 0
        finally:
            connection.close()

    def servers(self) -> dict[str, tuple[int, str]]:
        """What a dispatcher's HAProxy has: number and status by shard; nothing while it does not answer."""
        try:
            configuration = (self.state_dir / "run" / "haproxy.cfg").read_text()
            socket = configuration.partition("stats socket ")[2].partition(" mode ")[0]
            found = RuntimeApi(Path(socket.strip("'"))).servers(BACKEND)
        except (OSError, RuntimeApiError):
            return {}
        return {name: (state.number, state.status.partition(" ")[0]) for name, state in found.items()}

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(40)


class Fleet:
    """Members that share a storage below `home` and a Redis."""

    def __init__(self, home: Path, redis_url: str) -> None:
        self.home = home
        self.redis_url = redis_url
        self.members: list[Member] = []

    def start(self, name: str, *arguments: str, host: Host | None = None, options: Sequence[str] = ()) -> Member:
        self.members.append(Member(self.home, name, self.redis_url, *arguments, host=host, options=options))
        return self.members[-1]

    def shard(self, name: str, host: Host | None = None, options: Sequence[str] = ()) -> Member:
        return self.start(name, "shard", str(self.home / "data"), host=host, options=options)

    def close(self) -> None:
        """End all members."""
        for member in self.members:
            if member.process.poll() is None:
                member.process.send_signal(signal.SIGQUIT)
        for member in self.members:
            member.end(signal.SIGQUIT)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        place = ["--redis-url", self.redis_url, "--state-dir", str(self.home / "none")]
        return subprocess.run(
            [sys.executable, "-m", "dispatcher.cli", *arguments, *place],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def states(self) -> dict[str, str]:
        lines = self.command("shards", "list").stdout.splitlines()[1:]
        return {line.split()[0]: line.split()[1] for line in lines}
