"""A running EOS emulator, and a client that speaks to it as the wire is, without any of the gateway's code.

    with Emulator(tmp_path / "eos") as eos:              # free ports, two FSTs, users and keys of USERS below
        eos.grpc_target, eos.mgm_url, eos.admin_url      # "127.0.0.1:PORT", "http://127.0.0.1:PORT", the same
        eos.grpc_targets, eos.mgm_urls, eos.fst_ports    # of all MGMs and FSTs
        eos.key, eos.root_key, eos.plain_key             # account gateway (a sudoer), root, alice (no sudoer)
        eos.home("alice")                                # "/eos/dev/home/alice", owned by 1000:1000
        eos.directory_at("/eos/dev/x", uid=1000, gid=1000, mode="755", xattrs={"sys.recycle": "1"})
        eos.entry("/eos/dev/x")                          # the raw entry as a dict, or None; no rights asked
        eos.fault("fst_reset", path="/a$", count=1, bytes=100) -> id      # docs/eos-emulator.md lists the faults
        eos.hits(id); eos.clear_faults(id=None); eos.faults()
        eos.quirks(get_framing="chunked")                # set switches; they stay until they are set again
        eos.counters(); eos.reset_counters()             # {"grpc.MD": 3, "fst.leaked_keys": 0, …}
        eos.fst(0, "down" | "up" | "offline", seconds=None); eos.mgm(0, "down" | "up"); eos.fail_over(seconds=None)
        eos.stop(); eos.start(); eos.kill()              # SIGTERM; again with the same directory and ports; SIGKILL

Emulator(directory, *options, mgms=1, fsts=2, users=USERS, wait=True): `options` are further arguments of
`shardgate eos-emulator`, such as "--release", "master" or "--quirk", "order=sorted".

`Client(eos, uid, gid)` sends calls as one user: `stat`, `find`, `exec`, `put`, `get`, `mgm` and `http` are plain.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import grpc

from backends.eos.proto import namespace_pb2 as rpc
from backends.eos.proto import namespace_pb2_grpc as stubs

PATIENCE = 30.0
KEY, ROOT_KEY, PLAIN_KEY = "gateway-key", "root-key", "plain-key"
USERS = f"""
sudoers = ["gateway"]
nobody = 99

[groups]
staff = 2000

[[user]]
name = "root"
uid = 0
gid = 0

[[user]]
name = "gateway"
uid = 900
gid = 900

[[user]]
name = "alice"
uid = 1000
gid = 1000
groups = [2000]
egroups = ["readers"]
home = "755"

[[user]]
name = "bob"
uid = 1001
gid = 1001
home = "755"

[[key]]
key = "{KEY}"
user = "gateway"

[[key]]
key = "{ROOT_KEY}"
user = "root"

