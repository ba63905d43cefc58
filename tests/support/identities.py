"""Accounts, users and keys of a running gateway, made the way its tools make them.

people = Identities(gateway)                    # opens the gateway's own storage and Redis
alice = people.account("alice")                 # with an access key; alice.s3() is a boto3 client
bob = people.user(alice, "bob", policy={...})   # a user of that account with an inline policy
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.api import BackendConfig
from backends.loader import create
from dispatcher.embedded_redis import embedded_url
from tests.support.gateway import Gateway
from workers.iam.accounts import account_number
from workers.iam.opening import open_registry, open_sealer, open_store
from workers.settings import Settings, load_worker_settings
from workers.state.announcements import Changes
from workers.state.redis import connect


@dataclass(frozen=True)
class Person:
    """The holder of an access key."""

    gateway: Gateway
    account: str
    name: str
    arn: str
    access_key: str
    secret_key: str

    @property
    def number(self) -> str:
        return account_number(self.account)

    def s3(self, **config: Any) -> Any:
        return self.gateway.s3(access_key=self.access_key, secret_key=self.secret_key, **config)


class Identities:
    """Opens the registry of a gateway on posix from outside."""

    def __init__(self, gateway: Gateway, **settings: str) -> None:
        self.gateway = gateway
        self.settings: Settings = load_worker_settings(
            {
                "SHARDGATE_STATE_DIR": str(gateway.state_dir),
                "SHARDGATE_DIRECTORY": str(gateway.directory),
                "SHARDGATE_ACCESS_KEY": gateway.access_key,
                "SHARDGATE_SECRET_KEY": gateway.secret_key,
                **settings,
            }
        )
        self.backend = create("posix", BackendConfig(directory=str(gateway.directory)))
        self.backend.open()
        self.redis = connect(settings.get("SHARDGATE_REDIS_URL") or embedded_url(Path(gateway.state_dir)))
        sealer = open_sealer(self.settings)
        store = open_store(self.settings, self.backend, sealer)
        self.registry = open_registry(self.settings, store, sealer, Changes(self.redis))

    def account(self, name: str, **options: Any) -> Person:
        record = self.registry.create_account(name, **options)
        made = self.registry.create_key(record.id)
        return Person(self.gateway, record.id, name, record.arn, made.record.access_key, made.secret)

    def user(self, account: Person, name: str, policy: dict[str, Any] | None = None) -> Person:
        record = self.registry.users.create(account.account, name)
        if policy is not None:
            self.set_policy(account, name, policy)
        made = self.registry.create_key(account.account, name)
        return Person(self.gateway, account.account, name, record.arn, made.record.access_key, made.secret)

    def set_policy(self, account: Person, user: str, policy: dict[str, Any]) -> None:
        self.registry.users.put_inline(account.account, user, "policy", json.dumps(policy))

    def close(self) -> None:
        self.backend.close()
        self.redis.close()
