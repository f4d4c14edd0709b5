-- Pools in Redis or Valkey, part 5 of 5: the calls.

local calls = {}

-- Where the server throws keys away when its memory is full, a limit would be forgotten.
local function refuse_eviction()
  local info = redis.pcall('INFO', 'memory')
  if type(info) == 'string' then
    local most, policy = string.match(info, 'maxmemory:(%d+)'), string.match(info, 'maxmemory_policy:([%w%-]+)')
    if most and most ~= '0' and policy and policy ~= 'noeviction' then
      fail('EVICTION', policy)
    end
  end
end

local function lay_down(pool, now_limit, now_each, conflicts)
  local row = made_pool(pool)
  local before = row[DEFINED]
  if before and (before[1] ~= now_limit or before[2] ~= now_each) and call('HEXISTS', SESSIONS, row[DEFINED_BY]) == 1 then
    conflicts[#conflicts + 1] = {pool, null(before[1]), null(before[2]), null(now_limit), null(now_each)}
  end
  row[DEFINED], row[DEFINED_BY] = {now_limit, now_each}, SESSION
  put_pool(pool, row)
  changed[pool] = true
end

function calls.open(asked_for)
  local conflicts = {}
  refuse_eviction()
  local fresh = tonumber(call('ZSCORE', EXPIRY, SESSION) or 0) <= now
  if fresh then
    need_memory()
  end
  reap()
  renew(SESSION, asked_for.ttl)
  call('HSET', SESSIONS, SESSION, cmsgpack.pack({asked_for.host, asked_for.process, asked_for.label}))
  if fresh then
    if not asked_for.visitor then
      put_default('defined', plain(asked_for.default))
      default_changed()
    end
    for _, one in ipairs(asked_for.pools) do
      lay_down(one[1], plain(one[2]), plain(one[3]), conflicts)
    end
  end
  run_passes(changed)
  wake_up()
  return {now = digits(now), fresh = fresh, conflicts = conflicts}
end

function calls.exchange(batch)
  if tonumber(call('ZSCORE', EXPIRY, SESSION) or 0) <= now then
    reap()
    run_passes(changed)
    wake_up()
    return {alive = false, now = digits(now)}
  end
  if batch.claims or batch.define or batch.pause then
    need_memory()
  end
  if batch.renew then
    renew(SESSION, batch.renew)
  end
  give_back(batch)
  move(batch)
  set_limits(batch)
  for _, name in ipairs(batch.revoke or {}) do
    revoke(name)
  end
  for _, data in ipairs(batch.claims or {}) do
    claim(data)
  end
  reap()
  run_passes(changed)
  wake_up()
  local grants, gone_once = told()
  return {
    alive = true, now = digits(now), grants = grants, gone = gone_once, refused = refused, usage = usage(),
    next = next_expiry(),
  }
end

function calls.close()
  reap()
  if call('HEXISTS', SESSIONS, SESSION) == 1 then
    end_session(SESSION)
  end
  run_passes(changed)
  wake_up()
  return {now = digits(now)}
end

local function pool_views()
  local list, names = {}, {}
  set(names, all_pools())
  for place, name in ipairs(by_bytes(names)) do
    local row = pool_row(name)
    local given = quota(row)
    list[place] = {
      name, null(given[1]), null(given[2]), source(row), digits(held(place_of(name, false), false)),
      call('ZLEXCOUNT', INDEX, '[w' .. name .. '\0', '(w' .. name .. '\1'), row[PAUSED], digits(row[FENCE]),
    }
  end
  return list
end

local _, session_row = reader(SESSIONS, 'a session', 'string')

local function ticket_view(row)
  local session, expires = session_row(row.session), tonumber(call('ZSCORE', EXPIRY, row.session) or 0)
  if row.state == 'revoked' or not session or expires <= now then
    return nil
  end
  local needs = {}
  for place, need in ipairs(row.needs) do
    needs[place] = {need[1], null(need[2]), need[3]}
  end
  return {
    row.ticket, row.session, row.state, needs, row.run_priority, row.priority, row.ready, row.promoted ~= false,
    digits(row.since), digits(expires), session[1], session[2], session[3], row.run, row.op, texts(row.fences),
  }
end

function calls.snapshot(page)
  local after, tickets, last = plain(page.after), {}, cjson.null
  local found = call('ZRANGEBYLEX', INDEX, '[n' .. wide((after or 0) + 1), '(o', 'LIMIT', 0, page.limit)
  for _, member in ipairs(found) do
    tickets[#tickets + 1] = ticket_view(known_ticket(string.sub(member, 18)))
  end
  if #found > 0 and #found == page.limit then
    last = digits(tonumber(string.sub(found[#found], 2, 17)))
  end
  return {now = digits(now), pools = after and {} or pool_views(), tickets = tickets, next = last}
end

local version = call('HGET', META, 'version')
if version and version ~= VERSION then
  fail('SCHEMA', 'version ' .. version)
elseif not version and call('EXISTS', unpack(KEYS)) > 0 then
  fail('SCHEMA', 'no version')
end
return cjson.encode(calls[ENTRY](cjson.decode(ARGV[5])))
