-- Removes the responses for a target. The new version is kept for 10 minutes, longer than a request
-- lasts, so that responses to earlier requests are not stored.
local time = redis.call('TIME')
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'version', string.format('%d%06d', time[1], time[2]))
redis.call('PEXPIRE', KEYS[1], '600000')
return 1
