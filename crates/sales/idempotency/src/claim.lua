-- Claims an idempotency key for one body, before the sale is written.
--
-- KEYS  1 claims:<topic>        hash: key -> fingerprint, the younger generation
--       2 claims_before:<topic> the older one
--       3 claims_since:<topic>  when the younger one began, seconds since 1970
-- ARGV  1 key  2 fingerprint  3 keys in a generation  4 its age limit, s
--
-- Returns  claimed   the key was free, or was forgotten
--          repeated  the key belongs to the same body
--          taken     the key belongs to another body

local known = redis.call('HGET', KEYS[1], ARGV[1]) or redis.call('HGET', KEYS[2], ARGV[1])
if known then return known == ARGV[2] and 'repeated' or 'taken' end

local now, window = tonumber(redis.call('TIME')[1]), tonumber(ARGV[4])
local since = tonumber(redis.call('GET', KEYS[3]))
-- If the clock was set back, the age of the generation is counted from now; its keys are kept.
if since and now < since then
  redis.call('SET', KEYS[3], now)
  since = now
end
local age = since and now - since or 0
if not since or age >= window or redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then
  redis.call('UNLINK', KEYS[2])
  if age >= 2 * window then
    redis.call('UNLINK', KEYS[1])
  elseif redis.call('EXISTS', KEYS[1]) == 1 then
    redis.call('RENAME', KEYS[1], KEYS[2])
  end
  redis.call('SET', KEYS[3], now)
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 'claimed'
