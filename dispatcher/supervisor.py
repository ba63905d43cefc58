"""Starts, watches and stops the processes of one host: Redis, shards and HAProxy, as its role needs them.

One thread, one loop: signals are blocked and fetched, never handled asynchronously, so that nothing here has to be
safe against interruption. What waits for the network (heartbeats, HAProxy's Runtime API) has threads of its own.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, Final, TextIO

import redis

import workers.gunicorn_conf
from dispatcher.announcer import Announcer
from dispatcher.embedded_redis import EmbeddedRedis
from dispatcher.fleet import UNIX
from dispatcher.front import ready_status
from dispatcher.haproxy import SHARD_KEEPALIVE, Server
from dispatcher.keeper import Keeper
from dispatcher.metrics import FleetMetrics
from dispatcher.processes import SupervisionError, describe_status
from dispatcher.proxy import Proxy
from dispatcher.registry import REMOVE, RESTART, Registry, number_of
from dispatcher.shard import PROBE_INTERVAL, Phase, ShardProcess, capacity, shard_environment, shard_settings
from dispatcher.statedir import RootCredentials, StateDirectory
from workers.settings import Settings, SettingsError
from workers.settings_table import OPTION_BY_NAME
from workers.state.redis import UnsupportedRedisUrl, connect, unfit

SIGNALS: Final = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGCHLD,
)
# What a running supervisor cannot change: it would have to move a socket or a directory under its own feet.
FIXED_WHILE_RUNNING: Final = (
    *("host", "port", "listen_socket", "backlog", "state_dir", "redis_url", "access_key"),
    *("shards", "shard_id", "advertise", "haproxy", "heartbeat_interval", "shard_expiry"),
)

_TICK: Final = 1.0
_REDIS_PATIENCE: Final = 10.0


class Role(Enum):
    """What this host's processes are."""

    SERVE = "serve"
    """Everything: Redis unless one is configured, and one shard, or several behind HAProxy."""
    SHARD = "shard"
    """One shard of a fleet whose dispatchers are elsewhere."""
    DISPATCHER = "dispatcher"
    """HAProxy in front of shards that are elsewhere."""


