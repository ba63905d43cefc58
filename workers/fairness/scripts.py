"""The Lua scripts of budgets. Each touches one key, so that all of them run on a cluster."""

from __future__ import annotations

from typing import Final

TAKE: Final = """
local rate, burst, owed, need, want =
    tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local found = redis.call('HMGET', KEYS[1], 'left', 'at')
local left = burst
if found[1] then left = math.min(burst, found[1] + math.max(0, now - found[2]) / 1000000 * rate) end
left = math.min(burst, left - owed)
local granted, wait = 0, 0
if want > 0 then
    if left >= need then
        granted = math.min(want, left)
        left = left - granted
    else
        wait = (need - left) / rate
    end
end
redis.call('HSET', KEYS[1], 'left', string.format('%.6f', left), 'at', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.ceil((burst - left) / rate * 1000) + 1000))
return {string.format('%.6f', granted), string.format('%.6f', wait)}
"""
"""A token bucket: `left` tokens at the time `at` (microseconds). It may be in debt.

ARGV: tokens a second, the most that it holds, tokens that were used already or, below 0, come back, the fewest that are
of use, the wanted ones. Returns the granted ones, and, when there were too few, seconds until there are enough.
"""

LEASE: Final = """
local most, used, want, lease = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local all = redis.call('HGETALL', KEYS[1])
local others = 0
for index = 1, #all, 2 do
    local count, untill = string.match(all[index + 1], '^(%d+):(%d+)$')
    if not count or tonumber(untill) <= now then
        redis.call('HDEL', KEYS[1], all[index])
    elseif all[index] ~= ARGV[1] then
        others = others + tonumber(count)
    end
end
local granted = math.max(used, math.min(want, most - others))
if granted == 0 then
    redis.call('HDEL', KEYS[1], ARGV[1])
else
    redis.call('HSET', KEYS[1], ARGV[1], string.format('%d:%.0f', granted, now + lease))
    redis.call('PEXPIRE', KEYS[1], lease)
end
return granted
"""
"""Slots for requests in progress: the workers that hold some, how many, and until when (milliseconds).

ARGV: the worker, how many there are for all, how many it uses now, how many it wants, for how many milliseconds.
Returns how many it has, never fewer than it uses: a request in progress goes on.
"""
