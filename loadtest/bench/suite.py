"""Which workloads there are, by name."""

from __future__ import annotations

from collections.abc import Sequence

from loadtest.bench.transfers import Completing, Transfer
from loadtest.bench.workloads import (
    KIB,
    Call,
    Calls,
    Deleting,
    Heading,
    Listing,
    Replaying,
    Scale,
    Workload,
    mixed_calls,
)
from loadtest.bench.workloads import content as data_of
from tests.support.fast_client import path_of

SMALL = {"1k": KIB, "64k": 64 * KIB}


def workloads(scale: Scale) -> list[Workload]:
    """All of them, in the order of the table."""
    found: list[Workload] = []
    for label, size in SMALL.items():
        objects = scale.objects if size == KIB else min(scale.objects, 500)
        writes = scale.writes if size == KIB else min(scale.writes, 1000)
        read = [f"read-{label}/{number:06d}" for number in range(objects)]
        written = [f"put-{label}/{number:06d}" for number in range(writes)]
        deleted = [f"delete-{label}/{number:06d}" for number in range(writes)]
        found += [
            Heading(f"head-{label}", scale, _reads("HEAD", read), read, size),
            Replaying(f"get-{label}", scale, _reads("GET", read), read, size),
            Replaying(f"put-{label}", scale, _puts(written, size), size=size, written=written),
            Deleting(f"delete-{label}", scale, deleted, size),
        ]
    read = [f"mixed-read/{number:06d}" for number in range(scale.objects)]
    written = [f"mixed-put/{number:06d}" for number in range(scale.writes)]
    deep = range(scale.listed * 9 // 10 - scale.page, scale.listed - scale.page, max(1, scale.page // 7))
    return [
        *found,
        Transfer("get-64m", scale, "GET"),
        Transfer("put-64m", scale, "PUT"),
        Transfer("put-64m-signed", scale, "PUT", signed=True),
        Listing("list-front", scale, [0]),
        Listing("list-deep", scale, list(deep)),
        Completing("complete", scale),
        Replaying("mixed", scale, mixed_calls(scale, read, written, KIB), read, KIB),
    ]


def _reads(method: str, keys: Sequence[str]) -> Calls:
    return lambda bucket: [Call(method, path_of(bucket, key)) for key in keys]


def _puts(keys: Sequence[str], size: int) -> Calls:
    return lambda bucket: [Call("PUT", path_of(bucket, key), body=data_of(key, size)) for key in keys]