class Supervisor:
    """One run of `shardgate serve`, `shardgate shard` or `shardgate dispatcher`."""

    def __init__(
        self,
        settings: Settings,
        *,
        reload_settings: Callable[[], Settings],
        role: Role = Role.SERVE,
        environ: Mapping[str, str] | None = None,
        gunicorn_conf: Path = Path(workers.gunicorn_conf.__file__),
        out: TextIO = sys.stdout,
        err: TextIO = sys.stderr,
    ) -> None:
        """`reload_settings` reads all sources again, for SIGHUP. `out` gets the credentials and the ready line."""
        self._settings = settings
        self._reload_settings = reload_settings
        self._role = role
        self._environ = dict(os.environ if environ is None else environ)
        self._gunicorn_conf = gunicorn_conf
        self._out = out
        self._err = err
        self._state: StateDirectory | None = None
        self._redis: EmbeddedRedis | None = None
        self._proxy: Proxy | None = None
        self._shards: list[ShardProcess] = []
        self._announcer: Announcer | None = None
        self._keeper: Keeper | None = None
        self._metrics: FleetMetrics | None = None
        self._to_reload: list[ShardProcess] = []
        self._reloading = False
        self._ready = False
        self._stopping = False
        self._hurt = False

    def run(self) -> int:
        """Serve until told to stop; the exit status. Raises SupervisionError and SettingsError with one line each."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self._start()
            while self._turn():
                pass
            return 0
        finally:
            self._clean_up()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    # start

    def _start(self) -> None:
        settings = self._settings
        if settings.directory is not None and self._role is not Role.DISPATCHER:
            self._make_directory(settings.directory)
        self._state = state = StateDirectory(settings.state_dir)
        if self._with_proxy:
            self._proxy = Proxy(settings, state, say=self._say)
        if self._role is not Role.DISPATCHER and not self._with_proxy:
            self._shards = [self._only_shard(state)]
        if self._role is Role.SERVE:
            self._prepare_secrets(state)
        redis_url = self._start_redis(state)
        if self._role is Role.SERVE and self._with_proxy:
            self._shards = [self._shard_behind_proxy(state, number) for number in range(1, settings.shards + 1)]
        for shard in self._shards:
            shard.set_environment(self._shard_environment(shard, redis_url))
            shard.start()
        if self._proxy is not None:
            self._start_proxy(self._proxy, redis_url)
        if self._shards and self._in_fleet:
            self._announcer = Announcer(
                Registry(self._connect(redis_url)),
                self._shards,
                settings,
                version=installed_version("shardgate"),
                say=self._say,
            )
            self._announcer.start()
        if settings.statsd_host:
            self._metrics = self._make_metrics(redis_url)
            self._metrics.start()

    def _make_metrics(self, redis_url: str) -> FleetMetrics:
        proxy = self._proxy
        try:
            return FleetMetrics(
                self._settings,
                self._shards,
                self._connect(redis_url),
                dispatcher_id=self._dispatcher_id,
                api=None if proxy is None else proxy.api,
                certificate=None if proxy is None else proxy.certificate,
            )
        except OSError as error:
            raise SettingsError(f"statsd_host ({self._settings.origins['statsd_host']}): {error}") from None

    @property
    def _dispatcher_id(self) -> str:
        return f"{socket.gethostname()}:{self._settings.listen_socket or self._settings.port}"

    @property
    def _with_proxy(self) -> bool:
        return self._role is Role.DISPATCHER or (self._role is Role.SERVE and self._settings.shards > 0)

    @property
    def _in_fleet(self) -> bool:
        return self._with_proxy or self._role is Role.SHARD

    def _make_directory(self, path: Path) -> None:
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            return
        except OSError as error:
            raise SupervisionError(f"directory: cannot make {path}: {error.strerror}") from None
        # Said aloud: a misspelt path or a file system that is not mounted looks like this.
        self._say(f"made the directory {path}, which did not exist")

    def _prepare_secrets(self, state: StateDirectory) -> None:
        state.ensure_master_key()
        if not self._settings.access_key:
            credentials = state.root_credentials()
            if credentials.new:
                self._print_credentials(credentials)

    def _start_redis(self, state: StateDirectory) -> str:
        """The URL of Redis, which is started unless one is configured."""
        url = self._settings.redis_url
        if url:
            self._check_redis(url)
            return url
        self._redis = EmbeddedRedis(state)
        self._redis.start(interrupted=_stop_is_pending)
        return self._redis.url

    def _check_redis(self, url: str) -> None:
        origin = self._settings.origins["redis_url"]
        try:
            client = connect(url, timeout=self._settings.redis_timeout, max_connections=1)
        except UnsupportedRedisUrl as error:
            raise SettingsError(f"redis_url ({origin}): {error}") from None
        try:
            reason = unfit(client)
        except redis.AuthenticationError as error:
            raise SettingsError(f"redis_url ({origin}): the server refuses the login: {error}") from None
        except redis.RedisError:
            reason = ""
            self._say("redis_url: the server does not answer yet; requests that need it will fail")
        finally:
            client.close()
        if reason:
            raise SettingsError(f"redis_url ({origin}): {reason}")

    def _connect(self, redis_url: str) -> redis.Redis:
        """A client for a thread of its own."""
        return connect(redis_url, timeout=self._settings.redis_timeout, max_connections=2)

    def _only_shard(self, state: StateDirectory) -> ShardProcess:
        """The shard that takes connections at the configured address."""
        settings = self._settings
        name = settings.shard_id or f"{socket.gethostname()}-{settings.port}"
        if self._role is Role.SHARD:
            settings = replace(settings, proxy_protocol=True)
        return self._make_shard(state, name, settings, label="gunicorn")

    def _shard_behind_proxy(self, state: StateDirectory, number: int) -> ShardProcess:
        settings = self._settings
        prefix = settings.shard_id or (socket.gethostname() if settings.redis_url else "shard")
        name = f"{prefix}-{number}"
        return self._make_shard(state, name, shard_settings(settings, state.socket_path(f"shard-{number}.sock")))

    def _make_shard(self, state: StateDirectory, name: str, settings: Settings, label: str = "") -> ShardProcess:
        return ShardProcess(
            name,
            settings,
            state,
            gunicorn_conf=self._gunicorn_conf,
            say=self._say,
            label=label,
            drained=lambda: self._announcer is None or self._announcer.drained(name),
        )

    def _shard_environment(self, shard: ShardProcess, redis_url: str) -> dict[str, str]:
        environ = shard_environment(self._settings, self._environ, redis_url)
        if self._in_fleet:
            own = shard.settings
            computed: dict[str, Any] = {"proxy_protocol": True, "keepalive": SHARD_KEEPALIVE, "workers": own.workers}
            if self._with_proxy:
                computed["listen_socket"] = own.listen_socket
            for name, value in computed.items():
                option = OPTION_BY_NAME[name]
                environ[option.variable] = option.kind.show(value)
        return environ

    def _start_proxy(self, proxy: Proxy, redis_url: str) -> None:
        """Start HAProxy with what an earlier run knew and this host's shards, and keep it in step from then on."""
        own = {server.name: server for server in map(_server_of, self._shards)}
        known = {server.name: server for server in proxy.servers if not _of_this_host(server)}
        servers = list((known | own).values())
        proxy.start(servers)
        settings = self._settings
        self._keeper = Keeper(
            Registry(self._connect(redis_url)),
            proxy.api,
            settings,
            dispatcher_id=self._dispatcher_id,
            servers=servers,
            remember=proxy.remember,
            say=self._say,
        )
        self._keeper.start()

    # the loop

    def _turn(self) -> bool:
        """One turn of the loop: at most one signal, then a look at everything. False ends the run."""
        received = signal.sigtimedwait(SIGNALS, self._patience())
        if received is not None and received.si_signo != signal.SIGCHLD:
            self._on_signal(signal.Signals(received.si_signo))
        self._watch_redis()
        for shard in self._shards:
            shard.turn()
        if self._proxy is not None:
            self._proxy.turn()
        if self._stopping:
            return self._wind_up()
        self._carry_out_wishes()
        self._reload_in_turn()
        if not self._ready:
            self._tell_when_ready()
        return not (self._role is Role.SHARD and self._shards[0].phase is Phase.STOPPED and self._all_ended())

    def _patience(self) -> float:
        redis_hurried = self._redis is not None and self._redis.child.restart_pending
        proxy_hurried = self._proxy is not None and self._proxy.hurried
        hurried = not self._ready or redis_hurried or proxy_hurried or any(shard.hurried for shard in self._shards)
        return PROBE_INTERVAL if hurried or self._stopping else _TICK

    def _on_signal(self, number: signal.Signals) -> None:
        if number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            self._begin_stop(quick=self._stopping or number == signal.SIGQUIT)
        elif number == signal.SIGHUP and not self._stopping:
            self._reload()
        elif number == signal.SIGUSR1:
            for shard in self._shards:
                shard.child.send(signal.SIGUSR1)

    def _reload(self) -> None:
        try:
            changed = self._reload_settings()
        except SettingsError as error:
            self._say(f"{error}; the settings stay as they are")
            return
        for name in FIXED_WHILE_RUNNING:
            if getattr(changed, name) != getattr(self._settings, name):
                self._say(f"{name} changes only at a restart")
        self._to_reload, self._reloading = list(self._shards), True
        self._reload_in_turn()
        if self._proxy is not None:
            fixed = {name: getattr(self._settings, name) for name in FIXED_WHILE_RUNNING}
            self._proxy.reload(replace(changed, **fixed))

    def _reload_in_turn(self) -> None:
        """Reload one shard after the other: while new workers start, the other shards have theirs."""
        while self._reloading and not any(shard.reloading for shard in self._shards):
            if not self._to_reload:
                self._reloading = False
                self._say("reloaded")
                return
            self._to_reload.pop(0).reload()

    def _watch_redis(self) -> None:
        if self._redis is None:
            return
        child = self._redis.child
        status = child.poll()
        if status is not None:
            delay = child.plan_restart()
            self._say(f"redis {describe_status(status)}; starting it again in {delay:.1f} s")
        elif child.restart_due:
            child.start()

    def _carry_out_wishes(self) -> None:
        if self._announcer is None:
            return
        for shard in self._shards:
            wish, _, token = self._announcer.wishes.get(shard.name, "").partition(" ")
            if wish == RESTART and token != shard.restarted:
                shard.restart(token)
            elif wish == REMOVE and shard.phase in (Phase.STARTING, Phase.UP):
                self._say(f"{shard.name} is removed from the fleet, as an operator wants")
                shard.leave()

    def _tell_when_ready(self) -> None:
        if not all(shard.phase is Phase.UP for shard in self._shards):
            return
        if self._with_proxy and self._shards and ready_status(self._settings) != 200:
            return
        if self._proxy is not None and not self._proxy.child.running:
            return
        self._ready = True
        self._print_ready()
        self._notify("READY=1")

    # the end

    def _begin_stop(self, *, quick: bool) -> None:
        if not self._stopping:
            self._stopping = True
            self._notify("STOPPING=1")
        self._hurt = self._hurt or quick
        if self._keeper is not None:
            self._keeper.end()
        if self._proxy is not None:
            self._proxy.stop(quick=quick)
        if self._role is Role.SHARD and not quick:
            self._shards[0].leave()
        elif self._proxy is None or quick:
            self._stop_shards()

    def _stop_shards(self) -> None:
        for shard in self._shards:
            shard.stop(quick=self._hurt)

    def _wind_up(self) -> bool:
        """What is left of an ordered stop; false when everything has ended. HAProxy goes first, then the shards."""
        if self._proxy is not None:
            if self._proxy.running:
                return True
            if any(not shard.stopping for shard in self._shards):
                self._stop_shards()
        return not self._all_ended()

    def _all_ended(self) -> bool:
        return not any(shard.child.running or not shard.stopping for shard in self._shards)

    def _clean_up(self) -> None:
        if self._metrics is not None:
            self._metrics.close()
        if self._keeper is not None:
            self._keeper.close()
        if self._proxy is not None:
            self._proxy.finish()
        for shard in self._shards:
            shard.finish()
        if self._announcer is not None:
            self._announcer.close()
        if self._redis is not None:
            self._redis.child.stop(signal.SIGTERM, _REDIS_PATIENCE)
        if self._state is not None:
            self._state.close()

    # words

    def _print_ready(self) -> None:
        settings = self._settings
        subject = f"serves {settings.directory}" if settings.directory else "is ready"
        if self._role is Role.DISPATCHER:
            subject, what = "dispatches", "HAProxy in front of the fleet"
        else:
            workers = f"{settings.workers} worker{'s' if settings.workers != 1 else ''}"
            shards = f"{settings.shards} shard{'s' if settings.shards != 1 else ''} of " if self._with_proxy else ""
            what = f"{shards}{workers}, backend {settings.backend}"
        print(f"shardgate {subject} at {settings.endpoint} ({what})", file=self._out)
        self._out.flush()

    def _print_credentials(self, credentials: RootCredentials) -> None:
        settings = self._settings
        kept = settings.state_dir / "root-credentials.json"
        text = f"""\
shardgate made credentials for the root account. They are shown this once and kept in
{kept}

    export AWS_ACCESS_KEY_ID={credentials.access_key}
    export AWS_SECRET_ACCESS_KEY={credentials.secret_key}
    export AWS_DEFAULT_REGION={settings.region}
    aws --endpoint-url {settings.endpoint} s3 mb s3://my-first-bucket
"""
        print(text, file=self._out)
        self._out.flush()

    def _say(self, line: str) -> None:
        self._err.write(f"shardgate: {line}\n")
        self._err.flush()

    def _notify(self, state: str) -> None:
        """Tell systemd (sd_notify(3)), when it asked for that."""
        address = self._environ.get("NOTIFY_SOCKET", "")
        if not address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            try:
                channel.connect("\0" + address[1:] if address.startswith("@") else address)
                channel.send(state.encode("ascii"))
            except OSError as error:
                self._say(f"NOTIFY_SOCKET: {error.strerror}")


def _server_of(shard: ShardProcess) -> Server:
    """A shard as HAProxy has it before it is up."""
    settings = shard.settings
    return Server(
        name=shard.name,
        number=number_of(shard.name),
        address=f"{UNIX}{settings.listen_socket}",
        weight=settings.shard_weight,
        connections=capacity(settings),
        accepting=False,
    )


def _of_this_host(server: Server) -> bool:
    return server.address.startswith(UNIX)


def _stop_is_pending() -> bool:
    return bool(signal.sigpending() & {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})
