"""One of several processes that contend for the same key or document. Started by the tests only.

Reads its task from the command line, says "ready", waits for a line, and prints its answers as JSON.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import Any

from backends import loader
from backends.api import (
    Backend,
    BackendConfig,
    BackendError,
    BucketRecord,
    Caller,
    DocumentChanged,
    ObjectRecord,
    Precondition,
    PreconditionFailed,
)
from backends.testkit.sources import Body

ATTEMPTS = 10_000


def create(backend: Backend, caller: Caller, bucket: str, name: str, rounds: int, number: int) -> list[str]:
    """Create objects that must not exist; which of them were won."""
    won: list[str] = []
    for turn in range(rounds):
        key = f"{name}{turn}"
        data = f"process {number}".encode()
        try:
            backend.put_object(caller, bucket, key, Body(data), Precondition(if_none_match=("*",)))
        except PreconditionFailed:
            continue
        won.append(key)
    return won


def count(backend: Backend, caller: Caller, bucket: str, name: str, rounds: int, number: int) -> list[str]:
    """Add one to the number in an object, on the condition that it is still the one read; the numbers written."""
    written: list[str] = []
    for _ in range(ATTEMPTS):
        if len(written) == rounds:
            break
        opened = backend.get_object(caller, bucket, name)
        try:
            before = b"".join(opened.read(0, opened.record.size))
        finally:
            opened.close()
        after = b"%d" % (int(before) + 1)
        try:
            backend.put_object(caller, bucket, name, Body(after), Precondition(if_match=(opened.record.etag,)))
        except PreconditionFailed:
            continue
        written.append(after.decode())
    return written


def update(backend: Backend, caller: Caller, bucket: str, name: str, rounds: int, number: int) -> list[str]:
    """Add tags of one's own to an object."""
    for turn in range(rounds):
        backend.update_object(caller, bucket, name, partial(_tagged, f"{number}-{turn}"))
    return []


def document(backend: Backend, caller: Caller, bucket: str, name: str, rounds: int, number: int) -> list[str]:
    """Add one to the number in a document by compare and swap; the numbers written."""
    written: list[str] = []
    for _ in range(ATTEMPTS):
        if len(written) == rounds:
            break
        before = backend.get_document(bucket, name)
        after = b"%d" % (int(before.data) + 1 if before else 1)
        try:
            backend.put_document(bucket, name, after, before.revision if before else None)
        except DocumentChanged:
            continue
        written.append(after.decode())
    return written


def make_bucket(backend: Backend, caller: Caller, bucket: str, name: str, rounds: int, number: int) -> list[str]:
    """Create a bucket; [its name] for the one process that did."""
    try:
        backend.create_bucket(caller, BucketRecord(name=name, created=number + 1))
    except BackendError as error:
        return [] if type(error).__name__ == "BucketExists" else [repr(error)]
    return [name]


TASKS = {"create": create, "count": count, "update": update, "document": document, "make_bucket": make_bucket}


def _tagged(tag: str, record: ObjectRecord) -> ObjectRecord:
    return record.replace(tags={**record.tags, tag: "x"})


def main(arguments: dict[str, Any], number: int) -> None:
    """Open the plugin as a worker would, wait for the start, do the task."""
    config = BackendConfig(directory=arguments["directory"], options=arguments["options"], durable=arguments["durable"])
    caller = Caller(account_id="testkit", uid=arguments["uid"], gid=arguments["gid"])
    backend = loader.create(arguments["specification"], config)
    backend.open()
    try:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        task = TASKS[arguments["task"]]
        answers = task(backend, caller, arguments["bucket"], arguments["name"], arguments["rounds"], number)
    finally:
        backend.close()
    sys.stdout.write(json.dumps(answers))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), int(sys.argv[2]))
