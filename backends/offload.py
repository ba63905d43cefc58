"""Blocking work beside the event loop.

A worker serves many requests from one thread: whatever may block for long (fsync, reading or writing much, hashing a
large block) runs in gevent's pool of real threads. Outside a worker, in tools and tests, it runs where it is called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import gevent.monkey
from gevent import get_hub

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 32
"""Threads of a worker's pool: fsyncs overlap (measured 7,000 a second from 32 threads, 3,300 from one)."""


def offload(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """`function(*args, **kwargs)` in a thread while other greenlets run; its exceptions come back."""
    if not gevent.monkey.is_module_patched("socket"):
        return function(*args, **kwargs)
    result: T = get_hub().threadpool.apply(function, args, kwargs)
    return result


def configure() -> None:
    """Give this process's pool its size; called once in every worker, after the fork."""
    get_hub().threadpool.maxsize = THREADS
