-- Takes a token from a bucket. Its value is the time at which it will be full, in microseconds since
-- 1970 by the clock of this server. Arguments: the microseconds in which one token is added, and
-- those in which all are. Returns whether the request is permitted, and the microseconds until the
-- bucket is full.
local interval, capacity = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local next = full + interval
if next - now > capacity then
    return {0, full - now}
end
local expiry_ms = math.ceil((next - now) / 1000)
redis.call('SET', KEYS[1], string.format('%.0f', next), 'PX', string.format('%.0f', expiry_ms))
return {1, next - now}
