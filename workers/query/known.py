"""Whether a principal that a policy names exists, as the registry knows."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from workers.iam.accounts import ROOT_ACCOUNT_ID
from workers.iam.policy.principals import PARTITION
from workers.iam.registry import Registry

_ENTITY: Final = re.compile(rf"arn:{PARTITION}:iam::(\d{{12}}):(user|role)/(?:.*/)?([^/]+)", re.ASCII)


def known_principal(registry: Registry) -> Callable[[str], bool]:
    """Tells of a name, as `principal_name` gives it, whether there is such a principal.

    AWS refuses a policy that names a user or role which does not exist: nobody can mean it. Accounts are checked too;
    sessions, services and identity providers come and go.
    """

    def known(name: str) -> bool:
        kind, _, text = name.partition(":")
        if kind == "account":
            return registry.account_by_number(text) is not None
        if kind == "canonical":
            return text == ROOT_ACCOUNT_ID or registry.account(text) is not None
        match = _ENTITY.fullmatch(name)
        if match is None:
            return True
        account = registry.account_by_number(match[1])
        if account is None:
            return False
        collection = registry.users if match[2] == "user" else registry.roles
        found = collection.find(account.id, match[3])
        return found is not None and found.arn == name

    return known
