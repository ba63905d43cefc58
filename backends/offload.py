"""Blocking work beside the event loop.

A worker serves many requests from one thread: whatever may block for long (fsync, reading or writing much, hashing a
large block) runs in gevent's pool of real threads. Outside a worker, in tools and tests, it runs where it is called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

import gevent
import gevent.monkey
from gevent import get_hub

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 32
"""Threads of a worker's pool: fsyncs overlap (measured 7,000 a second from 32 threads, 3,300 from one)."""


def in_worker() -> bool:
    """Whether an event loop runs here that blocking calls would hold up."""
    return bool(gevent.monkey.is_module_patched("socket"))


def offload(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """`function(*args, **kwargs)` in a thread while other greenlets run; its exceptions come back."""
    if not in_worker():
        return function(*args, **kwargs)
    result, error = get_hub().threadpool.apply(_settled, (function, args, kwargs))
    if error is not None:
        try:
            raise error
        finally:
            del error  # else the error and this frame would hold each other
    settled: T = result
    return settled


class Shared(Generic[T]):
    """A call that all who make it at the same time wait for together, in one thread.

    For health checks: dispatchers and the supervisor ask each worker every second, and a storage that hangs must cost
    neither a thread for each of them nor, for those who ask meanwhile, a false alarm.
    """

    def __init__(self, function: Callable[[], T]) -> None:
        """`function` tells expected failures by its result, since an exception would be printed by gevent."""
        self._function = function
        self._running: gevent.Greenlet[..., T] | None = None

    def __call__(self) -> T:
        """The result of the call that is under way, or of a new one; a gevent.Timeout ends the waiting alone."""
        if not gevent.monkey.is_module_patched("socket"):
            return self._function()
        running = self._running
        if running is None:
            running = self._running = gevent.spawn(offload, self._function)
            running.link(self._ended)
        result: T = running.get()
        return result

    def _ended(self, running: gevent.Greenlet[..., T]) -> None:
        self._running = None


def _settled(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """The result or the error. A pool prints the errors of its tasks on standard error, also the expected ones."""
    try:
        return function(*args, **kwargs), None
    except BaseException as error:  # noqa: BLE001 -- all of them are raised where the result is waited for
        return None, error


def configure() -> None:
    """Give this process's pool its size; called once in every worker, after the fork."""
    get_hub().threadpool.maxsize = THREADS
