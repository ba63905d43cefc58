"""What authentication and authorization add to a small GET of a warm worker: `python loadtest/authorization_cost.py`.

The whole app over the memory backend, without sockets, as in profile_pipeline.py. The same GET is performed

* as an operation that needs no credentials, which is what the rest of the way costs,
* by root, by the account that owns the bucket, and by users with policies of 20 statements, of which the last allows,
* by such a user in a bucket whose policy has 20 statements, too,
* with a wrong signature by a key that there is, and by one that there is not, up to the refusal: both take the same.

The figures are the best of many short rounds, taken in turns, since only that is the code's own on a busy machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from backends.api import BackendConfig
from backends.memory.backend import MemoryBackend
from loadtest import profile_pipeline as pipeline
from loadtest.policy_evaluation import STATEMENTS, by_prefix, mixed, with_conditions, with_variables
from workers.app import GatewayApp, request_ids
from workers.authenticating import authenticate_request
from workers.iam.auth_cache import AuthCache, root_identity
from workers.iam.identities import Identities
from workers.iam.registry import Registry
from workers.iam.sealing import Sealer
from workers.iam.stores.memory import MemoryDocuments
from workers.operations import operation_table
from workers.pipeline import Pipeline
from workers.protocol.errors import S3Error
from workers.request import Request
from workers.routing import OperationTable
from workers.services import Services
from workers.settings import load_settings
from workers.telemetry.recorder import Recorder

ADDRESS = "192.0.2.7"
KEY = "home/alice/key"
ROOT = (pipeline.ACCESS_KEY, pipeline.SECRET_KEY)

Pair = tuple[str, str]


def make_services() -> Services:
    """A worker's services with identities, over memory."""
    settings = dataclasses.replace(load_settings({"backend": "memory"}, {}, None), auth_cache_ttl=3600.0)
    backend = MemoryBackend(BackendConfig())
    backend.open()
    registry = Registry(MemoryDocuments(), Sealer(["m" * 32]))
    identities = Identities(registry)
    return Services(
        settings=settings,
        backend=backend,
        auth=AuthCache(root_identity(*ROOT), identities, lifetime=3600.0),
        recorder=Recorder(),
        registry=registry,
        identities=identities,
    )


def statements(form: Callable[[int], dict[str, object]], bucket: str = "bucket") -> str:
    """A policy of 20 statements about a bucket."""
    text = json.dumps({"Version": "2012-10-17", "Statement": [form(index) for index in range(STATEMENTS)]})
    return text.replace(":::bucket", f":::{bucket}")


def get_of(pair: Pair, bucket: str = "bucket") -> dict[str, Any]:
    """A signed GET, over HTTPS."""
    environ = pipeline.environ_of("GET", f"/{bucket}/{KEY}", credentials=pair)
    return {**environ, "REMOTE_ADDR": ADDRESS, "wsgi.url_scheme": "https"}


def prepare(services: Services, bench: pipeline.Bench) -> list[tuple[str, dict[str, Any]]]:
    """Make an account, its users, and two buckets with an object; the requests to measure."""
    registry = services.registry
    assert registry is not None
    account = registry.create_account("owner")
    made = registry.create_key(account.id)
    owner = made.record.access_key, made.secret
    for bucket in ("bucket", "guarded"):
        bench.perform(pipeline.environ_of("PUT", f"/{bucket}", credentials=owner), b"")
        put = pipeline.environ_of("PUT", f"/{bucket}/{KEY}", pipeline.DATA, credentials=owner)
        bench.perform(put, pipeline.DATA)
    services.buckets.put_document("guarded", "policy", statements(mixed, "guarded").encode())

    def user(name: str, text: str) -> Pair:
        registry.users.create(account.id, name)
        registry.users.attach(account.id, name, registry.policies.create(account.id, name, text).arn)
        key = registry.create_key(account.id, name)
        return key.record.access_key, key.secret

    return [
        ("root", get_of(ROOT)),
        ("the owning account", get_of(owner)),
        ("a user with 20 prefixes", get_of(user("prefixes", statements(by_prefix)))),
        ("a user with 20 times two conditions", get_of(user("conditions", statements(with_conditions)))),
        ("a user with 20 variables", get_of(user("alice", statements(with_variables)))),
        (
            "20 prefixes, and a bucket policy of 20 statements",
            get_of(user("both", statements(by_prefix, "guarded")), "guarded"),
        ),
    ]


def time_refusal(services: Services, environ: dict[str, Any], rounds: int, count: int) -> float:
    """Microseconds until a wrong signature is refused; the answer, which says why, is not written."""
    best = 1e9
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(count):
            request = Request(environ, "id", services, time.time())
            request.raw_path = environ["RAW_URI"]
            try:
                authenticate_request(request)
            except S3Error:
                continue
            raise SystemExit("a wrong signature was taken for a right one")
        best = min(best, time.perf_counter() - began)
    return best / count * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="times that each request has its turn")
    parser.add_argument("--count", type=int, default=50, help="requests that are timed together, ten times a turn")
    options = parser.parse_args()
    services = make_services()
    guarded = pipeline.Bench(GatewayApp(services))
    requests = prepare(services, guarded)
    known = next(iter(services.auth.take_used()))
    # The same way without the two steps: GetObject as an operation that needs no credentials.
    open_to_all = pipeline.Bench(GatewayApp(services))
    row = dataclasses.replace(operation_table().by_name["GetObject"], anonymous=True)
    open_to_all.app._pipeline = Pipeline(services, OperationTable([row]), request_ids())
    cases = [("without authentication and authorization", open_to_all, requests[0][1])]
    cases += [(name, guarded, environ) for name, environ in requests]
    best = dict.fromkeys((name for name, _, _ in cases), 1e9)
    for _ in range(options.rounds):
        for name, bench, environ in cases:
            best[name] = min(best[name], bench.time(environ, b"", rounds=10, count=options.count))
    nothing = best[cases[0][0]]
    for name, microseconds in best.items():
        print(f"{name:52}{microseconds:8.1f} us {microseconds - nothing:+8.1f} us")
    for name, access_key in (("a known", known), ("an unknown", "AKIA" + "X" * 16)):
        microseconds = time_refusal(services, get_of((access_key, "x" * 40)), options.rounds * 10, options.count)
        print(f"{f'refusing a wrong signature by {name} key':52}{microseconds:8.1f} us")


if __name__ == "__main__":
    main()
