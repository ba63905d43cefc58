"""What the posix plugin makes durable, and when: before anybody sees it, and before it is acknowledged."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backends.api import BackendConfig, BucketRecord, Caller
from backends.posix import PosixBackend
from backends.testkit.harness import Box

CALLER = Caller(account_id="test")


@pytest.fixture
def events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was synchronized, and the steps that make something visible, in order; paths below the directory."""
    seen: list[str] = []

    def shown(path: str) -> str:
        name = path.replace(str(tmp_path), "").lstrip("/")
        return "file" if "deleted" in name or "#" in name or "staging" in name else name or "."

    def watched(name: str, describe: Callable[..., str]) -> None:
        original = getattr(os, name)

        def call(*args: object, **kwargs: object) -> object:
            seen.append(f"{name} {describe(*args)}")
            return original(*args, **kwargs)

        monkeypatch.setattr(os, name, call)

    watched("fsync", lambda descriptor: shown(os.readlink(f"/proc/self/fd/{descriptor}")))
    watched("link", lambda _, name: "staged" if "staging" in str(name) else str(name))
    watched("rename", lambda _, name: os.path.basename(str(name)))
    kinds = {str(tmp_path / ".shardgate" / "staging"): "staged", str(tmp_path / ".shardgate" / "making"): "note"}
    watched("unlink", lambda path: kinds.get(os.path.dirname(path), os.path.basename(path)))
    watched("mkdir", lambda path, *_: os.path.basename(str(path)))
    return seen


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[bool], Box]]:
    opened: list[PosixBackend] = []

    def make(durable: bool) -> Box:
        backend = PosixBackend(BackendConfig(directory=str(tmp_path), durable=durable))
        backend.open()
        opened.append(backend)
        backend.create_bucket(CALLER, BucketRecord(name="bucket", created=1))
        return Box(backend, CALLER, "bucket")

    yield make
    for backend in opened:
        backend.close()


def _without_misses(events: list[str]) -> list[str]:
    return [event for event in events if "%object" not in event]


def test_a_new_object(make: Callable[[bool], Box], events: list[str]) -> None:
    box = make(True)
    events.clear()
    box.put("d/e/a", b"x")
    steps = _without_misses(events)
    assert steps[0] == "fsync file"
    assert [step for step in steps if step.startswith("mkdir")][-2:] == ["mkdir d", "mkdir e"]
    published = steps.index("link a", steps.index("mkdir e"))
    assert steps[published + 1] == "unlink note"
    assert set(steps[published + 2 :]) == {"fsync bucket/d/e", "fsync bucket/d", "fsync bucket"}


def test_an_overwritten_object(make: Callable[[bool], Box], events: list[str]) -> None:
    box = make(True)
    box.put("d/a", b"x")
    events.clear()
    box.put("d/a", b"y")
    assert _without_misses(events) == ["fsync file", "link a", "link staged", "rename a", "fsync bucket/d"]


def test_a_displaced_object(make: Callable[[bool], Box], events: list[str]) -> None:
    box = make(True)
    box.put("d/a", b"x")
    events.clear()
    box.put("d/a/b", b"y")
    moved = events.index("rename a%object")
    assert events[moved + 1] == "mkdir a"
    published = events.index("link b")
    assert moved < published
    assert {"fsync bucket/d", "fsync bucket/d/a"} <= set(events[published:])


def test_a_deleted_object_and_its_directories(make: Callable[[bool], Box], events: list[str]) -> None:
    box = make(True)
    box.put("keep", b"x")
    box.put("d/e/a", b"x")
    events.clear()
    box.delete("d/e/a")
    assert _without_misses(events) == ["unlink a", "fsync bucket"]


def test_a_renamed_object(make: Callable[[bool], Box], events: list[str]) -> None:
    box = make(True)
    box.put("d/a", b"x")
    box.put("d/keep", b"x")
    events.clear()
    box.backend.rename_object(CALLER, "bucket", "d/a", "e/b")
    moved = max(number for number, event in enumerate(events) if event == "rename b")
    assert {"fsync bucket/d", "fsync bucket/e", "fsync bucket"} <= set(events[moved:])


def test_an_updated_record(make: Callable[[bool], Box], events: list[str]) -> None:
    box = make(True)
    box.put("d/a", b"x")
    events.clear()
    box.update("d/a", lambda record: record.replace(tags={"a": "b"}))
    assert events[-1] == "fsync bucket/d/a"


def test_a_large_record_is_durable_before_it_is_referred_to(make: Callable[[bool], Box], events: list[str]) -> None:
    box = make(True)
    events.clear()
    box.put("a", b"x", extra={"test.x": "y" * 100_000})
    published = max(number for number, event in enumerate(events) if event == "link a")
    before = events[:published]
    assert before.count("fsync file") == 2
    assert any(event.startswith("fsync .shardgate/records/") for event in before)


def test_a_document_and_a_bucket(make: Callable[[bool], Box], events: list[str]) -> None:
    box = make(True)
    assert events.index("fsync .shardgate/buckets") < events.index("mkdir bucket", events.index("fsync file"))
    assert events[-1] == "fsync ."
    events.clear()
    box.backend.put_document("bucket", "policy", b"x")
    box.backend.put_document("bucket", "policy", b"y")
    assert events[-3:] == ["fsync file", "rename policy", "fsync .shardgate/buckets/bucket/documents"]
    events.clear()
    box.backend.delete_document("bucket", "policy")
    assert events == ["unlink policy", "fsync .shardgate/buckets/bucket/documents"]
    box.backend.delete_bucket(CALLER, "bucket")
    assert "fsync ." in events


def test_relaxed_durability_leaves_it_to_the_kernel(make: Callable[[bool], Box], events: list[str]) -> None:
    box = make(False)
    box.put("d/a", b"x")
    box.put("d/a/b", b"x")
    box.put("d/a", b"x", extra={"test.x": "y" * 100_000})
    box.update("d/a", lambda record: record.replace(tags={"a": "b"}))
    box.backend.rename_object(CALLER, "bucket", "d/a", "e")
    box.backend.put_document("bucket", "policy", b"x")
    box.delete("e")
    box.delete("d/a/b")
    box.backend.delete_bucket(CALLER, "bucket")
    assert not [event for event in events if event.startswith("fsync")]
