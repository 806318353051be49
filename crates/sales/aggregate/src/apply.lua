-- Applies the delta of one batch of one partition, exactly once.
--
-- The position in the log is stored in the same atomic step as the result, so a batch that is sent
-- again (after a crash, a rebalance, or by a second owner of the partition) is recognised. Valkey
-- does not roll back a script that fails: what it wrote before stays. So everything that can fail
-- is checked first (parts 1 to 3), and only part 4 writes.
--
-- KEYS  1 offset:<group>:<topic>      hash: partition -> next offset
--       2 offset_log:<group>:<topic>  hash: partition -> the log that the offset belongs to
--       3 total_ventas   4 ranking_productos   5 precio_max_global   6 precio_min_global
--       7 seen:<group>:<topic>:<partition>         set: fingerprints of counted sales, the
--                                                  younger generation
--       8 seen_before:<group>:<topic>:<partition>  the older one
--       9 seen_since:<group>:<topic>  hash: partition -> when the younger one began, in ms
--       10 to 14 suma_precio_micros:<category> of every category
--       then ten keys for each category, in the order of the fields in `category` below
-- ARGV  1 partition  2 log id  3 start  4 end  5 the position that must be
--       stored if nothing was lost; '' if nothing of the log was applied yet
--       6 sales  7 highest price  8 lowest price
--       9 fingerprints in a generation  10 age of a generation in ms
--       11 time of the newest record, in ms; '' if no record has a time
--       12 n, then n fingerprints,
--       number of categories, then for each: sales, units, sum of prices and revenue in
--       millionths, first product, expected monitored product, n, n prices of that product,
--       m, m products, m units
--
-- Returns  applied                the delta and the position are stored
--          duplicate, position    the whole batch was applied before; nothing was changed
--          rewind, position       the store lost updates; read again from this position
--          lost                   the store has no position, although there must be one
--          differs, position, n, n names, index...   compute the delta again, with: the stored
--                                 position; the monitored product of each category, ''
--                                 if there is none yet; the indexes, from 0, of the
--                                 fingerprints that were counted before
-- or fails with an error, and nothing is changed.

local SUM_MAX = 9.2e18     -- below 2^63 by more than the rounding error of a double
local REVENUE_DIGITS = 27  -- of a revenue in millionths: above this, its parts would not be exact
local STREAM_LENGTH = 1000 -- entries to which a price stream is trimmed
local CHUNK = 1000         -- values in one command; `unpack` accepts less than 8,000

local partition, log, start, finish = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local expected, sales = ARGV[5], tonumber(ARGV[6])
local highest, lowest = tonumber(ARGV[7]), tonumber(ARGV[8])
local seen_max, seen_window, now = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local next_arg = 12

local function take()
  next_arg = next_arg + 1
  return ARGV[next_arg - 1]
end

-- Skips the next `length` arguments, and returns the index of the first one.
local function skip(length)
  next_arg = next_arg + length
  return next_arg - length
end

-- Parses an integer in the form in which Valkey stores it.
local function integer(text, key)
  if text ~= '0' and not string.find(text, '^%-?[1-9]%d*$') then
    error({ err = 'WRONGTYPE ' .. key .. ' holds no integer: delete it or put it right' })
  end
  return tonumber(text)
end

-- Returns the stored value, as a string.
local function must_fit(key, added)
  local value = redis.call('GET', key) or '0'
  local sum = integer(value, key) + tonumber(added)
  if math.abs(sum) > SUM_MAX then
    error({ err = 'OVERFLOW ' .. key .. ' would pass 64 bits' })
  end
  return value
end

-- Adds two integers, as strings of digits. Each is split into the last 12 digits and the others,
-- because a double is exact up to 2^53 only.
local function add_digits(a, b)
  local low = tonumber(string.sub(a, -12)) + tonumber(string.sub(b, -12))
  local high = (tonumber(string.sub(a, 1, -13)) or 0) + (tonumber(string.sub(b, 1, -13)) or 0)
  local sum = string.format('%.0f%012.0f', high + math.floor(low / 1e12), low % 1e12)
  return string.match(sum, '^0*(%d+)$')
end

