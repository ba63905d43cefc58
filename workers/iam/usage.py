"""When access keys were last used, written down long after the requests were answered."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import redis

from backends.errors import BackendError
from workers.iam.records import IamError
from workers.iam.registry import TOUCH, Registry
from workers.iam.stores.api import exact_part

logger = logging.getLogger("shardgate.iam")


class KeyUsage:
    """Notes uses; one worker of the fleet writes each of them.

    Args:
        registry: over the store itself: nobody has to hear of this kind of change.
    """

    def __init__(self, registry: Registry, client: redis.Redis | None) -> None:
        self._registry = registry
        self._client = client

    def note(self, access_keys: Iterable[str]) -> None:
        """Write down that keys were used just now. A store that fails is asked again for later uses."""
        for access_key in access_keys:
            try:
                if self._is_first(access_key):
                    self._registry.touch_key(access_key)
            except (BackendError, IamError) as error:
                logger.warning("the last use of a key is not noted: %s: %s", type(error).__name__, error)
                return

    def _is_first(self, access_key: str) -> bool:
        if self._client is None:
            return True
        name = f"shardgate:v1:used:{exact_part(access_key)}"
        try:
            return bool(self._client.set(name, b"1", nx=True, px=TOUCH // 1_000_000))
        except redis.RedisError:
            return False
