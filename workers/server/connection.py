"""One client's connection: heads in, answers out, until one side ends it."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

import gevent

from workers.protocol.errors import S3Error
from workers.server.body import CONTINUE, EMPTY, ChunkedBody, LengthBody, NoBody
from workers.server.errors import BadHead, BodyError, Expired, error_answer, error_for_body
from workers.server.exchange import Exchange
from workers.server.head import EnvironKeys, Head, Hosts, parse_head, too_large
from workers.server.limits import Limits
from workers.server.proxy import read_proxy_header
from workers.server.response import Context, Response
from workers.server.transport import Transport

_RECV_BYTES: Final = 16384
_STREAK: Final = 16  # pipelined requests served before the neighbours get a turn
_UPPER: Final = range(65, 91)
FRESH_SECONDS: Final = 1.0  # what a new connection still gets for its first request from a stopping worker


@dataclass(slots=True)
class Service:
    """What all connections of a worker share."""

    application: Callable[..., Iterable[bytes]]
    limits: Limits
    log: logging.Logger
    request_id: Callable[[], str]
    count_request: Callable[[], None]
    keys: EnvironKeys
    hosts: Hosts
    context: Context


class Connection:
    """The loop of one connection. `template` is the environ of its requests but for what they say themselves."""

    def __init__(self, service: Service, transport: Transport, template: dict[str, Any]) -> None:
        self._service = service
        self._limits = service.limits
        self._transport = transport
        self._template = template
        self._buffer = b""
        self._streak = 0

    def run(self) -> None:
        """Serve requests until the connection is to be closed. The caller closes the transport."""
        try:
            try:
                deadline = monotonic() + self._limits.head_timeout
                while (head := self._read_head(deadline)) is not None and self._serve(head):
                    deadline = monotonic() + self._limits.keepalive
            except BadHead as refusal:
                self._service.log.info("Refused a request from %s: %s", self._template["REMOTE_ADDR"], refusal)
                self._refuse(refusal.error, refusal.status)
        except OSError as error:
            self._service.log.debug("Connection from %s ended: %s", self._template["REMOTE_ADDR"], error)

    def proxied(self, mode: str, allowed: bool) -> bool:
        """Read a PROXY header and take from it who the client is; false when the connection is to be closed."""
        deadline = monotonic() + self._limits.head_timeout
        try:
            try:
                buffer = self._transport.recv(_RECV_BYTES, deadline)
                more = lambda: self._transport.recv(_RECV_BYTES, deadline)  # noqa: E731
                client, self._buffer = read_proxy_header(buffer, more, mode, allowed)
            except BadHead as refusal:
                self._service.log.warning("Refused a connection from %s: %s", self._template["REMOTE_ADDR"], refusal)
                self._refuse(refusal.error, refusal.status)
                return False
        except OSError as error:
            self._service.log.debug("Connection from %s ended: %s", self._template["REMOTE_ADDR"], error)
            return False
        if client is not None:
            self._template["REMOTE_ADDR"] = client.address
            self._template["REMOTE_PORT"] = str(client.port)
            if client.tls:
                # The client's connection, which ends at the proxy, is what policies and Location are about.
                self._template["wsgi.url_scheme"] = "https"
                self._template["shardgate.tls"] = client.tls
        return True

    # heads

    def _read_head(self, deadline: float) -> Head | None:
        """Return the next head, None when the connection ended or nothing came in time. Raises BadHead, OSError."""
        transport = self._transport
        block = self._buffer
        if block:
            self._streak += 1
            if self._streak >= _STREAK:
                self._streak = 0
                transport.yield_after(1 << 20)
        else:
            if self._service.context.draining:
                if not transport.fresh:
                    return None
                deadline = min(deadline, monotonic() + FRESH_SECONDS)
            self._streak = 0
            transport.idle = not transport.fresh
            try:
                block = transport.recv_later(_RECV_BYTES, deadline)
            except Expired:
                # A request may have crossed the decision to close.
                block = transport.recv_now(_RECV_BYTES) or b""
            transport.idle = transport.fresh = False
            if not block:
                return None
        end = block.find(b"\r\n\r\n")
        if end <= 0 or block[0] not in _UPPER:
            block, end = self._rest_of_head(block, monotonic() + self._limits.head_timeout)
            if end < 0:
                return None
        end += 4
        if end == len(block):
            self._buffer = b""
        else:
            block, self._buffer = block[:end], block[end:]
        service = self._service
        return parse_head(block, self._template.copy(), service.keys, service.hosts, self._limits)

    def _rest_of_head(self, block: bytes, deadline: float) -> tuple[bytes, int]:
        """Receive until the head is whole; return what was received and where the empty line is (-1: ended)."""
        limits = self._limits
        begun = False
        seen = 0
        while True:
            if not begun:
                # RFC 9112 section 2.2: one empty line in front of the request line is ignored.
                if block[:2] == b"\r\n":
                    block = block[2:]
                    begun = True
                begun = begun or (len(block) > 0 and block != b"\r")
            if begun and block:
                if block[0] not in _UPPER:
                    raise BadHead("not a request line")
                end = block.find(b"\r\n\r\n", max(0, seen - 3))
                if end >= 0:
                    return block, end
                new = seen - 1 if block[seen - 1 : seen] == b"\r" else seen
                if block.count(b"\n", new) != block.count(b"\r\n", new):
                    raise BadHead("bare LF as line end")
                if len(block) > limits.header_bytes:
                    raise too_large()
                if len(block) > limits.request_line_bytes and block.find(b"\r\n", 0, limits.request_line_bytes) < 0:
                    raise too_large()
                seen = len(block)
            try:
                data = self._transport.recv(_RECV_BYTES, deadline)
            except Expired:
                raise BadHead("head time-out", S3Error("RequestTimeout")) from None
            if not data:
                return b"", -1
            block += data

    # one request

    def _body(self, head: Head) -> NoBody:
        if not head.length:
            if head.expects and "CONTENT_LENGTH" in head.environ:
                # There is nothing to wait for, but botocore asks with empty bodies too, and after a final answer
                # instead it keeps that one's status line for the connection's next answer, and waits for its end
                # until it times out (AWSConnection.response_class).
                self._transport.send(CONTINUE, self._limits.body_timeout)
            return EMPTY
        pending = self._buffer
        if head.length < 0:
            self._buffer = b""
            return ChunkedBody(self._transport, self._limits, pending, expected=head.expects)
        if len(pending) > head.length:
            pending, self._buffer = pending[: head.length], pending[head.length :]
        else:
            self._buffer = b""
        return LengthBody(self._transport, self._limits, pending, head.length, expected=head.expects)

    def _serve(self, head: Head) -> bool:
        """Let the application answer one request; tell whether the connection goes on. Raises OSError."""
        service = self._service
        service.count_request()
        body = self._body(head)
        exchange = Exchange(body, monotonic(), head.underscored)
        environ = head.environ
        environ["wsgi.input"] = body
        environ["shardgate.exchange"] = exchange
        response = Response(
            self._transport,
            exchange,
            body.settle,
            method=head.method,
            http11=head.http11,
            keep_alive=head.keep_alive and self._limits.keepalive > 0,
            context=service.context,
        )
        whole = False
        result: Iterable[bytes] | None = None
        try:
            try:
                result = service.application(environ, response.start_response)
                response.send(result)
                whole = True
            except gevent.GreenletExit:
                self._transport.reset_on_close()  # the worker's graceful time is over
                raise
            except (Exception, gevent.Timeout, SystemExit) as error:  # noqa: BLE001  each error ends in its answer
                self._failed(error, head, response, exchange)
            finally:
                if not whole:
                    response.keep_alive = False
                if result is not None:
                    self._close_result(result, head)
        finally:
            exchange.finish(lambda error: service.log.error("Error in a request's on_finish", exc_info=error))
        if body is EMPTY and response.keep_alive:
            return True
        return self._after(body, head, response.keep_alive, whole)

    def _after(self, body: NoBody, head: Head, keep_alive: bool, whole: bool) -> bool:
        if keep_alive and (body.complete or body.drain()):
            if head.length < 0:
                self._buffer = body.rest()
            return True
        if whole and (not body.complete or self._transport.recv_now(1)):
            self._linger()
        return False

    def _close_result(self, result: Iterable[bytes], head: Head) -> None:
        close = getattr(result, "close", None)
        if close is not None:
            try:
                close()
            except Exception:
                self._service.log.exception("Error closing the response of %s", _name(head))

    # refusals

    def _failed(self, error: BaseException, head: Head, response: Response, exchange: Exchange) -> None:
        """Answer for an application that raised; break the connection off when an answer has begun."""
        log = self._service.log
        if isinstance(error, BodyError):
            log.info("Request body of %s broke off: %s", _name(head), error)
            refusal = error_for_body(error)
        elif response.broken:
            log.debug("Client left during the response to %s: %s", _name(head), error)
            refusal = None
        else:
            log.error("Error handling request %s", _name(head), exc_info=error)
            refusal = S3Error("InternalError")
        if refusal is None:
            exchange.client_gone = True
            self._transport.reset_on_close()
        elif response.head_sent:
            self._transport.reset_on_close()
        else:
            self._refuse(refusal, refusal.status, with_body=head.method != "HEAD")

    def _refuse(self, error: S3Error, status: int, *, with_body: bool = True) -> None:
        service = self._service
        answer = error_answer(error, status, service.request_id(), service.context.dates.line(), with_body=with_body)
        try:
            self._transport.send(answer, self._limits.body_timeout)
        except OSError as broken:
            service.log.debug("The client did not wait for a refusal: %s", broken)
            return
        self._linger()

    def _linger(self) -> None:
        """Let the client receive the answer: closing with unread data would send a reset that may overtake it."""
        self._transport.end_sending()
        if not self._service.context.draining:
            self._transport.idle = True  # a stopping worker need not wait for this
            self._transport.discard(self._limits.linger_bytes, monotonic() + self._limits.linger_timeout)


def _name(head: Head) -> str:
    # Without the query, which may hold a signature.
    return f"{head.method} {head.environ.get('RAW_URI', '').partition('?')[0]!r}"
