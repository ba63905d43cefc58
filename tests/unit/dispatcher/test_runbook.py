"""docs/operating.md tells what each alarm means."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_every_alarm_has_a_row():
    alarms = re.findall(r"^ *- alert: (\w+)$", (ROOT / "deploy/prometheus/alerts.yaml").read_text(), re.MULTILINE)
    page = (ROOT / "docs/operating.md").read_text()
    rows = re.findall(r"^\| `(Shardgate\w+)` \|", page, re.MULTILINE)
    assert sorted(rows) == sorted(alarms)
    assert len(alarms) > 5


def test_links_within_the_page_lead_somewhere():
    page = (ROOT / "docs/operating.md").read_text()
    headings = {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in re.findall(r"^#+ (.+)$", page, re.M)}
    assert {link for link in re.findall(r"\]\(#([^)]+)\)", page) if link not in headings} == set()
