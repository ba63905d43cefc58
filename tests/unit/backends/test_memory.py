"""What the conformance suite does not ask of the memory plugin: its bound and its options."""

from __future__ import annotations

import pytest

from backends.api import (
    BackendConfig,
    BucketRecord,
    Caller,
    ConfigurationError,
    Precondition,
    PreconditionFailed,
    StorageFull,
)
from backends.memory import MemoryBackend
from backends.testkit.harness import Box, meanwhile
from backends.testkit.sources import Body, BodyBroke, BrokenBody, GatedBody, content

CALLER = Caller(account_id="test")


@pytest.fixture
def box() -> Box:
    """A bucket in a memory of 1000 bytes."""
    backend = MemoryBackend(BackendConfig(options={"max_bytes": 1000}))
    backend.create_bucket(CALLER, BucketRecord(name="bucket", created=1))
    return Box(backend, CALLER, "bucket")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_byte": 1}, "backend_config: Object contains unknown field `max_byte`"),
        ({"max_bytes": "1"}, "backend_config: Expected `int`, got `str` - at `$.max_bytes`"),
        ({"max_bytes": -1}, "backend_config: Expected `int` >= 0 - at `$.max_bytes`"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        MemoryBackend(BackendConfig(options=options))
    assert str(caught.value) == said


def test_it_is_full_at_its_bound(box: Box) -> None:
    box.put("a", content(600))
    with pytest.raises(StorageFull, match="max_bytes = 1000"):
        box.put("b", content(401))
    assert box.keys() == ["a"]
    box.put("b", content(400))
    with pytest.raises(StorageFull):
        box.put("c", b"x")
    box.put("empty")
    assert box.keys() == ["a", "b", "empty"]


def test_what_is_deleted_or_overwritten_makes_room(box: Box) -> None:
    box.put("a", content(900))
    box.delete("a")
    box.put("a", content(500))
    box.put("a", content(100))
    box.put("b", content(900))
    with pytest.raises(StorageFull):
        box.put("c", b"x")


@pytest.mark.parametrize("attempt", range(3))
def test_a_put_that_fails_leaves_no_bytes_counted(box: Box, attempt: int) -> None:
    box.put("there", b"x")
    for _ in range(20):
        if attempt == 0:
            with pytest.raises(BodyBroke):
                box.put_body("a", BrokenBody(content(700), 600, BodyBroke()))
        elif attempt == 1:
            with pytest.raises(PreconditionFailed):
                box.put("there", content(700), Precondition(if_none_match=("*",)))
        else:
            with pytest.raises(ValueError):
                box.put_body("a", Body(content(700), announced=701))
    box.put("a", content(999))


def test_bytes_on_their_way_count(box: Box) -> None:
    body = GatedBody(content(800))
    with meanwhile(lambda: box.put_body("a", body)) as outcome:
        assert body.reached.wait(10)
        with pytest.raises(StorageFull):
            box.put("b", content(700))
        body.gate.set()
    assert outcome[0].error is None
    box.put("b", content(200))


def test_copies_and_renames_are_counted(box: Box) -> None:
    stored = box.put("a", content(400))
    opened = box.open("a")
    box.backend.copy_object(CALLER, opened, "bucket", "b", stored)
    with pytest.raises(StorageFull):
        box.backend.copy_object(CALLER, opened, "bucket", "c", stored)
    box.backend.rename_object(CALLER, "bucket", "a", "b")
    box.backend.rename_object(CALLER, "bucket", "b", "b")
    box.put("c", content(600))
    with pytest.raises(StorageFull):
        box.put("d", b"x")
    assert box.keys() == ["b", "c"]


def test_a_foreign_open_object_cannot_be_copied(box: Box) -> None:
    class Foreign:
        record = None

    with pytest.raises(TypeError):
        box.backend.copy_object(CALLER, Foreign(), "bucket", "a", None)


def test_every_instance_has_a_memory_of_its_own(box: Box) -> None:
    assert MemoryBackend(BackendConfig()).list_buckets(CALLER) == []
    assert not MemoryBackend.capabilities.persistent
