-- Runs several read-only commands in one step, so that their replies belong to the same moment,
-- and flattens the replies, because the connector does not accept nested ones.
--
-- KEYS  every key that the commands read
-- ARGV  for each command: the number of its words, then the words
--
-- Returns, for each command, the number of values in its reply, then the values. A value that
-- does not exist is ''.

local answer = {}

local function put(reply)
  if type(reply) == 'table' then
    for _, value in ipairs(reply) do put(value) end
  else
    answer[#answer + 1] = reply and tostring(reply) or ''
  end
end

local arg = 1
while arg <= #ARGV do
  local words = tonumber(ARGV[arg])
  local count = #answer + 1
  answer[count] = 0
  put(redis.call(unpack(ARGV, arg + 1, arg + words)))
  answer[count] = #answer - count
  arg = arg + 1 + words
end
return answer
