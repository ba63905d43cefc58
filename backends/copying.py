"""The contract's defaults for copying, renaming and changing a record, built from get and put."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from backends.bodies import OpenObject
from backends.errors import NoSuchObject, PreconditionFailed
from backends.preconditions import Precondition
from backends.records import ObjectRecord
from backends.values import Caller

if TYPE_CHECKING:
    from backends.api import Backend

ATTEMPTS: Final = 16
"""How often a change is tried when somebody else changes the object at the same time."""


class CopySource:
    """An open object as the source of a put, under a record that is known already."""

    __slots__ = ("_blocks", "_record", "_rest", "length")

    def __init__(self, opened: OpenObject, record: ObjectRecord) -> None:
        self.length: int | None = opened.record.stored_size
        self._record = record
        self._blocks: Iterator[bytes] = opened.read(0, self.length) if self.length else iter(())
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes."""
        block = self._rest or next(self._blocks, b"")
        self._rest = block[size:]
        return block[:size]

    def record(self) -> ObjectRecord:
        """The record that was given."""
        return self._record


def _still(before: ObjectRecord) -> Precondition:
    """The condition that the current object is the one of that record: an ETag would not tell a changed record."""

    def unchanged(current: ObjectRecord | None) -> None:
        if current != before:
            raise PreconditionFailed("If-Match")

    return Precondition(guard=unchanged)


def rewrite_record(
    backend: Backend, caller: Caller, bucket: str, key: str, change: Callable[[ObjectRecord], ObjectRecord]
) -> ObjectRecord:
    """Write an object anew with a changed record, on the condition that it is still the one that was read."""
    for attempt in range(ATTEMPTS):
        opened = backend.get_object(caller, bucket, key)
        try:
            before = opened.record
            return backend.put_object(caller, bucket, key, CopySource(opened, change(before)), _still(before))
        except PreconditionFailed:
            if attempt == ATTEMPTS - 1:
                raise
        finally:
            opened.close()
    raise AssertionError("unreachable")


def rename_by_copy(
    backend: Backend,
    caller: Caller,
    bucket: str,
    source: str,
    target: str,
    source_precondition: Precondition,
    target_precondition: Precondition,
) -> ObjectRecord:
    """Copy, then delete what was copied, if it is still that. An object renamed to its own key stays as it is."""
    opened = backend.get_object(caller, bucket, source)
    try:
        before = opened.record
        source_precondition.check(before)
        if source == target:
            target_precondition.check(before)
            return before
        after = backend.copy_object(caller, opened, bucket, target, before, target_precondition)
    finally:
        opened.close()
    try:
        backend.delete_object(caller, bucket, source, precondition=_still(before))
    except (NoSuchObject, PreconditionFailed):
        # Somebody else deleted or replaced the source meanwhile; what this call renamed is in its new place.
        pass
    return after
