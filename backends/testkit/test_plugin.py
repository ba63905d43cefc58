"""The plugin as a whole: construction, opening and closing, what it declares, two workers beside each other."""

from __future__ import annotations

import msgspec
import pytest

from backends.api import (
    CONTRACT_VERSION,
    Backend,
    BackendConfig,
    BucketExists,
    Capabilities,
    ConfigurationError,
    NoSuchBucket,
    NoSuchObject,
    VersionedBackend,
)
from backends.testkit.harness import Box, Boxes, Target, meanwhile
from backends.testkit.sources import GatedBody, content


def test_it_has_a_name(target: Target) -> None:
    assert target.plugin.name


def test_it_is_built_for_a_contract_that_this_gateway_speaks(target: Target) -> None:
    major, minor = target.plugin.contract
    assert major == CONTRACT_VERSION[0]
    assert minor <= CONTRACT_VERSION[1]


def test_an_unknown_option_is_refused_by_name(target: Target) -> None:
    options = {**target.config.options, "no_such_option_7f3a": 1}
    with pytest.raises(ConfigurationError) as caught:
        target.plugin(msgspec.structs.replace(target.config, options=options))
    assert "no_such_option_7f3a" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_the_constructor_does_not_change_its_configuration(target: Target) -> None:
    config = BackendConfig(
        directory=target.config.directory, options=dict(target.config.options), durable=target.config.durable
    )
    assert target.plugin(config).config == target.config


def test_it_is_ready_after_open(backend: Backend) -> None:
    backend.check()


def test_capabilities_are_declared_as_such(backend: Backend) -> None:
    assert isinstance(backend.capabilities, Capabilities)


@pytest.mark.parametrize(
    ("capability", "method"), [("server_side_copy", "copy_object"), ("atomic_rename", "rename_object")]
)
def test_what_is_declared_is_not_left_to_the_default(backend: Backend, capability: str, method: str) -> None:
    if getattr(backend.capabilities, capability):
        assert getattr(type(backend), method) is not getattr(Backend, method), f"{method} is the streaming default"


def test_versions_are_declared_by_those_that_keep_them(backend: Backend) -> None:
    assert backend.capabilities.versioning == isinstance(backend, VersionedBackend)


def test_everything_is_there_after_closing_and_opening_again(shared: Target, boxes: Boxes) -> None:
    with shared.opened() as first:
        box = Boxes(first, shared.caller, boxes.names).make()
        stored = box.put("dir/key", content(100_000), tags={"a": "b"}, metadata={"m": "ü"})
        revision = first.put_document(box.name, "policy", b"document")
    with shared.opened() as second:
        again = box.on(second)
        assert again.get("dir/key") == (stored, content(100_000))
        assert again.keys() == ["dir/key"]
        document = second.get_document(box.name, "policy")
        assert document is not None
        assert (document.data, document.revision) == (b"document", revision)
        assert box.name in [record.name for record in second.list_buckets(shared.caller)]


def test_another_worker_sees_every_change_at_once(shared: Target, box: Box) -> None:
    with shared.opened() as other:
        there = box.on(other)
        assert there.keys() == []
        for turn in range(3):
            stored = box.put("dir/key", b"%d" % turn, tags={"turn": str(turn)})
            assert there.get("dir/key") == (stored, b"%d" % turn)
            assert [entry.record for entry in there.scan()] == [stored]
            box.put(f"dir/key{turn}", b"x")
            assert there.keys() == box.keys()
            updated = there.update("dir/key", lambda record: record.replace(tags={"updated": "there"}))
            assert box.head("dir/key") == updated
            revision = box.backend.put_document(box.name, "policy", b"%d" % turn)
            document = other.get_document(box.name, "policy")
            assert document is not None
            assert (document.data, document.revision) == (b"%d" % turn, revision)
            there.delete(f"dir/key{turn}")
            assert box.keys() == ["dir/key"]
            there.delete("dir/key")
            assert box.keys() == []
            with pytest.raises(NoSuchObject):
                box.head("dir/key")


def test_another_worker_sees_buckets_come_and_go(shared: Target, boxes: Boxes) -> None:
    with shared.opened() as other:
        for _ in range(2):
            box = boxes.make()
            record = box.backend.get_bucket(box.caller, box.name)
            assert other.get_bucket(box.caller, box.name) == record
            with pytest.raises(BucketExists):
                other.create_bucket(box.caller, record)
            box.on(other).put("a", b"x")
            box.delete("a")
            other.delete_bucket(box.caller, box.name)
            with pytest.raises(NoSuchBucket):
                box.backend.get_bucket(box.caller, box.name)
            with pytest.raises(NoSuchBucket):
                box.put("a", b"x")


def test_a_sweep_removes_nothing_that_is_in_use(box: Box) -> None:
    kept = {key: content(1000, seed) for seed, key in enumerate(["a", "a/b", "dir/key", ".hidden"])}
    for key, data in kept.items():
        box.put(key, data)
    box.backend.put_document(box.name, "policy", b"document")
    body = GatedBody(content(300_000))
    with meanwhile(lambda: box.put_body("upload", body)) as outcome:
        assert body.reached.wait(20)
        swept = box.backend.sweep(3600.0)
        body.gate.set()
    assert isinstance(swept, int)
    assert outcome[0].error is None
    assert box.data("upload") == content(300_000)
    for key, data in kept.items():
        assert box.data(key) == data
    assert box.backend.get_document(box.name, "policy") is not None


def test_a_sweep_of_a_clean_storage_keeps_all_objects(box: Box) -> None:
    box.put("a", b"x")
    box.backend.sweep(0.0)
    assert box.data("a") == b"x"
