-- Applies the changes that a function made for one batch of one partition, exactly once.
--
-- The position in the log is stored in the same atomic step as the changes, so a batch that is
-- handed over again is recognised. Valkey does not roll back a script that fails: what it wrote
-- before stays. So parts 1 to 4 only read, compute every new value, and detect everything that can
-- fail. Only part 5 writes.
--
-- KEYS  1 hash: partition -> next offset
--       2 hash: partition -> the log that the offset belongs to
--       3 set: fingerprints of records that were applied, the younger generation
--       4 the older generation
--       5 hash: partition -> when the younger generation began, in ms
--       then the keys that are changed, then one key for each derived change, then one for each
--       value that the function has read
-- ARGV  1 partition  2 log id  3 start  4 end  5 whether the log may have no position yet: 0, 1
--       6 fingerprints in a generation  7 age of a generation in ms
--       8 time of the newest record, in ms; '' if no record has a time
--       9 to 12 lists in MessagePack, which is read in less time than as many arguments:
--       9 fingerprints
--       10 values that were read; for each:
--         kind                         v: value of a key, h: of a field of a hash, z: score of a
--                                      member of a sorted set
--         whether there was one, the value or '', and the field or the member
--       11 keys that are changed; for each:
--         whether the content of the key is deleted first
--         when the key expires, in ms since 1970; '' if that does not change
--         then the other change:
--         -                            none
--         v, operation, operand        a value
--         h, operations (one character each), fields, operands      a hash
--         z, members, numbers to add   a sorted set
--         p, elements                  a HyperLogLog
--         x, length, entries           entries of a stream, each a list of words, which is cut to
--                                      `length`
--       Operations: i add an integer, d add a decimal, < and > keep the smaller and the larger
--       number, = set; only in a hash: - delete.
--       12 derived changes, which depend on the new values of the keys with these indexes among the
--       changed ones, from 1; for each:
--         q, dividend, divisor         sets the key to the quotient of two values; deletes it if the
--                                      divisor is 0
--         u, hash, value, field        deletes the key, which is the hash, unless its field equals
--                                      the value
--
-- Returns  applied              the changes and the position are stored
--          duplicate, position  the whole batch was applied before; nothing was changed
--          rewind, position     the store lost updates; read again from this position
--          lost                 the store has no position, although there must be one
--          again, position, n, n indexes, values   run the function again on the records from this
--                               position on, without those of these fingerprints (from 0), which
--                               were applied before. If a value that it has read differs: for each
--                               of them 1 and the stored value, or 0 and '' if there is none;
--                               nothing if they are too large for a reply
-- or fails with an error, and nothing is changed, except if the error begins with PARTIAL.

local INTEGER_MAX = 9.2e18 -- below 2^63 by more than the rounding error of a double
local EXACT_MAX = 2 ^ 53   -- up to here, a double represents every integer
local FRACTION = 9         -- digits after the point of a decimal
local CHUNK = 1000         -- values in one command; `unpack` accepts less than 8,000
local CHECKED_WORDS = 8    -- of a command whose permission is checked
local DENSE_BYTES = 12304  -- of a HyperLogLog that is not sparse
local REPLY_MAX = 2 ^ 16   -- bytes of the values in a reply

local partition, log, start, finish = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local may_begin = ARGV[5] == '1'
local seen_max, seen_window, now = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local fingerprints, reads = cmsgpack.unpack(ARGV[9]), cmsgpack.unpack(ARGV[10])
local changes, derived = cmsgpack.unpack(ARGV[11]), cmsgpack.unpack(ARGV[12])
local first_key = 6 -- of those that are changed

local function wrong_type(key, expected)
  error({ err = 'WRONGTYPE the key ' .. key .. ' holds no ' .. expected })
end

local function overflow(key)
  error({ err = 'OVERFLOW a number in the key ' .. key .. ' would be too large' })
end

-- Calls a command that reads. The error for a key of another type names the key.
local function read(expected, command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) == 'table' and reply.err then
    if string.find(reply.err, '^WRONGTYPE') then wrong_type(key, expected) end
    error(reply)
  end
  return reply
end

