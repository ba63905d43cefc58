"""The Lua scripts that change an upload's state in Redis. The keys of each share a hash tag, as a cluster needs it.

An upload is a hash. Fields: `state` (open, completing, aborting, done), `epoch` (the server's life in which the hash
was known to be whole), `upload` (its record), `bucket`, `p1` … `p10000` (part records), `token` and `lease` (who
completes it, and until when in milliseconds), `result` (the object's record, when done).

`aborting` and `done` are final, whatever the epoch. A completion whose lease ran out counts as open: its holder died,
or will find that it has lost its right.
"""

from __future__ import annotations

from typing import Final

STALE: Final = b"stale"
"""The hash is missing, or was written in an earlier life of the server: it has to be restored from the storage."""

_FIND: Final = """
local found = redis.call('HMGET', KEYS[1], 'state', 'epoch', 'lease', 'result')
local state = found[1]
if state == 'done' or state == 'aborting' then return {state, found[4] or ''} end
if not state or found[2] ~= ARGV[1] then return {'stale'} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local completing = state == 'completing' and tonumber(found[3] or '0') > now
"""
"""How scripts begin that ask for the state: ARGV[1] is the epoch. A final state, or 'stale', is the answer."""

ADD_PART: Final = (
    _FIND
    + """
if completing then return {'completing'} end
if state == 'completing' then
    redis.call('HDEL', KEYS[1], 'token', 'lease')
    redis.call('HSET', KEYS[1], 'state', 'open')
end
local replaced = redis.call('HGET', KEYS[1], ARGV[2])
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {'open', replaced or ''}
"""
)
"""ARGV: epoch, field of the part, its record, time to live in ms. Returns the state and the part that was replaced."""

BEGIN: Final = (
    _FIND
    + """
if completing then return {'completing'} end
redis.call('HSET', KEYS[1], 'state', 'completing', 'token', ARGV[2], 'lease', string.format('%.0f', now + ARGV[3]))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {'begun'}
"""
)
"""ARGV: epoch, token, lease in ms, time to live in ms. Of many who begin, one may go on."""

RENEW: Final = """
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'lease', string.format('%.0f', now + ARGV[2]))
return 1
"""
"""ARGV: token, lease in ms."""

REOPEN: Final = """
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'token', 'lease')
redis.call('HSET', KEYS[1], 'state', 'open')
return 1
"""
"""ARGV: token. A completion failed: the upload is as it was."""

FINISH: Final = """
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'state', 'done', 'result', ARGV[1], 'upload', ARGV[2], 'bucket', ARGV[3], 'epoch', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
"""
"""ARGV: result, upload, bucket, epoch, time to live in ms. The parts go; the answer stays for those who ask again."""

ABORT: Final = (
    _FIND
    + """
if completing then return {'completing'} end
redis.call('HSET', KEYS[1], 'state', 'aborting')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {'aborting'}
"""
)
"""ARGV: epoch, time to live in ms. From now on no part is added and no completion begins."""

RESTORE: Final = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
for first = 3, #ARGV, 1000 do
    redis.call('HSET', KEYS[1], unpack(ARGV, first, math.min(first + 999, #ARGV)))
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
"""KEYS: the hash, the lock of its restoring. ARGV: the lock's token, time to live in ms, fields and values.

Only who holds the lock may write what it read from the storage: without it, others may have gone on since."""

RELEASE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
"""ARGV: token. Gives a lock back, unless it ran out and is somebody else's now."""
