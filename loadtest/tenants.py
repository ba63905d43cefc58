"""Many small tenants: each with a bucket of its own, few small objects, and nothing to do with the others.

Where the endpoint has IAM's interface, every tenant is a user of its own with a key, and with a policy that allows its
bucket and nothing else; elsewhere all of them have the same key.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from locust import task

from loadtest.bench.targets import Target
from loadtest.bench.workloads import KIB, content
from loadtest.users import Plan, S3User
from tests.support.fast_client import Client, Reply, path_of

POLICY = "own-bucket"


def iam_of(target: Target) -> Any:
    """A client of the endpoint's IAM interface; None when it has none."""
    client = boto3.session.Session().client(
        "iam",
        endpoint_url=target.url,
        region_name=target.region,
        aws_access_key_id=target.access_key,
        aws_secret_access_key=target.secret_key,
        config=Config(retries={"total_max_attempts": 3}),
    )
    try:
        client.list_users(MaxItems=1)
    except (ClientError, BotoCoreError):
        return None
    return client


@dataclass
class Town:
    """The tenants of one run."""

    iam: Any
    buckets: list[str] = field(default_factory=list)
    """All that were to be made."""
    made: list[str] = field(default_factory=list)
    """Those that are there: of another one, the answer is that it does not exist."""
    keys: dict[str, str] = field(default_factory=dict)
    """Access keys by user."""

    def settle(self, target: Target, name: str, bucket: str) -> Target:
        """Make a user that may use one bucket; the endpoint with its key. Raises botocore's errors."""
        self.buckets.append(bucket)
        if self.iam is None:
            return target
        self.iam.create_user(UserName=name)
        resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
        statement = {"Effect": "Allow", "Action": "s3:*", "Resource": resources}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.iam.put_user_policy(UserName=name, PolicyName=POLICY, PolicyDocument=document)
        key = self.iam.create_access_key(UserName=name)["AccessKey"]
        self.keys[name] = key["AccessKeyId"]
        return replace(target, access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"])

    def leave(self) -> None:
        """Remove the users."""
        for name, key in self.keys.items():
            self.iam.delete_access_key(UserName=name, AccessKeyId=key)
            self.iam.delete_user_policy(UserName=name, PolicyName=POLICY)
            self.iam.delete_user(UserName=name)


class Tenant(S3User):
    """A tenant works in a bucket of its own, which it makes when it starts."""

    _towns: ClassVar[dict[str, Town]] = {}

    @classmethod
    def begin(cls, plan: Plan) -> None:
        """Look for IAM's interface, before there are any users."""
        cls._towns[plan.bucket] = Town(iam_of(plan.target))

    @classmethod
    def end(cls, plan: Plan) -> list[str]:
        """Remove the users; the buckets that they leave."""
        town = cls._towns.pop(plan.bucket)
        town.leave()
        return town.buckets

    def on_start(self) -> None:
        """Become a user, and make the bucket."""
        super().on_start()
        self.town = self._towns[self.plan.bucket]
        self.bucket = f"{self.plan.bucket}-{self.name}"
        target = self.town.settle(self.plan.target, f"locust-{self.name}", self.bucket)
        self.client = Client(target, timeout=60)
        if self.send(
            "CreateBucket",
            lambda: self.client.request("PUT", path_of(self.bucket)),
            lambda reply: None if reply.status == 200 else f"bucket: {reply.status} {reply.code}",
        ):
            self.town.made.append(self.bucket)

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
        """Other tenants' buckets are closed; without users, a key that nobody has is not found."""
        others = [bucket for bucket in self.town.made if bucket != self.bucket]
        if self.town.iam is None or not others:
            self._look(self.bucket, "GetObject missing", 404)
        else:
            self._look(self.chance.choice(others), "GetObject of others", 403)

    def _look(self, bucket: str, operation: str, status: int) -> None:
        def check(reply: Reply) -> str | None:
            return None if reply.status == status else f"a key of {bucket}: {reply.status} {reply.code}"

        self.send(operation, lambda: self.client.get(bucket, "nobody"), check)
