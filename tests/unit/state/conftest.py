"""Workers over one Redis and one storage, without a gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis

from backends.api import BackendConfig, BucketRecord, Caller, ObjectRecord, PartRecord, UploadRecord
from backends.memory import MemoryBackend
from backends.testkit.harness import Box
from backends.testkit.uploading import Upload
from tests.support.gateway import RedisServer
from workers.state.redis import Epoch, connect
from workers.state.uploads import Uploads, new_upload_id

CALLER = Caller(account_id="test")
BUCKET = "bucket"


class CountingBackend(MemoryBackend):
    """Counts how often an upload is loaded; `loaded` is called before what was read is given out."""

    def __init__(self) -> None:
        super().__init__(BackendConfig())
        self.loads = 0
        self.loaded: Callable[[], None] = lambda: None

    def load_upload(self, caller: Caller, bucket: str, upload_id: str) -> Any:
        self.loads += 1
        found = super().load_upload(caller, bucket, upload_id)
        self.loaded()
        return found


@dataclass
class Fleet:
    """Workers that share a storage and the Redis at `server.url`."""

    server: Any
    backend: CountingBackend
    clients: list[redis.Redis] = field(default_factory=list)
    clock: int = 1_700_000_000_000_000_000

    def worker(self, timeout: float = 5.0) -> Uploads:
        """Another worker."""
        epoch = Epoch()
        client = connect(self.server.url, epoch=epoch, timeout=timeout)
        self.clients.append(client)
        return Uploads(client, epoch, self.backend)

    @property
    def client(self) -> redis.Redis:
        """A client of the tests' own."""
        client = connect(self.server.url)
        self.clients.append(client)
        return client

    def begin(self, uploads: Uploads, key: str = "key", bucket: str = BUCKET) -> UploadRecord:
        """Begin an upload."""
        self.clock += 1_000_000_000
        draft = ObjectRecord(size=0, etag="")
        record = UploadRecord(id=new_upload_id(self.clock), key=key, initiated=self.clock, draft=draft)
        uploads.create(CALLER, bucket, record)
        return record

    def put(self, uploads: Uploads, upload: UploadRecord, number: int, data: bytes = b"data") -> PartRecord:
        """Store a part and let it count."""
        part = self.stored(upload, number, data)
        replaced = uploads.add_part(CALLER, BUCKET, upload, part)
        if replaced is not None:
            self.backend.discard_part(CALLER, BUCKET, upload, replaced)
        return part

    def stored(self, upload: UploadRecord, number: int, data: bytes = b"data") -> PartRecord:
        """Store a part that Redis does not know of."""
        return Upload(Box(self.backend, CALLER, BUCKET), upload).put(number, data)

    def publish(self, upload: UploadRecord, parts: list[PartRecord]) -> ObjectRecord:
        """Let the storage complete."""
        return Upload(Box(self.backend, CALLER, BUCKET), upload).complete(parts)

    def lose_redis(self) -> None:
        """Kill Redis and start it empty."""
        self.server.kill()
        self.server.start()

    def keys(self) -> set[str]:
        """All keys in Redis."""
        return {key.decode() for key in self.client.keys("*")}


@pytest.fixture
def fleet(redis_server: RedisServer, redis_client: redis.Redis) -> Iterator[Fleet]:
    backend = CountingBackend()
    backend.create_bucket(CALLER, BucketRecord(name=BUCKET, created=1))
    fleet = Fleet(redis_server, backend)
    yield fleet
    for client in fleet.clients:
        client.close()