-- Returns the revenue in millionths after the batch, as a string. Returns nil if the stored one does
-- not include all `counted` sales of the category, because an earlier version counted some of them
-- without their revenue: it would stay too small.
local function revenue_after(key, counted, added)
  -- Also fails for a key of another type, and without the right to read it.
  local stored = redis.call('HMGET', key, 'total', 'ventas')
  if counted == '0' then return added end
  if stored[2] ~= counted then return nil end
  local whole, fraction = string.match(stored[1] or '', '^(%d+)%.?(%d*)$')
  if not whole or #fraction > 6 or #whole + 6 > REVENUE_DIGITS then
    error({ err = 'WRONGTYPE ' .. key .. ' holds no revenue: delete it or put it right' })
  end
  local sum = add_digits(whole .. fraction .. string.rep('0', 6 - #fraction), added)
  if #sum > REVENUE_DIGITS then
    error({ err = 'OVERFLOW ' .. key .. ' would pass ' .. REVENUE_DIGITS .. ' digits' })
  end
  return sum
end

-- When a script is called, Valkey checks the user's rights only for the keys. The rights for the
-- commands in it must be checked here, before anything is written.
local function must_be_allowed(...)
  if not redis.acl_check_cmd(...) then
    error({ err = 'NOPERM the script needs the command ' .. (...) .. ': grant it to its user' })
  end
end

-- Calls `command key value...` with at most CHUNK arguments at a time, and passes each reply to
-- `each`.
local function in_chunks(command, key, from, count, each)
  for done = 0, count - 1, CHUNK do
    local to = math.min(done + CHUNK, count) - 1
    each(redis.call(command, key, unpack(ARGV, from + done, from + to)), done)
  end
end

-- 1. The position. One of another log (a topic that was created again, another cluster) is ignored.

local stored = redis.call('HGET', KEYS[1], partition)
local stored_log = redis.call('HGET', KEYS[2], partition)
local same_log = not stored_log or stored_log == '' or log == '' or stored_log == log
if not (stored and same_log) and expected ~= '' then return { 'lost' } end
-- The exact sums are written together with the first sale. Counters without an exact sum were
-- written by another program; adding to them would count those sales again.
if not stored and redis.call('EXISTS', KEYS[3]) == 1
  and redis.call('EXISTS', unpack(KEYS, 10, 14)) == 0 then
  error({ err = 'FOREIGN another program counted the sales in ' .. KEYS[3] })
end
local position = stored and same_log and integer(stored, KEYS[1]) or start
if position < start then return { 'rewind', stored } end
if position >= finish then return { 'duplicate', stored } end

-- 2. Sales that were counted before, from other records. Nothing is written yet.

local repeated, new = {}, tonumber(take())
local new_from = skip(new)
if new > 0 then
  for generation = 7, 8 do
    in_chunks('SMISMEMBER', KEYS[generation], new_from, new, function(found, done)
      for index, is_there in ipairs(found) do
        if is_there == 1 then repeated[#repeated + 1] = done + index - 1 end
      end
    end)
  end
end

-- 3. The categories' deltas, and whether they fit the stored values. Nothing is written yet.

local categories, names, guesses_right = {}, {}, true
for index = 1, tonumber(take()) do
  local key = 14 + (index - 1) * 10
  local category = {
    count_key = KEYS[key + 1], units_key = KEYS[key + 2], micros_key = KEYS[key + 3],
    price_key = KEYS[key + 4], units_average_key = KEYS[key + 5],
    price_average_key = KEYS[key + 6], monitored_key = KEYS[key + 7],
    stream_key = KEYS[key + 8], ranking_key = KEYS[key + 9], revenue_key = KEYS[key + 10],
    count = take(), units = take(), micros = take(), revenue = take(),
    first = take(), guess = take(),
  }
  category.prices = tonumber(take())
  category.prices_from = skip(category.prices)
  category.products = tonumber(take())
  category.products_from = skip(category.products)
  category.units_from = skip(category.products)

  local name = redis.call('GET', category.monitored_key)
  names[index] = name or ''
  if (name or category.first) ~= category.guess then guesses_right = false end
  local counted = must_fit(category.count_key, category.count)
  category.revenue = revenue_after(category.revenue_key, counted, category.revenue)
  must_fit(category.units_key, category.units)
  must_fit(category.micros_key, category.micros)
  redis.call('XLEN', category.stream_key) -- an error if the key is of another type
  redis.call('ZCARD', category.ranking_key)
  categories[index] = category
end
if position > start or not guesses_right or #repeated > 0 then
  local at = stored and same_log and stored or ARGV[3]
  local answer = { 'differs', at, tostring(#names), unpack(names) }
  for _, index in ipairs(repeated) do answer[#answer + 1] = tostring(index) end
  return answer
end

must_fit(KEYS[3], sales)
redis.call('ZCARD', KEYS[4])
local stored_highest = tonumber(redis.call('GET', KEYS[5]) or 0)
local stored_lowest = tonumber(redis.call('GET', KEYS[6]))
must_be_allowed('INCRBY', KEYS[3], sales)
must_be_allowed('SET', KEYS[5], highest)
must_be_allowed('HSET', KEYS[1], partition, finish)
must_be_allowed('ZMSCORE', KEYS[4], '')
must_be_allowed('ZADD', KEYS[4], 0, '')
must_be_allowed('XADD', KEYS[4], '*', 'precio', 0)
must_be_allowed('UNLINK', KEYS[8])
local since = new > 0 and redis.call('HGET', KEYS[9], partition)
if since then since = integer(since, KEYS[9]) end
if new > 0 then
  must_be_allowed('SADD', KEYS[7], '')
  must_be_allowed('RENAME', KEYS[7], KEYS[8])
end

-- 4. All checks have passed: write.

-- Formats a number as the shortest decimal that parses to the same double.
local function shortest(number)
  for digits = 15, 17 do
    local text = string.format('%.' .. digits .. 'g', number)
    if tonumber(text) == number then return text end
  end
end

-- Converts an integer number of millionths, as a string, to a decimal: '19990000' -> '19.99'.
local function from_micros(text)
  text = string.rep('0', 7 - #text) .. text
  local fraction = string.gsub(string.sub(text, -6), '0+$', '')
  local whole = string.sub(text, 1, -7)
  return fraction == '' and whole or whole .. '.' .. fraction
end

-- Adds units to a ranking, with two commands for a whole chunk of products.
local function rank(key, from, to, units_from)
  local scores = redis.call('ZMSCORE', key, unpack(ARGV, from, to))
  local entries = {}
  for index = 1, to - from + 1 do
    entries[2 * index - 1] = (scores[index] or 0) + ARGV[units_from + index - 1]
    entries[2 * index] = ARGV[from + index - 1]
  end
  redis.call('ZADD', key, unpack(entries))
end

for _, category in ipairs(categories) do
  local count = redis.call('INCRBY', category.count_key, category.count)
  local units = redis.call('INCRBY', category.units_key, category.units)
  redis.call('INCRBY', category.micros_key, category.micros)
  -- Read back as text: Lua converts the reply of INCRBY to a double, which is exact up to 2^53
  -- only.
  local micros = redis.call('GET', category.micros_key)
  redis.call('SET', category.price_key, from_micros(micros))
  redis.call('SET', category.units_average_key, shortest(units / count))
  redis.call('SET', category.price_average_key, shortest(tonumber(micros) / 1e6 / count))
  if category.revenue then
    local total = from_micros(category.revenue)
    redis.call('HSET', category.revenue_key, 'total', total, 'ventas', count)
  else
    redis.call('UNLINK', category.revenue_key)
  end
  redis.call('SET', category.monitored_key, category.guess, 'NX')
  -- The trimming is exact, and done once: the command for the last price trims for all of them.
  local last = category.prices_from + category.prices - 1
  for arg = category.prices_from, last - 1 do
    redis.call('XADD', category.stream_key, '*', 'precio', ARGV[arg])
  end
  if category.prices > 0 then
    redis.call('XADD', category.stream_key, 'MAXLEN', STREAM_LENGTH, '*', 'precio', ARGV[last])
  end
  for done = 0, category.products - 1, CHUNK do
    local from = category.products_from + done
    local to = math.min(from + CHUNK, category.units_from) - 1
    rank(KEYS[4], from, to, category.units_from + done)
    rank(category.ranking_key, from, to, category.units_from + done)
  end
end

if sales > 0 then
  redis.call('INCRBY', KEYS[3], ARGV[6])
  -- The maximum starts at zero, as in the original system: a price of zero is never stored as
  -- maximum.
  if highest > (stored_highest or 0) then redis.call('SET', KEYS[5], ARGV[7]) end
  if not stored_lowest or lowest < stored_lowest then redis.call('SET', KEYS[6], ARGV[8]) end
end

if new > 0 then
  -- The records' timestamps are set by the clients. A missing or old one has no effect; one that is
  -- far in the future ends one generation too early, but only one.
  local full = redis.call('SCARD', KEYS[7]) >= seen_max
  local old = now and since and now - since >= seen_window
  if full or old then
    redis.call('UNLINK', KEYS[8])
    if redis.call('EXISTS', KEYS[7]) == 1 then redis.call('RENAME', KEYS[7], KEYS[8]) end
  end
  if now and (not since or (full or old) and now > since) then
    redis.call('HSET', KEYS[9], partition, ARGV[11])
  end
  in_chunks('SADD', KEYS[7], new_from, new, function() end)
end

redis.call('HSET', KEYS[1], partition, ARGV[4])
-- If the broker reports no log id, the stored one is kept.
if log ~= '' then redis.call('HSET', KEYS[2], partition, log) end
return { 'applied' }
