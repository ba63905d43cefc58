"""All servers of an instance: start, stop, ports, fail-over."""

import random
import secrets
import shutil
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc

from backends.eos.emulator.admin import Admin
from backends.eos.emulator.capabilities import Capabilities
from backends.eos.emulator.counters import Counters
from backends.eos.emulator.entries import Container
from backends.eos.emulator.faults import Faults
from backends.eos.emulator.fst_http import FstHttp
from backends.eos.emulator.identity import Directory, Identities, default_directory
from backends.eos.emulator.instance import Instance
from backends.eos.emulator.layouts import Layout
from backends.eos.emulator.mgm_http import MgmHttp
from backends.eos.emulator.namespace import Namespace
from backends.eos.emulator.permissions import Access
from backends.eos.emulator.placement import Placement
from backends.eos.emulator.quirks import Quirks
from backends.eos.emulator.quota import Quota
from backends.eos.emulator.service import Mgm, NamespaceServer
from backends.eos.emulator.storage import Storage
from backends.eos.emulator.store import Store
from backends.eos.emulator.tokens import Tokens
from backends.eos.emulator.wire import HttpServer
from backends.eos.emulator.writers import Writers

_LEAVE: Final = 2.0


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of a server certificate; with `ca`, gRPC demands client certificates of it, and HTTP with `http_ca`."""

    certificate: Path
    key: Path
    ca: Path | None = None
    http_ca: Path | None = None


@dataclass(frozen=True)
class Options:
    """How to run an instance. Ports of 0 are chosen freely; there are as many MGMs as gRPC ports and as MGM ports."""

    host: str = "127.0.0.1"
    grpc_ports: tuple[int, ...] = (0,)
    mgm_ports: tuple[int, ...] = (0,)
    fst_ports: tuple[int, ...] = (0, 0)
    admin_port: int = 0
    # None: a temporary directory that goes with the process.
    data_dir: Path | None = None
    instance: str = "dev"
    accounts: Directory = field(default_factory=lambda: default_directory("emulator"))
    faults: tuple[dict[str, Any], ...] = ()
    quirks: Quirks = field(default_factory=Quirks)
    layout: Layout = field(default_factory=Layout)
    altxs: str = "md5"
    filesystems: int = 2
    seed: int = 0
    durable: bool = False
    tls: Tls | None = None
    clock: Callable[[], int] = time.time_ns


class Emulator:
    """A running instance: `start`, then `status` has the ports, then `stop`."""

    def __init__(self, options: Options) -> None:
        """Load or plant the namespace. Raises `ValueError` for faults that are none, `OSError`."""
        if len(options.grpc_ports) != len(options.mgm_ports):
            raise ValueError("every MGM has one gRPC port and one HTTP port")
        self._options = options
        self._temporary = options.data_dir is None
        self.data_dir = options.data_dir or Path(tempfile.mkdtemp(prefix="eos-emulator-"))
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.instance = _instance(options, self.data_dir)
        for document in options.faults:
            self.instance.faults.add(document)
        _plant(self.instance, options)
        self._dead = socket.socket()
        # Bound and never listened at: whoever is sent there is refused.
        self._dead.bind((options.host, 0))
        self._mgms = [Mgm(self.instance, number) for number in range(len(options.mgm_ports))]
        self._grpc = [
            NamespaceServer(mgm, options.host, port, _credentials(options.tls))
            for mgm, port in zip(self._mgms, options.grpc_ports, strict=True)
        ]
        tls = _context(options.tls)
        self._http = [
            HttpServer(
                options.host,
                port,
                MgmHttp(mgm, lambda: int(self._dead.getsockname()[1]), self._fst_address).handle,
                tls=tls,
            )
            for mgm, port in zip(self._mgms, options.mgm_ports, strict=True)
        ]
        writers = Writers()
        self._fsts = [FstHttp(self.instance, number, writers) for number in range(len(options.fst_ports))]
        for fst, port in zip(self._fsts, options.fst_ports, strict=True):
            fst.servers.append(HttpServer(options.host, port, fst.handle))
            if tls is not None:
                fst.servers.append(HttpServer(options.host, 0, fst.handle, tls=tls))
        self._admin = Admin(self.instance, self, options.host, options.admin_port)

    def start(self) -> None:
        """Open all ports. Raises `OSError` or `RuntimeError` when one is taken."""
        for fst in self._fsts:
            fst.bring_back()
        for number, fst in enumerate(self._fsts):
            self.instance.placement.fsts[number].address = fst.servers[0].address
        for http in self._http:
            http.start()
        for mgm in self._mgms:
            mgm.http_addresses = [http.address for http in self._http]
            mgm.master_address = self._master_address
        for server in self._grpc:
            server.start()
        self._admin.start()

    def stop(self) -> None:
        """Close everything. What is under way breaks off, as when the machine's network goes."""
        self.instance.stopping.set()
        self.instance.faults.remove()
        self._admin.stop()
        for server in self._grpc:
            server.stop()
        servers = [*self._http, *(server for fst in self._fsts for server in fst.servers)]
        for http in servers:
            http.stop()
        for http in servers:
            http.wait(_LEAVE)
        self._dead.close()
        self.instance.storage.close()
        self.instance.namespace.close()
        if self._temporary:
            shutil.rmtree(self.data_dir, ignore_errors=True)

    def status(self) -> dict[str, Any]:
        """Ports and states, as printed when ready."""
        master = next(mgm.number for mgm in self._mgms if mgm.master)
        return {
            "host": self._options.host,
            "grpc": [server.port for server in self._grpc],
            "mgm": [http.port for http in self._http],
            "fst": [fst.servers[0].port for fst in self._fsts],
            "admin": self._admin.port,
            "tls": self._options.tls is not None,
            "master": master,
            "online": [fst.online for fst in self.instance.placement.fsts],
            "instance": f"/eos/{self._options.instance}",
            "data_dir": str(self.data_dir),
        }

    def set_fst(self, number: int, state: str, seconds: float | None) -> None:
        """Take an FST down or bring it back; `offline` also tells the MGM."""
        if not 0 <= number < len(self._fsts) or state not in ("up", "down", "offline"):
            raise ValueError("an FST's state is up, down or offline")
        fst, known = self._fsts[number], self.instance.placement.fsts[number]
        known.online = state != "offline"
        if state == "up":
            fst.bring_back()
            return
        fst.take_down()
        self._later(seconds, lambda: self.set_fst(number, "up", None))

    def set_mgm(self, number: int, state: str, seconds: float | None) -> None:
        """Take an MGM's gRPC and HTTP ends down or bring them back."""
        if not 0 <= number < len(self._mgms) or state not in ("up", "down"):
            raise ValueError("an MGM's state is up or down")
        if state == "up":
            self._http[number].start()
            self._grpc[number].start()
            return
        self._http[number].stop()
        self._grpc[number].stop()
        self._later(seconds, lambda: self.set_mgm(number, "up", None))

    def set_master(self, number: int) -> None:
        """Make one MGM the master."""
        if not 0 <= number < len(self._mgms):
            raise ValueError("there is no such MGM")
        for mgm in self._mgms:
            mgm.master = mgm.number == number

    def fail_over(self, seconds: float | None) -> int:
        """Take the master down and make the next MGM the master."""
        if len(self._mgms) < 2:
            raise ValueError("there is only one MGM")
        before = next(mgm.number for mgm in self._mgms if mgm.master)
        self.set_mgm(before, "down", seconds)
        after = (before + 1) % len(self._mgms)
        self.set_master(after)
        return after

    def _later(self, seconds: float | None, action: Callable[[], None]) -> None:
        if seconds is None:
            return

        def act() -> None:
            if not self.instance.stopping.is_set():
                action()

        timer = threading.Timer(seconds, act)
        timer.daemon = True
        timer.start()

    def _master_address(self) -> str:
        return next(self._http[mgm.number].address for mgm in self._mgms if mgm.master)

    def _fst_address(self, fsid: int, secure: bool) -> str:
        fst = self._fsts[self.instance.placement.filesystems[fsid].number]
        return fst.servers[-1 if secure else 0].address


