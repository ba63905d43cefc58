"""What the tests say: a plugin under test, a bucket in it, and calls that run at the same time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar
from uuid import uuid4

from backends import loader
from backends.api import (
    ALWAYS,
    Backend,
    BackendConfig,
    BucketRecord,
    Caller,
    ListPage,
    ListQuery,
    NoSuchBucket,
    NoSuchObject,
    ObjectEntry,
    ObjectRecord,
    OpenObject,
    Precondition,
)
from backends.testkit.sources import Body, record_of, this_thread

T = TypeVar("T")
PATIENCE = 30.0
"""Seconds after which calls that run together are taken to be stuck."""


@dataclass(frozen=True)
class Target:
    """The plugin under test and its configuration, so that it can be opened more than once."""

    specification: str
    config: BackendConfig
    caller: Caller
    processes: int

    @property
    def plugin(self) -> type[Backend]:
        """The plugin's class."""
        return loader.load(self.specification)

    @contextmanager
    def opened(self) -> Iterator[Backend]:
        """An instance of its own, as another worker would have it."""
        backend = self.plugin(self.config)
        backend.open()
        try:
            yield backend
        finally:
            backend.close()

    def contend(self, task: str, bucket: str, name: str, rounds: int) -> list[list[str]]:
        """Run a task of `backends.testkit.contender` in several processes that start together; each one's answers."""
        arguments = {
            "specification": self.specification,
            "directory": self.config.directory,
            "options": dict(self.config.options),
            "durable": self.config.durable,
            "uid": self.caller.uid,
            "gid": self.caller.gid,
            "task": task,
            "bucket": bucket,
            "name": name,
            "rounds": rounds,
        }
        command = [sys.executable, "-m", "backends.testkit.contender", json.dumps(arguments, default=str)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)}
        children = [
            subprocess.Popen(
                [*command, str(number)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment,
            )
            for number in range(self.processes)
        ]
        try:
            for child in children:
                assert child.stdout is not None
                if child.stdout.readline() != "ready\n":
                    raise AssertionError(
                        f"a contending process did not start: {child.communicate(timeout=PATIENCE)[1]}"
                    )
            for child in children:
                assert child.stdin is not None
                child.stdin.write("go\n")
                child.stdin.flush()
            answers: list[list[str]] = []
            for child in children:
                output, errors = child.communicate(timeout=PATIENCE)
                if child.returncode:
                    raise AssertionError(f"a contending process failed: {errors}")
                answers.append(json.loads(output))
            return answers
        finally:
            for child in children:
                if child.poll() is None:
                    child.kill()
                    child.communicate()


@dataclass(frozen=True)
class Box:
    """A bucket of the plugin under test, with the calls that the tests make most often."""

    backend: Backend
    caller: Caller
    name: str

    def put(self, key: str, data: bytes = b"", precondition: Precondition = ALWAYS, **fields: Any) -> ObjectRecord:
        """Store data under a record made of the given fields, from a well-behaved body."""
        return self.put_body(key, Body(data, record_of(data, **fields)), precondition)

    def put_body(self, key: str, body: Body, precondition: Precondition = ALWAYS) -> ObjectRecord:
        """Store a body; the plugin must have read it by the rules."""
        body.thread = this_thread()
        stored = self.backend.put_object(self.caller, self.name, key, body, precondition)
        assert not body.faults, body.faults
        return stored

    def open(self, key: str) -> OpenObject:
        """Open an object."""
        return self.backend.get_object(self.caller, self.name, key)

    def get(self, key: str) -> tuple[ObjectRecord, bytes]:
        """Record and data."""
        opened = self.open(key)
        try:
            return opened.record, whole(opened)
        finally:
            opened.close()

    def data(self, key: str) -> bytes:
        """The data."""
        return self.get(key)[1]

    def head(self, key: str) -> ObjectRecord:
        """The record."""
        return self.backend.head_object(self.caller, self.name, key)

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        try:
            self.head(key)
        except NoSuchObject:
            return False
        return True

    def delete(self, key: str, precondition: Precondition = ALWAYS) -> ObjectRecord | None:
        """Delete an object; the record that went."""
        return self.backend.delete_object(self.caller, self.name, key, precondition=precondition).removed

    def update(self, key: str, change: Callable[[ObjectRecord], ObjectRecord]) -> ObjectRecord:
        """Change a record."""
        return self.backend.update_object(self.caller, self.name, key, change)

    def scan(self, prefix: str = "", after: str = "") -> list[ObjectEntry]:
        """All entries of a scan."""
        return list(self.backend.scan(self.caller, self.name, prefix, after))

    def keys(self, prefix: str = "", after: str = "") -> list[str]:
        """All keys of a scan."""
        return [entry.key for entry in self.scan(prefix, after)]

    def page(self, **query: Any) -> ListPage:
        """One page of a listing."""
        return self.backend.list_objects(self.caller, self.name, ListQuery(**query))

    def on(self, backend: Backend) -> Box:
        """The same bucket through another instance of the plugin."""
        return Box(backend, self.caller, self.name)


@dataclass
class Boxes:
    """Makes buckets and removes them, with all that is in them."""

    backend: Backend
    caller: Caller
    names: list[str] = field(default_factory=list)

    def name(self, ending: str = "") -> str:
        """A bucket name that nobody uses, to be removed at the end."""
        name = f"testkit-{uuid4().hex[:12]}{ending}"[:63]
        self.names.append(name)
        return name

    def make(self, ending: str = "") -> Box:
        """A new, empty bucket."""
        name = self.name(ending)
        self.backend.create_bucket(self.caller, BucketRecord(name=name, created=time.time_ns()))
        return Box(self.backend, self.caller, name)

    def remove_all(self) -> None:
        """Remove every bucket that was made here."""
        while self.names:
            remove_bucket(self.backend, self.caller, self.names.pop())


@contextmanager
def temporary_box(backend: Backend, caller: Caller) -> Iterator[Box]:
    """A bucket for one example of a property test."""
    boxes = Boxes(backend, caller)
    try:
        yield boxes.make()
    finally:
        boxes.remove_all()


def remove_bucket(backend: Backend, caller: Caller, bucket: str) -> None:
    """Remove a bucket with its objects and uploads; a missing one is fine."""
    try:
        for upload in list(backend.list_uploads(caller, bucket)):
            backend.abort_upload(caller, bucket, upload.id)
        for entry in list(backend.scan(caller, bucket, "", "")):
            backend.delete_object(caller, bucket, entry.key)
        backend.delete_bucket(caller, bucket)
    except NoSuchBucket:
        pass


def whole(opened: OpenObject) -> bytes:
    """All data of an open object."""
    return b"".join(blocks_of(opened, 0, opened.record.size))


def blocks_of(opened: OpenObject, offset: int, length: int) -> list[bytes]:
    """The blocks of a read, each of which must be `bytes` and hold something."""
    blocks = list(opened.read(offset, length))
    for block in blocks:
        assert type(block) is bytes, f"read() gave a {type(block).__name__}, bytes are asked for"
        assert block, "read() gave an empty block"
    return blocks


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What a call gave or raised."""

    value: T | None = None
    error: Exception | None = None


def together(calls: Sequence[Callable[[], T]]) -> list[Outcome[T]]:
    """Run calls at the same time, in threads (greenlets in a patched process); what each one gave, in their order."""
    outcomes: list[Outcome[T]] = [Outcome(error=TimeoutError("did not end")) for _ in calls]
    start = threading.Barrier(len(calls))

    def run(index: int) -> None:
        start.wait(PATIENCE)
        try:
            outcomes[index] = Outcome(value=calls[index]())
        except Exception as error:  # noqa: BLE001 -- it is what the test asks for
            outcomes[index] = Outcome(error=error)

    threads = [threading.Thread(target=run, args=(index,), daemon=True) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    return outcomes


def all_fine(outcomes: Sequence[Outcome[T]]) -> list[T]:
    """The values of calls of which none may have raised."""
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
    return [outcome.value for outcome in outcomes]  # type: ignore[misc]


@contextmanager
def meanwhile(call: Callable[[], T]) -> Iterator[list[Outcome[T]]]:
    """Run a call beside the block; afterwards the list holds its outcome."""
    outcomes: list[Outcome[T]] = []

    def run() -> None:
        try:
            outcomes.append(Outcome(value=call()))
        except Exception as error:  # noqa: BLE001 -- it is what the test asks for
            outcomes.append(Outcome(error=error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield outcomes
    finally:
        thread.join(PATIENCE)
    if not outcomes:
        raise AssertionError(f"the call beside did not end within {PATIENCE} seconds")


def read_options(path: str | None) -> dict[str, Any]:
    """The plugin's options from a TOML file."""
    return tomllib.loads(Path(path).read_text(encoding="utf-8")) if path else {}
