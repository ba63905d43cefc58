"""The gRPC connections of one worker: deadlines, repetition of what may be repeated, fail-over between MGMs."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from typing import Any, Final

import gevent.monkey
import grpc

from backends.api import StorageUnavailable
from backends.eos.frames import LONGEST_MESSAGE
from backends.eos.options import Options
from backends.eos.proto import namespace_pb2 as rpc
from backends.eos.streams import Streams
from backends.eos.tls import channel_credentials, stream_context

SERVICE: Final = "/eos.rpc.Eos/"
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0

_NEVER_SENT: Final = (
    "failed to connect",
    "connection refused",
    "no route to host",
    "name resolution",
    "dns resolution",
)
_NOT_TRUSTED: Final = ("certificate_verify_failed", "hostname verification", "peer name", "wrong_version_number")
"""What gRPC's texts say of a handshake that fails for good."""
_GONE: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})

_UNARY: Final[dict[str, tuple[Any, Any]]] = {
    "Ping": (rpc.PingRequest, rpc.PingReply),
    "NsStat": (rpc.NsStatRequest, rpc.NsStatResponse),
    "Exec": (rpc.NSRequest, rpc.NSResponse),
    # A stream of one message looks like a single answer on the wire, and is cheaper as such: 1.9 ms against 2.7 under
    # gevent on a busy machine, both ends in Python.
    "MD": (rpc.MDRequest, rpc.MDResponse),
}


class Uncertain(StorageUnavailable):
    """The connection broke under a call that may not be repeated: whether it was carried out is not known."""


class Channels:
    """A channel to each MGM. One of them is the current one; it changes when that one does not answer."""

    def __init__(self, options: Options) -> None:
        self._options: Final = options
        self._channels: list[grpc.Channel] = []
        self._streams: list[Streams] = []
        self._calls: list[dict[str, Any]] = []
        self._current = 0
        self._random: Final = random.Random()  # noqa: S311 -- spreads repetitions, guards nothing

    def open(self) -> None:
        """Make the channels, after the fork; they connect at the first call. Raises `ConfigurationError`."""
        if gevent.monkey.is_module_patched("socket"):
            from grpc.experimental import gevent as grpc_gevent

            grpc_gevent.init_gevent()
        credentials = channel_credentials(self._options.tls)
        context = stream_context(self._options.tls)
        for target in self._options.grpc:
            channel = self._channel(target, credentials)
            calls: dict[str, Any] = {
                name: channel.unary_unary(
                    SERVICE + name, request_serializer=asked.SerializeToString, response_deserializer=given.FromString
                )
                for name, (asked, given) in _UNARY.items()
            }
            streams = Streams(target, context, self._options)
            calls["Find"] = partial(streams.call, SERVICE + "Find")
            self._channels.append(channel)
            self._streams.append(streams)
            self._calls.append(calls)

    def close(self) -> None:
        """Close all connections."""
        for channel in self._channels:
            channel.close()
        for streams in self._streams:
            streams.close()
        self._channels.clear()
        self._streams.clear()
        self._calls.clear()

    def _channel(self, target: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
        options: list[tuple[str, Any]] = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_retries", 0),
            ("grpc.max_receive_message_length", LONGEST_MESSAGE),
            # Servers answer pings on an idle connection with GOAWAY when they come more often than every 5 minutes
            # (GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS), so only while a call waits.
            ("grpc.keepalive_time_ms", int(self._options.keepalive * 1000)),
            ("grpc.keepalive_timeout_ms", int(self._options.call_timeout * 1000)),
            ("grpc.keepalive_permit_without_calls", 0),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", int(self._options.connect_timeout * 1000)),
            ("grpc.max_reconnect_backoff_ms", 2000),
        ]
        if credentials is None:
            return grpc.insecure_channel(target, options)
        if self._options.tls.server_name:
            options.append(("grpc.ssl_target_name_override", self._options.tls.server_name))
        return grpc.secure_channel(target, credentials, options)

    # -- calls

    def call(self, name: str, request: Any, *, repeatable: bool, timeout: float | None = None) -> Any:
        """The answer to a call.

        Raises `StorageUnavailable` when no MGM answers, `Uncertain` when one broke off under a call that is not
        `repeatable`, and `grpc.RpcError` for every other status.
        """
        return self._repeated(
            lambda calls: calls[name](request, timeout=timeout or self._options.call_timeout), repeatable=repeatable
        )

    def find(self, request: Any) -> list[Any]:
        """All messages of a Find: from the beginning by another MGM when one breaks off. Raises like `call`."""

        def read(calls: dict[str, Any]) -> list[Any]:
            with closing(self._find(calls, request)) as stream:
                return [message for messages in stream for message in map(rpc.MDResponse.FromString, messages)]

        found: list[Any] = self._repeated(read, repeatable=True)
        return found

    def first(self, request: Any, enough: Callable[[Any], bool]) -> bool:
        """Whether a Find has a message that is `enough`; ends with it."""

        def read(calls: dict[str, Any]) -> bool:
            with closing(self._find(calls, request)) as stream:
                return any(enough(rpc.MDResponse.FromString(message)) for messages in stream for message in messages)

        found: bool = self._repeated(read, repeatable=True)
        return found

    def _find(self, calls: dict[str, Any], request: Any) -> Generator[list[bytes]]:
        stream: Generator[list[bytes]] = calls["Find"](request.SerializeToString(), self._options.find_timeout)
        return stream

    def next_mgm(self) -> None:
        """Another MGM from now on: the current one cannot serve."""
        self._leave(self._current)

    def _repeated(self, work: Callable[[dict[str, Any]], Any], *, repeatable: bool) -> Any:
        if not self._calls:
            raise RuntimeError("the plugin is not open")
        pause = _FIRST_PAUSE
        slow = 0
        for attempt in range(self._options.retries + 1):
            index = self._current
            try:
                return work(self._calls[index])
            except grpc.RpcError as error:
                code, text = _told(error)
                if code not in _GONE:
                    raise
                self._leave(index)
                sent = not any(sign in text.lower() for sign in _NEVER_SENT)
                if sent and not repeatable:
                    raise Uncertain(f"EOS broke off: {text}") from None
                slow += code is grpc.StatusCode.DEADLINE_EXCEEDED
                if attempt == self._options.retries or slow >= max(2, len(self._calls)):
                    raise StorageUnavailable(f"EOS does not answer: {text}{self._hint(text)}") from None
            time.sleep(pause * (0.5 + self._random.random()))
            pause = min(pause * 2, _LONGEST_PAUSE)
        raise AssertionError("unreachable")

    def _hint(self, text: str) -> str:
        """The setting to look at, where a connection fails as it does with a wrong one."""
        tls, told = self._options.tls, text.lower()
        if any(sign in told for sign in _NOT_TRUSTED):
            return " (tls.ca or tls.server_name does not fit the MGM's certificate)"
        if "failed to connect" in told and "socket closed" in told:
            # A server that refuses a client's certificate, or wants TLS, closes without a word that gRPC would tell.
            if not tls.enabled:
                return " (does it expect TLS? tls.enabled is false)"
            return f" (does it demand {'another' if tls.certificate else 'a'} client certificate? tls.certificate)"
        return ""

    def _leave(self, index: int) -> None:
        if self._current == index:
            self._current = (index + 1) % max(1, len(self._calls))


def _told(error: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    """Status and text of a failed call."""
    return error.code(), error.details() or ""
