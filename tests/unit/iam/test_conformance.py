"""The conformance table: every line of `data/*.toml` is a request and what becomes of it."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.iam.world import Case, Scene, parse_case, run

DATA = Path(__file__).parent / "data"


def table() -> Iterator[tuple[str, Scene, Case]]:
    for path in sorted(DATA.glob("*.toml")):
        for group in tomllib.loads(path.read_text(encoding="utf-8"))["group"]:
            scene = Scene(**group)
            for line in scene.cases:
                yield f"{path.stem}: {scene.name}: {line}", scene, parse_case(line)


CASES = list(table())


def test_the_table_is_large():
    assert len(CASES) >= 250


@pytest.mark.parametrize(
    ("scene", "case"), [(scene, case) for _, scene, case in CASES], ids=[name for name, *_ in CASES]
)
def test_case(scene: Scene, case: Case):
    decision, context = run(scene, case)
    assert decision.allowed == (case.expected != "deny"), decision
    if decision.allowed:
        assert context.pending == (case.expected == "pending")
    if case.reason:
        assert decision.reason.value == case.reason
