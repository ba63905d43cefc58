"""The administration end: faults, switches, servers going down and coming back, counters, a look at entries."""

import json
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Protocol
from urllib.parse import parse_qs, urlsplit

import msgspec

from backends.eos.emulator import paths
from backends.eos.emulator.entries import Container, Entry
from backends.eos.emulator.failures import EosError
from backends.eos.emulator.faults import KINDS
from backends.eos.emulator.instance import Instance

_MAX_BODY: Final = 1 << 20


class Servers(Protocol):
    """What the administration end can do to the other servers."""

    def status(self) -> dict[str, Any]:
        """Ports and states."""

    def set_fst(self, number: int, state: str, seconds: float | None) -> None:
        """`up`, `down` (the MGM does not know) or `offline` (it knows). Raises `ValueError`."""

    def set_mgm(self, number: int, state: str, seconds: float | None) -> None:
        """`up` or `down`. Raises `ValueError`."""

    def set_master(self, number: int) -> None:
        """Make one MGM the master. Raises `ValueError`."""

    def fail_over(self, seconds: float | None) -> int:
        """Take the master down and make another MGM the master; returns its number. Raises `ValueError`."""


class Admin:
    """Serves JSON at a port of its own."""

    def __init__(self, instance: Instance, servers: Servers, host: str, port: int) -> None:
        self._instance = instance
        self._servers = servers
        admin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(min(length, _MAX_BODY))
                try:
                    status, document = admin.answer(self.command, self.path, body)
                except (ValueError, KeyError, TypeError, EosError) as error:
                    status, document = HTTPStatus.BAD_REQUEST, {"error": str(error)}
                data = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, format: str, *args: Any) -> None:
                """No log: the counters tell."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True

    @property
    def port(self) -> int:
        """The port."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Serve in a thread."""
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, Any]:
        """Status and document of a request. Raises `ValueError`, `EosError`."""
        url = urlsplit(target)
        top, _, rest = url.path.strip("/").partition("/")
        document = json.loads(body) if body else {}
        handlers: dict[tuple[str, str], Callable[[], Any]] = {
            ("GET", ""): self._servers.status,
            ("GET", "faults"): lambda: [rule.described() for rule in self._instance.faults.rules()],
            ("POST", "faults"): lambda: self._add_faults(document),
            ("DELETE", "faults"): lambda: {"removed": self._instance.faults.remove(int(rest) if rest else None)},
            ("GET", "kinds"): lambda: {name: [kind.effect, kind.parameters] for name, kind in KINDS.items()},
            ("GET", "counters"): self._instance.counters.snapshot,
            ("DELETE", "counters"): self._reset_counters,
            ("GET", "quirks"): lambda: vars(self._instance.quirks),
            ("POST", "quirks"): lambda: self._set_quirks(document),
            ("POST", "fst"): lambda: self._set_server(self._servers.set_fst, rest, document),
            ("POST", "mgm"): lambda: self._set_server(self._servers.set_mgm, rest, document),
            ("POST", "master"): lambda: self._set_master(int(rest)),
            ("POST", "failover"): lambda: {"master": self._servers.fail_over(_seconds(document))},
            ("GET", "entry"): lambda: self._entry(parse_qs(url.query).get("path", ["/"])[0]),
            ("POST", "directory"): lambda: self._make_directory(document),
        }
        handler = handlers.get((method, top))
        if handler is None:
            return HTTPStatus.NOT_FOUND, {"error": f"there is no {method} /{top}"}
        return HTTPStatus.OK, handler()

    def _add_faults(self, document: Any) -> Any:
        rules = [self._instance.faults.add(item) for item in (document if isinstance(document, list) else [document])]
        return [rule.described() for rule in rules]

    def _reset_counters(self) -> Any:
        self._instance.counters.reset()
        return {}

    def _set_quirks(self, document: Any) -> Any:
        self._instance.quirks.change(document)
        return vars(self._instance.quirks)

    @staticmethod
    def _set_server(change: Callable[[int, str, float | None], None], number: str, document: Any) -> Any:
        change(int(number), str(document.get("state", "")), _seconds(document))
        return {}

    def _set_master(self, number: int) -> Any:
        self._servers.set_master(number)
        return {"master": number}

    def _entry(self, path: str) -> Any:
        """An entry as it is in the namespace, whoever may see it; None when there is none."""
        namespace = self._instance.namespace
        with namespace.transaction():
            entry = namespace.lookup(paths.normalised(path.encode(), privileged=True), follow=False)
            if entry is None:
                return None
            shown = msgspec.to_builtins(entry, builtin_types=(bytes,))
            children = []
            if isinstance(entry, Container):
                found: list[Entry] = [*namespace.files_of(entry), *namespace.directories_of(entry)]
                children = sorted(child.name.decode("utf-8", "replace") for child in found)
        return {**_readable(shown), "children": children}

    def _make_directory(self, document: Any) -> Any:
        """Make a directory with those above it, as root: `path`, `uid`, `gid`, `mode` (octal text), `xattrs`."""
        namespace = self._instance.namespace
        path = paths.normalised(str(document["path"]).encode(), privileged=True)
        with namespace.transaction():
            directory = namespace.root
            for name in filter(None, path.split(b"/")):
                child = namespace.child(directory, name)
                if child is not None and not isinstance(child, Container):
                    raise ValueError("a part of the path is a file")
                directory = child or namespace.add_container(
                    directory, name, directory.uid, directory.gid, directory.mode, directory.xattrs
                )
            directory.uid = int(document.get("uid", directory.uid))
            directory.gid = int(document.get("gid", directory.gid))
            if "mode" in document:
                directory.mode = int(str(document["mode"]), 8) & 0o7777 | 0o40000
            directory.xattrs.update({key: str(value).encode() for key, value in document.get("xattrs", {}).items()})
            namespace.changed(directory)
        return {"id": directory.id}


def _seconds(document: Any) -> float | None:
    return float(document["seconds"]) if "seconds" in document else None


def _readable(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, dict):
        return {key: _readable(item) for key, item in value.items()}
    return value
