"""The way of a request of the query protocol.

    read form -> resolve -> authenticate -> authorize -> gate -> operation -> encode

The form says which operation is asked for, and its digest is signed: it is read before anything else, and so is small.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Final

import redis

from backends.api import BackendError
from workers.authenticating import authenticate_request
from workers.backend_errors import refusal_of
from workers.body import WireReader
from workers.iam.decision import decide, denial_message
from workers.iam.policy.principals import PrincipalKind
from workers.iam.records import IamError
from workers.protocol.bodies import LengthReader, LimitReader, Reader, read_all
from workers.protocol.errors import S3Error
from workers.protocol.query import (
    FORM,
    MAX_FORM,
    Parameters,
    QueryError,
    from_query,
    parse_form,
    query_error,
    render_query_error,
)
from workers.query import constraints
from workers.query.caller import context_of, keys_of
from workers.query.rendering import REQUEST_ID
from workers.request import Request, Response
from workers.routing import IAM, STS, Operation, OperationTable, Service
from workers.services import Services

logger = logging.getLogger("shardgate.query")

_OF_SESSIONS: Final = frozenset({"AssumeRole", "GetCallerIdentity"})
"""What the temporary credentials of an account or user can ask of STS; of IAM they can ask nothing, as with AWS."""


def is_query(request: Request) -> bool:
    """Whether a request to the service itself is one of the query protocol."""
    if request.method == "POST":
        return (request.header("content-type") or "").partition(";")[0].strip().lower() == FORM
    return request.method == "GET" and "Action" in request.query


class QueryFront:
    """Answers requests of the query protocol."""

    def __init__(self, services: Services, table: OperationTable) -> None:
        self._services = services
        self._table = table

    def answer(self, request: Request) -> Response:
        """The answer, or the refusal in the query protocol's form."""
        service = IAM
        try:
            parameters, digest = _read(request)
            service = _service(parameters)
            operation = self._resolve(parameters, service)
            request.operation = operation
            if not operation.anonymous:
                authenticate_request(request, service, digest)
                request.payload = parameters
                if service is IAM:
                    constraints.check(parameters)
                self._authorize(request, operation)
            request.payload = parameters
            if self._services.budgets is not None:
                self._services.budgets.admit(request)
            if operation.writes and self._services.settings.read_only:
                raise QueryError("AccessDenied", "This gateway is read-only.")
            return operation.handler(request)
        except QueryError as error:
            refusal = error
        except IamError as error:
            refusal = QueryError(error.code, str(error))
        except S3Error as error:
            refusal = query_error(error)
        except (BackendError, redis.RedisError) as error:
            refusal = query_error(refusal_of(error, "", "", logger, {"request_id": request.id}))
        return refused(refusal, service, request.id)

    def _resolve(self, parameters: Parameters, service: Service) -> Operation:
        name = parameters.get("Action")
        if not name:
            raise QueryError("MissingAction", "The request is missing an action or a required parameter.")
        operation = self._table.actions.get((service.version, name))
        if operation is None:
            raise QueryError("InvalidAction", f"Could not find operation {name[:64]} for version {service.version}")
        return operation

    def _authorize(self, request: Request, operation: Operation) -> None:
        """Raises `QueryError` AccessDenied, MissingAuthenticationToken."""
        if request.account is None:
            raise QueryError("MissingAuthenticationToken", "Request is missing Authentication Token")
        principal = request.principal
        temporary = principal.token_issued is not None and principal.kind is not PrincipalKind.ROLE
        if temporary and (operation.service is IAM or operation.name not in _OF_SESSIONS):
            raise QueryError("AccessDenied", f"Cannot call {operation.name} with session credentials")
        if operation.resource is None:
            return
        resource = operation.resource(request)
        context = context_of(request, principal, keys_of(request))
        decision = decide(operation.action, resource, principal, context)
        if not decision.allowed:
            raise QueryError("AccessDenied", denial_message(decision, principal, operation.action, resource))


def _read(request: Request) -> tuple[Parameters, str]:
    """The parameters, and the SHA-256 of the body. Raises `QueryError`, `S3Error`."""
    if request.method == "GET":
        return from_query(request.query), hashlib.sha256(b"").hexdigest()
    announced = request.header("content-length") or ""
    reader: Reader = WireReader(request.environ["wsgi.input"])
    if announced:
        if not (announced.isascii() and announced.isdigit()) or int(announced[:12]) > MAX_FORM:
            raise QueryError("ValidationError", f"The request has more than {MAX_FORM} bytes.")
        reader = LengthReader(reader, int(announced))
    else:
        reader = LimitReader(reader, MAX_FORM)
    data = read_all(reader, MAX_FORM)
    digest = hashlib.sha256(data).hexdigest()
    stated = request.header("x-amz-content-sha256")
    if stated is not None and stated.lower() != digest:
        raise QueryError("SignatureDoesNotMatch", "x-amz-content-sha256 is not the digest of the request's body.")
    return parse_form(data), digest


def _service(parameters: Parameters) -> Service:
    version = parameters.get("Version")
    found = next((service for service in (IAM, STS) if service.version == version), None)
    if found is None:
        raise QueryError("InvalidAction", f"The requested version ( {version[:32]} ) is not valid")
    return found


def refused(refusal: QueryError, service: Service, request_id: str) -> Response:
    """The answer that tells a refusal."""
    headers = {"content-type": "text/xml", REQUEST_ID: request_id}
    if refusal.status == 503 or refusal.code == "Throttling":
        headers["retry-after"] = "5"
    response = Response(refusal.status, headers, render_query_error(refusal, service.namespace, request_id))
    response.error = refusal.code
    return response
