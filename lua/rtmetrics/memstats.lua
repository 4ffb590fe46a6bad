--- Figures of the heap and the collector gathered in tables, after Go's runtime.MemStats and
-- debug.GCStats. Used through `rt.memstats()` and `rt.gcstats()`.
-- @module rtmetrics.memstats

local core = require("rtmetrics.core")

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

local M = {}

--- All figures. See rt.memstats.
-- @function read
-- @treturn table
M.read = core.memstats

--- The recent pauses. See rt.gcstats.
-- @tparam number count of quantiles
-- @treturn table
function M.gc(count)
  if type(count) ~= "number" or count < 2 or count ~= math.floor(count) then
    error("rtmetrics.gcstats: argument 1 must be a whole number of at least 2", 3)
  end
  local memstats = core.memstats()
  local stats = {
    mode = core.about().gc_mode,
    last_gc = memstats.last_gc,
    num_gc = memstats.num_gc,
    pause_total = memstats.pause_total,
    pauses = {},
    pause_ends = {},
  }
  for i, pause in ipairs(core.pauses()) do
    stats.pauses[i], stats.pause_ends[i] = pause[1], pause[2]
  end
  stats.quantiles = quantiles_of(stats.pauses, count)
  return stats
end

return M
