"""The Falcon application of a worker."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

import falcon

from workers import lifecycle
from workers.operations import operation_table
from workers.pipeline import Pipeline
from workers.protocol.errors import S3Error, render_error
from workers.services import Services
from workers.settings import Settings, load_worker_settings

STATUS_LINES: Final = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class GatewayApp(falcon.App[falcon.Request, falcon.Response]):
    """The application together with what it works with, for the hooks of the worker's life."""

    def __init__(self, services: Services) -> None:
        super().__init__()
        self.services = services
        # Falcon's own default, JSON, is never ours; with None, which its annotation forgets, an answer gets no type.
        self.resp_options.default_media_type = None  # type: ignore[assignment]
        self._new_id = request_ids()
        self._pipeline = Pipeline(services, operation_table(), self._new_id)
        self.add_sink(self._perform, "")
        self.add_error_handler(falcon.HTTPError, self._refuse)

    def _perform(self, req: falcon.Request, resp: falcon.Response, **_: Any) -> None:
        response = self._pipeline.perform(req.env)
        resp.status = STATUS_LINES[response.status]
        headers = response.headers
        if response.stream is not None:
            resp.stream = response.stream
        elif response.body:
            resp.data = response.body
        elif response.status not in (204, 304) and "content-length" not in headers:
            headers["content-length"] = "0"
        resp.set_headers(headers)

    def _refuse(
        self, req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, params: dict[str, Any]
    ) -> None:
        """What Falcon refuses by itself, such as a method that HTTP does not have, in S3's form."""
        request_id = self._new_id()
        refusal = S3Error("MethodNotAllowed", Method=req.method)
        resp.status = STATUS_LINES[refusal.status]
        resp.set_headers({"content-type": "application/xml", "x-amz-request-id": request_id})
        resp.data = render_error(refusal, resource=req.path, request_id=request_id, host_id=self.services.host_id)


def create_app(settings: Settings, *, services: Services | None = None) -> GatewayApp:
    """The WSGI application of one worker; without `services` they are opened by the settings."""
    return GatewayApp(services or lifecycle.open_services(settings))


def create_app_from_environment() -> GatewayApp:
    """For gunicorn: the application by the settings in the environment and the configuration file named there.

    Raises `SettingsError` or `backends.api.BackendError` with one line.
    """
    return create_app(load_worker_settings())


def request_ids() -> Callable[[], str]:
    """A source of request ids, 16 upper-case hexadecimal digits: 32 random bits of this worker, then a counter.

    One random number for each request would cost 4 % of a small one.
    """
    prefix = secrets.token_hex(4).upper()
    counter = itertools.count(secrets.randbits(16))
    return lambda: f"{prefix}{next(counter) & 0xFFFFFFFF:08X}"
