"""The WSGI application that the wire tests talk to: one path per behaviour."""

import hashlib
import json
import os
import threading
import time
from typing import Any

import gevent

LOG: dict[str, Any] = {"finished": [], "calls": 0, "closed": 0}
TEXT = [("Content-Type", "text/plain")]


def body_report(environ: dict[str, Any]) -> dict[str, Any]:
    digest = hashlib.sha256()
    total = 0
    hub = gevent.get_hub()
    while block := environ["wsgi.input"].read(1 << 20):
        hub.threadpool.apply(digest.update, (block,))
        total += len(block)
    exchange = environ["shardgate.exchange"]
    return {"length": total, "sha256": digest.hexdigest(), "received": exchange.bytes_received,
            "complete": exchange.body_complete}  # fmt: skip


class Closing:
    """An iterable that tells when it was closed."""

    def __init__(self, blocks: Any) -> None:
        self._blocks = blocks

    def __iter__(self) -> Any:
        return iter(self._blocks)

    def close(self) -> None:
        LOG["closed"] += 1


class Segments(Closing):
    """A response body made of pieces of files."""

    def __init__(self, path: str, wanted: list[tuple[bytes, int, int]]) -> None:
        super().__init__([b"the iterable was used"])
        self._fd = os.open(path, os.O_RDONLY)
        self.file_segments = [(prefix, self._fd, offset, length) for prefix, offset, length in wanted]

    def close(self) -> None:
        super().close()
        os.close(self._fd)


def application(environ: dict[str, Any], start_response: Any) -> Any:
    LOG["calls"] += 1
    name, _, argument = environ["PATH_INFO"].strip("/").partition("/")
    handler = globals().get("on_" + name, on_environ)
    return handler(environ, start_response, argument)


def reply(start_response: Any, value: Any) -> list[bytes]:
    data = json.dumps(value).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(data)))])
    return [data]


def on_hello(environ: Any, start_response: Any, argument: str) -> Any:
    start_response("200 OK", TEXT)
    return [b"hello\n"]


def on_environ(environ: Any, start_response: Any, argument: str) -> Any:
    seen = {key: value for key, value in environ.items() if isinstance(value, str)}
    seen["body"] = body_report(environ)
    seen["underscore"] = dict(environ["shardgate.exchange"].underscore_headers)
    return reply(start_response, seen)


def on_echo(environ: Any, start_response: Any, argument: str) -> Any:
    return reply(start_response, body_report(environ))


def on_lines(environ: Any, start_response: Any, argument: str) -> Any:
    stream = environ["wsgi.input"]
    first = stream.readline()
    part = stream.readline(3)
    byte = stream.read(1)
    rest = [line.decode() for line in stream]
    return reply(start_response, [first.decode(), part.decode(), byte.decode(), rest])


def on_refuse(environ: Any, start_response: Any, argument: str) -> Any:
    start_response("403 Forbidden", TEXT)
    return [b"refused\n"]


def on_part(environ: Any, start_response: Any, argument: str) -> Any:
    environ["wsgi.input"].read(int(argument))
    start_response("200 OK", TEXT)
    return [b"enough\n"]


def on_caught(environ: Any, start_response: Any, argument: str) -> Any:
    try:
        return reply(start_response, body_report(environ))
    except OSError as error:
        start_response("400 Bad Request", TEXT)
        return [type(error).__name__.encode()]


def on_stream(environ: Any, start_response: Any, argument: str) -> Any:
    size = int(argument)

    def blocks() -> Any:
        left = size
        while left:
            block = b"x" * min(left, 65536)
            left -= len(block)
            yield block

    start_response("200 OK", TEXT)
    return Closing(blocks())


def on_promise(environ: Any, start_response: Any, argument: str) -> Any:
    promised, given = argument.split("/")
    start_response("200 OK", [("Content-Length", promised)])
    blocks = [b"y" * int(given)]
    return blocks if environ["QUERY_STRING"] != "iter" else iter(blocks)