-- Calls `command key argument...` for the arguments in `list`, with at most CHUNK of them at a
-- time. Passes each reply to `each`, with the indexes of the first and the last of these arguments.
-- If the key is new, the replies are empty.
local function in_chunks(expected, command, key, is_new, list, each)
  for first = 1, #list, CHUNK do
    local last = math.min(first + CHUNK - 1, #list)
    local reply = {}
    if not is_new then reply = read(expected, command, key, unpack(list, first, last)) end
    each(reply, first, last)
  end
end

-- 1. The position. One of another log (a topic that was created again, another cluster) is ignored.

local stored = read('hash', 'HGET', KEYS[1], partition)
local stored_log = read('hash', 'HGET', KEYS[2], partition)
local same_log = not stored_log or stored_log == '' or log == '' or stored_log == log
if not (stored and same_log) and not may_begin then return { 'lost' } end
local position = start
if stored and same_log then
  position = tonumber(stored)
  if not string.find(stored, '^%d+$') then wrong_type(KEYS[1], 'position') end
end
if position < start then return { 'rewind', stored } end
if position >= finish then return { 'duplicate', stored } end

-- 2. Records that were applied before, from other offsets, and values that the function has read.

local repeated, sizes = {}, {}
for generation = 3, 4 do
  local key = KEYS[generation]
  local size = #fingerprints > 0 and read('set', 'SCARD', key) or 0
  sizes[generation] = size
  -- An empty generation is searched for one fingerprint only. This call is kept because it fails if
  -- the user may not call SMISMEMBER.
  local searched = size > 0 and fingerprints or { fingerprints[1] }
  in_chunks('set', 'SMISMEMBER', key, false, searched, function(found, first)
    for index = 1, #found do
      if found[index] == 1 then repeated[#repeated + 1] = tostring(first + index - 2) end
    end
  end)
end

local has_changed, current, current_bytes = false, {}, 0
for index, expected_value in ipairs(reads) do
  local kind, existed, expected, place = unpack(expected_value)
  local key, value = KEYS[#KEYS - #reads + index], nil
  if kind == 'v' then
    value = read('value', 'GET', key)
  elseif kind == 'h' then
    value = read('hash', 'HGET', key, place)
  else
    value = read('sorted set', 'ZSCORE', key, place)
  end
  -- The client formats a score differently.
  local equal = value == expected or kind == 'z' and tonumber(value) == tonumber(expected)
  if existed ~= (value and true or false) or existed and not equal then has_changed = true end
  current[2 * index - 1], current[2 * index] = value and '1' or '0', value or ''
  current_bytes = current_bytes + #(value or '')
end
if position > start or has_changed or #repeated > 0 then
  local answer = { 'again', string.format('%.0f', position), tostring(#repeated) }
  for _, index in ipairs(repeated) do answer[#answer + 1] = index end
  if has_changed and current_bytes <= REPLY_MAX then
    for _, word in ipairs(current) do answer[#answer + 1] = word end
  end
  return answer
end

-- 3. The new values.

-- Splits a decimal into three integers: its value in units of 10^-FRACTION is
-- high * 10^24 + middle * 10^12 + low. Each of them is exact in a double.
local function parts(text, key)
  local sign, whole, fraction = string.match(text, '^(%-?)(%d+)%.?(%d*)$')
  if not whole or #fraction > FRACTION or #whole + FRACTION > 36 then
    wrong_type(key, 'decimal with ' .. FRACTION .. ' digits after the point')
  end
  local digits = whole .. fraction .. string.rep('0', FRACTION - #fraction)
  local factor = sign == '-' and -1 or 1
  local function part(from, to)
    return factor * (tonumber(string.sub(digits, from, to)) or 0)
  end
  return part(1, -25), part(-24, -13), part(-12, -1)
end

-- Carries from the lower parts to the higher ones, so that both lower ones are in 0 to 10^12 - 1.
local function carry(high, middle, low)
  middle = middle + math.floor(low / 1e12)
  return high + math.floor(middle / 1e12), middle % 1e12, low % 1e12
end

-- The sum of two positive decimals whose parts before the point are exact in a double, which nearly
-- all are; nil for others.
local function add_short_decimals(a, b)
  local whole_a, fraction_a = string.match(a, '^(%d+)%.?(%d*)$')
  local whole_b, fraction_b = string.match(b, '^(%d+)%.?(%d*)$')
  if not (whole_a and whole_b) or #whole_a > 15 or #whole_b > 15
    or #fraction_a > FRACTION or #fraction_b > FRACTION then
    return nil
  end
  local unit = 10 ^ FRACTION
  local fraction = (tonumber(fraction_a) or 0) * 10 ^ (FRACTION - #fraction_a)
    + (tonumber(fraction_b) or 0) * 10 ^ (FRACTION - #fraction_b)
  local whole = tonumber(whole_a) + tonumber(whole_b)
  if fraction >= unit then
    whole, fraction = whole + 1, fraction - unit
  end
  if fraction == 0 then return string.format('%.0f', whole) end
  local text = string.format('%.0f.%09.0f', whole, fraction)
  return string.match(text, '^(.-)0*$')
end

local function add_decimals(a, b, key)
  local short = add_short_decimals(a, b)
  if short then return short end
  local high, middle, low = parts(a, key)
  local high_b, middle_b, low_b = parts(b, key)
  high, middle, low = carry(high + high_b, middle + middle_b, low + low_b)
  local sign = ''
  if high < 0 then
    sign = '-'
    high, middle, low = carry(-high, -middle, -low)
  end
  if high >= 1e12 then overflow(key) end
  local digits = string.format('%.0f%012.0f%012.0f', high, middle, low)
  local whole = string.match(string.sub(digits, 1, -FRACTION - 1), '^0*(%d+)$')
  local fraction = string.match(string.sub(digits, -FRACTION), '^(.-)0*$')
  return sign .. whole .. (fraction == '' and '' or '.' .. fraction)
end

local function add_integers(a, b, key)
  if not string.find(a, '^%-?%d+$') then wrong_type(key, 'integer') end
  local number_a, number_b = tonumber(a), tonumber(b)
  local sum = number_a + number_b
  if math.abs(number_a) + math.abs(number_b) < EXACT_MAX then
    return string.format('%.0f', sum)
  end
  if math.abs(sum) > INTEGER_MAX then overflow(key) end
  return add_decimals(a, b, key)
end

-- The value after an operation on the stored one; nil if it stays, false if it is deleted.
local function after(operation, value, operand, key)
  if operation == '-' then return false end
  if operation == '=' or not value then return operand end
  if operation == 'i' then return add_integers(value, operand, key) end
  if operation == 'd' then return add_decimals(value, operand, key) end
  if not string.find(value, '^%-?%d+%.?%d*$') then wrong_type(key, 'number') end
  local smaller = tonumber(operand) < tonumber(value)
  local larger = tonumber(operand) > tonumber(value)
  if operation == '<' and smaller or operation == '>' and larger then return operand end
  return nil
end

-- The commands of part 5. The position is the first one: if the memory of the server is full, the
-- script must fail before it has written anything, and commands that delete are executed even then.
-- Those for fingerprints contain only the first one, and the indexes of the first and the last.
local commands = { { 'HSET', KEYS[1], partition, ARGV[4] } }

-- For each changed key with a value, the new value; for each changed hash, those of its fields.
local new_values = {}

local function write(...)
  commands[#commands + 1] = { ... }
end

local function change_value(key, is_new, index, operation, operand)
  local old = not is_new and read('value', 'GET', key)
  local value = after(operation, old, operand, key)
  new_values[index] = value or old
  if value and operation == '=' then
    write('SET', key, value)
  elseif value then
    write('SET', key, value, 'KEEPTTL')
  end
end

local function change_hash(key, is_new, index, operations, names, operands)
  local fields = {}
  new_values[index] = fields
  in_chunks('hash', 'HMGET', key, is_new, names, function(values, first, last)
    local set, deleted = { 'HSET', key }, { 'HDEL', key }
    for place = first, last do
      local field = names[place]
      local operation = string.sub(operations, place, place)
      local old = values[place - first + 1]
      local value = after(operation, old, operands[place], key)
      fields[field] = value or value == nil and old
      if value then
        set[#set + 1] = field
        set[#set + 1] = value
      elseif value == false then
        deleted[#deleted + 1] = field
      end
    end
    if #set > 2 then commands[#commands + 1] = set end
    if #deleted > 2 then commands[#commands + 1] = deleted end
  end)
end

local function change_sorted_set(key, is_new, _, members, numbers)
  in_chunks('sorted set', 'ZMSCORE', key, is_new, members, function(scores, first, last)
    local command, length = { 'ZADD', key }, 2
    for index = first, last do
      local sum = (scores[index - first + 1] or 0) + numbers[index]
      if sum - sum ~= 0 then overflow(key) end -- it is infinite
      -- Valkey formats a number exactly, and faster than Lua.
      command[length + 1], command[length + 2] = sum, members[index]
      length = length + 2
    end
    commands[#commands + 1] = command
  end)
end

-- Fails if the key is not empty and PFADD would not accept it: a HyperLogLog is a value with a header
-- of 16 bytes, which begins with a magic text and the encoding. PFCOUNT would write the estimate.
local function check_distinct(key)
  local header = read('HyperLogLog', 'GETRANGE', key, 0, 15)
  if header == '' and read('HyperLogLog', 'EXISTS', key) == 0 then return end
  local encoding = string.byte(header, 5)
  if #header < 16 or string.sub(header, 1, 4) ~= 'HYLL' or encoding > 1 then
    wrong_type(key, 'HyperLogLog')
  end
  if encoding == 0 and read('HyperLogLog', 'STRLEN', key) ~= DENSE_BYTES then
    wrong_type(key, 'HyperLogLog')
  end
end

local function change_distinct(key, is_new, _, elements)
  if not is_new then check_distinct(key) end
  for first = 1, #elements, CHUNK do
    write('PFADD', key, unpack(elements, first, math.min(first + CHUNK - 1, #elements)))
  end
end

local function change_stream(key, is_new, _, length, entries)
  if not is_new then read('stream', 'XLEN', key) end
  for number, entry in ipairs(entries) do
    -- The last command cuts the stream for all of them.
    local is_last = number == #entries
    local command = is_last and { 'XADD', key, 'MAXLEN', length, '*' } or { 'XADD', key, '*' }
    for _, word in ipairs(entry) do command[#command + 1] = word end
    commands[#commands + 1] = command
  end
end

local change = {
  v = change_value, h = change_hash, z = change_sorted_set, p = change_distinct,
  x = change_stream,
  ['-'] = function() end,
}
for index, description in ipairs(changes) do
  local is_new, expires, kind = unpack(description, 1, 3)
  local key = KEYS[first_key + index - 1]
  if is_new then write('UNLINK', key) end
  change[kind](key, is_new, index, unpack(description, 4))
  if expires ~= '' then write('PEXPIREAT', key, expires) end
end

-- The shortest decimal that parses to the same double.
local function shortest(number)
  for digits = 15, 17 do
    local text = string.format('%.' .. digits .. 'g', number)
    if tonumber(text) == number then return text end
  end
end

-- The new value of the changed key with this index, as a double.
local function new_number(index)
  local value = new_values[index]
  if not string.find(value, '^%-?%d+%.?%d*$') then
    wrong_type(KEYS[first_key + index - 1], 'number')
  end
  return tonumber(value)
end

local derive = {
  q = function(key, dividend, divisor)
    local number, by = new_number(dividend), new_number(divisor)
    read('value', 'GET', key) -- an error if the key is of another type
    if by == 0 then
      write('UNLINK', key)
      return
    end
    local quotient = number / by
    if quotient - quotient ~= 0 then overflow(key) end -- it is infinite
    write('SET', key, shortest(quotient), 'KEEPTTL')
  end,
  u = function(key, hash, value, field)
    if new_values[hash][field] ~= new_values[value] then write('UNLINK', key) end
  end,
}
for index, description in ipairs(derived) do
  derive[description[1]](KEYS[first_key + #changes + index - 1], unpack(description, 2))
end

-- If the broker reports no log id, the stored one is kept.
if log ~= '' then write('HSET', KEYS[2], partition, log) end
if #fingerprints > 0 then
  local since = read('hash', 'HGET', KEYS[5], partition)
  since = since and tonumber(since)
  -- The timestamps of records are set by clients. A missing or old one has no effect; one that is
  -- far in the future ends one generation too early, but only one.
  local full = sizes[3] >= seen_max
  local old = now and since and now - since >= seen_window
  if full or old then
    write('UNLINK', KEYS[4])
    if sizes[3] > 0 then write('RENAME', KEYS[3], KEYS[4]) end
  end
  if now and (not since or (full or old) and now > since) then
    write('HSET', KEYS[5], partition, ARGV[8])
  end
  for first = 1, #fingerprints, CHUNK do
    local last = math.min(first + CHUNK - 1, #fingerprints)
    commands[#commands + 1] =
      { 'SADD', KEYS[3], fingerprints[first], first = first, last = last }
  end
end

-- 4. When a script is called, Valkey checks the user's rights only for the keys. The rights for the
-- commands must be checked here.

-- An operator can also grant a command for some of the keys or arguments only, so each is checked,
-- with its first words, which contain all of these. The entries of a stream differ only in the others.
local checked = {}
for _, command in ipairs(commands) do
  local is_same = command[1] == checked[1] and command[2] == checked[2]
  checked = command
  if not is_same
    and not redis.acl_check_cmd(unpack(command, 1, math.min(#command, CHECKED_WORDS))) then
    local text = 'NOPERM the script needs the command ' .. command[1] .. ' for the key '
    error({ err = text .. command[2] .. ': grant it to its user' })
  end
end

-- 5. All checks have passed: write. Without the position, which is first, nothing is written. A
-- failure of a later command is a defect of the checks; the error says so, and must stop the program.

local function execute(command)
  if not command.first then return redis.pcall(unpack(command)) end
  return redis.pcall(command[1], command[2], unpack(fingerprints, command.first, command.last))
end

for number, command in ipairs(commands) do
  local reply = execute(command)
  if type(reply) == 'table' and reply.err then
    if number == 1 then error(reply) end
    local text = 'PARTIAL the command ' .. command[1] .. ' failed for the key ' .. command[2]
    error({ err = text .. ' after others were written: ' .. reply.err })
  end
end
return { 'applied' }
