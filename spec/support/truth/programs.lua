--- Programs that keep a collector busy, each in its own way. Every one takes a size and returns a
-- number that depends on its whole work.

local M = {}

local function make_tree(depth)
  if depth == 0 then return {} end
  return { make_tree(depth - 1), make_tree(depth - 1) }
end

local function count_tree(tree)
  if not tree[1] then return 1 end
  return 1 + count_tree(tree[1]) + count_tree(tree[2])
end

function M.binary_trees(size)
  local kept, sum = make_tree(12), 0
  for _ = 1, size do sum = sum + count_tree(make_tree(10)) end
  return sum + count_tree(kept)
end

-- Enough live objects that a step of the incremental collector is a small part of its cycle.
function M.big_heap(size)
  local kept, sum = make_tree(16), 0
  for i = 1, size * 200 do
    local row = { i, { i, "row " .. i } }
    kept[3 + i % 1000] = row
    sum = sum + #row
  end
  return sum + count_tree(kept)
end

-- The same objects again and again: every collection ends at the same size of heap.
function M.steady_heap(size)
  local kept, sum = {}, 0
  for i = 1, 3000 do kept[i] = { i } end
  for _ = 1, size * 20 do
    for i = 1, 100 do
      local row = { i, i, i, i }
      sum = sum + #row
    end
  end
  return sum + #kept
end

function M.tables_and_strings(size)
  local kept, sum = {}, 0
  for i = 1, size * 400 do
    local row = { id = i, name = "row " .. i, tags = { i, i + 1, tostring(i) } }
    kept[i % 2000] = row
    sum = sum + #row.name + #row.tags
  end
  return sum
end

function M.strings_50k(size)
  local kept, sum = {}, 0
  for i = 1, size * 20 do
    kept[i % 40] = { string.rep("x", 50000 + i % 100), i }
    sum = sum + #kept[i % 40][1]
    for j = 1, 20 do kept[-j] = { j } end
  end
  return sum
end

function M.strings_2m(size)
  local kept, sum = {}, 0
  for i = 1, size * 3 do
    kept[i % 4] = string.rep("y", 2000000 + i)
    sum = sum + #kept[i % 4]
    for j = 1, 200 do kept[-j] = { j, tostring(i * j) } end
  end
  return sum
end

function M.buffers(size)
  local sum = 0
  for i = 1, size * 10 do
    local parts = {}
    for j = 1, 100 do parts[j] = "part " .. j .. " of " .. i end
    sum = sum + #table.concat(parts, ",") + #(string.gsub(parts[1], "%a", "%0%0"))
  end
  return sum
end

function M.growing_table(size)
  local sum = 0
  for _ = 1, size do
    local array, hash = {}, {}
    for j = 1, 5000 do
      array[j] = j
      hash["k" .. j % 700] = j
    end
    sum = sum + #array + hash.k1
  end
  return sum
end

function M.closures(size)
  local function adder(n)
    local calls = 0
    return function(x)
      calls = calls + 1
      return x + n + calls
    end
  end
  local sum = 0
  for i = 1, size * 1000 do
    local add = adder(i)
    sum = sum + add(1) + add(2)
  end
  return sum
end

function M.finalizers(size)
  local finalized = 0
  local meta = { __gc = function(object) finalized = finalized + object.n; object.kept = {
    object.n } end }
  local kept = {}
  for i = 1, size * 200 do
    kept[i % 50] = setmetatable({ n = 1 }, meta)
    kept[-(i % 100)] = { i, "value " .. i }
  end
  return finalized
end

function M.coroutines(size)
  local sum = 0
  local function body(n)
    local kept = {}
    for i = 1, n do
      kept[i % 10] = { i, "in " .. i }
      sum = sum + coroutine.yield(#kept)
    end
    return n
  end
  for i = 1, size * 20 do
    local threads = {}
    for j = 1, 5 do
      threads[j] = coroutine.create(body)
      coroutine.resume(threads[j], 20)
    end
    for _ = 1, 15 + i % 5 do
      for j = 1, 5 do coroutine.resume(threads[j], j) end
    end
  end
  return sum
end

function M.weak_tables(size)
  local cache, sum = setmetatable({}, { __mode = "k" }), 0
  for i = 1, size * 300 do
    local key = { i }
    cache[key] = { key, "of " .. i }
    sum = sum + #cache[key]
  end
  return sum
end

function M.loads(size)
  local sum = 0
  for i = 1, size * 20 do
    sum = sum + assert(load("local a, b = " .. i .. ", 2; return function() return a + b end"))()()
  end
  return sum
end

function M.sorting(size)
  local sum = 0
  for i = 1, size * 2 do
    local array = {}
    for j = 1, 300 do array[j] = { key = (j * 7919 + i) % 1009 } end
    table.sort(array, function(a, b) return a.key < b.key end)
    sum = sum + array[1].key + #string.format("%s %d", tostring(array), i)
  end
  return sum
end

return M
