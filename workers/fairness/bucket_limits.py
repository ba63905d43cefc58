"""The limits that a bucket has of its own: a document of the bucket, remembered for a while."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec

from backends.api import ANY_REVISION, Backend, BackendError, NoSuchBucket
from workers.fairness.budgets import Limits

logger = logging.getLogger("shardgate.budgets")

DOCUMENT: Final = "budgets"
LIFETIME: Final = 10.0
"""Seconds after which a change is seen."""
REMEMBERED: Final = 10_000

_MOST: Final = 1 << 53


class _Document(msgspec.Struct, frozen=True, omit_defaults=True):
    requests: int = 0
    bytes: int = 0
    concurrent: int = 0


_decoder = msgspec.json.Decoder(_Document)
_encoder = msgspec.json.Encoder()


class BucketLimits:
    """Reads them.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, backend: Backend, clock: Callable[[], float] = time.monotonic) -> None:
        self._backend = backend
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, Limits | None]] = OrderedDict()

    def of(self, bucket: str) -> Limits | None:
        """A bucket's own limits; None when it has none, or does not exist. What cannot be read stays as it was."""
        now = self._clock()
        known = self._known.get(bucket)
        if known is not None and now < known[0]:
            return known[1]
        limits = known[1] if known is not None else None
        # Noted before it is read, so that those who come meanwhile do not all read it.
        self._note(bucket, now, limits)
        try:
            limits = load(self._backend, bucket)
        except (BackendError, msgspec.DecodeError) as error:
            logger.warning("the budgets of bucket %s cannot be read: %s: %s", bucket, type(error).__name__, error)
        else:
            self._note(bucket, now, limits)
        return limits

    def _note(self, bucket: str, now: float, limits: Limits | None) -> None:
        self._known[bucket] = (now + LIFETIME, limits)
        self._known.move_to_end(bucket)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def load(backend: Backend, bucket: str) -> Limits | None:
    """A bucket's own limits, None when it has none or does not exist."""
    try:
        found = backend.get_document(bucket, DOCUMENT)
    except NoSuchBucket:
        return None
    if found is None:
        return None
    document = _decoder.decode(found.data)
    numbers = (document.requests, document.bytes, document.concurrent)
    if not all(0 <= number <= _MOST for number in numbers):
        raise msgspec.DecodeError("a limit is out of range")
    return Limits(*numbers)


def save(backend: Backend, bucket: str, limits: Limits | None) -> None:
    """Give a bucket limits of its own, or none. Raises `NoSuchBucket`."""
    if limits is None:
        backend.delete_document(bucket, DOCUMENT, ANY_REVISION)
    else:
        backend.put_document(bucket, DOCUMENT, _encoder.encode(_Document(*limits)), ANY_REVISION)
