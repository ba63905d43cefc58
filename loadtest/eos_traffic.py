"""Clients that know what they were told: S3 traffic in which nothing acknowledged may be lost or wrong.

Each client has keys of its own. What a key may hold is a set: one content after an acknowledged write, the contents
before and after a write whose outcome is not known. Every answer is held against that set.
"""

from __future__ import annotations

import collections
import hashlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, IncompleteReadError
from urllib3.exceptions import HTTPError

KEYS = 6
SIZES = (0, 1, 700, 40_000, 300_000, 1_500_000)
PART = 60_000
Content = tuple[int, int] | None
"""Seed and size of a body; None for no object."""


def body_of(content: tuple[int, int]) -> bytes:
    """Bytes that no other seed has."""
    seed, size = content
    return random.Random(seed).randbytes(size)


@dataclass
class Report:
    """What clients saw. `wrong` and `lost` are sentences, and there must be none.

    `hits` counts the calls that a fault applied to, None where it has no such number.
    """

    requests: int = 0
    hits: int | None = None
    errors: collections.Counter[str] = field(default_factory=collections.Counter)
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Take in another client's report."""
        self.requests += other.requests
        self.errors.update(other.errors)
        self.wrong += other.wrong
        self.lost += other.lost


Observer = Callable[[str, float, Exception | None], None]
"""Is told of each request: the operation, the seconds that it took, and how it failed."""


def _unobserved(operation: str, seconds: float, failure: Exception | None) -> None:
    """Tells nobody."""


