"""How long the storage takes, and how it fails, by method of the contract."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from time import monotonic
from typing import Any, Final

from backends.api import Backend, BackendError
from workers.telemetry.metrics import Metrics

METHODS: Final = (
    *("check", "create_bucket", "get_bucket", "list_buckets", "delete_bucket"),
    *("put_object", "get_object", "head_object", "delete_object", "list_objects", "update_object"),
    *("copy_object", "rename_object"),
    *("create_upload", "load_upload", "list_uploads", "put_part", "discard_part", "complete_upload", "abort_upload"),
    *("get_document", "put_document", "delete_document", "list_documents"),
)


def measure(backend: Backend, metrics: Metrics) -> None:
    """Report each call of `backend` from now on, also those that its own defaults make.

    What returns a body or an iterator is measured until it returns, not until that is used up.
    """
    for name in METHODS:
        # On the object: the class may serve others, and what overrides what stays as it is.
        setattr(backend, name, _measured(name, getattr(backend, name), metrics))


def _measured(name: str, method: Callable[..., Any], metrics: Metrics) -> Callable[..., Any]:
    timer, errors = f"backend.time.{name}", f"backend.errors.{name}."

    @wraps(method)
    def call(*arguments: Any, **options: Any) -> Any:
        begun = monotonic()
        try:
            return method(*arguments, **options)
        except BackendError as error:
            metrics.count(errors + type(error).__name__)
            raise
        finally:
            metrics.time(timer, monotonic() - begun)

    return call
