"""The conformance suite: it passes right plugins, fails wrong ones, and says what it needs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SUITE = ("--pyargs", "backends.testkit")
WRONG = Path(__file__).with_name("wrong_plugins.py")

FOUND_OUT = [
    ("AsksTheRecordFirst", "objects", "test_put_returns_the_record"),
    ("ReadsInAnotherThread", "objects", "test_put_returns_the_record"),
    ("IgnoresPreconditions", "preconditions", "test_an_object_that_is_there"),
    ("ChecksBeforeTheBody", "preconditions", "test_an_object_that_appears_while_the_body_comes"),
    ("ChecksWithoutExclusion", "preconditions", "test_nobody_publishes_between_check_and_publication"),
    ("TranslatesTheBodysErrors", "objects", "test_a_body_that_raises_leaves_nothing"),
    ("TakesAnyLength", "objects", "test_a_body_of_another_length_than_announced"),
    ("LocksWhileItReads", "objects", "test_an_unfinished_put_is_seen_by_nobody"),
    ("ShowsNewDataToOldReaders", "objects", "test_an_open_object_stays_what_it_was"),
    ("ForgetsTags", "records", "test_every_field_comes_back"),
    ("OrdersByUtf16", "listing", "test_any_scan_of_hostile_keys"),
    ("FoldsCase", "keys", "test_all_keys_side_by_side"),
    ("RepeatsRevisions", "documents", "test_every_write_has_its_own_revision"),
    ("ComparesAndSwapsApart", "documents", "test_counting_by_compare_and_swap"),
    ("TakesAnyOption", "plugin", "test_an_unknown_option_is_refused"),
    ("DeletesFullBuckets", "buckets", "test_a_bucket_with_an_object_is_not_deleted"),
    ("LosesChanges", "copying", "test_concurrent_changes_of_a_record_are_all_kept"),
    ("RenamesThingsAway", "copying", "test_a_rename_onto_itself_keeps_the_object"),
    ("PagesOneTooMany", "listing", "test_pages_of_any_size_give_the_whole_listing"),
    ("KeepsDocumentsOfDeletedBuckets", "buckets", "test_a_bucket_made_again_is_empty_and_new"),
    ("DeclaresWhatItDoesNot", "plugin", "test_what_is_declared_is_not_left_to_the_default"),
    ("WrapsGuards", "preconditions", "test_what_the_guard_raises_passes"),
    ("CompletesTwice", "uploads", "test_a_completion_twice_is_one"),
    ("KeepsPartsOfAborted", "uploads", "test_an_upload_that_is_aborted_while_a_part_comes"),
    ("MixesPartsUp", "uploads", "test_parts_make_the_object_in_whatever_order"),
]


class Suites:
    """Runs of the suite by one process, which has imported all that they need and forks for each."""

    def __init__(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("forking_suites.py"))]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, *arguments: str) -> tuple[int, str]:
        """The exit status and the output of pytest with these arguments."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        status, output = json.loads(self._process.stdout.readline())
        return status, output

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=30)


@pytest.fixture(scope="module")
def suites() -> Iterator[Suites]:
    started = Suites()
    yield started
    started.close()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the suite as a plugin's author does."""
    command = [sys.executable, "-m", "pytest", "-p", "backends.testkit.plugin", *SUITE, *arguments]
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    return subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)


@pytest.mark.parametrize("mode", [(), ("--gevent",)], ids=["threads", "gevent"])
def test_the_memory_plugin_passes(mode: tuple[str, ...]) -> None:
    result = run("--backend", "backends.memory:MemoryBackend", *mode)
    assert result.returncode == 0, result.stdout
    assert " passed" in result.stdout


@pytest.mark.parametrize(("plugin", "module", "test"), FOUND_OUT, ids=[row[0] for row in FOUND_OUT])
def test_a_wrong_plugin_is_found_out(suites: Suites, plugin: str, module: str, test: str) -> None:
    status, output = suites.run(
        "--pyargs", f"backends.testkit.test_{module}", "--backend", f"{WRONG}:{plugin}", "-k", test, "--tb=no"
    )
    assert status == 1, output
    assert f"FAILED backends/testkit/test_{module}.py::{test}" in output


def test_the_noop_plugin_does_not_pass(suites: Suites) -> None:
    status, output = suites.run(*SUITE, "--backend", "backends.noop:NoopBackend", "--maxfail", "5", "--tb=no")
    assert status == 1
    assert "5 failed" in output


def test_without_a_plugin_it_says_what_it_needs() -> None:
    result = run()
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "needs --backend NAME|MODULE:CLASS|FILE.py" in result.stderr
    assert "Traceback" not in result.stderr + result.stdout


def test_a_plugin_that_does_not_load_is_told_in_one_line(suites: Suites) -> None:
    status, output = suites.run(*SUITE, "--backend", "no_such_module:Plugin")
    assert status == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: backend: module 'no_such_module' does not load" in output
    assert "Traceback" not in output


def test_gevent_and_parallel_runs_exclude_each_other() -> None:
    command = [sys.executable, "-m", "pytest", "-p", "backends.testkit.plugin", "--pyargs", "backends.testkit"]
    result = subprocess.run(
        [*command, "--backend", "backends.memory:MemoryBackend", "--gevent", "-n", "2"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--gevent" in result.stderr


def test_options_reach_the_plugin(suites: Suites, tmp_path: Path) -> None:
    config = tmp_path / "options.toml"
    config.write_text("max_bytes = 10\n", encoding="utf-8")
    status, output = suites.run(
        "--pyargs", "backends.testkit.test_objects", "-k", "test_any_slice_can_be_read", "--tb=line",
        "--backend", "backends.memory:MemoryBackend", "--backend-config", str(config),
    )  # fmt: skip
    assert status == 1
    assert "max_bytes = 10 is reached" in output
