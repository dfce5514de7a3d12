"""What Redis runs for the session tier: one script for each operation, so one round trip.

A script is atomic: nobody sees a value without its lifetime or without its entry in the index of
its user, and an erasure comes before a write or after it. ``KEYS`` share the hash tag of their
user. The index is a sorted set of all keys that the user has, by the time (ms of Redis's own
clock) at which they were first written; from it an erasure finds them without a scan.
"""

from __future__ import annotations

from typing import Final

_CLOCK: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function whole(number) return string.format('%.0f', number) end
local function keep(index, key, lifetime, longest)
  redis.call('PEXPIRE', key, lifetime)
  redis.call('ZADD', index, 'NX', whole(now), key)
  redis.call('PEXPIRE', index, longest)
end
"""

# Few of those that expired are forgotten with each write: more often than one is added.
_WRITE: Final = (
    _CLOCK
    + """
local index = KEYS[1]
local began, longest = tonumber(ARGV[1]), ARGV[2]
for _, mark in ipairs(redis.call('MGET', KEYS[2], KEYS[3])) do
  if mark and began <= tonumber(mark) then return {'erased'} end
end
for _, key in ipairs(redis.call('ZRANDMEMBER', index, 3)) do
  if redis.call('EXISTS', key) == 0 then redis.call('ZREM', index, key) end
end
local function is_first(key, lifetime)
  return redis.call('SET', key, '1', 'NX', 'PX', lifetime)
end
"""
)

# index, erased user, erased session, list, once | began, longest, lifetime, once, most, mark, new…
APPEND: Final = (
    _WRITE
    + """
local list = KEYS[4]
local last = redis.call('LINDEX', list, -1)
if last and string.sub(last, 1, 1) == '?' and last ~= ARGV[6] then return {'asked', last} end
if is_first(KEYS[5], ARGV[4]) then
  for place = 7, #ARGV do redis.call('RPUSH', list, ARGV[place]) end
  redis.call('LTRIM', list, -ARGV[5], -1)
end
keep(index, list, ARGV[3], longest)
return {'kept', redis.call('LLEN', list)}
"""
)

# index, list | lifetime, longest, how many
READ_LIST: Final = (
    _CLOCK
    + """
local found = redis.call('LRANGE', KEYS[2], -ARGV[3], -1)
if #found > 0 then keep(KEYS[1], KEYS[2], ARGV[1], ARGV[2]) end
return found
"""
)

# index, erased user, erased session, key | began, longest, lifetime, value
KEEP: Final = (
    _WRITE
    + """
redis.call('SET', KEYS[4], ARGV[4])
keep(index, KEYS[4], ARGV[3], longest)
return {'kept'}
"""
)

# index, keys… | lifetime, longest
READ: Final = (
    _CLOCK
    + """
local found = {}
for place = 2, #KEYS do
  local value = redis.call('GET', KEYS[place])
  if value then keep(KEYS[1], KEYS[place], ARGV[1], ARGV[2]) end
  found[place - 1] = value
end
return found
"""
)

# index, erased user, erased session, episodes, once | began, longest, lifetime, once, most, new
ADD_EPISODE: Final = (
    _WRITE
    + """
local episodes = KEYS[4]
if is_first(KEYS[5], ARGV[4]) then
  local newest = redis.call('ZREVRANGE', episodes, 0, 0, 'WITHSCORES')[2]
  local score = math.max(now, (tonumber(newest) or 0) + 1)
  redis.call('ZADD', episodes, whole(score), ARGV[6])
  redis.call('ZREMRANGEBYSCORE', episodes, '-inf', whole(now - ARGV[3]))
  redis.call('ZREMRANGEBYRANK', episodes, 0, -ARGV[5] - 1)
  keep(index, episodes, ARGV[3], longest)
end
return {'kept'}
"""
)

# index, episodes | lifetime, how many
READ_EPISODES: Final = (
    _CLOCK
    + """
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', whole(now - ARGV[1]))
return redis.call('ZREVRANGE', KEYS[2], 0, ARGV[2] - 1)
"""
)

# index, erased user, erased session, uses | began, longest, window, limit, name of the use
COUNT_USE: Final = (
    _WRITE
    + """
