"""The Lua scripts that change an upload's state in Redis. Each touches one key, so that they run on a cluster too.

An upload is a hash. Fields: `state` (open, completing, aborting, done), `epoch` (the server's life in which the hash
was known to be whole), `upload` (its record), `bucket`, `p1` … `p10000` (part records), `token` and `lease` (who
completes it, and until when in milliseconds), `result` (the object's record, when done).
"""

from __future__ import annotations

from typing import Final

STALE: Final = b"stale"
"""The hash is missing, or was written in an earlier life of the server: it has to be restored from the storage."""

ADD_PART: Final = """
local found = redis.call('HMGET', KEYS[1], 'state', 'epoch', ARGV[2])
if not found[1] or found[2] ~= ARGV[1] then return {'stale'} end
if found[1] ~= 'open' then return {found[1]} end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {'open', found[3] or ''}
"""
"""ARGV: epoch, field of the part, its record, time to live in ms. Returns the state and the part that was replaced."""

BEGIN: Final = """
local found = redis.call('HMGET', KEYS[1], 'state', 'epoch', 'lease', 'result')
if not found[1] or found[2] ~= ARGV[1] then return {'stale'} end
if found[1] == 'done' then return {'done', found[4]} end
if found[1] == 'aborting' then return {'aborting'} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if found[1] == 'completing' and tonumber(found[3]) > now then return {'busy'} end
redis.call('HSET', KEYS[1], 'state', 'completing', 'token', ARGV[2], 'lease', string.format('%.0f', now + ARGV[3]))
return {'begun'}
"""
"""ARGV: epoch, token, lease in ms. Of many who begin, one may go on; a lease that ran out passes to the next."""

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

ABORT: Final = """
local found = redis.call('HMGET', KEYS[1], 'state', 'epoch', 'lease')
if not found[1] or found[2] ~= ARGV[1] then return 'stale' end
if found[1] == 'done' then return 'done' end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if found[1] == 'completing' and tonumber(found[3]) > now then return 'busy' end
redis.call('HSET', KEYS[1], 'state', 'aborting')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 'aborting'
"""
"""ARGV: epoch, time to live in ms. From now on no part is added and no completion begins."""

RELEASE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
"""ARGV: token. Gives a lock back, unless it ran out and is somebody else's now."""
