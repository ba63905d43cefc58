"""Three lists that say what is expected of every test of a foreign suite.

A lists file is TOML::

    must_pass = ["module.Class.test", ...]

    [[not_yet]]
    reason = "why, in one sentence"
    tests = ["module.Class.*", ...]
    run = false                       # only where the attempt itself costs much time

    [[out_of_scope]]
    reason = "why, in one sentence"
    tests = [...]

``not_yet`` and ``out_of_scope`` may use shell patterns; ``must_pass`` may not, so that a test which a new version of
the suite brings is in no list until somebody decides about it. A name written in full wins over a pattern, and a
longer pattern over a shorter one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

MUST_PASS, NOT_YET, OUT_OF_SCOPE = "must_pass", "not_yet", "out_of_scope"
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


class ListsError(ValueError):
    """A lists file that contradicts itself."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a list: a test's name or a pattern of names, with its reason when it need not pass."""

    list: str
    pattern: str
    reason: str = ""
    run: bool = True

    def rank(self, test: str) -> int:
        """How strongly the entry claims *test*; 0 when it does not."""
        if self.pattern == test:
            return 1 << 20
        return len(self.pattern) if fnmatchcase(test, self.pattern) else 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one test ended: PASSED, FAILED or SKIPPED, and what it said."""

    kind: str
    text: str = ""


class Lists:
    """The entries of a lists file."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = tuple(entries)
        patterns = [entry.pattern for entry in self.entries]
        twice = sorted({pattern for pattern in patterns if patterns.count(pattern) > 1})
        if twice:
            raise ListsError(f"listed twice: {', '.join(twice)}")
        for entry in self.entries:
            is_pattern = any(character in entry.pattern for character in "*?[")
            if entry.list == MUST_PASS and is_pattern:
                raise ListsError(f"a pattern in must_pass: {entry.pattern}")
            if entry.list != MUST_PASS and not entry.reason.strip():
                raise ListsError(f"no reason: {entry.pattern}")
            if not entry.run and is_pattern:
                raise ListsError(f"run = false needs names in full: {entry.pattern}")

    @classmethod
    def load(cls, path: Path) -> Lists:
        """Read a lists file; ListsError when it contradicts itself."""
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        entries = [Entry(MUST_PASS, name) for name in document[MUST_PASS]]
        for name in (NOT_YET, OUT_OF_SCOPE):
            for group in document.get(name, []):
                entries += [Entry(name, test, group["reason"], group.get("run", True)) for test in group["tests"]]
        return cls(entries)

    def entry(self, test: str) -> Entry | None:
        """The entry that decides about *test*, None when no list has it."""
        ranked = [(entry.rank(test), entry) for entry in self.entries]
        rank, best = max(ranked, key=lambda pair: pair[0], default=(0, None))
        return best if rank else None

    def not_run(self) -> list[str]:
        """The names of the tests that are not even tried."""
        return [entry.pattern for entry in self.entries if not entry.run]

    def complaints(self, outcomes: Mapping[str, Outcome]) -> list[str]:
        """Every way in which the outcomes of a whole run differ from the lists."""
        found: list[str] = []
        used: set[str] = set()
        for test, outcome in sorted(outcomes.items()):
            entry = self.entry(test)
            if entry is None:
                found.append(f"{test} is in no list ({outcome.kind}: {outcome.text})")
                continue
            used.add(entry.pattern)
            if entry.list == MUST_PASS and outcome.kind != PASSED:
                found.append(f"{test} must pass, {outcome.kind}: {outcome.text}")
            if entry.list != MUST_PASS and outcome.kind == PASSED:
                found.append(f"{test} passes now: take it out of {entry.list} ({entry.reason})")
        stale = [entry.pattern for entry in self.entries if entry.run and entry.pattern not in used]
        found += [f"{pattern} is listed and not in the suite" for pattern in stale]
        return found