def on_slow(environ: Any, start_response: Any, argument: str) -> Any:
    gevent.sleep(float(argument))
    start_response("200 OK", TEXT)
    return [b"slept\n"]


def on_drip(environ: Any, start_response: Any, argument: str) -> Any:
    def blocks() -> Any:
        for _ in range(int(argument)):
            yield b"z" * 1000
            gevent.sleep(0.05)

    start_response("200 OK", [("Content-Length", str(1000 * int(argument)))])
    return Closing(blocks())


def on_raise(environ: Any, start_response: Any, argument: str) -> Any:
    if argument == "timeout":
        raise gevent.Timeout(1)
    if argument == "exit":
        raise SystemExit(3)
    if argument == "before":
        raise RuntimeError("the test's own error")
    start_response("200 OK", TEXT)

    def blocks() -> Any:
        if argument == "first":
            raise RuntimeError("the test's own error")
        yield b"a" * 1000
        raise OSError("the disk's error") if argument == "disk" else RuntimeError("the test's own error")

    return blocks()


def on_headers(environ: Any, start_response: Any, argument: str) -> Any:
    kinds: dict[str, Any] = {
        "crlf": [("x-a", "b\r\nSet-Cookie: c")], "lf": [("x-a", "b\nc")], "name": [("x a", "b")],
        "nul": [("x-a", "\0")], "wide": [("x-a", "\u20ac")], "bytes": [("x-a", b"b")],
        "length": [("Content-Length", "+5")], "hop": [("Transfer-Encoding", "chunked"), ("Keep-Alive", "1")],
        "close": [("Connection", "close")], "own": [("date", "today"), ("server", "me")],
    }  # fmt: skip
    start_response("200 OK", kinds[argument])
    return [b"hello"]


def on_status(environ: Any, start_response: Any, argument: str) -> Any:
    start_response(argument.replace("+", " "), [("Content-Length", "5")] if environ["QUERY_STRING"] else [])
    return [b"hello"]


def on_write(environ: Any, start_response: Any, argument: str) -> Any:
    write = start_response("200 OK", TEXT)
    write(b"one ")
    write(b"two ")
    return [b"three"]


def on_restart(environ: Any, start_response: Any, argument: str) -> Any:
    if argument == "twice":
        start_response("200 OK", TEXT)
        start_response("200 OK", TEXT)
    if argument == "never":
        return [b"hello"]

    def blocks() -> Any:
        start_response("200 OK", TEXT)
        if argument == "after":
            yield b"begun"
        try:
            raise ValueError("found late")
        except ValueError as error:
            start_response("503 Service Unavailable", TEXT, (type(error), error, error.__traceback__))
        yield b"replaced"

    return blocks()


def on_files(environ: Any, start_response: Any, argument: str) -> Any:
    """/files/PATH?[[prefix, offset, length], ...]"""
    from urllib.parse import unquote

    wanted = [
        (prefix.encode(), offset, length) for prefix, offset, length in json.loads(unquote(environ["QUERY_STRING"]))
    ]
    start_response("200 OK", TEXT)
    return Segments("/" + argument, wanted)


def on_watched(environ: Any, start_response: Any, argument: str) -> Any:
    """Like /stream, and what the exchange said at the end is kept for /log."""
    exchange = environ["shardgate.exchange"]
    exchange.on_finish(lambda: 1 / 0)
    exchange.on_finish(lambda: LOG["finished"].append(
        {"path": environ["PATH_INFO"], "sent": exchange.bytes_sent, "gone": exchange.client_gone}))  # fmt: skip
    return on_stream(environ, start_response, argument)


def on_log(environ: Any, start_response: Any, argument: str) -> Any:
    fds = len(os.listdir("/proc/self/fd"))
    return reply(start_response, {**LOG, "pid": os.getpid(), "fds": fds, "threads": threading.active_count()})


def on_memory(environ: Any, start_response: Any, argument: str) -> Any:
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    return reply(start_response, {"peak_kib": peak, "now": time.monotonic()})
