"""Workers that die at each step of a change in EOS: another one finds all that was acknowledged, and can go on.

A process is killed in front of its n-th request to EOS, for each n until the change comes to its end: from then on it
sends nothing more, neither to clean up nor to give locks back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

from backends.api import BackendError, BucketRecord, NoSuchObject
from backends.eos.backend import EosBackend
from backends.testkit.harness import Box
from backends.testkit.sources import content
from backends.testkit.uploading import Upload
from tests.support.eos import Emulator
from tests.support.eos_plugin import ALICE, opened, prepare

pytestmark = pytest.mark.faults

BIG = (1 << 20) + 70_000
PART = 100_000
OLD, NEW = b"old", b"new"
MOST = 60
"""Requests of one change: more would be a mistake of these tests."""


class Killed(BaseException):
    """The process is gone."""


class Victim:
    """A plugin whose requests can be counted, and cut off."""

    def __init__(self, backend: EosBackend) -> None:
        self.backend = backend
        self._left: int | None = None
        self._guard = threading.Lock()
        channels, data = backend._channels, backend._data
        for owner, names in (
            (channels, ("call", "find", "first")),
            *((pool, ("take", "fresh")) for pool in data._pools),
        ):
            for name in names:
                setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            with self._guard:
                if self._left is not None:
                    self._left -= 1
                    if self._left < 0:
                        raise Killed
            return call(*arguments, **options)

        return counted

    @contextmanager
    def dying(self, after: int) -> Iterator[list[bool]]:
        """Dies after so many requests within the block; afterwards the list says whether it did."""
        died: list[bool] = []
        self._left = after
        try:
            yield died
        except Killed:
            died.append(True)
        finally:
            self._left = None


class Stage:
    """A victim, and a survivor that does not wait long for the locks of the dead."""

    def __init__(self, eos: Emulator, victim: Victim, survivor: EosBackend, bucket: str) -> None:
        self.eos = eos
        self.victim = victim
        self.dying = Box(victim.backend, ALICE, bucket)
        self.living = Box(survivor, ALICE, bucket)

    def deaths(self, change: Callable[[str], object], check: Callable[[str, bool], None], step: int = 1) -> None:
        """Change new keys, dying `step` requests later each time; `check` is given the key and whether it died."""
        for after in range(0, MOST, step):
            key = f"dir{uuid4().hex[:6]}/key"
            self.living.put(key, OLD)
            with self.victim.dying(after) as died:
                change(key)
            check(key, bool(died))
            if not died:
                assert after > 2
                return
        raise AssertionError("it never comes to its end")


@pytest.fixture(scope="module")
def eos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with Emulator(tmp_path_factory.mktemp("eos"), "--layout", "replica:2:adler32") as eos:
        prepare(eos)
        yield eos


@pytest.fixture(scope="module")
def stage(eos: Emulator) -> Iterator[Stage]:
    options = {"multipart": "offset", "server_copy_from": 1, "bucket_cache": 60.0, "retries": 1}
    with (
        opened(eos, **options) as victim,
        opened(eos, **options) as survivor,
        pytest.MonkeyPatch.context() as patch,
    ):
        # It takes locks away that are older than this, and nobody takes its own.
        survivor._locks.lease = 0.1
        patch.setattr("backends.eos.locks.Held.safe", True)
        bucket = "kills"
        survivor.create_bucket(ALICE, BucketRecord(name=bucket, created=1))
        yield Stage(eos, Victim(victim), survivor, bucket)


@pytest.mark.parametrize("size", [4, BIG])
def test_a_put_that_is_killed_leaves_the_old_or_the_new_object(stage: Stage, size: int) -> None:
    data = content(size)

    def check(key: str, died: bool) -> None:
        assert stage.living.data(key) in ((OLD, data) if died else (data,))
        assert stage.living.keys(key) == [key]
        stage.living.put(key, NEW)
        assert stage.living.data(key) == NEW

    stage.deaths(lambda key: stage.dying.put(key, data), check)


@pytest.mark.parametrize("numbers", [(1, 2, 3), (2, 3)], ids=["in place", "joined"])
def test_a_completion_that_is_killed_can_be_sent_again(stage: Stage, numbers: tuple[int, ...]) -> None:
    datas = [content(PART), content(PART, 1), content(1000, 2)]
    whole = b"".join(datas[number - 1] for number in numbers)
    begun: dict[str, tuple[Upload, list[Any]]] = {}

    def change(key: str) -> None:
        left, stage.victim._left = stage.victim._left, None
        upload = Upload.begin(stage.living, key)
        parts = upload.put_all(datas)
        begun[key] = upload, [parts[number - 1] for number in numbers]
        stage.victim._left = left
        upload.on(stage.dying).complete(begun[key][1])

    def check(key: str, died: bool) -> None:
        upload, parts = begun[key]
        assert stage.living.data(key) in ((OLD, whole) if died else (whole,))
        upload.complete(parts)
        assert stage.living.data(key) == whole
        upload.abort()
        assert stage.living.data(key) == whole

    # The ways part before the file is finished only.
    stage.deaths(change, check, step=1 if len(numbers) == len(datas) else 2)


def test_a_copy_that_is_killed_leaves_the_old_or_the_new_object(stage: Stage) -> None:
    data = content(PART)
    stage.living.put("source", data)

    def copied(box: Box, key: str) -> None:
        opened_source = box.backend.get_object(ALICE, box.name, "source")
        try:
            box.backend.copy_object(ALICE, opened_source, box.name, key, opened_source.record)
        finally:
            opened_source.close()

    def check(key: str, died: bool) -> None:
        assert stage.living.data(key) in ((OLD, data) if died else (data,))
        copied(stage.living, key)
        assert stage.living.data(key) == data

    stage.deaths(lambda key: copied(stage.dying, key), check)


def test_a_rename_that_is_killed_loses_nothing(stage: Stage) -> None:
    def change(key: str) -> None:
        left, stage.victim._left = stage.victim._left, None
        stage.living.put(f"{key}.source", NEW)
        stage.victim._left = left
        stage.dying.backend.rename_object(ALICE, stage.dying.name, f"{key}.source", key)

    def found(key: str) -> bytes | None:
        try:
            return stage.living.data(key)
        except NoSuchObject:
            return None

    def check(key: str, died: bool) -> None:
        # Who asks for it ends what the dead one has noted.
        try:
            stage.living.backend.rename_object(ALICE, stage.living.name, f"{key}.source", key)
        except BackendError:
            assert found(key) == NEW
        assert (found(key), found(f"{key}.source")) == (NEW, None)

    stage.deaths(change, check)
