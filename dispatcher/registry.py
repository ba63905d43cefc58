"""The fleet in Redis: which shards there are, what they are doing, and what an operator wants of them.

A shard tells about itself with every heartbeat, so that a Redis that comes back empty knows the fleet again one
interval later. Nothing here is needed to serve requests: dispatchers go on with what they saw last.

Hashes by shard id, all with one hash tag so that scripts and transactions also run on a cluster:

    faces     what decides about traffic (`Face`), as JSON
    pulses    what changes with every heartbeat (`Pulse`), as JSON
    beats     the server's time of the last heartbeat, in milliseconds
    numbers   the shard's number, its id in every HAProxy
    wishes    what an operator wants: "drain", "remove" or "restart TOKEN"
    dispatchers, dispatcher_beats   the same about the dispatchers

`revision` counts changes of faces and wishes. A dispatcher reports the revision that it has put into effect.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, TypeVar

from redis import Redis

from workers.state.redis import as_bytes

_TAG: Final = "shardgate:v1:{fleet}:"
HIGHEST_NUMBER: Final = (1 << 20) - 1
"""HAProxy's consistent hash tells servers apart by the lower 20 bits of their ids (4096 points for each)."""

STARTING: Final = "starting"
UP: Final = "up"
DRAINING: Final = "draining"
LEFT: Final = "left"

DRAIN: Final = "drain"
REMOVE: Final = "remove"
RESTART: Final = "restart"

_Record = TypeVar("_Record", bound="Face | Pulse")


@dataclass(frozen=True, slots=True)
class Face:
    """What dispatchers have to know of a shard."""

    address: str
    """`HOST:PORT`, or `unix@PATH` for dispatchers on the same host."""
    host: str
    """Which host it runs on, for the reach of `unix@` addresses."""
    weight: int
    connections: int
    """Requests that it takes at a time."""
    state: str = STARTING
    restarted: str = ""
    """The token of the last restart that an operator wanted and got."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """How a shard is."""

    version: str = ""
    workers: int = 0
    started: float = 0.0
    """When its processes were started, in seconds since the epoch."""
    load: float = 0.0
    """CPUs in use by its processes since the heartbeat before."""
    health: Mapping[str, str] = field(default_factory=dict)
    """What `/-/ready` says of storage and Redis; empty when it did not answer."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard as the registry has it. `silence` is seconds since its last heartbeat."""

    id: str
    number: int
    face: Face
    pulse: Pulse
    wish: str
    silence: float


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """A dispatcher's report: the revision in effect, and how its HAProxy sees the shards."""

    id: str
    silence: float
    applied: int
    address: str = ""
    haproxy: str = ""
    """HAProxy's version; empty when it does not answer."""
    clients: int = 0
    servers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By shard id: `status` in HAProxy's words, `requests` in progress."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Everything at one moment."""

    revision: int
    shards: tuple[Shard, ...]
    dispatchers: tuple[Dispatcher, ...]


@dataclass(frozen=True, slots=True)
class Registration:
    """The answer to a heartbeat."""

    number: int
    wish: str
    revision: int


_HEARTBEAT: Final = """
local id = ARGV[1]
local number = redis.call('HGET', KEYS[4], id)
if not number then
  local taken = {}
  for _, value in ipairs(redis.call('HVALS', KEYS[4])) do taken[value] = true end
  number = tonumber(ARGV[4])
  while taken[string.format('%d', number)] do number = number % tonumber(ARGV[5]) + 1 end
  number = string.format('%d', number)
  redis.call('HSET', KEYS[4], id, number)
end
if redis.call('HGET', KEYS[1], id) ~= ARGV[2] then
  redis.call('HSET', KEYS[1], id, ARGV[2])
  redis.call('INCR', KEYS[6])
end
redis.call('HSET', KEYS[2], id, ARGV[3])
local time = redis.call('TIME')
redis.call('HSET', KEYS[3], id, string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
return {number, redis.call('HGET', KEYS[5], id) or '', redis.call('GET', KEYS[6]) or '0'}
"""

_WISH: Final = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
if ARGV[2] == '' then redis.call('HDEL', KEYS[5], ARGV[1]) else redis.call('HSET', KEYS[5], ARGV[1], ARGV[2]) end
redis.call('INCR', KEYS[6])
return 1
"""

_FULFIL: Final = """
if redis.call('HGET', KEYS[5], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[5], ARGV[1])
redis.call('INCR', KEYS[6])
return 1
"""

_FORGET: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local beat = tonumber(redis.call('HGET', KEYS[3], ARGV[1]) or '0')
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 or now - beat < tonumber(ARGV[2]) then return 0 end
for index = 1, 5 do redis.call('HDEL', KEYS[index], ARGV[1]) end
redis.call('INCR', KEYS[6])
return 1
"""

