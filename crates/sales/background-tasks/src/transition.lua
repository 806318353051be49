-- Changes the state of a task in one atomic step. KEYS[1] is a hash. Arguments: the change, the
-- milliseconds for which the task is kept after it, and those of the change. Returns a word and what
-- belongs to it, all as texts.
--
-- States: `pending` (the record is not confirmed), `queued`, `running`, and the last ones `succeeded`,
-- `failed` and `cancelled`. Only a record that was sent back after `failed` begins again.
local key, change, keep_ms = KEYS[1], ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))

local function get(name)
    return redis.call('HGET', key, name) or ''
end

local function set(...)
    redis.call('HSET', key, ...)
    redis.call('HINCRBY', key, 'version', 1)
    redis.call('PEXPIRE', key, keep_ms)
end

local state = get('state')

-- A new request. Arguments: the digest of its content, and the subject.
local function create(digest, subject)
    if state == '' then
        set('state', 'pending', 'digest', digest, 'subject', subject, 'created_ms', now)
        return {'new'}
    end
    if get('digest') ~= digest then
        return {'other'}
    end
    return {'same', state}
end

-- The broker has confirmed the record.
local function accept()
    if state == 'pending' then
        set('state', 'queued')
    end
    return {'accepted'}
end

local function fail(reason, position)
    set('state', 'failed', 'ended_ms', now, 'reason', reason, 'position', position)
    return {'reject', reason}
end

local function cancelled()
    set('state', 'cancelled', 'ended_ms', now)
    return {'done'}
end

-- The worker has the record, and begins an attempt. Arguments: the digest, the subject, when the task
-- was created, the position of the record, its time, and the most attempts.
local function start(digest, subject, created_ms, position, record_ms, attempts_max)
    if state == '' then
        -- The state was lost, or has expired.
        set('digest', digest, 'subject', subject, 'created_ms', created_ms)
    elseif get('digest') ~= digest then
        return {'reject', 'another request has the id of this task'}
    elseif state == 'succeeded' or state == 'cancelled' then
        return {'done'}
    elseif state == 'failed' then
        local reason = get('reason')
        if reason == '' then
            return {'done'}
        end
        if get('position') == position then
            -- The dead letter may not have been written.
            return {'reject', reason}
        end
        if tonumber(record_ms) <= tonumber(get('ended_ms')) then
            -- A repeated request: the record that failed has a dead letter.
            return {'done'}
        end
        redis.call('HDEL', key, 'ended_ms', 'reason', 'attempt')
    end
    if get('cancel') ~= '' then
        return cancelled()
    end
    local attempt = (tonumber(get('attempt')) or 0) + 1
    if attempt > tonumber(attempts_max) then
        return fail('none of ' .. attempts_max .. ' attempts was completed', position)
    end
    if get('started_ms') == '' then
        set('started_ms', now)
    end
    redis.call('HDEL', key, 'progress', 'message')
    attempt = string.format('%d', attempt)
    set('state', 'running', 'attempt', attempt, 'position', position)
    return {'run', attempt}
end

-- An attempt has ended. Arguments: the attempt, its outcome, the reason if it failed, the most attempts,
-- and the status, the headers and the body of the answer if it is the result.
local function finish(attempt, outcome, reason, attempts_max, status, headers, body)
    if state ~= 'running' or get('attempt') ~= attempt then
        return {'stale'}
    end
    if outcome ~= 'succeeded' and get('cancel') ~= '' then
        return cancelled()
    end
    if outcome == 'again' and tonumber(attempt) < tonumber(attempts_max) then
        return {'again'}
    end
    if outcome == 'again' or outcome == 'rejected' then
        return fail(reason, get('position'))
    end
    set('state', outcome, 'ended_ms', now, 'status', status, 'headers', headers, 'body', body)
    return {'done'}
end

-- The client does not want the task any more. Argument: the subject.
local function cancel(subject)
    if state == '' or get('subject') ~= subject then
        return {'missing'}
    end
    if state == 'pending' or state == 'queued' then
        cancelled()
        return {'cancelled'}
    end
    if state == 'running' and get('cancel') == '' then
        set('cancel', '1')
    end
    return {state}
end

-- The service reports its progress. Arguments: the attempt, the part that is done, and a text.
local function progress(attempt, part, message)
    if state ~= 'running' or get('attempt') ~= attempt then
        return {'stale'}
    end
    set('progress', part, 'message', message)
    return {'noted', get('cancel')}
end

local changes = {
    create = create,
    accept = accept,
    start = start,
    finish = finish,
    cancel = cancel,
    progress = progress,
}
return changes[change](unpack(ARGV, 3))
