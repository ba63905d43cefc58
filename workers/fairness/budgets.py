"""Holds accounts and buckets to their budgets: asked once for each request, when it is known who sent it.

A request is let in whole or not at all. What it transfers is known when it ends, so that bytes are accounted then: a
budget that was overdrawn lets nothing in until time has paid the debt.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import Any, Final, NamedTuple

import redis

from workers.fairness.client import PREFIX, Client
from workers.fairness.rates import Rate
from workers.fairness.slots import Slots
from workers.iam.records import AccountLimits
from workers.protocol.errors import S3Error
from workers.request import Request
from workers.settings import Settings

SCOPES: Final = 10_000
"""Accounts and buckets that a worker keeps slices of."""
SETTLE_SECONDS: Final = 0.2
"""How often debts are told and leases are renewed."""
RENEWALS: Final = 5
"""Every so many times leases are renewed."""
LONGEST_RETRY: Final = 60
ANONYMOUS: Final = "anonymous"


class Limits(NamedTuple):
    """What one scope may use; 0 is no limit."""

    requests: int = 0
    bytes: int = 0
    concurrent: int = 0


class Scope:
    """One account or bucket: those of its budgets that have a limit."""

    __slots__ = ("bytes", "kind", "limits", "requests", "slots")

    def __init__(self, client: Client, name: str, limits: Limits, alone: float, clock: Callable[[], float]) -> None:
        # One hash tag for the keys of a scope; bucket names and canonical user ids hold no brace.
        key = f"{PREFIX}{{{name}}}:"
        self.kind = name.partition(":")[0]
        self.limits = limits
        self.requests = Rate(client, key + "requests", limits.requests, 1.0, alone, clock) if limits.requests else None
        least = max(1.0, limits.bytes / 100)
        self.bytes = Rate(client, key + "bytes", limits.bytes, least, alone, clock) if limits.bytes else None
        slots_alone = max(1, int(limits.concurrent * alone))
        self.slots = Slots(client, key + "slots", limits.concurrent, slots_alone, clock) if limits.concurrent else None

    def enter(self, now: float) -> tuple[str, float]:
        """Let a request in: "" and 0; or the name of the budget that it is over, and seconds until another try."""
        if self.bytes is not None and (wait := self.bytes.take(0.0, now)):
            return f"{self.kind}.bytes", wait
        if self.slots is not None and (wait := self.slots.take(now)):
            return f"{self.kind}.concurrent", wait
        if self.requests is not None and (wait := self.requests.take(1.0, now)):
            if self.slots is not None:
                self.slots.release()
            return f"{self.kind}.requests", wait
        return "", 0.0

    def leave(self, transferred: int) -> None:
        """A request that was let in has ended."""
        if self.slots is not None:
            self.slots.release()
        if self.bytes is not None:
            self.bytes.use(transferred)

    @property
    def busy(self) -> bool:
        """Whether it must not be forgotten."""
        return (self.slots is not None and self.slots.granted > 0) or (self.bytes is not None and self.bytes.owed > 0)


class Budgets:
    """All budgets of a worker.

    Args:
        bucket_limits: the limits that a bucket has of its own, None for none.
        refused: told the name of the budget that a request was over.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        settings: Settings,
        client: redis.Redis | None,
        bucket_limits: Callable[[str], Limits | None] = lambda bucket: None,
        refused: Callable[[str], object] = lambda budget: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = Client(client, clock)
        self._clock = clock
        self._alone = settings.budget_share_alone / 100
        self._of_account = Limits(settings.account_requests, settings.account_bytes, settings.account_concurrent)
        self._of_bucket = Limits(settings.bucket_requests, settings.bucket_bytes, settings.bucket_concurrent)
        self._bucket_limits = bucket_limits
        self._refused = refused
        self._scopes: OrderedDict[str, Scope] = OrderedDict()
        self._settled = 0

    def admit(self, request: Request) -> None:
        """Let a request in, and have it accounted when it ends. Raises `S3Error` SlowDown when it is over budget.

        The root account is bound by the budgets of buckets only: somebody has to be able to repair things.
        """
        entered: list[Scope] = []
        now = self._clock()
        for scope in self._scopes_of(request):
            budget, wait = scope.enter(now)
            if budget:
                for one in entered:
                    one.leave(0)
                self._refused(budget)
                seconds = min(LONGEST_RETRY, max(1, math.ceil(wait)))
                raise S3Error("SlowDown", headers={"Retry-After": str(seconds)})
            entered.append(scope)
        if entered:
            self._account(request.environ.get("shardgate.exchange"), entered)

    def settle(self) -> None:
        """Tell Redis what is owed, and renew leases; to be called every `SETTLE_SECONDS`."""
        self._settled += 1
        now = self._clock()
        scopes = list(self._scopes.values())
        rates = [rate for scope in scopes for rate in (scope.requests, scope.bytes) if rate is not None]
        for rate in rates:
            rate.settle(now)
        if self._settled % RENEWALS == 0:
            for scope in scopes:
                if scope.slots is not None and scope.slots.granted:
                    scope.slots.renew()

    def _scopes_of(self, request: Request) -> list[Scope]:
        found = []
        identity = request.identity
        if identity is None:
            found.append(self._scope(f"account:{ANONYMOUS}", self._of_account))
        elif not identity.account.root:
            limits = _account_limits(identity.record.limits, self._of_account)
            found.append(self._scope(f"account:{identity.account.id}", limits))
        if request.bucket:
            own = self._bucket_limits(request.bucket)
            found.append(self._scope(f"bucket:{request.bucket}", self._of_bucket if own is None else own))
        return [scope for scope in found if scope is not None]

    def _scope(self, name: str, limits: Limits) -> Scope | None:
        if limits == _NONE:
            return None
        scope = self._scopes.get(name)
        if scope is None or scope.limits != limits:
            scope = self._scopes[name] = Scope(self._client, name, limits, self._alone, self._clock)
            self._forget()
        self._scopes.move_to_end(name)
        return scope

    def _forget(self) -> None:
        """Drop the slices that were not used for longest, beyond the number that is kept."""
        for name in list(islice(self._scopes, max(0, len(self._scopes) - SCOPES))):
            if not self._scopes[name].busy:
                del self._scopes[name]

    @staticmethod
    def _account(exchange: Any, scopes: list[Scope]) -> None:
        def ended() -> None:
            transferred = 0 if exchange is None else exchange.bytes_received + exchange.bytes_sent
            for scope in scopes:
                scope.leave(transferred)

        if exchange is None:
            ended()
        else:
            exchange.on_finish(ended)


_NONE: Final = Limits()


def _account_limits(own: AccountLimits, default: Limits) -> Limits:
    return Limits(own.requests or default.requests, own.bytes or default.bytes, own.concurrent or default.concurrent)
