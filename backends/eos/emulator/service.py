"""The gRPC service of an MGM: identity, faults and dispatch; what the calls do is in lookups and commands*."""

import errno
import resource
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final
from urllib.parse import unquote

import grpc

from backends.eos.emulator import commands, commands_admin, commands_lists, importing, lookups
from backends.eos.emulator.failures import EosError
from backends.eos.emulator.faults import Call, Rule
from backends.eos.emulator.identity import Identity, metadata_role, role
from backends.eos.emulator.instance import Instance
from backends.eos.emulator.lookups import LookupFailed
from backends.eos.emulator.tokens import PREFIX
from backends.eos.proto import namespace_pb2 as rpc
from backends.eos.proto import namespace_pb2_grpc as stubs

COMMANDS: Final = {**commands.COMMANDS, **commands_lists.COMMANDS, **commands_admin.COMMANDS}
# Commands that a slave runs too: the number is that of the sub-command.
_READ_ONLY: Final = frozenset({("acl", 2), ("version", 2), ("quota", rpc.GET)})
# Calls that hang hold a thread each.
THREADS: Final = 128
NOT_SUDOER: Final = "Not a sudoer, refusing to run command"


class Mgm:
    """One MGM of the instance, as its servers see it."""

    def __init__(self, instance: Instance, number: int) -> None:
        self.instance = instance
        self.number = number
        self.master = number == 0
        # Host and port of the HTTP ends of this and the other MGMs, filled in when they listen.
        self.http_addresses: list[str] = []
        self.master_address: Callable[[], str] = lambda: ""


