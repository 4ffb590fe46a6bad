--- Readings for the detectors, taken from the metrics of this process without making garbage.

local sites = require "rtmetrics.leak.sites"

-- What a reading holds, and the metric it comes from.
local SOURCES = {
  { field = "allocs_bytes", metric = "/gc/heap/allocs:bytes" },
  { field = "frees_bytes", metric = "/gc/heap/frees:bytes" },
  { field = "heap_bytes", metric = "/memory/classes/heap/objects:bytes" },
  { field = "live_bytes", metric = "/gc/heap/live:bytes" },
  { field = "total_cycles", metric = "/gc/cycles/total:gc-cycles" },
  { field = "minor_cycles", metric = "/gc/cycles/minor:gc-cycles" },
  { field = "coroutines", metric = "/sched/coroutines:coroutines" },
  { field = "limit_bytes", metric = "/process/cgroup/memory/limit:bytes" },
  -- Not what the group uses: that includes page cache, which gives way before the limit is hit.
  { field = "used_bytes", metric = "/process/memory/resident:bytes" },
}

local M = {}

local function fill(reading, samples)
  for i, source in ipairs(SOURCES) do
    local sample = samples[i]
    reading[source.field] = sample.kind ~= "bad" and sample.value or nil
  end
  -- A minor cycle leaves old garbage behind, so only the others give a trough.
  reading.gc_cycles = reading.total_cycles and reading.total_cycles - (reading.minor_cycles or 0)
end

--- A function that takes readings: `read()` a plain one, `read(true)` one after a full collection,
-- with `sites`. It fills and returns the same table each time. `rt` is the module rtmetrics unless
-- another is given.
function M.new(rt)
  rt = rt or require "rtmetrics"
  local names = {}
  for i, source in ipairs(SOURCES) do
    names[i] = source.metric
  end
  local samples, reading = rt.read(names), {}
  return function(collect)
    if collect then
      rt.gc()
    end
    rt.read(samples)
    fill(reading, samples)
    reading.collected = collect or false
    reading.sites = collect and reading.coroutines
      and sites.group(rt.coroutines({ list = true })) or nil
    return reading
  end
end

return M
