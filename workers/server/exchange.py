"""What the application can ask the server about a request: `environ["shardgate.exchange"]`."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from workers.server.body import NoBody

_NONE: Final[Mapping[str, str]] = MappingProxyType({})


class Exchange:
    """One request and its response, as seen on the wire.

    `bytes_sent` counts body bytes handed to the kernel; `client_gone` is set when the connection broke; `started` is
    the monotonic time at which the head was complete. `underscore_headers` holds, by lower-case name, the headers whose
    names have an underscore: WSGI cannot tell them from those with a hyphen, so that they are kept out of the environ,
    but S3 user metadata may have such names.
    """

    __slots__ = ("_body", "_callbacks", "bytes_sent", "client_gone", "finished", "started", "underscore_headers")

    def __init__(self, body: NoBody, started: float, underscore_headers: Mapping[str, str] | None) -> None:
        self._body = body
        self._callbacks: list[Callable[[], object]] | None = None
        self.bytes_sent = 0
        self.client_gone = False
        self.finished = False
        self.started = started
        self.underscore_headers: Mapping[str, str] = underscore_headers or _NONE

    @property
    def bytes_received(self) -> int:
        """Body bytes read so far, without chunk framing."""
        return self._body.received

    @property
    def body_complete(self) -> bool:
        """Whether the whole request body was read."""
        return self._body.complete

    def on_finish(self, callback: Callable[[], object]) -> None:
        """Have `callback` called once, without arguments, when the response was sent or the connection broke."""
        if self._callbacks is None:
            self._callbacks = []
        self._callbacks.append(callback)

    def finish(self, report: Callable[[BaseException], object]) -> None:
        """Call the callbacks (for the server); what they raise goes to `report`."""
        if self.finished:
            return
        self.finished = True
        callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            try:
                callback()
            except Exception as error:  # noqa: BLE001  one callback's bug must not keep the others from running
                report(error)
