"""The account of every request: metrics and access log from one record."""

from __future__ import annotations

from workers.settings import Settings
from workers.telemetry.access_log import AccessLog
from workers.telemetry.exchange import Exchange
from workers.telemetry.metrics import Metrics


class Recorder:
    """Hands each finished request to what is switched on. With nothing on, `active` is false."""

    def __init__(self, access_log: AccessLog | None = None, metrics: Metrics | None = None) -> None:
        self.access_log = access_log
        self.metrics = metrics
        self.active = access_log is not None or metrics is not None

    @classmethod
    def from_settings(cls, settings: Settings) -> Recorder:
        """What the settings ask for. Raises `OSError` when the log cannot be opened or the statsd host is unknown."""
        return cls(
            AccessLog(settings.access_log) if settings.access_log else None,
            Metrics(settings.statsd_host, settings.statsd_port, settings.statsd_prefix)
            if settings.statsd_host
            else None,
        )

    def record(self, exchange: Exchange, metric: str) -> None:
        """Take up one request; `metric` is its operation's name in statsd."""
        if self.access_log is not None:
            self.access_log.record(exchange)
        if self.metrics is not None:
            self.metrics.record(exchange, metric)

    def close(self) -> None:
        """Write and send what is left."""
        if self.access_log is not None:
            self.access_log.close()
        if self.metrics is not None:
            self.metrics.close()