class Traffic:
    """One client. `observe` is told of its requests."""

    def __init__(self, s3: Any, bucket: str, number: int, part: int = PART) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._random = random.Random(number)
        self._prefix = f"client{number}/"
        self._part = part
        self._seeds = iter(range(number * 10_000_000, (number + 1) * 10_000_000))
        self.report = Report()
        self.ranges = True
        self.observe: Observer = _unobserved
        self.known: dict[str, set[Content]] = {f"{self._prefix}{'dir/' * (n % 3)}key {n}": {None} for n in range(KEYS)}

        self._steps: list[Callable[[str], None]] = [
            *[self.put] * 4, *[self.get] * 4, self.get_range, self.head, self.delete, self.list, self.multipart,
        ]  # fmt: skip

    def step(self) -> None:
        """Do one thing with one key; what comes of it is in the report."""
        self._random.choice(self._steps)(self._random.choice(list(self.known)))

    def check(self) -> None:
        """Read every key: after the faults, with nothing in the way."""
        for key in self.known:
            self.get(key)
            self.head(key)
        self.list("")

    # requests

    def _call(self, operation: Callable[..., Any], **arguments: Any) -> Any:
        """The answer, or None for a failure, which is counted."""
        self.report.requests += 1
        began = time.perf_counter()
        failure: Exception | None = None
        try:
            return operation(Bucket=self._bucket, **arguments)
        except ClientError as error:
            # Those are answers: `_refused` holds them against what is known.
            if self._code(error)[:3] not in ("404", "416"):
                self.report.errors[self._code(error)] += 1
                failure = error
            raise
        except (BotoCoreError, HTTPError, OSError) as error:
            self.report.errors[type(error).__name__] += 1
            failure = error
            raise
        finally:
            self.observe(operation.__name__, time.perf_counter() - began, failure)

    @staticmethod
    def _code(error: ClientError) -> str:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return f"{status} {error.response['Error']['Code']}"

    def put(self, key: str) -> None:
        """Write a new content."""
        content = (next(self._seeds), self._random.choice(SIZES))
        self._write(key, content, lambda: self._call(self._s3.put_object, Key=key, Body=body_of(content)))

    def delete(self, key: str) -> None:
        """Remove it."""
        self._write(key, None, lambda: self._call(self._s3.delete_object, Key=key))

    def multipart(self, key: str) -> None:
        """Write a new content in parts."""
        content = (next(self._seeds), 2 * self._part + self._random.randrange(1, self._part))
        data = body_of(content)

        def upload() -> None:
            upload_id = self._call(self._s3.create_multipart_upload, Key=key)["UploadId"]
            parts = [self._part_of(key, upload_id, data, number) for number in (2, 3, 1)]
            parts.sort(key=lambda part: part["PartNumber"])
            arguments = {"Key": key, "UploadId": upload_id, "MultipartUpload": {"Parts": parts}}
            self._again(partial(self._call, self._s3.complete_multipart_upload, **arguments))

        self._write(key, content, upload)

    def _part_of(self, key: str, upload_id: str, data: bytes, number: int) -> dict[str, Any]:
        arguments = {"Key": key, "UploadId": upload_id, "PartNumber": number}
        piece = data[(number - 1) * self._part : number * self._part]
        answer = self._again(partial(self._call, self._s3.upload_part, **arguments, Body=piece))
        return {"PartNumber": number, "ETag": answer["ETag"]}

    @staticmethod
    def _again(call: Callable[[], Any]) -> Any:
        """As clients do: once more after an error."""
        try:
            return call()
        except (ClientError, BotoCoreError, HTTPError, OSError):
            return call()

    def _write(self, key: str, content: Content, call: Callable[[], Any]) -> None:
        try:
            call()
        except (ClientError, BotoCoreError, HTTPError, OSError):
            self.known[key] = self.known[key] | {content}
        else:
            self.known[key] = {content}

    def get(self, key: str) -> None:
        """Read it."""
        self._read(key, 0, None)

    def get_range(self, key: str) -> None:
        """Read some of it. EOS's checksum is of the whole, so that damage in a range of a large object is not seen."""
        if not self.ranges:
            self.get(key)
            return
        offset = self._random.choice((0, 1, 1000, 200_000))
        self._read(key, offset, self._random.choice((1, 100, 100_000)))

    def _read(self, key: str, offset: int, length: int | None) -> None:
        arguments = {} if length is None else {"Range": f"bytes={offset}-{offset + length - 1}"}
        try:
            answer = self._call(self._s3.get_object, Key=key, **arguments)
            data = answer["Body"].read()
        except ClientError as error:
            self._refused(key, error, offset)
            return
        except (BotoCoreError, HTTPError, OSError, IncompleteReadError):
            # A body that broke off: the client sees it.
            return
        end = None if length is None else offset + length
        if not any(content is not None and body_of(content)[offset:end] == data for content in self.known[key]):
            self.report.wrong.append(f"GET {key}: {len(data)} bytes from {offset} that nobody wrote")

    def _refused(self, key: str, error: ClientError, offset: int = 0) -> None:
        code = self._code(error)
        if code.startswith("404") and None not in self.known[key]:
            self.report.lost.append(f"{key}: {code}")
        if code.startswith("416") and all(content is not None and content[1] > offset for content in self.known[key]):
            self.report.wrong.append(f"{key}: {code}")

    def head(self, key: str) -> None:
        """Ask for its size."""
        try:
            answer = self._call(self._s3.head_object, Key=key)
        except ClientError as error:
            self._refused(key, error)
            return
        except (BotoCoreError, HTTPError, OSError):
            return
        sizes = {content[1] for content in self.known[key] if content is not None}
        if answer["ContentLength"] not in sizes:
            self.report.wrong.append(f"HEAD {key}: {answer['ContentLength']} bytes, {sizes} were written")
        digests = {hashlib.md5(body_of(content)).hexdigest() for content in self.known[key] if content is not None}
        etag = answer["ETag"].strip('"')
        if "-" not in etag and etag not in digests:
            self.report.wrong.append(f"HEAD {key}: the ETag {etag} is of nothing that was written")

    def list(self, _: str) -> None:
        """List all keys."""
        try:
            answer = self._call(self._s3.list_objects_v2, Prefix=self._prefix)
        except (ClientError, BotoCoreError, HTTPError, OSError):
            return
        sizes = {entry["Key"]: entry["Size"] for entry in answer.get("Contents", [])}
        for key in sizes.keys() - self.known.keys():
            self.report.wrong.append(f"LIST shows {key}, which nobody wrote")
        for key, contents in self.known.items():
            if key not in sizes:
                if None not in contents:
                    self.report.lost.append(f"LIST misses {key}")
            elif sizes[key] not in {content[1] for content in contents if content is not None}:
                self.report.wrong.append(f"LIST {key}: {sizes[key]} bytes that nobody wrote")
