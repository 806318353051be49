-- Changes the state of a task in one atomic step. KEYS[1] is a hash. Arguments: the change, the
-- milliseconds for which the task is kept after it, and those of the change. Returns a word and what
-- belongs to it, all as texts.
--
-- States: `pending` (the record is not confirmed), `queued`, `running`, and the last ones `succeeded`,
-- `failed` and `cancelled`. Only a record that was sent back after `failed` begins again.
--
-- An attempt is identified by a random text. Its number is for readers: it increases while the state
-- exists. Each change begins with a write that Valkey refuses if its memory is full, so that none is
-- made in part.
local key, change, keep_ms = KEYS[1], ARGV[1], ARGV[2]
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))

local function get(name)
    return redis.call('HGET', key, name) or ''
end

local function number(name)
    return tonumber(get(name)) or 0
end

local function text(number)
    return string.format('%.0f', number)
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

local function fail(reason, position, more)
    set('state', 'failed', 'ended_ms', now, 'reason', reason, 'position', position, unpack(more or {}))
    return {'reject', reason}
end

local function cancelled()
    set('state', 'cancelled', 'ended_ms', now)
    return {'done'}
end

-- The worker has the record, and begins an attempt. Arguments: the digest, the subject, when the task
-- was created, the position of the record, its time, whether it has expired (1 or nothing), the text that
-- identifies the attempt, the milliseconds within which it ends, and the most attempts.
local function start(digest, subject, created_ms, position, record_ms, expired, attempt_id, lease_ms,
                     attempts_max)
    local more, uncounted = {}, number('uncounted')
    if state == '' then
        if expired ~= '' then
            return {'skip', 'the record has expired, and so has the task'}
        end
        -- The state was lost, or has expired.
        more = {'digest', digest, 'subject', subject, 'created_ms', created_ms}
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
        if tonumber(record_ms) <= number('ended_ms') then
            -- A repeated request: the record that failed has a dead letter.
            return {'skip', 'another record of the task has failed later'}
        end
        -- The letter was sent back: the earlier attempts do not count.
        uncounted = number('attempt')
        more = {'uncounted', text(uncounted), 'round_ms', now}
    elseif get('attempt_id') == attempt_id then
        -- The reply was lost.
        return {'run', get('attempt')}
    elseif get('position') ~= position and number('lease_end_ms') > tonumber(now) then
        return {'busy'}
    elseif expired ~= '' then
        return fail('the record has expired', position)
    end
    if get('cancel') ~= '' then
        return cancelled()
    end
    local last = number('attempt')
    if last - uncounted >= tonumber(attempts_max) then
        return fail('none of ' .. attempts_max .. ' attempts was completed', position)
    end
    local attempt = text(last + 1)
    set('state', 'running', 'attempt', attempt, 'attempt_id', attempt_id, 'position', position,
        'lease_end_ms', text(now + lease_ms), unpack(more))
    redis.call('HSETNX', key, 'started_ms', now)
    redis.call('HSETNX', key, 'round_ms', now)
    redis.call('HDEL', key, 'progress', 'message', 'ended_ms', 'reason')
    return {'run', attempt}
end

-- An attempt has ended. Arguments: the text that identifies it, the digest, the subject, when the task
-- was created, the position of the record, the outcome, the reason if it failed, the most attempts, the
-- milliseconds for which a service that is not available is called again, and the status, the headers
-- and the body of the answer if it is the result.
local function finish(attempt_id, digest, subject, created_ms, position, outcome, reason, attempts_max,
                      retry_ms, status, headers, body)
    local more = {}
    if state == '' then
        -- The state was lost during the attempt. The next one creates it again.
        if outcome == 'again' or outcome == 'unavailable' then
            return {'again'}
        end
        more = {'digest', digest, 'subject', subject, 'created_ms', created_ms}
    elseif get('attempt_id') ~= attempt_id then
        return {'stale'}
    elseif state ~= 'running' then
        -- The reply was lost.
        reason = get('reason')
        if reason ~= '' then
            return {'reject', reason}
        end
        return {'done'}
    end
    if outcome ~= 'succeeded' and get('cancel') ~= '' then
        return cancelled()
    end
    local is_ended = number('lease_end_ms') == 0
    if outcome == 'unavailable' and now - number('round_ms') < tonumber(retry_ms) then
        -- The service has not begun to handle the request, so the attempt does not count.
        if not is_ended then
            set('lease_end_ms', '0', 'uncounted', text(number('uncounted') + 1))
        end
        return {'again'}
    end
    local is_temporary = outcome == 'again' or outcome == 'unavailable'
    if is_temporary and number('attempt') - number('uncounted') < tonumber(attempts_max) then
        if not is_ended then
            set('lease_end_ms', '0')
        end
        return {'again'}
    end
    if is_temporary or outcome == 'rejected' then
        return fail(reason, position, more)
    end
    set('state', outcome, 'ended_ms', now, 'status', status, 'headers', headers, 'body', body,
        unpack(more))
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

-- The service reports its progress. Arguments: the text that identifies the attempt, the part that
-- is done, and a text.
local function progress(attempt_id, part, message)
    if state ~= 'running' or get('attempt_id') ~= attempt_id or number('lease_end_ms') == 0 then
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