_DISPATCHER: Final = """
local time = redis.call('TIME')
redis.call('HSET', KEYS[7], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[8], ARGV[1], string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
return 1
"""

_LOOK: Final = """
local found = {redis.call('TIME'), redis.call('GET', KEYS[6]) or '0'}
for _, index in ipairs({1, 2, 3, 4, 5, 7, 8}) do found[#found + 1] = redis.call('HGETALL', KEYS[index]) end
return found
"""

_NAMES: Final = ("faces", "pulses", "beats", "numbers", "wishes", "revision", "dispatchers", "dispatcher_beats")


class Registry:
    """The shards and dispatchers of one fleet. All methods raise redis.RedisError when Redis does not answer."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._keys = [_TAG + name for name in _NAMES]
        self._heartbeat = client.register_script(_HEARTBEAT)
        self._wish = client.register_script(_WISH)
        self._fulfil = client.register_script(_FULFIL)
        self._forget = client.register_script(_FORGET)
        self._dispatcher = client.register_script(_DISPATCHER)
        self._look = client.register_script(_LOOK)

    def heartbeat(self, shard_id: str, face: Face, pulse: Pulse, *, number: int = 0) -> Registration:
        """Register the shard, or renew what is known of it.

        `number` is the one that an earlier heartbeat gave; 0 derives one from the id. It is kept unless another shard
        has it, which takes two ids of one CRC, or a Redis that lost its data at a bad moment.
        """
        proposed = number or number_of(shard_id)
        arguments = [shard_id, _dump(face), _dump(pulse), str(proposed), str(HIGHEST_NUMBER)]
        given, wish, revision = self._heartbeat(keys=self._keys, args=arguments)
        return Registration(int(given), as_bytes(wish).decode(), int(revision))

    def wish(self, shard_id: str, wish: str) -> bool:
        """Note what an operator wants of a shard; "" takes it back. False when there is no such shard."""
        return bool(self._wish(keys=self._keys, args=[shard_id, wish]))

    def fulfil(self, shard_id: str, wish: str) -> bool:
        """Take a wish off that was carried out, unless there is another one by now."""
        return bool(self._fulfil(keys=self._keys, args=[shard_id, wish]))

    def forget(self, shard_id: str, *, silent_for: float) -> bool:
        """Remove a shard that sent no heartbeat for so many seconds. False when it did, or is not there."""
        return bool(self._forget(keys=self._keys, args=[shard_id, str(round(silent_for * 1000))]))

    def report(self, dispatcher: Dispatcher) -> None:
        """Tell about a dispatcher."""
        document = asdict(dispatcher)
        del document["id"], document["silence"]
        self._dispatcher(keys=self._keys, args=[dispatcher.id, json.dumps(document)])

    def retire(self, dispatcher_id: str) -> None:
        """Forget a dispatcher."""
        pipeline = self._client.pipeline(transaction=True)
        pipeline.hdel(self._keys[6], dispatcher_id)
        pipeline.hdel(self._keys[7], dispatcher_id)
        pipeline.execute()

    def look(self) -> Fleet:
        """The whole fleet at one moment, in order of ids."""
        time, revision, *hashes = self._look(keys=self._keys)
        now = int(time[0]) * 1000 + int(time[1]) // 1000
        faces, pulses, beats, numbers, wishes, dispatchers, dispatcher_beats = (_texts(found) for found in hashes)
        shards = tuple(
            Shard(
                id=name,
                number=int(numbers.get(name, "0")),
                face=_load(Face, text),
                pulse=_load(Pulse, pulses.get(name, "{}")),
                wish=wishes.get(name, ""),
                silence=_silence(now, beats.get(name)),
            )
            for name, text in sorted(faces.items())
        )
        reports = tuple(
            Dispatcher(id=name, silence=_silence(now, dispatcher_beats.get(name)), **json.loads(text))
            for name, text in sorted(dispatchers.items())
        )
        return Fleet(int(revision), shards, reports)


def number_of(shard_id: str) -> int:
    """The number that a shard gets unless another has it: the same wherever and whenever it is asked."""
    return zlib.crc32(shard_id.encode()) % HIGHEST_NUMBER + 1


def _dump(record: Face | Pulse) -> str:
    return json.dumps(asdict(record), sort_keys=True)


def _load(kind: type[_Record], text: str) -> _Record:
    """A record whose unknown fields, of a later version, are left out."""
    known = {entry.name for entry in fields(kind)}
    return kind(**{name: value for name, value in json.loads(text).items() if name in known})


def _texts(found: Sequence[bytes]) -> dict[str, str]:
    """A hash from a script, which has no mappings: names and values in turn."""
    texts = [part.decode() for part in found]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _silence(now: int, beat: str | None) -> float:
    return max(0.0, (now - int(beat or 0)) / 1000)
