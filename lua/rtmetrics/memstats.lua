--- Figures of the heap and the collector gathered in tables, after Go's runtime.MemStats and
-- debug.GCStats. Used through `rt.memstats()` and `rt.gcstats()`.
-- @module rtmetrics.memstats

local core = require("rtmetrics.core")

local unpack = table.unpack or unpack

local fields = {
  alloc_bytes = "/memory/classes/heap/objects:bytes",
  total_alloc_bytes = "/gc/heap/allocs:bytes",
  freed_bytes = "/gc/heap/frees:bytes",
  sys_bytes = "/memory/classes/total:bytes",
  mallocs = "/gc/heap/allocs:blocks",
  frees = "/gc/heap/frees:blocks",
  next_gc_bytes = "/gc/heap/goal:bytes",
  live_bytes = "/gc/heap/live:bytes",
  last_gc = "/gc/last-cycle/end:unix-seconds",
  num_gc = "/gc/cycles/total:gc-cycles",
  num_forced_gc = "/gc/cycles/forced:gc-cycles",
  num_pauses = "/gc/pauses:pauses",
  pause_total = "/cpu/classes/gc/total:cpu-seconds",
  pause_bounded_total = "/cpu/classes/gc/bounded:cpu-seconds",
}

local sizes = { "/gc/heap/allocs-by-size:bytes", "/gc/heap/frees-by-size:bytes" }

local function read_fields(wanted)
  local names, keys = {}, {}
  for key, name in pairs(wanted) do
    names[#names + 1], keys[#keys + 1] = name, key
  end
  local found = {}
  for i, sample in ipairs(core.read(names)) do
    found[keys[i]] = sample.value
  end
  return found
end

-- The last class has no largest size.
local function read_sizes()
  local allocs, frees = unpack(core.read(sizes))
  if allocs.kind == "bad" then
    return nil
  end
  local classes = {}
  for i, count in ipairs(allocs.value.counts) do
    classes[i] = {
      size = allocs.value.buckets[i + 1] - 1,
      mallocs = count,
      frees = frees.value.counts[i],
    }
  end
  return classes
end

local M = {}

--- All figures. See rt.memstats.
-- @treturn table
function M.read()
  local stats = read_fields(fields)
  stats.by_size = read_sizes()
  local cpu = os.clock() -- the process's, now; the metric of that name may be a second old
  if stats.pause_total and cpu > 0 then
    stats.gc_cpu_fraction = stats.pause_total / cpu
  end
  return stats
end

-- q[i] = sorted[n * i / (count - 1)], the last one the greatest (Go's debug.ReadGCStats).
local function quantiles_of(pauses, count)
  local sorted, quantiles = {}, {}
  for i, pause in ipairs(pauses) do
    sorted[i] = pause
  end
  table.sort(sorted)
  for i = 0, count - 1 do
    local place = math.min(math.floor(#sorted * i / (count - 1)), #sorted - 1)
    quantiles[i + 1] = sorted[place + 1] or 0
  end
  return quantiles
end

--- The recent pauses. See rt.gcstats.
-- @tparam number count of quantiles
-- @treturn table
function M.gc(count)
  if type(count) ~= "number" or count < 2 or count ~= math.floor(count) then
    error("rtmetrics.gcstats: argument 1 must be a whole number of at least 2", 3)
  end
  local stats = read_fields({
    last_gc = fields.last_gc,
    num_gc = fields.num_gc,
    pause_total = fields.pause_total,
  })
  stats.mode = core.about().gc_mode
  stats.pauses, stats.pause_ends = {}, {}
  for i, pause in ipairs(core.pauses()) do
    stats.pauses[i], stats.pause_ends[i] = pause[1], pause[2]
  end
  stats.quantiles = quantiles_of(stats.pauses, count)
  return stats
end

return M
