-- Pools in Redis or Valkey, part 4 of 5: what a batch asks, as exchange.py has it.
--
-- Arguments: the call, the version of what is kept, how many grants past a ticket make it gather, the session, and what
-- is asked as JSON. Answers are JSON, with numbers that may be large as their digits.

local ENTRY, VERSION, SESSION = ARGV[1], ARGV[2], ARGV[4]
local WAKE = string.sub(KEYS[1], 1, -5) .. 'wake:'

local changed, named, gone, refused, taken = {}, {}, {}, {}, {}

local function set(list, names)
  for _, name in ipairs(names) do
    list[name] = true
  end
end

local function touch(row)
  local pools = pools_of(row.needs)
  set(changed, pools)
  set(named, pools)
end

-- Sessions: {host, process, label}; when they end stands in a sorted set ----------------------------------------------

local function renew(session, ttl)
  call('ZREM', EXPIRY, session)
  call('ZADD', EXPIRY, digits(now + ttl), session)
end

local function end_session(session)
  local prefix = 's' .. session .. '\0'
  for _, member in ipairs(members(prefix, 's' .. session .. '\1')) do
    local row = known_ticket(string.sub(member, #prefix + 16 + 1))
    set(changed, pools_of(row.needs))
    drop_ticket(row)
  end
  call('HDEL', SESSIONS, session)
  call('ZREM', EXPIRY, session)
end

local function reap()
  for _, session in ipairs(call('ZRANGEBYSCORE', EXPIRY, '-inf', digits(now))) do
    end_session(session)
  end
end

-- Hints to the other sessions that have something to learn; whether they arrive does not matter.
local function wake_up()
  local told = {[SESSION] = true}
  for _, row in ipairs(granted) do
    taken[#taken + 1] = row.session
  end
  for _, session in ipairs(taken) do
    if not told[session] then
      told[session] = true
      redis.pcall('PUBLISH', WAKE .. session, '')
    end
  end
end

-- The server refuses what needs memory when it has none: asked first, nothing is half done.
local function need_memory()
  call('HSET', META, 'version', VERSION)
end

-- Parts of a batch -----------------------------------------------------------------------------------------------------

-- A ticket of this session; others, and those that are not there, are told as gone.
local function own(name)
  local row = ticket_row(name)
  if row and row.session == SESSION then
    return row
  end
  gone[#gone + 1] = name
  return false
end

local function waiting(name)
  local row = ticket_row(name)
  return row and row.session == SESSION and row.state == 'waiting' and row
end

local function drop(row)
  touch(row)
  drop_ticket(row)
end

local function release(name, pool)
  local row = own(name)
  if not row then
    return
  end
  local kept, fences = {}, {}
  for _, need in ipairs(row.needs) do
    if need[1] ~= pool then
      kept[#kept + 1] = need
    end
  end
  if not pool or row.state ~= 'held' or #kept == 0 then
    drop(row)
  elseif #kept < #row.needs then
    touch(row)
    for _, fence in ipairs(row.fences) do
      if fence[1] ~= pool then
        fences[#fences + 1] = fence
      end
    end
    change(row, {needs = kept, fences = fences, line = line_id(kept, row.nested)})
  end
end

local function give_back(batch)
  for _, one in ipairs(batch.releases or {}) do
    release(one[1], plain(one[2]))
  end
  for _, name in ipairs(batch.cancels or {}) do
    local row = own(name)
    if row then
      drop(row)
    end
  end
  for _, name in ipairs(batch.seen or {}) do
    local row = own(name)
    if row and row.state == 'held' and not row.seen then
      change(row, {seen = true})
    end
  end
end

local function move(batch)
  for _, one in ipairs(batch.ready or {}) do
    local row = waiting(one[1])
    if row and row.ready ~= one[2] then
      touch(row)
      change(row, {ready = one[2]})
    end
  end
  for _, one in ipairs(batch.reprioritise or {}) do
    local row = waiting(one[1])
    if row then
      touch(row)
      change(row, {run_priority = one[2], priority = one[3], promoted = false})
    end
  end
end

local function default_changed()
  for _, name in ipairs(all_pools()) do
    changed[name] = changed[name] or source(pool_row(name)) == 'default' or nil
  end
end

local function put(name, field, value)
  local row = made_pool(name)
  row[field] = value
  put_pool(name, row)
  changed[name] = true
  named[name] = true
end

local function set_limits(batch)
  for _, one in ipairs(batch.define or {}) do
    local pool, limit, per_key = plain(one[1]), plain(one[2]), plain(one[3])
    if pool then
      put(pool, EXPLICIT, {limit, per_key})
    else
      call('HSET', META, 'is_set', '1')
      put_default('explicit', limit)
      default_changed()
    end
  end
  for _, name in ipairs(batch.unset or {}) do
    if name == cjson.null then
      call('HSET', META, 'is_set', '0')
      put_default('explicit', false)
      default_changed()
    elseif pool_row(name) then
      put(name, EXPLICIT, false)
    end
  end
  for _, name in ipairs(batch.pause or {}) do
    put(name, PAUSED, true)
  end
  for _, name in ipairs(batch.resume or {}) do
    put(name, PAUSED, false)
  end
end

local function revoke(name)
  local row = ticket_row(name)
  if not row then
    gone[#gone + 1] = name
  elseif row.state ~= 'revoked' then
    touch(row)
    change(row, {state = 'revoked'})
    taken[#taken + 1] = row.session
  end
end

local function claim(data)
  local name, needs, nested = data[1], data[2], data[7]
  if ticket_row(name) then
    return
  end
  for _, need in ipairs(needs) do
    need[2] = plain(need[2])
    made_pool(need[1])
    named[need[1]] = true
  end
  local id = line_id(needs, nested)
  for _, one in ipairs(asked(line_of(id, needs, nested))) do
    if one[2] > one[5] and one[5] > 0 then
      refused[#refused + 1] = {name, one[3], null(one[4]), digits(one[2]), one[5]}
      return
    end
  end
  local row = {
    ticket = name, session = SESSION, number = next_number(), needs = needs, nested = nested, line = id,
    run_priority = data[3], priority = data[4], since = now - data[5], ready = data[6], run = data[8], op = data[9],
    state = 'waiting', seen = false, promoted = false, fences = {},
  }
  put_ticket(row, {})
  touch(row)
end

-- Answers ----------------------------------------------------------------------------------------------------------------

local function texts(fences)
  local list = {}
  for place, fence in ipairs(fences) do
    list[place] = {fence[1], digits(fence[2])}
  end
  return list
end

local function usage()
  local list = {}
  for place, name in ipairs(by_bytes(named)) do
    local row = pool_row(name)
    local limit = row and quota(row)[1]
    list[place] = {name, digits(held(place_of(name, false), false)), null(limit), row and row[PAUSED] or false}
  end
  return list
end

local function next_expiry()
  local first_two = call('ZRANGEBYSCORE', EXPIRY, '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, 2)
  for place = 1, #first_two, 2 do
    if first_two[place] ~= SESSION then
      return digits(math.max(0, tonumber(first_two[place + 1]) - now))
    end
  end
  return cjson.null
end

local function told()
  local grants, prefix = {}, 'u' .. SESSION .. '\0'
  for _, member in ipairs(members(prefix, 'u' .. SESSION .. '\1')) do
    local row = known_ticket(string.sub(member, #prefix + 16 + 1))
    if row.state == 'held' then
      grants[#grants + 1] = {row.ticket, texts(row.fences)}
    else
      gone[#gone + 1] = row.ticket
    end
  end
  local once, seen = {}, {}
  for _, name in ipairs(gone) do
    if not seen[name] then
      seen[name] = true
      once[#once + 1] = name
    end
  end
  return grants, once
end