class Service(stubs.EosServicer):
    """`eos.rpc.Eos`. Unknown keys are nobody, never refused."""

    def __init__(self, mgm: Mgm, reset: Callable[[], None]) -> None:
        """`reset` drops all connections of the server; a fault calls it."""
        self._mgm = mgm
        self._instance = mgm.instance
        self._reset = reset

    def Ping(self, request: rpc.PingRequest, context: grpc.ServicerContext) -> rpc.PingReply:
        """Echo. Needs no identity and does not wait for the boot."""
        self._instance.counters.add("grpc.Ping")
        self._fail(Call("grpc.Ping"), context)
        return rpc.PingReply(message=request.message)

    def MD(self, request: rpc.MDRequest, context: grpc.ServicerContext) -> Iterator[rpc.MDResponse]:
        """One entry, or a directory with what is in it."""
        wanted = request.role
        call = Call("grpc.MD", request.id.path, wanted.uid)
        self._enter(call, context)
        caller = self._caller(request.authkey, context, call)
        listing = request.type == rpc.LISTING
        if request.type not in (rpc.FILE, rpc.CONTAINER, rpc.STAT, rpc.LISTING):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "request is not supported")
        try:
            who = (role if listing else metadata_role)(caller, wanted.uid, wanted.gid, self._instance.identities)
        except EosError as error:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, error.text)
        self._instance.namespace.settle()
        if listing:
            found = lookups.find(self._instance, who, request.id, rpc.LISTING, 1, request.selection, call)
        else:
            with self._instance.namespace.transaction():
                found = self._prepared(lookups.entry(self._instance, who, request), context)
        yield from self._streamed(found, context)

    def Find(self, request: rpc.FindRequest, context: grpc.ServicerContext) -> Iterator[rpc.MDResponse]:
        """A tree, level by level."""
        wanted = request.role
        call = Call("grpc.Find", request.id.path, wanted.uid)
        self._enter(call, context)
        caller = self._caller(request.authkey, context, call)
        try:
            who = role(caller, wanted.uid, wanted.gid, self._instance.identities)
        except EosError as error:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, error.text)
        self._instance.namespace.settle()
        found = lookups.find(self._instance, who, request.id, request.type, request.maxdepth, request.selection, call)
        yield from self._streamed(found, context)

    def Exec(self, request: rpc.NSRequest, context: grpc.ServicerContext) -> rpc.NSResponse:
        """One command. The status is OK whatever comes of it."""
        name = request.WhichOneof("command") or ""
        command = COMMANDS.get(name)
        if name == "file" and not self._instance.quirks.file_command:
            command = None
        call = Call(f"grpc.Exec.{name}", _path(request, name), request.role.uid)
        self._enter(call, context)
        if command is None:
            return commands.failed(errno.EINVAL, "error: command not supported")
        broken = self._instance.faults.take("mgm_error", call)
        if broken is not None:
            return commands.failed(broken.parameters["code"], broken.parameters["text"])
        try:
            caller = self._caller(request.authkey, context, call)
            who = role(caller, request.role.uid, request.role.gid, self._instance.identities)
            if not self._mgm.master and not _reads(request, name):
                raise EosError(errno.EROFS, "error: this MGM is a slave")
            return command(self._instance, who, request)
        except EosError as error:
            return commands.failed(error.code, error.text)

    def NsStat(self, request: rpc.NsStatRequest, context: grpc.ServicerContext) -> rpc.NsStatResponse:
        """Numbers of the namespace, for sudoers."""
        call = Call("grpc.NsStat")
        self._enter(call, context)
        caller = self._caller(request.authkey, context, call)
        if not caller.sudoer:
            return rpc.NsStatResponse(code=errno.EPERM, emsg=NOT_SUDOER)
        files, containers, last_file, last_container = self._instance.namespace.totals()
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return rpc.NsStatResponse(
            state="booted",
            nfiles=files,
            ncontainers=containers,
            boot_time=self._instance.started,
            current_fid=last_file + 1,
            current_cid=last_container + 1,
            mem_virtual=resident,
            mem_resident=resident,
            threads=threading.active_count(),
            uptime=self._instance.seconds() - self._instance.started,
        )

    def ContainerInsert(self, request: rpc.ContainerInsertRequest, context: grpc.ServicerContext) -> rpc.InsertReply:
        """Register directories with ids of the caller's choice, for sudoers."""
        return self._insert(
            "grpc.ContainerInsert",
            request.authkey,
            context,
            [
                partial(importing.container, self._instance, item, inherit=request.inherit_md)
                for item in request.container
            ],
        )

    def FileInsert(self, request: rpc.FileInsertRequest, context: grpc.ServicerContext) -> rpc.InsertReply:
        """Register files with ids of the caller's choice, for sudoers."""
        return self._insert(
            "grpc.FileInsert",
            request.authkey,
            context,
            [partial(importing.file, self._instance, item) for item in request.files],
        )

    def _insert(
        self, operation: str, authkey: str, context: grpc.ServicerContext, insertions: list[Callable[[], None]]
    ) -> rpc.InsertReply:
        call = Call(operation)
        self._enter(call, context)
        allowed = self._caller(authkey, context, call).sudoer
        reply = rpc.InsertReply()
        for insert in insertions:
            try:
                if not allowed:
                    raise EosError(errno.EPERM, NOT_SUDOER)
                insert()
                reply.message.append("")
                reply.retc.append(0)
            except EosError as error:
                reply.message.append(error.text)
                reply.retc.append(error.code)
        return reply

    def _enter(self, call: Call, context: grpc.ServicerContext) -> None:
        """Count the call and let faults happen to it."""
        self._instance.counters.add(call.operation)
        for fault in ("mgm_boot", "grpc_hang"):
            rule = self._instance.faults.take(fault, call)
            if rule is not None:
                self._wait(rule, context)
        self._instance.faults.delay(call)
        self._fail(call, context)

    def _wait(self, rule: Rule, context: grpc.ServicerContext) -> None:
        while context.is_active() and not self._instance.stopping.is_set():
            if rule.released.wait(0.05) and context.is_active():
                return
        context.abort(grpc.StatusCode.CANCELLED, "")

    def _fail(self, call: Call, context: grpc.ServicerContext) -> None:
        faults = self._instance.faults
        rule = faults.take("grpc_unavailable", call)
        if rule is not None:
            context.abort(grpc.StatusCode.UNAVAILABLE, rule.parameters["text"])
        if faults.take("grpc_reset", call) is not None:
            threading.Thread(target=self._reset, daemon=True).start()
            # The server takes the connection away meanwhile.
            while context.is_active():
                threading.Event().wait(0.02)
            context.abort(grpc.StatusCode.UNAVAILABLE, "reset")
        if call.operation in ("grpc.MD", "grpc.Find"):
            rule = faults.take("mgm_error", call)
            if rule is not None:
                context.abort(lookups.status_of(rule.parameters["code"]), rule.parameters["text"])

    def _caller(self, authkey: str, context: grpc.ServicerContext, call: Call) -> Identity:
        """Who sent this."""
        instance, peer = self._instance, peer_host(context.peer())
        if instance.faults.take("key_revoked", call) is not None:
            return instance.identities.nobody
        if not authkey.startswith(PREFIX):
            return instance.identities.of_key(authkey, "grpc", peer)
        try:
            token = instance.tokens.opened(
                authkey,
                now=instance.seconds(),
                generation=instance.quirks.token_generation,
                peer=peer,
                protocol="grpc",
            )
        except EosError:
            # A token that does not hold maps to nobody, like an unknown key.
            return instance.identities.nobody
        return instance.identities.of_token(token)

    def _prepared(self, found: Iterator[rpc.MDResponse], context: grpc.ServicerContext) -> Iterator[rpc.MDResponse]:
        """The whole answer, made now."""
        return iter(list(self._streamed(found, context)))

    @staticmethod
    def _streamed(found: Iterator[rpc.MDResponse], context: grpc.ServicerContext) -> Iterator[rpc.MDResponse]:
        try:
            yield from found
        except LookupFailed as error:
            context.abort(error.status, error.text)


