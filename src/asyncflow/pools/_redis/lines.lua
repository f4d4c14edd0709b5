-- Pools in Redis or Valkey, part 2 of 5: tickets that ask for the same stand in one line.
--
-- Where the first of a line does not fit none of it does, so a pass looks at the heads of lines.

-- What was found out about each line in this step.
local lines = {}

local function line_id(needs, nested)
  local parts = {nested and 'nested' or 'plain'}
  for _, need in ipairs(needs) do
    parts[#parts + 1] = need[1]
    parts[#parts + 1] = need[2] == false and '' or '=' .. need[2]
    parts[#parts + 1] = digits(need[3])
  end
  return redis.sha1hex(table.concat(parts, '\0'))
end

local function line_of(id, needs, nested)
  local line = lines[id]
  if not line then
    line = {id = id, needs = needs, nested = nested, pools = pools_of(needs), first = {}, oldest = {}}
    lines[id] = line
  end
  return line
end

line_changed = function(row)
  local line = lines[row.line]
  if line then
    line.first, line.oldest, line.ranks, line.head = {}, {}, nil, nil
  end
end

-- The limited places of a line: {place, amount, pool, key, limit}, in the order of needs.
local function asked(line)
  if not line.asked then
    line.asked = {}
    for _, one in ipairs(amounts(line.needs)) do
      local given = quota(known_pool(one[3]))
      local limit = given[one[4] == false and 1 or 2]
      if limit then
        line.asked[#line.asked + 1] = {one[1], one[2], one[3], one[4], limit}
      end
    end
  end
  return line.asked
end

-- Whether its tickets could be granted if everything were free.
local function possible(line)
  if line.possible == nil then
    line.possible = true
    for _, pool in ipairs(line.pools) do
      line.possible = line.possible and not known_pool(pool)[PAUSED]
    end
    for _, one in ipairs(asked(line)) do
      line.possible = line.possible and one[2] <= one[5]
    end
  end
  return line.possible
end

local function queue_of(line)
  return 'q' .. line.pools[1] .. '\0' .. line.id
end

local function first_after(prefix, low, length)
  local member = first_member(low, prefix .. ':')
  return member and known_ticket(string.sub(member, #prefix + length + 1)) or false
end

local function head(line)
  if line.head == nil then
    local prefix = queue_of(line)
    line.head = first_after(prefix, prefix, ORDER_LENGTH)
  end
  return line.head
end

local function first(line, ranked)
  if line.first[ranked] == nil then
    local prefix = queue_of(line) .. ranked
    line.first[ranked] = first_after(prefix, prefix, ORDER_LENGTH - RANK_LENGTH)
  end
  return line.first[ranked]
end

local function oldest(line, ranked)
  if line.oldest[ranked] == nil then
    local prefix = 'a' .. line.id .. ranked
    line.oldest[ranked] = first_after(prefix, prefix, AGE_LENGTH)
  end
  return line.oldest[ranked]
end

-- The run priorities that wait in a line, as they stand in the index.
local function ranks(line)
  if not line.ranks then
    line.ranks = {}
    local prefix = queue_of(line)
    local member = first_member(prefix, prefix .. ':')
    while member do
      local ranked = string.sub(member, #prefix + 1, #prefix + RANK_LENGTH)
      line.ranks[#line.ranks + 1] = ranked
      member = first_member(prefix .. ranked .. ':', prefix .. ':')
    end
  end
  return line.ranks
end

-- Adds the lines in a range of the queues to a list, each once. Read in pages: the first of a line is its head, and
-- where another line follows at once it is all of it, so that thousands of lines of one ticket cost few commands.
local PAGE = 64

local function found_line(member, start, alone)
  local row = known_ticket(string.sub(member, start + LINE_LENGTH + ORDER_LENGTH))
  local line = line_of(string.sub(member, start, start + LINE_LENGTH - 1), row.needs, row.nested)
  line.head = row
  if alone then
    local ranked = rank(row.run_priority)
    line.ranks, line.first, line.oldest = {ranked}, {[ranked] = row}, {[ranked] = row}
  end
  return line
end

local function find_lines(low, high, list, seen)
  local full = true
  while full do
    local page = call('ZRANGEBYLEX', INDEX, '[' .. low, '(' .. high, 'LIMIT', 0, PAGE)
    local last
    full = #page == PAGE
    for place, member in ipairs(page) do
      local start = string.find(member, '\0', 1, true) + 1
      local queue = string.sub(member, 1, start + LINE_LENGTH - 1)
      if queue ~= last then
        local id = string.sub(member, start, start + LINE_LENGTH - 1)
        local after = page[place + 1]
        if not seen[id] then
          seen[id] = true
          local alone = after and string.sub(after, 1, #queue) ~= queue
          list[#list + 1] = found_line(member, start, alone)
        end
        last = queue
      end
    end
    low = last and last .. ':'
  end
end

local lines_at = {}

-- The lines that name a pool. Passes only take tickets out of lines, so these are looked for once.
local function lines_of_pool(pool)
  if not lines_at[pool] then
    lines_at[pool] = {}
    find_lines('q' .. pool .. '\0', 'q' .. pool .. '\1', lines_at[pool], {})
  end
  return lines_at[pool]
end

local function lines_of_pools(pools)
  local list, seen = {}, {}
  for pool in pairs(pools) do
    for _, line in ipairs(lines_of_pool(pool)) do
      if not seen[line.id] then
        seen[line.id] = true
        list[#list + 1] = line
      end
    end
  end
  return list
end

local function all_lines()
  local list = {}
  find_lines('q', 'r', list, {})
  return list
end

local function gatherers()
  local list = {}
  for place, member in ipairs(members('g', 'h')) do
    list[place] = known_ticket(string.sub(member, 1 + RANK_LENGTH + 16 + 1))
  end
  return list
end
