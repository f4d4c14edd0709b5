-- Pools in Redis or Valkey, part 1 of 5: what is kept, and how it is found again.
--
-- The five parts are one script, which runs as one step. protocol.py tells the rules. Seven keys hold a namespace:
-- hashes of packed rows (pools, sessions, tickets, counts), a sorted set of sessions by expiry, one hash of single
-- values, and the index: a sorted set in which all scores are 0, so that its members stand by their bytes. Which
-- members a ticket has follows from the ticket alone, so no index can drift from the tickets; what is held of a pool
-- is counted there, nowhere else. Names end with NUL, which no name contains, and numbers have a fixed width:
--
--   n number ticket                        all tickets in the order of their claims
--   s session NUL number ticket            those of a session
--   u session NUL number ticket            those of which it is to be told: granted and not seen, or taken away
--   w pool NUL ticket                      who waits for a pool
--   q pool NUL line order ticket           who is ready and does not gather, by line, in order
--   a line run-priority age ticket         the same by age
--   g run-priority number ticket           who gathers
--   h pool NUL 0 amount NUL ticket         who holds units of a pool
--   h pool NUL 1 key NUL amount NUL ticket who holds units of a key
--
-- Tickets that ask for the same stand in one line. An upper bound ends with ':' (comes after the digits) or \1.

local META, POOLS, SESSIONS, EXPIRY = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local TICKETS, COUNTS, INDEX = KEYS[5], KEYS[6], KEYS[7]
local MOST = 2147483647
local SINCE_SHIFT = 2251799813685248 -- a claim may be older than the clock's zero

local call = redis.call
local clock = call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])

local function digits(number)
  return string.format('%.0f', number)
end

local function fail(kind, text)
  error('ASYNCFLOW ' .. kind .. ' ' .. text, 0)
end

local function unpacked(blob, what, first_field)
  local ok, row = pcall(cmsgpack.unpack, blob)
  if not ok or type(row) ~= 'table' or (first_field and type(row[1]) ~= first_field) then
    fail('CORRUPT', what .. ' cannot be read')
  end
  return row
end

local function null(value)
  if value == nil or value == false then
    return cjson.null
  end
  return value
end

-- JSON's null as false
local function plain(value)
  if value == cjson.null or value == nil then
    return false
  end
  return value
end

-- A reader of a hash of packed rows that reads each row once; false where there is none.
local function reader(key, what, first_field)
  local read = {}
  return read, function(name)
    local row = read[name]
    if row == nil then
      local blob = call('HGET', key, name)
      row = blob and unpacked(blob, what, first_field) or false
      read[name] = row
    end
    return row
  end
end

-- Single values --------------------------------------------------------------------------------------------------

local function next_number()
  return call('HINCRBY', META, 'number', 1)
end

local default_limit
local function default()
  if default_limit == nil then
    local kept = call('HMGET', META, 'is_set', 'explicit', 'defined')
    default_limit = tonumber((kept[1] == '1' and kept[2] or kept[1] ~= '1' and kept[3]) or '') or false
  end
  return default_limit
end

local function put_default(field, limit)
  call('HSET', META, field, limit and digits(limit) or '')
  default_limit = nil
end

-- Pools: {fence, paused, explicit, defined, defined by}; a quota is {limit, per key}, false is unlimited ------------

local FENCE, PAUSED, EXPLICIT, DEFINED, DEFINED_BY = 1, 2, 3, 4, 5
local pool_rows, pool_row = reader(POOLS, 'a pool', 'number')

local function put_pool(name, row)
  pool_rows[name] = row
  call('HSET', POOLS, name, cmsgpack.pack(row))
end

-- The row of a pool that is there since something named it.
local function known_pool(name)
  return pool_row(name) or fail('CORRUPT', 'a ticket names a pool of which there is no row')
end

local function made_pool(name)
  local row = pool_row(name)
  if not row then
    row = {tonumber(clock[1]) * 1048576, false, false, false, ''}
    put_pool(name, row)
  end
  return row
end

local function quota(row)
  return row[EXPLICIT] or row[DEFINED] or {default(), false}
end

local function source(row)
  return row[EXPLICIT] and 'set' or row[DEFINED] and 'defined' or 'default'
end