[[key]]
key = "{PLAIN_KEY}"
user = "alice"
"""


class Emulator:
    """One emulator process."""

    def __init__(
        self,
        directory: Path,
        *options: str,
        mgms: int = 1,
        fsts: int = 2,
        users: str | None = USERS,
        wait: bool = True,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.key, self.root_key, self.plain_key = KEY, ROOT_KEY, PLAIN_KEY
        self._options = list(options)
        if users is not None:
            (directory / "users.toml").write_text(users, encoding="utf-8")
            self._options += ["--users", str(directory / "users.toml")]
        self._ports = {
            "--grpc-port": [0] * mgms,
            "--mgm-port": [0] * mgms,
            "--fst-port": [0] * fsts,
            "--admin-port": [0],
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.status: dict[str, Any] = {}
        self.start(wait=wait)

    def __enter__(self) -> "Emulator":
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self, *, wait: bool = True) -> None:
        """Start it; after a stop with the same directory and the same ports."""
        ports = [part for name, numbers in self._ports.items() for number in numbers for part in (name, str(number))]
        self.log = self.directory / "emulator.log"
        command = [sys.executable, "-m", "backends.eos.emulator", "--data-dir", str(self.directory / "data")]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *ports, *self._options],
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=Path(__file__).resolve().parents[2],
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Wait for the line that says that it is ready."""
        assert self.process is not None
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the emulator ended: {self.log.read_text(encoding='utf-8', errors='replace')}")
        self.status = json.loads(line)
        for option, name in (("--grpc-port", "grpc"), ("--mgm-port", "mgm"), ("--fst-port", "fst")):
            self._ports[option] = self.status[name]
        self._ports["--admin-port"] = [self.status["admin"]]

    def stop(self) -> int:
        """SIGTERM and wait; the exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """SIGKILL and wait."""
        return self._end(signal.SIGKILL)

    def _end(self, number: int) -> int:
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(number)
        try:
            return process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            if process.stdout is not None:
                process.stdout.close()

    @property
    def grpc_targets(self) -> list[str]:
        return [f"127.0.0.1:{port}" for port in self.status["grpc"]]

    @property
    def grpc_target(self) -> str:
        return self.grpc_targets[0]

    @property
    def mgm_urls(self) -> list[str]:
        scheme = "https" if self.status["tls"] else "http"
        return [f"{scheme}://127.0.0.1:{port}" for port in self.status["mgm"]]

    @property
    def mgm_url(self) -> str:
        return self.mgm_urls[0]

    @property
    def fst_ports(self) -> list[int]:
        return list(self.status["fst"])

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.status['admin']}"

    @property
    def root(self) -> str:
        """The top of the instance's tree."""
        return str(self.status["instance"])

    def home(self, user: str) -> str:
        """A directory that belongs to a user."""
        return f"{self.root}/home/{user}"

    def admin(self, method: str, path: str, document: Any = None) -> Any:
        """One request to the administration end. Raises `AssertionError` with its error."""
        connection = http.client.HTTPConnection("127.0.0.1", self.status["admin"], timeout=PATIENCE)
        try:
            connection.request(method, path, None if document is None else json.dumps(document))
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        assert response.status == 200, answer
        return answer

    def fault(self, fault: str, **rule: Any) -> int:
        """Add a rule; its number."""
        return int(self.admin("POST", "/faults", {"fault": fault, **rule})[0]["id"])

    def faults(self) -> list[dict[str, Any]]:
        return list(self.admin("GET", "/faults"))

    def hits(self, number: int) -> int:
        """How often a rule applied."""
        return next(int(rule["hits"]) for rule in self.faults() if rule["id"] == number)

    def clear_faults(self, number: int | None = None) -> None:
        self.admin("DELETE", "/faults" if number is None else f"/faults/{number}")

    def quirks(self, **values: Any) -> dict[str, Any]:
        return dict(self.admin("POST", "/quirks", values))

    def counters(self) -> dict[str, int]:
        return dict(self.admin("GET", "/counters"))

    def reset_counters(self) -> None:
        self.admin("DELETE", "/counters")

    def fst(self, number: int, state: str, seconds: float | None = None) -> None:
        self.admin("POST", f"/fst/{number}", _with_seconds({"state": state}, seconds))

    def mgm(self, number: int, state: str, seconds: float | None = None) -> None:
        self.admin("POST", f"/mgm/{number}", _with_seconds({"state": state}, seconds))

    def fail_over(self, seconds: float | None = None) -> int:
        """Take the master down; the number of the MGM that is master now."""
        return int(self.admin("POST", "/failover", _with_seconds({}, seconds))["master"])

    def entry(self, path: str) -> dict[str, Any] | None:
        return self.admin("GET", f"/entry?path={quote(path)}")  # type: ignore[no-any-return]

    def directory_at(self, path: str, **properties: Any) -> str:
        """Make a directory as root; `uid`, `gid`, `mode` (octal text), `xattrs`. Returns the path."""
        self.admin("POST", "/directory", {"path": path, **properties})
        return path


