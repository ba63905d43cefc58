"""The HTTP end of an FST."""

import threading
from typing import Final

from backends.eos.emulator import fst_get, fst_put
from backends.eos.emulator.capabilities import Capability, CapabilityError
from backends.eos.emulator.faults import Call
from backends.eos.emulator.http_answers import HttpFailure, answer_failure
from backends.eos.emulator.instance import Instance
from backends.eos.emulator.upload_ranges import FstCrash
from backends.eos.emulator.wire import MALFORMED, BadRequest, Connection, Disconnected, HttpServer, Request
from backends.eos.emulator.writers import Writers

# Above this XRootD 5 does not cope with a chunked body that has a length.
_XROOTD5_LIMIT: Final = 1 << 20


class FstHttp:
    """Handles the requests of one FST. The capability decides; the path is decoration."""

    def __init__(self, instance: Instance, number: int, writers: Writers) -> None:
        self._instance = instance
        self._number = number
        self._writers = writers
        self.servers: list[HttpServer] = []

    def handle(self, connection: Connection, request: Request) -> None:
        """Serve one request."""
        instance = self._instance
        instance.counters.add(f"fst.{self._number}.{request.method}")
        self._count_secrets(request)
        bare = request.method == "HEAD"
        try:
            self._serve(connection, request)
        except HttpFailure as error:
            answer_failure(connection, error, bare=bare)
        except FstCrash:
            instance.counters.add("fst.crashes")
            self.take_down(instance.quirks.crash_seconds)
            raise Disconnected("the server is gone") from None

    def take_down(self, seconds: float | None = None) -> None:
        """Close the ports and reset all connections; come back after `seconds`, if any are given."""
        for server in self.servers:
            server.stop()
        if seconds is not None:
            timer = threading.Timer(seconds, self.bring_back)
            timer.daemon = True
            timer.start()

    def bring_back(self) -> None:
        """Open the ports again."""
        if not self._instance.stopping.is_set():
            for server in self.servers:
                server.start()

    def _count_secrets(self, request: Request) -> None:
        counters = self._instance.counters
        if "x-gateway-authorization" in request.headers:
            counters.add("fst.leaked_keys")
        if "authorization" in request.headers or "authz=" in request.query:
            counters.add("fst.leaked_tokens")
        if "x-forwarded-for" in request.headers or "remote-user" in request.headers:
            counters.add("fst.leaked_identities")

    def _serve(self, connection: Connection, request: Request) -> None:
        instance = self._instance
        if request.method not in ("GET", "HEAD", "PUT"):
            raise HttpFailure(501, f"the method {request.method} is not implemented")
        if request.method == "PUT":
            self._check_framing(request)
        try:
            capability = instance.capabilities.opened(request.query, instance.clock())
        except CapabilityError as error:
            raise HttpFailure(500, f"unable to open file: {error}") from error
        instance.counters.capability(capability.nonce)
        call = Call(f"fst.{request.method}", capability.path, capability.uid)
        if self._broken(connection, call):
            return
        if request.method == "PUT":
            self._check_access(capability, "create", "update")
            fst_put.put(instance, self._writers, self._number, connection, request, capability, call)
        else:
            self._check_access(capability, "read")
            fst_get.get(instance, self._number, connection, request, capability, call)

    def _broken(self, connection: Connection, call: Call) -> bool:
        faults = self._instance.faults
        if faults.hang("fst_silence", call):
            connection.abort()
            return True
        if faults.take("malformed_500", call) is not None:
            connection.close()
            connection.send(b"HTTP/1.1 500 INTERNAL_SERVER_ERROR\r\nduring chunk upload\r\nContent-Length: 0\r\n\r\n")
            connection.drain()
            return True
        refused = faults.take("fst_open_error", call)
        if refused is not None:
            raise HttpFailure(refused.parameters["status"], "unable to open file")
        return False

    def _check_framing(self, request: Request) -> None:
        policy = self._instance.quirks.chunked_with_length
        if request.chunked and request.length is not None:
            if policy == "xrootd6":
                raise BadRequest(MALFORMED)
            if policy == "xrootd5" and request.length > _XROOTD5_LIMIT:
                raise HttpFailure(500, "fatal internal error")
        elif not request.chunked and request.length is None:
            raise HttpFailure(411, "a PUT needs a length")
        elif request.chunked and "x-upload-range" in request.headers:
            raise FstCrash("a range PUT without Content-Length")

    @staticmethod
    def _check_access(capability: Capability, *wanted: str) -> None:
        if capability.access not in wanted:
            raise HttpFailure(500, "unable to open file: the capability is for something else")