local function less(one, other)
  for place = 1, math.min(#one, #other) do
    local here, there = string.byte(one, place), string.byte(other, place)
    if here ~= there then
      return here < there
    end
  end
  return #one < #other
end

local function by_bytes(set)
  local names = {}
  for name in pairs(set) do
    names[#names + 1] = name
  end
  table.sort(names, less)
  return names
end

-- Reads all pools; returns their names.
local function all_pools()
  local names = call('HKEYS', POOLS)
  for _, name in ipairs(names) do
    pool_row(name)
  end
  return names
end

-- The index --------------------------------------------------------------------------------------------------------

local function first_member(low, high)
  return call('ZRANGEBYLEX', INDEX, '[' .. low, '(' .. high, 'LIMIT', 0, 1)[1]
end

local function members(low, high)
  return call('ZRANGEBYLEX', INDEX, '[' .. low, '(' .. high)
end

local function wide(number)
  return string.format('%016.0f', number)
end

local function rank(priority)
  return string.format('%010.0f', MOST - priority)
end

local AGE_LENGTH, RANK_LENGTH, LINE_LENGTH = 33, 10, 40

local function age(ticket)
  return string.format('%017.0f%016.0f', ticket.since + SINCE_SHIFT, ticket.number)
end

local function order(ticket)
  return rank(ticket.run_priority) .. rank(ticket.priority) .. age(ticket)
end

local ORDER_LENGTH = 2 * RANK_LENGTH + AGE_LENGTH

-- What a place (a pool, or a key of it) is called in the index, and where it ends.
local function place_of(pool, key)
  if key == false then
    return 'h' .. pool .. '\0000'
  end
  return 'h' .. pool .. '\0001' .. key .. '\0'
end

local function end_of(place, key)
  return string.sub(place, 1, -2) .. (key == false and '1' or '\1')
end

-- The amounts that needs ask of each place, in the order of needs: a list of {place, amount, pool, key}.
local function amounts(needs)
  local found, list = {}, {}
  local function add(pool, key, amount)
    local place = place_of(pool, key)
    local one = found[place]
    if one then
      one[2] = one[2] + amount
    else
      one = {place, amount, pool, key}
      found[place] = one
      list[#list + 1] = one
    end
  end
  for _, need in ipairs(needs) do
    add(need[1], false, need[3])
    if need[2] ~= false then
      add(need[1], need[2], need[3])
    end
  end
  return list
end

local function pools_of(needs)
  local seen, list = {}, {}
  for _, need in ipairs(needs) do
    if not seen[need[1]] then
      seen[need[1]] = true
      list[#list + 1] = need[1]
    end
  end
  return list
end

local held_at = {}

-- The sum over those who hold: for each amount that occurs, how many hold it.
local function held(place, key)
  local sum = held_at[place]
  if sum == nil then
    local low, high = place, end_of(place, key)
    sum = 0
    local member = first_member(low, high)
    while member do
      local amount = string.sub(member, #place + 1, #place + 12)
      low = place .. amount .. '\1'
      sum = sum + tonumber(amount) * call('ZLEXCOUNT', INDEX, '[' .. place .. amount, '(' .. low)
      member = first_member(low, high)
    end
    held_at[place] = sum
  end
  return sum
end

-- Tickets ------------------------------------------------------------------------------------------------------------

local FIELDS = {
  'ticket', 'session', 'number', 'needs', 'nested', 'line', 'run_priority', 'priority', 'since', 'ready', 'run', 'op',
  'state', 'seen', 'promoted', 'fences',
}
local ticket_rows = {}
local line_changed = function() end -- lines.lua forgets there what it knew of a line

local function ticket_row(name)
  local row = ticket_rows[name]
  if row == nil then
    local blob = call('HGET', TICKETS, name)
    row = false
    if blob then
      local packed = unpacked(blob, 'a ticket', 'string')
      row = {}
      for place, field in ipairs(FIELDS) do
        row[field] = packed[place]
      end
      if row.ticket ~= name or type(row.needs) ~= 'table' or type(row.fences) ~= 'table' then
        fail('CORRUPT', 'a ticket cannot be read')
      end
    end
    ticket_rows[name] = row
  end
  return row
end

local function known_ticket(name)
  return ticket_row(name) or fail('CORRUPT', 'the index names a ticket that is not there')
end

local function entries(row)
  local list = {}
  local function add(...)
    list[#list + 1] = table.concat({...})
  end
  local id = wide(row.number) .. row.ticket
  add('n', id)
  add('s', row.session, '\0', id)
  if row.state == 'held' then
    for _, one in ipairs(amounts(row.needs)) do
      add(one[1], string.format('%012.0f', one[2]), '\0', row.ticket)
    end
  elseif row.state == 'waiting' then
    for _, pool in ipairs(pools_of(row.needs)) do
      add('w', pool, '\0', row.ticket)
      if row.ready and not row.promoted then
        add('q', pool, '\0', row.line, order(row), row.ticket)
      end
    end
    if row.promoted then
      add('g', rank(row.run_priority), wide(row.promoted), row.ticket)
    elseif row.ready then
      add('a', row.line, rank(row.run_priority), age(row), row.ticket)
    end
  end
  if row.state == 'revoked' or (row.state == 'held' and not row.seen) then
    add('u', row.session, '\0', id)
  end
  return list
end

-- What is gone goes first: a server without memory lets a script go on that has begun to give back.
local function reindex(before, after)
  local kept, gone, new = {}, {}, {}
  for _, member in ipairs(after) do
    kept[member] = true
  end
  for _, member in ipairs(before) do
    if kept[member] then
      kept[member] = nil
    else
      gone[#gone + 1] = member
    end
  end
  for member in pairs(kept) do
    new[#new + 1] = 0
    new[#new + 1] = member
  end
  if #gone > 0 then
    call('ZREM', INDEX, unpack(gone))
  end
  if #new > 0 then
    call('ZADD', INDEX, unpack(new))
  end
end

local function count_held(row, sign)
  if row.state == 'held' then
    for _, one in ipairs(amounts(row.needs)) do
      if held_at[one[1]] then
        held_at[one[1]] = held_at[one[1]] + sign * one[2]
      end
    end
  end
end

local function put_ticket(row, before)
  ticket_rows[row.ticket] = row
  reindex(before, entries(row))
  local packed = {}
  for place, field in ipairs(FIELDS) do
    packed[place] = row[field]
  end
  call('HSET', TICKETS, row.ticket, cmsgpack.pack(packed))
  count_held(row, 1)
  line_changed(row)
end

local function change(row, fields)
  local before = entries(row)
  count_held(row, -1)
  for field, value in pairs(fields) do
    row[field] = value
  end
  put_ticket(row, before)
end

local function drop_ticket(row)
  count_held(row, -1)
  reindex(entries(row), {})
  call('HDEL', TICKETS, row.ticket)
  ticket_rows[row.ticket] = false
  line_changed(row)
end