def _with_seconds(document: dict[str, Any], seconds: float | None) -> dict[str, Any]:
    return document if seconds is None else {**document, "seconds": seconds}


@dataclass(frozen=True)
class Reply:
    """An answer by HTTP. `headers` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    reason: str = ""


def http_request(
    url: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> Reply:
    """One request on a connection of its own, the URL's target as it is, no redirect followed."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
    target = url.partition(parts.netloc)[2]
    try:
        connection.putrequest(method, target, skip_host=False, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        data = response.read()
        return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, data, response.reason)
    finally:
        connection.close()


class Client:
    """Calls of one user through the gateway's key, or with another key."""

    def __init__(self, eos: Emulator, uid: int = 1000, gid: int = 1000, key: str | None = None, mgm: int = 0) -> None:
        self.eos = eos
        self.uid, self.gid = uid, gid
        self.key = eos.key if key is None else key
        self.mgm_number = mgm
        self.channel = grpc.insecure_channel(eos.grpc_targets[mgm], options=[("grpc.use_local_subchannel_pool", 1)])
        self.stub: Any = stubs.EosStub(self.channel)

    def close(self) -> None:
        self.channel.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def role(self) -> rpc.RoleId:
        return rpc.RoleId(uid=self.uid, gid=self.gid)

    # gRPC

    def md(self, path: str | bytes = "", kind: int = rpc.STAT, **rest: Any) -> list[rpc.MDResponse]:
        identity = rest.pop("id", None) or rpc.MDId(path=_bytes(path))
        request = rpc.MDRequest(type=kind, id=identity, authkey=self.key, role=self.role, **rest)
        return list(self.stub.MD(request, timeout=PATIENCE))

    def stat(self, path: str | bytes) -> Any:
        """The file or container message."""
        (found,) = self.md(path)
        return found.fmd if found.type == rpc.FILE else found.cmd

    def missing(self, path: str | bytes) -> bool:
        """Whether STAT says that there is nothing."""
        try:
            self.md(path)
        except grpc.RpcError as error:
            return bool(error.code() is grpc.StatusCode.UNKNOWN and "No such file" in error.details())
        return False

    def find(self, path: str | bytes, depth: int = 1, kind: int = rpc.LISTING, **rest: Any) -> list[rpc.MDResponse]:
        request = rpc.FindRequest(
            type=kind, id=rpc.MDId(path=_bytes(path)), authkey=self.key, role=self.role, maxdepth=depth, **rest
        )
        return list(self.stub.Find(request, timeout=PATIENCE))

    def names(self, path: str | bytes, depth: int = 1) -> list[str]:
        """Paths that Find gives, but for the start."""
        found = self.find(path, depth)
        return [(item.fmd.path if item.type == rpc.FILE else item.cmd.path).decode() for item in found[1:]]

    def exec(self, **command: Any) -> rpc.NSResponse:
        request = rpc.NSRequest(authkey=self.key, role=self.role, **command)
        return self.stub.Exec(request, timeout=PATIENCE)  # type: ignore[no-any-return]

    def run(self, **command: Any) -> tuple[int, str]:
        """Code and text of a command that answers by `error`."""
        reply = self.exec(**command)
        assert reply.HasField("error"), reply
        return reply.error.code, reply.error.msg

    def mkdir(self, path: str | bytes, mode: int = 0o755, *, recursive: bool = True) -> tuple[int, str]:
        return self.run(
            mkdir=rpc.NSRequest.MkdirRequest(id=rpc.MDId(path=_bytes(path)), recursive=recursive, mode=mode)
        )

    def unlink(self, path: str | bytes, **flags: bool) -> tuple[int, str]:
        return self.run(unlink=rpc.NSRequest.UnlinkRequest(id=rpc.MDId(path=_bytes(path)), **flags))

    def rm(self, path: str | bytes, **flags: bool) -> tuple[int, str]:
        return self.run(rm=rpc.NSRequest.RmRequest(id=rpc.MDId(path=_bytes(path)), **flags))

    def rmdir(self, path: str | bytes) -> tuple[int, str]:
        return self.run(rmdir=rpc.NSRequest.RmdirRequest(id=rpc.MDId(path=_bytes(path))))

    def rename(self, path: str | bytes, target: str | bytes) -> tuple[int, str]:
        return self.run(rename=rpc.NSRequest.RenameRequest(id=rpc.MDId(path=_bytes(path)), target=_bytes(target)))

    def xattr(
        self, path: str | bytes, values: Mapping[str, bytes] | None = None, remove: tuple[str, ...] = (), **flags: bool
    ) -> tuple[int, str]:
        request = rpc.NSRequest.SetXAttrRequest(
            id=rpc.MDId(path=_bytes(path)), xattrs=dict(values or {}), keystodelete=list(remove), **flags
        )
        return self.run(xattr=request)

    # HTTP

    @property
    def headers(self) -> dict[str, str]:
        """What a gateway sends to the MGM for this user."""
        return {"x-forwarded-for": "gw", "x-gateway-authorization": self.key, "remote-user": str(self.uid)}

    def url(self, path: str | bytes, query: str = "") -> str:
        base = f"{self.eos.mgm_urls[self.mgm_number]}{quote(_bytes(path))}?eos.ruid={self.uid}&eos.rgid={self.gid}"
        return f"{base}&{query}" if query else base

    def mgm(self, method: str, path: str | bytes, query: str = "", **headers: str) -> Reply:
        """One request to the MGM, with this user's identity."""
        fields = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if method == "PUT":
            fields.setdefault("Content-Length", "0")
        return http_request(self.url(path, query), method, fields)

    def location(self, method: str, path: str | bytes, query: str = "", **headers: str) -> str:
        """Where the MGM redirects to."""
        reply = self.mgm(method, path, query, **headers)
        assert reply.status == 307, reply
        return reply.headers["location"]

    def put(self, path: str | bytes, data: bytes, query: str = "", **headers: str) -> Reply:
        """Both legs of a PUT; headers are sent on both."""
        location = self.location("PUT", path, query, **headers)
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return http_request(location, "PUT", {**fields, "Content-Length": str(len(data))}, data)

    def put_range(
        self, path: str | bytes, data: bytes, offset: int, total: int, *, done: bool | None = None, **headers: str
    ) -> Reply:
        """Both legs of a range PUT."""
        fields = {
            "x-upload-range": f"bytes={offset}-{offset + len(data) - 1}",
            "x-upload-totalsize": str(total),
            **headers,
        }
        if done is not None:
            fields["x-upload-done"] = "true" if done else "false"
        return self.put(path, data, **fields)

    def get(self, path: str | bytes, **headers: str) -> Reply:
        """Both legs of a GET, the second only if there is a redirect."""
        reply = self.mgm("GET", path)
        if reply.status != 307:
            return reply
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return http_request(reply.headers["location"], "GET", fields)


def _bytes(path: str | bytes) -> bytes:
    return path.encode() if isinstance(path, str) else path


@contextlib.contextmanager
def raw_connection(url: str) -> Iterator[socket.socket]:
    """A socket to the server of a URL."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=PATIENCE) as sock:
        yield sock


def start_put(location: str, length: int, first: bytes, **headers: str) -> socket.socket:
    """Begin a PUT at an FST and send only the first bytes of its body. The caller closes the socket."""
    parts = urlsplit(location)
    sock = socket.create_connection((parts.hostname or "", parts.port or 80), timeout=PATIENCE)
    target = location.partition(parts.netloc)[2]
    lines = [f"PUT {target} HTTP/1.1", f"Host: {parts.netloc}", f"Content-Length: {length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + first)
    return sock


def eventually(check: Any, patience: float = 5.0) -> Any:
    """The first true value of `check()`. Raises `AssertionError` when there is none in time."""
    end = time.monotonic() + patience
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)
