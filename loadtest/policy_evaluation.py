"""What a decision about a request costs, in microseconds: `python loadtest/policy_evaluation.py`.

Each case is a small GET of a warm worker: the policies are compiled, the principal and the bucket's record are kept,
and only the request's context is new. The policies have 20 statements, of which the last one allows. The best of
several rounds is shown, since only that is the code's own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from workers.iam.accounts import account_number
from workers.iam.acl import Ownership, canned_acl
from workers.iam.decision import BucketAccess, Decision, ObjectAccess, decide, object_arn
from workers.iam.policy.compiler import CompiledPolicy, compile_policy
from workers.iam.policy.context import RequestContext
from workers.iam.policy.model import Kind
from workers.iam.policy.principals import Principal, account_principal, user_principal

OWNER = "a" * 64
OTHER = "b" * 64
ROUNDS = 100
CALLS = 1000
STATEMENTS = 20


def policy(kind: Kind, statement: Callable[[int], dict[str, object]]) -> CompiledPolicy:
    """A policy of 20 statements of one form."""
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement(index) for index in range(STATEMENTS)]})
    return compile_policy(text, kind, kind.value, bucket="bucket")


def by_prefix(index: int) -> dict[str, object]:
    """Reading under one prefix; the last one is that of the request."""
    prefix = "home/alice" if index == STATEMENTS - 1 else f"project{index}"
    return {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::bucket/{prefix}/*"}


def with_conditions(index: int) -> dict[str, object]:
    """Reading everything from one network, encrypted; the last one is that of the request."""
    network = "192.0.2.0/24" if index == STATEMENTS - 1 else f"10.{index}.0.0/16"
    condition = {"IpAddress": {"aws:SourceIp": network}, "Bool": {"aws:SecureTransport": "true"}}
    return {"Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::bucket/*", "Condition": condition}


def with_variables(index: int) -> dict[str, object]:
    """Reading one's own folder in one of 20 places; the last one is that of the request."""
    place = "home" if index == STATEMENTS - 1 else f"place{index}"
    resource = f"arn:aws:s3:::bucket/{place}/${{aws:username}}/*"
    return {"Effect": "Allow", "Action": "s3:GetObject", "Resource": resource}


def mixed(index: int) -> dict[str, object]:
    """What bucket policies look like: denials with conditions, grants to accounts, other actions."""
    everything = ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*"]
    if index < 4:
        condition = (
            {"Bool": {"aws:SecureTransport": "false"}} if index % 2 else {"NumericLessThan": {"s3:TlsVersion": 1}}
        )
        return {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": everything, "Condition": condition}
    if index < 10:
        number = account_number(f"{index:064x}")
        return {"Effect": "Allow", "Principal": {"AWS": number}, "Action": "s3:*", "Resource": everything}
    if index < 19:
        resource = f"arn:aws:s3:::bucket/in{index}/*"
        return {"Effect": "Allow", "Principal": "*", "Action": "s3:PutObject", "Resource": resource}
    user = f"arn:aws:iam::{account_number(OWNER)}:user/alice"
    return {"Effect": "Allow", "Principal": {"AWS": user}, "Action": "s3:GetObject", "Resource": everything[1]}


def measure(
    name: str, principal: Principal, bucket: BucketAccess, lookup: Callable[[], ObjectAccess] | None = None
) -> None:
    """Time decisions for a principal and print the best round."""
    headers: dict[str, str] = {}
    get = headers.get

    def request() -> Decision:
        context = RequestContext(
            principal,
            now=1.8e9,
            source_ip="192.0.2.1",
            secure=True,
            header=get,
            tls_version="1.3",
            auth_type="REST-HEADER",
        )
        arn = object_arn("bucket", "home/alice/small.txt")
        return decide("s3:GetObject", arn, principal, context, bucket, lookup)

    assert request().allowed, request()
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(CALLS):
            request()
        best = min(best, (time.perf_counter() - started) / CALLS)
    print(f"{best * 1e6:7.2f} us  {name}")


def main() -> None:
    """Measure all cases."""
    plain = BucketAccess(owner=OWNER)

    def alice(statement: Callable[[int], dict[str, object]]) -> Principal:
        return user_principal(OWNER, "alice", policies=(policy(Kind.IDENTITY, statement),))

    measure("the owner, without any policy", account_principal(OWNER), plain)
    measure("identity policy of 20 prefixes", alice(by_prefix), plain)
    measure("identity policy of 20 times two conditions", alice(with_conditions), plain)
    measure("identity policy of 20 variables", alice(with_variables), plain)
    mixed_bucket = BucketAccess(owner=OWNER, policy=policy(Kind.BUCKET, mixed))
    measure("bucket policy of 20 mixed statements", user_principal(OWNER, "alice"), mixed_bucket)
    measure("the same, beside an identity policy of 20 prefixes", alice(by_prefix), mixed_bucket)
    acl = canned_acl("public-read", OWNER, bucket_owner=OWNER)
    opened = BucketAccess(owner=OWNER, ownership=Ownership.OBJECT_WRITER)
    found = ObjectAccess(OWNER, acl)
    measure("an object's ACL", account_principal(OTHER), opened, lambda: found)
    started = time.perf_counter()
    policy(Kind.IDENTITY, with_conditions)
    print(f"{(time.perf_counter() - started) * 1e6:7.0f} us  reading a document of 20 statements, once for each change")


if __name__ == "__main__":
    main()