local uses, window, limit, name = KEYS[4], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
redis.call('ZREMRANGEBYSCORE', uses, '-inf', whole(now - window))
local used = redis.call('ZCARD', uses)
local is_allowed = redis.call('ZSCORE', uses, name) and 1 or 0
if is_allowed == 0 and used < limit then
  redis.call('ZADD', uses, whole(now), name)
  keep(index, uses, window, longest)
  used, is_allowed = used + 1, 1
end
local wait = 0
if used >= limit then
  local first = redis.call('ZRANGE', uses, used - limit, used - limit, 'WITHSCORES')[2]
  wait = first + window - now
end
return {'kept', is_allowed, used, wait}
"""
)

# index, erased, episodes | until, longest, begin of the session's keys or '', of its episodes
_SUBJECT: Final = (
    _CLOCK
    + """
local index, erased, episodes = KEYS[1], KEYS[2], KEYS[3]
local begin, opening = ARGV[3], ARGV[4]
local mark = tonumber(redis.call('GET', erased) or '')
local function begins(text, with) return string.sub(text, 1, #with) == with end
local function each(limit, visit)
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', limit)) do
    if begins(key, begin) then visit(key) end
  end
  if opening ~= '' then
    for _, said in ipairs(redis.call('ZRANGEBYSCORE', episodes, '-inf', limit)) do
      if begins(said, opening) then visit(nil, said) end
    end
  end
end
"""
)

REMOVE: Final = (
    _SUBJECT
    + """
local until_ = tonumber(ARGV[1])
if not mark or mark < until_ then
  mark = math.max(until_, now)
  redis.call('SET', erased, whole(mark), 'PX', ARGV[2])
end
local removed = 0
each(whole(mark), function(key, said)
  if said then
    removed = removed + redis.call('ZREM', episodes, said)
  else
    removed = removed + redis.call('UNLINK', key)
    redis.call('ZREM', index, key)
  end
end)
return removed
"""
)

COUNT: Final = (
    _SUBJECT
    + """
local found = 0
each(mark and whole(mark) or '+inf', function(key, said)
  found = found + (said and 1 or redis.call('EXISTS', key))
end)
return found
"""
)

# index, erased user, erased session, items, summary, once | began, longest, lifetime, once, new…
APPEND_ITEMS: Final = (
    _WRITE
    + """
local items, summary = KEYS[4], KEYS[5]
if is_first(KEYS[6], ARGV[4]) then
  for place = 5, #ARGV do redis.call('RPUSH', items, ARGV[place]) end
end
local told = redis.call('GET', summary)
if told then keep(index, summary, ARGV[3], longest) end
keep(index, items, ARGV[3], longest)
return {'kept', told or '', redis.call('LRANGE', items, 0, -1)}
"""
)

# index, items, summary | lifetime, longest
READ_ITEMS: Final = (
    _CLOCK
    + """
local found, told = redis.call('LRANGE', KEYS[2], 0, -1), redis.call('GET', KEYS[3])
if #found > 0 then keep(KEYS[1], KEYS[2], ARGV[1], ARGV[2]) end
if told then keep(KEYS[1], KEYS[3], ARGV[1], ARGV[2]) end
return {told or '', found}
"""
)

# Each value begins with its id and a line feed: what was seen is known by that. Items only come
# at the end and go at the beginning: behind the first one that was seen stand the others.
# index, erased user, erased session, items, summary
# | began, longest, lifetime, summary seen or '', items seen, the first of them, new summary
FOLD: Final = (
    _WRITE
    + """
local items, summary, seen = KEYS[4], KEYS[5], tonumber(ARGV[5])
local function is_still(value, id)
  return (value and string.match(value, '^[^\\n]*') or '') == id
end
if not (is_still(redis.call('GET', summary), ARGV[4])
    and is_still(redis.call('LINDEX', items, 0), ARGV[6])) then
  return {'changed'}
end
redis.call('LTRIM', items, seen, -1)
redis.call('SET', summary, ARGV[7])
keep(index, summary, ARGV[3], longest)
if redis.call('EXISTS', items) == 1 then keep(index, items, ARGV[3], longest) end
return {'kept'}
"""
)
