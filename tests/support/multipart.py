"""Multipart uploads by boto3, and what a gateway keeps of them."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis import Redis

from tests.support.gateway import Gateway, wait_until

SMALL_PARTS = ("--multipart-min-part-size", "0")
"""For gateways whose uploads have parts of a few bytes."""


def body(size: int, seed: int) -> bytes:
    """Bytes that no other seed has."""
    return random.Random(seed * 1_000_003 + size).randbytes(size)


def etag_of(datas: Iterable[bytes]) -> str:
    """S3's ETag of an object that was uploaded in these parts, with quotes."""
    digests = [hashlib.md5(data).digest() for data in datas]
    return f'"{hashlib.md5(b"".join(digests)).hexdigest()}-{len(digests)}"'


@dataclass
class ClientUpload:
    """One upload as a client sees it: `etags` and `datas` of what was acknowledged, by part number."""

    s3: Any
    bucket: str
    key: str
    id: str = ""
    etags: dict[int, str] = field(default_factory=dict)
    datas: dict[int, bytes] = field(default_factory=dict)

    def begin(self, **options: Any) -> ClientUpload:
        self.id = self.s3.create_multipart_upload(Bucket=self.bucket, Key=self.key, **options)["UploadId"]
        return self

    @property
    def name(self) -> dict[str, str]:
        """The parameters that name it."""
        return {"Bucket": self.bucket, "Key": self.key, "UploadId": self.id}

    def put(self, number: int, data: bytes, **options: Any) -> Any:
        answer = self.s3.upload_part(**self.name, PartNumber=number, Body=data, **options)
        self.etags[number], self.datas[number] = answer["ETag"], data
        return answer

    def manifest(self, *numbers: int) -> dict[str, Any]:
        """The parts to complete with: all, or those of the given numbers."""
        wanted = numbers or tuple(sorted(self.etags))
        return {"Parts": [{"PartNumber": number, "ETag": self.etags[number]} for number in wanted]}

    def complete(self, *numbers: int, **options: Any) -> Any:
        return self.s3.complete_multipart_upload(**self.name, MultipartUpload=self.manifest(*numbers), **options)

    def abort(self, **options: Any) -> Any:
        return self.s3.abort_multipart_upload(**self.name, **options)

    def listed(self, **options: Any) -> Any:
        return self.s3.list_parts(**self.name, **options)

    @property
    def content(self) -> bytes:
        """What the object will be."""
        return b"".join(self.datas[number] for number in sorted(self.datas))


def content_of(s3: Any, bucket: str, key: str) -> bytes:
    """An object's bytes."""
    data: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return data


def open_uploads(s3: Any, bucket: str) -> list[tuple[str, str]]:
    """(key, id) of all uploads that a bucket lists."""
    pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket)
    return [(upload["Key"], upload["UploadId"]) for page in pages for upload in page.get("Uploads", [])]


def left_on_disk(gateway: Gateway) -> list[str]:
    """Files of uploads and the staging area of a posix gateway."""
    hidden = gateway.directory / ".shardgate"
    return [
        str(path.relative_to(hidden))
        for folder in ("uploads", "staging")
        for path in (hidden / folder).rglob("*")
        if not path.is_dir()
    ]


def lose_redis(gateway: Gateway) -> None:
    """Kill the embedded Redis and remove what it had saved, before the supervisor starts it again: it is empty then."""
    pid = gateway.redis_pid()
    # Stopped, the supervisor cannot start a new one before the data are gone.
    gateway.signal(signal.SIGSTOP)
    try:
        os.kill(pid, signal.SIGKILL)
        shutil.rmtree(gateway.state_dir / "redis" / "appendonlydir")
    finally:
        gateway.signal(signal.SIGCONT)
    wait_until(lambda: gateway.redis_pid() != pid, what="another Redis")


def redis_of(gateway: Gateway) -> Redis:
    """A client of a gateway's embedded Redis."""
    return Redis(unix_socket_path=str(redis_socket(gateway)))


def redis_socket(gateway: Gateway) -> Path:
    from dispatcher.statedir import socket_path

    return socket_path(gateway.state_dir, "redis.sock")
