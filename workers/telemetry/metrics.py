"""Metrics to statsd over UDP. Names derive from the table of operations.

`requests.OPERATION.STATUS` and `errors.CODE` are counters, `time.OPERATION` and `first_byte.OPERATION` timers in
milliseconds, `bytes.received.OPERATION` and `bytes.sent.OPERATION` counters.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import gevent
from statsd import StatsClient

from workers.telemetry.exchange import Exchange

FLUSH_SECONDS: Final = 1.0
TIMERS_KEPT: Final = 256
"""Timings of one operation that are sent a second; beyond them a sample is sent with its rate."""


class Metrics:
    """Gathers for a second what requests report, then sends it in few datagrams; never fails a request."""

    def __init__(self, host: str, port: int, prefix: str) -> None:
        """Raises `OSError` when the host name is unknown."""
        self._client = StatsClient(host, port, prefix=prefix or None, maxudpsize=1400)
        self._counts: Counter[str] = Counter()
        self._times: dict[str, list[float]] = {}
        self._seen: Counter[str] = Counter()
        self._flusher = gevent.spawn(self._flush_regularly)

    def record(self, exchange: Exchange, metric: str) -> None:
        """Take up one request under an operation's metric name."""
        counts = self._counts
        counts[f"requests.{metric}.{exchange.status}"] += 1
        if exchange.error:
            counts[f"errors.{exchange.error}"] += 1
        if exchange.bytes_received:
            counts[f"bytes.received.{metric}"] += exchange.bytes_received
        if exchange.bytes_sent:
            counts[f"bytes.sent.{metric}"] += exchange.bytes_sent
        self.time(f"time.{metric}", exchange.total)
        self.time(f"first_byte.{metric}", exchange.first_byte)

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter of our own, such as `janitor.removed`."""
        self._counts[name] += by

    def flush(self) -> None:
        """Send what was gathered."""
        if not self._counts and not self._times:
            return
        pipeline = self._client.pipeline()
        for name, count in self._counts.items():
            pipeline.incr(name, count)
        for name, times in self._times.items():
            rate = len(times) / self._seen[name]
            for seconds in times:
                _timing(pipeline, name, seconds, rate)
        self._counts.clear()
        self._times.clear()
        self._seen.clear()
        pipeline.send()

    def close(self) -> None:
        """Send the rest and stop."""
        self._flusher.kill()
        self.flush()
        self._client.close()

    def time(self, name: str, seconds: float) -> None:
        """Add to a timer, such as `backend.time.put_object`."""
        self._seen[name] += 1
        times = self._times.setdefault(name, [])
        if len(times) < TIMERS_KEPT:
            times.append(seconds)

    def _flush_regularly(self) -> None:
        while True:
            gevent.sleep(FLUSH_SECONDS)
            self.flush()


def _timing(pipeline: StatsClient, name: str, seconds: float, rate: float) -> None:
    # `pipeline.timing` draws lots for a rate below one; these are the drawn ones already.
    suffix = "" if rate >= 1 else f"|@{rate:.6f}"
    pipeline._after(f"{pipeline._prefix + '.' if pipeline._prefix else ''}{name}:{seconds * 1000:.3f}|ms{suffix}")
