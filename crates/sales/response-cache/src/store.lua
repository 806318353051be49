-- Stores a response. Arguments: the version of the target when the request was sent, the field of the
-- response, its value, the milliseconds for which it is kept, and the most responses of a target.
-- Returns 1, or 0 if the target was invalidated since then.
local key, field = KEYS[1], ARGV[2]
if (redis.call('HGET', key, 'version') or '0') ~= ARGV[1] then
    return 0
end
local lists, known = {}, {}
local function note(name)
    local list = string.match(name, '^r:(.-)|')
    if not known[list] then
        known[list] = true
        lists[#lists + 1] = list
    end
end
note(field)
local others = 0
for _, name in ipairs(redis.call('HKEYS', key)) do
    if string.sub(name, 1, 2) == 'r:' and name ~= field then
        others = others + 1
        if others < tonumber(ARGV[5]) then
            note(name)
        else
            redis.call('HDEL', key, name)
        end
    end
end
redis.call('HSET', key, field, ARGV[3], 'vary', table.concat(lists, '\n'))
local expiry_ms = math.max(redis.call('PTTL', key), tonumber(ARGV[4]))
redis.call('PEXPIRE', key, string.format('%.0f', expiry_ms))
return 1
