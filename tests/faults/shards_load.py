"""Load whose every operation counts: failures are kept, and what was acknowledged is compared at the end."""

import hashlib
import io
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError

from tests.support.gateway import s3_client

PART = 5 << 20


class Load:
    """Threads that put, get, list, delete and upload in parts, each through one of `endpoints` with keys of its own.

    `attempts` is the SDK's limit for one operation; 1 shows every failure as it is. Each `multipart_every`th operation
    is an upload in parts. `config` is for the SDK, such as its time-outs.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        keys: tuple[str, str],
        *,
        attempts: int,
        threads: int = 4,
        multipart: bool = True,
        multipart_every: int = 25,
        bucket: str = "load",
        **config: Any,
    ) -> None:
        self.failures: list[str] = []
        self.retries = 0
        self.longest = 0.0
        """Seconds of the slowest operation, with its retries."""
        self.operations: Counter[str] = Counter()
        self._stored: dict[str, str] = {}
        self._bucket = bucket
        self._multipart = multipart
        self._multipart_every = multipart_every
        self._retrying = attempts > 1
        self._lock = threading.Lock()
        self._end = threading.Event()
        retries = {"mode": "standard", "total_max_attempts": attempts}
        self._clients = [
            s3_client(endpoints[number % len(endpoints)], *keys, retries=retries, max_pool_connections=2, **config)
            for number in range(threads)
        ]
        for client in self._clients:
            client.meta.events.register("after-call.s3", self._count_retries)
        self._clients[0].create_bucket(Bucket=bucket)
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(threads)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive(), "an operation hangs"

    def run_for(self, seconds: float) -> None:
        time.sleep(seconds)

    def _run(self, number: int) -> None:
        client = self._clients[number]
        chance = random.Random(number)
        mine: list[str] = []
        turn = 0
        while not self._end.is_set():
            turn += 1
            name = f"{number}/{turn}"
            step = chance.random()
            if self._multipart and turn % self._multipart_every == self._multipart_every // 2:
                self._step("multipart", self._in_parts, client, name, chance)
                mine.append(name)
            elif step < 0.4 or not mine:
                body = chance.randbytes(chance.choice((100, 1024, 65536, 300_000)))
                if self._step("put", client.put_object, Bucket=self._bucket, Key=name, Body=body) is not None:
                    self._note(name, body)
                    mine.append(name)
            elif step < 0.85:
                self._step("get", self._compare, client, chance.choice(mine))
            elif step < 0.95:
                self._step("list", client.list_objects_v2, Bucket=self._bucket, Prefix=f"{number}/", MaxKeys=50)
            else:
                gone = mine.pop(chance.randrange(len(mine)))
                self._step("delete", client.delete_object, Bucket=self._bucket, Key=gone)
                with self._lock:
                    self._stored.pop(gone, None)

    def _count_retries(self, parsed: dict[str, Any], **_: Any) -> None:
        with self._lock:
            self.retries += parsed.get("ResponseMetadata", {}).get("RetryAttempts", 0)

    def _step(self, kind: str, call: Any, *arguments: Any, **named: Any) -> Any:
        begun = time.monotonic()
        try:
            answer = call(*arguments, **named)
        except (ClientError, BotoCoreError, Boto3Error, AssertionError, OSError) as error:
            with self._lock:
                self.failures.append(f"{kind}: {type(error).__name__}: {error}")
            return None
        with self._lock:
            self.operations[kind] += 1
            self.longest = max(self.longest, time.monotonic() - begun)
        return answer if answer is not None else True

    def _note(self, name: str, body: bytes) -> None:
        with self._lock:
            self._stored[name] = hashlib.sha256(body).hexdigest()

    def _in_parts(self, client: Any, name: str, chance: random.Random) -> None:
        where = {"Bucket": self._bucket, "Key": name}
        blocks = [os.urandom(1024) * (PART // 1024), chance.randbytes(1000)]
        upload = client.create_multipart_upload(**where)["UploadId"]
        parts = [
            {
                "PartNumber": number,
                "ETag": client.upload_part(**where, UploadId=upload, PartNumber=number, Body=block)["ETag"],
            }
            for number, block in enumerate(blocks, 1)
        ]
        client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})
        self._note(name, b"".join(blocks))

    def _compare(self, client: Any, name: str) -> None:
        with self._lock:
            expected = self._stored.get(name)
        if expected is None:
            return
        body = self._read(client, name)
        assert hashlib.sha256(body).hexdigest() == expected, f"{name} has other content"

    def _read(self, client: Any, name: str) -> bytes:
        if not self._retrying:
            body: bytes = client.get_object(Bucket=self._bucket, Key=name)["Body"].read()
            return body
        # get_object hands the body over as it comes; the SDK's own download goes on when a body breaks off.
        whole = io.BytesIO()
        client.download_fileobj(self._bucket, name, whole, Config=TransferConfig(use_threads=False))
        return whole.getvalue()

    def verify(self) -> int:
        """Read everything that was acknowledged; how many objects that were."""
        for name in sorted(self._stored):
            self._compare(self._clients[0], name)
        return len(self._stored)