def _instance(options: Options, directory: Path) -> Instance:
    store = Store(directory / "namespace.sqlite", durable=options.durable)
    namespace = Namespace(store, options.quirks, options.clock, options.seed)
    with namespace.transaction():
        key = namespace.kept("key") or secrets.token_bytes(32)
        namespace.keep("key", key)
    placement = Placement(len(options.fst_ports), options.filesystems)
    storage = Storage(directory, placement.filesystems, data=options.quirks.data == "files", durable=options.durable)
    namespace.on_drop = lambda file: storage.remove_later(file.id, options.quirks.deletion_delay)
    started = options.clock()
    return Instance(
        name=options.instance,
        namespace=namespace,
        access=Access(namespace),
        quota=Quota(namespace),
        identities=Identities(options.accounts),
        tokens=Tokens(key),
        capabilities=Capabilities(key),
        placement=placement,
        storage=storage,
        faults=Faults(options.seed),
        counters=Counters(),
        quirks=options.quirks,
        layout=options.layout,
        clock=options.clock,
        # Names made of it must not come again after a restart.
        random=random.Random(options.seed ^ started),  # noqa: S311
        started=started // 1_000_000_000,
    )


def _plant(instance: Instance, options: Options) -> None:
    """The directories that are there from the beginning."""
    namespace = instance.namespace

    def directory(parent: Container, name: str, uid: int, gid: int, mode: int) -> Container:
        found = namespace.child(parent, name.encode())
        if isinstance(found, Container):
            return found
        attributes = {key: value for key, value in parent.xattrs.items() if key == "sys.altxs"}
        return namespace.add_container(parent, name.encode(), uid, gid, mode, attributes)

    with namespace.transaction():
        directory(namespace.root, "recycle", 0, 0, 0o700)
        top = directory(directory(namespace.root, "eos", 0, 0, 0o755), options.instance, 0, 0, 0o755)
        if options.altxs:
            top.xattrs["sys.altxs"] = options.altxs.encode()
            namespace.changed(top)
        home = directory(top, "home", 0, 0, 0o755)
        for user in options.accounts.users:
            if user.home_mode is not None:
                directory(home, user.name, user.uid, user.gid, user.home_mode)


def _credentials(tls: Tls | None) -> grpc.ServerCredentials | None:
    if tls is None:
        return None
    ca = tls.ca.read_bytes() if tls.ca is not None else None
    pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
    return grpc.ssl_server_credentials([pair], root_certificates=ca, require_client_auth=ca is not None)


def _context(tls: Tls | None) -> ssl.SSLContext | None:
    if tls is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls.certificate, tls.key)
    if tls.http_ca is not None:
        context.load_verify_locations(tls.http_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
