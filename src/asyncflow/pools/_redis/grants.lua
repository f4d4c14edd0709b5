-- Pools in Redis or Valkey, part 3 of 5: the grant pass, as grants.py has it.
--
-- Where nobody gathers, only lines that name a pool where something changed can have become able to go on.

local OVERTAKES = tonumber(ARGV[3])

-- Who comes next: a heap by turn, which is digits only ------------------------------------------------------------------

local function turn(row)
  if row.promoted then
    return rank(row.run_priority) .. '0' .. wide(row.promoted)
  end
  return rank(row.run_priority) .. '1' .. rank(row.priority) .. age(row)
end

local function push(heap, row)
  local one = {turn(row), row}
  local place = #heap + 1
  while place > 1 do
    local parent = math.floor(place / 2)
    if heap[parent][1] <= one[1] then
      break
    end
    heap[place] = heap[parent]
    place = parent
  end
  heap[place] = one
end

local function pop(heap)
  local top, last = heap[1], table.remove(heap)
  local place, count = 1, #heap
  if count > 0 then
    while true do
      local child = 2 * place
      if child > count then
        break
      end
      if child < count and heap[child + 1][1] < heap[child][1] then
        child = child + 1
      end
      if last[1] <= heap[child][1] then
        break
      end
      heap[place] = heap[child]
      place = child
    end
    heap[place] = last
  end
  return top[2]
end

-- One pass after another -------------------------------------------------------------------------------------------------

local granted = {}

local function fits(line, reserved)
  for _, one in ipairs(asked(line)) do
    local kept = not line.nested and reserved[one[1]] or 0
    if one[5] - held(one[1], one[4]) - kept < one[2] then
      return false
    end
  end
  return true
end

-- Keeps free units for a gatherer, scarcest place first, up to the first that has not enough.
local function reserve(line, reserved)
  local list = {}
  for place, one in ipairs(asked(line)) do
    list[place] = {one[2] / one[5], place, one}
  end
  table.sort(list, function(one, other)
    if one[1] ~= other[1] then
      return one[1] > other[1]
    end
    return one[2] < other[2]
  end)
  for _, ranked in ipairs(list) do
    local place, amount, limit, key = ranked[3][1], ranked[3][2], ranked[3][5], ranked[3][4]
    local free = math.max(0, limit - held(place, key) - (reserved[place] or 0))
    reserved[place] = (reserved[place] or 0) + math.min(free, amount)
    if free < amount then
      return
    end
  end
end

local function grant(row)
  local fences = {}
  for place, name in ipairs(pools_of(row.needs)) do
    local pool = known_pool(name)
    pool[FENCE] = pool[FENCE] + 1
    put_pool(name, pool)
    fences[place] = {name, pool[FENCE]}
  end
  change(row, {state = 'held', seen = false, promoted = false, fences = fences, since = now})
  granted[#granted + 1] = row
end

local function promote(row)
  change(row, {promoted = next_number()})
end

-- The first (or oldest) of one run priority over lines.
local function least(choices, ranked, choose, standing)
  local best, best_standing
  for _, line in ipairs(choices) do
    local row = choose(line, ranked)
    if row then
      local stands = standing(row)
      if not best or stands < best_standing then
        best, best_standing = row, stands
      end
    end
  end
  return best
end

-- Counts {first, oldest, ticket} after a grant, nil where nobody is left to be counted for; and whether one gathers.
local function counted(was, choices, ranked, count)
  local ahead = least(choices, ranked, first, order)
  if not ahead then
    return nil, false
  end
  local after, promoted = {count[1], count[2], count[3]}, false
  if not was.promoted and order(ahead) < was.order then
    after[1] = after[1] + 1
    if after[1] >= OVERTAKES then
      after[1] = 0
      promote(ahead)
      promoted = true
    end
  end
  local eldest = least(choices, ranked, oldest, age)
  if not eldest then
    return nil, promoted
  end
  after[2] = after[3] == eldest.ticket and after[2] + 1 or 1
  after[3] = eldest.ticket
  if after[2] >= OVERTAKES then
    after[2] = 0
    promote(eldest)
    promoted = true
  end
  return after, promoted
end

local all_counts, count_row = reader(COUNTS, 'a count')

-- Counts a grant at one pool. A pool's counts are a map from run priorities as they stand in the index.
local function count_at(pool, was)
  local choices, present, list, promoted = {}, {}, {}, false
  local counts = count_row(pool) or {}
  for _, line in ipairs(lines_of_pool(pool)) do
    if not line.nested and possible(line) then
      choices[#choices + 1] = line
      for _, ranked in ipairs(ranks(line)) do
        present[ranked] = true
      end
    end
  end
  for ranked in pairs(counts) do
    present[ranked] = true
  end
  for ranked in pairs(present) do
    if ranked <= was.ranked then
      list[#list + 1] = ranked
    end
  end
  table.sort(list, function(one, other) return one > other end)
  for _, ranked in ipairs(list) do
    local after, raised = counted(was, choices, ranked, counts[ranked] or {0, 0, ''})
    counts[ranked] = after
    promoted = promoted or raised
  end
  if #list > 0 then
    all_counts[pool] = next(counts) and counts or false
    if next(counts) then
      call('HSET', COUNTS, pool, cmsgpack.pack(counts))
    else
      call('HDEL', COUNTS, pool)
    end
  end
  return promoted
end

-- Grants a ticket; returns whether somebody whom it passed gathers from now on.
local function let_on(row, line)
  local was = {ranked = rank(row.run_priority), order = order(row), promoted = row.promoted}
  grant(row)
  local promoted = false
  if not line.nested then
    for _, pool in ipairs(line.pools) do
      promoted = count_at(pool, was) or promoted
    end
  end
  return promoted
end

-- Goes once through who waits, in order; true where it stopped because somebody began to gather.
local function scan(choices, gathering)
  local reserved, heap = {}, {}
  for _, line in ipairs(choices) do
    local row = head(line)
    if row then
      push(heap, row)
    end
  end
  for _, row in ipairs(gathering) do
    push(heap, row)
  end
  while #heap > 0 do
    local row = pop(heap)
    local line = line_of(row.line, row.needs, row.nested)
    local gathers = row.promoted
    if row.ready and possible(line) then
      if fits(line, reserved) then
        if let_on(row, line) then
          return true
        end
        local after = not gathers and head(line)
        if after then
          push(heap, after)
        end
      elseif gathers then
        reserve(line, reserved)
      end
    end
  end
  return false
end

-- Grants all that can be granted after something changed at these pools.
local function run_passes(changed)
  if not next(changed) then
    return
  end
  local again = true
  while again do
    local before, gathering = #granted, gatherers()
    local promoted = scan(#gathering > 0 and all_lines() or lines_of_pools(changed), gathering)
    again = promoted or (#gathering > 0 and #granted > before)
  end
end
