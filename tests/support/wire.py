"""Requests as they are on the wire: signed, presigned, anonymous or broken on purpose, over a socket of their own.

    wire = Wire(gateway)
    wire.call("PUT", "/bucket/key", {"x-amz-meta-a": "1"}, b"data")      -> Answer
    wire.call("GET", "/bucket/key", sign=False)                           # anonymous
    wire.send(b"GET / HTTP/1.1\\r\\n...", method="GET")                     # any bytes
    wire.presign("GET", "/bucket/key", {"response-expires": "x"})         -> target

Targets, names and values go out as they are given, in Latin-1. Signing is the plain implementation of the protocol's
own tests, which shares nothing with the gateway's.
"""

from __future__ import annotations

import hashlib
import http.client
import socket
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.gateway import Gateway
from tests.unit.protocol import signing

CREDENTIALS = {"SHARDGATE_ACCESS_KEY": signing.ACCESS_KEY, "SHARDGATE_SECRET_KEY": signing.SECRET}
"""The environment of a gateway that these requests are for."""

UNSIGNED = "UNSIGNED-PAYLOAD"


class ServerClosed(Exception):
    """The connection ended without an answer."""


@dataclass(frozen=True)
class Answer:
    """What came back; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    @property
    def tree(self) -> ET.Element:
        """The document, its names without the namespace."""
        root = ET.fromstring(self.body)
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
        return root

    @property
    def code(self) -> str:
        """The code of an error document, "" for any other body."""
        return self.text("Code") if self.body.startswith(b"<?xml") and b"<Error>" in self.body else ""

    @property
    def outcome(self) -> tuple[int, str]:
        """Status and error code."""
        return self.status, self.code

    def text(self, path: str) -> str:
        """The text of the first element at `path`; "" when it is missing or empty."""
        return self.tree.findtext(path) or ""

    def texts(self, path: str) -> list[str]:
        """The texts of all elements at `path`."""
        return [element.text or "" for element in self.tree.findall(path)]

    def metadata(self) -> dict[str, str]:
        """The user metadata."""
        return {name[11:]: value for name, value in self.headers.items() if name.startswith("x-amz-meta-")}


class Wire:
    """Sends requests to one gateway, each on a connection of its own."""

    def __init__(self, gateway: Gateway, *, timeout: float = 20.0) -> None:
        self.gateway = gateway
        self.host = f"{gateway.host}:{gateway.port}"
        self.timeout = timeout

    def call(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        sign: bool = True,
        payload: str | None = None,
        length: bool = True,
        **signer: Any,
    ) -> Answer:
        """Send one request.

        `payload` is its x-amz-content-sha256 (default: the body's hash); `length` false leaves Content-Length to
        `headers`; `signer` goes to `signing.signed_headers`.
        """
        return self.send(
            self.request(method, target, headers, body, sign=sign, payload=payload, length=length, **signer), method
        )

    def request(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        sign: bool = True,
        payload: str | None = None,
        length: bool = True,
        **signer: Any,
    ) -> bytes:
        """The bytes of a request."""
        found = {"host": self.host, **(headers or {})}
        if sign:
            digest = payload or hashlib.sha256(body or b"").hexdigest()
            found = signing.signed_headers(
                method, target, found, payload=digest, **{"date": signing.amz_date(time.time()), **signer}
            )
        if body is not None and length and "content-length" not in found:
            found["content-length"] = str(len(body))
        found.setdefault("connection", "close")
        head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in found.items())
        return head.encode("latin-1") + b"\r\n" + (body or b"")

    def presign(self, method: str, path: str, query: Mapping[str, str] | None = None, **signer: Any) -> str:
        """A presigned target; `signer` goes to `signing.presigned_target`."""
        options: dict[str, Any] = {"date": signing.amz_date(time.time()), "headers": {"host": self.host}, **signer}
        return signing.presigned_target(method, path, query, **options)

    def send(self, data: bytes, method: str = "GET") -> Answer:
        """Send bytes and read one answer. Raises ServerClosed, TimeoutError."""
        began = time.monotonic()
        with socket.create_connection((self.gateway.host, self.gateway.port), timeout=self.timeout) as connection:
            try:
                connection.sendall(data)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused early: the answer is there all the same
            return self.receive(connection, method, began)

    def receive(self, connection: socket.socket, method: str = "GET", began: float | None = None) -> Answer:
        """Read one answer from a connection."""
        began = time.monotonic() if began is None else began
        response = http.client.HTTPResponse(connection, method=method)
        try:
            response.begin()
            body = response.read()
        except (http.client.HTTPException, ConnectionError) as error:
            raise ServerClosed(repr(error)) from error
        finally:
            response.close()
        headers: dict[str, str] = {}
        for name, value in response.getheaders():
            assert name.lower() not in headers, f"{name} was sent twice"
            headers[name.lower()] = value
        return Answer(response.status, headers, body, time.monotonic() - began)


def chunked(data: bytes, size: int = 1000) -> bytes:
    """`data` in HTTP's chunked transfer coding."""
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
