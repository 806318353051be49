-- Applies the delta of one batch of one partition, once.
--
-- The position in the log is stored in the same step as the result. A batch that comes again
-- (after a crash, a rebalance, or from a second owner of the partition) is recognised by it.
--
-- KEYS  1 offset:<group>:<topic>      hash: partition -> next offset
--       2 offset_log:<group>:<topic>  hash: partition -> the log that the offset belongs to
--       3 total_ventas   4 ranking_productos   5 precio_max_global   6 precio_min_global
--       then nine keys for each category, in the order of the locals in `category` below
-- ARGV  1 partition  2 log id  3 start  4 end  5 sales  6 highest price  7 lowest price
--       8 number of categories, then for each: sales, units, price in millionths,
--       first product, guessed monitored product, n, n prices of that product,
--       m, m pairs of product and units
--
-- Answers  applied                the delta and the position are stored
--          duplicate, position    the whole batch was applied before; nothing was done
--          inside, position       a first part of it was; fold again from there
--          rewind, position       the store lost its end; read again from there
--          monitored, name...     other products are monitored, '' where none is yet

local SUM_MAX = 9.2e18 -- below 2^63, by more than a double is off there

local partition, log, start, finish = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local next_arg = 9

local function take()
  next_arg = next_arg + 1
  return ARGV[next_arg - 1]
end

-- 1. The position. One of another log (a topic made anew, another cluster) counts as none.

local stored = tonumber(redis.call('HGET', KEYS[1], partition)) -- nil if there is none
local stored_log = redis.call('HGET', KEYS[2], partition)
if stored_log and stored_log ~= '' and log ~= '' and stored_log ~= log then
  stored = nil
end
if stored then
  local position = string.format('%.0f', stored)
  if stored < start then return { 'rewind', position } end
  if stored >= finish then return { 'duplicate', position } end
  if stored > start then return { 'inside', position } end
end

-- 2. The categories' deltas; still nothing is written.

local categories, names, guesses_right = {}, {}, true
for index = 1, tonumber(ARGV[8]) do
  local key = 6 + (index - 1) * 9
  local category = {
    count_key = KEYS[key + 1], units_key = KEYS[key + 2], micros_key = KEYS[key + 3],
    price_key = KEYS[key + 4], units_average_key = KEYS[key + 5],
    price_average_key = KEYS[key + 6], monitored_key = KEYS[key + 7],
    stream_key = KEYS[key + 8], ranking_key = KEYS[key + 9],
    count = take(), units = take(), micros = take(), first = take(), guess = take(),
  }
  category.prices_from = next_arg + 1
  category.prices = tonumber(take())
  next_arg = next_arg + category.prices
  category.products_from = next_arg + 1
  category.products = tonumber(take())
  next_arg = next_arg + 2 * category.products

  local name = redis.call('GET', category.monitored_key)
  names[index] = name or ''
  if (name or category.first) ~= category.guess then guesses_right = false end
  local micros = tonumber(redis.call('GET', category.micros_key) or 0)
  if micros + tonumber(category.micros) > SUM_MAX then
    return redis.error_reply('OVERFLOW ' .. category.micros_key .. ' would pass 64 bits')
  end
  categories[index] = category
end
if not guesses_right then
  return { 'monitored', unpack(names) }
end

-- 3. Everything fits: write.

-- A number as the shortest decimal that reads back as the same double.
local function shortest(number)
  for digits = 15, 17 do
    local text = string.format('%.' .. digits .. 'g', number)
    if tonumber(text) == number then return text end
  end
end

-- An integer of millionths, as a string, as a decimal: '19990000' -> '19.99'.
local function from_micros(text)
  text = string.rep('0', 7 - #text) .. text
  local fraction = string.gsub(string.sub(text, -6), '0+$', '')
  local whole = string.sub(text, 1, -7)
  return fraction == '' and whole or whole .. '.' .. fraction
end

for _, category in ipairs(categories) do
  local count = redis.call('INCRBY', category.count_key, category.count)
  local units = redis.call('INCRBY', category.units_key, category.units)
  redis.call('INCRBY', category.micros_key, category.micros)
  -- Read back as text: the number that INCRBY answers is a double here, exact to 2^53 only.
  local micros = redis.call('GET', category.micros_key)
  redis.call('SET', category.price_key, from_micros(micros))
  redis.call('SET', category.units_average_key, shortest(units / count))
  redis.call('SET', category.price_average_key, shortest(tonumber(micros) / 1e6 / count))
  redis.call('SET', category.monitored_key, category.guess, 'NX')
  for arg = category.prices_from, category.prices_from + category.prices - 1 do
    redis.call('XADD', category.stream_key, 'MAXLEN', '~', 1000, '*', 'precio', ARGV[arg])
  end
  for arg = category.products_from, category.products_from + 2 * category.products - 2, 2 do
    redis.call('ZINCRBY', KEYS[4], ARGV[arg + 1], ARGV[arg])
    redis.call('ZINCRBY', category.ranking_key, ARGV[arg + 1], ARGV[arg])
  end
end

if tonumber(ARGV[5]) > 0 then
  redis.call('INCRBY', KEYS[3], ARGV[5])
  -- The maximum starts from zero, as it always has: a price of zero never becomes it.
  local highest = tonumber(redis.call('GET', KEYS[5]) or 0)
  if tonumber(ARGV[6]) > highest then redis.call('SET', KEYS[5], ARGV[6]) end
  local lowest = tonumber(redis.call('GET', KEYS[6]))
  if not lowest or tonumber(ARGV[7]) < lowest then redis.call('SET', KEYS[6], ARGV[7]) end
end

redis.call('HSET', KEYS[1], partition, ARGV[4])
redis.call('HSET', KEYS[2], partition, log)
return { 'applied' }
