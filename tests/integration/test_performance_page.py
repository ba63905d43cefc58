"""The page of figures: its parts, made of measurements that are known."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest import performance_page
from loadtest.bench import report
from loadtest.bench.runner import Failure, Measurement, Outcome
from loadtest.bench.suite import workloads
from loadtest.bench.targets import SpecError, Target
from loadtest.bench.workloads import Sample, Scale

ROOT = Path(__file__).resolve().parents[2]
RATES = {"direct": 100.0, "dispatcher": 80.0, "commit": 50.0, "rclone": 400.0, "seaweedfs": 20.0}


def made() -> report.Table:
    measurements = [
        Measurement(
            workload.name,
            name,
            number,
            Sample(rate * (1 + number / 10), 100, 1.0, 0.01, 0.02, 0.1),
            rate / 1000,
            64 << 20,
        )
        for workload in workloads(Scale())
        for name, rate in RATES.items()
        for number in range(3)
        if (workload.name, name) != ("mixed", "rclone")
    ]
    targets = [Target(name, "127.0.0.1", 1, "", "", version=f"{name} 1") for name in RATES]
    outcome = Outcome(measurements, [Failure("mixed", "rclone", "it broke\nin two lines")])
    return report.Table(targets, workloads(Scale()), outcome)


def test_the_page_has_marks_for_its_figures() -> None:
    page = (ROOT / "docs" / "performance.md").read_text()
    changed = performance_page.replaced(page, "figures")
    assert "\n\nfigures\n" in changed
    # Once more gives the same: nothing piles up.
    assert performance_page.replaced(changed, "figures") == changed
    with pytest.raises(SpecError, match="no marks"):
        performance_page.replaced("no marks", "figures")


def test_ratios_are_of_the_same_round() -> None:
    cell = made().cell("get-1k", "rclone")
    assert cell is not None
    assert cell.ratio == pytest.approx(4)
    assert (cell.low, cell.value, cell.high) == pytest.approx((400, 440, 480))


def test_gaps_are_to_the_best_other_server_and_know_what_is_better() -> None:
    found = {workload: (name, ratio) for workload, name, ratio in performance_page.gaps(made())}
    assert found["get-1k"] == ("rclone", pytest.approx(4))
    # Milliseconds: fewer are better.
    assert found["complete"] == ("seaweedfs", pytest.approx(5))
    assert "mixed" not in found
    assert performance_page.furthest(performance_page.gaps(made()))[0] == "complete"


def test_the_fragment_shows_everything_and_what_is_missing(tmp_path: Path) -> None:
    profile = tmp_path / "direct-get-1k.perf.txt"
    profile.write_text("  20.00% python symbol\n")
    facts = {"processor": "P", "cores": 2, "kernel": "6", "python": "3.11", "load": 0.1}
    text = performance_page.fragment(made(), facts, 700, [profile, tmp_path / "direct-get-1k.svg"], tmp_path)
    assert "| get-1k (requests/s) | 0.80 | 0.80 to 0.80 | 1.00 ms | 800 µs |" in text
    assert "* mixed on rclone: it broke in two lines" in text
    assert "    " + "  20.00% python symbol" in text
    assert f"({tmp_path.name}/direct-get-1k.svg)" in text


def test_a_plot_is_drawn_of_any_table(tmp_path: Path) -> None:
    report.plot(made(), tmp_path / "plot.svg")
    assert (tmp_path / "plot.svg").stat().st_size > 10_000
