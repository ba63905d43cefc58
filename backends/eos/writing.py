"""Bodies on their way to an FST.

The MGM's leg has no body, the FST's leg has all of it. A large body is only sent when the FST has the file open
(`Expect: 100-continue`), so that until then another FST can be asked; a small one goes out with the head, and is sent
again as a whole by whoever has it.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

from backends.api import StorageFull, StorageUnavailable
from backends.eos.connection import Answer, Broken, Connection
from backends.eos.interfaces import CloseFailed, Role, Unanswered, Written
from backends.eos.mgm import Mgm, Redirect, Retry
from backends.eos.pool import Pool

_AT_ONCE: Final = 1 << 20
"""Bodies up to this length go without `Expect`: a round trip more would cost as much as sending them twice."""
_INVITATION: Final = 10.0
"""Seconds that an FST may take to open a file. It contacts the other replicas for that."""
_CREATED: Final = (200, 201, 204)
_TEXT_LIMIT: Final = 200


class Writer:
    """Opens files for writing. `close_timeout` bounds the wait for an FST's last answer, in seconds."""

    def __init__(self, mgm: Mgm, pool: Pool, retry: Retry, *, close_timeout: float) -> None:
        self._mgm = mgm
        self._pool = pool
        self._retry = retry
        self._close_timeout = close_timeout

    def begin(
        self,
        role: Role,
        path: str,
        length: int | None,
        query: Mapping[str, str],
        headers: Sequence[tuple[str, str]] = (),
    ) -> FileWriting:
        """Both legs up to the point where the body is asked for; `headers` are sent on both.

        Raises what `Mgm.redirect` raises, and `StorageUnavailable` when no FST takes it.
        """
        tried: list[str] = []
        started = self._retry.now()
        attempt = 0
        while True:
            place = self._placed(role, path, query, headers, tried)
            try:
                connection, head = self._open(place, length, headers)
                return FileWriting(connection, head, place, length, self._close_timeout, self._pool)
            except StorageUnavailable as error:
                reason = error
            if str(place.address) not in tried:
                tried.append(str(place.address))
            if not self._retry.pause(attempt, started):
                raise reason
            attempt += 1

    def _placed(
        self,
        role: Role,
        path: str,
        query: Mapping[str, str],
        headers: Sequence[tuple[str, str]],
        tried: list[str],
    ) -> Redirect:
        if tried:
            try:
                return _required(
                    self._mgm.redirect("PUT", role, path, {**query, "tried": ",".join(tried)}, headers), path
                )
            except (StorageFull, StorageUnavailable):
                # There may be no other FST: those that failed once are better than none.
                tried.clear()
        return _required(self._mgm.redirect("PUT", role, path, query, headers), path)

    def _open(
        self, place: Redirect, length: int | None, headers: Sequence[tuple[str, str]]
    ) -> tuple[Connection, bytes]:
        """A connection, and the head that is to go out with the first of the body."""
        fields = [*headers]
        fields.append(("Transfer-Encoding", "chunked") if length is None else ("Content-Length", str(length)))
        connection = self._pool.take(place.address)
        if length is not None and length <= _AT_ONCE:
            return connection, connection.head("PUT", place.target, fields)
        fields.append(("Expect", "100-continue"))
        try:
            return _invited(connection, place, fields), b""
        except Broken:
            if not connection.served:
                raise
            # It was closed while it was idle, and no body was on its way.
            return _invited(self._pool.fresh(place.address), place, fields), b""


def _invited(connection: Connection, place: Redirect, fields: Sequence[tuple[str, str]]) -> Connection:
    """The connection, its FST waiting for the body. Raises `StorageUnavailable`."""
    try:
        connection.begin("PUT", place.target, fields)
        answer = connection.invited(_INVITATION)
        if answer is not None:
            text = connection.body(answer).text(_TEXT_LIMIT)
            raise StorageUnavailable(f"{place.address}: the FST answers {answer.status}: {text}")
    except BaseException:
        connection.close()
        raise
    return connection


class FileWriting:
    """One body under way (`interfaces.Writing`)."""

    __slots__ = ("_adler32", "_close_timeout", "_connection", "_head", "_length", "_pool", "_sent", "fid")

    def __init__(
        self,
        connection: Connection,
        head: bytes,
        place: Redirect,
        length: int | None,
        close_timeout: float,
        pool: Pool,
    ) -> None:
        self.fid = place.fid
        self._head = head
        self._connection: Connection | None = connection
        self._length = length
        self._sent = 0
        self._adler32 = 1
        self._close_timeout = close_timeout
        self._pool = pool

    def write(self, block: bytes | memoryview, /) -> None:
        """See `interfaces.Writing`. Raises `StorageUnavailable`, and `Unanswered` once the end may have been sent."""
        connection = self._open_connection()
        if not len(block):
            return
        if self._length is not None and self._sent + len(block) > self._length:
            self.abort()
            raise ValueError(f"{self._length} bytes were announced and more came")
        self._adler32 = zlib.adler32(block, self._adler32)
        self._sent += len(block)
        try:
            if self._length is None:
                self._send(connection, b"%x\r\n" % len(block) + block + b"\r\n")
            else:
                self._send(connection, block)
        except Broken as error:
            self._explain(connection, error)

    def _send(self, connection: Connection, data: bytes | memoryview) -> None:
        head, self._head = self._head, b""
        connection.send(head + data if head else data)

    def finish(self) -> Written:
        """See `interfaces.Writing`."""
        connection = self._open_connection()
        if self._length is not None and self._sent < self._length:
            self.abort()
            raise ValueError(f"{self._length} bytes were announced and {self._sent} came")
        try:
            if self._length is None:
                self._send(connection, b"0\r\n\r\n")
            elif self._head:
                self._send(connection, b"")
            answer = connection.answer(self._close_timeout)
        except Broken as error:
            self._explain(connection, error)
        self._connection = None
        text = connection.body(answer).text(_TEXT_LIMIT)
        if answer.status not in _CREATED:
            connection.close()
            raise self._refused(answer, text)
        self._pool.give(connection)
        return Written(self.fid, self._sent, f"{self._adler32:08x}")

    def abort(self) -> None:
        """See `interfaces.Writing`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _open_connection(self) -> Connection:
        if self._connection is None:
            raise StorageUnavailable("the transfer has ended already")
        return self._connection

    @property
    def _complete(self) -> bool:
        """Whether the FST may have all of it."""
        return self._length is not None and self._sent >= self._length

    def _explain(self, connection: Connection, error: Broken) -> NoReturn:
        """A connection broke: perhaps with an answer that says why."""
        self._connection = None
        try:
            answer = connection.answer(1.0)
            text = connection.body(answer).text(_TEXT_LIMIT)
        except Broken:
            connection.close()
            if self._complete:
                raise Unanswered(str(error), self.fid) from None
            raise error from None
        connection.close()
        raise self._refused(answer, text)

    def _refused(self, answer: Answer, text: str) -> StorageUnavailable | CloseFailed:
        reason = f"the FST answers {answer.status}: {text}"
        if answer.status in (412, 500) and self._complete:
            return CloseFailed(reason, self.fid)
        return StorageUnavailable(reason)


def _required(place: Redirect | None, path: str) -> Redirect:
    if place is None:
        raise StorageUnavailable(f"the MGM sends nobody anywhere for a PUT of {path!r}")
    return place
