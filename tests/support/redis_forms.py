"""Redis in production form, of the tests' own: sentinels with a master and a replica, a cluster, TLS with users.

    with SentinelGroup(directory) as group:     # group.url, lost = group.fail_over(), group.bring_back(lost)
    with RedisCluster(directory) as cluster:    # three primaries, with `replicas` one for each; cluster.fail_over()
    with SecureRedis(directory) as server:      # TLS with client certificates, a user with rights on our keys alone

All listen on 127.0.0.1 and keep nothing.
"""

import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
import trustme

from dispatcher.embedded_redis import find_server
from tests.support.gateway import free_port, wait_until

PASSWORD = "replicas-and-workers"
SENTINEL_PASSWORD = "who-asks-sentinels"
MASTER = "shardgate"
USER_PASSWORD = "user-password"
ACL = f"on >{USER_PASSWORD} ~shardgate:* &shardgate:* +@all -@dangerous -@admin +info"
"""What docs/operating.md gives the gateway's user."""


class _Server:
    """One redis-server from a configuration file, which sentinels and clusters rewrite."""

    def __init__(self, directory: Path, port: int, lines: Sequence[str], *, sentinel: bool = False) -> None:
        self.port = port
        self.home = directory / f"redis-{port}"
        self.home.mkdir(parents=True)
        configuration = self.home / "redis.conf"
        fixed = [f"port {port}", "bind 127.0.0.1", f"dir {self.home}", f"logfile {self.home}/log", "daemonize no"]
        if not sentinel:
            fixed += ['save ""', "appendonly no", "repl-diskless-sync-delay 0", "repl-ping-replica-period 1"]
        configuration.write_text("\n".join([*fixed, *lines]) + "\n", encoding="utf-8")
        self._command = [find_server(), str(configuration), *(["--sentinel"] if sentinel else [])]
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None

    def client(self, **login: Any) -> redis.Redis:
        return redis.Redis("127.0.0.1", self.port, socket_timeout=5, **login)

    def answers(self, **login: Any) -> bool:
        try:
            with self.client(**login) as client:
                return bool(client.ping())
        except (redis.RedisError, OSError):
            return False


class _Group:
    def __init__(self) -> None:
        self.servers: list[_Server] = []

    def _build(self) -> None:
        """Start everything, adding to `servers`, and wait until it works."""
        raise NotImplementedError

    def _add(self, server: _Server) -> _Server:
        self.servers.append(server)
        return server

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self.servers:
            server.kill()


class SentinelGroup(_Group):
    """A master, a replica and three sentinels that want half a second of silence before they act."""

    def __init__(self, directory: Path, *, down_after: int = 500) -> None:
        super().__init__()
        self._directory = directory
        self._down_after = down_after

    def _build(self) -> None:
        directory = self._directory
        login = [f"requirepass {PASSWORD}", f"masterauth {PASSWORD}", f"user gateway {ACL}"]
        self._data = [self._add(_Server(directory, free_port(), login))]
        first = self._data[0]
        self._data.append(self._add(_Server(directory, free_port(), [*login, f"replicaof 127.0.0.1 {first.port}"])))
        wait_until(lambda: all(one.answers(password=PASSWORD) for one in self._data), what="redis")
        wait_until(lambda: self._in_step(first), what="the replica")
        watching = [
            f"requirepass {SENTINEL_PASSWORD}",
            f"sentinel sentinel-pass {SENTINEL_PASSWORD}",
            f"sentinel monitor {MASTER} 127.0.0.1 {first.port} 2",
            f"sentinel auth-pass {MASTER} {PASSWORD}",
            f"sentinel down-after-milliseconds {MASTER} {self._down_after}",
            f"sentinel failover-timeout {MASTER} 6000",
        ]
        self._sentinels = [self._add(_Server(directory, free_port(), watching, sentinel=True)) for _ in range(3)]
        wait_until(self._agreed, timeout=30, what="sentinels that know each other")

    def _in_step(self, master: _Server) -> bool:
        with master.client(password=PASSWORD) as client:
            found = client.info("replication")
        return found["connected_slaves"] == 1 and found["slave0"]["state"] == "online"

    def _asked(self, sentinel: _Server) -> dict[str, Any]:
        with sentinel.client(password=SENTINEL_PASSWORD) as client:
            found: dict[str, Any] = client.sentinel_masters()[MASTER]
            return found

    def _agreed(self) -> bool:
        try:
            found = [self._asked(one) for one in self._sentinels]
        except (redis.RedisError, OSError):
            return False
        return all(one["num-other-sentinels"] == 2 and one["num-slaves"] == 1 for one in found)

    @property
    def url(self) -> str:
        places = ",".join(f"127.0.0.1:{one.port}" for one in self._sentinels)
        return f"redis+sentinel://gateway:{USER_PASSWORD}@{places}/{MASTER}/0?sentinel_password={SENTINEL_PASSWORD}"

    def master(self) -> _Server:
        """The master, by the word of the first sentinel that answers."""
        for sentinel in self._sentinels:
            try:
                port = self._asked(sentinel)["port"]
            except (redis.RedisError, OSError):
                continue
            return next(one for one in self._data if one.port == port)
        raise AssertionError("no sentinel answers")

    def fail_over(self, *, hang: bool = False) -> _Server:
        """Kill the master, or let it hang, and wait until another one is named; returns the lost one."""
        lost = self.master()
        if hang:
            lost.send(signal.SIGSTOP)
        else:
            lost.kill()
        wait_until(lambda: self.master() is not lost, timeout=40, what="another master")
        return lost

    def bring_back(self, lost: _Server) -> None:
        """Start it again, or wake it; it becomes the other's replica."""
        if lost.process is None:
            lost.start()
        else:
            lost.send(signal.SIGCONT)
        wait_until(lambda: self._in_step(self.master()), timeout=40, what="the lost master as a replica")


