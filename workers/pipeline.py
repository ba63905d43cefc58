"""The way of a request, each step once.

    locate -> resolve -> authenticate -> gate -> authorize -> admit -> decode body -> operation -> encode -> account

Everything before "decode body" happens before the client is told to send its body. What cannot be resolved is told
to a caller who signed his request only after his signature was verified.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

import redis

from backends.api import BackendError, NoSuchObject, NoSuchVersion
from workers import health
from workers.addressing import Address, Addressing
from workers.authenticating import authenticate_request
from workers.authorizing import authorize_again, authorize_request, may_list
from workers.backend_errors import refusal_of
from workers.body import open_body, open_document
from workers.protocol.errors import S3Error, render_error
from workers.protocol.names import check_bucket_name, check_key
from workers.protocol.query import query_error
from workers.protocol.target import parse_query, split_target
from workers.query.front import QueryFront, is_query, refused
from workers.request import Request, Response
from workers.routing import S3, Level, NoBody, Operation, OperationTable, Stream, Xml
from workers.services import Services
from workers.telemetry.exchange import Exchange

logger = logging.getLogger("shardgate.pipeline")

UNRESOLVED: Final = "unresolved"
"""The metric name of requests that were refused before their operation was known."""


class Pipeline:
    """Performs requests: `perform(environ)` answers each, whatever happens.

    Args:
        new_id: gives each request its id.
    """

    def __init__(self, services: Services, table: OperationTable, new_id: Callable[[], str]) -> None:
        self._services = services
        self._table = table
        self._new_id = new_id
        self._addressing = Addressing(services.settings.virtual_host_domains)
        self._base_headers = {"x-amz-id-2": services.host_id}
        self._query = QueryFront(services, table)

    def perform(self, environ: dict[str, Any]) -> Response:
        """The answer to a request. Never raises: a bug is logged and answered as InternalError."""
        request = Request(environ, self._new_id(), self._services, self._services.clock() / 1e9)
        raw_uri: str = environ["RAW_URI"]
        if raw_uri.startswith(health.PREFIX) and not self._addressing.is_virtual(environ.get("HTTP_HOST", "")):
            response = health.answer(raw_uri.partition("?")[0], self._services)
            response.headers["x-amz-request-id"] = request.id
            return response
        try:
            response = self._answer(request, raw_uri)
        except (S3Error, BackendError, redis.RedisError) as error:
            response = self._error_response(request, self._refusal(request, error))
        except Exception:  # the last resort: a bug must not take the worker down, nor show itself to clients
            logger.exception("request failed", extra=_log_fields(request))
            response = self._error_response(request, S3Error("InternalError"))
        response.headers["x-amz-request-id"] = request.id
        response.headers.update(self._base_headers)
        if self._services.recorder.active:
            self._account(request, response)
        return response

    def _answer(self, request: Request, raw_uri: str) -> Response:
        address = self._locate(request, raw_uri)
        if address.level is Level.SERVICE and is_query(request):
            return self._query.answer(request)
        try:
            operation = self._resolve(request, address)
        except S3Error:
            # Like AWS: who asks comes before what cannot be asked. Without credentials this costs nothing.
            authenticate_request(request)
            raise
        request.operation = operation
        if not operation.anonymous:
            authenticate_request(request)
            self._gate(operation)
            authorize_request(request)
            if self._services.budgets is not None:
                self._services.budgets.admit(request)
        self._decode(request, operation)
        context = request.context
        if context is not None and context.pending:
            authorize_again(request)
        return operation.handler(request)

    def _locate(self, request: Request, raw_uri: str) -> Address:
        """Take the request's target apart."""
        raw_path, raw_query = split_target(raw_uri)
        request.raw_path = raw_path
        if raw_query:
            request.query = parse_query(raw_query)
        address = self._addressing.locate(raw_path, request.environ.get("HTTP_HOST", ""))
        request.bucket, request.key = address.bucket, address.key
        return address

    def _resolve(self, request: Request, address: Address) -> Operation:
        """The operation that is asked for, of a bucket and a key that there can be."""
        operation = self._table.resolve(
            request.method, address.level, request.query or None, request.header, address.key or address.bucket
        )
        if address.level is not Level.SERVICE:
            check_bucket_name(address.bucket)
            if address.level is Level.OBJECT:
                check_key(address.key)
        if operation.path:
            # What the path named was the call.
            request.bucket, request.key = (address.bucket if address.level is Level.OBJECT else ""), ""
        return operation

    def _gate(self, operation: Operation) -> None:
        if operation.writes and self._services.settings.read_only:
            raise S3Error("AccessDenied", "This gateway is read-only.")

    def _decode(self, request: Request, operation: Operation) -> None:
        rule = operation.body
        if isinstance(rule, Stream):
            if not rule.deferred:
                request.body = open_body(request, rule.limit, checksum=rule.checksum)
        elif isinstance(rule, Xml):
            self._decode_xml(request, rule)
        else:
            assert isinstance(rule, NoBody)  # noqa: S101 -- for the type checker

    @staticmethod
    def _decode_xml(request: Request, rule: Xml) -> None:
        if request.header("content-length") in (None, "") and request.header("transfer-encoding") is None:
            if rule.required:
                raise S3Error("MissingContentLength")
            data = b""
        else:
            body = open_document(request, rule.limit, about_object=rule.about_object)
            if rule.digest_required and not body.digests.announced:
                raise S3Error(
                    "InvalidRequest", "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"
                )
            data = body.read_all(rule.limit)
        if not data and rule.required:
            raise S3Error("MissingRequestBodyError")
        request.payload = rule.parse(data)

    @staticmethod
    def _refusal(request: Request, error: S3Error | BackendError | redis.RedisError) -> S3Error:
        """The S3 error of a refusal. What says that the storage fails is logged for operators."""
        if isinstance(error, S3Error):
            return error
        if isinstance(error, NoSuchObject | NoSuchVersion) and request.known is not None:
            # As on AWS: who may not list the bucket does not learn which objects are not there.
            try:
                if not may_list(request, request.known):
                    return S3Error("AccessDenied")
            except BackendError as other:
                error = other
        return refusal_of(error, request.bucket, request.key, logger, _log_fields(request))

    def _error_response(self, request: Request, error: S3Error) -> Response:
        operation = getattr(request, "operation", None)
        if operation is not None and operation.service is not S3:
            return refused(query_error(error), operation.service, request.id)
        resource = "/" + request.bucket + ("/" + request.key if request.key else "")
        document = render_error(error, resource=resource, request_id=request.id, host_id=self._services.host_id)
        headers = {"content-type": "application/xml", **{name.lower(): value for name, value in error.headers.items()}}
        if error.status == 503:
            headers.setdefault("retry-after", "5")
        response = Response(error.status, headers, document)
        response.error = error.code
        return response

    def _account(self, request: Request, response: Response) -> None:
        """Have the request recorded when its last byte is sent."""
        exchange = request.environ.get("shardgate.exchange")
        operation = getattr(request, "operation", None)
        answered = time.monotonic()

        def finished() -> None:
            now = time.monotonic()
            started = answered if exchange is None else exchange.started
            environ = request.environ
            record = Exchange(
                time=request.now,
                request_id=request.id,
                operation=UNRESOLVED if operation is None else operation.name,
                method=request.method,
                path=request.raw_path,
                bucket=request.bucket,
                key=request.key,
                version_id=request.query.get("versionId", ""),
                status=response.status,
                error=response.error,
                access_key=request.access_key,
                account="" if request.account is None else request.account.id,
                remote=environ.get("REMOTE_ADDR", ""),
                host=environ.get("HTTP_HOST", ""),
                user_agent=environ.get("HTTP_USER_AGENT", ""),
                # A page that was reached by a presigned URL would give its signature away.
                referer=environ.get("HTTP_REFERER", "").partition("?")[0],
                bytes_received=0 if exchange is None else exchange.bytes_received,
                bytes_sent=len(response.body) if exchange is None else exchange.bytes_sent,
                first_byte=round(answered - started, 6),
                total=round(now - started, 6),
                aborted=exchange is not None and (exchange.client_gone or _cut_short(request, response, exchange)),
            )
            self._services.recorder.record(record, UNRESOLVED if operation is None else operation.metric)

        if exchange is None:
            finished()
        else:
            exchange.on_finish(finished)


def _cut_short(request: Request, response: Response, exchange: Any) -> bool:
    """Whether the storage failed while an object was on its way."""
    if response.stream is None or request.method == "HEAD":
        return False
    promised = response.headers.get("content-length")
    return promised is not None and bool(exchange.bytes_sent < int(promised))


def _log_fields(request: Request) -> dict[str, str]:
    operation = getattr(request, "operation", None)
    return {
        "request_id": request.id,
        "operation": "" if operation is None else operation.name,
        "bucket": request.bucket,
        "key": request.key,
    }
