"""Many small tenants: each with a bucket of its own, few small objects, and nothing to do with the others."""

from __future__ import annotations

from typing import ClassVar

from locust import task

from loadtest.bench.workloads import KIB, content
from loadtest.users import Plan, S3User
from tests.support.fast_client import Reply, path_of


class Tenant(S3User):
    """A tenant works in a bucket of its own, which it makes when it starts."""

    _buckets: ClassVar[dict[str, list[str]]] = {}

    @classmethod
    def made(cls, plan: Plan) -> list[str]:
        """The buckets of a plan's tenants."""
        return cls._buckets.pop(plan.bucket, [])

    def on_start(self) -> None:
        """Make the bucket."""
        super().on_start()
        self.bucket = f"{self.plan.bucket}-{self.name}"
        self._buckets.setdefault(self.plan.bucket, []).append(self.bucket)
        self.send(
            "CreateBucket",
            lambda: self.client.request("PUT", path_of(self.bucket)),
            lambda reply: None if reply.status == 200 else f"bucket: {reply.status} {reply.code}",
        )

    @task(40)
    def write(self) -> None:
        """PUT of something small."""
        key = f"{self.chance.randrange(20):03d}"
        self.put(key, content(f"{self.bucket}/{key}/{self.chance.random()}", self.chance.choice((100, KIB, 4 * KIB))))

    @task(40)
    def read(self) -> None:
        """GET."""
        self.read_own()

    @task(10)
    def list_all(self) -> None:
        """All keys of the bucket are the tenant's."""
        self.list("", sorted(self.stored))

    @task(5)
    def remove(self) -> None:
        """DELETE."""
        self.delete_own()

    @task(5)
    def others(self) -> None:
        """A key that another tenant may have is not found here."""

        def check(reply: Reply) -> str | None:
            return None if reply.status == 404 else f"a key of nobody: {reply.status}"

        self.send("GetObject missing", lambda: self.client.get(self.bucket, "nobody"), check)
