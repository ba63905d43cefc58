"""The mapping for statsd_exporter knows every metric, and the dashboard and the alerts ask for nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from workers.operations import operation_table

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy"
MAPPING = yaml.safe_load((DEPLOY / "prometheus" / "statsd-mapping.yaml").read_text())
# What statsd_exporter's README documents of a mapping file.
DEFAULTS = {"match_type", "glob_disable_ordering", "observer_type", "histogram_options", "summary_options", "ttl"}
KEYS = {"match", "match_type", "match_metric_type", "name", "help", "labels", "observer_type", "ttl", "action"}
NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
SEARCHED = ("shardgate_shard_redis", "shardgate_redis_primaries")
"""Neither on the dashboard nor in an alert."""


def documented() -> list[tuple[str, str]]:
    """Every name of the table in docs/operating.md, with an example for each part in capitals, and its kind."""
    text = (ROOT / "docs" / "operating.md").read_text()
    table_text = text.split("| name | kind | from | meaning |", 1)[1].split("\n\n", 1)[0]
    found = []
    for line in table_text.splitlines()[2:]:
        names, kind = line.split("|")[1:3]
        full = ""
        for name in re.findall(r"`([^`]+)`", names):
            # `.usable` goes on from the name before.
            full = full.rpartition(".")[0] + name if name.startswith(".") else name
            found.append((re.sub(r"[A-Z]{2,}", "x1", full), kind.strip()))
    return found


def mapped(name: str) -> tuple[str, dict[str, str]] | None:
    """What the exporter makes of a metric: of several globs the one with the most words, as its state machine does."""
    words = f"shardgate.{name}".split(".")
    best: tuple[int, dict[str, Any], list[str]] | None = None
    for rule in MAPPING["mappings"]:
        if rule.get("match_type") == "regex":
            continue
        pattern = rule["match"].split(".")
        if len(pattern) == len(words) and all(a in ("*", b) for a, b in zip(pattern, words, strict=True)):
            score = sum(part != "*" for part in pattern)
            if best is None or score > best[0]:
                best = score, rule, [word for part, word in zip(pattern, words, strict=True) if part == "*"]
    if best is None:
        return None
    labels = best[1].get("labels", {})
    return best[1]["name"], {name: best[2][int(value[1:]) - 1] for name, value in labels.items()}


def test_the_mapping_has_the_documented_form() -> None:
    assert set(MAPPING) == {"defaults", "mappings"}
    assert set(MAPPING["defaults"]) <= DEFAULTS
    assert (
        sorted(MAPPING["defaults"]["histogram_options"]["buckets"])
        == MAPPING["defaults"]["histogram_options"]["buckets"]
    )
    matches = [(rule["match"], rule.get("match_metric_type")) for rule in MAPPING["mappings"]]
    assert len(set(matches)) == len(matches)
    for rule in MAPPING["mappings"]:
        assert set(rule) <= KEYS
        assert NAME.fullmatch(rule["name"])
        assert all(NAME.fullmatch(label) for label in rule.get("labels", {}))
        if rule.get("match_type") == "regex":
            re.compile(rule["match"])
        else:
            stars = rule["match"].count("*")
            assert sorted(rule.get("labels", {}).values()) == [f"${number}" for number in range(1, stars + 1)]
            assert rule["help"].endswith(".")


@pytest.mark.parametrize(("name", "kind"), documented(), ids=lambda value: value)
def test_every_documented_metric_is_mapped(name: str, kind: str) -> None:
    found = mapped(name)
    assert found is not None
    # Prometheus' own convention: counters end in _total, and only they do; times are in seconds.
    assert found[0].endswith("_total") == (kind == "c")
    assert found[0].endswith("_seconds") == (kind == "ms")


def test_every_operation_has_metrics() -> None:
    for operation in operation_table().rows:
        assert mapped(f"requests.{operation.metric}.200") == (
            "shardgate_requests_total",
            {"operation": operation.metric, "status": "200"},
        )
        assert mapped(f"time.{operation.metric}") == (
            "shardgate_request_seconds",
            {"operation": operation.metric},
        )


def queries() -> list[str]:
    board = json.loads((DEPLOY / "grafana" / "shardgate.json").read_text())
    found = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    found += [one["query"] for one in board["templating"]["list"] if one["type"] == "query"]
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())
    return found + [rule["expr"] for group in rules["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("query", sorted(set(queries())))
def test_queries_ask_for_metrics_and_labels_that_exist(query: str) -> None:
    labels = {rule["name"]: set(rule.get("labels", {})) for rule in MAPPING["mappings"]}
    asked = re.findall(r"shardgate_[a-z_]+", query)
    assert asked
    known: set[str] = {"le"}
    for name in asked:
        base = re.sub(r"_(bucket|sum|count)$", "", name) if name not in labels else name
        assert base in labels
        assert (base != name) == (base.endswith("_seconds"))
        known |= labels[base]
    used = re.findall(r"([a-z_]+)\s*=~?\"", query)
    used += [label for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(", ")]
    assert set(used) <= known
    assert query.count("(") == query.count(")")
    # Of a counter only its rate means anything.
    for name in asked:
        if name.endswith(("_total", "_bucket", "_count")) and "label_values" not in query:
            assert re.search(rf"(rate|increase)\({name}\b", query)


def test_the_dashboard_is_whole() -> None:
    board = json.loads((DEPLOY / "grafana" / "shardgate.json").read_text())
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells
        assert panel["type"] == "row" or panel["targets"]
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel.get("targets", ()))
    # All metrics are to be seen somewhere, but for those that only alerts and searches want.
    shown = " ".join(queries())
    for rule in MAPPING["mappings"]:
        if rule.get("match_type") != "regex":
            assert rule["name"] in shown or rule["name"] in (
                "shardgate_shard_redis",
                "shardgate_dispatcher_haproxy",
                "shardgate_redis_primaries",
            )


def test_alerts_have_what_a_reader_needs() -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())["groups"][0]["rules"]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["alert"].startswith("Shardgate")
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"].endswith(".") or ":" in rule["annotations"]["summary"]
