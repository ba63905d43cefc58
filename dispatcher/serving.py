"""Which shards serve: what the registry, the dispatchers' reports and an operator's wishes say together. No I/O."""

import math
from typing import Final

from dispatcher.registry import DRAIN, LEFT, REMOVE, UP, Dispatcher, Fleet, Shard
from workers.settings import Settings

_DISPATCHER_BEATS: Final = 5.0
# A shard that left is kept in the registry until each dispatcher has seen it go.
_REMEMBER_LEFT: Final = 5.0
_REMEMBER_SILENT: Final = 3600.0


def present(fleet: Fleet, settings: Settings) -> list[Dispatcher]:
    """The dispatchers whose reports are fresh; one of a busy host may be late."""
    patience = max(settings.shard_expiry, _DISPATCHER_BEATS * settings.heartbeat_interval)
    return [dispatcher for dispatcher in fleet.dispatchers if dispatcher.silence < patience]


def serves(shard: Shard, fleet: Fleet, settings: Settings, *, since: int = 0) -> bool:
    """Whether a shard is up, wanted, and usable for every dispatcher that can reach it.

    With `since`, a revision, only by reports that are not older: what a dispatcher saw before it heard of a change says
    nothing about the time after it.
    """
    if shard.face.state != UP or shard.wish in (DRAIN, REMOVE) or shard.silence > settings.shard_expiry:
        return False
    reports = present(fleet, settings)
    if any(report.applied < since or not report.haproxy for report in reports):
        return False
    views = [report.servers.get(shard.id) for report in reports]
    return all(view is None or str(view["status"]).startswith("UP") for view in views)


def state_of(shard: Shard, fleet: Fleet, settings: Settings) -> str:
    """One word for people: what an operator wanted goes before what the shard says of itself."""
    if shard.face.state == LEFT:
        return LEFT
    if shard.silence > settings.shard_expiry:
        return "silent"
    if shard.wish in (DRAIN, REMOVE):
        return {DRAIN: "drained", REMOVE: "leaving"}[shard.wish]
    if shard.face.state == UP and not serves(shard, fleet, settings):
        return "unusable"
    return shard.face.state


def remembrance(shard: Shard, settings: Settings) -> float:
    """Seconds of silence after which a shard is forgotten.

    One that an operator drained never is: it may be away for a repair, and has to get nothing when it comes back.
    """
    if shard.wish == DRAIN:
        return math.inf
    if shard.face.state == LEFT or shard.wish == REMOVE:
        return max(_REMEMBER_LEFT, settings.shard_expiry)
    return _REMEMBER_SILENT
