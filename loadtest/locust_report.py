"""What users found, as tables and plots."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from locust.stats import RequestStats, StatsEntry


@dataclass(frozen=True)
class Row:
    """One operation. Times in milliseconds."""

    operation: str
    requests: int
    failures: int
    retries: int
    per_second: float
    median: float
    p95: float
    p99: float
    longest: float
    bytes_per_second: float


@dataclass(frozen=True)
class Moment:
    """The state at one time of the run."""

    time: str
    users: int
    per_second: float
    failures_per_second: float
    median: float
    p95: float


@dataclass(frozen=True)
class Report:
    """A run; the last row is the total."""

    profile: str
    endpoint: str
    users: int
    rows: list[Row]
    failures: list[str]
    history: list[Moment]

    @classmethod
    def of(cls, stats: RequestStats, profile: str, endpoint: str, users: int, retried: Mapping[str, int]) -> Report:
        """From locust's own account."""
        entries = [stats.entries[key] for key in sorted(stats.entries)]
        rows = [_row(entry, entry.name, retried.get(entry.name, 0)) for entry in entries]
        rows.append(_row(stats.total, "total", sum(retried.values())))
        failures = [f"{error.name}: {error.error} ({error.occurrences} times)" for error in stats.errors.values()]
        moments = [
            Moment(
                str(one["time"]),
                _last(one["user_count"]),
                _last(one["current_rps"]),
                _last(one["current_fail_per_sec"]),
                _last(one["response_time_percentile_0.5"]) or 0,
                _last(one["response_time_percentile_0.95"]) or 0,
            )
            for one in stats.history
        ]
        return cls(profile, endpoint, users, rows, failures, moments)

    def text(self) -> str:
        """For the terminal."""
        columns = (("requests", 10), ("failed", 8), ("repeated", 10), ("per s", 9), ("p50 ms", 9))
        columns += (("p95", 8), ("p99", 8), ("max", 8))
        lines = [f"{'':26}" + "".join(f"{name:>{width}}" for name, width in columns)]
        lines += [
            f"{row.operation:26}{row.requests:>10}{row.failures:>8}{row.retries:>10}{row.per_second:>9.1f}"
            f"{row.median:>9.1f}{row.p95:>8.1f}{row.p99:>8.1f}{row.longest:>8.1f}"
            for row in self.rows
        ]
        return "\n".join([*lines, *self.failures])

    def markdown(self) -> str:
        """For a page."""
        lines = [
            f"Profile {self.profile}, {self.users} users, {self.endpoint}",
            "",
            "| operation | requests | failed | repeated | per second | MiB/s | p50 ms | p95 | p99 | max |",
            "| --- |" + " ---: |" * 9,
        ]
        lines += [
            f"| {row.operation} | {row.requests} | {row.failures} | {row.retries} | {row.per_second:.1f} "
            f"| {row.bytes_per_second / (1 << 20):.2f} | {row.median:.1f} | {row.p95:.1f} | {row.p99:.1f} "
            f"| {row.longest:.1f} |"
            for row in self.rows
        ]
        if self.failures:
            lines += ["", *(f"* {' '.join(failure.split())}" for failure in self.failures)]
        return "\n".join(lines) + "\n"


def _last(value: object) -> float:
    """Locust's history has pairs of time and value, or values alone."""
    found = value[-1] if isinstance(value, (list, tuple)) else value
    return found if isinstance(found, (int, float)) else 0


def _row(entry: StatsEntry, name: str, retries: int) -> Row:
    def quantile(share: float) -> float:
        return float(entry.get_response_time_percentile(share) or 0)

    return Row(
        name,
        entry.num_requests,
        entry.num_failures,
        retries,
        float(entry.total_rps),
        quantile(0.5),
        quantile(0.95),
        quantile(0.99),
        float(entry.max_response_time),
        float(entry.total_content_length / max(1e-9, (entry.last_request_timestamp or 0) - (entry.start_time or 0))),
    )


def write(directory: Path, report: Report) -> list[Path]:
    """report.json, report.md and report.svg."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / name for name in ("report.json", "report.md", "report.svg")]
    paths[0].write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")
    paths[1].write_text(report.markdown(), encoding="utf-8")
    plot(report, paths[2])
    return paths


def plot(report: Report, path: Path) -> None:
    """Requests and failures per second, and the times of requests, over the run; and p50 to p99 by operation."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (rates, times, operations) = pyplot.subplots(3, 1, figsize=(9, 10))
    moments = range(len(report.history))
    rates.plot(moments, [one.per_second for one in report.history], label="requests per second")
    rates.plot(moments, [one.failures_per_second for one in report.history], label="failures per second", color="red")
    rates.legend(frameon=False)
    times.plot(moments, [one.median for one in report.history], label="median, ms")
    times.plot(moments, [one.p95 for one in report.history], label="95th percentile, ms")
    times.legend(frameon=False)
    times.set_xlabel("samples, one each five seconds")
    rows = report.rows[::-1]
    places = range(len(rows))
    operations.barh(places, [row.p99 for row in rows], color="lightgrey", label="99th percentile, ms")
    operations.barh(places, [row.median for row in rows], label="median, ms")
    operations.set_yticks(places, [row.operation for row in rows])
    operations.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