class RedisCluster(_Group):
    """Three primaries; with `replicas` one for each."""

    def __init__(self, directory: Path, *, replicas: bool = False) -> None:
        super().__init__()
        self._directory = directory
        self._count = 6 if replicas else 3

    def _build(self) -> None:
        login = [f"requirepass {PASSWORD}", f"masterauth {PASSWORD}", f"user gateway {ACL}"]
        lines = [*login, "cluster-enabled yes", "cluster-node-timeout 1000", "cluster-replica-validity-factor 0"]
        for port in _cluster_ports(self._count):
            self._add(_Server(self._directory, port, lines))
        wait_until(lambda: all(one.answers(password=PASSWORD) for one in self.servers), what="redis")
        clients = [one.client(password=PASSWORD) for one in self.servers]
        for number, client in enumerate(clients):
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
            if number < 3:
                first, last = 16384 * number // 3, 16384 * (number + 1) // 3 - 1
                client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
            if number:
                client.execute_command("CLUSTER MEET", "127.0.0.1", self.servers[0].port)
        names = [client.execute_command("CLUSTER MYID").decode() for client in clients]
        for client, name in zip(clients[3:], names, strict=False):
            wait_until(lambda: _follows(client, name), what="a replica")  # noqa: B023
        for client in clients:
            client.close()
        wait_until(self.whole, timeout=40, what="the cluster")

    @property
    def url(self) -> str:
        places = ",".join(f"127.0.0.1:{one.port}" for one in self.servers[:2])
        return f"redis+cluster://gateway:{USER_PASSWORD}@{places}"

    def whole(self) -> bool:
        """Whether every node that runs says that all slots are served."""
        for server in self.servers:
            if server.process is None:
                continue
            try:
                with server.client(password=PASSWORD) as client:
                    found = client.execute_command("CLUSTER INFO")
            except (redis.RedisError, OSError):
                return False
            if found["cluster_state"] != "ok" or int(found["cluster_known_nodes"]) != len(self.servers):
                return False
        return True

    def primaries(self) -> list[_Server]:
        found = []
        for server in self.servers:
            if server.process is None:
                continue
            with server.client(password=PASSWORD) as client, suppress(redis.RedisError):
                if client.info("replication")["role"] == "master":
                    found.append(server)
        return found

    def fail_over(self) -> _Server:
        """Kill the first primary, and wait for its replica to take over; returns the lost one."""
        lost = self.primaries()[0]
        lost.kill()
        wait_until(lambda: len(self.primaries()) == 3, timeout=40, what="another primary")
        wait_until(self.whole, timeout=40, what="the cluster")
        return lost


class SecureRedis(_Group):
    """TLS alone, clients need a certificate; user `gateway` may use our keys and channels alone."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory
        self.authority = directory / "authority.pem"
        self.certificate = directory / "client.pem"
        self.key = directory / "client.key"
        self.port = free_port()

    def _build(self) -> None:
        directory, port = self._directory, self.port
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.authority))
        server = authority.issue_cert("127.0.0.1")
        (directory / "server.pem").write_bytes(server.cert_chain_pems[0].bytes())
        server.private_key_pem.write_to_path(str(directory / "server.key"))
        client = authority.issue_cert("gateway")
        self.certificate.write_bytes(client.cert_chain_pems[0].bytes())
        client.private_key_pem.write_to_path(str(self.key))
        lines = [
            *("port 0", f"tls-port {port}", "tls-auth-clients yes"),
            *(f"tls-cert-file {directory}/server.pem", f"tls-key-file {directory}/server.key"),
            f"tls-ca-cert-file {self.authority}",
            "user default off",
            f"user gateway {ACL}",
        ]
        self._add(_Server(directory, port, lines))
        wait_until(self._listens, what="redis")

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def url(self) -> str:
        return self.url_of()

    def url_of(self, *, user: str = "gateway", password: str = USER_PASSWORD, certificate: bool = True) -> str:
        own = f"&ssl_certfile={self.certificate}&ssl_keyfile={self.key}" if certificate else ""
        return f"rediss://{user}:{password}@127.0.0.1:{self.port}?ssl_ca_certs={self.authority}{own}"


def _follows(replica: redis.Redis, name: str) -> bool:
    """Make it follow a primary, once it has heard of it."""
    try:
        return bool(replica.execute_command("CLUSTER REPLICATE", name))
    except redis.ResponseError:
        return False


def _cluster_ports(count: int) -> list[int]:
    """Ports whose bus, ten thousand higher, is free too, and out of the way of outgoing connections."""
    found: list[int] = []
    give_up = time.monotonic() + 20
    while len(found) < count:
        assert time.monotonic() < give_up, "no free ports"
        port = free_port()
        if port in found or port > 22000:
            continue
        with socket.socket() as bus:
            if bus.connect_ex(("127.0.0.1", port + 10000)) != 0:
                found.append(port)
    return found
