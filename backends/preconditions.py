"""What a change asks of the object that is there, checked at the moment of publication."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from backends.errors import NoSuchObject, PreconditionFailed
from backends.records import ObjectRecord


class Precondition(msgspec.Struct, frozen=True, kw_only=True):
    """What must hold of the current object at the moment of publication, deletion or renaming.

    A plugin calls `check` with the current record, or None, while nobody else can publish under that key.

    Attributes:
        if_match: ETags of which the current object must have one; `("*",)` asks only that it exists.
        if_none_match: ETags of which it must have none; `("*",)` asks that it does not exist.
        if_modified_second: the second (since the epoch) that its modification time must fall in.
        if_size: the size it must have.
        guard: a further check that is given the current record and raises what refuses the change (object locks). It
            only computes; it may be called from any thread, and more than once.
    """

    if_match: tuple[str, ...] | None = None
    if_none_match: tuple[str, ...] | None = None
    if_modified_second: int | None = None
    if_size: int | None = None
    guard: Callable[[ObjectRecord | None], None] | None = None

    @property
    def always(self) -> bool:
        """True when there is nothing to check: the change may be published without a look at what is there."""
        return self is ALWAYS or self == ALWAYS

    def check(self, current: ObjectRecord | None) -> None:
        """Raise `PreconditionFailed`, or `NoSuchObject` where a condition needs an object and there is none."""
        if current is not None and current.delete_marker:
            current = None
        if current is None:
            if self.if_match is not None or self.if_modified_second is not None or self.if_size is not None:
                raise NoSuchObject
        else:
            self._check_existing(current)
        if self.guard is not None:
            self.guard(current)

    def _check_existing(self, current: ObjectRecord) -> None:
        if self.if_match is not None and self.if_match != ("*",) and current.etag not in self.if_match:
            raise PreconditionFailed("If-Match")
        if self.if_none_match is not None and (self.if_none_match == ("*",) or current.etag in self.if_none_match):
            raise PreconditionFailed("If-None-Match")
        if self.if_modified_second is not None and current.modified // 1_000_000_000 != self.if_modified_second:
            raise PreconditionFailed("x-amz-if-match-last-modified-time")
        if self.if_size is not None and current.size != self.if_size:
            raise PreconditionFailed("x-amz-if-match-size")


ALWAYS: Final = Precondition()
"""No precondition."""