def _reads(request: rpc.NSRequest, name: str) -> bool:
    if name == "recycle":
        return bool(request.recycle.WhichOneof("subcmd") == "ls")
    if name in ("acl", "version"):
        return (name, getattr(request, name).cmd) in _READ_ONLY
    return name == "quota" and ("quota", request.quota.op) in _READ_ONLY


def _path(request: rpc.NSRequest, name: str) -> bytes:
    """The path that a command names, for faults."""
    command = getattr(request, name) if name else None
    if name == "quota":
        return request.quota.path
    if name == "file":
        return request.file.md.path
    return bytes(command.id.path) if command is not None and hasattr(command, "id") else b""


def peer_host(peer: str) -> str:
    """The address in what gRPC says of a peer (`ipv4:127.0.0.1:1234`, `ipv6:%5B::1%5D:1234`)."""
    return unquote(peer.partition(":")[2]).rpartition(":")[0].strip("[]")


class NamespaceServer:
    """A gRPC server that can be taken down and brought back at its port."""

    def __init__(self, mgm: Mgm, host: str, port: int, credentials: grpc.ServerCredentials | None = None) -> None:
        self._mgm = mgm
        self._host = host
        self.port = port
        self._credentials = credentials
        self._server: grpc.Server | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Listen. Raises `RuntimeError` or `OSError` when the port is taken."""
        with self._lock:
            if self._server is not None:
                return
            server = grpc.server(
                ThreadPoolExecutor(THREADS, thread_name_prefix="grpc"), options=[("grpc.so_reuseport", 0)]
            )
            stubs.add_EosServicer_to_server(Service(self._mgm, self.reset), server)  # type: ignore[no-untyped-call]
            address = f"{self._host}:{self.port}"
            if self._credentials is None:
                self.port = server.add_insecure_port(address)
            else:
                self.port = server.add_secure_port(address, self._credentials)
            server.start()
            self._server = server

    def stop(self) -> None:
        """Close the port and all connections."""
        with self._lock:
            server, self._server = self._server, None
        if server is not None:
            server.stop(grace=0).wait(5)

    def reset(self) -> None:
        """Drop all connections and come back."""
        self.stop()
        self.start()
